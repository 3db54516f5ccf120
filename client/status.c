/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* virt-freeze status: one domain, its filesystems, and who holds them. */
#include "commands.h"

#include "model.h"
#include "page.h"
#include "table.h"
#include "text.h"

typedef struct {
  Connection *connection;
  GDBusObjectManager *objects;
  char *path;
  VfcDomain *domain;
  GVariant *filesystems; /* a(sssasa{sv}), or NULL */
  char *problem;         /* why there are none, or why those are old */
  gboolean asking;       /* an answer is on its way */
  gboolean again;        /* and what it says may be old by then */
  Page *page;
} Status;

static void
status_clear (Status *status)
{
  g_free (status->path);
  g_clear_object (&status->domain);
  g_clear_pointer (&status->filesystems, g_variant_unref);
  g_free (status->problem);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Status, status_clear)

/* --- filesystems --------------------------------------------------------------------------------- */

/* Takes the reply, or what was wrong. */
static void
take_filesystems (Status *status, GVariant *reply, const GError *error)
{
  g_clear_pointer (&status->problem, g_free);
  if (reply != NULL)
    {
      g_clear_pointer (&status->filesystems, g_variant_unref);
      status->filesystems = g_variant_get_child_value (reply, 0);
    }
  else if (error_is_denied (error))
    status->problem = g_strdup ("The filesystems are shown with authorization only "
                                "(org.virtfreeze1.inspect).");
  else
    {
      g_autofree char *what = error_describe (error);

      g_clear_pointer (&status->filesystems, g_variant_unref);
      status->problem = g_strdup_printf ("The filesystems cannot be shown: %s", what);
    }
}

static void ask_again (Status *status);

static void
on_filesystems (GObject *proxy, GAsyncResult *result, gpointer data)
{
  Status *status = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply = g_dbus_proxy_call_finish (G_DBUS_PROXY (proxy), result, &error);

  status->asking = FALSE;
  take_filesystems (status, reply, error);
  page_refresh (status->page);
  if (status->again)
    ask_again (status);
}

/* While it is watched nobody is asked for a password: only at the beginning. */
static void
ask_again (Status *status)
{
  status->again = status->asking;
  if (status->asking)
    return;
  status->asking = TRUE;
  g_dbus_proxy_call (G_DBUS_PROXY (status->domain), "GetFilesystems", NULL, G_DBUS_CALL_FLAGS_NONE,
                     G_MAXINT, NULL, on_filesystems, status);
}

static void
ask_first (Status *status)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply
      = connection_call (status->connection, status->domain, "GetFilesystems", NULL, &error);

  take_filesystems (status, reply, error);
  connection_stop_agent (status->connection);
}

typedef void FilesystemFunc (const char *mountpoint, const char *device, const char *type,
                             const char *const *disks, gboolean frozen, gboolean freezable,
                             gpointer data);

static void
for_each_filesystem (Status *status, FilesystemFunc *func, gpointer data)
{
  GVariantIter iter;
  const char *mountpoint, *device, *type;
  const char **disks;
  GVariant *more;

  g_variant_iter_init (&iter, status->filesystems);
  while (
      g_variant_iter_next (&iter, "(&s&s&s^a&s@a{sv})", &mountpoint, &device, &type, &disks, &more))
    {
      gboolean frozen = FALSE, freezable = FALSE;

      g_variant_lookup (more, "frozen", "b", &frozen);
      g_variant_lookup (more, "freezable", "b", &freezable);
      func (mountpoint, device, type, disks, frozen, freezable, data);
      g_variant_unref (more);
      g_free (disks);
    }
}

/* --- for scripts ----------------------------------------------------------------------------------- */

static void
add_json_filesystem (const char *mountpoint, const char *device, const char *type,
                     const char *const *disks, gboolean frozen, gboolean freezable, gpointer data)
{
  JsonBuilder *json = data;

  json_builder_begin_object (json);
  json_builder_set_member_name (json, "mountpoint");
  json_builder_add_string_value (json, mountpoint);
  json_builder_set_member_name (json, "device");
  json_builder_add_string_value (json, device);
  json_builder_set_member_name (json, "type");
  json_builder_add_string_value (json, type);
  json_builder_set_member_name (json, "disks");
  json_builder_begin_array (json);
  for (; *disks != NULL; disks++)
    json_builder_add_string_value (json, *disks);
  json_builder_end_array (json);
  json_builder_set_member_name (json, "frozen");
  json_builder_add_boolean_value (json, frozen);
  json_builder_set_member_name (json, "freezable");
  json_builder_add_boolean_value (json, freezable);
  json_builder_end_object (json);
}

