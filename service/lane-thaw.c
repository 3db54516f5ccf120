/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How freezes end: thaws, debts, verification, and those who wait for them. */
#include "lane-private.h"

#include "fault.h"
#include "log.h"

#define RETRY_FIRST (250 * G_TIME_SPAN_MILLISECOND)
#define RETRY_MOST (30 * G_TIME_SPAN_SECOND)

/* A lost freeze is kept this long for its owner to learn of it. */
#define LOST_KEPT (10 * G_TIME_SPAN_MINUTE)

/* --- those who wait ------------------------------------------------------------------------- */

static void
waiter_free (gpointer data)
{
  Waiter *waiter = data;

  g_clear_pointer (&waiter->alarm, vf_alarm_cancel);
  g_free (waiter);
}

GPtrArray *
lane_waiters_new (void)
{
  return g_ptr_array_new_with_free_func (waiter_free);
}

/* Takes all out of the list first: an answer may lead to more. */
static void
answer_all (GPtrArray *list, const GError *error)
{
  g_autoptr (GPtrArray) due = lane_waiters_new ();

  g_ptr_array_extend_and_steal (due, g_ptr_array_ref (list));
  g_ptr_array_set_size (list, 0);
  for (guint i = 0; i < due->len; i++)
    {
      Waiter *waiter = g_ptr_array_index (due, i);

      g_clear_pointer (&waiter->alarm, vf_alarm_cancel);
      waiter->answer (error, waiter->data);
    }
}

static void
on_waiter_timeout (gpointer data)
{
  Waiter *waiter = data;
  VfLane *lane = waiter->lane;
  VfAnswer answer = waiter->answer;
  gpointer answer_data = waiter->data;
  g_autoptr (GError) error = lane_error (
      lane, VF_ERROR_TIMEOUT, "not thawed in time; %s",
      lane_wants_thaw (lane) ? "the thaw is owed and will be retried until it succeeds"
                             : "see to the guest agent in the guest");

  waiter->alarm = NULL;
  g_ptr_array_remove (waiter->list, waiter);
  answer (error, answer_data);
}

static void
add_waiter (VfLane *lane, GPtrArray *list, gint64 deadline, VfAnswer answer, gpointer data)
{
  Waiter *waiter = g_new0 (Waiter, 1);

  waiter->lane = lane;
  waiter->list = list;
  waiter->answer = answer;
  waiter->data = data;
  waiter->alarm = vf_clock_set (lane->world->clock, deadline, on_waiter_timeout, waiter);
  g_ptr_array_add (list, waiter);
}

void
lane_settle_free (gpointer data)
{
  Settle *settle = data;

  g_clear_pointer (&settle->freeze, vf_freeze_unref);
  vf_freeze_unref (settle->about);
  g_ptr_array_unref (settle->waiters);
  g_free (settle);
}

Settle *
lane_find_settle (VfLane *lane, VfFreeze *freeze)
{
  for (guint i = 0; i < lane->settles->len; i++)
    {
      Settle *settle = g_ptr_array_index (lane->settles, i);
      if (settle->about == freeze)
        return settle;
    }
  return NULL;
}

static Settle *
add_settle (VfLane *lane, VfFreeze *freeze, gboolean by_owner)
{
  Settle *settle = g_new0 (Settle, 1);

  settle->about = vf_freeze_ref (freeze);
  settle->by_owner = by_owner;
  if (by_owner)
    settle->freeze = vf_freeze_ref (freeze);
  settle->waiters = lane_waiters_new ();
  g_ptr_array_add (lane->settles, settle);
  return settle;
}

static void
remove_settle (VfLane *lane, Settle *settle)
{
  g_ptr_array_remove (lane->settles, settle);
}

