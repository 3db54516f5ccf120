/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ledger.h"

#include "error.h"

#include <string.h>

typedef struct {
  VfFilesystem *fs;
  guint count;     /* holds that cover it */
  gboolean tried;  /* part of a freeze of this period, and not thawed since */
  gboolean frozen; /* known to be frozen; implies tried */
} Entry;

typedef struct {
  gboolean whole;
  GPtrArray *covers; /* char* */
} Hold;

struct _VfLedger {
  GPtrArray *map;       /* NULL: the guest does not tell */
  GHashTable *entries;  /* device (borrowed from the entry) → Entry */
  GHashTable *targets;  /* set of char*: disks that the map knows of */
  GHashTable *holds;    /* id → Hold */
  gboolean whole_tried; /* frozen without a map */
  guint reported;       /* filesystems that the guest said it froze, less those thawed */
};

static Entry *
entry_new (VfFilesystem *fs)
{
  Entry *entry = g_new0 (Entry, 1);

  entry->fs = vf_filesystem_ref (fs);
  return entry;
}

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  vf_filesystem_unref (entry->fs);
  g_free (entry);
}

static void
hold_free (gpointer data)
{
  Hold *hold = data;

  g_ptr_array_unref (hold->covers);
  g_free (hold);
}

VfLedger *
vf_ledger_new (void)
{
  VfLedger *ledger = g_new0 (VfLedger, 1);

  ledger->entries = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, entry_free);
  ledger->targets = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  ledger->holds = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, hold_free);
  return ledger;
}

void
vf_ledger_free (VfLedger *ledger)
{
  g_hash_table_unref (ledger->entries);
  g_hash_table_unref (ledger->targets);
  g_hash_table_unref (ledger->holds);
  g_clear_pointer (&ledger->map, g_ptr_array_unref);
  g_free (ledger);
}

void
vf_plan_free (VfPlan *plan)
{
  g_ptr_array_unref (plan->covers);
  g_ptr_array_unref (plan->freeze);
  g_free (plan);
}

void
vf_thaw_plan_free (VfThawPlan *plan)
{
  g_ptr_array_unref (plan->thaw);
  g_free (plan);
}

gboolean
vf_plan_needs_freeze (const VfPlan *plan)
{
  return plan->freeze_all || plan->freeze->len > 0;
}

/* --- the map ------------------------------------------------------------------------------ */

static Entry *
entry_for (VfLedger *ledger, const char *device)
{
  return g_hash_table_lookup (ledger->entries, device);
}

void
vf_ledger_set_map (VfLedger *ledger, GPtrArray *map, const char *const *targets)
{
  g_autoptr (GHashTable) before = g_steal_pointer (&ledger->entries);
  GHashTableIter iter;
  gpointer device, old;

  ledger->entries = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, entry_free);
  for (guint i = 0; map != NULL && i < map->len; i++)
    {
      Entry *entry = entry_new (g_ptr_array_index (map, i));

      g_hash_table_insert (ledger->entries, entry->fs->device, entry);
    }
  /* What is counted or frozen stays so, even where the guest no longer lists it. */
  g_hash_table_iter_init (&iter, before);
  while (g_hash_table_iter_next (&iter, &device, &old))
    {
      Entry *was = old, *now = entry_for (ledger, device);

      if (was->count == 0 && !was->tried)
        continue;
      if (now == NULL)
        {
          now = entry_new (was->fs);
          g_hash_table_insert (ledger->entries, now->fs->device, now);
        }
      now->count = was->count;
      now->tried = was->tried;
      now->frozen = was->frozen;
    }
  g_clear_pointer (&ledger->map, g_ptr_array_unref);
  ledger->map = map != NULL ? g_ptr_array_ref (map) : NULL;
  g_hash_table_remove_all (ledger->targets);
  for (guint i = 0; targets != NULL && targets[i] != NULL; i++)
    g_hash_table_add (ledger->targets, g_strdup (targets[i]));
}

GPtrArray *
vf_ledger_get_map (VfLedger *ledger)
{
  return ledger->map;
}

