/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random operations on the ledger of a simulated guest, which freezes and thaws as told. After
 * each, the ledger must agree with the naive reference, and both with the guest.
 *
 * The seed is that of g_test ("# random seed" in the output; --seed repeats a run). The number of
 * sequences of each case is VIRTFREEZE_TEST_SEQUENCES (default 10000).
 */
#include "ledger-reference.h"

#include <stdlib.h>

#define N_DISKS 5
#define MAX_OPERATIONS 24
#define MAX_TOLD_DISKS (N_DISKS + 1)

/* What each case varies; VF_SCOPE_AUTO: both scopes, by turns. */
typedef struct {
  const char *name;
  VfAbilities abilities;
  VfScope scope;
} Case;

static const Case cases[] = {
  { "none/scope-disks", { FALSE, FALSE }, VF_SCOPE_DISKS },
  { "none/scope-domain", { FALSE, FALSE }, VF_SCOPE_DOMAIN },
  { "none/both-scopes", { FALSE, FALSE }, VF_SCOPE_AUTO },
  { "thaw-part/scope-disks", { FALSE, TRUE }, VF_SCOPE_DISKS },
  { "thaw-part/scope-domain", { FALSE, TRUE }, VF_SCOPE_DOMAIN },
  { "thaw-part/both-scopes", { FALSE, TRUE }, VF_SCOPE_AUTO },
  { "grow/scope-disks", { TRUE, FALSE }, VF_SCOPE_DISKS },
  { "grow/scope-domain", { TRUE, FALSE }, VF_SCOPE_DOMAIN },
  { "grow/both-scopes", { TRUE, FALSE }, VF_SCOPE_AUTO },
  { "grow+thaw-part/scope-disks", { TRUE, TRUE }, VF_SCOPE_DISKS },
  { "grow+thaw-part/scope-domain", { TRUE, TRUE }, VF_SCOPE_DOMAIN },
  { "grow+thaw-part/both-scopes", { TRUE, TRUE }, VF_SCOPE_AUTO },
};

static const char *const disk_names[N_DISKS] = { "vda", "vdb", "sda", "vdaa", "sdb" };
static const char *const mountpoints[REF_MAX_FS] = { "/",    "/a", "/b c", "/boot",
                                                     "C:\\", "/d", "/e/f", "/g" };

typedef struct {
  guint64 random;
  const Case *test;
  VfLedger *ledger;
  Reference ref;

  /* the guest, as it really is */
  gboolean tells; /* its filesystems */
  gboolean windows[REF_MAX_FS];
  RefSet freezable; /* of those that may freeze, the ones that do */
  RefSet disks;     /* attached */
  RefSet mounted;
  RefSet frozen;

  guint64 last_id;
  gboolean vague;    /* this period's answers leave open which filesystems froze */
  GPtrArray *map;    /* that of map_of */
  RefSet map_of;
  guint n_operations;
  GString *trace;    /* NULL unless this is the second run of a sequence that failed */
  const char *wrong; /* the first thing found wrong */
} Run;

#define TRACE(run, ...)                                                                           \
  G_STMT_START                                                                                    \
  {                                                                                               \
    if ((run)->trace != NULL)                                                                     \
      g_string_append_printf ((run)->trace, __VA_ARGS__);                                         \
  }                                                                                               \
  G_STMT_END

/* Not an assertion: what fails is run once more, to tell how it came to it. */
#define EXPECT(run, condition)                                                                    \
  G_STMT_START                                                                                    \
  {                                                                                               \
    if (!(condition) && (run)->wrong == NULL)                                                     \
      (run)->wrong = G_STRLOC ": " #condition;                                                    \
  }                                                                                               \
  G_STMT_END

/* Chance */

static guint64
next_random (guint64 *state)
{
  guint64 z = (*state += G_GUINT64_CONSTANT (0x9e3779b97f4a7c15));

  z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return z ^ (z >> 31);
}

static guint
below (Run *run, guint end)
{
  return (next_random (&run->random) >> 32) % end;
}

static gboolean
chance (Run *run, guint percent)
{
  return below (run, 100) < percent;
}

static gboolean
has (RefSet set, guint member)
{
  return (set >> member) & 1;
}

static RefSet
random_subset (Run *run, RefSet set)
{
  return set & (RefSet) next_random (&run->random);
}

