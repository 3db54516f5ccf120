/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lane-private.h"

#include <string.h>

/* VSS thaws by itself after 10 s. */
#define WINDOWS_LIMIT (10 * G_USEC_PER_SEC)

VfLane *
vf_lane_new (VfDomain *domain)
{
  VfLane *lane = g_new0 (VfLane, 1);

  lane->domain = domain;
  lane->world = domain->world;
  lane->ledger = vf_ledger_new ();
  g_queue_init (&lane->requests);
  g_queue_init (&lane->renewals);
  lane->guards = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, lane_guard_free);
  lane->swept = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  lane->unanswered = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  lane->settles = g_ptr_array_new_with_free_func (lane_settle_free);
  lane->brakes = lane_waiters_new ();
  lane->braking = lane_waiters_new ();
  lane->ended = g_ptr_array_new_with_free_func ((GDestroyNotify) vf_freeze_unref);
  lane->members = g_ptr_array_new_with_free_func ((GDestroyNotify) vf_request_free);
  return lane;
}

void
vf_lane_free (VfLane *lane)
{
  g_clear_pointer (&lane->retry, vf_alarm_cancel);
  g_clear_pointer (&lane->pause, vf_alarm_cancel);
  g_clear_pointer (&lane->deadline, vf_alarm_cancel);
  g_clear_pointer (&lane->verify, vf_alarm_cancel);
  g_clear_pointer (&lane->guest_limit, vf_alarm_cancel);
  g_queue_clear_full (&lane->requests, (GDestroyNotify) vf_request_free);
  g_clear_pointer (&lane->current, vf_request_free);
  g_queue_clear_full (&lane->renewals, lane_renewal_free);
  g_clear_pointer (&lane->renewing, lane_renewal_free);
  g_clear_pointer (&lane->guard_pause, vf_alarm_cancel);
  g_hash_table_unref (lane->guards);
  g_hash_table_unref (lane->unanswered);
  g_hash_table_unref (lane->swept);
  g_clear_pointer (&lane->map_targets, g_strfreev);
  g_clear_pointer (&lane->forming, vf_freeze_unref);
  g_clear_pointer (&lane->undo_freeze, vf_freeze_unref);
  g_clear_pointer (&lane->saved, vf_freeze_unref);
  g_ptr_array_unref (lane->ended);
  g_ptr_array_unref (lane->members);
  g_clear_pointer (&lane->undo, vf_thaw_plan_free);
  g_clear_pointer (&lane->undo_for, vf_request_free);
  g_clear_error (&lane->undo_error);
  g_clear_pointer (&lane->thawing, vf_thaw_plan_free);
  g_ptr_array_unref (lane->settles);
  g_ptr_array_unref (lane->brakes);
  g_ptr_array_unref (lane->braking);
  vf_ledger_free (lane->ledger);
  g_free (lane);
}

GError *
lane_error (VfLane *lane, VfError code, const char *format, ...)
{
  g_autofree char *text = NULL;
  g_autofree char *name = vf_text_escape (lane->domain->info->name);
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  return g_error_new (VF_ERROR, code, "Domain “%s”: %s", name, text);
}

GError *
lane_name_error (VfLane *lane, GError *error)
{
  GError *named = lane_error (lane, (VfError) error->code, "%s", error->message);

  g_error_free (error);
  return named;
}

/* What the engine can do to a guest of which something is frozen. */
VfEngine
lane_engine (VfLane *lane)
{
  return vf_ledger_in_period (lane->ledger) ? lane->engine : vf_domain_engine (lane->domain);
}

VfAbilities
lane_abilities (VfLane *lane, VfEngine engine)
{
  VfHypervisor *hypervisor = lane->world->hypervisor;

  /* A frozen qemu-ga refuses to freeze more. That it cannot thaw a part is libvirt's answer, which
   * a later libvirt may give otherwise. */
  if (engine == VF_ENGINE_AGENT)
    return (VfAbilities){ .grow = FALSE, .thaw_part = !hypervisor->no_part_thaw };
  return (VfAbilities){ .grow = TRUE, .thaw_part = TRUE };
}

char **
lane_mountpoints (GPtrArray *filesystems)
{
  g_autoptr (GPtrArray) list = g_ptr_array_new ();

  /* All of a device's: the agent freezes each device once, whichever it comes to first. */
  for (guint i = 0; i < filesystems->len; i++)
    {
      const VfFilesystem *fs = g_ptr_array_index (filesystems, i);

      for (guint m = 0; m < fs->mountpoints->len; m++)
        g_ptr_array_add (list, g_strdup (g_ptr_array_index (fs->mountpoints, m)));
    }
  g_ptr_array_add (list, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&list), FALSE);
}

/* --- calls ---------------------------------------------------------------------------------- */

