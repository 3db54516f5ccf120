/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random requests, events and failures on three fake guests. After each step the promises must
 * hold by what is true in the guests (test-service.h), every request must have been answered once
 * and in time, and in runs without faults a freeze that was broken must not end well, nor one that
 * held badly. At the end all guests heal, and nothing may be left anywhere.
 *
 * The seed is that of g_test ("# random seed" in the output; --seed repeats a run). The number of
 * sequences of each case is VIRTFREEZE_TEST_SEQUENCES (default 40).
 */
#include "group.h"
#include "test-service.h"

#include <stdlib.h>
#define N_GUESTS 3
#define N_OWNERS 4
#define MAX_STEPS 80
#define DISKS "vda vdb"
#define CONFIG "AgentTimeout=3s MaxHold=1min DefaultHold=10s MaxInFlight=4"
#define FILESYSTEMS "A|/a|ext4|vda B|/b|xfs|vdb C|/c|ext4|vda,vdb E|/efi|vfat|vda"

typedef struct {
  const char *name;
  FakeKind kind;
  gboolean exec;  /* engine exec */
  gboolean clean; /* nothing fails; guests may still be thawed or reset by others */
} Case;

typedef struct {
  Service *service;
  FakeHost *host;
  const Case *test;
  guint life;         /* of the service: counts crashes */
  GHashTable *askers; /* Asker* set: those not answered yet */
  GHashTable *broken; /* numbers of freezes that something outside has broken */
  GHashTable *groups; /* reasons of those not, or not well, answered: no freeze of theirs is told */
  guint last_group;
  char *owners[N_OWNERS];
  guint last_owner;
} Run;

typedef struct {
  Run *run;
  gint64 deadline;
  guint64 thaw;  /* the freeze that its owner thaws; 0: something else */
  gboolean held; /* it did when that was asked */
  char *uuid;    /* of its domain */
} Asker;

/* --- chance ----------------------------------------------------------------------------------- */

#define below(end) ((guint) g_test_rand_int_range (0, (gint32) (end)))
#define chance(percent) (below (100) < (percent))

static FakeGuest *
any_guest (Run *run)
{
  return g_ptr_array_index (run->host->guests, below (run->host->guests->len));
}

static void
collect (VfFreeze *freeze, gpointer data)
{
  g_ptr_array_add (data, freeze);
}

static VfFreeze *
any_freeze (Run *run)
{
  g_autoptr (GPtrArray) freezes = g_ptr_array_new ();

  vf_registry_foreach_freeze (run->service->registry, collect, freezes);
  return freezes->len > 0 ? g_ptr_array_index (freezes, below (freezes->len)) : NULL;
}

/* --- those who ask ---------------------------------------------------------------------------- */

static void
asker_free (gpointer data)
{
  Asker *asker = data;

  g_free (asker->uuid);
  g_free (asker);
}

static Asker *
asker_new (Run *run, gint64 deadline)
{
  Asker *asker = g_new0 (Asker, 1);

  asker->run = run;
  asker->deadline = deadline;
  g_hash_table_add (run->askers, asker);
  return asker;
}

/* Once: a second answer would find it freed. */
static void
answered (Asker *asker)
{
  g_assert_true (g_hash_table_remove (asker->run->askers, asker));
}

/* It may have joined one that was broken, which nobody knows yet. */
static void
note_joined (Run *run, const VfFreeze *freeze, const FakeGuest *guest)
{
  if (run->test->exec ? fake_exec_has_touched (guest, freeze->plan->covers) : guest->touched)
    g_hash_table_add (run->broken, GUINT_TO_POINTER ((guint) freeze->number));
}

static void
on_request_done (VfRequest *request, VfFreeze *freeze, const GError *error, gpointer data)
{
  g_assert_true (freeze != NULL || error != NULL || request->map_only);
  g_assert_true (freeze == NULL || freeze->state == VF_FREEZE_HELD);
  if (freeze != NULL)
    {
      Run *run = ((Asker *) data)->run;
      const FakeGuest *guest = fake_guest_find (run->host, freeze->domain->info->uuid);

      note_joined (run, freeze, guest);
    }
  answered (data);
}

