/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a lane writes to the journal, and how it takes up what an earlier process wrote. */
#include "lane-private.h"

#include "fault.h"
#include "log.h"

/* Strings of the record belong to freeze and world; only its state is to be cleared. */
static void
describe (VfLane *lane, const VfFreeze *freeze, VfPhase phase, VfRecord *record)
{
  const VfDomainInfo *info = lane->domain->info;

  *record = (VfRecord){ .phase = phase,
                        .number = freeze->number,
                        .group = freeze->group,
                        .uri = lane->world->uri,
                        .uuid = info->uuid,
                        .name = info->name,
                        .run = info->run,
                        .bus_id = lane->world->bus_id,
                        .owner = freeze->owner,
                        .uid = freeze->uid,
                        .lease = freeze->lease,
                        .reason = freeze->reason,
                        .disks = freeze->disks,
                        .scope = freeze->scope,
                        .engine = freeze->engine,
                        .created = freeze->created,
                        .deadline = freeze->deadline,
                        .since = lane->since,
                        .since_real = lane->since_real,
                        .frozen = freeze->frozen,
                        .skipped = freeze->skipped };
  vf_ledger_save (lane->ledger, freeze->plan, phase == VF_PHASE_FREEZING, &record->state);
}

gboolean
lane_record (VfLane *lane, const VfFreeze *freeze, VfPhase phase, GError **error)
{
  VfRecord record;
  gboolean written;

  if (lane->world->journal == NULL)
    return TRUE;
  describe (lane, freeze, phase, &record);
  written = vf_journal_write (lane->world->journal, &record, error);
  vf_ledger_state_clear (&record.state);
  return written;
}

void
lane_forget_record (VfLane *lane, const VfFreeze *freeze)
{
  if (lane->world->journal != NULL && freeze != lane->saved)
    vf_journal_remove (lane->world->journal, lane->domain->info->uuid, freeze->number);
}

/* The freeze no longer holds: its record goes, unless a thaw is owed for it. */
void
lane_record_ended (VfLane *lane, VfFreeze *freeze)
{
  g_autoptr (GError) error = NULL;

  if (freeze == lane->saved)
    return;
  VF_FAULT ("end-unrecorded");
  if (!vf_ledger_owes (lane->ledger, freeze->plan))
    {
      lane_forget_record (lane, freeze);
      VF_FAULT ("end-forgotten");
      return;
    }
  /* If this cannot be written, what stands says “held”: a crash before the guest is thawed would
   * give the freeze back to its owner. The thaw goes on all the same. */
  if (!lane_record (lane, freeze, VF_PHASE_ENDED, &error))
    g_warning ("Cannot write to the journal: %s", error->message);
  VF_FAULT ("end-recorded");
  g_ptr_array_add (lane->ended, vf_freeze_ref (freeze));
}

/* Ended freezes for which nothing is owed any more are forgotten. */
void
lane_sweep_records (VfLane *lane)
{
  for (guint i = lane->ended->len; i-- > 0;)
    {
      VfFreeze *freeze = g_ptr_array_index (lane->ended, i);

      if (vf_ledger_owes (lane->ledger, freeze->plan))
        continue;
      lane_forget_record (lane, freeze);
      g_ptr_array_remove_index_fast (lane->ended, i);
    }
}

/* --- a guest in a file -------------------------------------------------------------------------- */

/* One of those that froze it, or may have. */
static VfFreeze *
any_freeze (VfLane *lane)
{
  if (lane->step == STEP_FREEZE)
    return lane->forming;
  if (lane->undo != NULL)
    return lane->undo_freeze;
  if (!vf_ledger_in_period (lane->ledger))
    return NULL;
  if (lane->domain->freezes->len > 0)
    return g_ptr_array_index (lane->domain->freezes, 0);
  return lane->ended->len > 0 ? g_ptr_array_index (lane->ended, 0) : NULL;
}

