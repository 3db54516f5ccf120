/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ledger-reference.h"

#define ERROR_BIT(code) (1u << (VF_ERROR_##code))

guint
ref_set_size (RefSet set)
{
  guint size = 0;

  for (guint i = 0; i < 32; i++)
    size += (set >> i) & 1;
  return size;
}

static gboolean
has (RefSet set, guint member)
{
  return (set >> member) & 1;
}

void
ref_set_map (Reference *ref, gboolean has_map, RefSet listed, RefSet known_disks)
{
  ref->has_map = has_map;
  ref->listed = listed;
  ref->known_disks = known_disks;
}

void
ref_forget_disk (Reference *ref, guint disk)
{
  ref->known_disks &= ~(1u << disk);
}

/* "No filesystem names a disk that was asked for while some filesystem names no disk." */
static gboolean
unmappable (const Reference *ref, RefSet asked)
{
  RefSet named = 0;
  gboolean some_names_none = FALSE;

  for (guint fs = 0; fs < REF_MAX_FS; fs++)
    if (has (ref->listed, fs))
      {
        named |= ref->disks[fs];
        if (ref->disks[fs] == 0)
          some_names_none = TRUE;
      }
  return some_names_none && (asked & ~named) != 0;
}

static RefSet
covered (const Reference *ref, RefSet asked, VfScope scope)
{
  RefSet covers = 0;

  for (guint fs = 0; fs < REF_MAX_FS; fs++)
    if (has (ref->listed, fs)
        && (scope == VF_SCOPE_DOMAIN || asked == 0 || (ref->disks[fs] & asked) != 0))
      covers |= 1u << fs;
  return covers;
}

RefPlan
ref_plan (const Reference *ref, RefSet asked, VfScope scope, VfAbilities abilities,
          RefSet now_disks)
{
  RefPlan plan = { 0 };
  gboolean in_period = ref_in_period (ref);

  plan.everything = asked == 0;
  if (!ref->has_map)
    {
      if (scope == VF_SCOPE_DISKS)
        plan.errors |= ERROR_BIT (NOT_MAPPED);
      plan.whole = TRUE;
      plan.freeze_all = !in_period;
    }
  else
    {
      plan.covers = covered (ref, asked, scope);
      plan.freeze = plan.covers & ~ref->tried;
      plan.freeze_all = !in_period && (plan.everything || scope == VF_SCOPE_DOMAIN);
      if (scope == VF_SCOPE_DISKS && unmappable (ref, asked))
        plan.errors |= ERROR_BIT (NOT_MAPPED);
      if ((plan.covers & ~(ref->tried & ~ref->frozen)) == 0
          && (plan.covers == 0 || ref->reported == 0
              || !(plan.everything || scope == VF_SCOPE_DOMAIN)))
        plan.errors |= ERROR_BIT (NOTHING_TO_FREEZE);
    }

  if (in_period && !abilities.grow)
    {
      RefSet attached_since = now_disks & ~ref->known_disks;

      if (plan.freeze != 0)
        plan.errors |= ERROR_BIT (CONFLICT);
      if ((attached_since & (plan.everything ? now_disks : asked)) != 0)
        plan.errors |= ERROR_BIT (CONFLICT);
    }
  return plan;
}

static guint
count_error (const Reference *ref, const RefPlan *plan, guint count)
{
  guint n_of_kind[3] = { 0 };

  if (plan->whole)
    return count == 0 ? ERROR_BIT (INCOMPLETE) : 0;
  for (guint fs = 0; fs < REF_MAX_FS; fs++)
    if (has (plan->freeze, fs))
      n_of_kind[ref->kinds[fs]]++;
  if (count < n_of_kind[REF_MUST])
    return ERROR_BIT (INCOMPLETE);
  if (n_of_kind[REF_MUST] > 0 || count > 0)
    return 0;
  if (n_of_kind[REF_MAY] == 0)
    return ERROR_BIT (INCOMPLETE);
  return (plan->covers & ref->frozen) == 0 ? ERROR_BIT (NOTHING_TO_FREEZE) : 0;
}

