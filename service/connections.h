/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * connections: libvirt connections for calls to guests, one for each call under way.
 *
 * A call on a connection that another thread uses is not always sent at once (seen with libvirt
 * 9.0: not before something comes for the other one), so that a slow guest held up others. And
 * libvirtd serves 5 calls of a connection at a time (max_client_requests in libvirtd.conf). Used by
 * worker threads; thread-safe.
 */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>

G_BEGIN_DECLS

typedef struct _VfConnections VfConnections;

VfConnections *vf_connections_new (const char *uri);
void vf_connections_free (VfConnections *connections);

/* From now on take() gives this one: a driver inside this process has no such bound, and may keep
 * its state in the connection. A reference is taken. */
void vf_connections_share (VfConnections *connections, virConnectPtr connection);

/* Blocks where a new connection is opened. NULL: see virGetLastError(). Give it back. */
virConnectPtr vf_connections_take (VfConnections *connections);
void vf_connections_give_back (VfConnections *connections, virConnectPtr connection);

/* Opened before now are closed as soon as nothing uses them. */
void vf_connections_drop_all (VfConnections *connections);

/* Keep-alive for a connection, so that a hung libvirtd is noticed: 3 times 5 s without an answer. */
void vf_connection_keep_alive (virConnectPtr connection);

G_END_DECLS