/* It is saved with its memory, or may have been, frozen as it is: when it comes back, it is to be
 * thawed. */
void
lane_note_saved (VfLane *lane)
{
  VfFreeze *freeze = any_freeze (lane);
  g_autoptr (GError) error = NULL;

  if (freeze == NULL || freeze == lane->saved)
    return;
  lane_forget_saved (lane);
  lane->saved = vf_freeze_ref (freeze);
  if (!lane_record (lane, freeze, VF_PHASE_SAVED, &error))
    g_warning ("Cannot write to the journal: %s", error->message);
  VF_FAULT ("saved-recorded");
}

/* A snapshot of it may be frozen, from a freeze that is long over: a record of its own. */
static void
note_unknown (VfLane *lane)
{
  VfJournal *journal = lane->world->journal;
  VfFreeze *freeze
      = vf_freeze_new (lane->domain, journal != NULL ? vf_journal_next_number (journal) : 0);
  g_autoptr (GError) error = NULL;

  freeze->plan = g_new0 (VfPlan, 1);
  freeze->plan->covers = g_ptr_array_new_with_free_func (g_free);
  freeze->plan->freeze = vf_map_new ();
  freeze->owner = g_strdup ("");
  freeze->reason = g_strdup ("");
  lane->saved = freeze;
  if (!lane_record (lane, freeze, VF_PHASE_SAVED, &error))
    g_warning ("Cannot write to the journal: %s", error->message);
}

/* It is thawed, or has begun anew. */
void
lane_forget_saved (VfLane *lane)
{
  g_autoptr (VfFreeze) freeze = g_steal_pointer (&lane->saved);

  lane->restored = lane->saved_guess = FALSE;
  if (freeze != NULL)
    lane_forget_record (lane, freeze);
}

/* A guest back from its saved memory may be frozen, for nobody. A thaw of a thawed one does
 * nothing. Decided when it is known to run: what libvirt tells of the event may come later. */
void
lane_check_restored (VfLane *lane)
{
  if (!lane->restored || !lane->domain->info->active || lane->step == STEP_FREEZE)
    return;
  if (lane->undo != NULL)
    lane->undo->all = TRUE; /* does for both; engine exec cannot reach a frozen agent */
  else
    lane_set_undo (lane, NULL, TRUE, NULL, NULL, NULL);
}

void
vf_lane_restored (VfLane *lane)
{
  lane_thawed_by_itself (lane, VF_LOST_RESTORED);
  if (lane->saved == NULL && lane->ever_frozen)
    note_unknown (lane);
  lane->restored = lane->saved != NULL;
  lane_check_restored (lane);
  lane_step (lane);
}

void
vf_lane_take_saved (VfLane *lane, VfLane *from)
{
  lane_forget_saved (lane);
  lane->saved = g_steal_pointer (&from->saved);
  lane->ever_frozen = lane->restored = TRUE;
  lane_check_restored (lane);
  lane_step (lane);
}

gboolean
vf_lane_has_saved (VfLane *lane)
{
  return lane->saved != NULL;
}

/* --- after a restart ---------------------------------------------------------------------------- */

static VfFreeze *
freeze_from (VfLane *lane, const VfRecord *record, VfPlan *plan)
{
  VfFreeze *freeze = vf_freeze_new (lane->domain, record->number);

  freeze->disks = g_strdupv (record->disks);
  freeze->plan = plan;
  freeze->map = record->state.map != NULL ? g_ptr_array_ref (record->state.map) : NULL;
  freeze->owner = g_strdup (record->owner != NULL ? record->owner : "");
  freeze->uid = record->uid;
  freeze->reason = g_strdup (record->reason != NULL ? record->reason : "");
  freeze->lease = record->lease;
  freeze->scope = record->scope;
  freeze->engine = record->engine;
  freeze->created = record->created;
  freeze->frozen = record->frozen;
  freeze->skipped = record->skipped;
  vf_freeze_set_deadline (freeze, record->deadline);
  return freeze;
}

