/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests: map → (probe) → plan → freeze → record. */
#include "lane-private.h"

#include "fault.h"
#include "log.h"

VfRequest *
vf_request_new (void)
{
  return g_rc_box_new0 (VfRequest);
}

static void
request_clear (gpointer data)
{
  VfRequest *request = data;

  g_clear_pointer (&request->alarm, vf_alarm_cancel);
  g_strfreev (request->disks);
  g_clear_pointer (&request->freeze, vf_freeze_unref);
  g_free (request->reason);
  g_free (request->owner);
}

void
vf_request_free (VfRequest *request)
{
  g_rc_box_release_full (request, request_clear);
}

/* Answers once; later answers are for nobody. */
void
lane_answer (VfRequest *request, VfFreeze *freeze, const GError *error)
{
  if (request->answered)
    return;
  request->answered = TRUE;
  g_clear_pointer (&request->alarm, vf_alarm_cancel);
  if (freeze == NULL && request->reserved)
    {
      vf_world_unreserve (request->lane->world, request->uid);
      request->reserved = FALSE;
    }
  request->done (request, freeze, error, request->data);
}

static void
finish (VfLane *lane, VfRequest *request, GError *error)
{
  g_autoptr (GError) owned = error;

  g_assert (lane->current == request);
  lane->current = NULL;
  lane_answer (request, NULL, owned);
  vf_request_free (request);
}

void
lane_fail_requests (VfLane *lane, const GError *error)
{
  VfRequest *request;

  while ((request = g_queue_pop_head (&lane->requests)) != NULL)
    {
      lane_answer (request, NULL, error);
      vf_request_free (request);
    }
}

/* --- coming and going ----------------------------------------------------------------------- */

static void
on_timeout (gpointer data)
{
  VfRequest *request = data;
  VfLane *lane = request->lane;
  g_autoptr (GError) error = NULL;

  request->alarm = NULL;
  if (request == lane->undo_for)
    {
      /* It is known what went wrong. */
      lane_answer (request, NULL, lane->undo_error);
      return;
    }
  if (lane_wants_thaw (lane) && lane->attempts > 0)
    error = lane_error (lane, VF_ERROR_AGENT_UNAVAILABLE,
                        "an earlier freeze is still to be thawed, and the guest agent does not do "
                        "it; see to the agent in the guest");
  else
    error = lane_error (lane, VF_ERROR_TIMEOUT, "not frozen in time; %s",
                        request == lane->current && lane->step == STEP_FREEZE
                            ? "the guest is being thawed"
                            : "nothing was frozen");
  if (g_queue_remove (&lane->requests, request))
    {
      lane_answer (request, NULL, error);
      vf_request_free (request);
    }
  else
    lane_answer (request, NULL, error); /* its call is under way; what that froze is undone */
}

/* Freezes that the domain has, and those on their way. */
static guint
count_freezes (VfLane *lane)
{
  guint count = lane->domain->freezes->len;

  for (GList *l = lane->requests.head; l != NULL; l = l->next)
    count += ((VfRequest *) l->data)->reserved;
  return count + (lane->current != NULL && lane->current->reserved);
}

GError *
lane_refuse (VfLane *lane, VfRequest *request)
{
  GError *error = lane_unreachable (lane);

  if (lane->world->stopping)
    {
      g_clear_error (&error);
      return lane_error (lane, VF_ERROR_DISCONNECTED, "the service is being stopped");
    }
  if (error == NULL && !request->map_only)
    request->reserved = vf_world_reserve (lane->world, request->uid, count_freezes (lane), &error);
  else
    return error;
  return error != NULL ? lane_name_error (lane, error) : NULL;
}

/* The agent of a frozen guest does not tell: the map from before the freeze stands. */
static gboolean
map_stands (VfLane *lane)
{
  return vf_ledger_in_period (lane->ledger) && !lane_abilities (lane, lane->engine).grow;
}