/* Names */

static const char *
device_name (const Run *run, guint fs)
{
  static const char *const linux_names[REF_MAX_FS] = { "vda1", "dm-0", "sdb", "nvme0n1p1",
                                                       "md127", "vdb1", "sr0", "loop0" };
  static const char *const windows_names[REF_MAX_FS] = {
    "\\\\?\\Volume{0}\\", "\\\\?\\Volume{1}\\", "\\\\?\\Volume{2}\\", "\\\\?\\Volume{3}\\",
    "\\\\?\\Volume{4}\\", "\\\\?\\Volume{5}\\", "\\\\?\\Volume{6}\\", "\\\\?\\Volume{7}\\"
  };

  return run->windows[fs] ? windows_names[fs] : linux_names[fs];
}

static const char *
type_name (const Run *run, guint fs)
{
  static const char *const must[] = { "ext4", "xfs", "btrfs" };

  switch (run->ref.kinds[fs])
    {
    case REF_MUST:
      return must[fs % G_N_ELEMENTS (must)];
    case REF_MAY:
      return "vfat";
    default:
      return run->windows[fs] ? "NTFS" : "";
    }
}

static guint
fs_of_device (const Run *run, const char *device)
{
  for (guint fs = 0; fs < REF_MAX_FS; fs++)
    if (g_str_equal (device_name (run, fs), device))
      return fs;
  g_assert_not_reached ();
}

/* A NULL-terminated array of the names, in told. */
static const char *const *
tell_disks (RefSet disks, const char *told[MAX_TOLD_DISKS])
{
  guint n = 0;

  for (guint disk = 0; disk < N_DISKS; disk++)
    if (has (disks, disk))
      told[n++] = disk_names[disk];
  told[n] = NULL;
  return told;
}

/* Each device must be there once. */
static RefSet
set_of_devices (Run *run, GPtrArray *devices)
{
  RefSet set = 0;

  for (guint i = 0; i < devices->len; i++)
    {
      RefSet bit = 1u << fs_of_device (run, g_ptr_array_index (devices, i));

      EXPECT (run, (set & bit) == 0);
      set |= bit;
    }
  return set;
}

static RefSet
set_of_filesystems (Run *run, GPtrArray *filesystems)
{
  RefSet set = 0;

  for (guint i = 0; i < filesystems->len; i++)
    {
      const VfFilesystem *fs = g_ptr_array_index (filesystems, i);
      RefSet bit = 1u << fs_of_device (run, fs->device);

      EXPECT (run, (set & bit) == 0);
      set |= bit;
    }
  return set;
}

/* The guest */

static RefSet
really_freezable (const Run *run)
{
  RefSet set = run->freezable;

  for (guint fs = 0; fs < REF_MAX_FS; fs++)
    if (run->ref.kinds[fs] == REF_MUST)
      set |= 1u << fs;
  return set;
}

static void
guest_init (Run *run)
{
  gboolean windows = chance (run, 8);

  run->tells = chance (run, 90);
  run->disks = random_subset (run, (1u << N_DISKS) - 1) | 1;
  run->freezable = random_subset (run, ~0u);
  for (guint fs = 0; fs < REF_MAX_FS; fs++)
    {
      run->windows[fs] = windows;
      if (windows)
        run->ref.kinds[fs] = REF_OPAQUE;
      else if (chance (run, 65))
        run->ref.kinds[fs] = REF_MUST;
      else
        run->ref.kinds[fs] = chance (run, 80) ? REF_MAY : REF_OPAQUE;
      /* Mostly one disk, sometimes several, seldom none (or none that is told). */
      if (!chance (run, 4))
        run->ref.disks[fs] = 1u << below (run, N_DISKS);
      if (chance (run, 15))
        run->ref.disks[fs] |= 1u << below (run, N_DISKS);
    }
}

static RefSet
mountable (const Run *run)
{
  RefSet set = 0;

  for (guint fs = 0; fs < REF_MAX_FS; fs++)
    if ((run->ref.disks[fs] & ~run->disks) == 0)
      set |= 1u << fs;
  return set & ~run->mounted;
}

