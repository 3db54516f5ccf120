/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * hypervisor-libvirt: the hypervisor interface on libvirt.
 *
 * One connection for domains and their events, on whose calls nothing of a guest is ever waited
 * for; others for calls to guests. Every call that may wait runs on a worker thread. libvirt's
 * events come through the GLib main loop (gvir_event_register(), before this is made).
 */
#pragma once

#include "hypervisor.h"

G_BEGIN_DECLS

/* max_calls: calls to guests at a time, at most. */
VfHypervisor *vf_hypervisor_libvirt_new (const char *uri, guint max_calls);

G_END_DECLS