/* A freeze that waits for its turn is not made for somebody who has left. */
static gboolean
is_wanted (gpointer data)
{
  VfLane *lane = data;

  return lane->current == NULL || !(lane->current->answered || lane->current->unwanted);
}

static void
send (VfLane *lane, Step step, VfCall *call, void (*done) (VfCall *call, gpointer data),
      VfSlotClass slot_class)
{
  call->made = vf_clock_now ();
  call->agent_timeout = lane->domain->config->agent_timeout;
  call->wanted = is_wanted;
  call->done = done;
  call->data = lane;
  lane->step = step;
  lane->call = call;
  lane->call_class = slot_class;
  lane->call_epoch = lane->epoch;
  vf_domain_ref (lane->domain); /* until lane_called() */
  vf_slots_call (lane->world->slots, call, lane->quarantined ? VF_SLOT_QUARANTINE : slot_class);
}

void
lane_call (VfLane *lane, Step step, VfCallKind kind, char **mountpoints,
           void (*done) (VfCall *call, gpointer data), VfSlotClass slot_class)
{
  const VfDomainInfo *info = lane->domain->info;
  VfCall *call = vf_call_new (kind, info->uuid, info->run);

  call->mountpoints = mountpoints;
  send (lane, step, call, done, slot_class);
}

void
lane_call_exec (VfLane *lane, Step step, VfCallKind kind, GPtrArray *filesystems, GPtrArray *guards,
                void (*done) (VfCall *call, gpointer data), VfSlotClass slot_class)
{
  const VfDomainInfo *info = lane->domain->info;
  VfCall *call = vf_call_new (kind, info->uuid, info->run);

  vf_call_set_filesystems (call, filesystems, guards, vf_ledger_get_map (lane->ledger));
  call->in_doubt = lane->thawing_undo && lane->in_doubt;
  send (lane, step, call, done, slot_class);
}

VfLane *
lane_called (VfCall *call, gpointer data)
{
  VfLane *lane = data;

  lane->step = STEP_IDLE;
  lane->call = NULL;
  if (call->error == NULL || call->answered)
    lane->quarantined = FALSE;
  else if (call->timed_out)
    lane->quarantined = TRUE;
  return lane;
}

/* --- order of work ------------------------------------------------------------------------- */

GError *
lane_unreachable (VfLane *lane)
{
  const VfDomainInfo *info = lane->domain->info;

  if (!lane->world->connected)
    return lane_error (lane, VF_ERROR_DISCONNECTED,
                       "there is no connection to libvirt; it is being retried");
  if (!info->running)
    return lane_error (lane, VF_ERROR_NOT_RUNNING, "it is %s; only a running guest can be %s",
                       info->state, vf_ledger_in_period (lane->ledger) ? "thawed" : "frozen");
  return NULL;
}

/* One piece of work. Returns whether there may be more to do at once. */
static gboolean
work (VfLane *lane)
{
  g_autoptr (GError) unreachable = lane_unreachable (lane);

  if (unreachable != NULL)
    {
      /* Debts stay; nobody waits for what cannot be done now. What was not ours is not owed. */
      lane->brake = FALSE;
      lane_fail_requests (lane, unreachable);
      lane_fail_waiters (lane, unreachable);
      return FALSE;
    }
  if (lane->brake)
    lane_start_brake (lane);
  else if (lane->retry == NULL && lane_wants_thaw (lane))
    lane_start_thaw (lane);
  else if (lane_wants_verify (lane) && (lane->retry == NULL || vf_ledger_has_holds (lane->ledger)))
    lane_start_verify (lane);
  else if (!g_queue_is_empty (&lane->renewals))
    lane_start_renewal (lane);
  else if (lane_wants_guards (lane))
    lane_start_guards (lane);
  else if (lane->retry == NULL && !g_queue_is_empty (&lane->requests))
    lane_start_request (lane);
  else
    return FALSE;
  return TRUE;
}

void
lane_step (VfLane *lane)
{
  if (lane->busy_stepping)
    return;
  vf_domain_ref (lane->domain);
  lane->busy_stepping = TRUE;
  while (lane->step == STEP_IDLE && work (lane))
    ;
  lane->busy_stepping = FALSE;
  lane_sweep_records (lane);
  lane_show (lane);
  lane_tell_members (lane);
  if (lane->world->settled != NULL && vf_lane_is_settled (lane))
    lane->world->settled (lane->world->settled_data);
  vf_domain_unref (lane->domain);
}

gboolean
vf_lane_is_settled (VfLane *lane)
{
  return lane->step == STEP_IDLE && lane->undo == NULL && lane->attempts == 0
         && !vf_ledger_in_period (lane->ledger) && g_queue_is_empty (&lane->requests);
}