static void
on_thaw_done (const GError *error, gpointer data)
{
  Asker *asker = data;
  Run *run = asker->run;
  gboolean lost = g_error_matches (error, VF_ERROR, VF_ERROR_CONSISTENCY_LOST);

  if (asker->thaw != 0 && asker->held && run->test->clean && run->test->kind != FAKE_DRIVER)
    {
      gboolean was_broken
          = g_hash_table_contains (run->broken, GUINT_TO_POINTER ((guint) asker->thaw));

      if (error == NULL && was_broken)
        g_error ("freeze %u was broken, and its Thaw says that it held", (guint) asker->thaw);
      if (lost && !was_broken)
        g_error ("freeze %u held, and its Thaw says that it was broken", (guint) asker->thaw);
    }
  answered (asker);
}

static void
check_askers (Run *run)
{
  GHashTableIter iter;
  gpointer asker;

  g_hash_table_iter_init (&iter, run->askers);
  while (g_hash_table_iter_next (&iter, &asker, NULL))
    if (((Asker *) asker)->deadline < vf_clock_now ())
      g_error ("somebody was not answered in time");
}

/* --- requests --------------------------------------------------------------------------------- */

static void
step_freeze (Run *run)
{
  static const char *const disks[] = { "", "", "vda", "vdb", "vda vdb", "vdc" };
  static const VfScope scopes[] = { VF_SCOPE_AUTO, VF_SCOPE_AUTO, VF_SCOPE_DISKS, VF_SCOPE_DOMAIN };
  FakeGuest *guest = any_guest (run);
  VfDomain *domain = service_domain (run->service, guest);
  const char *asked = disks[below (G_N_ELEMENTS (disks))];
  VfRequest *request;

  if (domain == NULL)
    return;
  request = vf_request_new ();
  request->map_only = chance (10);
  request->disks = *asked != '\0' ? g_strsplit (asked, " ", -1) : g_new0 (char *, 1);
  request->scope = vf_domain_resolve_scope (domain, scopes[below (G_N_ELEMENTS (scopes))]);
  request->hold = (gint64) (1 + below (40)) * G_USEC_PER_SEC;
  request->lease = chance (30);
  request->reason = g_strdup ("");
  request->owner = g_strdup (run->owners[below (N_OWNERS)]);
  request->uid = below (3);
  request->deadline = vf_clock_now () + (gint64) (1 + below (25)) * G_USEC_PER_SEC;
  request->done = on_request_done;
  request->data = asker_new (run, request->deadline);
  service_note (run->service, "%s: freeze [%s] scope %d by %s%s", guest->name, asked,
                request->scope, request->owner, request->lease ? " (lease)" : "");
  vf_lane_request (domain->lane, request);
}

static void
step_thaw (Run *run)
{
  VfFreeze *freeze = any_freeze (run);
  gboolean by_owner = chance (80);
  gint64 deadline = vf_clock_now () + (gint64) (1 + below (25)) * G_USEC_PER_SEC;
  Asker *asker;

  if (freeze == NULL)
    return;
  service_note (run->service, "thaw %u%s", (guint) freeze->number, by_owner ? "" : " by another");
  asker = asker_new (run, deadline);
  asker->thaw = by_owner ? freeze->number : 0;
  asker->held = freeze->state == VF_FREEZE_HELD;
  asker->uuid = g_strdup (freeze->domain->info->uuid);
  vf_lane_thaw (freeze->domain->lane, freeze, by_owner, deadline, on_thaw_done, asker);
}

static void
step_thaw_all (Run *run)
{
  FakeGuest *guest = any_guest (run);
  VfDomain *domain = service_domain (run->service, guest);
  gint64 deadline = vf_clock_now () + (gint64) (1 + below (25)) * G_USEC_PER_SEC;

  if (domain == NULL)
    return;
  service_note (run->service, "%s: thaw all", guest->name);
  vf_lane_thaw_all (domain->lane, deadline, on_thaw_done, asker_new (run, deadline));
}

typedef struct {
  Run *run;
  gboolean held; /* before */
} Renewer;