/* Nobody waits any more, and the debts stay. Settlings that were for a waiter alone go. */
void
lane_fail_settles (VfLane *lane, const GError *error, gboolean (*which) (VfLane *, Settle *))
{
  for (guint i = lane->settles->len; i-- > 0;)
    {
      Settle *settle = g_ptr_array_index (lane->settles, i);
      g_autoptr (GPtrArray) waiters = NULL;

      if (which != NULL && !which (lane, settle))
        continue;
      waiters = g_ptr_array_ref (settle->waiters);
      if (settle->freeze == NULL)
        remove_settle (lane, settle);
      answer_all (waiters, error);
    }
}

void
lane_fail_waiters (VfLane *lane, const GError *error)
{
  lane_fail_renewals (lane, error);
  if (lane->undo_for != NULL)
    lane_answer (lane->undo_for, NULL, lane->undo_error);
  answer_all (lane->brakes, error);
  lane_fail_settles (lane, error, NULL);
}

/* --- how a freeze ends ---------------------------------------------------------------------- */

/* Out of the ledger, and in the journal before anything follows from that. */
static void
end_hold (VfLane *lane, VfFreeze *freeze)
{
  vf_ledger_release (lane->ledger, freeze->number);
  lane_record_ended (lane, freeze);
}

void
lane_release (VfLane *lane, VfFreeze *freeze, VfReleasedWhy why)
{
  G_GNUC_UNUSED g_autoptr (VfFreeze) keep = vf_freeze_ref (freeze);
  Settle *settle = lane_find_settle (lane, freeze);

  if (freeze->gone)
    return;
  if (freeze->hidden)
    {
      /* Its owner cannot know of it: the service stops. */
      lane_end_hidden (lane, freeze,
                       lane_error (lane, VF_ERROR_DISCONNECTED, "the service is being stopped"));
      return;
    }
  freeze->gone = TRUE;
  g_clear_pointer (&freeze->alarm, vf_alarm_cancel);
  if (freeze->state == VF_FREEZE_HELD)
    end_hold (lane, freeze);
  g_ptr_array_remove (lane->domain->freezes, freeze);
  vf_world_unreserve (lane->world, freeze->uid);
  lane_set_deadline (lane);
  vf_log_released (freeze, why);
  lane->world->observer->freeze_released (freeze, why, lane->world->observer_data);
  g_hash_table_remove (lane->world->freezes, freeze);
  /* Whoever waits for the guest goes on waiting; the object does not. */
  if (settle != NULL)
    g_clear_pointer (&settle->freeze, vf_freeze_unref);
  if (settle != NULL && settle->waiters->len == 0)
    remove_settle (lane, settle);
}

static void
on_lost_kept (gpointer data)
{
  VfFreeze *freeze = data;

  freeze->alarm = NULL;
  lane_release (freeze->domain->lane, freeze, VF_RELEASED_LOST);
}

void
lane_lose (VfLane *lane, VfFreeze *freeze, VfLostWhy why)
{
  g_return_if_fail (freeze->state != VF_FREEZE_LOST);

  if (freeze->hidden)
    {
      lane_end_hidden (lane, freeze,
                       lane_error (lane, VF_ERROR_CONSISTENCY_LOST,
                                   "it did not stay frozen until all guests of the group were: %s",
                                   vf_lost_text (why)));
      return;
    }
  if (freeze->state == VF_FREEZE_HELD)
    end_hold (lane, freeze);
  freeze->state = VF_FREEZE_LOST;
  freeze->why = why;
  freeze->alarm
      = vf_clock_set (lane->world->clock, vf_clock_now () + LOST_KEPT, on_lost_kept, freeze);
  vf_log_lost (freeze);
  lane->world->observer->freeze_lost (freeze, lane->world->observer_data);
}

/* Those held; endings under way go on. */
void
lane_lose_all (VfLane *lane, VfLostWhy why)
{
  g_autoptr (GPtrArray) freezes = g_ptr_array_copy (lane->domain->freezes, NULL, NULL);

  for (guint i = 0; i < freezes->len; i++)
    {
      VfFreeze *freeze = g_ptr_array_index (freezes, i);
      if (freeze->state == VF_FREEZE_HELD)
        lane_lose (lane, freeze, why);
    }
  lane_set_deadline (lane);
}

