/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * freeze: one client's freeze of a guest, from the moment it holds until its object goes.
 *
 * A plain record; lane changes it, adapters read it. Main thread only.
 */
#pragma once

#include "clock.h"
#include "config.h"

G_BEGIN_DECLS

typedef struct _VfDomain VfDomain;

typedef enum { VF_FREEZE_HELD, VF_FREEZE_THAWING, VF_FREEZE_LOST } VfFreezeState;

typedef enum {
  VF_LOST_THAWED_OUTSIDE,
  VF_LOST_RESET,
  VF_LOST_DOMAIN_STOPPED,
  VF_LOST_EXPIRED,
  VF_LOST_THAWED_BY_OTHER,
  VF_LOST_MIGRATED,
  VF_LOST_RESTORED,
  VF_LOST_GUEST_TIME_LIMIT,
} VfLostWhy;

typedef enum {
  VF_RELEASED_THAWED,
  VF_RELEASED_CALLER_VANISHED,
  VF_RELEASED_LOST,
  VF_RELEASED_SERVICE_STOPPING,
} VfReleasedWhy;

typedef struct {
  VfDomain *domain; /* a reference: a lost freeze may outlive its domain's object */
  guint64 number;
  char **disks;   /* targets asked for; empty: all */
  VfPlan *plan;   /* what it covers */
  GPtrArray *map; /* VfFilesystem*, of the guest when it was made; NULL: not told */
  guint frozen;   /* filesystems, when it was made */
  guint skipped;
  char *owner; /* unique bus name; "" for a lease whose creator left */
  guint uid;
  char *reason;
  gboolean lease;
  VfScope scope; /* never AUTO */
  VfEngine engine;
  gint64 created;       /* µs since the epoch */
  gint64 deadline;      /* boot time, µs */
  gint64 deadline_real; /* the same, in µs since the epoch, as it was when it was set */

  VfFreezeState state;
  VfLostWhy why;  /* of LOST */
  VfAlarm *alarm; /* when a lost one goes */
  gboolean gone;  /* its object is no more */

  guint64 group;   /* in the journal, while hidden */
  gboolean hidden; /* it has no object yet: not all guests of its group are frozen */
} VfFreeze;

/* All fields zero but the lists; refcounted. */
VfFreeze *vf_freeze_new (VfDomain *domain, guint64 number);
VfFreeze *vf_freeze_ref (VfFreeze *freeze);
void vf_freeze_unref (VfFreeze *freeze);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VfFreeze, vf_freeze_unref)

/* The owner is the connection that made it; of a lease, every connection of its user. */
gboolean vf_freeze_is_owner (const VfFreeze *freeze, const char *name, guint uid);

/* deadline: boot time, µs */
void vf_freeze_set_deadline (VfFreeze *freeze, gint64 deadline);

/* The words of the D-Bus interface; static. */
const char *vf_freeze_state_word (VfFreezeState state);
const char *vf_lost_word (VfLostWhy why);
const char *vf_released_word (VfReleasedWhy why);
const char *vf_scope_word (VfScope scope);
const char *vf_engine_word (VfEngine engine);

/* For people: what happened, to go behind "the freeze of domain X …". Static. */
const char *vf_lost_text (VfLostWhy why);

G_END_DECLS