void
vf_lane_request (VfLane *lane, VfRequest *request)
{
  gboolean known
      = request->map_only && map_stands (lane) && vf_ledger_get_map (lane->ledger) != NULL;
  g_autoptr (GError) error = NULL;

  request->lane = lane;
  error = known || request->reserved ? NULL : lane_refuse (lane, request);
  if (known || error != NULL)
    {
      lane_answer (request, NULL, error);
      vf_request_free (request);
      return;
    }
  request->alarm = vf_clock_set (lane->world->clock, request->deadline, on_timeout, request);
  g_clear_pointer (&lane->guard_pause, vf_alarm_cancel); /* what is in the way is tried again */
  g_queue_push_tail (&lane->requests, request);
  lane_step (lane);
}

static void
drop (VfRequest *request, const char *owner)
{
  g_autoptr (GError) error = NULL;

  if (request == NULL || g_strcmp0 (request->owner, owner) != 0)
    return;
  error = lane_error (request->lane, VF_ERROR_TIMEOUT, "its caller has left");
  lane_answer (request, NULL, error);
}

void
vf_lane_drop_requests (VfLane *lane, const char *owner)
{
  GList *next;

  for (GList *l = lane->requests.head; l != NULL; l = next)
    {
      VfRequest *request = l->data;

      next = l->next;
      if (g_strcmp0 (request->owner, owner) != 0)
        continue;
      g_queue_delete_link (&lane->requests, l);
      drop (request, owner);
      vf_request_free (request);
    }
  drop (lane->current, owner);
  drop (lane->undo_for, owner);
}

/* --- the steps ------------------------------------------------------------------------------ */

static void freeze_planned (VfLane *lane);
static void on_mapped (VfCall *call, gpointer data);
static void on_probed (VfCall *call, gpointer data);
static void on_frozen (VfCall *call, gpointer data);

void
lane_start_request (VfLane *lane)
{
  VfRequest *request = g_queue_pop_head (&lane->requests);
  const VfDomainInfo *info = lane->domain->info;
  g_auto (GStrv) now = vf_domain_info_targets (info);

  g_assert (lane->current == NULL);
  lane->current = request;
  for (guint i = 0; request->disks != NULL && request->disks[i] != NULL; i++)
    if (!g_strv_contains ((const char *const *) now, request->disks[i]))
      {
        finish (lane, request,
                lane_error (lane, VF_ERROR_UNKNOWN_DISK, "it has no disk “%s” any more",
                            request->disks[i]));
        return;
      }
  if (map_stands (lane))
    {
      if (!request->map_only)
        freeze_planned (lane);
      else if (vf_ledger_get_map (lane->ledger) != NULL)
        finish (lane, request, NULL);
      else
        finish (lane, request,
                lane_error (lane, VF_ERROR_NOT_MAPPED,
                            "it is frozen, and its filesystems were not known before"));
      return;
    }
  if (!info->agent_connected)
    {
      finish (lane, request,
              lane_error (lane, VF_ERROR_AGENT_UNAVAILABLE,
                          "its guest agent is not connected; install and start qemu-guest-agent "
                          "in the guest, and give the domain a channel “org.qemu.guest_agent.0”"));
      return;
    }
  if (lane->quarantined && !vf_slots_free_now (lane->world->slots, VF_SLOT_QUARANTINE))
    {
      finish (lane, request,
              lane_error (lane, VF_ERROR_AGENT_UNAVAILABLE,
                          "its guest agent did not answer the last call, and others like it are "
                          "being waited for; try again later"));
      return;
    }
  g_clear_pointer (&lane->map_targets, g_strfreev);
  lane->map_targets = g_steal_pointer (&now);
  lane_call (lane, STEP_MAP, VF_CALL_MAP, NULL, on_mapped, VF_SLOT_COMMON);
}

/* After an answer: is there still somebody to go on for? Otherwise the request is finished. */
static VfRequest *
look_again (VfLane *lane)
{
  VfRequest *request = lane->current;

  if (request->answered || request->unwanted)
    {
      finish (lane, request, NULL);
      return NULL;
    }
  if (lane->call_epoch != lane->epoch || !lane->domain->info->running)
    {
      finish (lane, request,
              lane_error (lane, VF_ERROR_NOT_RUNNING,
                          "it was stopped, reset or paused meanwhile; nothing was frozen"));
      return NULL;
    }
  return request;
}

