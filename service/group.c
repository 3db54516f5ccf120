/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "group.h"

#include "error.h"
#include "fault.h"

typedef struct {
  VfGroup *group;
  VfDomain *domain; /* a reference */
  VfRequest *request;
  GError *error; /* that it failed with, by itself */
} Member;

struct _VfGroup {
  VfWorld *world;
  guint64 number;     /* in the journal; 0: it is not there */
  GPtrArray *members; /* Member* */
  guint frozen;       /* members whose guests are */
  gint64 deadline;
  VfAlarm *alarm; /* set from the start until the answer */
  gboolean failed;
  gboolean answered;
  guint busy; /* something is being done to members: what they tell is looked at later */
  void (*done) (GPtrArray *freezes, const GError *error, gpointer data);
  gpointer data;
};

static void
member_free (gpointer data)
{
  Member *member = data;

  vf_request_free (member->request);
  vf_domain_unref (member->domain);
  g_clear_error (&member->error);
  g_free (member);
}

VfGroup *
vf_group_new (VfWorld *world, gint64 deadline,
              void (*done) (GPtrArray *freezes, const GError *error, gpointer data), gpointer data)
{
  VfGroup *group = g_new0 (VfGroup, 1);

  group->world = world;
  group->members = g_ptr_array_new_with_free_func (member_free);
  group->deadline = deadline;
  group->done = done;
  group->data = data;
  return group;
}

void
vf_group_free (VfGroup *group)
{
  group->answered = TRUE;
  for (guint i = 0; i < group->members->len; i++)
    vf_lane_leave (((Member *) g_ptr_array_index (group->members, i))->request);
  g_clear_pointer (&group->alarm, vf_alarm_cancel);
  g_ptr_array_unref (group->members);
  g_free (group);
}

/* --- the end ----------------------------------------------------------------------------------- */

/* What its lanes have still to do they do by themselves. */
static void
end (VfGroup *group, GPtrArray *freezes, const GError *error)
{
  group->answered = TRUE;
  group->done (freezes, error, group->data);
  g_hash_table_remove (group->world->groups, group);
}

/* All or none: from the first line on all, after a crash, too. */
static gboolean
commit (VfGroup *group)
{
  VfJournal *journal = group->world->journal;
  Member *first = g_ptr_array_index (group->members, 0);
  g_autoptr (GPtrArray) freezes = g_ptr_array_new ();
  g_autoptr (GError) error = NULL;

  VF_FAULT ("group-uncommitted");
  if (journal != NULL && !vf_journal_end_group (journal, group->number, &error))
    {
      first->error = vf_lane_journal_error (first->domain->lane, error);
      return FALSE;
    }
  VF_FAULT ("group-committed");
  for (guint i = 0; i < group->members->len; i++)
    {
      Member *member = g_ptr_array_index (group->members, i);
      g_ptr_array_add (freezes, vf_lane_commit (member->request));
    }
  end (group, freezes, NULL);
  return TRUE;
}

static gboolean
is_undone (VfGroup *group)
{
  for (guint i = 0; i < group->members->len; i++)
    if (!vf_lane_is_through (((Member *) g_ptr_array_index (group->members, i))->request))
      return FALSE;
  return TRUE;
}

/* Those of members that failed by themselves. */
static const GError *
first_error (VfGroup *group)
{
  for (guint i = 0; i < group->members->len; i++)
    {
      const Member *member = g_ptr_array_index (group->members, i);
      if (member->error != NULL)
        return member->error;
    }
  g_assert_not_reached ();
}

/* What it has recorded counts no longer. */
static void
give_up (VfGroup *group)
{
  if (group->number != 0 && vf_journal_give_up_group (group->world->journal, group->number))
    group->number = 0;
}

static void fail (VfGroup *group);

/* Answers when the time has come. The group may be gone afterwards. */
static void
look (VfGroup *group)
{
  if (group->answered || group->busy > 0)
    return;
  if (!group->failed && group->frozen == group->members->len)
    {
      if (commit (group))
        return;
      fail (group);
    }
  if (group->failed
      && (group->world->stopping || vf_clock_now () >= group->deadline || is_undone (group)))
    {
      give_up (group); /* where the journal could not be written before */
      end (group, NULL, first_error (group));
    }
}

