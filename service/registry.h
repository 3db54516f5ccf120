/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * registry: all domains. Listens to the hypervisor and passes on what it tells. Main thread only.
 */
#pragma once

#include "domain.h"

G_BEGIN_DECLS

typedef struct _VfRegistry VfRegistry;

/* hypervisor, clock and journal must outlive the registry; nothing starts before
 * vf_registry_start(). */
VfRegistry *vf_registry_new (VfHypervisor *hypervisor, VfClock *clock, VfConfig *config,
                             const VfObserver *observer, gpointer observer_data);

/* Before vf_registry_recover(). uri: of libvirt; bus_id: of the bus that owners are on. */
void vf_registry_set_journal (VfRegistry *registry, VfJournal *journal, const char *uri,
                              const char *bus_id);

/*
 * Takes up what an earlier process left, before libvirt is asked. adopt: freezes that may go on do
 * (the caller has yet to see which owners are still there); otherwise all of them are thawed.
 */
void vf_registry_recover (VfRegistry *registry, gboolean adopt);
void vf_registry_free (VfRegistry *registry);

/* attempted is called once, when the domains are listed or the first connection has failed. */
void vf_registry_start (VfRegistry *registry, void (*attempted) (gpointer data), gpointer data);

/* New settings: for requests from now on. */
void vf_registry_configure (VfRegistry *registry, VfConfig *config);

VfConfig *vf_registry_get_config (VfRegistry *registry);
gboolean vf_registry_is_connected (VfRegistry *registry);

/* What has the form of a UUID is one. Error: UNKNOWN_DOMAIN or DISCONNECTED. Borrowed. */
VfDomain *vf_registry_find (VfRegistry *registry, const char *name_or_uuid, GError **error);

void vf_registry_foreach_domain (VfRegistry *registry, void (*func) (VfDomain *, gpointer),
                                 gpointer data);
void vf_registry_foreach_freeze (VfRegistry *registry, void (*func) (VfFreeze *, gpointer),
                                 gpointer data);

/* Asks libvirt for the domain anew; then done (which may run before this returns). */
void vf_registry_refresh (VfRegistry *registry, VfDomain *domain, void (*done) (gpointer data),
                          gpointer data);

/* A connection has left the bus: what it asked for and what it held is released. */
void vf_registry_owner_gone (VfRegistry *registry, const char *owner);

/* Releases everything and freezes nothing more; done, once, when every guest is thawed. */
void vf_registry_stop (VfRegistry *registry, void (*done) (gpointer data), gpointer data);

G_END_DECLS
