/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ledger-reference: what the ledger has to answer, computed in the most naive way.
 *
 * Filesystems and disks are numbers, sets are bit masks, and every answer is computed anew from
 * the list of holds and the two sets of what was tried and what froze.
 */
#pragma once

#include "error.h"
#include "ledger.h"

G_BEGIN_DECLS

#define REF_MAX_FS 8
#define REF_MAX_HOLDS 8

typedef guint32 RefSet; /* bit n: filesystem n, or disk n */

/* OPAQUE: its type says nothing. MAY: it may or may not freeze. */
typedef enum { REF_MUST, REF_MAY, REF_OPAQUE } RefKind;

typedef struct {
  guint64 id; /* 0: a free place */
  gboolean whole;
  RefSet covers;
} RefHold;

typedef struct {
  /* the guest's filesystems */
  RefKind kinds[REF_MAX_FS];
  RefSet disks[REF_MAX_FS];
  /* the map */
  gboolean has_map;
  RefSet listed;
  RefSet known_disks;
  /* who holds what */
  RefHold holds[REF_MAX_HOLDS];
  /* the period */
  RefSet tried, frozen;
  gboolean whole_tried;
  guint reported; /* filesystems that the guest said it froze, less those thawed since */
} Reference;

typedef struct {
  guint errors; /* bit n: VfError n is a right answer; 0: the plan is the answer */
  gboolean whole, freeze_all, everything;
  RefSet covers, freeze;
} RefPlan;

typedef struct {
  gboolean any; /* FALSE: nothing to thaw now */
  gboolean all;
  RefSet thaw;
} RefThawPlan;

guint ref_set_size (RefSet set);

void ref_set_map (Reference *ref, gboolean has_map, RefSet listed, RefSet known_disks);
void ref_forget_disk (Reference *ref, guint disk);
RefPlan ref_plan (const Reference *ref, RefSet asked, VfScope scope, VfAbilities abilities,
                  RefSet now_disks);
/* The error as a set of bits as above; 0: recorded. */
guint ref_commit (Reference *ref, guint64 id, const RefPlan *plan, guint count);
void ref_release (Reference *ref, guint64 id);
void ref_clear (Reference *ref);
RefThawPlan ref_plan_thaw (const Reference *ref, VfAbilities abilities);
gboolean ref_thaw_touches (const RefThawPlan *thaw, const RefPlan *plan);
void ref_thawed (Reference *ref, const RefThawPlan *plan);

guint ref_n_holds (const Reference *ref);
guint ref_count (const Reference *ref, guint fs);
gboolean ref_in_period (const Reference *ref);
void ref_hold_counts (const Reference *ref, guint64 id, guint *frozen, guint *skipped);

G_END_DECLS