void
vf_ledger_keep_targets (VfLedger *ledger, const char *const *now_targets)
{
  GHashTableIter iter;
  gpointer target;

  g_hash_table_iter_init (&iter, ledger->targets);
  while (g_hash_table_iter_next (&iter, &target, NULL))
    if (!g_strv_contains (now_targets, target))
      g_hash_table_iter_remove (&iter);
}

/* --- freezing ------------------------------------------------------------------------------- */

static gboolean
has_string (GPtrArray *strings, const char *text)
{
  return g_ptr_array_find_with_equal_func (strings, text, g_str_equal, NULL);
}

static gboolean
names_disk (const VfFilesystem *fs, const char *const *targets)
{
  for (; *targets != NULL; targets++)
    if (has_string (fs->targets, *targets))
      return TRUE;
  return FALSE;
}

/* A disk that no filesystem names has none, unless some filesystem does not tell its disks. */
static gboolean
check_mapped (VfLedger *ledger, const char *const *targets, GError **error)
{
  gboolean some_unnamed = FALSE;

  if (ledger->map == NULL)
    {
      g_set_error_literal (error, VF_ERROR, VF_ERROR_NOT_MAPPED,
                           "the guest does not tell its filesystems; ask for scope “domain”");
      return FALSE;
    }
  for (guint i = 0; i < ledger->map->len; i++)
    some_unnamed |= ((VfFilesystem *) g_ptr_array_index (ledger->map, i))->targets->len == 0;
  if (!some_unnamed)
    return TRUE;
  for (guint t = 0; targets[t] != NULL; t++)
    {
      gboolean named = FALSE;

      for (guint i = 0; i < ledger->map->len && !named; i++)
        named = has_string (((VfFilesystem *) g_ptr_array_index (ledger->map, i))->targets,
                            targets[t]);
      if (!named)
        {
          g_set_error (error, VF_ERROR, VF_ERROR_NOT_MAPPED,
                       "the guest names no filesystem on disk “%s”, and has one whose disk it does "
                       "not tell; ask for scope “domain”",
                       targets[t]);
          return FALSE;
        }
    }
  return TRUE;
}

/* While frozen, a disk that was attached since holds who knows what. */
static gboolean
check_attached_since (VfLedger *ledger, const char *const *targets, const char *const *now_targets,
                      gboolean everything, GError **error)
{
  const char *const *asked = everything ? now_targets : targets;

  for (guint i = 0; asked != NULL && asked[i] != NULL; i++)
    if (!g_hash_table_contains (ledger->targets, asked[i]))
      {
        g_set_error (error, VF_ERROR, VF_ERROR_CONFLICT,
                     "disk “%s” was attached after the guest was frozen and cannot be added now; "
                     "try again when the guest is thawed",
                     asked[i]);
        return FALSE;
      }
  return TRUE;
}

/* Fills plan->covers and plan->freeze from the entries that the request covers. */
static gboolean
cover_map (VfLedger *ledger, VfPlan *plan, const char *const *targets, gboolean all, GError **error)
{
  gboolean all_tried_in_vain = TRUE, in_period = vf_ledger_in_period (ledger);
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, ledger->entries);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      Entry *entry = value;

      if (!all && !names_disk (entry->fs, targets))
        continue;
      g_ptr_array_add (plan->covers, g_strdup (entry->fs->device));
      if (!entry->tried)
        g_ptr_array_add (plan->freeze, vf_filesystem_ref (entry->fs));
      all_tried_in_vain &= entry->tried && !entry->frozen;
    }
  if (plan->covers->len == 0)
    {
      g_set_error_literal (error, VF_ERROR, VF_ERROR_NOTHING_TO_FREEZE,
                           all ? "the guest has no filesystem that could be frozen"
                               : "the guest has no mounted filesystem on these disks");
      return FALSE;
    }
  /* Which ones froze may not be known, but that some did. */
  if (all_tried_in_vain && !(all && ledger->reported > 0))
    {
      g_set_error_literal (error, VF_ERROR, VF_ERROR_NOTHING_TO_FREEZE,
                           "these filesystems are of types that cannot be frozen");
      return FALSE;
    }
  plan->freeze_all = all && !in_period;
  return TRUE;
}

