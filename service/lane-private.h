/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state of a lane, shared by lane.c (order of work, events), lane-freeze.c (requests) and
 * lane-thaw.c (thaws, verification). Nobody else includes this.
 */
#pragma once

#include "error.h"
#include "lane.h"

typedef enum {
  STEP_IDLE,
  STEP_MAP, /* of the current request */
  STEP_PROBE,
  STEP_FREEZE,
  STEP_THAW,
  STEP_VERIFY,
} Step;

/* Somebody waits for the guest to be thawed (Freeze.Thaw, Domain.ThawAll). */
typedef struct {
  VfLane *lane;
  GPtrArray *list; /* the list that it is in; borrowed */
  VfAlarm *alarm;  /* FreezeTimeout */
  VfAnswer answer;
  gpointer data;
} Waiter;

/*
 * An ending that is not through yet: of a freeze by its owner's Thaw (freeze is set, and in state
 * thawing), or just somebody else waiting for the guest to follow the freeze that he ended.
 */
typedef struct {
  VfFreeze *freeze;   /* or NULL: ended by somebody else, or its object has gone meanwhile */
  VfFreeze *about;    /* whose filesystems matter */
  gboolean by_owner;  /* who is to learn whether it held */
  GPtrArray *waiters; /* Waiter* */
  gboolean verifying; /* the verification under way is for it, too */
} Settle;

struct _VfLane {
  VfDomain *domain; /* the owner */
  VfWorld *world;
  VfLedger *ledger;

  Step step;
  gboolean busy_stepping;
  guint epoch;      /* counts how often the guest has lost its freezes by itself (reset, stopped) */
  guint call_epoch; /* as it was when the call under way was made */
  VfCall *call;     /* the one under way, or waiting for a slot; borrowed */
  VfSlotClass call_class;

  /* requests */
  GQueue requests;    /* VfRequest*, waiting */
  VfRequest *current; /* whose call is under way */
  char **map_targets; /* the domain's disks when the map was asked for */
  VfFreeze *forming;  /* the freeze under way; in the journal, not on the bus */

  /* a freeze that was done, or may have been, and must be undone */
  VfThawPlan *undo;
  gboolean in_doubt;     /* may have been */
  VfFreeze *undo_freeze; /* whose record stands for it; NULL: none */
  VfRequest *undo_for;   /* to be told undo_error when the guest is thawed */
  GError *undo_error;

  /* thaws */
  VfThawPlan *thawing; /* the one under way */
  gboolean thawing_undo;
  guint attempts;       /* that failed; 0: nothing is owed */
  gint64 owed_since;    /* boot time, µs: of the first that failed */
  VfAlarm *retry;       /* a thaw failed; the next attempt */
  VfAlarm *pause;       /* a verification failed; the next one */
  GPtrArray *settles;   /* Settle* */
  gboolean brake;       /* ThawAll: the guest is thawed, whoever froze it */
  GPtrArray *brakes;    /* Waiter* of ThawAll */
  GPtrArray *braking;   /* those whom the thaw under way is for */
  gboolean quarantined; /* the last call timed out */

  /* the journal */
  GPtrArray *ended;     /* VfFreeze*, over for their owners, for which a thaw is owed */
  VfFreeze *saved;      /* whose record says that the guest was saved while frozen */
  gboolean saved_guess; /* that was concluded, for want of an event */
  gboolean ever_frozen; /* by us: a snapshot of it may be, too */
  gboolean restored;    /* it came back from saved memory, and was not thawed since */

  /* the frozen period */
  gint64 since; /* boot time, µs; 0: none */
  gint64 since_real;
  VfAlarm *deadline;
  VfAlarm *verify;
  gboolean verify_due;
  VfAlarm *guest_limit;

  VfGuestState shown;
  gint64 shown_since;
};

/* lane.c */
void lane_step (VfLane *lane);
VfAbilities lane_abilities (VfLane *lane);
void lane_call (VfLane *lane, Step step, VfCallKind kind, char **mountpoints,
                void (*done) (VfCall *call, gpointer data), VfSlotClass slot_class);
/* At the start of each done: the lane, idle again; notes what the call tells of the agent. */
VfLane *lane_called (VfCall *call, gpointer data);
void lane_show (VfLane *lane);
void lane_set_deadline (VfLane *lane);
/* since: boot time, µs; since_real: µs since the epoch */
void lane_begin_period (VfLane *lane, gint64 since, gint64 since_real);
void lane_end_period (VfLane *lane);
char **lane_mountpoints (GPtrArray *filesystems);
/* Why the guest cannot be reached at all now; NULL where it can. */
GError *lane_unreachable (VfLane *lane);
/* An error that knows nothing of domains (taken), with the name of this one. */
GError *lane_name_error (VfLane *lane, GError *error);
GError *lane_error (VfLane *lane, VfError code, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* lane-freeze.c */
void lane_answer (VfRequest *request, VfFreeze *freeze, const GError *error);
void lane_start_request (VfLane *lane);
void lane_fail_requests (VfLane *lane, const GError *error);
/* Takes a freeze that holds: on the bus from now on. */
void lane_publish (VfLane *lane, VfFreeze *freeze);

/* lane-journal.c */
gboolean lane_record (VfLane *lane, const VfFreeze *freeze, VfPhase phase, GError **error);
void lane_forget_record (VfLane *lane, const VfFreeze *freeze);
void lane_record_ended (VfLane *lane, VfFreeze *freeze);
void lane_sweep_records (VfLane *lane);
void lane_note_saved (VfLane *lane);
void lane_forget_saved (VfLane *lane);
void lane_check_restored (VfLane *lane);

/* lane-thaw.c */
void lane_set_undo (VfLane *lane, GPtrArray *filesystems, gboolean in_doubt, VfFreeze *freeze,
                    VfRequest *request, GError *error);
void lane_clear_undo (VfLane *lane);
gboolean lane_wants_thaw (VfLane *lane);
void lane_start_thaw (VfLane *lane);
void lane_start_brake (VfLane *lane);
gboolean lane_wants_verify (VfLane *lane);
void lane_start_verify (VfLane *lane);
void lane_retry_now (VfLane *lane);
void lane_lose (VfLane *lane, VfFreeze *freeze, VfLostWhy why);
void lane_lose_all (VfLane *lane, VfLostWhy why);
void lane_release (VfLane *lane, VfFreeze *freeze, VfReleasedWhy why);
/* The guest is known to have nothing frozen any more, and not because we thawed it. */
void lane_thawed_by_itself (VfLane *lane, VfLostWhy why);
void lane_fail_waiters (VfLane *lane, const GError *error);
GPtrArray *lane_waiters_new (void);
Settle *lane_find_settle (VfLane *lane, VfFreeze *freeze);
void lane_settle_free (gpointer data);