static void
on_renewed (const GError *error, gpointer data)
{
  g_autofree Renewer *renewer = data;

  if (error == NULL)
    g_assert_true (renewer->held);
  else if (!renewer->held)
    g_assert_error (error, VF_ERROR, VF_ERROR_CONSISTENCY_LOST);
  service_note (renewer->run->service, "renewed: %s", error != NULL ? error->message : "ok");
}

static void
step_renew (Run *run)
{
  VfFreeze *freeze = any_freeze (run);
  Renewer *renewer;

  if (freeze == NULL)
    return;
  service_note (run->service, "renew %u", (guint) freeze->number);
  renewer = g_new (Renewer, 1);
  *renewer = (Renewer){ run, freeze->state == VF_FREEZE_HELD };
  vf_lane_renew (freeze->domain->lane, freeze, (gint64) (1 + below (60)) * G_USEC_PER_SEC,
                 vf_clock_now () + 20 * G_USEC_PER_SEC, on_renewed, renewer);
}

static void
step_left (Run *run)
{
  guint which = below (N_OWNERS);
  g_autofree char *owner = g_steal_pointer (&run->owners[which]);

  service_note (run->service, "%s leaves", owner);
  vf_registry_owner_gone (run->service->registry, owner);
  run->owners[which] = g_strdup_printf (":1.%u", ++run->last_owner);
}

static void
step_time (Run *run)
{
  static const guint milliseconds[] = { 10, 100, 250, 1000, 3000, 8000 };
  guint time = milliseconds[below (G_N_ELEMENTS (milliseconds))];

  service_note (run->service, "after %u ms", time);
  service_advance (run->service, (gint64) time * G_TIME_SPAN_MILLISECOND);
}

/* --- groups ------------------------------------------------------------------------------------ */

typedef struct {
  Asker *asker;
  char *reason;
  GPtrArray *guests; /* FakeGuest* */
} GroupAsker;

/* Before its time is over, a group that has failed leaves nothing behind, in clean runs. */
static void
check_undone (Run *run, GPtrArray *guests)
{
  for (guint i = 0; i < guests->len; i++)
    {
      const FakeGuest *guest = g_ptr_array_index (guests, i);
      VfDomain *domain = service_domain (run->service, guest);

      if (domain != NULL && domain->freezes->len == 0 && fake_guest_is_frozen (guest)
          && !guest->foreign && !guest->touched && !service_owes_others (run->service, guest)
          && vf_slots_busy (domain->world->slots) == 0) /* else its thaw may wait for its turn */
        g_error ("a group has failed, and %s is frozen", guest->name);
    }
}

static void
on_group_done (GPtrArray *freezes, const GError *error, gpointer data)
{
  g_autofree GroupAsker *group = data;
  Run *run = group->asker->run;
  gboolean in_time = vf_clock_now () < group->asker->deadline;

  g_assert_true ((freezes == NULL) != (error == NULL));
  service_note (run->service, "%s: %s", group->reason, error != NULL ? error->message : "frozen");
  if (freezes == NULL)
    {
      VfDomain *domain = NULL;

      for (guint i = 0; i < group->guests->len && domain == NULL; i++)
        domain = service_domain (run->service, g_ptr_array_index (group->guests, i));
      if (in_time && run->test->clean && domain != NULL && !domain->world->stopping)
        check_undone (run, group->guests);
    }
  else
    {
      g_assert_cmpuint (freezes->len, ==, group->guests->len);
      for (guint i = 0; i < freezes->len; i++)
        {
          const VfFreeze *freeze = g_ptr_array_index (freezes, i);
          const FakeGuest *guest = g_ptr_array_index (group->guests, i);

          g_assert_cmpstr (freeze->domain->info->uuid, ==, guest->uuid);
          g_assert_cmpint (freeze->state, ==, VF_FREEZE_HELD);
          g_assert_false (freeze->hidden);
          note_joined (run, freeze, guest);
        }
      g_hash_table_remove (run->groups, group->reason);
    }
  g_free (group->reason);
  g_ptr_array_unref (group->guests);
  answered (group->asker);
}