static void
use_map (VfLane *lane, GPtrArray *map)
{
  VfRequest *request = lane->current;

  vf_ledger_set_map (lane->ledger, map, (const char *const *) lane->map_targets);
  if (!request->map_only)
    freeze_planned (lane);
  else if (map != NULL)
    finish (lane, request, NULL);
  else
    finish (
        lane, request,
        lane_error (lane, VF_ERROR_NOT_MAPPED, "its guest agent does not tell its filesystems"));
}

static void
on_mapped (VfCall *call, gpointer data)
{
  g_autoptr (VfCall) answer = call;
  VfLane *lane = lane_called (call, data);
  G_GNUC_UNUSED g_autoptr (VfDomain) domain = lane->domain; /* the call's reference */

  if (look_again (lane) == NULL)
    ;
  else if (answer->error == NULL)
    use_map (lane, answer->map);
  else if (!answer->answered)
    finish (lane, lane->current, lane_name_error (lane, g_steal_pointer (&answer->error)));
  else
    lane_call (lane, STEP_PROBE, VF_CALL_PROBE, NULL, on_probed, VF_SLOT_COMMON);
  lane_step (lane);
}

/* The agent refused the map: is it frozen, or was just that forbidden? */
static void
on_probed (VfCall *call, gpointer data)
{
  g_autoptr (VfCall) answer = call;
  VfLane *lane = lane_called (call, data);
  G_GNUC_UNUSED g_autoptr (VfDomain) domain = lane->domain;

  if (look_again (lane) == NULL)
    ;
  else if (answer->error == NULL && vf_ledger_in_period (lane->ledger))
    finish (lane, lane->current,
            lane_error (lane, VF_ERROR_AGENT_FAILED,
                        "its guest agent does not tell its filesystems now; nothing can be added "
                        "to what is frozen"));
  else if (answer->error == NULL)
    use_map (lane, NULL);
  else if (answer->answered)
    finish (lane, lane->current,
            lane_error (lane, VF_ERROR_FROZEN_ELSEWHERE,
                        "its guest agent is frozen already, and not by this service; whoever froze "
                        "it must thaw it (“virsh domfsthaw”)"));
  else
    finish (lane, lane->current, lane_name_error (lane, g_steal_pointer (&answer->error)));
  lane_step (lane);
}

/* MaxHold bounds the time that the guest is frozen by any chain of freezes. */
GError *
lane_check_max_hold (VfLane *lane, gint64 hold)
{
  gint64 max = lane->domain->config->max_hold, left;

  if (lane->since == 0)
    return NULL;
  left = lane->since + max - vf_clock_now ();
  if (hold <= left)
    return NULL;
  return lane_error (lane, VF_ERROR_LIMITS_EXCEEDED,
                     "it would be frozen for longer than MaxHold (%" G_GINT64_FORMAT
                     " s); %" G_GINT64_FORMAT " s are left, ask for a shorter hold, or wait until "
                     "it is thawed",
                     max / G_USEC_PER_SEC, MAX (left, 0) / G_USEC_PER_SEC);
}

/* Takes plan. NULL: the journal gives no number. */
static VfFreeze *
make_freeze (VfLane *lane, VfRequest *request, VfPlan *plan, VfEngine engine)
{
  VfWorld *world = lane->world;
  guint64 number
      = world->journal != NULL ? vf_journal_next_number (world->journal) : world->next_number++;
  VfFreeze *freeze = vf_freeze_new (lane->domain, number);

  freeze->disks = g_strdupv (request->disks);
  freeze->plan = plan;
  freeze->map = vf_ledger_get_map (lane->ledger);
  if (freeze->map != NULL)
    g_ptr_array_ref (freeze->map);
  freeze->owner = g_strdup (request->owner);
  freeze->uid = request->uid;
  freeze->reason = g_strdup (request->reason);
  freeze->lease = request->lease;
  freeze->scope = request->scope;
  freeze->engine = engine;
  freeze->group = request->group;
  return freeze;
}