static GError *
lost_error (VfLane *lane, VfLostWhy why)
{
  return lane_error (lane, VF_ERROR_CONSISTENCY_LOST,
                     "the freeze did not hold to the end: %s; discard what was copied",
                     vf_lost_text (why));
}

/* The ending is through; broken: it turned out that the guest was thawed before. */
static void
finish_settle (VfLane *lane, Settle *settle, gboolean broken, VfLostWhy why)
{
  g_autoptr (GPtrArray) waiters = g_ptr_array_ref (settle->waiters);
  g_autoptr (VfFreeze) freeze = g_steal_pointer (&settle->freeze);
  g_autoptr (GError) error = NULL;

  if (settle->broken)
    why = VF_LOST_THAWED_OUTSIDE;
  broken |= settle->broken;
  if (broken && settle->by_owner)
    error = lost_error (lane, why);

  remove_settle (lane, settle);
  if (freeze != NULL && broken)
    lane_lose (lane, freeze, why);
  /* A loss that nobody has been told of yet keeps its object. */
  if (freeze != NULL && (!broken || waiters->len > 0))
    lane_release (lane, freeze, broken ? VF_RELEASED_LOST : VF_RELEASED_THAWED);
  answer_all (waiters, error);
}

/* Finishes all for which which() says so. */
void
lane_finish_settles (VfLane *lane, gboolean (*which) (Settle *settle, gconstpointer data),
                     gconstpointer data, gboolean broken, VfLostWhy why)
{
  g_autoptr (GPtrArray) settles = g_ptr_array_new ();

  for (guint i = 0; i < lane->settles->len; i++)
    if (which (g_ptr_array_index (lane->settles, i), data))
      g_ptr_array_add (settles, g_ptr_array_index (lane->settles, i));
  for (guint i = 0; i < settles->len; i++)
    finish_settle (lane, g_ptr_array_index (settles, i), broken, why);
}

static gboolean
all_settles (Settle *settle G_GNUC_UNUSED, gconstpointer data G_GNUC_UNUSED)
{
  return TRUE;
}

/* Through with this thaw; what others still hold of it is to be verified first. */
static gboolean
touched_settles (Settle *settle, gconstpointer data)
{
  VfLane *lane = settle->about->domain->lane;

  return vf_thaw_plan_touches (data, settle->about->plan)
         && (settle->broken || !vf_ledger_is_any_tried (lane->ledger, settle->about->plan));
}

gboolean
lane_is_verified (Settle *settle, gconstpointer data G_GNUC_UNUSED)
{
  return settle->verifying;
}

void
lane_forget_debts (VfLane *lane)
{
  lane->attempts = 0;
  lane->thaw_sent = FALSE;
  g_clear_pointer (&lane->retry, vf_alarm_cancel);
}

void
lane_thawed_by_itself (VfLane *lane, VfLostWhy why)
{
  gboolean runs = lane->domain->info->active && why == VF_LOST_RESET;

  lane->epoch++;
  if (why == VF_LOST_RESET || (why == VF_LOST_DOMAIN_STOPPED && lane->saved == NULL))
    lane_guards_forget (lane);
  else
    lane_guards_doubt (lane); /* they are in the memory that may come back */
  lane_lose_all (lane, why);
  vf_ledger_clear (lane->ledger);
  lane_end_period (lane);
  lane_finish_settles (lane, all_settles, NULL, TRUE, why);
  /* A freeze that may still be on its way to a guest that runs on is undone all the same. */
  if (lane->undo == NULL || !runs || !lane->in_doubt)
    {
      lane_clear_undo (lane);
      lane_forget_debts (lane);
    }
}

/* --- thawing ------------------------------------------------------------------------------- */

gboolean
lane_wants_thaw (VfLane *lane)
{
  g_autoptr (VfThawPlan) plan = NULL;

  if (lane->undo != NULL)
    return TRUE;
  plan = vf_ledger_plan_thaw (lane->ledger, lane_abilities (lane, lane->engine));
  return plan != NULL;
}

