/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Renewals: at once, or (engine exec) when the guards in the guest go on for as long. */
#include "lane-private.h"

#include "fault.h"

void
lane_renewal_free (gpointer data)
{
  Renewal *renewal = data;

  g_clear_pointer (&renewal->alarm, vf_alarm_cancel);
  vf_freeze_unref (renewal->freeze);
  g_free (renewal);
}

static void
answer_renewal (Renewal *renewal, const GError *error)
{
  VfAnswer answer = renewal->answer;

  g_clear_pointer (&renewal->alarm, vf_alarm_cancel);
  renewal->answer = NULL;
  if (answer != NULL)
    answer (error, renewal->data);
}

void
lane_fail_renewals (VfLane *lane, const GError *error)
{
  Renewal *renewal;

  while ((renewal = g_queue_pop_head (&lane->renewals)) != NULL)
    {
      answer_renewal (renewal, error);
      lane_renewal_free (renewal);
    }
  if (lane->renewing != NULL)
    answer_renewal (lane->renewing, error);
}

static void
on_timeout (gpointer data)
{
  Renewal *renewal = data;
  VfLane *lane = renewal->lane;
  g_autoptr (GError) error = lane_error (lane, VF_ERROR_TIMEOUT,
                                         "the freeze was not renewed in time; its deadline is what "
                                         "it was");

  renewal->alarm = NULL;
  answer_renewal (renewal, error);
  if (g_queue_remove (&lane->renewals, renewal))
    lane_renewal_free (renewal);
}

/* Why it cannot be renewed; NULL: it can. */
static GError *
refuse (VfLane *lane, const VfFreeze *freeze, gint64 hold)
{
  if (freeze->state == VF_FREEZE_LOST)
    return lane_error (lane, VF_ERROR_CONSISTENCY_LOST,
                       "the freeze cannot be renewed: %s; discard what was copied",
                       vf_lost_text (freeze->why));
  if (freeze->state == VF_FREEZE_THAWING || freeze->gone)
    return lane_error (lane, VF_ERROR_CONSISTENCY_LOST,
                       "the freeze cannot be renewed: it is being thawed");
  return lane_check_max_hold (lane, hold);
}

/* From now on, for so long. */
static GError *
extend (VfLane *lane, VfFreeze *freeze, gint64 hold)
{
  gint64 before = freeze->deadline;
  g_autoptr (GError) error = NULL;

  vf_freeze_set_deadline (freeze, vf_clock_now () + hold);
  if (!lane_record (lane, freeze, VF_PHASE_HELD, &error))
    {
      vf_freeze_set_deadline (freeze, before);
      return vf_lane_journal_error (lane, error);
    }
  VF_FAULT ("renew-recorded");
  lane_set_deadline (lane);
  lane->world->observer->freeze_changed (freeze, VF_FREEZE_CHANGED_DEADLINE,
                                         lane->world->observer_data);
  return NULL;
}

void
vf_lane_renew (VfLane *lane, VfFreeze *freeze, gint64 hold, gint64 deadline, VfAnswer answer,
               gpointer data)
{
  g_autoptr (GError) error = refuse (lane, freeze, hold);
  Renewal *renewal;

  if (error == NULL && freeze->engine == VF_ENGINE_EXEC)
    error = lane_unreachable (lane);
  if (error != NULL || freeze->engine != VF_ENGINE_EXEC)
    {
      if (error == NULL)
        error = extend (lane, freeze, hold);
      answer (error, data);
      return;
    }
  renewal = g_new0 (Renewal, 1);
  renewal->lane = lane;
  renewal->freeze = vf_freeze_ref (freeze);
  renewal->hold = hold;
  renewal->answer = answer;
  renewal->data = data;
  renewal->alarm = vf_clock_set (lane->world->clock, deadline, on_timeout, renewal);
  g_queue_push_tail (&lane->renewals, renewal);
  lane_step (lane);
}

/* Takes renewal and error. */
static void
finish (VfLane *lane, Renewal *renewal, GError *error)
{
  g_autoptr (GError) owned = error;

  if (owned == NULL && renewal->answer != NULL)
    owned = refuse (lane, renewal->freeze, renewal->hold);
  if (owned == NULL && renewal->answer != NULL)
    owned = extend (lane, renewal->freeze, renewal->hold);
  answer_renewal (renewal, owned);
  lane_renewal_free (renewal);
}

static void
on_guarded (VfCall *call, gpointer data)
{
  g_autoptr (VfCall) answer = call;
  VfLane *lane = lane_called (call, data);
  G_GNUC_UNUSED g_autoptr (VfDomain) domain = lane->domain;
  GError *error = g_steal_pointer (&answer->error);

  if (lane->call_epoch == lane->epoch)
    {
      answer->error = error;
      lane_guards_set (lane, answer);
      answer->error = NULL;
    }
  finish (lane, g_steal_pointer (&lane->renewing),
          error != NULL ? lane_name_error (lane, error) : NULL);
  lane_step (lane);
}

void
lane_start_renewal (VfLane *lane)
{
  Renewal *renewal = g_queue_pop_head (&lane->renewals);
  GError *error = refuse (lane, renewal->freeze, renewal->hold);
  g_autoptr (GPtrArray) guards = NULL;

  if (error == NULL && lane_is_quarantined (lane))
    error = lane_error (lane, VF_ERROR_AGENT_UNAVAILABLE,
                        "its guest agent did not answer the last call, and others like it are "
                        "being waited for; the freeze keeps its deadline");
  if (error == NULL)
    guards
        = lane_guards_to_set (lane, renewal->freeze->plan, NULL, vf_clock_now () + renewal->hold);
  if (guards == NULL || guards->len == 0)
    {
      finish (lane, renewal, error);
      return;
    }
  lane->renewing = renewal;
  lane_call_exec (lane, STEP_GUARD, VF_CALL_EXEC_FREEZE, vf_map_new (), g_steal_pointer (&guards),
                  on_guarded, VF_SLOT_COMMON);
}
