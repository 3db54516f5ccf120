/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ledger-script.h"

#include "error.h"

#include <string.h>

typedef struct {
  VfAbilities abilities;
  VfLedger *ledger;
  GPtrArray *devices; /* char*: all that were ever listed */
  char **disks;       /* of the domain, now */
  VfPlan *plan;       /* the last */
  VfThawPlan *thaw;   /* the last */
} Script;

static int
compare_strings (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* In the order of the names, since the ledger promises none. */
static char *
join_devices (GPtrArray *filesystems)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();

  for (guint i = 0; i < filesystems->len; i++)
    g_ptr_array_add (names, ((VfFilesystem *) g_ptr_array_index (filesystems, i))->device);
  g_ptr_array_sort (names, compare_strings);
  g_ptr_array_add (names, NULL);
  return g_strjoinv (" ", (char **) names->pdata);
}

static char *
join_sorted (GPtrArray *strings)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();

  for (guint i = 0; i < strings->len; i++)
    g_ptr_array_add (names, g_ptr_array_index (strings, i));
  g_ptr_array_sort (names, compare_strings);
  g_ptr_array_add (names, NULL);
  return g_strjoinv (" ", (char **) names->pdata);
}

static char *
error_text (const GError *error)
{
  g_assert_true (error->domain == VF_ERROR);
  g_assert_cmpuint (strlen (error->message), >, 0);
  return g_strdup (strrchr (vf_error_dbus_name (error->code), '.') + 1);
}

/* Unless told otherwise, a domain has the disks that its guest names. */
static void
add_disks (Script *script, char **targets)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  if (script->disks != NULL)
    g_strv_builder_addv (builder, (const char **) script->disks);
  g_strv_builder_addv (builder, (const char **) targets);
  g_clear_pointer (&script->disks, g_strfreev);
  script->disks = g_strv_builder_end (builder);
}

static void
set_map (Script *script, char **entries)
{
  g_autoptr (GPtrArray) map = vf_map_new ();
  gboolean disks_told = script->disks != NULL;

  for (guint i = 0; entries[i] != NULL; i++)
    {
      g_auto (GStrv) field = g_strsplit (entries[i], "|", 4);
      g_auto (GStrv) targets = NULL;

      g_assert_cmpuint (g_strv_length (field), ==, 4);
      targets = g_strsplit (field[3], ",", -1);
      g_assert_true (vf_map_add (map, field[0], field[1],
                                 g_str_equal (field[2], "-") ? "" : field[2],
                                 (const char *const *) targets));
      if (!disks_told)
        add_disks (script, targets);
      if (!g_ptr_array_find_with_equal_func (script->devices, field[0], g_str_equal, NULL))
        g_ptr_array_add (script->devices, g_strdup (field[0]));
    }
  g_ptr_array_sort (script->devices, compare_strings);
  vf_ledger_set_map (script->ledger, map, (const char *const *) script->disks);
}

static char *
plan_text (Script *script)
{
  g_autofree char *covers = join_sorted (script->plan->covers);
  g_autofree char *freeze = join_devices (script->plan->freeze);
  const char *what = freeze;

  if (script->plan->freeze_all)
    what = "all";
  else if (script->plan->freeze->len == 0)
    what = "nothing";
  g_assert_cmpint (vf_plan_needs_freeze (script->plan), ==, !g_str_equal (what, "nothing"));
  if (script->plan->whole)
    return g_strdup_printf ("whole%s, freeze %s", covers, what);
  return g_strdup_printf ("covers %s, freeze %s", covers, what);
}

static char *
op_plan (Script *script, char **words)
{
  VfScope scope = g_str_equal (words[0], "disks") ? VF_SCOPE_DISKS : VF_SCOPE_DOMAIN;
  g_autoptr (GError) error = NULL;

  g_clear_pointer (&script->plan, vf_plan_free);
  script->plan = vf_ledger_plan (script->ledger, (const char *const *) words + 1, scope,
                                 script->abilities, (const char *const *) script->disks, &error);
  if (script->plan == NULL)
    return error_text (error);
  g_assert_no_error (error);
  g_assert_cmpint (script->plan->everything, ==, words[1] == NULL);
  return plan_text (script);
}

static char *
commit (Script *script, guint64 id, guint count)
{
  g_autoptr (GError) error = NULL;

  g_assert_nonnull (script->plan);
  if (!vf_ledger_commit (script->ledger, id, script->plan, count, &error))
    return error_text (error);
  g_assert_no_error (error);
  return g_strdup ("ok");
}

static char *
state (Script *script)
{
  g_autoptr (GString) out = g_string_new (NULL);

  for (guint i = 0; i < script->devices->len; i++)
    {
      const char *device = g_ptr_array_index (script->devices, i);

      g_string_append_printf (out, "%s%s%u%s", i > 0 ? " " : "", device,
                              vf_ledger_count (script->ledger, device),
                              vf_ledger_is_frozen (script->ledger, device) ? "*" : "");
    }
  if (!vf_ledger_in_period (script->ledger))
    {
      g_assert_false (vf_ledger_has_holds (script->ledger));
      g_string_append_printf (out, "%sidle", out->len > 0 ? " " : "");
    }
  return g_string_free (g_steal_pointer (&out), FALSE);
}