static void
print_json (Status *status, GPtrArray *freezes, GString *out)
{
  JsonBuilder *json = json_builder_new ();
  g_autofree char *text = NULL;

  json_builder_begin_object (json);
  model_add_domain (json, status->domain);
  json_builder_set_member_name (json, "filesystems");
  if (status->filesystems != NULL)
    {
      json_builder_begin_array (json);
      for_each_filesystem (status, add_json_filesystem, json);
      json_builder_end_array (json);
    }
  else
    json_builder_add_null_value (json);
  json_builder_set_member_name (json, "filesystems_problem");
  if (status->problem != NULL)
    json_builder_add_string_value (json, status->problem);
  else
    json_builder_add_null_value (json);
  model_add_freezes (json, freezes);
  json_builder_end_object (json);
  text = model_json (json, !status->connection->options->watch);
  g_string_append (out, text);
}

/* --- for people ------------------------------------------------------------------------------------ */

static void
print_head (Status *status, const Screen *screen, GString *out)
{
  VfcDomain *domain = status->domain;
  guint64 since = vfc_domain_get_frozen_since (domain);
  g_autofree char *name = text_escape (model_domain_name (domain));
  g_autofree char *uuid = text_escape (vfc_domain_get_uuid (domain) ?: "?");
  g_autofree char *state = text_escape (vfc_domain_get_state (domain) ?: "?");
  g_autofree char *engine = text_escape (vfc_domain_get_engine (domain) ?: "?");
  g_autofree char *frozen = text_escape (vfc_domain_get_freeze_state (domain) ?: "?");
  /* The UUID is beside it. */
  g_autofree char *title
      = text_cut (name, screen->columns > 0 ? MAX (screen->columns - 40, 8) : G_MAXINT);
  Colour colour = model_freeze_state_colour (frozen);

  g_string_append_printf (out, "%s%s%s  %s\n", screen_colour (screen, COLOUR_BOLD), title,
                          screen_plain (screen, COLOUR_BOLD), uuid);
  g_string_append_printf (out, "%s, agent %s, engine %s\n", state,
                          vfc_domain_get_agent_connected (domain) ? "connected" : "not connected",
                          engine);
  g_string_append_printf (out, "%s%s%s", screen_colour (screen, colour), frozen,
                          screen_plain (screen, colour));
  if (since != 0)
    {
      g_autofree char *time = text_time ((gint64) since);
      g_autofree char *span = text_span (g_get_real_time () - (gint64) since);

      g_string_append_printf (out, " since %s (%s)", time, span);
    }
  g_string_append_c (out, '\n');
}

static void
add_filesystem (const char *mountpoint, const char *device, const char *type,
                const char *const *disks, gboolean frozen, gboolean freezable, gpointer data)
{
  Table *table = data;
  g_autofree char *on = model_disks (disks, FALSE);
  const char *state = frozen ? "frozen" : freezable ? "thawed" : "cannot freeze";

  table_add_cell (table, COLOUR_NONE, on);
  table_add_cell (table, COLOUR_NONE, mountpoint);
  table_add_cell (table, COLOUR_NONE, device);
  table_add_cell (table, COLOUR_NONE, type);
  table_add_cell (table, model_freeze_state_colour (state), state);
}

static void
print_filesystems (Status *status, const Screen *screen, GString *out)
{
  g_autoptr (Table) table = table_new ();

  g_string_append_c (out, '\n');
  if (status->filesystems != NULL)
    {
      table_add_column (table, "DISK", COLUMN_SHRINKS);
      table_add_column (table, "MOUNTPOINT", COLUMN_SHRINKS);
      table_add_column (table, "DEVICE", COLUMN_SHRINKS);
      table_add_column (table, "TYPE", COLUMN_SHRINKS);
      table_add_column (table, "STATE", COLUMN_LEFT);
      for_each_filesystem (status, add_filesystem, table);
      table_print (table, screen, out);
      if (g_variant_n_children (status->filesystems) == 0)
        g_string_append (out, "The guest names no filesystems.\n");
      else if (status->problem != NULL)
        g_string_append (out, "This list may be old. ");
    }
  if (status->problem != NULL)
    {
      g_autofree char *problem = text_escape (status->problem);

      g_string_append_printf (out, "%s\n", problem);
    }
}