static void on_looked (VfCall *call, gpointer data);
static void on_thawed (VfCall *call, gpointer data);
static void on_exec_thawed (VfCall *call, gpointer data);

static gboolean
waits_for_thaw (VfLane *lane, Settle *settle)
{
  return vf_thaw_plan_touches (lane->thawing, settle->about->plan);
}

gboolean
lane_is_quarantined (VfLane *lane)
{
  return lane->quarantined && !vf_slots_free_now (lane->world->slots, VF_SLOT_QUARANTINE);
}

/* The agent did not answer the last call, and others like it are waited for: nobody waits for that
 * queue, what is owed stays owed. */
void
lane_fail_fast (VfLane *lane, gboolean (*which) (VfLane *, Settle *))
{
  g_autoptr (GError) error = lane_error (
      lane, VF_ERROR_AGENT_UNAVAILABLE,
      "its guest agent did not answer the last call, and others like it are being waited for; what "
      "is owed to the guest will be done as soon as it answers");

  if (lane->undo_for != NULL)
    lane_answer (lane->undo_for, NULL, lane->undo_error);
  lane_fail_settles (lane, error, which);
  answer_all (lane->braking, error);
}

/*
 * A thaw hook that always fails, or takes longer than AgentTimeout, gives each thaw an error,
 * though the guest is thawed by the first. So that it is not run again and again, from the second
 * retry on the agent is asked before whether it is frozen. Of what fsfreeze froze it knows nothing.
 */
static gboolean
looks_first (VfLane *lane)
{
  if (lane->attempts < 2 || lane->thawing_engine != VF_ENGINE_AGENT
      || g_hash_table_size (lane->guards) > 0)
    return FALSE;
  if (vf_ledger_in_period (lane->ledger) && lane->engine != VF_ENGINE_AGENT)
    return FALSE;
  return lane->undo == NULL || !(lane->undo_unknown || lane->restored);
}

static void
call_agent (VfLane *lane, VfSlotClass slot_class)
{
  const VfThawPlan *plan = lane->thawing;

  lane_call (lane, STEP_THAW, VF_CALL_THAW, plan->all ? NULL : lane_mountpoints (plan->thaw),
             on_thawed, slot_class);
}

static void
call_thaw (VfLane *lane, gboolean look)
{
  const VfThawPlan *plan = lane->thawing;
  VfSlotClass slot_class = lane->attempts == 0 ? VF_SLOT_FIRST_THAW : VF_SLOT_COMMON;

  if (lane_is_quarantined (lane))
    lane_fail_fast (lane, waits_for_thaw);

  VF_FAULT ("thaw-uncalled");
  if (lane->thawing_engine == VF_ENGINE_EXEC)
    lane_call_exec (lane, STEP_THAW, VF_CALL_EXEC_THAW, g_ptr_array_ref (plan->thaw),
                    lane_guards_to_end (lane, plan->thaw), on_exec_thawed, slot_class);
  else if (look)
    lane_call (lane, STEP_THAW, lane_question (lane), NULL, on_looked, slot_class);
  else
    call_agent (lane, slot_class);
  VF_FAULT ("thaw-called");
  lane_show (lane);
}

/* An undo that waits for a stuck fsfreeze does not keep other filesystems from being thawed. */
static gboolean
is_others_turn (VfLane *lane)
{
  g_autoptr (VfThawPlan) due = NULL;

  if (lane->undo_engine != VF_ENGINE_EXEC || lane->undo->all || lane->attempts % 2 == 0)
    return FALSE;
  due = vf_ledger_plan_thaw (lane->ledger, lane_abilities (lane, lane->engine));
  return due != NULL;
}

