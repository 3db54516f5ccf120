/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvirt-events: libvirt's events of one connection, in the words of the hypervisor interface.
 *
 * Made and freed on a worker thread (both ask libvirtd); tells on the main thread.
 */
#pragma once

#include "hypervisor.h"

#include <libvirt/libvirt.h>

G_BEGIN_DECLS

typedef struct {
  void (*event) (const char *uuid, VfEvent event, gpointer data);
  /* Look at the domain again: something of it changed. */
  void (*changed) (const char *uuid, gpointer data);
  void (*closed) (virConnectPtr connection, gpointer data);
} VfLibvirtEventFuncs;

typedef struct _VfLibvirtEvents VfLibvirtEvents;

/* NULL: see virGetLastError(). Until vf_libvirt_events_replay(), "changed" is only noted. */
VfLibvirtEvents *vf_libvirt_events_new (virConnectPtr connection, const VfLibvirtEventFuncs *funcs,
                                        gpointer data);
void vf_libvirt_events_replay (VfLibvirtEvents *events);
/* On the main thread: nothing is told from now on. To be called before it is given away. */
void vf_libvirt_events_silence (VfLibvirtEvents *events);
void vf_libvirt_events_free (VfLibvirtEvents *events);

G_END_DECLS
