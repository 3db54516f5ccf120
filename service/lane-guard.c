/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dead man's switches of engine exec: a process in the guest for each frozen filesystem, which
 * thaws it a little after the latest deadline that covers it if the host does not come back.
 *
 * Freezes and renewals set them first and thaws end them last, in the same calls. What these leave
 * otherwise than it should be (a freeze that failed, one that ended before others, a new agent, a
 * restart of the service) is put right when the lane has nothing more urgent to do.
 */
#include "lane-private.h"

/* So long after its time even one of a guest that was paused has gone off. */
#define LAPSED (10 * G_TIME_SPAN_MINUTE)

/* Nearer than that is right. */
#define NEAR G_USEC_PER_SEC

void
lane_guard_free (gpointer data)
{
  LaneGuard *entry = data;

  vf_guard_free (entry->guard);
  g_free (entry);
}

static GPtrArray *
list_new (void)
{
  return g_ptr_array_new_with_free_func ((GDestroyNotify) vf_guard_free);
}

static void
put (VfLane *lane, const VfGuard *guard, gboolean sure)
{
  LaneGuard *entry = g_new0 (LaneGuard, 1);

  entry->guard = vf_guard_new (guard->fs, guard->until);
  entry->guard->pid = sure ? guard->pid : 0;
  entry->sure = sure;
  g_hash_table_replace (lane->guards, entry->guard->fs->device, entry);
  if (sure)
    g_hash_table_add (lane->swept, g_strdup (guard->fs->device));
}

/* By the setting, or by what it was when the filesystem was frozen. */
static gboolean
is_guarded (VfLane *lane, const char *device)
{
  return lane->domain->config->freeze_guard || g_hash_table_contains (lane->guards, device);
}

/* The latest deadline (boot time, µs) of those that hold a filesystem; 0: nobody does, or it needs
 * no guard. */
static gint64
latest_deadline (VfLane *lane, const char *device)
{
  gint64 latest = 0;

  if (lane_engine (lane) != VF_ENGINE_EXEC || !is_guarded (lane, device)
      || !vf_ledger_is_frozen (lane->ledger, device))
    return 0;
  for (guint i = 0; i < lane->domain->freezes->len; i++)
    {
      VfFreeze *freeze = g_ptr_array_index (lane->domain->freezes, i);

      if (freeze->state == VF_FREEZE_HELD
          && g_ptr_array_find_with_equal_func (freeze->plan->covers, device, g_str_equal, NULL))
        latest = MAX (latest, freeze->deadline);
    }
  return latest;
}

GPtrArray *
lane_guards_to_set (VfLane *lane, const VfPlan *plan, GPtrArray *freeze, gint64 until)
{
  GPtrArray *guards = list_new ();

  for (guint i = 0; i < plan->covers->len; i++)
    {
      const char *device = g_ptr_array_index (plan->covers, i);
      const LaneGuard *entry = g_hash_table_lookup (lane->guards, device);
      VfFilesystem *fs = vf_ledger_find (lane->ledger, device);
      VfGuard *guard;

      if (!vf_ledger_is_frozen (lane->ledger, device)
          && (freeze == NULL || !g_ptr_array_find (freeze, fs, NULL)))
        continue; /* of a type that cannot freeze */
      if (!is_guarded (lane, device))
        continue;
      if (entry != NULL && entry->sure && entry->guard->until >= until)
        continue;
      guard = vf_guard_new (fs, MAX (until, latest_deadline (lane, device)));
      guard->replaces = entry != NULL || !g_hash_table_contains (lane->swept, device);
      g_ptr_array_add (guards, guard);
    }
  return guards;
}

GPtrArray *
lane_guards_to_end (VfLane *lane, GPtrArray *filesystems)
{
  GPtrArray *guards = list_new ();

  for (guint i = 0; i < filesystems->len; i++)
    {
      const VfFilesystem *fs = g_ptr_array_index (filesystems, i);
      const LaneGuard *entry = g_hash_table_lookup (lane->guards, fs->device);

      if (entry == NULL)
        continue;
      g_ptr_array_add (guards, vf_guard_new (entry->guard->fs, entry->guard->until));
      ((VfGuard *) g_ptr_array_index (guards, guards->len - 1))->pid = entry->guard->pid;
    }
  return guards;
}

static void
on_pause_over (gpointer data)
{
  VfLane *lane = data;

  lane->guard_pause = NULL;
  lane_step (lane);
}

static void
pause_guards (VfLane *lane)
{
  gint64 interval = vf_config_get_verify_interval (lane->world->config);

  if (lane->guard_pause == NULL)
    lane->guard_pause
        = vf_clock_set (lane->world->clock, vf_clock_now () + interval, on_pause_over, lane);
}

