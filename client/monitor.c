/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* virt-freeze monitor: a line for each thing that happens. */
#include "commands.h"

#include "model.h"
#include "text.h"

#include <string.h>

typedef struct {
  Connection *connection;
  GDBusObjectManager *objects;
  GHashTable *names; /* path of a domain → its name: objects that are gone have none */
  GMainLoop *loop;
  gboolean running; /* the service, as it was told */
  ExitCode code;
} Monitor;

/* --- lines ------------------------------------------------------------------------------------ */

static const char *
name_of (Monitor *monitor, const char *domain)
{
  const char *name = domain != NULL ? g_hash_table_lookup (monitor->names, domain) : NULL;

  return name != NULL ? name : "?";
}

static void
write_line (Monitor *monitor, const char *line)
{
  if (output_write (line))
    return;
  monitor->code = output_failed ();
  g_main_loop_quit (monitor->loop);
}

/* freeze may be NULL; so may domain, a path, of what concerns the whole service. */
static void
tell (Monitor *monitor, const char *event, const char *domain, VfcFreeze *freeze, const char *what)
{
  const char *path = freeze != NULL ? g_dbus_proxy_get_object_path (G_DBUS_PROXY (freeze)) : NULL;
  gint64 now = g_get_real_time ();
  g_autofree char *line = NULL;

  if (monitor->connection->options->json)
    {
      JsonBuilder *json = json_builder_new ();

      json_builder_begin_object (json);
      json_builder_set_member_name (json, "time");
      json_builder_add_int_value (json, now);
      json_builder_set_member_name (json, "event");
      json_builder_add_string_value (json, event);
      json_builder_set_member_name (json, "what");
      json_builder_add_string_value (json, what);
      if (domain != NULL)
        {
          json_builder_set_member_name (json, "domain");
          json_builder_add_string_value (json, name_of (monitor, domain));
          json_builder_set_member_name (json, "domain_path");
          json_builder_add_string_value (json, domain);
        }
      if (path != NULL)
        {
          json_builder_set_member_name (json, "path");
          json_builder_add_string_value (json, path);
        }
      if (freeze != NULL && g_str_equal (event, "held"))
        {
          json_builder_set_member_name (json, "freeze");
          json_builder_begin_object (json);
          model_add_freeze (json, freeze);
          json_builder_end_object (json);
        }
      json_builder_end_object (json);
      line = model_json (json, FALSE);
    }
  else
    {
      g_autofree char *time = text_time (now);
      g_autofree char *name = text_escape (domain != NULL ? name_of (monitor, domain) : "-");
      g_autofree char *text = text_escape (what);
      g_autofree char *number
          = path != NULL ? g_strdup_printf ("freeze %" G_GUINT64_FORMAT " ", model_number (path))
                         : g_strdup ("");
      Screen screen;
      Colour colour = model_freeze_state_colour (event);

      screen_read (&screen);
      line = g_strdup_printf ("%s  %s  %s%s%s%s%s%s\n", time, name, number,
                              screen_colour (&screen, colour), event,
                              screen_plain (&screen, colour), *text != '\0' ? ": " : "", text);
    }
  write_line (monitor, line);
}

/* --- what happens ------------------------------------------------------------------------------- */

static gboolean
service_is_there (Monitor *monitor)
{
  g_autofree char *owner = g_dbus_object_manager_client_get_name_owner (
      G_DBUS_OBJECT_MANAGER_CLIENT (monitor->objects));
  return owner != NULL;
}

static void
remember (Monitor *monitor, VfcDomain *domain)
{
  g_hash_table_replace (monitor->names,
                        g_strdup (g_dbus_proxy_get_object_path (G_DBUS_PROXY (domain))),
                        g_strdup (model_domain_name (domain)));
}