/* What nobody would notice: neither frozen nor tried, nor counted. */
static RefSet
idle (const Run *run)
{
  RefSet set = run->mounted & ~run->frozen & ~run->ref.tried;

  for (guint fs = 0; fs < REF_MAX_FS; fs++)
    if (ref_count (&run->ref, fs) > 0)
      set &= ~(1u << fs);
  return run->frozen != 0 && !run->tells ? 0 : set;
}

static guint
guest_freeze (Run *run, RefSet set)
{
  RefSet fresh = set & run->mounted & really_freezable (run) & ~run->frozen;

  run->frozen |= fresh;
  return ref_set_size (fresh);
}

/* Fails part-way: fewer than it has to. */
static guint
guest_freeze_badly (Run *run, RefSet set)
{
  RefSet must = 0, some;

  for (guint fs = 0; fs < REF_MAX_FS; fs++)
    if (has (set, fs) && run->ref.kinds[fs] == REF_MUST)
      must |= 1u << fs;
  some = random_subset (run, must);
  if (some == must)
    some &= some - 1;
  run->frozen |= some;
  return ref_set_size (some);
}

static guint
guest_thaw (Run *run, RefSet set)
{
  guint count = ref_set_size (run->frozen & set);

  run->frozen &= ~set;
  return count;
}

/* What must hold at any time */

static void
check_holds (Run *run)
{
  for (guint i = 0; i < REF_MAX_HOLDS; i++)
    {
      const RefHold *hold = &run->ref.holds[i];
      guint frozen, skipped, ref_frozen, ref_skipped;

      if (hold->id == 0)
        continue;
      vf_ledger_hold_counts (run->ledger, hold->id, &frozen, &skipped);
      ref_hold_counts (&run->ref, hold->id, &ref_frozen, &ref_skipped);
      EXPECT (run, frozen == ref_frozen);
      EXPECT (run, skipped == ref_skipped);
      EXPECT (run, frozen > 0 || run->vague);
      /* The promise: what is held, and must freeze, is frozen. */
      for (guint fs = 0; fs < REF_MAX_FS; fs++)
        if (has (hold->covers, fs) && run->ref.kinds[fs] == REF_MUST)
          EXPECT (run, has (run->frozen, fs));
      if (hold->whole)
        EXPECT (run, run->frozen != 0);
    }
}

static void
check_state (Run *run)
{
  gboolean in_period = vf_ledger_in_period (run->ledger);

  for (guint fs = 0; fs < REF_MAX_FS; fs++)
    {
      const char *device = device_name (run, fs);
      gboolean frozen = vf_ledger_is_frozen (run->ledger, device);

      EXPECT (run, vf_ledger_count (run->ledger, device) == ref_count (&run->ref, fs));
      EXPECT (run, frozen == has (run->ref.frozen, fs));
      EXPECT (run, !frozen || has (run->frozen, fs));
    }
  EXPECT (run, in_period == ref_in_period (&run->ref));
  EXPECT (run, in_period || run->frozen == 0);
  EXPECT (run, vf_ledger_has_holds (run->ledger) == (ref_n_holds (&run->ref) > 0));
  EXPECT (run, in_period || !vf_ledger_has_holds (run->ledger));
  check_holds (run);
}

/* Operations */

static void
build_map (Run *run)
{
  g_clear_pointer (&run->map, g_ptr_array_unref);
  run->map = vf_map_new ();
  run->map_of = run->mounted;
  for (guint fs = 0; fs < REF_MAX_FS; fs++)
    if (has (run->mounted, fs))
      {
        const char *told[MAX_TOLD_DISKS];

        vf_map_add (run->map, device_name (run, fs), mountpoints[fs], type_name (run, fs),
                    tell_disks (run->ref.disks[fs], told));
        if (fs % 4 == 3) /* a bind mount */
          vf_map_add (run->map, device_name (run, fs), "/bind", type_name (run, fs),
                      tell_disks (run->ref.disks[fs], told));
      }
}

static void
refresh_map (Run *run)
{
  const char *told[MAX_TOLD_DISKS];

  if (run->map == NULL || run->map_of != run->mounted)
    build_map (run);
  vf_ledger_set_map (run->ledger, run->tells ? run->map : NULL, tell_disks (run->disks, told));
  ref_set_map (&run->ref, run->tells, run->tells ? run->mounted : 0, run->disks);
  EXPECT (run, vf_ledger_get_map (run->ledger) == (run->tells ? run->map : NULL));
}

