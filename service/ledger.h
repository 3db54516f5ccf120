/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ledger: who holds which filesystems of one guest, and what to freeze or thaw next.
 *
 * Pure: no I/O, no clock, no bus; main thread only. Strings passed in are copied.
 *
 * A hold is one client's freeze. Each filesystem (guest device) has a count of the holds that
 * cover it; it is to be frozen when its count leaves 0 and to be thawed when it returns to 0.
 * What the guest can do is an input (VfAbilities). A "period" is the time from the first
 * filesystem frozen to the last one thawed.
 *
 * How it is used:
 *
 *   vf_ledger_set_map()      when the guest has told its filesystems, before a freeze
 *   vf_ledger_plan()         what does this request cover, and what has to be frozen for it?
 *   (the caller freezes)
 *   vf_ledger_commit()       the guest answered: record the hold
 *   vf_ledger_release()      the hold has ended
 *   vf_ledger_plan_thaw()    what can and must be thawed now?
 *   (the caller thaws)
 *   vf_ledger_thawed()       it did
 */
#pragma once

#include "filesystem.h"

G_BEGIN_DECLS

typedef enum { VF_SCOPE_AUTO, VF_SCOPE_DISKS, VF_SCOPE_DOMAIN } VfScope;

/* What the engine can do while some filesystems of the guest are frozen. */
typedef struct {
  gboolean grow;      /* freeze more */
  gboolean thaw_part; /* thaw some */
} VfAbilities;

typedef struct _VfLedger VfLedger;

VfLedger *vf_ledger_new (void);
void vf_ledger_free (VfLedger *ledger);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VfLedger, vf_ledger_free)

/*
 * The guest's filesystems, and the domain's disk targets, both as they were when the guest was
 * asked. map (a reference is taken) is NULL where the guest does not tell: then only scope
 * "domain" works. May be called during a period only where the engine can grow; without that
 * ability the map from before the period stays in force.
 */
void vf_ledger_set_map (VfLedger *ledger, GPtrArray *map, const char *const *targets);

/* The map in force; NULL where there is none. Borrowed. */
GPtrArray *vf_ledger_get_map (VfLedger *ledger);

/*
 * The domain has just these disks now. One that was detached is forgotten: another one attached
 * later under the same target was never frozen in this period, and asking for it is a Conflict.
 */
void vf_ledger_keep_targets (VfLedger *ledger, const char *const *now_targets);

/* What a request covers and what has to be frozen for it. */
typedef struct {
  gboolean whole;      /* the guest as a whole, since it does not tell its filesystems */
  GPtrArray *covers;   /* char*: guest devices; empty if whole */
  gboolean freeze_all; /* freeze with one plain call, without naming mountpoints */
  GPtrArray *freeze;   /* VfFilesystem*, owned: what is to be frozen. Where
                          * freeze_all is FALSE and this is empty, nothing: all is frozen. */
  gboolean everything; /* asked: every filesystem of the guest, whatever they are */
} VfPlan;

void vf_plan_free (VfPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VfPlan, vf_plan_free)

/* Whether the guest must be asked to freeze something. */
gboolean vf_plan_needs_freeze (const VfPlan *plan);

/*
 * Decides. targets: the disks asked for (NULL or empty: every filesystem). scope: DISKS or DOMAIN.
 *
 * VF_SCOPE_DISKS: the filesystems with at least one of the disks below them.
 * VF_SCOPE_DOMAIN: every filesystem, whatever disks are named.
 * A plain call (freeze_all) is planned where nothing is frozen and every filesystem is asked for
 * or the scope is DOMAIN, since it also catches what was mounted after the map was made.
 *
 * Errors: VF_ERROR_NOT_MAPPED (scope disks: no map; or no filesystem names a disk that was asked
 * for while some filesystem names no disk), VF_ERROR_NOTHING_TO_FREEZE (no filesystem is covered,
 * or all that are have been tried in this period and are not known to be frozen, unless that is
 * all filesystems and some did freeze), VF_ERROR_CONFLICT (something
 * asked for is not frozen, or a disk asked for was attached since, and the engine cannot grow; for
 * "every filesystem", any disk attached since counts).
 *
 * now_targets: the domain's disks now. A disk is "attached since" when it is in now_targets and
 * not among those given with the map (or was forgotten). Only looked at during a period.
 */
VfPlan *vf_ledger_plan (VfLedger *ledger, const char *const *targets, VfScope scope,
                        VfAbilities abilities, const char *const *now_targets, GError **error);