void
lane_guards_set (VfLane *lane, const VfCall *call)
{
  gboolean refused = call->answered || !call->sent;

  for (guint i = 0; i < call->guards->len; i++)
    {
      const VfGuard *guard = g_ptr_array_index (call->guards, i);
      LaneGuard *entry = g_hash_table_lookup (lane->guards, guard->fs->device);

      if (call->error == NULL)
        put (lane, guard, TRUE);
      else if (entry != NULL)
        entry->sure = FALSE;
      else if (guard->pid != 0 || !refused) /* it runs, or may */
        put (lane, guard, FALSE);
    }
  if (call->error != NULL && call->filesystems->len == 0)
    pause_guards (lane);
}

void
lane_guards_ended (VfLane *lane, const VfCall *call)
{
  for (guint i = 0; i < call->guards->len; i++)
    {
      const char *device = ((VfGuard *) g_ptr_array_index (call->guards, i))->fs->device;
      LaneGuard *entry = g_hash_table_lookup (lane->guards, device);

      if (call->error == NULL && !call->guards_left)
        g_hash_table_remove (lane->guards, device);
      else if (entry != NULL)
        entry->sure = FALSE;
    }
  if (call->guards_left)
    pause_guards (lane);
}

void
lane_guards_forget (VfLane *lane)
{
  g_hash_table_remove_all (lane->guards);
  g_hash_table_remove_all (lane->swept);
  g_clear_pointer (&lane->guard_pause, vf_alarm_cancel);
}

void
lane_guards_doubt (VfLane *lane)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, lane->guards);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    ((LaneGuard *) value)->sure = FALSE;
  g_hash_table_remove_all (lane->swept);
  g_clear_pointer (&lane->guard_pause, vf_alarm_cancel);
}

void
lane_guards_adopt (VfLane *lane, GPtrArray *filesystems, gint64 until)
{
  for (guint i = 0; i < filesystems->len; i++)
    {
      const VfGuard guard = { .fs = g_ptr_array_index (filesystems, i), .until = until };

      put (lane, &guard, FALSE);
    }
}

/* --- putting right ---------------------------------------------------------------------------- */

/* What is to be ended, since the filesystem is thawed, or to be set anew. */
static void
list_wrong (VfLane *lane, GPtrArray *to_end, GPtrArray *to_set)
{
  GHashTableIter iter;
  gpointer device, value;

  g_hash_table_iter_init (&iter, lane->guards);
  while (g_hash_table_iter_next (&iter, &device, &value))
    {
      const LaneGuard *entry = value;
      gint64 due = latest_deadline (lane, device);
      VfGuard *guard;

      if (due == 0 && vf_clock_now () > entry->guard->until + LAPSED)
        {
          g_hash_table_iter_remove (&iter);
          continue;
        }
      if (due != 0 ? entry->sure && ABS (entry->guard->until - due) <= NEAR
                   : lane->undo != NULL || vf_ledger_is_frozen (lane->ledger, device))
        continue; /* right; or the last help for a guest whose thaw is owed */
      guard = vf_guard_new (entry->guard->fs, due != 0 ? due : entry->guard->until);
      guard->pid = due != 0 ? 0 : entry->guard->pid;
      guard->replaces = due != 0;
      g_ptr_array_add (due != 0 ? to_set : to_end, guard);
    }
}

gboolean
lane_wants_guards (VfLane *lane)
{
  g_autoptr (GPtrArray) to_end = NULL;
  g_autoptr (GPtrArray) to_set = NULL;

  if (g_hash_table_size (lane->guards) == 0 || lane->guard_pause != NULL
      || !lane->domain->info->agent_connected || lane_is_quarantined (lane))
    return FALSE;
  to_end = list_new ();
  to_set = list_new ();
  list_wrong (lane, to_end, to_set);
  return to_end->len + to_set->len > 0;
}

static void
on_ended (VfCall *call, gpointer data)
{
  g_autoptr (VfCall) answer = call;
  VfLane *lane = lane_called (call, data);
  G_GNUC_UNUSED g_autoptr (VfDomain) domain = lane->domain;

  answer->guards_left = answer->error != NULL;
  if (lane->call_epoch == lane->epoch)
    lane_guards_ended (lane, answer);
  lane_step (lane);
}

static void
on_set (VfCall *call, gpointer data)
{
  g_autoptr (VfCall) answer = call;
  VfLane *lane = lane_called (call, data);
  G_GNUC_UNUSED g_autoptr (VfDomain) domain = lane->domain;

  if (lane->call_epoch == lane->epoch)
    lane_guards_set (lane, answer);
  lane_step (lane);
}

void
lane_start_guards (VfLane *lane)
{
  g_autoptr (GPtrArray) to_end = list_new ();
  g_autoptr (GPtrArray) to_set = list_new ();

  list_wrong (lane, to_end, to_set);
  if (to_end->len > 0)
    lane_call_exec (lane, STEP_GUARD, VF_CALL_EXEC_THAW, vf_map_new (), g_steal_pointer (&to_end),
                    on_ended, VF_SLOT_COMMON);
  else
    lane_call_exec (lane, STEP_GUARD, VF_CALL_EXEC_FREEZE, vf_map_new (), g_steal_pointer (&to_set),
                    on_set, VF_SLOT_COMMON);
}