static void
add_freeze (Table *table, VfcFreeze *freeze)
{
  const char *state = vfc_freeze_get_state (freeze) ?: "?";
  gboolean held = g_str_equal (state, "held");
  g_autofree char *number = g_strdup_printf (
      "%" G_GUINT64_FORMAT, model_number (g_dbus_proxy_get_object_path (G_DBUS_PROXY (freeze))));
  g_autofree char *since = text_time ((gint64) vfc_freeze_get_created (freeze));
  g_autofree char *left
      = held ? text_span ((gint64) vfc_freeze_get_deadline (freeze) - g_get_real_time ())
             : g_strdup ("");
  g_autofree char *user = text_user (vfc_freeze_get_owner_uid (freeze));
  const char *owner = vfc_freeze_get_owner (freeze);
  gboolean lease = g_strcmp0 (vfc_freeze_get_lifetime (freeze), "lease") == 0;
  g_autofree char *who
      = lease ? g_strdup_printf ("%s (lease)", user) : g_strdup_printf ("%s %s", user, owner ?: "");
  g_autofree char *disks = model_disks (vfc_freeze_get_disks (freeze), TRUE);

  table_add_cell (table, COLOUR_NONE, number);
  table_add_cell (table, model_freeze_state_colour (state), state);
  table_add_cell (table, COLOUR_NONE, since);
  table_add_cell (table, COLOUR_NONE, left);
  table_add_cell (table, COLOUR_NONE, who);
  table_add_cell (table, COLOUR_NONE, disks);
  table_add_cell (table, COLOUR_NONE, vfc_freeze_get_reason (freeze) ?: "");
}

static void
print_freezes (GPtrArray *freezes, const Screen *screen, GString *out)
{
  g_autoptr (Table) table = table_new ();

  g_string_append_c (out, '\n');
  table_add_column (table, "FREEZE", COLUMN_RIGHT);
  table_add_column (table, "STATE", COLUMN_LEFT);
  table_add_column (table, "SINCE", COLUMN_LEFT);
  table_add_column (table, "LEFT", COLUMN_RIGHT);
  table_add_column (table, "OWNER", COLUMN_SHRINKS);
  table_add_column (table, "DISKS", COLUMN_SHRINKS);
  table_add_column (table, "REASON", COLUMN_SHRINKS);
  for (guint i = 0; i < freezes->len; i++)
    add_freeze (table, g_ptr_array_index (freezes, i));
  table_print (table, screen, out);
  if (freezes->len == 0)
    g_string_append (out, "Nobody holds a freeze.\n");
}

static void
print (const Screen *screen, GString *out, gpointer data)
{
  Status *status = data;
  g_autoptr (GPtrArray) freezes = model_freezes (status->objects, status->path);
  g_autoptr (GDBusObject) object = g_dbus_object_manager_get_object (status->objects, status->path);

  if (status->connection->options->json)
    {
      print_json (status, freezes, out);
      return;
    }
  if (object == NULL)
    {
      /* What its proxy knows is old. */
      g_string_append (out, "This domain is gone, or the service is.\n");
      return;
    }
  print_head (status, screen, out);
  print_filesystems (status, screen, out);
  print_freezes (freezes, screen, out);
}

ExitCode
command_status (const Options *options)
{
  const Request *request = g_ptr_array_index (options->requests, 0);
  g_auto (Connection) connection = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (GDBusObjectManager) objects = NULL;
  g_auto (Status) status = { 0 };
  g_autoptr (Page) page = NULL;

  if (!connection_open (&connection, options, NULL, &error)
      || (status.domain = connection_get_domain (&connection, request->domain, &error)) == NULL
      || (objects = connection_get_objects (&connection, &error)) == NULL)
    return fail (error, NULL);
  status.connection = &connection;
  status.objects = objects;
  status.path = g_strdup (g_dbus_proxy_get_object_path (G_DBUS_PROXY (status.domain)));
  ask_first (&status);
  status.page = page = page_new (&connection, objects, print, &status);
  g_signal_connect_swapped (status.domain, "notify::freeze-state", G_CALLBACK (ask_again), &status);
  return page_run (page);
}