VfPlan *
vf_ledger_plan (VfLedger *ledger, const char *const *targets, VfScope scope, VfAbilities abilities,
                const char *const *now_targets, GError **error)
{
  g_autoptr (VfPlan) plan = g_new0 (VfPlan, 1);
  gboolean in_period = vf_ledger_in_period (ledger);

  plan->covers = g_ptr_array_new_with_free_func (g_free);
  plan->freeze = vf_map_new ();
  plan->everything = targets == NULL || targets[0] == NULL;

  if (in_period && !abilities.grow
      && !check_attached_since (ledger, targets, now_targets, plan->everything, error))
    return NULL;

  if (scope == VF_SCOPE_DISKS)
    {
      static const char *const none[] = { NULL };

      if (!check_mapped (ledger, plan->everything ? none : targets, error)
          || !cover_map (ledger, plan, targets, plan->everything, error))
        return NULL;
    }
  else if (ledger->map != NULL)
    {
      if (!cover_map (ledger, plan, targets, TRUE, error))
        return NULL;
    }
  else
    {
      plan->whole = TRUE;
      plan->freeze_all = !ledger->whole_tried;
    }

  if (in_period && !abilities.grow && vf_plan_needs_freeze (plan))
    {
      const VfFilesystem *fs = plan->freeze->len > 0 ? g_ptr_array_index (plan->freeze, 0) : NULL;
      const char *disk
          = fs != NULL && fs->targets->len > 0 ? g_ptr_array_index (fs->targets, 0) : NULL;

      /* Its mountpoint is not for everybody who may freeze. */
      g_set_error (error, VF_ERROR, VF_ERROR_CONFLICT,
                   "the guest is frozen without %s%s%s, which cannot be added now; try again when "
                   "the guest is thawed, or freeze with scope “domain” from the start",
                   disk != NULL ? "disk “" : "", disk != NULL ? disk : "some of its filesystems",
                   disk != NULL ? "”" : "");
      return NULL;
    }
  return g_steal_pointer (&plan);
}

/* Is what the guest says it froze enough? Sets *others_frozen where it froze all of them. */
static gboolean
check_count (const VfPlan *plan, guint count, gboolean covers_frozen, gboolean *others_frozen,
             GError **error)
{
  guint must = 0, may = 0, opaque = 0;

  for (guint i = 0; i < plan->freeze->len; i++)
    {
      const VfFilesystem *fs = g_ptr_array_index (plan->freeze, i);

      if (vf_filesystem_must_freeze (fs))
        must++;
      else
        may++;
      opaque += vf_filesystem_is_opaque (fs);
    }
  *others_frozen = count >= must + may;
  if (count < must || (count == 0 && (plan->whole || (opaque > 0 && opaque == may))))
    {
      g_set_error (error, VF_ERROR, VF_ERROR_INCOMPLETE,
                   "the guest froze %u filesystems, but %u had to be frozen", count, MAX (must, 1));
      return FALSE;
    }
  if (count == 0 && !covers_frozen)
    {
      g_set_error_literal (error, VF_ERROR, VF_ERROR_NOTHING_TO_FREEZE,
                           "these filesystems are of types that cannot be frozen");
      return FALSE;
    }
  return TRUE;
}

static gboolean
covers_something_frozen (VfLedger *ledger, const VfPlan *plan)
{
  for (guint i = 0; i < plan->covers->len; i++)
    if (vf_ledger_is_frozen (ledger, g_ptr_array_index (plan->covers, i)))
      return TRUE;
  return FALSE;
}

static void
add_hold (VfLedger *ledger, guint64 id, const VfPlan *plan)
{
  Hold *hold = g_new0 (Hold, 1);
  gint64 *key = g_new (gint64, 1);

  hold->whole = plan->whole;
  hold->covers = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; i < plan->covers->len; i++)
    {
      const char *device = g_ptr_array_index (plan->covers, i);

      entry_for (ledger, device)->count++;
      g_ptr_array_add (hold->covers, g_strdup (device));
    }
  *key = (gint64) id;
  g_hash_table_insert (ledger->holds, key, hold);
}