/* TRUE where both planned something. */
static gboolean
check_plan (Run *run, const VfPlan *plan, const RefPlan *expected, const GError *error)
{
  EXPECT (run, (plan == NULL) == (error != NULL));
  if (plan == NULL)
    {
      EXPECT (run, error->domain == VF_ERROR);
      EXPECT (run, has (expected->errors, error->code));
      TRACE (run, ": error %d\n", error->code);
      return FALSE;
    }
  EXPECT (run, expected->errors == 0);
  EXPECT (run, plan->whole == expected->whole);
  EXPECT (run, plan->freeze_all == expected->freeze_all);
  EXPECT (run, plan->everything == expected->everything);
  EXPECT (run, set_of_devices (run, plan->covers) == expected->covers);
  EXPECT (run, set_of_filesystems (run, plan->freeze) == expected->freeze);
  EXPECT (run, vf_plan_needs_freeze (plan) == (expected->freeze_all || expected->freeze != 0));
  TRACE (run, ": covers %x, freeze %x%s%s", expected->covers, expected->freeze,
         expected->freeze_all ? ", all" : "", expected->whole ? ", whole" : "");
  return run->wrong == NULL;
}

/* A thaw that was planned before must not be sent if it touches what is now to be held. */
static void
check_touches (Run *run, const VfPlan *plan, const RefPlan *expected)
{
  g_autoptr (VfThawPlan) thaw = vf_ledger_plan_thaw (run->ledger, run->test->abilities);
  RefThawPlan expected_thaw = ref_plan_thaw (&run->ref, run->test->abilities);

  if (thaw != NULL && expected_thaw.any)
    EXPECT (run, vf_thaw_plan_touches (thaw, plan) == ref_thaw_touches (&expected_thaw, expected));
}

/* Something is mounted between the map and a plain freeze: the guest counts it too. Where some of
 * its types may or may not freeze, nobody could tell what that count means. */
static void
mount_unseen (Run *run, const RefPlan *plan)
{
  RefSet more = mountable (run) & really_freezable (run);

  for (guint fs = 0; fs < REF_MAX_FS; fs++)
    if (has (plan->freeze, fs) && run->ref.kinds[fs] != REF_MUST)
      return;
  if (plan->freeze_all && !run->test->abilities.grow && chance (run, 10))
    run->mounted |= random_subset (run, more);
}

static void
commit (Run *run, const VfPlan *plan, const RefPlan *expected)
{
  g_autoptr (GError) error = NULL;
  RefSet before = run->frozen;
  guint64 id = ++run->last_id;
  guint count = below (run, 10); /* ignored where nothing is to freeze */
  guint wrong;

  if (vf_plan_needs_freeze (plan))
    {
      RefSet set = expected->freeze_all ? ~0u : expected->freeze;

      mount_unseen (run, expected);
      count = chance (run, 10) ? guest_freeze_badly (run, expected->freeze)
                               : guest_freeze (run, set);
    }
  wrong = ref_commit (&run->ref, id, expected, count);
  TRACE (run, ", count %u -> hold %" G_GUINT64_FORMAT ": errors %x\n", count, id, wrong);
  EXPECT (run, vf_ledger_commit (run->ledger, id, plan, count, &error) == (error == NULL));
  EXPECT (run, (error == NULL) == (wrong == 0));
  if (error != NULL)
    {
      EXPECT (run, error->domain == VF_ERROR && has (wrong, error->code));
      run->frozen = before; /* whatever it did freeze is thawed again */
    }
  else if (vf_plan_needs_freeze (plan) && !plan->whole && count < ref_set_size (expected->freeze))
    {
      RefSet unsure = expected->freeze & ~run->ref.frozen;

      run->vague |= count > ref_set_size (expected->freeze & ~unsure);
    }
}

/* Before each period. During one only where the engine can grow, and there it may be left out if it
 * would say the same. */
static gboolean
needs_map (Run *run)
{
  if (!ref_in_period (&run->ref))
    return TRUE;
  return run->test->abilities.grow && (run->map_of != run->mounted || chance (run, 80));
}

