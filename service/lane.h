/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lane: everything that touches one guest, one call at a time.
 *
 * What is to be done follows from what is recorded (ledger, debts, requests), and is decided anew
 * after each answer of the guest, in this order: the emergency brake; thaws that are owed or due;
 * verification; the next request. So a slow guest delays only itself, a thaw goes before a freeze,
 * and a freeze asked for while the last thaw is under way waits for it.
 *
 * Main thread only. Answers may come before the function returns.
 */
#pragma once

#include "domain.h"

G_BEGIN_DECLS

/* A wish to freeze, or to read the guest's map. */
typedef struct _VfRequest VfRequest;
struct _VfRequest {
  gboolean map_only;
  char **disks;  /* targets; empty: all */
  VfScope scope; /* DISKS or DOMAIN */
  gint64 hold;   /* µs */
  gboolean lease;
  char *reason;
  char *owner; /* unique bus name */
  guint uid;
  gint64 deadline; /* boot time, µs: when the answer is due */
  /* Called exactly once. freeze is NULL on error, and for map_only; both are borrowed. */
  void (*done) (VfRequest *request, VfFreeze *freeze, const GError *error, gpointer data);
  gpointer data;

  /* Of a group (group.h), else NULL: the guest is frozen, and nobody is told of the freeze until
   * vf_lane_commit(); done tells of failures alone. */
  void (*frozen) (VfRequest *request, gpointer data);
  /* Of a group: it has failed, and is being undone; done comes when that is through. error is NULL
   * where it did not fail by itself. */
  void (*failing) (VfRequest *request, const GError *error, gpointer data);
  /* Of a group: the lane has done something; see vf_lane_is_through(). */
  void (*stepped) (VfRequest *request, gpointer data);
  guint64 group; /* its number in the journal */

  /* The lane's: */
  VfLane *lane;
  VfAlarm *alarm;
  gboolean reserved; /* counts against the limits */
  gboolean answered;
  gboolean unwanted; /* of a group that has failed: to be undone */
  VfFreeze *freeze;  /* of a group, once the guest is frozen; a reference */
};

VfRequest *vf_request_new (void);
void vf_request_free (VfRequest *request);

VfLane *vf_lane_new (VfDomain *domain);
void vf_lane_free (VfLane *lane);

/* Takes the request. A freeze asked for by a caller that has left is not for here: look first. */
void vf_lane_request (VfLane *lane, VfRequest *request);

/*
 * Of a group, in this order. Reserve: what can be refused at once; counts against the limits from
 * now on. Then vf_lane_request(). Commit: the freeze is an ordinary one from now on (returned,
 * borrowed). Cancel: whatever it did is undone, before anything else; done may be called, and have
 * no error where it had not failed by itself. Through: nothing of it can be thawed any more (but
 * may have to wait for others). Leave: the lane forgets about it.
 */
gboolean vf_lane_reserve (VfLane *lane, VfRequest *request, GError **error);
VfFreeze *vf_lane_commit (VfRequest *request);
void vf_lane_cancel (VfRequest *request);
gboolean vf_lane_is_through (VfRequest *request);
void vf_lane_leave (VfRequest *request);
/* What a caller is told where the journal cannot be written; error may be NULL. */
GError *vf_lane_journal_error (VfLane *lane, const GError *error);

typedef void (*VfAnswer) (const GError *error, gpointer data);

/* Freeze.Thaw, by the owner or (authorized) by somebody else. Answers once. */
void vf_lane_thaw (VfLane *lane, VfFreeze *freeze, gboolean by_owner, gint64 deadline,
                   VfAnswer answer, gpointer data);

/* Domain.ThawAll. Answers once. */
void vf_lane_thaw_all (VfLane *lane, gint64 deadline, VfAnswer answer, gpointer data);

/* Freeze.Renew. Answers once. */
void vf_lane_renew (VfLane *lane, VfFreeze *freeze, gint64 hold, gint64 deadline, VfAnswer answer,
                    gpointer data);

/* The caller's connection has left: its requests are dropped. Its freezes: vf_lane_owner_gone(). */
void vf_lane_drop_requests (VfLane *lane, const char *owner);
void vf_lane_owner_gone (VfLane *lane, VfFreeze *freeze);

/* The service stops: everything is released, and nothing more is frozen. */
void vf_lane_stop (VfLane *lane);

/* Whether the guest owes nothing and nothing is under way. */
gboolean vf_lane_is_settled (VfLane *lane);

/*
 * Takes up a record of the journal. hold: its freeze goes on, and is returned (borrowed, announced);
 * otherwise what it froze, or may have frozen, is thawed as soon as the guest can be reached.
 * Records with VF_PHASE_FREEZING come after all others.
 */
VfFreeze *vf_lane_adopt (VfLane *lane, const VfRecord *record, gboolean hold);

/* A guest that was saved while frozen, and whose domain may come back as another object. */
gboolean vf_lane_has_saved (VfLane *lane);
void vf_lane_take_saved (VfLane *lane, VfLane *from);
/* It began a run from saved memory. */
void vf_lane_restored (VfLane *lane);

/* What happened outside. */
void vf_lane_info_changed (VfLane *lane, const VfDomainInfo *old);
void vf_lane_event (VfLane *lane, VfEvent event);
/* libvirt no longer knows the domain. */
void vf_lane_gone (VfLane *lane);
void vf_lane_connection_changed (VfLane *lane);

typedef enum {
  VF_GUEST_THAWED,
  VF_GUEST_FREEZING,
  VF_GUEST_FROZEN,
  VF_GUEST_THAWING,
  VF_GUEST_IN_DOUBT,
} VfGuestState;

/* As last announced. */
VfGuestState vf_lane_guest_state (VfLane *lane);
const char *vf_guest_state_word (VfGuestState state);
/* µs since the epoch; 0 when thawed. */
gint64 vf_lane_frozen_since (VfLane *lane);

/* The guest's filesystems, or NULL where none are known. */
GPtrArray *vf_lane_get_map (VfLane *lane);
/* Whether a filesystem is frozen by us. */
gboolean vf_lane_is_frozen (VfLane *lane, const VfFilesystem *fs);

G_END_DECLS