static void
check_group (VfFreeze *freeze, gpointer data)
{
  if (g_hash_table_contains (((Run *) data)->groups, freeze->reason))
    g_error ("freeze %u is told, and its group is not complete", (guint) freeze->number);
}

static void
check_groups (Run *run)
{
  if (run->service->registry != NULL)
    vf_registry_foreach_freeze (run->service->registry, check_group, run);
}

static void
step_group (Run *run)
{
  guint n = 1 + below (N_GUESTS), first = below (N_GUESTS), owner = below (N_OWNERS);
  gint64 deadline = vf_clock_now () + (gint64) (1 + below (25)) * G_USEC_PER_SEC;
  GroupAsker *asker = g_new0 (GroupAsker, 1);
  VfGroup *group = NULL;
  gboolean lease = chance (30);

  asker->reason = g_strdup_printf ("group %u", ++run->last_group);
  asker->guests = g_ptr_array_new ();
  service_note (run->service, "%s of %u by %s%s", asker->reason, n, run->owners[owner],
                lease ? " (lease)" : "");
  for (guint i = 0; i < n; i++)
    {
      FakeGuest *guest = g_ptr_array_index (run->host->guests, (first + i) % N_GUESTS);
      VfDomain *domain = service_domain (run->service, guest);
      VfRequest *request;

      if (domain == NULL)
        continue;
      request = vf_request_new ();
      request->disks = chance (70) ? g_new0 (char *, 1) : g_strsplit ("vda", " ", -1);
      request->scope = vf_domain_resolve_scope (domain, chance (60)   ? VF_SCOPE_AUTO
                                                        : chance (50) ? VF_SCOPE_DISKS
                                                                      : VF_SCOPE_DOMAIN);
      request->hold = (gint64) (1 + below (40)) * G_USEC_PER_SEC;
      request->lease = lease;
      request->reason = g_strdup (asker->reason);
      request->owner = g_strdup (run->owners[owner]);
      request->uid = below (3);
      request->deadline = deadline;
      if (group == NULL)
        group = vf_group_new (domain->world, deadline, on_group_done, asker);
      vf_group_add (group, domain, request, NULL);
      g_ptr_array_add (asker->guests, guest);
    }
  if (group == NULL)
    {
      g_ptr_array_unref (asker->guests);
      g_free (asker->reason);
      g_free (asker);
      return;
    }
  g_hash_table_add (run->groups, g_strdup (asker->reason));
  asker->asker = asker_new (run, deadline);
  vf_group_start (group);
}

/* --- what goes wrong -------------------------------------------------------------------------- */

static FakeFault
any_fault (void)
{
  static const FakeFault faults[] = {
    { .code = VF_ERROR_AGENT_FAILED, .sent = TRUE, .answered = TRUE },
    { .carried_out = TRUE, .code = VF_ERROR_AGENT_FAILED, .sent = TRUE, .answered = TRUE },
    { .code = VF_ERROR_AGENT_UNAVAILABLE, .sent = TRUE, .timed_out = TRUE },
    { .carried_out = TRUE, .code = VF_ERROR_AGENT_UNAVAILABLE, .sent = TRUE, .timed_out = TRUE },
    { .code = VF_ERROR_AGENT_UNAVAILABLE, .sent = TRUE },
    { .code = VF_ERROR_DISCONNECTED, .sent = TRUE },
    { .carried_out = TRUE, .code = VF_ERROR_DISCONNECTED, .sent = TRUE },
    { .code = VF_ERROR_AGENT_FAILED },
  };

  return faults[below (G_N_ELEMENTS (faults))];
}

static void
step_fault (Run *run)
{
  FakeGuest *guest = any_guest (run);
  VfCallKind kind = (VfCallKind) below (VF_CALL_KINDS);
  FakeFault fault = any_fault ();

  service_note (run->service, "%s: fault of call %u%s", guest->name, kind,
                fault.carried_out ? " (done)" : "");
  fake_guest_add_fault (guest, kind, &fault);
}