static void
op_freeze (Run *run)
{
  RefSet asked = chance (run, 25) ? 0 : random_subset (run, run->disks);
  VfScope scope = run->test->scope;
  const char *told[MAX_TOLD_DISKS], *told_now[MAX_TOLD_DISKS];
  g_autoptr (VfPlan) plan = NULL;
  g_autoptr (GError) error = NULL;
  RefPlan expected;

  if (ref_n_holds (&run->ref) == REF_MAX_HOLDS)
    return;
  if (scope == VF_SCOPE_AUTO)
    scope = chance (run, 50) ? VF_SCOPE_DISKS : VF_SCOPE_DOMAIN;
  if (needs_map (run))
    refresh_map (run);
  TRACE (run, "freeze disks %x of %x, scope %s", asked, run->disks,
         scope == VF_SCOPE_DISKS ? "disks" : "domain");

  expected = ref_plan (&run->ref, asked, scope, run->test->abilities, run->disks);
  plan = vf_ledger_plan (run->ledger,
                         asked == 0 && chance (run, 50) ? NULL : tell_disks (asked, told), scope,
                         run->test->abilities, tell_disks (run->disks, told_now), &error);
  if (!check_plan (run, plan, &expected, error))
    return;
  check_touches (run, plan, &expected);
  if (chance (run, 5))
    TRACE (run, ", given up\n");
  else
    commit (run, plan, &expected);
}

static void
op_thaw (Run *run)
{
  g_autoptr (VfThawPlan) plan = vf_ledger_plan_thaw (run->ledger, run->test->abilities);
  RefThawPlan expected = ref_plan_thaw (&run->ref, run->test->abilities);
  guint count;

  EXPECT (run, (plan != NULL) == expected.any);
  if (plan == NULL || !expected.any)
    return;
  TRACE (run, "thaw %x%s, expected %u", expected.thaw, plan->all ? ", all" : "", plan->expected);
  EXPECT (run, plan->all == expected.all);
  EXPECT (run, plan->all || set_of_filesystems (run, plan->thaw) == expected.thaw);
  for (guint fs = 0; fs < REF_MAX_FS; fs++)
    if (plan->all || has (expected.thaw, fs))
      EXPECT (run, ref_count (&run->ref, fs) == 0);
  if (chance (run, 5))
    {
      TRACE (run, ", given up\n"); /* it stays owed */
      return;
    }
  count = guest_thaw (run, plan->all ? ~0u : expected.thaw);
  TRACE (run, ", count %u\n", count);
  /* Fewer than expected would be taken for a broken freeze. */
  EXPECT (run, count >= plan->expected);
  EXPECT (run, run->vague || count == plan->expected);
  vf_ledger_thawed (run->ledger, plan);
  ref_thawed (&run->ref, &expected);
  if (plan->all)
    {
      EXPECT (run, run->frozen == 0);
      EXPECT (run, !vf_ledger_in_period (run->ledger));
      run->vague = FALSE;
    }
}

static void
op_release (Run *run)
{
  guint64 id = run->ref.holds[below (run, REF_MAX_HOLDS)].id;

  if (id == 0 && chance (run, 80))
    return;
  if (id == 0)
    id = run->last_id + 1; /* nobody's */
  TRACE (run, "release %" G_GUINT64_FORMAT "\n", id);
  vf_ledger_release (run->ledger, id);
  ref_release (&run->ref, id);
  check_state (run);
  if (chance (run, 80))
    op_thaw (run);
}

/* The guest was reset. */
static void
op_clear (Run *run)
{
  TRACE (run, "clear\n");
  run->frozen = 0;
  run->vague = FALSE;
  vf_ledger_clear (run->ledger);
  ref_clear (&run->ref);
}

static void
op_mount (Run *run)
{
  if (chance (run, 60))
    run->mounted |= random_subset (run, mountable (run));
  else
    run->mounted &= ~(random_subset (run, idle (run)) & random_subset (run, ~0u));
  TRACE (run, "mounted %x\n", run->mounted);
}