static RefSet
must_freeze (const Reference *ref, RefSet set)
{
  for (guint fs = 0; fs < REF_MAX_FS; fs++)
    if (ref->kinds[fs] != REF_MUST)
      set &= ~(1u << fs);
  return set;
}

guint
ref_commit (Reference *ref, guint64 id, const RefPlan *plan, guint count)
{
  if (plan->freeze_all || plan->freeze != 0)
    {
      guint error = count_error (ref, plan, count);

      if (error != 0)
        return error;
      ref->tried |= plan->freeze;
      ref->frozen |= count >= ref_set_size (plan->freeze) ? plan->freeze
                                                          : must_freeze (ref, plan->freeze);
      ref->whole_tried |= plan->whole;
      ref->reported += count;
    }
  for (guint i = 0; i < REF_MAX_HOLDS; i++)
    if (ref->holds[i].id == 0)
      {
        ref->holds[i] = (RefHold){ id, plan->whole, plan->covers };
        return 0;
      }
  g_assert_not_reached ();
}

void
ref_release (Reference *ref, guint64 id)
{
  for (guint i = 0; i < REF_MAX_HOLDS; i++)
    if (ref->holds[i].id == id)
      ref->holds[i].id = 0;
}

static void
end_period (Reference *ref)
{
  ref->tried = ref->frozen = 0;
  ref->whole_tried = FALSE;
  ref->reported = 0;
}

void
ref_clear (Reference *ref)
{
  for (guint i = 0; i < REF_MAX_HOLDS; i++)
    ref->holds[i].id = 0;
  end_period (ref);
}

RefThawPlan
ref_plan_thaw (const Reference *ref, VfAbilities abilities)
{
  RefThawPlan plan = { 0 };

  for (guint fs = 0; fs < REF_MAX_FS; fs++)
    if (has (ref->tried, fs) && ref_count (ref, fs) == 0)
      plan.thaw |= 1u << fs;
  plan.all = ref_in_period (ref) && ref_n_holds (ref) == 0;
  plan.any = plan.all || (abilities.thaw_part && plan.thaw != 0);
  return plan;
}

gboolean
ref_thaw_touches (const RefThawPlan *thaw, const RefPlan *plan)
{
  return thaw->all || (thaw->thaw & plan->covers) != 0;
}

void
ref_thawed (Reference *ref, const RefThawPlan *plan)
{
  if (plan->all)
    end_period (ref);
  ref->tried &= ~plan->thaw;
  ref->frozen &= ~plan->thaw;
  if (!ref_in_period (ref))
    end_period (ref);
  else
    {
      guint n = ref_set_size (plan->thaw), left = ref->reported > n ? ref->reported - n : 0;

      ref->reported = MAX (left, ref_set_size (ref->frozen));
    }
}

guint
ref_n_holds (const Reference *ref)
{
  guint n = 0;

  for (guint i = 0; i < REF_MAX_HOLDS; i++)
    n += ref->holds[i].id != 0;
  return n;
}

guint
ref_count (const Reference *ref, guint fs)
{
  guint count = 0;

  for (guint i = 0; i < REF_MAX_HOLDS; i++)
    count += ref->holds[i].id != 0 && has (ref->holds[i].covers, fs);
  return count;
}

gboolean
ref_in_period (const Reference *ref)
{
  return ref->whole_tried || ref->tried != 0;
}

void
ref_hold_counts (const Reference *ref, guint64 id, guint *frozen, guint *skipped)
{
  *frozen = *skipped = 0;
  for (guint i = 0; i < REF_MAX_HOLDS; i++)
    if (id != 0 && ref->holds[i].id == id)
      {
        RefSet covers = ref->holds[i].covers, known = ref->listed | ref->tried;
        guint size = ref_set_size (covers);

        for (guint fs = 0; fs < REF_MAX_FS; fs++)
          known |= ref_count (ref, fs) > 0 ? 1u << fs : 0;
        *frozen = ref_set_size (covers & ref->frozen);
        if (covers == known)
          *frozen = MAX (*frozen, MIN (ref->reported, size));
        *skipped = size - *frozen;
        if (ref->holds[i].whole)
          *frozen = ref->reported;
      }
}