static void
step_hang (Run *run)
{
  FakeGuest *guest = any_guest (run);

  service_note (run->service, guest->hung ? "%s: wakes" : "%s: hangs", guest->name);
  guest->lands = chance (50);
  if (guest->hung)
    fake_hypervisor_wake (run->service->hypervisor, guest);
  else
    guest->hung = TRUE;
}

static void
step_agent (Run *run)
{
  FakeGuest *guest = any_guest (run);

  guest->agent = !guest->agent;
  service_note (run->service, guest->agent ? "%s: agent on" : "%s: agent off", guest->name);
  if (guest->agent && chance (80))
    fake_hypervisor_event (run->service->hypervisor, guest, VF_EVENT_AGENT_CONNECTED);
  fake_hypervisor_tell (run->service->hypervisor, guest);
}

static void
step_connection (Run *run)
{
  VfHypervisor *hypervisor = run->service->hypervisor;

  if (!fake_hypervisor_is_connected (hypervisor))
    {
      service_note (run->service, "connect");
      fake_hypervisor_connect (hypervisor);
      return;
    }
  service_note (run->service, "disconnect");
  fake_hypervisor_disconnect (hypervisor, chance (50), chance (50));
}

static void
step_crash (Run *run)
{
  static const char *const buses[] = { "bus", "bus", "another" };

  service_note (run->service, "crash");
  service_crash (run->service);
  /* Nobody answers them any more. */
  g_hash_table_remove_all (run->askers);
  service_check (run->service);
  service_start (run->service, buses[below (3)], TRUE);
  if (chance (80))
    fake_hypervisor_connect (run->service->hypervisor);
}

/* --- calls that take their time --------------------------------------------------------------- */

static void
step_hold (Run *run)
{
  FakeGuest *guest = any_guest (run);

  service_note (run->service, "%s: held", guest->name);
  guest->held = TRUE;
}

static void
step_answer (Run *run)
{
  FakeGuest *guest = any_guest (run);
  FakeFault fault = any_fault ();
  gboolean go = chance (30);

  service_note (run->service, go ? "%s: goes" : "%s: answer", guest->name);
  if (go)
    guest->held = FALSE;
  else if (chance (30) && guest->held
           && fake_hypervisor_pending (run->service->hypervisor, guest) > 0)
    fake_hypervisor_carry_out (run->service->hypervisor, guest);
  if (!guest->hung)
    fake_hypervisor_answer (run->service->hypervisor, guest,
                            chance (20) && !run->test->clean ? &fault : NULL);
}

static void
step_carry_out (Run *run)
{
  FakeGuest *guest = any_guest (run);

  if (!guest->held || guest->hung || fake_hypervisor_pending (run->service->hypervisor, guest) == 0)
    return;
  service_note (run->service, "%s: carried out", guest->name);
  fake_hypervisor_carry_out (run->service->hypervisor, guest);
}

/* --- what happens to guests ------------------------------------------------------------------- */

/* Its held freezes do not hold any more. */
static void
note_broken (Run *run, FakeGuest *guest)
{
  VfDomain *domain = service_domain (run->service, guest);
  GHashTableIter iter;
  gpointer key;

  for (guint i = 0; domain != NULL && i < domain->freezes->len; i++)
    {
      const VfFreeze *freeze = g_ptr_array_index (domain->freezes, i);
      g_hash_table_add (run->broken, GUINT_TO_POINTER ((guint) freeze->number));
    }
  /* Those, too, whose object has gone while somebody waits for their thaw. One that the guest has
   * answered already may be told either. */
  g_hash_table_iter_init (&iter, run->askers);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    if (((Asker *) key)->thaw != 0 && g_str_equal (((Asker *) key)->uuid, guest->uuid))
      {
        g_hash_table_add (run->broken, GUINT_TO_POINTER ((guint) ((Asker *) key)->thaw));
        ((Asker *) key)->held &= !fake_hypervisor_answered (run->service->hypervisor, guest);
      }
}

static void
tell (Run *run, FakeGuest *guest, VfEvent event)
{
  VfHypervisor *hypervisor = run->service->hypervisor;

  if (chance (30))
    fake_hypervisor_tell (hypervisor, guest);
  fake_hypervisor_event (hypervisor, guest, event);
  fake_hypervisor_tell (hypervisor, guest);
}

