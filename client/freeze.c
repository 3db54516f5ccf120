/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* virt-freeze freeze: a lease, that others thaw. */
#include "commands.h"

#include "freezes.h"
#include "model.h"

static char *
describe (Connection *connection, GStrv paths)
{
  g_autofree char *lines = NULL;
  JsonBuilder *json;

  if (!connection->options->json)
    {
      lines = g_strjoinv ("\n", paths);
      return g_strconcat (lines, "\n", NULL);
    }
  json = json_builder_new ();
  json_builder_begin_array (json);
  for (char **path = paths; *path != NULL; path++)
    {
      g_autoptr (VfcFreeze) freeze = connection_get_freeze (connection, *path, NULL);

      json_builder_begin_object (json);
      if (freeze != NULL)
        model_add_freeze (json, freeze);
      json_builder_end_object (json);
    }
  json_builder_end_array (json);
  return model_json (json, FALSE);
}

/* Nobody got to know of them. */
static void
give_up (Connection *connection, GStrv paths)
{
  for (char **path = paths; *path != NULL; path++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (VfcFreeze) freeze = connection_get_freeze (connection, *path, &error);
      g_autoptr (GVariant) reply
          = freeze != NULL ? connection_call (connection, freeze, "Thaw", NULL, &error) : NULL;

      if (reply == NULL)
        fail (error, "%s could not be thawed", *path);
    }
  complain ("What was frozen is thawed again, since its path cannot be printed");
}

ExitCode
command_freeze (const Options *options)
{
  g_auto (Connection) connection = { 0 };
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) paths = NULL;
  g_autofree char *text = NULL;

  if (!connection_open (&connection, options, NULL, &error)
      || (paths = freezes_make (&connection, "lease", &error)) == NULL)
    return fail (error, NULL);
  text = describe (&connection, paths);
  if (output_write (text))
    return EXIT_DONE;
  give_up (&connection, paths);
  return EXIT_FAILED;
}
