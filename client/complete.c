/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* virt-freeze _complete: words for the shells' completion, a line each.
 *
 *   domains         names of domains
 *   disks DOMAIN    targets
 *   freezes         paths
 *
 * Says nothing of what goes wrong: nobody asked. */
#include "commands.h"

#include "model.h"

static void
add_line (GString *out, const char *line)
{
  if (line != NULL)
    g_string_append_printf (out, "%s\n", line);
}

static void
add_disks (Connection *connection, const char *name, GString *out)
{
  g_autoptr (VfcDomain) domain = connection_get_domain (connection, name, NULL);
  const char *const *disk = domain != NULL ? vfc_domain_get_disks (domain) : NULL;

  for (; disk != NULL && *disk != NULL; disk++)
    add_line (out, *disk);
}

static void
add_domains (GDBusObjectManager *objects, GString *out)
{
  g_autoptr (GPtrArray) domains = model_domains (objects);

  for (guint i = 0; i < domains->len; i++)
    add_line (out, vfc_domain_get_name (g_ptr_array_index (domains, i)));
}

static void
add_freezes (GDBusObjectManager *objects, GString *out)
{
  g_autoptr (GPtrArray) freezes = model_freezes (objects, NULL);

  for (guint i = 0; i < freezes->len; i++)
    add_line (out, g_dbus_proxy_get_object_path (g_ptr_array_index (freezes, i)));
}

ExitCode
command_complete (const Options *options)
{
  const char *what = options->rest[0] != NULL ? options->rest[0] : "";
  g_auto (Connection) connection = { 0 };
  g_autoptr (GDBusObjectManager) objects = NULL;
  g_autoptr (GString) out = g_string_new (NULL);

  if (!connection_open (&connection, options, NULL, NULL))
    return EXIT_FAILED;
  if (g_str_equal (what, "disks") && options->rest[1] != NULL)
    add_disks (&connection, options->rest[1], out);
  else if ((objects = connection_get_objects (&connection, NULL)) == NULL)
    return EXIT_FAILED;
  else if (g_str_equal (what, "domains"))
    add_domains (objects, out);
  else if (g_str_equal (what, "freezes"))
    add_freezes (objects, out);
  return output_write (out->str) ? EXIT_DONE : EXIT_FAILED;
}