static void
step_outside (Run *run)
{
  FakeGuest *guest = any_guest (run);

  if (!guest->active || guest->hung)
    return;
  if (fake_guest_is_frozen (guest))
    {
      service_note (run->service, "%s: thawed outside", guest->name);
      note_broken (run, guest);
      fake_guest_thaw (guest);
    }
  else if (!run->test->clean && chance (50))
    {
      service_note (run->service, "%s: frozen outside", guest->name);
      fake_guest_freeze (guest);
    }
}

static void
step_reset (Run *run)
{
  FakeGuest *guest = any_guest (run);

  if (!guest->active)
    return;
  service_note (run->service, "%s: reset", guest->name);
  note_broken (run, guest);
  fake_guest_thaw (guest);
  guest->late = FALSE;
  tell (run, guest, VF_EVENT_RESET);
}

static void
step_run (Run *run)
{
  FakeGuest *guest = any_guest (run);
  gboolean saved = chance (50);

  if (!guest->active)
    {
      gboolean restored = fake_guest_is_frozen (guest) || saved;

      service_note (run->service, restored ? "%s: restored" : "%s: booted", guest->name);
      fake_guest_start (guest, "running", restored);
      tell (run, guest, restored ? VF_EVENT_RESTORED : VF_EVENT_BOOTED);
      return;
    }
  service_note (run->service, saved ? "%s: saved" : "%s: stopped", guest->name);
  note_broken (run, guest);
  fake_guest_stop (guest, saved);
  tell (run, guest, saved ? VF_EVENT_SAVED : chance (80) ? VF_EVENT_STOPPED : VF_EVENT_MIGRATED);
}

static void
step_revert (Run *run)
{
  FakeGuest *guest = any_guest (run);
  gboolean frozen = chance (50) && fake_guest_is_frozen (guest) && !guest->foreign;

  if (!guest->active)
    return;
  service_note (run->service, "%s: reverted%s", guest->name, frozen ? ", frozen" : "");
  note_broken (run, guest);
  if (frozen)
    guest->touched = TRUE; /* to when it was frozen as it is now */
  else
    fake_guest_thaw (guest);
  guest->foreign = FALSE;
  tell (run, guest, VF_EVENT_RESTORED);
}

static void
step_pause (Run *run)
{
  FakeGuest *guest = any_guest (run);

  if (!guest->active)
    return;
  guest->running = !guest->running;
  guest->state = guest->running ? "running" : "paused";
  service_note (run->service, "%s: %s", guest->name, guest->state);
  if (guest->running)
    fake_hypervisor_event (run->service->hypervisor, guest, VF_EVENT_RESUMED);
  fake_hypervisor_tell (run->service->hypervisor, guest);
}

static void
step_disk (Run *run)
{
  FakeGuest *guest = any_guest (run);
  gboolean has = guest->disks->len > 2;

  service_note (run->service, has ? "%s: detach vdc" : "%s: attach vdc", guest->name);
  if (has)
    g_ptr_array_remove_index (guest->disks, 2);
  else
    g_ptr_array_add (guest->disks, g_strdup ("vdc"));
  fake_hypervisor_tell (run->service->hypervisor, guest);
}

static void
step_define (Run *run)
{
  FakeGuest *guest = any_guest (run);

  if (guest->active)
    return;
  guest->undefined = !guest->undefined;
  service_note (run->service, guest->undefined ? "%s: undefined" : "%s: defined", guest->name);
  if (guest->undefined)
    fake_hypervisor_gone (run->service->hypervisor, guest);
  else
    fake_hypervisor_tell (run->service->hypervisor, guest);
}