/* --- what is shown -------------------------------------------------------------------------- */

static VfGuestState
guest_state (VfLane *lane)
{
  if (lane->undo != NULL)
    return lane->in_doubt ? VF_GUEST_IN_DOUBT : VF_GUEST_THAWING;
  if (vf_ledger_in_period (lane->ledger))
    return lane->attempts > 0 || !vf_ledger_has_holds (lane->ledger) ? VF_GUEST_THAWING
                                                                     : VF_GUEST_FROZEN;
  if (lane->step == STEP_THAW && lane->call_epoch == lane->epoch)
    return VF_GUEST_THAWING; /* otherwise it is for what is no more */
  return lane->step == STEP_FREEZE ? VF_GUEST_FREEZING : VF_GUEST_THAWED;
}

void
lane_show (VfLane *lane)
{
  VfGuestState state = guest_state (lane);
  VfDomainChange what = 0;

  if (state != lane->shown)
    what |= VF_DOMAIN_FREEZE_STATE;
  if (lane->since_real != lane->shown_since)
    what |= VF_DOMAIN_SINCE;
  lane->shown = state;
  lane->shown_since = lane->since_real;
  if (what != 0 && !lane->domain->gone)
    lane->world->observer->domain_changed (lane->domain, what, lane->world->observer_data);
}

VfGuestState
vf_lane_guest_state (VfLane *lane)
{
  return lane->shown;
}

const char *
vf_guest_state_word (VfGuestState state)
{
  static const char *const words[] = { "thawed", "freezing", "frozen", "thawing", "in-doubt" };

  return words[state];
}

gint64
vf_lane_frozen_since (VfLane *lane)
{
  return lane->shown_since;
}

GPtrArray *
vf_lane_get_map (VfLane *lane)
{
  return vf_ledger_get_map (lane->ledger);
}

gboolean
vf_lane_is_frozen (VfLane *lane, const VfFilesystem *fs)
{
  return vf_ledger_is_frozen (lane->ledger, fs->device);
}

/* --- the frozen period ---------------------------------------------------------------------- */

static void
on_deadline (gpointer data)
{
  VfLane *lane = data;
  g_autoptr (GPtrArray) due = g_ptr_array_new ();
  gint64 now = vf_clock_now ();

  lane->deadline = NULL;
  for (guint i = 0; i < lane->domain->freezes->len; i++)
    {
      VfFreeze *freeze = g_ptr_array_index (lane->domain->freezes, i);
      if (freeze->state == VF_FREEZE_HELD && freeze->deadline <= now)
        g_ptr_array_add (due, freeze);
    }
  for (guint i = 0; i < due->len; i++)
    lane_lose (lane, g_ptr_array_index (due, i), VF_LOST_EXPIRED);
  lane_set_deadline (lane);
  lane_step (lane);
}

/* One alarm, for the freeze that expires first. */
void
lane_set_deadline (VfLane *lane)
{
  gint64 first = G_MAXINT64;

  g_clear_pointer (&lane->deadline, vf_alarm_cancel);
  for (guint i = 0; i < lane->domain->freezes->len; i++)
    {
      VfFreeze *freeze = g_ptr_array_index (lane->domain->freezes, i);
      if (freeze->state == VF_FREEZE_HELD)
        first = MIN (first, freeze->deadline);
    }
  if (first != G_MAXINT64)
    lane->deadline = vf_clock_set (lane->world->clock, first, on_deadline, lane);
}

static void
on_verify (gpointer data)
{
  VfLane *lane = data;

  lane->verify = NULL;
  lane->verify_due = TRUE;
  lane_step (lane);
}

void
lane_plan_verify (VfLane *lane)
{
  gint64 interval = vf_config_get_verify_interval (lane->world->config);

  if (lane->verify == NULL && lane->engine != VF_ENGINE_TEST && vf_ledger_in_period (lane->ledger))
    lane->verify = vf_clock_set (lane->world->clock, vf_clock_now () + interval, on_verify, lane);
}

static void
on_guest_limit (gpointer data)
{
  VfLane *lane = data;

  lane->guest_limit = NULL;
  lane_lose_all (lane, VF_LOST_GUEST_TIME_LIMIT);
  lane_step (lane);
}

static gboolean
is_windows (VfLane *lane)
{
  GPtrArray *map = vf_ledger_get_map (lane->ledger);

  for (guint i = 0; map != NULL && i < map->len; i++)
    if (vf_filesystem_is_windows (g_ptr_array_index (map, i)))
      return TRUE;
  return FALSE;
}