/*
 * The guest froze: count is the number of filesystems that it says it froze (ignored unless
 * vf_plan_needs_freeze()). Records the hold id (unused so far).
 *
 * Of plan->freeze, with "must" filesystems of types that must freeze and "may" others:
 *   count < must             VF_ERROR_INCOMPLETE
 *   count == must            the others are skipped
 *   count >= must + may      all are frozen (more: mounted since the map was made)
 *   in between               the others count as skipped: it is not known which of them froze
 *   no must, all opaque, 0   VF_ERROR_INCOMPLETE
 *   no must, 0               VF_ERROR_NOTHING_TO_FREEZE, unless the hold also covers something
 *                            that is frozen already
 * Without a map: 0 is VF_ERROR_INCOMPLETE.
 * On an error nothing is recorded, and what was frozen has to be thawed by the caller.
 */
gboolean vf_ledger_commit (VfLedger *ledger, guint64 id, const VfPlan *plan, guint count,
                           GError **error);

/*
 * The same where each result is known: frozen (VfFilesystem*) are those of plan->freeze that froze.
 * One of a type that must and is not among them: VF_ERROR_INCOMPLETE. The others are skipped, and
 * tried again by a later freeze.
 */
gboolean vf_ledger_commit_known (VfLedger *ledger, guint64 id, const VfPlan *plan,
                                 GPtrArray *frozen, GError **error);

/* The hold has ended; unknown ids are ignored. What it leaves at 0 shows in plan_thaw. */
void vf_ledger_release (VfLedger *ledger, guint64 id);

/* Forgets every hold and every frozen filesystem: the guest is known to be thawed (or gone). */
void vf_ledger_clear (VfLedger *ledger);

/* How many filesystems of a hold are frozen and how many were skipped: for a hold on all of them
 * by the guest's count, else those known to be frozen. */
void vf_ledger_hold_counts (VfLedger *ledger, guint64 id, guint *frozen, guint *skipped);

/* Whether a device is frozen by us now. */
gboolean vf_ledger_is_frozen (VfLedger *ledger, const char *device);

/* A filesystem that is in the map, or frozen; NULL: there is none of that device. Borrowed. */
VfFilesystem *vf_ledger_find (VfLedger *ledger, const char *device);

/* Whether anything that plan covers is frozen, or was tried. */
gboolean vf_ledger_is_any_tried (VfLedger *ledger, const VfPlan *plan);

/* VfFilesystem*: those that are frozen, or were tried. Owned. */
GPtrArray *vf_ledger_list_tried (VfLedger *ledger);

/* Number of holds that cover a device; for tests and for people. */
guint vf_ledger_count (VfLedger *ledger, const char *device);

/* Whether anything is frozen (a period is on), and whether any hold is recorded. */
gboolean vf_ledger_in_period (VfLedger *ledger);
gboolean vf_ledger_has_holds (VfLedger *ledger);

/* --- over restarts --------------------------------------------------------------------------- */

/* All that the ledger knows for the sake of one hold. */
typedef struct {
  gboolean whole;
  char **covers;  /* devices */
  char **tried;   /* of those: part of a freeze of this period */
  char **frozen;  /* of those: known to be frozen */
  GPtrArray *map; /* VfFilesystem*, of the guest; NULL where it does not tell */
  char **targets; /* the disks that the map knows of */
  guint reported; /* filesystems frozen in this period by the guest's count */
} VfLedgerState;

/* plan: of a hold, or (before the guest answers) of one to be: then all that it freezes is tried. */
void vf_ledger_save (VfLedger *ledger, const VfPlan *plan, gboolean to_be, VfLedgerState *state);
void vf_ledger_state_clear (VfLedgerState *state);

/*
 * Takes up what an earlier process has saved: first for each hold in turn, then the period goes on.
 * id 0: what it froze is frozen, but nobody holds it. Returns its plan (owned).
 */
VfPlan *vf_ledger_adopt (VfLedger *ledger, guint64 id, const VfLedgerState *state);

/* Whether something that plan covers is frozen for nobody any more. */
gboolean vf_ledger_owes (VfLedger *ledger, const VfPlan *plan);

/* --- thawing ---------------------------------------------------------------------------------- */

/* What to thaw. */
typedef struct {
  gboolean all;    /* one plain call: thaws the guest */
  GPtrArray *thaw; /* VfFilesystem*, owned: name their mountpoints, unless all */
  guint expected;  /* how many filesystems were frozen: a first thaw that says fewer proves
                         * that the freeze was broken */
} VfThawPlan;

void vf_thaw_plan_free (VfThawPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VfThawPlan, vf_thaw_plan_free)

/*
 * What can be thawed now: everything tried in this period, once no hold is left; else, where the
 * engine can thaw a part, the filesystems whose count is 0. NULL: nothing, or nothing yet.
 */
VfThawPlan *vf_ledger_plan_thaw (VfLedger *ledger, VfAbilities abilities);

/* Whether a thaw of this plan touches anything of what was covered by a freeze plan. */
gboolean vf_thaw_plan_touches (const VfThawPlan *thaw, const VfPlan *plan);

/* The guest was thawed by this plan. */
void vf_ledger_thawed (VfLedger *ledger, const VfThawPlan *plan);

G_END_DECLS
