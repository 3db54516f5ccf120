/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "clients.h"

typedef struct {
  void (*found) (VfClient *, gpointer);
  gpointer data;
} Waiter;

typedef struct {
  VfClient *client;
  gboolean known;  /* the uid has been told */
  GArray *waiters; /* Waiter, until it is known */
} Entry;

struct _VfClients {
  GDBusConnection *connection;
  GCancellable *cancel;
  GHashTable *entries; /* name → Entry */
  guint watch;
  void (*gone) (VfClient *, gpointer);
  gpointer data;
};

VfClient *
vf_client_ref (VfClient *client)
{
  return g_rc_box_acquire (client);
}

static void
client_clear (gpointer data)
{
  g_free (((VfClient *) data)->name);
}

void
vf_client_unref (VfClient *client)
{
  g_rc_box_release_full (client, client_clear);
}

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  g_array_unref (entry->waiters);
  vf_client_unref (entry->client);
  g_free (entry);
}

VfClients *
vf_clients_new (GDBusConnection *connection, void (*gone) (VfClient *, gpointer), gpointer data)
{
  VfClients *clients = g_new0 (VfClients, 1);

  clients->connection = g_object_ref (connection);
  clients->cancel = g_cancellable_new ();
  clients->entries = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, entry_free);
  clients->gone = gone;
  clients->data = data;
  return clients;
}

void
vf_clients_free (VfClients *clients)
{
  g_cancellable_cancel (clients->cancel);
  g_object_unref (clients->cancel);
  if (clients->watch != 0)
    g_dbus_connection_signal_unsubscribe (clients->connection, clients->watch);
  g_hash_table_unref (clients->entries);
  g_object_unref (clients->connection);
  g_free (clients);
}

static void
answer_waiters (Entry *entry, VfClient *client)
{
  g_autoptr (GArray) waiters = entry->waiters;

  entry->waiters = g_array_new (FALSE, FALSE, sizeof (Waiter));
  for (guint i = 0; i < waiters->len; i++)
    {
      Waiter *waiter = &g_array_index (waiters, Waiter, i);
      waiter->found (client, waiter->data);
    }
}

static void
left (VfClients *clients, const char *name)
{
  Entry *entry = g_hash_table_lookup (clients->entries, name);
  g_autoptr (VfClient) client = NULL;

  if (entry == NULL)
    return;
  client = vf_client_ref (entry->client);
  client->gone = TRUE;
  g_hash_table_steal (clients->entries, name);
  answer_waiters (entry, NULL);
  if (entry->known)
    clients->gone (client, clients->data);
  entry_free (entry);
}

static void
on_owner_changed (GDBusConnection *connection G_GNUC_UNUSED, const char *sender G_GNUC_UNUSED,
                  const char *path G_GNUC_UNUSED, const char *interface G_GNUC_UNUSED,
                  const char *signal G_GNUC_UNUSED, GVariant *parameters, gpointer data)
{
  const char *name, *old_owner, *new_owner;

  g_variant_get (parameters, "(&s&s&s)", &name, &old_owner, &new_owner);
  if (*new_owner == '\0')
    left (data, name);
}

/*
 * One rule for all names that leave: a rule for each caller would meet the bus's limit of rules
 * for a connection (max_match_rules_per_connection, 512 on the system bus), and GDBus does not say
 * when one is refused, so that some callers would not be missed.
 */
gboolean
vf_clients_watch (VfClients *clients, GError **error)
{
  g_autoptr (GVariant) reply = g_dbus_connection_call_sync (
      clients->connection, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
      "AddMatch",
      g_variant_new ("(s)", "type='signal',sender='org.freedesktop.DBus',"
                            "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg2=''"),
      NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, error);

  if (reply == NULL)
    return FALSE;
  clients->watch = g_dbus_connection_signal_subscribe (
      clients->connection, "org.freedesktop.DBus", "org.freedesktop.DBus", "NameOwnerChanged",
      "/org/freedesktop/DBus", NULL, G_DBUS_SIGNAL_FLAGS_NO_MATCH_RULE, on_owner_changed, clients,
      NULL);
  return TRUE;
}

typedef struct {
  VfClients *clients;
  char *name;
} Asked;

static void
on_uid (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autofree Asked *asked = data;
  g_autofree char *name = asked->name;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply
      = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);
  Entry *entry;

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return; /* clients may be freed */
  if (reply == NULL)
    {
      /* Most often it has left already; whoever cannot be identified gets nothing either way. */
      left (asked->clients, name);
      return;
    }
  entry = g_hash_table_lookup (asked->clients->entries, name);
  if (entry == NULL)
    return;
  g_variant_get (reply, "(u)", &entry->client->uid);
  entry->known = TRUE;
  answer_waiters (entry, entry->client);
}

void
vf_clients_get (VfClients *clients, const char *name,
                void (*found) (VfClient *client, gpointer data), gpointer data)
{
  Entry *entry = g_hash_table_lookup (clients->entries, name);
  Waiter waiter = { found, data };
  Asked *asked;

  if (entry != NULL && entry->known)
    {
      found (entry->client, data);
      return;
    }
  if (entry != NULL)
    {
      g_array_append_val (entry->waiters, waiter);
      return;
    }
  entry = g_new0 (Entry, 1);
  entry->client = g_rc_box_new0 (VfClient);
  entry->client->name = g_strdup (name);
  entry->waiters = g_array_new (FALSE, FALSE, sizeof (Waiter));
  g_array_append_val (entry->waiters, waiter);
  g_hash_table_insert (clients->entries, entry->client->name, entry);
  /* The watch is older than this question: who leaves after it was answered is told of by the
   * watch, who left before makes it fail. */
  asked = g_new (Asked, 1);
  *asked = (Asked){ clients, g_strdup (name) };
  g_dbus_connection_call (clients->connection, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                          "org.freedesktop.DBus", "GetConnectionUnixUser",
                          g_variant_new ("(s)", name), G_VARIANT_TYPE ("(u)"),
                          G_DBUS_CALL_FLAGS_NO_AUTO_START, -1, clients->cancel, on_uid, asked);
}