void
lane_begin_period (VfLane *lane, VfEngine engine, gint64 since, gint64 since_real)
{
  lane->since = since;
  lane->since_real = since_real;
  lane->engine = engine;
  lane->ever_frozen = TRUE;
  lane_plan_verify (lane);
  if (is_windows (lane))
    lane->guest_limit
        = vf_clock_set (lane->world->clock, lane->since + WINDOWS_LIMIT, on_guest_limit, lane);
}

void
lane_end_period (VfLane *lane)
{
  lane->since = lane->since_real = 0;
  g_hash_table_remove_all (lane->unanswered);
  lane->verify_due = FALSE;
  g_clear_pointer (&lane->verify, vf_alarm_cancel);
  g_clear_pointer (&lane->guest_limit, vf_alarm_cancel);
  lane_set_deadline (lane);
}

/* --- what happens outside ------------------------------------------------------------------- */

/* Stopped, and nobody saw how: if it was saved, its memory may come back, or is back, frozen. */
static void
stopped_unseen (VfLane *lane)
{
  gboolean known = lane->saved != NULL;

  lane_note_saved (lane);
  lane->saved_guess = !known && lane->saved != NULL;
  lane_thawed_by_itself (lane, VF_LOST_DOMAIN_STOPPED);
}

void
vf_lane_gone (VfLane *lane)
{
  stopped_unseen (lane);
  lane_step (lane);
}

void
vf_lane_info_changed (VfLane *lane, const VfDomainInfo *old)
{
  const VfDomainInfo *info = lane->domain->info;
  g_auto (GStrv) targets = vf_domain_info_targets (info);

  /* A disk that went takes the knowledge of its target along. */
  vf_ledger_keep_targets (lane->ledger, (const char *const *) targets);
  if (old->run != -1 && old->run != info->run)
    stopped_unseen (lane); /* after an event for it, nothing is left to do */
  if (old->run != info->run && info->active && lane->saved != NULL)
    lane->restored = TRUE; /* an event for a start from its disks would have forgotten that */
  lane_check_restored (lane);
  if ((!old->agent_connected && info->agent_connected) || (!old->running && info->running))
    lane_retry_now (lane);
  lane_step (lane);
}

void
vf_lane_event (VfLane *lane, VfEvent event)
{
  switch (event)
    {
    case VF_EVENT_RESET:
      lane_thawed_by_itself (lane, VF_LOST_RESET);
      break;
    case VF_EVENT_SAVED:
      lane_note_saved (lane);
      lane->restored = FALSE;
      lane_thawed_by_itself (lane, VF_LOST_DOMAIN_STOPPED);
      break;
    case VF_EVENT_STOPPED:
      lane->restored = FALSE;
      if (lane->saved_guess)
        lane_forget_saved (lane); /* it was not saved, after all */
      lane_thawed_by_itself (lane, VF_LOST_DOMAIN_STOPPED);
      break;
    case VF_EVENT_BOOTED:
      lane_forget_saved (lane);
      lane_guards_forget (lane);
      break;
    case VF_EVENT_MIGRATED:
      lane_note_saved (lane); /* it may come back */
      lane->restored = FALSE;
      lane_thawed_by_itself (lane, VF_LOST_MIGRATED);
      break;
    case VF_EVENT_RESTORED:
      vf_lane_restored (lane);
      return;
    case VF_EVENT_AGENT_CONNECTED:
      lane->quarantined = FALSE; /* a new agent */
      if (lane->call != NULL)
        vf_slots_end_quarantine (lane->world->slots, lane->call, lane->call_class);
      lane_guards_doubt (lane); /* they may have been stopped with the old one */
      lane_retry_now (lane);
      break;
    case VF_EVENT_RESUMED:
      lane_retry_now (lane);
      break;
    }
  lane_step (lane);
}

void
vf_lane_connection_changed (VfLane *lane)
{
  if (lane->world->connected)
    {
      lane_retry_now (lane);
      lane->verify_due = vf_ledger_in_period (lane->ledger);
    }
  else
    {
      g_autoptr (GError) error = lane_unreachable (lane);

      lane_fail_requests (lane, error);
      lane_fail_waiters (lane, error);
    }
  lane_step (lane);
}

void
vf_lane_stop (VfLane *lane)
{
  g_autoptr (GError) error
      = lane_error (lane, VF_ERROR_DISCONNECTED, "the service is being stopped");
  g_autoptr (GPtrArray) freezes = g_ptr_array_copy (lane->domain->freezes, NULL, NULL);

  lane_fail_requests (lane, error);
  lane_fail_renewals (lane, error);
  if (lane->current != NULL)
    lane_answer (lane->current, NULL, error); /* what it freezes is undone */
  for (guint i = 0; i < freezes->len; i++)
    lane_release (lane, g_ptr_array_index (freezes, i), VF_RELEASED_SERVICE_STOPPING);
  lane_retry_now (lane);
  lane_step (lane);
}
