/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state of a lane, shared by lane.c (order of work, events), lane-freeze.c (requests),
 * lane-thaw.c (thaws) and the other files of this name. Nobody else includes this.
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
  STEP_GUARD, /* dead man's switches alone */
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
  gboolean broken;    /* a part of it had been thawed by something else */
} Settle;

/* A wish to renew a freeze for which the guest has to be asked. */
typedef struct {
  VfLane *lane;
  VfFreeze *freeze;
  gint64 hold;     /* µs */
  VfAlarm *alarm;  /* FreezeTimeout */
  VfAnswer answer; /* NULL: answered */
  gpointer data;
} Renewal;

/* A guard as far as it is known here. */
typedef struct {
  VfGuard *guard;
  gboolean sure; /* it runs, and just one, until then */
} LaneGuard;

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
  GPtrArray *members; /* VfRequest*, references: of groups */
  VfRequest *current; /* whose call is under way */
  char **map_targets; /* the domain's disks when the map was asked for */
  VfFreeze *forming;  /* the freeze under way; in the journal, not on the bus */

  /* a freeze that was done, or may have been, and must be undone */
  VfThawPlan *undo;
  gboolean in_doubt;     /* may have been */
  VfFreeze *undo_freeze; /* whose record stands for it; NULL: none */
  VfEngine undo_engine;
  gboolean undo_unknown; /* not only what the agent itself froze */
  VfRequest *undo_for; /* to be told undo_error when the guest is thawed */
  GError *undo_error;

  /* thaws */
  VfThawPlan *thawing; /* the one under way */
  gboolean thawing_undo;
  VfEngine thawing_engine;
  guint attempts;       /* that failed; 0: nothing is owed */
  gboolean thaw_sent;   /* and one of them may have reached the guest */
  gint64 owed_since;    /* boot time, µs: of the first that failed */
  VfAlarm *retry;       /* a thaw failed; the next attempt */
  VfAlarm *pause;       /* a verification failed; the next one */
  GPtrArray *settles;   /* Settle* */
  gboolean brake;       /* ThawAll: the guest is thawed, whoever froze it */
  GPtrArray *brakes;    /* Waiter* of ThawAll */
  GPtrArray *braking;   /* those whom the thaw under way is for */
  gboolean quarantined; /* the last call timed out */

  /* engine exec */
  GQueue renewals;        /* Renewal*, waiting */
  Renewal *renewing;      /* the one under way */
  GHashTable *guards;     /* guest device → LaneGuard: those that run in the guest, or may */
  GHashTable *swept;      /* devices: what earlier runs or processes set for them has been ended */
  GHashTable *unanswered; /* devices, of a thaw whose answer was lost */
  VfAlarm *guard_pause;   /* setting or ending them failed; the next attempt */

  /* the journal */
  GPtrArray *ended;     /* VfFreeze*, over for their owners, for which a thaw is owed */
  VfFreeze *saved;      /* whose record says that the guest was saved while frozen */
  gboolean saved_guess; /* that was concluded, for want of an event */
  gboolean ever_frozen; /* by us: a snapshot of it may be, too */
  gboolean restored;    /* it came back from saved memory, and was not thawed since */

  /* the frozen period */
  gint64 since; /* boot time, µs; 0: none */
  gint64 since_real;
  VfEngine engine; /* of the period */
  VfAlarm *deadline;
  VfAlarm *verify;
  gboolean verify_due;
  VfAlarm *guest_limit;

  VfGuestState shown;
  gint64 shown_since;
};

/* lane.c */
void lane_step (VfLane *lane);
/* Of the frozen period; else, the one configured. */
VfEngine lane_engine (VfLane *lane);
VfAbilities lane_abilities (VfLane *lane, VfEngine engine);
void lane_call (VfLane *lane, Step step, VfCallKind kind, char **mountpoints,
                void (*done) (VfCall *call, gpointer data), VfSlotClass slot_class);
/* The same for a call of engine exec; takes filesystems and guards (may be NULL). */
void lane_call_exec (VfLane *lane, Step step, VfCallKind kind, GPtrArray *filesystems,
                     GPtrArray *guards, void (*done) (VfCall *call, gpointer data),
                     VfSlotClass slot_class);
/* At the start of each done: the lane, idle again; notes what the call tells of the agent. */
VfLane *lane_called (VfCall *call, gpointer data);
void lane_show (VfLane *lane);
void lane_set_deadline (VfLane *lane);
/* The next verification: counted from the end of the last, so that it leaves time for others. */
void lane_plan_verify (VfLane *lane);
/* since: boot time, µs; since_real: µs since the epoch */
void lane_begin_period (VfLane *lane, VfEngine engine, gint64 since, gint64 since_real);
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

