/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* virt-freeze thaw. */
#include "commands.h"

#include "model.h"

#include <string.h>

typedef struct {
  Connection *connection;
  gboolean tell; /* each freeze that is thawed: they were not named one by one */
  ExitCode code;
} Thaw;

/* The worst of all is what is told: lost before denied before failed. */
static void
note (Thaw *thaw, ExitCode code)
{
  thaw->code = MAX (thaw->code, code);
}

static void
thaw_one (Thaw *thaw, VfcFreeze *freeze, const char *domain)
{
  const char *path = g_dbus_proxy_get_object_path (G_DBUS_PROXY (freeze));
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply = connection_call (thaw->connection, freeze, "Thaw", NULL, &error);

  if (reply == NULL && error_is_gone (error))
    {
      complain ("%s: There is no such freeze, or no more", path);
      note (thaw, EXIT_FAILED);
    }
  else if (reply == NULL)
    {
      /* Whoever does not know the password is not asked for each. */
      if (error_is_denied (error))
        thaw->connection->ask = FALSE;
      note (thaw, fail (error, "%s", path));
    }
  else if (thaw->tell)
    {
      g_autofree char *line = g_strdup_printf ("%s\n", path);

      if (!output_write (line))
        note (thaw, output_failed ());
    }
  if (reply == NULL && domain != NULL && error_is_denied (error))
    complain ("It is a freeze of “%s” that somebody else made; its owner can thaw it", domain);
}

/* Of those that somebody else has lost nothing is frozen, and they are his to take note of. */
static gboolean
is_to_be_thawed (VfcFreeze *freeze)
{
  return model_is_own (freeze) || g_strcmp0 (vfc_freeze_get_state (freeze), "lost") != 0;
}

/* Own ones first: they need no authorization. */
static void
thaw_all (Thaw *thaw, GDBusObjectManager *objects, const char *domain)
{
  g_autoptr (GPtrArray) freezes = model_freezes (objects, domain);

  for (int others = 0; others <= 1; others++)
    for (guint i = 0; i < freezes->len; i++)
      {
        VfcFreeze *freeze = g_ptr_array_index (freezes, i);
        g_autofree char *name = model_freeze_domain_name (objects, freeze);

        if (is_to_be_thawed (freeze) && model_is_own (freeze) == !others)
          thaw_one (thaw, freeze, name);
      }
}

static void
thaw_domain (Thaw *thaw, GDBusObjectManager *objects, const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (VfcDomain) domain = connection_get_domain (thaw->connection, name, &error);

  if (domain == NULL)
    note (thaw, fail (error, NULL));
  else
    thaw_all (thaw, objects, g_dbus_proxy_get_object_path (G_DBUS_PROXY (domain)));
}

/* The path of a freeze by its number alone, or NULL. */
static char *
find_number (GDBusObjectManager *objects, const char *number)
{
  g_autoptr (GPtrArray) freezes = model_freezes (objects, NULL);
  guint64 wanted;

  if (!g_ascii_string_to_unsigned (number, 10, 0, G_MAXUINT64, &wanted, NULL))
    return NULL;
  for (guint i = 0; i < freezes->len; i++)
    {
      const char *path
          = g_dbus_proxy_get_object_path (G_DBUS_PROXY (g_ptr_array_index (freezes, i)));

      if (model_number (path) == wanted)
        return g_strdup (path);
    }
  return NULL;
}

static void
thaw_path (Thaw *thaw, GDBusObjectManager *objects, const char *word)
{
  g_autofree char *path = find_number (objects, word);
  g_autoptr (GError) error = NULL;
  g_autoptr (VfcFreeze) freeze = NULL;

  if (path == NULL)
    path = g_strdup (word);
  if (!g_variant_is_object_path (path) || !g_str_has_prefix (path, SERVICE_ROOT "/domain/")
      || strstr (path, "/freeze/") == NULL)
    {
      complain ("“%s” is neither the path of a freeze nor the number of one that there is", word);
      note (thaw, EXIT_FAILED);
      return;
    }
  freeze = connection_get_freeze (thaw->connection, path, &error);
  if (freeze == NULL)
    note (thaw, fail (error, "%s", path));
  else
    thaw_one (thaw, freeze, NULL);
}

static void
force (Thaw *thaw, const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (VfcDomain) domain = connection_get_domain (thaw->connection, name, &error);
  g_autoptr (GVariant) reply
      = domain != NULL ? connection_call (thaw->connection, domain, "ThawAll", NULL, &error) : NULL;

  if (reply == NULL)
    note (thaw, fail (error, NULL));
}

ExitCode
command_thaw (const Options *options)
{
  g_auto (Connection) connection = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (GDBusObjectManager) objects = NULL;
  Thaw thaw = { &connection, options->rest[0] == NULL, EXIT_DONE };

  if (!connection_open (&connection, options, NULL, &error))
    return fail (error, NULL);
  if (options->force)
    {
      force (&thaw, ((Request *) g_ptr_array_index (options->requests, 0))->domain);
      return thaw.code;
    }
  objects = connection_get_objects (&connection, &error);
  if (objects == NULL)
    return fail (error, NULL);
  if (options->all)
    thaw_all (&thaw, objects, NULL);
  for (guint i = 0; i < options->requests->len; i++)
    thaw_domain (&thaw, objects, ((Request *) g_ptr_array_index (options->requests, i))->domain);
  for (char **word = options->rest; *word != NULL; word++)
    thaw_path (&thaw, objects, *word);
  return thaw.code;
}