gboolean
vf_ledger_commit (VfLedger *ledger, guint64 id, const VfPlan *plan, guint count, GError **error)
{
  if (vf_plan_needs_freeze (plan))
    {
      gboolean others_frozen;

      if (!check_count (plan, count, covers_something_frozen (ledger, plan), &others_frozen, error))
        return FALSE;
      for (guint i = 0; i < plan->freeze->len; i++)
        {
          const VfFilesystem *fs = g_ptr_array_index (plan->freeze, i);
          Entry *entry = entry_for (ledger, fs->device);

          g_return_val_if_fail (entry != NULL, FALSE);
          entry->tried = TRUE;
          entry->frozen = vf_filesystem_must_freeze (fs) || others_frozen;
        }
      ledger->whole_tried |= plan->whole;
      ledger->reported += count;
    }

  add_hold (ledger, id, plan);
  return TRUE;
}

gboolean
vf_ledger_commit_known (VfLedger *ledger, guint64 id, const VfPlan *plan, GPtrArray *frozen,
                        GError **error)
{
  for (guint i = 0; i < plan->freeze->len; i++)
    {
      VfFilesystem *fs = g_ptr_array_index (plan->freeze, i);

      if (vf_filesystem_must_freeze (fs) && !g_ptr_array_find (frozen, fs, NULL))
        {
          g_set_error_literal (error, VF_ERROR, VF_ERROR_INCOMPLETE,
                               "the guest did not freeze all filesystems that had to be frozen");
          return FALSE;
        }
    }
  if (frozen->len == 0 && !covers_something_frozen (ledger, plan))
    {
      g_set_error_literal (error, VF_ERROR, VF_ERROR_NOTHING_TO_FREEZE,
                           "these filesystems are of types that cannot be frozen");
      return FALSE;
    }
  for (guint i = 0; i < frozen->len; i++)
    {
      Entry *entry = entry_for (ledger, ((VfFilesystem *) g_ptr_array_index (frozen, i))->device);

      entry->tried = entry->frozen = TRUE;
    }
  ledger->reported += frozen->len;
  add_hold (ledger, id, plan);
  return TRUE;
}

/* --- thawing ------------------------------------------------------------------------------- */

void
vf_ledger_release (VfLedger *ledger, guint64 id)
{
  gint64 key = (gint64) id;
  Hold *hold = g_hash_table_lookup (ledger->holds, &key);

  if (hold == NULL)
    return;
  for (guint i = 0; i < hold->covers->len; i++)
    entry_for (ledger, g_ptr_array_index (hold->covers, i))->count--;
  g_hash_table_remove (ledger->holds, &key);
}

static void
end_period (VfLedger *ledger)
{
  ledger->whole_tried = FALSE;
  ledger->reported = 0;
}

void
vf_ledger_clear (VfLedger *ledger)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_remove_all (ledger->holds);
  g_hash_table_iter_init (&iter, ledger->entries);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      Entry *entry = value;

      entry->count = 0;
      entry->tried = entry->frozen = FALSE;
    }
  end_period (ledger);
}

VfThawPlan *
vf_ledger_plan_thaw (VfLedger *ledger, VfAbilities abilities)
{
  g_autoptr (VfThawPlan) plan = NULL;
  GHashTableIter iter;
  gpointer value;

  if (!vf_ledger_in_period (ledger))
    return NULL;
  plan = g_new0 (VfThawPlan, 1);
  plan->thaw = vf_map_new ();
  plan->all = g_hash_table_size (ledger->holds) == 0;
  if (!plan->all && !abilities.thaw_part)
    return NULL;

  g_hash_table_iter_init (&iter, ledger->entries);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      Entry *entry = value;

      if (entry->count > 0 || !entry->tried)
        continue;
      g_ptr_array_add (plan->thaw, vf_filesystem_ref (entry->fs));
      plan->expected += entry->frozen;
    }
  if (plan->all)
    plan->expected = ledger->reported;
  else if (plan->thaw->len == 0)
    return NULL;
  return g_steal_pointer (&plan);
}