static void
tell_held (Monitor *monitor, VfcFreeze *freeze)
{
  g_autofree char *disks = model_disks (vfc_freeze_get_disks (freeze), TRUE);
  g_autofree char *until = text_time ((gint64) vfc_freeze_get_deadline (freeze));
  g_autofree char *user = text_user (vfc_freeze_get_owner_uid (freeze));
  const char *reason = vfc_freeze_get_reason (freeze);
  const char *state = vfc_freeze_get_state (freeze);
  gboolean held = g_strcmp0 (state, "held") == 0;
  g_autofree char *what = g_strdup_printf (
      "disks %s, %s%s%s, by %s%s%s", disks, vfc_freeze_get_lifetime (freeze) ?: "",
      held ? ", until " : "", held ? until : "", user,
      reason != NULL && *reason != '\0' ? ", for: " : "", reason ?: "");

  tell (monitor, state ?: "held", vfc_freeze_get_domain (freeze), freeze, what);
}

static void
on_added (GDBusObjectManager *objects G_GNUC_UNUSED, GDBusObject *object, gpointer data)
{
  Monitor *monitor = data;
  g_autoptr (VfcDomain) domain = vfc_object_get_domain (VFC_OBJECT (object));
  g_autoptr (VfcFreeze) freeze = vfc_object_get_freeze (VFC_OBJECT (object));

  if (domain != NULL)
    {
      gboolean known
          = g_hash_table_contains (monitor->names, g_dbus_object_get_object_path (object));

      remember (monitor, domain);
      /* A service that is started again has its objects anew. */
      if (!known)
        tell (monitor, "domain-added", g_dbus_object_get_object_path (object), NULL,
              vfc_domain_get_state (domain) ?: "");
    }
  if (freeze != NULL)
    tell_held (monitor, freeze);
}

static void
on_removed (GDBusObjectManager *objects G_GNUC_UNUSED, GDBusObject *object, gpointer data)
{
  Monitor *monitor = data;
  const char *path = g_dbus_object_get_object_path (object);
  g_autoptr (VfcDomain) domain = vfc_object_get_domain (VFC_OBJECT (object));

  /* When the service goes, its objects do, which says nothing about them. */
  if (domain == NULL || !service_is_there (monitor))
    return;
  tell (monitor, "domain-removed", path, NULL, "");
  g_hash_table_remove (monitor->names, path);
}

static void
on_signal (GDBusObjectManagerClient *objects G_GNUC_UNUSED, GDBusObjectProxy *object G_GNUC_UNUSED,
           GDBusProxy *proxy, const char *sender G_GNUC_UNUSED, const char *name,
           GVariant *parameters, gpointer data)
{
  const char *why;

  if (!VFC_IS_FREEZE (proxy) || !g_variant_is_of_type (parameters, G_VARIANT_TYPE ("(s)")))
    return;
  g_variant_get (parameters, "(&s)", &why);
  if (g_str_equal (name, "Lost") || g_str_equal (name, "Released"))
    tell (data, g_str_equal (name, "Lost") ? "lost" : "released",
          vfc_freeze_get_domain (VFC_FREEZE (proxy)), VFC_FREEZE (proxy), why);
}

/* Properties of domains that are told, and by which words. */
static const struct {
  const char *property, *event;
} told[] = { { "State", "state" }, { "FreezeState", "freeze-state" }, { "Name", "name" } };

static void
tell_domain (Monitor *monitor, GDBusProxy *proxy, GVariant *changed)
{
  const char *path = g_dbus_proxy_get_object_path (proxy);
  const char *value;
  gboolean connected;

  remember (monitor, VFC_DOMAIN (proxy));
  for (gsize i = 0; i < G_N_ELEMENTS (told); i++)
    if (g_variant_lookup (changed, told[i].property, "&s", &value))
      tell (monitor, told[i].event, path, NULL, value);
  if (g_variant_lookup (changed, "AgentConnected", "b", &connected))
    tell (monitor, "agent", path, NULL, connected ? "connected" : "not connected");
}

static void
tell_freeze (Monitor *monitor, GDBusProxy *proxy, GVariant *changed)
{
  VfcFreeze *freeze = VFC_FREEZE (proxy);
  const char *state;
  guint64 deadline;

  if (g_variant_lookup (changed, "Deadline", "t", &deadline))
    {
      g_autofree char *until = text_time ((gint64) deadline);
      g_autofree char *what = g_strdup_printf ("until %s", until);

      tell (monitor, "renewed", vfc_freeze_get_domain (freeze), freeze, what);
    }
  if (g_variant_lookup (changed, "State", "&s", &state) && g_str_equal (state, "thawing"))
    tell (monitor, "thawing", vfc_freeze_get_domain (freeze), freeze, "");
}