static char *
op_freeze (Script *script, char **words)
{
  g_autofree char *planned = op_plan (script, words + 1), *committed = NULL;

  if (script->plan == NULL)
    return g_steal_pointer (&planned);
  committed = commit (script, g_ascii_strtoull (words[0], NULL, 10),
                      script->plan->whole ? 1 : script->plan->freeze->len);
  return g_str_equal (committed, "ok") ? state (script) : g_steal_pointer (&committed);
}

static char *
op_counts (Script *script, char **words)
{
  guint frozen = 99, skipped = 99;

  vf_ledger_hold_counts (script->ledger, g_ascii_strtoull (words[0], NULL, 10), &frozen, &skipped);
  return g_strdup_printf ("%u frozen, %u skipped", frozen, skipped);
}

static char *
op_thaw_plan (Script *script)
{
  g_autofree char *devices = NULL;

  g_clear_pointer (&script->thaw, vf_thaw_plan_free);
  script->thaw = vf_ledger_plan_thaw (script->ledger, script->abilities);
  if (script->thaw == NULL)
    return g_strdup ("nothing");
  devices = join_devices (script->thaw->thaw);
  return g_strdup_printf ("%s, expected %u", script->thaw->all ? "all" : devices,
                          script->thaw->expected);
}

static char *
op_thawed (Script *script)
{
  if (script->thaw != NULL)
    vf_ledger_thawed (script->ledger, script->thaw);
  return state (script);
}

static char *
op_release (Script *script, char **words)
{
  vf_ledger_release (script->ledger, g_ascii_strtoull (words[0], NULL, 10));
  return state (script);
}

static char *
op_thaw (Script *script, char **words)
{
  g_free (op_release (script, words));
  g_free (op_thaw_plan (script));
  return op_thawed (script);
}

static char *
run_step (Script *script, char **words)
{
  const char *op = *words++;

  if (g_str_equal (op, "plan"))
    return op_plan (script, words);
  if (g_str_equal (op, "commit"))
    return commit (script, g_ascii_strtoull (words[0], NULL, 10),
                   (guint) g_ascii_strtoull (words[1], NULL, 10));
  if (g_str_equal (op, "freeze"))
    return op_freeze (script, words);
  if (g_str_equal (op, "counts"))
    return op_counts (script, words);
  if (g_str_equal (op, "state"))
    return state (script);
  if (g_str_equal (op, "release"))
    return op_release (script, words);
  if (g_str_equal (op, "thaw-plan"))
    return op_thaw_plan (script);
  if (g_str_equal (op, "touches"))
    return g_strdup (vf_thaw_plan_touches (script->thaw, script->plan) ? "yes" : "no");
  if (g_str_equal (op, "thawed"))
    return op_thawed (script);
  if (g_str_equal (op, "thaw"))
    return op_thaw (script, words);

  if (g_str_equal (op, "map"))
    set_map (script, words);
  else if (g_str_equal (op, "no-map"))
    vf_ledger_set_map (script->ledger, NULL, (const char *const *) script->disks);
  else if (g_str_equal (op, "forget"))
    {
      g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
      g_auto (GStrv) left = NULL;

      for (char **disk = script->disks; *disk != NULL; disk++)
        if (!g_str_equal (*disk, words[0]))
          g_strv_builder_add (builder, *disk);
      left = g_strv_builder_end (builder);
      vf_ledger_keep_targets (script->ledger, (const char *const *) left);
    }
  else if (g_str_equal (op, "clear"))
    vf_ledger_clear (script->ledger);
  else if (g_str_equal (op, "disks"))
    {
      g_strfreev (script->disks);
      script->disks = g_strdupv (words);
    }
  else
    g_error ("no such operation: %s", op);
  return g_strdup ("");
}

void
ledger_script_run (const char *const *steps, VfAbilities abilities)
{
  Script script = { .abilities = abilities };

  script.ledger = vf_ledger_new ();
  script.devices = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; steps[i] != NULL; i++)
    {
      g_auto (GStrv) step = g_strsplit (steps[i], " -> ", 2);
      g_auto (GStrv) words = g_strsplit (step[0], " ", -1);
      g_autofree char *result = run_step (&script, words);

      if (step[1] != NULL && !g_str_equal (result, step[1]))
        {
          g_test_fail_printf ("step %u, “%s”: “%s”", i + 1, steps[i], result);
          break;
        }
    }
  g_clear_pointer (&script.plan, vf_plan_free);
  g_clear_pointer (&script.thaw, vf_thaw_plan_free);
  g_clear_pointer (&script.disks, g_strfreev);
  g_ptr_array_unref (script.devices);
  vf_ledger_free (script.ledger);
}
