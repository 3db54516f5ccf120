/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model.h"

#include "text.h"

#include <string.h>
#include <unistd.h>

static const char *
path_of (gconstpointer proxy)
{
  return g_dbus_proxy_get_object_path (G_DBUS_PROXY ((gpointer) proxy));
}

static int
compare_domains (gconstpointer a, gconstpointer b)
{
  VfcDomain *first = *(VfcDomain *const *) a, *second = *(VfcDomain *const *) b;
  int order = g_strcmp0 (vfc_domain_get_name (first), vfc_domain_get_name (second));

  return order != 0 ? order : strcmp (path_of (first), path_of (second));
}

static int
compare_freezes (gconstpointer a, gconstpointer b)
{
  guint64 first = model_number (path_of (*(VfcFreeze *const *) a));
  guint64 second = model_number (path_of (*(VfcFreeze *const *) b));

  return first < second ? -1 : first > second;
}

GPtrArray *
model_domains (GDBusObjectManager *objects)
{
  GPtrArray *domains = g_ptr_array_new_with_free_func (g_object_unref);
  GList *all = g_dbus_object_manager_get_objects (objects);

  for (GList *l = all; l != NULL; l = l->next)
    {
      VfcDomain *domain = vfc_object_get_domain (VFC_OBJECT (l->data));

      if (domain != NULL)
        g_ptr_array_add (domains, domain);
    }
  g_list_free_full (all, g_object_unref);
  g_ptr_array_sort (domains, compare_domains);
  return domains;
}

GPtrArray *
model_freezes (GDBusObjectManager *objects, const char *domain)
{
  GPtrArray *freezes = g_ptr_array_new_with_free_func (g_object_unref);
  GList *all = g_dbus_object_manager_get_objects (objects);

  for (GList *l = all; l != NULL; l = l->next)
    {
      VfcFreeze *freeze = vfc_object_get_freeze (VFC_OBJECT (l->data));

      if (freeze == NULL)
        continue;
      if (domain == NULL || g_strcmp0 (vfc_freeze_get_domain (freeze), domain) == 0)
        g_ptr_array_add (freezes, freeze);
      else
        g_object_unref (freeze);
    }
  g_list_free_full (all, g_object_unref);
  g_ptr_array_sort (freezes, compare_freezes);
  return freezes;
}

guint64
model_number (const char *path)
{
  const char *slash = strrchr (path, '/');

  return slash != NULL ? g_ascii_strtoull (slash + 1, NULL, 10) : 0;
}

const char *
model_domain_name (VfcDomain *domain)
{
  const char *name = vfc_domain_get_name (domain);

  return name != NULL ? name : "?";
}

char *
model_freeze_domain_name (GDBusObjectManager *objects, VfcFreeze *freeze)
{
  const char *path = vfc_freeze_get_domain (freeze);
  g_autoptr (GDBusObject) object
      = path != NULL ? g_dbus_object_manager_get_object (objects, path) : NULL;
  g_autoptr (VfcDomain) domain
      = object != NULL ? vfc_object_get_domain (VFC_OBJECT (object)) : NULL;

  return g_strdup (domain != NULL ? model_domain_name (domain) : "?");
}

gboolean
model_is_own (VfcFreeze *freeze)
{
  return g_strcmp0 (vfc_freeze_get_lifetime (freeze), "lease") == 0
         && vfc_freeze_get_owner_uid (freeze) == getuid ();
}

char *
model_disks (const char *const *disks, gboolean none_is_all)
{
  if (disks == NULL || disks[0] == NULL)
    return g_strdup (none_is_all ? "all" : "");
  return g_strjoinv (",", (char **) disks);
}

Colour
model_freeze_state_colour (const char *state)
{
  if (g_strcmp0 (state, "frozen") == 0 || g_strcmp0 (state, "held") == 0)
    return COLOUR_GOOD;
  if (g_strcmp0 (state, "lost") == 0 || g_strcmp0 (state, "in-doubt") == 0)
    return COLOUR_BAD;
  return g_strcmp0 (state, "thawed") == 0 ? COLOUR_NONE : COLOUR_WARN;
}

/* --- JSON ------------------------------------------------------------------------------------ */

static void
add_text (JsonBuilder *json, const char *name, const char *value)
{
  json_builder_set_member_name (json, name);
  json_builder_add_string_value (json, value != NULL ? value : "");
}

static void
add_number (JsonBuilder *json, const char *name, guint64 value)
{
  json_builder_set_member_name (json, name);
  json_builder_add_int_value (json, (gint64) value);
}

static void
add_texts (JsonBuilder *json, const char *name, const char *const *values)
{
  json_builder_set_member_name (json, name);
  json_builder_begin_array (json);
  for (; values != NULL && *values != NULL; values++)
    json_builder_add_string_value (json, *values);
  json_builder_end_array (json);
}

void
model_add_domain (JsonBuilder *json, VfcDomain *domain)
{
  add_text (json, "name", vfc_domain_get_name (domain));
  add_text (json, "uuid", vfc_domain_get_uuid (domain));
  add_text (json, "path", path_of (domain));
  add_text (json, "state", vfc_domain_get_state (domain));
  json_builder_set_member_name (json, "agent_connected");
  json_builder_add_boolean_value (json, vfc_domain_get_agent_connected (domain));
  add_texts (json, "disks", vfc_domain_get_disks (domain));
  add_text (json, "engine", vfc_domain_get_engine (domain));
  add_number (json, "default_hold", vfc_domain_get_default_hold (domain));
  add_number (json, "max_hold", vfc_domain_get_max_hold (domain));
  add_text (json, "freeze_state", vfc_domain_get_freeze_state (domain));
  add_number (json, "frozen_since", vfc_domain_get_frozen_since (domain));
}

void
model_add_freeze (JsonBuilder *json, VfcFreeze *freeze)
{
  add_text (json, "path", path_of (freeze));
  add_text (json, "state", vfc_freeze_get_state (freeze));
  add_texts (json, "disks", vfc_freeze_get_disks (freeze));
  add_number (json, "filesystems_frozen", vfc_freeze_get_filesystems_frozen (freeze));
  add_number (json, "filesystems_skipped", vfc_freeze_get_filesystems_skipped (freeze));
  add_text (json, "owner", vfc_freeze_get_owner (freeze));
  add_number (json, "owner_uid", vfc_freeze_get_owner_uid (freeze));
  add_text (json, "reason", vfc_freeze_get_reason (freeze));
  add_text (json, "lifetime", vfc_freeze_get_lifetime (freeze));
  add_text (json, "scope", vfc_freeze_get_scope (freeze));
  add_text (json, "engine", vfc_freeze_get_engine (freeze));
  add_number (json, "created", vfc_freeze_get_created (freeze));
  add_number (json, "deadline", vfc_freeze_get_deadline (freeze));
}

void
model_add_freezes (JsonBuilder *json, GPtrArray *freezes)
{
  json_builder_set_member_name (json, "freezes");
  json_builder_begin_array (json);
  for (guint i = 0; i < freezes->len; i++)
    {
      json_builder_begin_object (json);
      model_add_freeze (json, g_ptr_array_index (freezes, i));
      json_builder_end_object (json);
    }
  json_builder_end_array (json);
}

char *
model_json (JsonBuilder *json, gboolean pretty)
{
  g_autoptr (JsonNode) root = json_builder_get_root (json);
  g_autofree char *text = json_to_string (root, pretty);
  g_autofree char *escaped = text_escape_json (text);

  g_object_unref (json);
  return g_strconcat (escaped, "\n", NULL);
}