void
lane_start_thaw (VfLane *lane)
{
  lane->thawing_undo = lane->undo != NULL && !is_others_turn (lane);
  lane->thawing_engine = lane->thawing_undo ? lane->undo_engine : lane->engine;
  if (lane->thawing_undo && lane->undo->all)
    lane->thawing_engine = VF_ENGINE_AGENT;
  if (lane->thawing_undo)
    {
      lane->thawing = g_new0 (VfThawPlan, 1);
      lane->thawing->all = lane->undo->all;
      lane->thawing->thaw = g_ptr_array_ref (lane->undo->thaw);
      if (lane->undo->all)
        lane_lose_all (lane, VF_LOST_THAWED_BY_OTHER); /* no freeze outlives that */
    }
  else
    lane->thawing = vf_ledger_plan_thaw (lane->ledger, lane_abilities (lane, lane->engine));
  call_thaw (lane, looks_first (lane));
}

static void
move_waiters (GPtrArray *to, GPtrArray *from)
{
  g_ptr_array_extend_and_steal (to, g_ptr_array_ref (from));
  for (guint i = 0; i < to->len; i++)
    ((Waiter *) g_ptr_array_index (to, i))->list = to;
}

static void
brake_again (VfLane *lane)
{
  lane->brake = TRUE;
  move_waiters (lane->brakes, lane->braking);
}

/* The emergency brake: whoever froze it, all of it, now. The agent's own thaw also ends what
 * fsfreeze has frozen. */
void
lane_start_brake (VfLane *lane)
{
  lane->brake = FALSE;
  move_waiters (lane->braking, lane->brakes);
  lane_lose_all (lane, VF_LOST_THAWED_BY_OTHER);
  g_clear_pointer (&lane->retry, vf_alarm_cancel);
  lane->thawing_undo = FALSE;
  lane->thawing_engine = VF_ENGINE_AGENT;
  lane->thawing = vf_ledger_plan_thaw (lane->ledger, lane_abilities (lane, lane->engine));
  if (lane->thawing == NULL)
    {
      lane->thawing = g_new0 (VfThawPlan, 1);
      lane->thawing->all = TRUE;
      lane->thawing->thaw = vf_map_new ();
    }
  call_thaw (lane, FALSE);
}

static void
on_retry (gpointer data)
{
  VfLane *lane = data;

  lane->retry = NULL;
  lane_step (lane);
}

void
lane_retry_now (VfLane *lane)
{
  g_clear_pointer (&lane->pause, vf_alarm_cancel);
  g_clear_pointer (&lane->retry, vf_alarm_cancel);
}

static void
thaw_failed (VfLane *lane, VfCall *call)
{
  g_autoptr (GError) error = lane_error (lane, (VfError) call->error->code,
                                         "it could not be thawed: %s", call->error->message);
  gint64 wait = RETRY_FIRST << MIN (lane->attempts, 10);

  if (!lane_wants_thaw (lane))
    lane_forget_debts (lane); /* a brake on what was never ours: not owed */
  else
    {
      lane->thaw_sent |= call->sent && call->kind == VF_CALL_THAW;
      if (lane->attempts++ == 0)
        {
          lane->owed_since = vf_clock_now ();
          vf_log_owed (lane->domain, error->message);
        }
      lane->retry = vf_clock_set (lane->world->clock, vf_clock_now () + MIN (wait, RETRY_MOST),
                                  on_retry, lane);
    }
  if (lane->thawing_undo && lane->undo_for != NULL)
    lane_answer (lane->undo_for, NULL, lane->undo_error);
  lane_fail_settles (lane, error, waits_for_thaw);
  answer_all (lane->braking, error);
}

static void
thaw_done (VfLane *lane, gboolean broken)
{
  VfThawPlan *plan = lane->thawing;

  if (lane->attempts > 0)
    vf_log_paid (lane->domain, vf_clock_now () - lane->owed_since);
  VF_FAULT ("thaw-answered");
  lane_forget_debts (lane);
  if (lane->restored && plan->all)
    lane_forget_saved (lane);
  /* An fsfreeze that is stuck may freeze after a thaw by the agent: it is waited for. */
  if (lane->thawing_undo || (plan->all && !(lane->in_doubt && lane->undo_engine == VF_ENGINE_EXEC)))
    lane_clear_undo (lane);
  lane_check_restored (lane);
  if (!lane->thawing_undo)
    vf_ledger_thawed (lane->ledger, plan);
  else if (plan->all)
    vf_ledger_clear (lane->ledger);
  if (!vf_ledger_in_period (lane->ledger))
    lane_end_period (lane);
  lane_sweep_records (lane);
  VF_FAULT ("thaw-forgotten");
  lane_show (lane);
  lane_finish_settles (lane, touched_settles, plan, broken, VF_LOST_THAWED_OUTSIDE);
  answer_all (lane->braking, NULL);
}