/* Those of the map that the record says a freeze was sent for; NULL: not known, so all. */
static GPtrArray *
tried_filesystems (const VfRecord *record)
{
  g_autoptr (GPtrArray) tried = vf_map_new ();

  for (guint i = 0; record->state.map != NULL && i < record->state.map->len; i++)
    {
      VfFilesystem *fs = g_ptr_array_index (record->state.map, i);
      if (g_strv_contains ((const char *const *) record->state.tried, fs->device))
        g_ptr_array_add (tried, vf_filesystem_ref (fs));
    }
  return tried->len > 0 ? g_steal_pointer (&tried) : NULL;
}

/* A freeze that was sent, or may have been: undone as soon as the guest can be reached. */
static void
adopt_in_doubt (VfLane *lane, const VfRecord *record)
{
  g_autoptr (GPtrArray) tried = NULL;
  VfPlan *plan = g_new0 (VfPlan, 1);
  VfFreeze *freeze;

  plan->covers = g_ptr_array_new_with_free_func (g_free);
  plan->freeze = vf_map_new ();
  freeze = freeze_from (lane, record, plan);
  if (record->phase == VF_PHASE_SAVED)
    {
      lane_forget_saved (lane); /* one record is enough to have it thawed */
      lane->saved = freeze;
      tried = tried_filesystems (record);
      if (record->engine == VF_ENGINE_EXEC && tried != NULL)
        lane_guards_adopt (lane, tried, vf_clock_now ());
      lane->restored = TRUE; /* if it runs when libvirt tells of it */
    }
  else if (record->engine == VF_ENGINE_EXEC && !record->damaged && record->state.tried[0] == NULL)
    {
      lane_forget_record (lane, freeze); /* it was about what others had frozen */
      vf_freeze_unref (freeze);
    }
  else if (lane->undo != NULL)
    {
      lane->undo->all = TRUE; /* one thaw of all does for both */
      lane->undo_unknown |= record->damaged || record->engine != VF_ENGINE_AGENT;
      lane_forget_record (lane, freeze);
      vf_freeze_unref (freeze);
    }
  else
    {
      tried = tried_filesystems (record);
      if (record->engine == VF_ENGINE_EXEC && tried != NULL)
        lane_guards_adopt (lane, tried, vf_clock_now ());
      lane_set_undo (lane, tried, TRUE, freeze, NULL, NULL);
      lane->undo_unknown |= record->damaged;
    }
}

VfFreeze *
vf_lane_adopt (VfLane *lane, const VfRecord *record, gboolean hold)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) tried = NULL;
  VfFreeze *freeze;

  lane->ever_frozen = TRUE;
  if (record->damaged || record->phase == VF_PHASE_FREEZING || record->phase == VF_PHASE_SAVED)
    {
      adopt_in_doubt (lane, record);
      lane_show (lane);
      return NULL;
    }
  freeze = freeze_from (lane, record,
                        vf_ledger_adopt (lane->ledger, hold ? record->number : 0, &record->state));
  if (lane->since == 0)
    lane_begin_period (lane, record->engine, record->since, record->since_real);
  tried = tried_filesystems (record);
  if (record->engine == VF_ENGINE_EXEC && tried != NULL)
    lane_guards_adopt (lane, tried, record->deadline);
  if (hold)
    {
      vf_world_count (lane->world, freeze->uid);
      vf_log_adopted (freeze);
      lane_publish (lane, freeze);
      return freeze;
    }
  if (record->phase != VF_PHASE_ENDED && vf_ledger_owes (lane->ledger, freeze->plan)
      && !lane_record (lane, freeze, VF_PHASE_ENDED, &error))
    g_warning ("Cannot write to the journal: %s", error->message);
  g_ptr_array_add (lane->ended, freeze); /* swept when nothing is owed for it */
  lane_sweep_records (lane);
  lane_show (lane);
  return NULL;
}