gboolean
vf_thaw_plan_touches (const VfThawPlan *thaw, const VfPlan *plan)
{
  if (thaw->all)
    return TRUE;
  for (guint i = 0; i < thaw->thaw->len; i++)
    if (has_string (plan->covers, ((VfFilesystem *) g_ptr_array_index (thaw->thaw, i))->device))
      return TRUE;
  return FALSE;
}

static guint
count_frozen (VfLedger *ledger)
{
  GHashTableIter iter;
  gpointer value;
  guint count = 0;

  g_hash_table_iter_init (&iter, ledger->entries);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    count += ((Entry *) value)->frozen;
  return count;
}

void
vf_ledger_thawed (VfLedger *ledger, const VfThawPlan *plan)
{
  if (plan->all)
    {
      GHashTableIter iter;
      gpointer value;

      g_hash_table_iter_init (&iter, ledger->entries);
      while (g_hash_table_iter_next (&iter, NULL, &value))
        ((Entry *) value)->tried = ((Entry *) value)->frozen = FALSE;
      end_period (ledger);
      return;
    }
  for (guint i = 0; i < plan->thaw->len; i++)
    {
      Entry *entry
          = entry_for (ledger, ((VfFilesystem *) g_ptr_array_index (plan->thaw, i))->device);

      entry->tried = entry->frozen = FALSE;
    }
  if (!vf_ledger_in_period (ledger))
    end_period (ledger);
  else
    /* What is known to be left; one that may have frozen is not expected of a later thaw. */
    ledger->reported
        = MAX (count_frozen (ledger), ledger->reported - MIN (ledger->reported, plan->thaw->len));
}

/* --- over restarts --------------------------------------------------------------------------- */

static void
add_copy (GPtrArray *list, const char *text)
{
  g_ptr_array_add (list, g_strdup (text));
}

static char **
end_list (GPtrArray *list)
{
  g_ptr_array_add (list, NULL);
  return (char **) g_ptr_array_free (list, FALSE);
}

void
vf_ledger_save (VfLedger *ledger, const VfPlan *plan, gboolean to_be, VfLedgerState *state)
{
  GPtrArray *covers = g_ptr_array_new (), *tried = g_ptr_array_new ();
  GPtrArray *frozen = g_ptr_array_new (), *targets = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer target;

  for (guint i = 0; i < plan->covers->len; i++)
    {
      const char *device = g_ptr_array_index (plan->covers, i);
      Entry *entry = entry_for (ledger, device);

      add_copy (covers, device);
      if (entry != NULL && entry->tried && !to_be)
        add_copy (tried, device);
      if (entry != NULL && entry->frozen)
        add_copy (frozen, device);
    }
  for (guint i = 0; to_be && i < plan->freeze->len; i++)
    add_copy (tried, ((VfFilesystem *) g_ptr_array_index (plan->freeze, i))->device);
  g_hash_table_iter_init (&iter, ledger->targets);
  while (g_hash_table_iter_next (&iter, &target, NULL))
    add_copy (targets, target);
  *state = (VfLedgerState){ .whole = plan->whole,
                            .covers = end_list (covers),
                            .tried = end_list (tried),
                            .frozen = end_list (frozen),
                            .map = ledger->map != NULL ? g_ptr_array_ref (ledger->map) : NULL,
                            .targets = end_list (targets),
                            .reported = ledger->reported };
}

void
vf_ledger_state_clear (VfLedgerState *state)
{
  g_clear_pointer (&state->covers, g_strfreev);
  g_clear_pointer (&state->tried, g_strfreev);
  g_clear_pointer (&state->frozen, g_strfreev);
  g_clear_pointer (&state->targets, g_strfreev);
  g_clear_pointer (&state->map, g_ptr_array_unref);
}