/* It was reset, stopped, restored while it was thawed: this answer says nothing of what it is now.
 * What is still owed is done once more. */
static void
thaw_overtaken (VfLane *lane)
{
  if (lane->undo == NULL)
    answer_all (lane->braking, NULL);
  else if (lane->braking->len > 0)
    brake_again (lane);
}

static void
on_looked (VfCall *call, gpointer data)
{
  g_autoptr (VfCall) answer = call;
  VfLane *lane = lane_called (call, data);
  G_GNUC_UNUSED g_autoptr (VfDomain) domain = lane->domain;

  if (answer->error != NULL && answer->answered && lane->call_epoch == lane->epoch)
    {
      call_agent (lane, VF_SLOT_COMMON); /* frozen, or forbidden to tell */
      return;
    }
  if (lane->call_epoch != lane->epoch)
    thaw_overtaken (lane);
  else if (answer->error != NULL)
    thaw_failed (lane, answer);
  else
    thaw_done (lane, !lane->thawing_undo && !lane->thaw_sent); /* by whom, if not by us? */
  g_clear_pointer (&lane->thawing, vf_thaw_plan_free);
  lane_step (lane);
}

static void
on_thawed (VfCall *call, gpointer data)
{
  g_autoptr (VfCall) answer = call;
  VfLane *lane = lane_called (call, data);
  G_GNUC_UNUSED g_autoptr (VfDomain) domain = lane->domain;
  gboolean unsupported = answer->error != NULL && answer->unsupported && !lane->thawing->all;

  if (unsupported)
    {
      lane->world->hypervisor->no_part_thaw = TRUE; /* physical thaw waits for the other counts */
      if (lane->thawing_undo && lane->undo != NULL)
        lane->undo->all = TRUE; /* but what is in doubt does not */
      lane_forget_debts (lane);
    }
  else if (lane->call_epoch != lane->epoch)
    thaw_overtaken (lane);
  else if (answer->error != NULL)
    thaw_failed (lane, answer);
  else
    /* Only the first thaw that the guest got tells how many were still frozen: after an error, what
     * that one thawed is missing from the count. */
    thaw_done (lane, !lane->thawing_undo && !lane->thaw_sent
                         && answer->count < lane->thawing->expected);
  g_clear_pointer (&lane->thawing, vf_thaw_plan_free);
  lane_step (lane);
}

/* --- of engine exec ---------------------------------------------------------------------------- */

/* Some are thawed, others not yet. */
static void
part_done (VfLane *lane, GPtrArray *done, GPtrArray *rest)
{
  VfThawPlan plan = { .thaw = done };

  if (lane->thawing_undo)
    {
      g_ptr_array_unref (lane->undo->thaw);
      lane->undo->thaw = g_ptr_array_ref (rest);
      return;
    }
  vf_ledger_thawed (lane->ledger, &plan);
  lane_finish_settles (lane, touched_settles, &plan, FALSE, 0);
}

