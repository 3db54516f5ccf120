/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * slots: how many calls to guests may be under way at once, and which go first.
 *
 * libvirtd has a bounded number of workers, and a call to a hung agent keeps one until it times
 * out. So that hung guests cannot keep others from being thawed, the calls are divided: of 14,
 * 8 for freezes, maps and verification; 4 more for first thaws alone, which also use free ones of
 * the 8; 2 for guests whose last call timed out. Main thread only.
 */
#pragma once

#include "hypervisor.h"

G_BEGIN_DECLS

typedef enum {
  VF_SLOT_COMMON, /* freezes, maps, verification, repeated thaws */
  VF_SLOT_FIRST_THAW,
  VF_SLOT_QUARANTINE, /* anything to a guest whose last call timed out */
} VfSlotClass;

typedef struct _VfSlots VfSlots;

/* max: all slots together, at least 3. */
VfSlots *vf_slots_new (VfHypervisor *hypervisor, guint max);
/* Calls under way go on; fewer slots take effect as they end. */
void vf_slots_set_max (VfSlots *slots, guint max);
/* No call may be under way. */
void vf_slots_free (VfSlots *slots);

/* Whether a call of this class would start at once. */
gboolean vf_slots_free_now (VfSlots *slots, VfSlotClass slot_class);

/* Takes call, and makes it as soon as its class has a free slot, in the order of arrival. */
void vf_slots_call (VfSlots *slots, VfCall *call, VfSlotClass slot_class);

/* A call that may still wait in the quarantine: its guest has a new agent. */
void vf_slots_end_quarantine (VfSlots *slots, VfCall *call, VfSlotClass slot_class);

/* Calls under way and waiting. */
guint vf_slots_busy (VfSlots *slots);

G_END_DECLS