static const struct {
  guint weight;
  gboolean fault; /* not in clean runs */
  void (*func) (Run *run);
} steps[] = {
  { 10, FALSE, step_group },   { 22, FALSE, step_freeze },   { 20, FALSE, step_thaw },
  { 3, FALSE, step_thaw_all }, { 4, FALSE, step_renew },     { 4, FALSE, step_left },
  { 20, FALSE, step_time },    { 8, TRUE, step_fault },      { 6, TRUE, step_hang },
  { 4, TRUE, step_agent },     { 5, TRUE, step_connection }, { 1, TRUE, step_crash },
  { 6, FALSE, step_hold },     { 18, FALSE, step_answer },   { 4, FALSE, step_carry_out },
  { 3, FALSE, step_outside },  { 2, FALSE, step_reset },     { 4, FALSE, step_run },
  { 1, FALSE, step_revert },   { 4, TRUE, step_pause },      { 2, FALSE, step_disk },
  { 2, FALSE, step_define },
};

static void
one_step (Run *run)
{
  guint total = 0, place;

  for (gsize i = 0; i < G_N_ELEMENTS (steps); i++)
    total += steps[i].fault && run->test->clean ? 0 : steps[i].weight;
  place = below (total);
  for (gsize i = 0; i < G_N_ELEMENTS (steps); i++)
    {
      guint weight = steps[i].fault && run->test->clean ? 0 : steps[i].weight;

      if (place < weight)
        {
          steps[i].func (run);
          break;
        }
      place -= weight;
    }
  service_settle (run->service);
  service_check (run->service);
  check_askers (run);
  check_groups (run);
}

static void
on_thawing (FakeGuest *guest, const FakeFilesystem *fs, gpointer data)
{
  service_check_not_held (((Run *) data)->service, guest, fs);
}

static void
on_called (FakeGuest *guest, const VfCall *call, gpointer data)
{
  service_check_recorded (((Run *) data)->service, guest, call);
}

static void
run_sequence (const Case *test)
{
  Run run = { .test = test };
  guint n = 10 + below (MAX_STEPS);

  run.host = fake_host_new (test->kind);
  run.host->data = &run;
  run.host->thawing = on_thawing;
  run.host->called = on_called;
  run.askers = g_hash_table_new_full (NULL, NULL, asker_free, NULL);
  run.broken = g_hash_table_new (NULL, NULL);
  run.groups = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (guint i = 0; i < N_OWNERS; i++)
    run.owners[i] = g_strdup_printf (":1.%u", ++run.last_owner);
  for (guint i = 0; i < N_GUESTS; i++)
    {
      char name[] = { (char) ('G' + i), '\0' };
      fake_guest_new (run.host, name, DISKS, FILESYSTEMS);
    }
  run.service = service_new (run.host, test->exec ? CONFIG " Engine=exec" : CONFIG, NULL, NULL);
  service_start (run.service, "bus", TRUE);
  fake_hypervisor_connect (run.service->hypervisor);
  for (guint i = 0; i < n; i++)
    one_step (&run);
  service_note (run.service, "the end");
  service_end (run.service);

  g_assert_cmpuint (g_hash_table_size (run.askers), ==, 0);
  g_hash_table_unref (run.askers);
  g_hash_table_unref (run.broken);
  g_hash_table_unref (run.groups);
  for (guint i = 0; i < N_OWNERS; i++)
    g_free (run.owners[i]);
  fake_host_free (run.host);
}

static void
test_random (gconstpointer data)
{
  const char *sequences = g_getenv ("VIRTFREEZE_TEST_SEQUENCES");
  guint n = sequences != NULL ? (guint) atoi (sequences) : 40;

  for (guint i = 0; i < n; i++)
    run_sequence (data);
}

static const Case cases[] = {
  { "agent/clean", FAKE_AGENT, FALSE, TRUE },     { "agent/faults", FAKE_AGENT, FALSE, FALSE },
  { "partial/clean", FAKE_PARTIAL, FALSE, TRUE }, { "partial/faults", FAKE_PARTIAL, FALSE, FALSE },
  { "exec/clean", FAKE_AGENT, TRUE, TRUE },       { "exec/faults", FAKE_AGENT, TRUE, FALSE },
  { "driver/clean", FAKE_DRIVER, FALSE, TRUE },
};

int
main (int argc, char **argv)
{
  service_test_init (&argc, &argv);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *path = g_strconcat ("/lane-random/", cases[i].name, NULL);
      g_test_add_data_func (path, &cases[i], test_random);
    }
  return g_test_run ();
}
