/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* guest-calls: one VfCall made through libvirt, on a worker thread; and what its errors mean. */
#pragma once

#include "hypervisor.h"

#include <libvirt/libvirt.h>

G_BEGIN_DECLS

/* In which run of a guest the agent's response time was set; thread-safe. */
typedef struct {
  gboolean (*is_set) (const char *uuid, int run, gpointer data);
  void (*set) (const char *uuid, int run, gpointer data);
  gpointer data;
} VfResponseTimes;

/* Blocks. Fills the answer of call. */
void vf_guest_call (virConnectPtr connection, VfCall *call, const VfResponseTimes *times);

/*
 * The error of the last call to libvirt, which took so long (µs), as the error of call: what it
 * says about the guest.
 */
void vf_guest_call_classify (VfCall *call, virConnectPtr connection, gint64 took);

/* The answer of a call that could not be made, since there was no connection. */
void vf_guest_call_unconnected (VfCall *call);

G_END_DECLS
