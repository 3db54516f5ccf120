/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One guest's part of a group: frozen, counted and recorded as any freeze is, but nobody is told. */
#include "lane-private.h"

#include "log.h"

gboolean
vf_lane_reserve (VfLane *lane, VfRequest *request, GError **error)
{
  GError *problem;

  request->lane = lane;
  problem = lane_refuse (lane, request);
  if (problem != NULL)
    {
      g_propagate_error (error, problem);
      return FALSE;
    }
  g_ptr_array_add (lane->members, g_rc_box_acquire (request));
  return TRUE;
}

void
lane_hide (VfLane *lane, VfRequest *request, VfFreeze *freeze)
{
  freeze->hidden = TRUE;
  request->freeze = freeze;
  g_clear_pointer (&request->alarm, vf_alarm_cancel);
  g_ptr_array_add (lane->domain->freezes, freeze);
  lane_set_deadline (lane);
  lane_show (lane);
  request->frozen (request, request->data);
  vf_request_free (request);
}

VfFreeze *
vf_lane_commit (VfRequest *request)
{
  VfLane *lane = request->lane;
  VfFreeze *freeze = request->freeze;

  request->answered = TRUE;
  request->reserved = FALSE; /* the freeze counts now */
  freeze->hidden = FALSE;
  freeze->group = 0;
  g_hash_table_add (lane->world->freezes, vf_freeze_ref (freeze));
  vf_log_frozen (freeze);
  lane->world->observer->freeze_added (freeze, lane->world->observer_data);
  return freeze;
}

static VfRequest *
find_member (VfLane *lane, const VfFreeze *freeze)
{
  for (guint i = 0; i < lane->members->len; i++)
    {
      VfRequest *request = g_ptr_array_index (lane->members, i);
      if (request->freeze == freeze)
        return request;
    }
  g_assert_not_reached ();
}

void
lane_end_hidden (VfLane *lane, VfFreeze *freeze, GError *error)
{
  g_autoptr (GError) owned = error;
  G_GNUC_UNUSED g_autoptr (VfFreeze) keep = vf_freeze_ref (freeze);
  VfRequest *request = find_member (lane, freeze);

  freeze->hidden = FALSE;
  freeze->gone = TRUE;
  g_ptr_array_remove (lane->domain->freezes, freeze);
  vf_ledger_release (lane->ledger, freeze->number);
  lane_record_ended (lane, freeze);
  lane_set_deadline (lane);
  lane_retry_now (lane); /* something new to thaw does not wait for what failed before */
  lane_answer (request, NULL, owned);
}

void
vf_lane_cancel (VfRequest *request)
{
  VfLane *lane = request->lane;

  if (lane == NULL || request->answered)
    return;
  request->unwanted = TRUE;
  if (request->freeze != NULL && request->freeze->hidden)
    lane_end_hidden (lane, request->freeze, NULL);
  else if (g_queue_remove (&lane->requests, request))
    {
      lane_answer (request, NULL, NULL);
      vf_request_free (request);
    }
  else if (request != lane->current && request != lane->undo_for)
    lane_answer (request, NULL, NULL); /* it was only reserved */
  lane_step (lane);
}

gboolean
vf_lane_is_through (VfRequest *request)
{
  VfLane *lane = request->lane;

  if (lane == NULL)
    return TRUE;
  /* A map that is asked for freezes nothing. */
  if ((request == lane->current && lane->step == STEP_FREEZE) || request == lane->undo_for)
    return FALSE;
  return request->freeze == NULL || !vf_ledger_owes (lane->ledger, request->freeze->plan)
         || !lane_wants_thaw (lane);
}

void
vf_lane_leave (VfRequest *request)
{
  if (request->lane == NULL)
    return;
  lane_answer (request, NULL, NULL); /* it learns nothing more */
  g_ptr_array_remove (request->lane->members, request);
}

void
lane_tell_members (VfLane *lane)
{
  g_autoptr (GPtrArray) members = NULL;

  if (lane->members->len == 0)
    return;
  members = g_ptr_array_new_with_free_func ((GDestroyNotify) vf_request_free);
  for (guint i = 0; i < lane->members->len; i++)
    g_ptr_array_add (members, g_rc_box_acquire (g_ptr_array_index (lane->members, i)));
  for (guint i = 0; i < members->len; i++)
    {
      VfRequest *request = g_ptr_array_index (members, i);

      /* An earlier one's group may have ended this one's. */
      if (g_ptr_array_find (lane->members, request, NULL))
        request->stepped (request, request->data);
    }
}