static void
fail (VfGroup *group)
{
  if (group->failed)
    return;
  group->failed = TRUE;
  group->busy++;
  for (guint i = 0; i < group->members->len; i++)
    vf_lane_cancel (((Member *) g_ptr_array_index (group->members, i))->request);
  VF_FAULT ("group-given-up");
  give_up (group);
  group->busy--;
}

/* --- what lanes tell ---------------------------------------------------------------------------- */

/* The others do not wait for what it has to undo. */
static void
on_failing (VfRequest *request G_GNUC_UNUSED, const GError *error, gpointer data)
{
  Member *member = data;
  VfGroup *group = member->group;

  if (group->answered)
    return;
  /* One that is given up may time out: that is no failure of its own. */
  if (error != NULL && member->error == NULL
      && !(group->failed && g_error_matches (error, VF_ERROR, VF_ERROR_TIMEOUT)))
    member->error = g_error_copy (error);
  fail (group);
}

static void
on_failed (VfRequest *request, VfFreeze *freeze G_GNUC_UNUSED, const GError *error, gpointer data)
{
  VfGroup *group = ((Member *) data)->group;

  on_failing (request, error, data);
  look (group);
}

static void
on_frozen (VfRequest *request G_GNUC_UNUSED, gpointer data)
{
  VfGroup *group = ((Member *) data)->group;

  group->frozen++;
  look (group);
}

static void
on_stepped (VfRequest *request G_GNUC_UNUSED, gpointer data)
{
  look (((Member *) data)->group);
}

static void
on_deadline (gpointer data)
{
  VfGroup *group = data;

  group->alarm = NULL;
  look (group); /* members that are not frozen have failed by now: each has its own alarm */
}

/* --- the beginning ------------------------------------------------------------------------------ */

void
vf_group_add (VfGroup *group, VfDomain *domain, VfRequest *request, GError *error)
{
  Member *member = g_new0 (Member, 1);

  member->group = group;
  member->domain = vf_domain_ref (domain);
  member->request = request;
  member->error = error;
  request->done = on_failed;
  request->frozen = on_frozen;
  request->failing = on_failing;
  request->stepped = on_stepped;
  request->data = member;
  g_ptr_array_add (group->members, member);
}

/* Whether nothing speaks against it so far. */
static gboolean
reserve (VfGroup *group)
{
  for (guint i = 0; i < group->members->len; i++)
    {
      Member *member = g_ptr_array_index (group->members, i);

      if (member->error != NULL
          || !vf_lane_reserve (member->domain->lane, member->request, &member->error))
        return FALSE;
    }
  return TRUE;
}

/* From now on what is recorded of it is half done. */
static gboolean
begin_journal (VfGroup *group)
{
  VfJournal *journal = group->world->journal;
  Member *first = g_ptr_array_index (group->members, 0);
  g_autoptr (GError) error = NULL;

  if (journal == NULL)
    return TRUE;
  group->number = vf_journal_next_number (journal);
  if (group->number == 0 || !vf_journal_begin_group (journal, group->number, &error))
    {
      group->number = 0;
      first->error = vf_lane_journal_error (first->domain->lane, error);
      return FALSE;
    }
  for (guint i = 0; i < group->members->len; i++)
    ((Member *) g_ptr_array_index (group->members, i))->request->group = group->number;
  VF_FAULT ("group-begun");
  return TRUE;
}

void
vf_group_start (VfGroup *group)
{
  g_hash_table_add (group->world->groups, group);
  group->alarm = vf_clock_set (group->world->clock, group->deadline, on_deadline, group);
  group->busy++;
  if (!reserve (group) || !begin_journal (group))
    fail (group);
  for (guint i = 0; i < group->members->len && !group->failed && !group->answered; i++)
    {
      Member *member = g_ptr_array_index (group->members, i);
      vf_lane_request (member->domain->lane, g_rc_box_acquire (member->request));
    }
  group->busy--;
  look (group);
}
