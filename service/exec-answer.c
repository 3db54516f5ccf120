/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "exec-answer.h"

#include <json-glib/json-glib.h>
#include <string.h>

/* --- what is said ------------------------------------------------------------------------------ */

static void
add_strings (JsonBuilder *builder, const char *name, const char *const *strings)
{
  json_builder_set_member_name (builder, name);
  json_builder_begin_array (builder);
  for (; *strings != NULL; strings++)
    json_builder_add_string_value (builder, *strings);
  json_builder_end_array (builder);
}

static JsonBuilder *
begin_command (const char *name)
{
  JsonBuilder *builder = json_builder_new ();

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "execute");
  json_builder_add_string_value (builder, name);
  return builder;
}

static char *
end_command (JsonBuilder *builder)
{
  g_autoptr (JsonNode) root = NULL;

  json_builder_end_object (builder);
  root = json_builder_get_root (builder);
  return json_to_string (root, FALSE);
}

char *
vf_exec_start_command (const char *const *argv, gboolean capture)
{
  /* Errors are told apart by their text. Its own environment may lack the folders of fsfreeze. */
  static const char *const env[]
      = { "LC_ALL=C",
          "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:"
          "/run/current-system/sw/bin",
          NULL };
  g_autoptr (JsonBuilder) builder = begin_command ("guest-exec");

  for (guint i = 0; argv[i] != NULL; i++)
    if (!g_utf8_validate (argv[i], -1, NULL))
      return NULL;
  json_builder_set_member_name (builder, "arguments");
  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "path");
  json_builder_add_string_value (builder, argv[0]);
  add_strings (builder, "arg", argv + 1);
  add_strings (builder, "env", env);
  json_builder_set_member_name (builder, "capture-output");
  json_builder_add_boolean_value (builder, capture);
  json_builder_end_object (builder);
  return end_command (builder);
}

char *
vf_exec_status_command (gint64 pid)
{
  g_autoptr (JsonBuilder) builder = begin_command ("guest-exec-status");

  json_builder_set_member_name (builder, "arguments");
  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "pid");
  json_builder_add_int_value (builder, pid);
  json_builder_end_object (builder);
  return end_command (builder);
}

char *
vf_exec_info_command (void)
{
  g_autoptr (JsonBuilder) builder = begin_command ("guest-info");

  return end_command (builder);
}

/* --- what it says back --------------------------------------------------------------------------- */

/* The object behind "return"; NULL: there is none. Borrowed from parser. */
static JsonObject *
parse_return (JsonParser *parser, const char *json)
{
  JsonNode *root, *node;

  if (!json_parser_load_from_data (parser, json, -1, NULL))
    return NULL;
  root = json_parser_get_root (parser);
  if (root == NULL || !JSON_NODE_HOLDS_OBJECT (root))
    return NULL;
  node = json_object_get_member (json_node_get_object (root), "return");
  return node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

/* A member of a type; NULL: not there, or of another. */
static JsonNode *
get_value (JsonObject *object, const char *name, GType type)
{
  JsonNode *node = json_object_get_member (object, name);

  return node != NULL && JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == type
             ? node
             : NULL;
}

static gboolean
is_true (JsonObject *object, const char *name)
{
  JsonNode *node = get_value (object, name, G_TYPE_BOOLEAN);

  return node != NULL && json_node_get_boolean (node);
}

gboolean
vf_exec_read_pid (const char *json, gint64 *pid)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonObject *object = parse_return (parser, json);
  JsonNode *node = object != NULL ? get_value (object, "pid", G_TYPE_INT64) : NULL;

  *pid = node != NULL ? json_node_get_int (node) : 0;
  return *pid > 0;
}

/* Base64, as the agent keeps it; "" where it is not told or nonsense. */
static char *
read_text (JsonObject *object, const char *name)
{
  JsonNode *node = get_value (object, name, G_TYPE_STRING);
  g_autofree guchar *data = NULL;
  gsize length = 0;

  if (node != NULL)
    data = g_base64_decode (json_node_get_string (node), &length);
  return g_strndup (data != NULL ? (const char *) data : "", MIN (length, VF_MAX_TEXT));
}

gboolean
vf_exec_read_status (const char *json, VfExecStatus *status)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonObject *object = parse_return (parser, json);
  JsonNode *code;

  *status = (VfExecStatus){ .code = -1 };
  if (object == NULL || get_value (object, "exited", G_TYPE_BOOLEAN) == NULL)
    return FALSE;
  status->exited = is_true (object, "exited");
  if (!status->exited)
    return TRUE;
  code = get_value (object, "exitcode", G_TYPE_INT64);
  if (code != NULL && json_node_get_int (code) >= 0 && json_node_get_int (code) <= G_MAXINT)
    status->code = (int) json_node_get_int (code);
  status->text = read_text (object, "err-data");
  return TRUE;
}

void
vf_exec_status_clear (VfExecStatus *status)
{
  g_clear_pointer (&status->text, g_free);
}

gboolean
vf_exec_read_enabled (const char *json, gboolean *enabled)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonObject *object = parse_return (parser, json);
  JsonNode *list = object != NULL ? json_object_get_member (object, "supported_commands") : NULL;
  gboolean start = FALSE, status = FALSE;

  if (list == NULL || !JSON_NODE_HOLDS_ARRAY (list))
    return FALSE;
  for (guint i = 0; i < json_array_get_length (json_node_get_array (list)); i++)
    {
      JsonNode *node = json_array_get_element (json_node_get_array (list), i);
      JsonNode *name = NULL;

      if (JSON_NODE_HOLDS_OBJECT (node))
        name = get_value (json_node_get_object (node), "name", G_TYPE_STRING);
      if (name == NULL || !is_true (json_node_get_object (node), "enabled"))
        continue;
      start |= g_str_equal (json_node_get_string (name), "guest-exec");
      status |= g_str_equal (json_node_get_string (name), "guest-exec-status");
    }
  *enabled = start && status;
  return TRUE;
}