GError *lane_check_max_hold (VfLane *lane, gint64 hold);

/* lane-guard.c */
void lane_guard_free (gpointer guard);
/* Those to be set so that all that plan covers and is frozen, or is to be (freeze, or NULL), have one
 * up to that deadline: VfGuard*, owned. */
GPtrArray *lane_guards_to_set (VfLane *lane, const VfPlan *plan, GPtrArray *freeze, gint64 until);
/* Those of filesystems that are about to be thawed: VfGuard*, owned. */
GPtrArray *lane_guards_to_end (VfLane *lane, GPtrArray *filesystems);
/* What calls have done to them. */
void lane_guards_set (VfLane *lane, const VfCall *call);
void lane_guards_ended (VfLane *lane, const VfCall *call);
/* The guest has begun anew. */
void lane_guards_forget (VfLane *lane);
/* They may be gone, or run to another time than is thought. */
void lane_guards_doubt (VfLane *lane);
/* An earlier process has frozen these, or may have: until a deadline, as far as is known. */
void lane_guards_adopt (VfLane *lane, GPtrArray *filesystems, gint64 until);
gboolean lane_wants_guards (VfLane *lane);
void lane_start_guards (VfLane *lane);

/* lane-renew.c */
void lane_renewal_free (gpointer renewal);
void lane_start_renewal (VfLane *lane);
void lane_fail_renewals (VfLane *lane, const GError *error);

/* What can be said of a request at once; NULL: nothing. */
GError *lane_refuse (VfLane *lane, VfRequest *request);

/* lane-group.c */
/* Takes both: the guest is frozen, and nobody is to know. */
void lane_hide (VfLane *lane, VfRequest *request, VfFreeze *freeze);
/* It ends; error (taken): why. */
void lane_end_hidden (VfLane *lane, VfFreeze *freeze, GError *error);
void lane_tell_members (VfLane *lane);

/* lane-journal.c */
gboolean lane_record (VfLane *lane, const VfFreeze *freeze, VfPhase phase, GError **error);
void lane_forget_record (VfLane *lane, const VfFreeze *freeze);
void lane_record_ended (VfLane *lane, VfFreeze *freeze);
void lane_sweep_records (VfLane *lane);
void lane_note_saved (VfLane *lane);
void lane_forget_saved (VfLane *lane);
void lane_check_restored (VfLane *lane);

/* lane-verify.c */
gboolean lane_wants_verify (VfLane *lane);
void lane_start_verify (VfLane *lane);
VfCallKind lane_question (VfLane *lane);

/* lane-undo.c */
void lane_set_undo (VfLane *lane, GPtrArray *filesystems, gboolean in_doubt, VfFreeze *freeze,
                    VfRequest *request, GError *error);
void lane_clear_undo (VfLane *lane);

/* lane-thaw.c */
/* Nothing is owed. */
void lane_forget_debts (VfLane *lane);
gboolean lane_wants_thaw (VfLane *lane);
/* The last call timed out, and others like it are waited for: fail fast. */
gboolean lane_is_quarantined (VfLane *lane);
void lane_start_thaw (VfLane *lane);
void lane_start_brake (VfLane *lane);
void lane_retry_now (VfLane *lane);
/* Nobody waits any more, and the debts stay; of those endings for which which (NULL: all) says so. */
void lane_fail_settles (VfLane *lane, const GError *error, gboolean (*which) (VfLane *, Settle *));
void lane_fail_fast (VfLane *lane, gboolean (*which) (VfLane *, Settle *));
/* Those endings are through for which which says so; broken: it had been thawed before. */
void lane_finish_settles (VfLane *lane, gboolean (*which) (Settle *settle, gconstpointer data),
                          gconstpointer data, gboolean broken, VfLostWhy why);
/* For these two: that the verification under way is for. */
gboolean lane_is_verified (Settle *settle, gconstpointer data);
void lane_lose (VfLane *lane, VfFreeze *freeze, VfLostWhy why);
void lane_lose_all (VfLane *lane, VfLostWhy why);
void lane_release (VfLane *lane, VfFreeze *freeze, VfReleasedWhy why);
/* The guest is known to have nothing frozen any more, and not because we thawed it. */
void lane_thawed_by_itself (VfLane *lane, VfLostWhy why);
void lane_fail_waiters (VfLane *lane, const GError *error);
GPtrArray *lane_waiters_new (void);
Settle *lane_find_settle (VfLane *lane, VfFreeze *freeze);
void lane_settle_free (gpointer data);