VfPlan *
vf_ledger_adopt (VfLedger *ledger, guint64 id, const VfLedgerState *state)
{
  VfPlan *plan = g_new0 (VfPlan, 1);

  plan->whole = state->whole;
  plan->covers = g_ptr_array_new_with_free_func (g_free);
  plan->freeze = vf_map_new ();
  /* Later records know at least as much as earlier ones; what is frozen stays over a new map. */
  if (state->map != NULL)
    vf_ledger_set_map (ledger, state->map, (const char *const *) state->targets);
  else if (ledger->map == NULL)
    vf_ledger_set_map (ledger, NULL, (const char *const *) state->targets);
  for (char **device = state->covers; *device != NULL; device++)
    {
      Entry *entry = entry_for (ledger, *device);

      if (entry == NULL)
        continue; /* such a record is not written */
      g_ptr_array_add (plan->covers, g_strdup (*device));
      entry->tried |= g_strv_contains ((const char *const *) state->tried, *device);
      entry->frozen |= g_strv_contains ((const char *const *) state->frozen, *device);
    }
  ledger->whole_tried |= state->whole;
  ledger->reported = MAX (ledger->reported, state->reported);
  if (id != 0)
    add_hold (ledger, id, plan);
  return plan;
}

gboolean
vf_ledger_owes (VfLedger *ledger, const VfPlan *plan)
{
  if (plan->whole)
    return ledger->whole_tried && g_hash_table_size (ledger->holds) == 0;
  for (guint i = 0; i < plan->covers->len; i++)
    {
      Entry *entry = entry_for (ledger, g_ptr_array_index (plan->covers, i));
      if (entry != NULL && entry->tried && entry->count == 0)
        return TRUE;
    }
  return FALSE;
}

/* --- questions ------------------------------------------------------------------------------ */

gboolean
vf_ledger_in_period (VfLedger *ledger)
{
  GHashTableIter iter;
  gpointer value;

  if (ledger->whole_tried)
    return TRUE;
  g_hash_table_iter_init (&iter, ledger->entries);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    if (((Entry *) value)->tried)
      return TRUE;
  return FALSE;
}

gboolean
vf_ledger_has_holds (VfLedger *ledger)
{
  return g_hash_table_size (ledger->holds) > 0;
}

gboolean
vf_ledger_is_frozen (VfLedger *ledger, const char *device)
{
  Entry *entry = entry_for (ledger, device);

  return entry != NULL && entry->frozen;
}

VfFilesystem *
vf_ledger_find (VfLedger *ledger, const char *device)
{
  Entry *entry = entry_for (ledger, device);

  return entry != NULL ? entry->fs : NULL;
}

gboolean
vf_ledger_is_any_tried (VfLedger *ledger, const VfPlan *plan)
{
  if (plan->whole)
    return ledger->whole_tried;
  for (guint i = 0; i < plan->covers->len; i++)
    {
      Entry *entry = entry_for (ledger, g_ptr_array_index (plan->covers, i));
      if (entry != NULL && entry->tried)
        return TRUE;
    }
  return FALSE;
}

GPtrArray *
vf_ledger_list_tried (VfLedger *ledger)
{
  GPtrArray *list = vf_map_new ();
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, ledger->entries);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    if (((Entry *) value)->tried)
      g_ptr_array_add (list, vf_filesystem_ref (((Entry *) value)->fs));
  return list;
}

guint
vf_ledger_count (VfLedger *ledger, const char *device)
{
  Entry *entry = entry_for (ledger, device);

  return entry != NULL ? entry->count : 0;
}

void
vf_ledger_hold_counts (VfLedger *ledger, guint64 id, guint *frozen, guint *skipped)
{
  gint64 key = (gint64) id;
  Hold *hold = g_hash_table_lookup (ledger->holds, &key);

  *frozen = *skipped = 0;
  if (hold == NULL)
    return;
  if (hold->whole)
    {
      *frozen = ledger->reported;
      return;
    }
  for (guint i = 0; i < hold->covers->len; i++)
    if (vf_ledger_is_frozen (ledger, g_ptr_array_index (hold->covers, i)))
      (*frozen)++;
  /* Of all of them together the guest has told how many. */
  if (hold->covers->len == g_hash_table_size (ledger->entries))
    *frozen = MAX (*frozen, MIN (ledger->reported, hold->covers->len));
  *skipped = hold->covers->len - *frozen;
}