/* Attaches or detaches a disk; the latter takes what is on it along. */
static void
op_plug (Run *run)
{
  guint disk = below (run, N_DISKS);
  RefSet on_it = 0;

  for (guint fs = 0; fs < REF_MAX_FS; fs++)
    if (has (run->mounted, fs) && has (run->ref.disks[fs], disk))
      on_it |= 1u << fs;
  if (!has (run->disks, disk))
    {
      run->disks |= 1u << disk;
      if (chance (run, 50))
        run->mounted |= mountable (run);
    }
  else if ((on_it & ~idle (run)) == 0)
    {
      run->disks &= ~(1u << disk);
      run->mounted &= ~on_it;
      /* Before the next period, a new map says the same. */
      if (ref_in_period (&run->ref) || chance (run, 50))
        {
          const char *now[N_DISKS + 1] = { NULL };
          guint n = 0;

          for (guint d = 0; d < N_DISKS; d++)
            if (has (run->disks, d))
              now[n++] = disk_names[d];
            else
              ref_forget_disk (&run->ref, d);
          vf_ledger_keep_targets (run->ledger, now);
        }
    }
  TRACE (run, "disks %x, mounted %x\n", run->disks, run->mounted);
}

static void
random_operation (Run *run)
{
  guint what = below (run, 100);

  if (what < 45)
    op_freeze (run);
  else if (what < 75)
    op_release (run);
  else if (what < 83)
    op_thaw (run);
  else if (what < 91)
    op_mount (run);
  else if (what < 97)
    op_plug (run);
  else
    op_clear (run);
  run->n_operations++;
}

/* Whatever went before: once all have released, the guest thaws as a whole. */
static void
end_of_sequence (Run *run)
{
  for (guint i = 0; i < REF_MAX_HOLDS; i++)
    if (run->ref.holds[i].id != 0)
      {
        vf_ledger_release (run->ledger, run->ref.holds[i].id);
        ref_release (&run->ref, run->ref.holds[i].id);
      }
  EXPECT (run, !vf_ledger_has_holds (run->ledger));
  while (vf_ledger_in_period (run->ledger) && run->wrong == NULL)
    {
      g_autoptr (VfThawPlan) plan = vf_ledger_plan_thaw (run->ledger, run->test->abilities);

      EXPECT (run, plan != NULL && plan->all);
      op_thaw (run);
    }
  EXPECT (run, run->frozen == 0);
  check_state (run);
}

/* Returns what went wrong, or NULL. */
static const char *
run_sequence (const Case *test, guint64 seed, GString *trace, guint *n_operations)
{
  Run run = { .random = seed, .test = test, .trace = trace };
  guint length;

  run.ledger = vf_ledger_new ();
  guest_init (&run);
  run.mounted = random_subset (&run, mountable (&run));
  length = 1 + below (&run, MAX_OPERATIONS);
  if (trace != NULL)
    for (guint fs = 0; fs < REF_MAX_FS; fs++)
      g_string_append_printf (trace, "filesystem %u: %s “%s”, disks %x%s%s\n", fs,
                              device_name (&run, fs), type_name (&run, fs), run.ref.disks[fs],
                              has (really_freezable (&run), fs) ? ", freezes" : "",
                              has (run.mounted, fs) ? ", mounted" : "");
  while (run.n_operations < length && run.wrong == NULL)
    {
      random_operation (&run);
      check_state (&run);
    }
  if (run.wrong == NULL)
    end_of_sequence (&run);
  *n_operations += run.n_operations;
  vf_ledger_free (run.ledger);
  g_clear_pointer (&run.map, g_ptr_array_unref);
  return run.wrong;
}

static guint
number_of_sequences (void)
{
  const char *text = g_getenv ("VIRTFREEZE_TEST_SEQUENCES");

  return text != NULL ? (guint) strtoul (text, NULL, 10) : 10000;
}

static void
test_random (gconstpointer data)
{
  const Case *test = data;
  guint n_sequences = number_of_sequences (), n_operations = 0;

  for (guint i = 0; i < n_sequences; i++)
    {
      guint64 seed = ((guint64) (guint32) g_test_rand_int () << 32) | (guint32) (test - cases);
      g_autoptr (GString) trace = NULL;
      const char *wrong = run_sequence (test, seed, NULL, &n_operations);

      if (wrong == NULL)
        continue;
      trace = g_string_new (NULL);
      run_sequence (test, seed, trace, &n_operations);
      g_test_message ("%s", trace->str);
      g_test_fail_printf ("sequence %u: %s", i, wrong);
      return;
    }
  g_test_message ("%u sequences, %u operations", n_sequences, n_operations);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *path = g_strdup_printf ("/ledger/random/%s", cases[i].name);

      g_test_add_data_func (path, &cases[i], test_random);
    }
  return g_test_run ();
}
