/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * clients: those who have called, one object each, watched until they leave the bus.
 *
 * Main thread only.
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _VfClients VfClients;

/* Refcounted; stays the same as long as the connection is on the bus. */
typedef struct {
  char *name; /* unique bus name */
  guint uid;
  gboolean gone;
} VfClient;

VfClient *vf_client_ref (VfClient *client);
void vf_client_unref (VfClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VfClient, vf_client_unref)

/* gone is called once for each client that leaves; client->gone is set then. */
VfClients *vf_clients_new (GDBusConnection *connection, void (*gone) (VfClient *, gpointer),
                           gpointer data);
/* Blocks for one call to the bus; to be called before the first vf_clients_get(). */
gboolean vf_clients_watch (VfClients *clients, GError **error);
void vf_clients_free (VfClients *clients);

/*
 * The client behind a unique name, watched from now on. client is NULL where it has left already.
 * found is called once, before this returns where the client is known.
 */
void vf_clients_get (VfClients *clients, const char *name,
                     void (*found) (VfClient *client, gpointer data), gpointer data);

G_END_DECLS
