/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* guest-calls: one VfCall made through libvirt, on a worker thread; and what its errors mean. */
#pragma once

#include "hypervisor.h"

#include <libvirt/libvirt.h>

G_BEGIN_DECLS

/* Whether the agent's response time is still to be set in this run of the guest; thread-safe. */
typedef gboolean (*VfFirstCall) (const char *uuid, int run, gpointer data);

/* Blocks. Fills the answer of call. */
void vf_guest_call (virConnectPtr connection, VfCall *call, VfFirstCall first_call, gpointer data);

/* The answer of a call that could not be made, since there was no connection. */
void vf_guest_call_unconnected (VfCall *call);

G_END_DECLS