void
lane_publish (VfLane *lane, VfFreeze *freeze)
{
  g_hash_table_add (lane->world->freezes, freeze);
  g_ptr_array_add (lane->domain->freezes, freeze);
  lane_set_deadline (lane);
  lane_show (lane);
  lane->world->observer->freeze_added (freeze, lane->world->observer_data);
}

GError *
vf_lane_journal_error (VfLane *lane, const GError *error)
{
  return lane_error (lane, VF_ERROR_LIMITS_EXCEEDED,
                     "nothing is frozen that cannot be recorded, and the journal cannot be "
                     "written: %s; see to the space in its folder",
                     error != NULL ? error->message : "no number for the freeze");
}

/* What a call of engine exec has frozen, or may have (doubtful). */
static GPtrArray *
frozen_by (const VfCall *call, gboolean doubtful)
{
  GPtrArray *list = vf_map_new ();

  for (guint i = 0; call != NULL && i < call->filesystems->len; i++)
    if (call->results[i] == VF_RESULT_DONE || (doubtful && call->results[i] == VF_RESULT_UNKNOWN))
      g_ptr_array_add (list, vf_filesystem_ref (g_ptr_array_index (call->filesystems, i)));
  return list;
}

static gboolean
commit (VfLane *lane, const VfFreeze *freeze, const VfCall *call, GError **error)
{
  g_autoptr (GPtrArray) frozen = NULL;

  if (call == NULL || freeze->engine != VF_ENGINE_EXEC)
    return vf_ledger_commit (lane->ledger, freeze->number, freeze->plan,
                             call != NULL ? call->count : 0, error);
  frozen = frozen_by (call, FALSE);
  return vf_ledger_commit_known (lane->ledger, freeze->number, freeze->plan, frozen, error);
}

/* Nothing came of it. Takes all; error may be NULL: it has been answered. */
static void
drop_freeze (VfLane *lane, VfFreeze *freeze, VfRequest *request, GError *error)
{
  lane_forget_record (lane, freeze);
  vf_freeze_unref (freeze);
  lane_answer (request, NULL, error);
  vf_request_free (request);
  g_clear_error (&error);
}

/* The guest is as planned: the freeze begins, or fails and is undone. call: that froze it; NULL:
 * all was frozen already. */
static void
record (VfLane *lane, const VfCall *call)
{
  VfRequest *request = g_steal_pointer (&lane->current);
  VfFreeze *freeze = g_steal_pointer (&lane->forming);
  gint64 now = vf_clock_now ();
  GError *error = NULL;

  VF_FAULT ("freeze-answered");
  if (!commit (lane, freeze, call, &error))
    {
      g_autoptr (GPtrArray) frozen = freeze->engine == VF_ENGINE_EXEC
                                         ? frozen_by (call, TRUE)
                                         : g_ptr_array_ref (freeze->plan->freeze);

      error = lane_name_error (lane, error);
      if (freeze->engine == VF_ENGINE_EXEC && frozen->len == 0)
        drop_freeze (lane, freeze, request, error);
      else
        lane_set_undo (lane, frozen, FALSE, freeze, request, error);
      return;
    }
  if (lane->since == 0)
    lane_begin_period (lane, freeze->engine, now, g_get_real_time ());
  vf_ledger_hold_counts (lane->ledger, freeze->number, &freeze->frozen, &freeze->skipped);
  freeze->created = g_get_real_time ();
  vf_freeze_set_deadline (freeze,
                          MIN (now + request->hold, lane->since + lane->domain->config->max_hold));
  if (!lane_record (lane, freeze, VF_PHASE_HELD, &error))
    {
      g_autoptr (GError) cause = error;
      g_autoptr (GError) told = vf_lane_journal_error (lane, cause);

      vf_ledger_release (lane->ledger, freeze->number);
      if (vf_plan_needs_freeze (freeze->plan))
        g_ptr_array_add (lane->ended, vf_freeze_ref (freeze)); /* as “freezing” it is thawed, too */
      else
        lane_forget_record (lane, freeze);
      if (request->frozen != NULL)
        request->freeze = vf_freeze_ref (freeze); /* its group waits for that */
      lane_answer (request, NULL, told);
      vf_request_free (request);
      vf_freeze_unref (freeze);
      return;
    }
  VF_FAULT ("held-recorded");
  if (request->frozen != NULL)
    {
      lane_hide (lane, request, freeze);
      return;
    }
  request->reserved = FALSE; /* the freeze counts now */
  lane_publish (lane, freeze);
  vf_freeze_ref (freeze);
  lane_answer (request, freeze, NULL);
  vf_request_free (request);
  vf_log_frozen (freeze); /* the caller need not wait for that */
  vf_freeze_unref (freeze);
}

