/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "connections.h"

#include <libvirt/virterror.h>

typedef struct {
  virConnectPtr connection;
  guint calls;
  gboolean shared; /* without bound */
  gboolean stale;
} Entry;

struct _VfConnections {
  GMutex lock;
  char *uri;
  GPtrArray *entries; /* Entry* */
};

VfConnections *
vf_connections_new (const char *uri)
{
  VfConnections *connections = g_new0 (VfConnections, 1);

  g_mutex_init (&connections->lock);
  connections->uri = g_strdup (uri);
  connections->entries = g_ptr_array_new_with_free_func (g_free);
  return connections;
}

void
vf_connections_free (VfConnections *connections)
{
  vf_connections_drop_all (connections);
  g_ptr_array_unref (connections->entries);
  g_free (connections->uri);
  g_mutex_clear (&connections->lock);
  g_free (connections);
}

void
vf_connection_keep_alive (virConnectPtr connection)
{
  /* Drivers inside this process have none, and need none. */
  if (virConnectSetKeepAlive (connection, 5, 3) < 0)
    virResetLastError ();
}

static void
add_entry (VfConnections *connections, virConnectPtr connection, gboolean shared)
{
  Entry *entry = g_new0 (Entry, 1);

  entry->connection = connection;
  entry->calls = shared ? 0 : 1;
  entry->shared = shared;
  g_mutex_lock (&connections->lock);
  g_ptr_array_add (connections->entries, entry);
  g_mutex_unlock (&connections->lock);
}

void
vf_connections_share (VfConnections *connections, virConnectPtr connection)
{
  virConnectRef (connection);
  add_entry (connections, connection, TRUE);
}

virConnectPtr
vf_connections_take (VfConnections *connections)
{
  virConnectPtr connection = NULL;

  g_mutex_lock (&connections->lock);
  for (guint i = 0; i < connections->entries->len && connection == NULL; i++)
    {
      Entry *entry = g_ptr_array_index (connections->entries, i);

      if (!entry->shared && entry->calls > 0)
        continue;
      /* What is known here already; nothing is sent. */
      entry->stale |= virConnectIsAlive (entry->connection) != 1;
      if (entry->stale)
        continue;
      entry->calls++;
      connection = entry->connection;
    }
  g_mutex_unlock (&connections->lock);
  if (connection != NULL)
    return connection;

  connection = virConnectOpen (connections->uri);
  if (connection == NULL)
    return NULL;
  vf_connection_keep_alive (connection);
  add_entry (connections, connection, FALSE);
  return connection;
}

static void
close_unused (VfConnections *connections)
{
  g_autoptr (GPtrArray) unused = g_ptr_array_new ();

  g_mutex_lock (&connections->lock);
  for (guint i = connections->entries->len; i-- > 0;)
    {
      Entry *entry = g_ptr_array_index (connections->entries, i);

      if (!entry->stale || entry->calls > 0)
        continue;
      g_ptr_array_add (unused, entry->connection);
      g_ptr_array_remove_index_fast (connections->entries, i);
    }
  g_mutex_unlock (&connections->lock);
  for (guint i = 0; i < unused->len; i++)
    virConnectClose (g_ptr_array_index (unused, i));
}

void
vf_connections_give_back (VfConnections *connections, virConnectPtr connection)
{
  gboolean alive = virConnectIsAlive (connection) == 1;

  g_mutex_lock (&connections->lock);
  for (guint i = 0; i < connections->entries->len; i++)
    {
      Entry *entry = g_ptr_array_index (connections->entries, i);

      if (entry->connection != connection)
        continue;
      entry->calls--;
      entry->stale |= !alive;
    }
  g_mutex_unlock (&connections->lock);
  close_unused (connections);
}

void
vf_connections_drop_all (VfConnections *connections)
{
  g_mutex_lock (&connections->lock);
  for (guint i = 0; i < connections->entries->len; i++)
    ((Entry *) g_ptr_array_index (connections->entries, i))->stale = TRUE;
  g_mutex_unlock (&connections->lock);
  close_unused (connections);
}