static void
on_changed (GDBusObjectManagerClient *objects G_GNUC_UNUSED, GDBusObjectProxy *object G_GNUC_UNUSED,
            GDBusProxy *proxy, GVariant *changed, const char *const *invalidated G_GNUC_UNUSED,
            gpointer data)
{
  if (VFC_IS_DOMAIN (proxy))
    tell_domain (data, proxy, changed);
  else if (VFC_IS_FREEZE (proxy))
    tell_freeze (data, proxy, changed);
}

static void
on_manager (GDBusProxy *manager G_GNUC_UNUSED, GVariant *changed,
            const char *const *invalidated G_GNUC_UNUSED, gpointer data)
{
  gboolean connected;

  if (g_variant_lookup (changed, "Connected", "b", &connected))
    tell (data, "libvirt", NULL, NULL, connected ? "connected" : "not connected");
}

static void
on_owner (GObject *objects G_GNUC_UNUSED, GParamSpec *spec G_GNUC_UNUSED, gpointer data)
{
  Monitor *monitor = data;

  /* It is told before the objects are known, too, when nothing has changed. */
  if (monitor->running == service_is_there (monitor))
    return;
  monitor->running = !monitor->running;
  tell (monitor, "service", NULL, NULL, monitor->running ? "started" : "gone");
}

static void
on_bus_gone (Monitor *monitor)
{
  complain ("The connection to the bus has ended");
  monitor->code = EXIT_FAILED;
  g_main_loop_quit (monitor->loop);
}

static gboolean
on_output_gone (gpointer data)
{
  Monitor *monitor = data;

  monitor->code = output_failed ();
  g_main_loop_quit (monitor->loop);
  return G_SOURCE_REMOVE;
}

/* --- running -------------------------------------------------------------------------------------- */

/* What is held already comes first, so that each later line is about something known. */
static void
begin (Monitor *monitor)
{
  g_autoptr (GPtrArray) domains = model_domains (monitor->objects);
  g_autoptr (GPtrArray) freezes = model_freezes (monitor->objects, NULL);

  for (guint i = 0; i < domains->len; i++)
    remember (monitor, g_ptr_array_index (domains, i));
  for (guint i = 0; i < freezes->len; i++)
    tell_held (monitor, g_ptr_array_index (freezes, i));
  g_signal_connect (monitor->objects, "object-added", G_CALLBACK (on_added), monitor);
  g_signal_connect (monitor->objects, "object-removed", G_CALLBACK (on_removed), monitor);
  g_signal_connect (monitor->objects, "interface-proxy-signal", G_CALLBACK (on_signal), monitor);
  g_signal_connect (monitor->objects, "interface-proxy-properties-changed", G_CALLBACK (on_changed),
                    monitor);
  g_signal_connect (monitor->objects, "notify::name-owner", G_CALLBACK (on_owner), monitor);
  g_signal_connect (monitor->connection->manager, "g-properties-changed", G_CALLBACK (on_manager),
                    monitor);
  g_signal_connect_swapped (monitor->connection->bus, "closed", G_CALLBACK (on_bus_gone), monitor);
}

ExitCode
command_monitor (const Options *options)
{
  g_auto (Connection) connection = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (GDBusObjectManager) objects = NULL;
  g_autoptr (GHashTable) names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Monitor monitor = { &connection, NULL, names, loop, TRUE, EXIT_DONE };

  if (!connection_open (&connection, options, NULL, &error)
      || (objects = connection_get_objects (&connection, &error)) == NULL)
    return fail (error, NULL);
  monitor.objects = objects;
  begin (&monitor);
  output_watch (on_output_gone, &monitor);
  g_main_loop_run (loop);
  g_signal_handlers_disconnect_by_data (objects, &monitor);
  g_signal_handlers_disconnect_by_data (connection.manager, &monitor);
  g_signal_handlers_disconnect_by_data (connection.bus, &monitor);
  return monitor.code;
}