/*
 * qemu-ga logs every guest-exec: with the log on a frozen filesystem, it could hang before it can
 * thaw. So what may hold the log is frozen by the agent itself.
 */
static gboolean
needs_agent (VfLane *lane, const VfRequest *request, const VfPlan *plan)
{
  if (plan->whole || plan->everything || request->scope == VF_SCOPE_DOMAIN)
    return TRUE;
  for (guint i = 0; i < plan->covers->len; i++)
    {
      const VfFilesystem *fs = vf_ledger_find (lane->ledger, g_ptr_array_index (plan->covers, i));

      for (guint m = 0; m < fs->mountpoints->len; m++)
        {
          const char *path = g_ptr_array_index (fs->mountpoints, m);
          if (g_str_equal (path, "/") || g_str_equal (path, "/var")
              || g_str_has_prefix (path, "/var/"))
            return TRUE;
        }
    }
  return FALSE;
}

/* One engine a frozen period, chosen by the freeze that starts it. FALSE: error. */
static gboolean
choose_engine (VfLane *lane, const VfRequest *request, const VfPlan *plan, VfEngine *engine,
               GError **error)
{
  *engine = lane_engine (lane);
  if (*engine == VF_ENGINE_EXEC && needs_agent (lane, request, plan))
    {
      if (vf_ledger_in_period (lane->ledger))
        {
          g_set_error_literal (error, VF_ERROR, VF_ERROR_CONFLICT,
                               "some of its filesystems are frozen one by one, while this needs "
                               "“/”, “/var” or all of them, which are frozen together; try again "
                               "when the guest is thawed");
          return FALSE;
        }
      *engine = VF_ENGINE_AGENT;
    }
  if (*engine == VF_ENGINE_AGENT && g_hash_table_size (lane->guards) > 0)
    {
      g_set_error_literal (error, VF_ERROR, VF_ERROR_AGENT_UNAVAILABLE,
                           "a process of an earlier freeze that would thaw it still runs in the "
                           "guest and could not be ended; try again later");
      return FALSE;
    }
  return TRUE;
}

/* As the guest lists them: what was mounted later comes first, so that no filesystem is frozen
 * before one that is kept in a file of it. */
static GPtrArray *
in_order (VfLane *lane, GPtrArray *filesystems)
{
  GPtrArray *map = vf_ledger_get_map (lane->ledger);
  GPtrArray *list = vf_map_new ();

  for (guint i = 0; map != NULL && i < map->len; i++)
    if (g_ptr_array_find (filesystems, g_ptr_array_index (map, i), NULL))
      g_ptr_array_add (list, vf_filesystem_ref (g_ptr_array_index (map, i)));
  return list;
}

static void
call_freeze (VfLane *lane, GPtrArray *guards)
{
  const VfPlan *plan = lane->forming->plan;

  if (lane->forming->engine == VF_ENGINE_EXEC)
    lane_call_exec (lane, STEP_FREEZE, VF_CALL_EXEC_FREEZE, in_order (lane, plan->freeze),
                    g_ptr_array_ref (guards), on_frozen, VF_SLOT_COMMON);
  else
    lane_call (lane, STEP_FREEZE, VF_CALL_FREEZE,
               plan->freeze_all ? NULL : lane_mountpoints (plan->freeze), on_frozen,
               VF_SLOT_COMMON);
}

