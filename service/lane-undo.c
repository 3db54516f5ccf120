/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A freeze that was done, or may have been, and must not stay. */
#include "lane-private.h"

/*
 * What a freeze did, or may have done, is thawed before anything else (filesystems NULL: all); then
 * request gets error (both taken; request NULL: nobody waits; error NULL: it has been answered).
 * freeze (taken; may be NULL): its record goes when that is done.
 */
void
lane_set_undo (VfLane *lane, GPtrArray *filesystems, gboolean in_doubt, VfFreeze *freeze,
               VfRequest *request, GError *error)
{
  g_assert (lane->undo == NULL && lane->undo_for == NULL);
  lane->undo = g_new0 (VfThawPlan, 1);
  /* With engine exec, just those that it touched. */
  lane->undo_engine = filesystems != NULL && freeze != NULL ? freeze->engine : VF_ENGINE_AGENT;
  lane->undo->all = filesystems == NULL
                    || (lane->undo_engine != VF_ENGINE_EXEC && !vf_ledger_in_period (lane->ledger));
  lane->undo->thaw = filesystems != NULL ? g_ptr_array_ref (filesystems) : vf_map_new ();
  lane->undo_freeze = freeze;
  lane->undo_unknown = freeze == NULL || freeze->engine != VF_ENGINE_AGENT;
  lane->in_doubt = in_doubt;
  lane->undo_for = request;
  lane->undo_error = error;
  lane_forget_debts (lane);
  if (request != NULL && request->failing != NULL && !request->answered)
    request->failing (request, error, request->data);
}

void
lane_clear_undo (VfLane *lane)
{
  g_autoptr (GError) error = g_steal_pointer (&lane->undo_error);
  g_autoptr (VfFreeze) freeze = g_steal_pointer (&lane->undo_freeze);
  VfRequest *request = g_steal_pointer (&lane->undo_for);

  if (freeze != NULL)
    lane_forget_record (lane, freeze);
  g_clear_pointer (&lane->undo, vf_thaw_plan_free);
  lane->in_doubt = FALSE;
  if (request == NULL)
    return;
  lane_answer (request, NULL, error);
  vf_request_free (request);
}