static void
exec_thawed (VfLane *lane, VfCall *call)
{
  g_autoptr (GPtrArray) done = vf_map_new ();
  g_autoptr (GPtrArray) rest = vf_map_new ();
  g_autoptr (GPtrArray) broken = vf_map_new ();
  const VfThawPlan broken_plan = { .thaw = broken };

  for (guint i = 0; i < call->filesystems->len; i++)
    {
      VfFilesystem *fs = g_ptr_array_index (call->filesystems, i);
      gboolean thawed
          = call->results[i] == VF_RESULT_DONE || call->results[i] == VF_RESULT_NOT_FROZEN;

      g_ptr_array_add (thawed ? done : rest, vf_filesystem_ref (fs));
      /* Of one that an earlier call may have thawed, this says nothing. */
      if (call->results[i] == VF_RESULT_NOT_FROZEN && !lane->thawing_undo
          && !g_hash_table_contains (lane->unanswered, fs->device))
        g_ptr_array_add (broken, vf_filesystem_ref (fs));
      if (call->results[i] == VF_RESULT_UNKNOWN)
        g_hash_table_add (lane->unanswered, g_strdup (fs->device));
      else if (thawed)
        g_hash_table_remove (lane->unanswered, fs->device);
    }
  for (guint i = 0; i < lane->settles->len; i++)
    {
      Settle *settle = g_ptr_array_index (lane->settles, i);
      settle->broken |= vf_thaw_plan_touches (&broken_plan, settle->about->plan);
    }
  lane_guards_ended (lane, call);
  if (call->error == NULL)
    {
      thaw_done (lane, FALSE);
      return;
    }
  if (!call->in_doubt) /* else all of them once more */
    part_done (lane, done, rest);
  thaw_failed (lane, call);
}

static void
on_exec_thawed (VfCall *call, gpointer data)
{
  g_autoptr (VfCall) answer = call;
  VfLane *lane = lane_called (call, data);
  G_GNUC_UNUSED g_autoptr (VfDomain) domain = lane->domain;

  if (lane->call_epoch != lane->epoch)
    thaw_overtaken (lane);
  else
    exec_thawed (lane, answer);
  g_clear_pointer (&lane->thawing, vf_thaw_plan_free);
  lane_step (lane);
}

/* --- endings asked for ---------------------------------------------------------------------- */

void
vf_lane_thaw (VfLane *lane, VfFreeze *freeze, gboolean by_owner, gint64 deadline, VfAnswer answer,
              gpointer data)
{
  Settle *settle = lane_find_settle (lane, freeze);
  g_autoptr (GError) error = NULL;

  if (freeze->state == VF_FREEZE_LOST && (by_owner || settle == NULL))
    {
      error = lost_error (lane, freeze->why);
      if (by_owner)
        lane_release (lane, freeze, VF_RELEASED_LOST);
      answer (error, data);
      return;
    }
  if (settle == NULL)
    {
      lane_retry_now (lane); /* something new to thaw does not wait for what failed before */
      settle = add_settle (lane, freeze, by_owner);
      if (by_owner)
        {
          end_hold (lane, freeze);
          freeze->state = VF_FREEZE_THAWING;
          lane->world->observer->freeze_changed (freeze, VF_FREEZE_CHANGED_STATE,
                                                 lane->world->observer_data);
        }
      else
        lane_lose (lane, freeze, VF_LOST_THAWED_BY_OTHER);
      lane_set_deadline (lane);
    }
  add_waiter (lane, settle->waiters, deadline, answer, data);
  if (!lane->world->connected)
    vf_lane_connection_changed (lane); /* answers at once, also while a call hangs */
  lane_step (lane);
}

void
vf_lane_thaw_all (VfLane *lane, gint64 deadline, VfAnswer answer, gpointer data)
{
  add_waiter (lane, lane->brakes, deadline, answer, data);
  /* At once, so that they are thawed even if the guest cannot be reached now; and once more when it
   * is done, for a freeze that is under way. */
  lane->brake = TRUE;
  lane_lose_all (lane, VF_LOST_THAWED_BY_OTHER);
  if (!lane->world->connected)
    vf_lane_connection_changed (lane);
  lane_step (lane);
}

void
vf_lane_owner_gone (VfLane *lane, VfFreeze *freeze)
{
  if (!freeze->lease)
    lane_release (lane, freeze, VF_RELEASED_CALLER_VANISHED);
  else
    {
      g_free (freeze->owner);
      freeze->owner = g_strdup ("");
      lane->world->observer->freeze_changed (freeze, VF_FREEZE_CHANGED_OWNER,
                                             lane->world->observer_data);
    }
  lane_step (lane);
}