static void
freeze_planned (VfLane *lane)
{
  VfRequest *request = lane->current;
  g_auto (GStrv) now = vf_domain_info_targets (lane->domain->info);
  GError *error = lane_check_max_hold (lane, request->hold);
  g_autoptr (GPtrArray) guards = NULL;
  VfPlan *plan;
  VfEngine engine;

  if (error != NULL)
    {
      finish (lane, request, error);
      return;
    }
  plan = vf_ledger_plan (lane->ledger, (const char *const *) request->disks, request->scope,
                         lane_abilities (lane, lane_engine (lane)), (const char *const *) now,
                         &error);
  if (plan == NULL || !choose_engine (lane, request, plan, &engine, &error))
    {
      g_clear_pointer (&plan, vf_plan_free);
      finish (lane, request, lane_name_error (lane, error));
      return;
    }
  guards = engine == VF_ENGINE_EXEC
               ? lane_guards_to_set (lane, plan, plan->freeze, vf_clock_now () + request->hold)
               : g_ptr_array_new ();
  lane->forming = make_freeze (lane, request, plan, engine);
  if (!vf_plan_needs_freeze (plan) && guards->len == 0 && lane->forming->number != 0)
    {
      record (lane, NULL);
      return;
    }
  VF_FAULT ("freeze-unrecorded");
  if (lane->forming->number == 0 || !lane_record (lane, lane->forming, VF_PHASE_FREEZING, &error))
    {
      g_autoptr (GError) cause = error;

      g_clear_pointer (&lane->forming, vf_freeze_unref);
      finish (lane, request, vf_lane_journal_error (lane, cause));
      return;
    }
  VF_FAULT ("freeze-recorded");
  lane->ever_frozen = TRUE;
  call_freeze (lane, guards);
  VF_FAULT ("freeze-called");
  lane_show (lane);
}

/* What became of the call is not to stay: it is undone, or was never done. */
static void
discard (VfLane *lane, VfCall *call)
{
  VfRequest *request = g_steal_pointer (&lane->current);
  VfFreeze *freeze = g_steal_pointer (&lane->forming);
  const VfDomainInfo *info = lane->domain->info;
  gboolean overtaken = lane->call_epoch != lane->epoch;
  gboolean gone = lane->domain->gone || (overtaken && !(info->active && call->run == info->run));
  gboolean failed = call->error != NULL; /* in doubt, if it was sent */
  GError *error = failed ? lane_name_error (lane, g_steal_pointer (&call->error)) : NULL;

  if (overtaken)
    {
      /* Reset or stopped in between: before or after the freeze, who knows. */
      g_clear_error (&error);
      error = lane_error (lane, VF_ERROR_NOT_RUNNING,
                          "it was stopped or reset while it was being frozen");
    }
  if (freeze->engine == VF_ENGINE_EXEC && !overtaken)
    {
      g_autoptr (GPtrArray) frozen = frozen_by (call, TRUE);

      if (!gone && frozen->len > 0)
        {
          lane_set_undo (lane, frozen, failed, freeze, request, error);
          return;
        }
    }
  else if (!gone && (!failed || call->sent))
    {
      lane_set_undo (lane, overtaken ? NULL : freeze->plan->freeze, failed || overtaken, freeze,
                     request, error);
      return;
    }
  drop_freeze (lane, freeze, request, error);
}

static void
on_frozen (VfCall *call, gpointer data)
{
  g_autoptr (VfCall) answer = call;
  VfLane *lane = lane_called (call, data);
  G_GNUC_UNUSED g_autoptr (VfDomain) domain = lane->domain;

  if (answer->guards != NULL && lane->call_epoch == lane->epoch)
    lane_guards_set (lane, answer);
  if (lane->call_epoch != lane->epoch || answer->error != NULL || lane->current->answered
      || lane->current->unwanted)
    discard (lane, answer);
  else
    record (lane, answer);
  lane_check_restored (lane); /* that has waited for this answer */
  lane_step (lane);
}
