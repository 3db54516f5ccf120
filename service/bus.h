/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bus: the D-Bus objects. Translates; decides nothing about freezes.
 *
 * Each call goes: form of the request → client → authorization → look again → core → one reply.
 * Main thread only.
 */
#pragma once

#include "authority.h"
#include "registry.h"

G_BEGIN_DECLS

typedef struct _VfBus VfBus;

/* uri is shown as Manager.ConnectionUri. Objects appear as the registry's observer is told. */
VfBus *vf_bus_new (GDBusConnection *connection, VfAuthority *authority, const char *uri);
void vf_bus_free (VfBus *bus);

/* What the registry is to be made with; then give it to the bus. */
extern const VfObserver vf_bus_observer;
gboolean vf_bus_start (VfBus *bus, VfRegistry *registry, GError **error);

/* Freezes whose callers have left are released; then done. */
void vf_bus_check_owners (VfBus *bus, void (*done) (gpointer data), gpointer data);

G_END_DECLS
