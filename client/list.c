/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* virt-freeze list: a line for each domain. */
#include "commands.h"

#include "model.h"
#include "page.h"
#include "table.h"
#include "text.h"

typedef struct {
  const Options *options;
  GDBusObjectManager *objects;
} List;

static void
print_json (List *list, GPtrArray *domains, GString *out)
{
  JsonBuilder *json = json_builder_new ();
  g_autofree char *text = NULL;

  json_builder_begin_array (json);
  for (guint i = 0; i < domains->len; i++)
    {
      VfcDomain *domain = g_ptr_array_index (domains, i);
      g_autoptr (GPtrArray) freezes
          = model_freezes (list->objects, g_dbus_proxy_get_object_path (G_DBUS_PROXY (domain)));

      json_builder_begin_object (json);
      model_add_domain (json, domain);
      model_add_freezes (json, freezes);
      json_builder_end_object (json);
    }
  json_builder_end_array (json);
  text = model_json (json, !list->options->watch);
  g_string_append (out, text);
}

/* Until the last of the freezes that are held runs out. */
static char *
time_left (GPtrArray *freezes)
{
  guint64 last = 0;

  for (guint i = 0; i < freezes->len; i++)
    {
      VfcFreeze *freeze = g_ptr_array_index (freezes, i);

      if (g_strcmp0 (vfc_freeze_get_state (freeze), "held") == 0)
        last = MAX (last, vfc_freeze_get_deadline (freeze));
    }
  return last == 0 ? g_strdup ("") : text_span ((gint64) last - g_get_real_time ());
}

static void
add_row (Table *table, VfcDomain *domain, GPtrArray *freezes)
{
  const char *state = vfc_domain_get_freeze_state (domain);
  guint64 since = vfc_domain_get_frozen_since (domain);
  g_autofree char *disks = model_disks (vfc_domain_get_disks (domain), FALSE);
  g_autofree char *count = g_strdup_printf ("%u", freezes->len);
  g_autofree char *left = time_left (freezes);
  g_autofree char *frozen = NULL;

  if (g_strcmp0 (state, "frozen") == 0 && since != 0)
    frozen = text_time ((gint64) since);
  else
    frozen = g_strdup (g_strcmp0 (state, "thawed") == 0 || state == NULL ? "" : state);
  table_add_cell (table, COLOUR_NONE, model_domain_name (domain));
  table_add_cell (table, COLOUR_NONE, vfc_domain_get_state (domain) ?: "");
  table_add_cell (table, COLOUR_NONE, vfc_domain_get_agent_connected (domain) ? "yes" : "no");
  table_add_cell (table, COLOUR_NONE, disks);
  table_add_cell (table, model_freeze_state_colour (state), frozen);
  table_add_cell (table, COLOUR_NONE, freezes->len > 0 ? count : "");
  table_add_cell (table, COLOUR_NONE, left);
}

static void
print (const Screen *screen, GString *out, gpointer data)
{
  List *list = data;
  g_autoptr (GPtrArray) domains = model_domains (list->objects);
  g_autoptr (Table) table = NULL;

  if (list->options->json)
    {
      print_json (list, domains, out);
      return;
    }
  if (domains->len == 0)
    {
      g_string_append (out, "There are no domains.\n");
      return;
    }
  table = table_new ();
  table_add_column (table, "DOMAIN", COLUMN_SHRINKS);
  table_add_column (table, "STATE", COLUMN_LEFT);
  table_add_column (table, "AGENT", COLUMN_LEFT);
  table_add_column (table, "DISKS", COLUMN_SHRINKS);
  table_add_column (table, "FROZEN SINCE", COLUMN_LEFT);
  table_add_column (table, "FREEZES", COLUMN_RIGHT);
  table_add_column (table, "LEFT", COLUMN_RIGHT);
  for (guint i = 0; i < domains->len; i++)
    {
      VfcDomain *domain = g_ptr_array_index (domains, i);
      g_autoptr (GPtrArray) freezes
          = model_freezes (list->objects, g_dbus_proxy_get_object_path (G_DBUS_PROXY (domain)));

      add_row (table, domain, freezes);
    }
  table_print (table, screen, out);
}

ExitCode
command_list (const Options *options)
{
  g_auto (Connection) connection = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (GDBusObjectManager) objects = NULL;
  g_autoptr (Page) page = NULL;
  List list = { options };

  if (!connection_open (&connection, options, NULL, &error)
      || (objects = connection_get_objects (&connection, &error)) == NULL)
    return fail (error, NULL);
  list.objects = objects;
  page = page_new (&connection, objects, print, &list);
  return page_run (page);
}
