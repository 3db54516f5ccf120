/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Is what should be frozen still so? */
#include "lane-private.h"

/* Those that no thaw will tell of; one whose own part is to be thawed waits for that. */
static guint
mark_unsettled (VfLane *lane)
{
  g_autoptr (VfThawPlan) due
      = vf_ledger_plan_thaw (lane->ledger, lane_abilities (lane, lane->engine));
  guint count = 0;

  for (guint i = 0; i < lane->settles->len; i++)
    {
      Settle *settle = g_ptr_array_index (lane->settles, i);

      settle->verifying = due == NULL || !vf_thaw_plan_touches (due, settle->about->plan);
      count += settle->verifying;
    }
  return count;
}

gboolean
lane_wants_verify (VfLane *lane)
{
  if (lane->pause != NULL)
    return FALSE;
  return (lane->settles->len > 0 && mark_unsettled (lane) > 0)
         || (lane->verify_due && vf_ledger_in_period (lane->ledger));
}

static void
on_pause_over (gpointer data)
{
  VfLane *lane = data;

  lane->pause = NULL;
  lane_step (lane);
}

static void
pause_verification (VfLane *lane)
{
  gint64 interval = vf_config_get_verify_interval (lane->world->config);

  if (lane->pause == NULL)
    lane->pause
        = vf_clock_set (lane->world->clock, vf_clock_now () + interval, on_pause_over, lane);
}

/* What fell due meanwhile is done with it: one that takes long must leave room for all else. */
static void
end_verify (VfLane *lane)
{
  for (guint i = 0; i < lane->settles->len; i++)
    ((Settle *) g_ptr_array_index (lane->settles, i))->verifying = FALSE;
  lane->verify_due = FALSE;
  lane_plan_verify (lane);
  lane_step (lane);
}

static void
on_verified (VfCall *call, gpointer data)
{
  g_autoptr (VfCall) answer = call;
  VfLane *lane = lane_called (call, data);
  G_GNUC_UNUSED g_autoptr (VfDomain) domain = lane->domain;

  if (lane->call_epoch != lane->epoch)
    ; /* all that was verified is over */
  else if (answer->error == NULL)
    {
      g_warning ("Domain “%s” was thawed by something other than this service", domain->info->name);
      lane_thawed_by_itself (lane, VF_LOST_THAWED_OUTSIDE);
    }
  else if (!answer->answered)
    {
      /* Only a refusal is a sign of a frozen agent: no answer says nothing. Asked again later. */
      answer->error = lane_name_error (lane, answer->error);
      lane_fail_settles (lane, answer->error, NULL);
      if (lane->settles->len > 0)
        pause_verification (lane);
    }
  else if (vf_ledger_has_holds (lane->ledger))
    lane_finish_settles (lane, lane_is_verified, NULL, FALSE, 0);
  /* else the last holder left meanwhile: the thaw that is due now tells for certain */
  end_verify (lane);
}

static gboolean
covers_any (const VfPlan *plan, GPtrArray *filesystems)
{
  for (guint i = 0; i < filesystems->len; i++)
    if (g_ptr_array_find_with_equal_func (
            plan->covers, ((VfFilesystem *) g_ptr_array_index (filesystems, i))->device,
            g_str_equal, NULL))
      return TRUE;
  return FALSE;
}

static gboolean
covers_broken (Settle *settle, gconstpointer data)
{
  return covers_any (settle->about->plan, (GPtrArray *) data);
}

/* Something else has thawed these: whoever holds one of them has lost. The others are as they were. */
static void
break_some (VfLane *lane, GPtrArray *filesystems)
{
  VfThawPlan thawed = { .thaw = filesystems };
  g_autoptr (GPtrArray) freezes = g_ptr_array_copy (lane->domain->freezes, NULL, NULL);

  g_warning ("Domain “%s”: %u of its filesystems were thawed by something other than this service",
             lane->domain->info->name, filesystems->len);
  vf_ledger_thawed (lane->ledger, &thawed);
  for (guint i = 0; i < freezes->len; i++)
    {
      VfFreeze *freeze = g_ptr_array_index (freezes, i);
      if (freeze->state == VF_FREEZE_HELD && covers_any (freeze->plan, filesystems))
        lane_lose (lane, freeze, VF_LOST_THAWED_OUTSIDE);
    }
  if (!vf_ledger_in_period (lane->ledger))
    lane_end_period (lane);
  lane_set_deadline (lane);
  lane_finish_settles (lane, covers_broken, filesystems, TRUE, VF_LOST_THAWED_OUTSIDE);
}

static void
on_exec_verified (VfCall *call, gpointer data)
{
  g_autoptr (VfCall) answer = call;
  VfLane *lane = lane_called (call, data);
  G_GNUC_UNUSED g_autoptr (VfDomain) domain = lane->domain;
  g_autoptr (GPtrArray) broken = vf_map_new ();

  if (lane->call_epoch == lane->epoch)
    {
      for (guint i = 0; i < answer->filesystems->len; i++)
        if (answer->results[i] == VF_RESULT_DONE)
          g_ptr_array_add (broken, vf_filesystem_ref (g_ptr_array_index (answer->filesystems, i)));
      if (broken->len > 0)
        break_some (lane, broken);
      if (answer->error != NULL)
        {
          answer->error = lane_name_error (lane, answer->error);
          lane_fail_settles (lane, answer->error, NULL);
          if (lane->settles->len > 0)
            pause_verification (lane);
        }
      else if (vf_ledger_has_holds (lane->ledger))
        lane_finish_settles (lane, lane_is_verified, NULL, FALSE, 0);
    }
  end_verify (lane);
}

/* Of what has to be thawed nobody needs to know; a thaw that got no answer may have been done. */
static GPtrArray *
list_held (VfLane *lane)
{
  g_autoptr (GPtrArray) tried = vf_ledger_list_tried (lane->ledger);
  g_autoptr (VfThawPlan) due
      = vf_ledger_plan_thaw (lane->ledger, lane_abilities (lane, lane->engine));
  GPtrArray *held = vf_map_new ();

  for (guint i = 0; i < tried->len; i++)
    {
      VfFilesystem *fs = g_ptr_array_index (tried, i);

      if (due == NULL || !g_ptr_array_find (due->thaw, fs, NULL))
        g_ptr_array_add (held, vf_filesystem_ref (fs));
    }
  return held;
}

/* What a frozen agent refuses, and this guest's answers when it is thawed: one that never told its
 * map was asked for its time before it was frozen. */
VfCallKind
lane_question (VfLane *lane)
{
  return vf_ledger_get_map (lane->ledger) != NULL ? VF_CALL_MAP : VF_CALL_PROBE;
}

/* Engine exec tries to freeze. */
void
lane_start_verify (VfLane *lane)
{
  lane->verify_due = FALSE;
  mark_unsettled (lane);
  if (lane_engine (lane) == VF_ENGINE_TEST || !vf_ledger_in_period (lane->ledger))
    {
      /* The test driver tells the map also while frozen. */
      lane_finish_settles (lane, lane_is_verified, NULL, FALSE, 0);
      return;
    }
  if (lane_is_quarantined (lane))
    {
      lane_fail_fast (lane, NULL);
      pause_verification (lane);
      lane_plan_verify (lane);
      return;
    }
  if (lane->engine == VF_ENGINE_EXEC)
    lane_call_exec (lane, STEP_VERIFY, VF_CALL_EXEC_VERIFY, list_held (lane), NULL,
                    on_exec_verified, VF_SLOT_COMMON);
  else
    lane_call (lane, STEP_VERIFY, lane_question (lane), NULL, on_verified, VF_SLOT_COMMON);
}
