/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lane-script.h"

#include "error.h"
#include "group.h"
#include "test-service.h"

#include <stdlib.h>
#include <string.h>

#define LINUX "A|/a|ext4|vda B|/b|xfs|vdb E|/efi|vfat|vda"

typedef struct {
  Service *service;
  FakeHost *host;
  FakeGuest *guest; /* the current one */
  GString *trace;
  const Script *script;
  guint asked; /* those that wait for an answer */
  gboolean lagging;
} Run;

/* One that waits for an answer. */
typedef struct {
  Run *run;
  char *name;
} Asker;

static void trace (Run *run, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
trace (Run *run, const char *format, ...)
{
  va_list args;

  if (run->trace->len > 0)
    g_string_append_c (run->trace, ' ');
  va_start (args, format);
  g_string_append_vprintf (run->trace, format, args);
  va_end (args);
}

static const char *
error_word (const GError *error)
{
  g_assert_true (error->domain == VF_ERROR);
  return strrchr (vf_error_dbus_name ((VfError) error->code), '.') + 1;
}

/* --- what happens ----------------------------------------------------------------------------- */

static const char *const kinds[]
    = { "map", "probe", "freeze", "thaw", "exec-freeze", "exec-thaw", "exec-verify" };

static void
on_called (FakeGuest *guest, const VfCall *call, gpointer data)
{
  Run *run = data;
  g_autofree char *mountpoints
      = call->mountpoints != NULL ? g_strjoinv (",", call->mountpoints) : NULL;

  g_autofree char *exec = call->filesystems != NULL ? fake_exec_describe (call) : NULL;

  if (exec != NULL)
    trace (run, "%s%s", kinds[call->kind], exec);
  else
    trace (run, mountpoints != NULL ? "%s(%s)" : "%s", kinds[call->kind], mountpoints);
  service_check_recorded (run->service, guest, call);
}

static void
on_changed (FakeGuest *guest, gpointer data)
{
  g_autofree char *frozen = fake_guest_frozen (guest);

  trace (data, "{%s}", frozen);
}

static void
on_thawing (FakeGuest *guest, const FakeFilesystem *fs, gpointer data)
{
  service_check_not_held (((Run *) data)->service, guest, fs);
}

static void
on_observed (const char *what, gpointer data)
{
  trace (data, "%s", what);
}

static void
on_answer (const GError *error, gpointer data)
{
  g_autofree Asker *asker = data;

  asker->run->asked--;
  trace (asker->run, "%s=%s", asker->name, error != NULL ? error_word (error) : "ok");
  g_free (asker->name);
}

static void
on_request_done (VfRequest *request, VfFreeze *freeze, const GError *error, gpointer data)
{
  g_autofree Asker *asker = data;

  asker->run->asked--;
  if (freeze != NULL)
    trace (asker->run, "%s=%" G_GUINT64_FORMAT, asker->name, freeze->number);
  else
    trace (asker->run, "%s=%s", asker->name, error != NULL ? error_word (error) : "ok");
  g_assert_true (freeze != NULL || error != NULL || request->map_only);
  g_free (asker->name);
}

static Asker *asker_new (Run *run, const char *format, ...) G_GNUC_PRINTF (2, 3);

static Asker *
asker_new (Run *run, const char *format, ...)
{
  Asker *asker = g_new0 (Asker, 1);
  va_list args;

  va_start (args, format);
  asker->name = g_strdup_vprintf (format, args);
  va_end (args);
  asker->run = run;
  run->asked++;
  return asker;
}

/* --- words ------------------------------------------------------------------------------------ */

static gboolean
has_word (char **words, const char *word)
{
  return g_strv_contains ((const char *const *) words, word);
}

/* The value of KEY=VALUE; borrowed. */
static const char *
value_of (char **words, const char *key, const char *otherwise)
{
  gsize length = strlen (key);

  for (; *words != NULL; words++)
    if (strncmp (*words, key, length) == 0 && (*words)[length] == '=')
      return *words + length + 1;
  return otherwise;
}

static gint64
time_of (const char *text)
{
  gint64 usec;

  g_assert_true (vf_parse_time (text, &usec));
  return usec;
}

static const struct {
  const char *name;
  FakeFault fault;
} faults[] = {
  /* The agent answers with an error; nothing was done, or all of it. */
  { "refused", { .code = VF_ERROR_AGENT_FAILED, .sent = TRUE, .answered = TRUE } },
  { "refused-done",
    { .carried_out = TRUE, .code = VF_ERROR_AGENT_FAILED, .sent = TRUE, .answered = TRUE } },
  { "timeout", { .code = VF_ERROR_AGENT_UNAVAILABLE, .sent = TRUE, .timed_out = TRUE } },
  { "timeout-done",
    { .carried_out = TRUE, .code = VF_ERROR_AGENT_UNAVAILABLE, .sent = TRUE, .timed_out = TRUE } },
  /* It does not answer, but nobody had to wait for that. */
  { "silence", { .code = VF_ERROR_AGENT_UNAVAILABLE, .sent = TRUE } },
  /* The connection broke. */
  { "cut", { .code = VF_ERROR_DISCONNECTED, .sent = TRUE } },
  { "cut-done", { .carried_out = TRUE, .code = VF_ERROR_DISCONNECTED, .sent = TRUE } },
  /* libvirt does not pass it on. */
  { "unsent", { .code = VF_ERROR_AGENT_FAILED } },
  { "stopped", { .code = VF_ERROR_NOT_RUNNING } },
  { "ok", { .carried_out = TRUE, .succeeds = TRUE, .count = -1 } },
  { "count-0", { .carried_out = TRUE, .succeeds = TRUE, .count = 0 } },
  { "count-1", { .carried_out = TRUE, .succeeds = TRUE, .count = 1 } },
  { "only-A", { .carried_out = TRUE, .succeeds = TRUE, .count = -1, .only = "A" } },
  { "nothing", { .succeeds = TRUE, .count = 0 } },
};

static const FakeFault *
fault_of (const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (faults); i++)
    if (g_str_equal (faults[i].name, name))
      return &faults[i].fault;
  g_error ("no fault “%s”", name);
}

static guint64
number_of (const char *text)
{
  return g_ascii_strtoull (text, NULL, 10);
}

/* --- requests --------------------------------------------------------------------------------- */

static VfRequest *
new_request (VfDomain *domain, char **words)
{
  VfRequest *request = vf_request_new ();

  request->scope = vf_domain_resolve_scope (
      domain, g_str_equal (value_of (words, "scope", ""), "disks")    ? VF_SCOPE_DISKS
              : g_str_equal (value_of (words, "scope", ""), "domain") ? VF_SCOPE_DOMAIN
                                                                      : VF_SCOPE_AUTO);
  request->hold = time_of (value_of (words, "hold", "1min"));
  request->lease = has_word (words, "lease");
  request->reason = g_strdup ("a reason");
  request->owner = g_strdup (value_of (words, "owner", ":1.1"));
  request->uid = (guint) number_of (value_of (words, "uid", "1000"));
  request->deadline = vf_clock_now () + time_of (value_of (words, "timeout", "20s"));
  return request;
}

static void
op_request (Run *run, char **words)
{
  VfDomain *domain = service_domain (run->service, run->guest);
  VfRequest *request = new_request (domain, words);
  g_autoptr (GPtrArray) disks = g_ptr_array_new ();

  request->map_only = g_str_equal (words[0], "map");
  for (char **word = words + 2; *word != NULL; word++)
    if (strchr (*word, '=') == NULL && !g_str_equal (*word, "lease"))
      g_ptr_array_add (disks, *word);
  g_ptr_array_add (disks, NULL);
  request->disks = g_strdupv ((char **) disks->pdata);
  request->done = on_request_done;
  request->data = asker_new (run, "%s", words[1]);
  vf_lane_request (domain->lane, request);
}

static void
on_group_done (GPtrArray *freezes, const GError *error, gpointer data)
{
  g_autofree Asker *asker = data;
  g_autoptr (GString) text = g_string_new (NULL);

  asker->run->asked--;
  g_assert_true ((freezes == NULL) != (error == NULL));
  for (guint i = 0; freezes != NULL && i < freezes->len; i++)
    g_string_append_printf (text, "%s%" G_GUINT64_FORMAT, i > 0 ? "," : "",
                            ((VfFreeze *) g_ptr_array_index (freezes, i))->number);
  /* “Domain “G”: …” */
  if (error != NULL)
    {
      g_assert_true (g_str_has_prefix (error->message, "Domain “"));
      g_string_append_printf (text, "%c:%s", error->message[strlen ("Domain “")],
                              error_word (error));
    }
  trace (asker->run, "%s=%s", asker->name, text->str);
  g_free (asker->name);
}

static void
op_group (Run *run, char **words)
{
  gint64 deadline = vf_clock_now () + time_of (value_of (words, "timeout", "20s"));
  VfGroup *group = NULL;

  for (char **word = words + 2; *word != NULL; word++)
    {
      VfDomain *domain;
      VfRequest *request;

      if (strchr (*word, '=') != NULL || g_str_equal (*word, "lease"))
        continue;
      domain = vf_registry_find (run->service->registry, *word, NULL);
      if (group == NULL)
        group = vf_group_new (domain->world, deadline, on_group_done,
                              asker_new (run, "%s", words[1]));
      request = new_request (domain, words);
      request->disks = g_new0 (char *, 1);
      vf_group_add (group, domain, request, NULL);
    }
  vf_group_start (group);
}

static void
op_thaw (Run *run, char **words)
{
  VfFreeze *freeze = service_freeze (run->service, number_of (words[1]));
  gint64 deadline = vf_clock_now () + time_of (value_of (words, "timeout", "20s"));

  if (freeze == NULL)
    trace (run, "no-freeze");
  else
    vf_lane_thaw (freeze->domain->lane, freeze, !has_word (words, "other"), deadline, on_answer,
                  asker_new (run, "thaw%s", words[1]));
}

static void
op_thaw_all (Run *run, char **words)
{
  VfDomain *domain = service_domain (run->service, run->guest);

  vf_lane_thaw_all (domain->lane, vf_clock_now () + time_of (value_of (words, "timeout", "20s")),
                    on_answer, asker_new (run, "all"));
}

/* Silent on success: the new deadline is announced. */
static void
on_renewed (const GError *error, gpointer data)
{
  Asker *asker = data;

  if (error != NULL)
    on_answer (error, asker);
  else
    {
      asker->run->asked--;
      g_free (asker->name);
      g_free (asker);
    }
}

static void
op_renew (Run *run, char **words)
{
  VfFreeze *freeze = service_freeze (run->service, number_of (words[1]));
  gint64 hold = time_of (words[2]);
  guint asked = run->asked;
  gint64 deadline = freeze->deadline;

  vf_lane_renew (freeze->domain->lane, freeze, hold,
                 vf_clock_now () + time_of (value_of (words, "timeout", "20s")), on_renewed,
                 asker_new (run, "renew"));
  if (run->asked == asked && freeze->deadline != deadline)
    g_assert_cmpint (freeze->deadline, ==, vf_clock_now () + hold);
}

static void
op_left (Run *run, char **words)
{
  vf_registry_owner_gone (run->service->registry, words[1]);
}

static void
op_after (Run *run, char **words)
{
  service_advance (run->service, time_of (words[1]));
}

/* --- the guest -------------------------------------------------------------------------------- */

static void
op_guest (Run *run, char **words)
{
  for (guint i = 0; i < run->host->guests->len; i++)
    {
      run->guest = g_ptr_array_index (run->host->guests, i);
      if (g_str_equal (run->guest->name, words[1]))
        return;
    }
  run->guest = fake_guest_new (run->host, words[1], "vda vdb", LINUX);
  fake_hypervisor_tell (run->service->hypervisor, run->guest);
}

static void
answer_all (Run *run)
{
  run->guest->held = FALSE;
  while (fake_hypervisor_answer (run->service->hypervisor, run->guest, NULL))
    service_settle (run->service);
}

static VfCallKind
kind_of (const char *word)
{
  guint kind = 0;

  while (!g_str_equal (kinds[kind], word))
    kind++;
  return (VfCallKind) kind;
}

static void
op_agent (Run *run, char **words)
{
  FakeGuest *guest = run->guest;
  const char *word = words[0];

  if (g_str_equal (word, "hold"))
    guest->held = TRUE;
  else if (g_str_equal (word, "go"))
    answer_all (run);
  else if (g_str_equal (word, "answer"))
    g_assert_true (fake_hypervisor_answer (run->service->hypervisor, guest,
                                           words[1] != NULL ? fault_of (words[1]) : NULL));
  else if (g_str_equal (word, "carry-out"))
    fake_hypervisor_carry_out (run->service->hypervisor, guest);
  else if (g_str_equal (word, "hang") && words[1] != NULL)
    guest->hangs_at[kind_of (words[1])] = TRUE;
  else if (g_str_equal (word, "hang"))
    guest->hung = TRUE;
  else if (g_str_equal (word, "lands"))
    guest->lands = TRUE;
  else if (g_str_equal (word, "wake"))
    fake_hypervisor_wake (run->service->hypervisor, guest);
  else if (g_str_equal (word, "silent"))
    guest->silent = TRUE;
  else if (g_str_equal (word, "mute"))
    guest->mute = TRUE;
  else if (words[2] != NULL)
    fake_exec_touch (guest, words[2], g_str_equal (words[1], "freeze"));
  else if (g_str_equal (words[1], "freeze"))
    fake_guest_freeze (guest);
  else
    fake_guest_thaw (guest);
}

static void
op_fault (Run *run, char **words)
{
  for (char **word = words + 2; *word != NULL; word++)
    fake_guest_add_fault (run->guest, kind_of (words[1]), fault_of (*word));
}

static void
tell (Run *run, VfEvent event)
{
  if (run->service->registry == NULL)
    return;
  fake_hypervisor_event (run->service->hypervisor, run->guest, event);
  if (!run->lagging)
    fake_hypervisor_tell (run->service->hypervisor, run->guest);
}

static void
op_life (Run *run, char **words)
{
  FakeGuest *guest = run->guest;
  VfHypervisor *hypervisor = run->service->hypervisor;
  const char *word = words[0];

  if (g_str_equal (word, "reset"))
    {
      fake_guest_thaw (guest);
      tell (run, VF_EVENT_RESET);
    }
  else if (g_str_equal (word, "stop"))
    {
      fake_guest_stop (guest, FALSE);
      tell (run, VF_EVENT_STOPPED);
    }
  else if (g_str_equal (word, "save"))
    {
      fake_guest_stop (guest, TRUE);
      tell (run, VF_EVENT_SAVED);
    }
  else if (g_str_equal (word, "migrate"))
    {
      fake_guest_stop (guest, FALSE);
      tell (run, VF_EVENT_MIGRATED);
    }
  else if (g_str_equal (word, "restore"))
    {
      fake_guest_start (guest, words[1] != NULL ? words[1] : "running", TRUE);
      guest->undefined = FALSE;
      tell (run, VF_EVENT_RESTORED);
    }
  else if (g_str_equal (word, "revert")) /* to a snapshot with memory; frozen: made while it was */
    {
      fake_guest_thaw (guest);
      if (has_word (words, "frozen"))
        fake_guest_freeze (guest);
      guest->foreign = FALSE;
      tell (run, VF_EVENT_RESTORED);
    }
  else if (g_str_equal (word, "boot"))
    {
      fake_guest_start (guest, "running", FALSE);
      tell (run, VF_EVENT_BOOTED);
    }
  else if (g_str_equal (word, "undefine"))
    {
      guest->undefined = TRUE;
      if (guest->active)
        fake_guest_stop (guest, FALSE);
      if (hypervisor != NULL)
        fake_hypervisor_gone (hypervisor, guest);
    }
  else
    {
      guest->undefined = FALSE;
      fake_hypervisor_tell (hypervisor, guest); /* also "told" */
    }
}

static void
op_change (Run *run, char **words)
{
  FakeGuest *guest = run->guest;
  gboolean alive = run->service->registry != NULL;
  const char *word = words[0];

  if (g_str_equal (word, "pause"))
    {
      guest->running = FALSE;
      guest->state = "paused";
    }
  else if (g_str_equal (word, "resume"))
    {
      guest->running = TRUE;
      guest->state = "running";
      if (alive)
        fake_hypervisor_event (run->service->hypervisor, guest, VF_EVENT_RESUMED);
    }
  else if (g_str_equal (word, "rename"))
    {
      g_free (guest->name);
      guest->name = g_strdup (words[1]);
    }
  else if (g_str_equal (word, "agent"))
    {
      guest->agent = g_str_equal (words[1], "on");
      if (guest->agent && alive)
        fake_hypervisor_event (run->service->hypervisor, guest, VF_EVENT_AGENT_CONNECTED);
    }
  else if (g_str_equal (word, "attach"))
    g_ptr_array_add (guest->disks, g_strdup (words[1]));
  else
    {
      guint place;

      g_assert_true (
          g_ptr_array_find_with_equal_func (guest->disks, words[1], g_str_equal, &place));
      g_ptr_array_remove_index (guest->disks, place);
    }
  if (!run->lagging && alive)
    fake_hypervisor_tell (run->service->hypervisor, guest);
}

static void
op_lag (Run *run, char **words G_GNUC_UNUSED)
{
  run->lagging = TRUE;
}

static void
op_connection (Run *run, char **words)
{
  if (g_str_equal (words[0], "connect"))
    fake_hypervisor_connect (run->service->hypervisor);
  else
    fake_hypervisor_disconnect (run->service->hypervisor, has_word (words, "done"),
                                has_word (words, "first"));
}

/* --- the service ------------------------------------------------------------------------------ */

static void
on_stopped (gpointer data)
{
  trace (data, "stopped");
}

static void
op_service (Run *run, char **words)
{
  const char *word = words[0];

  if (g_str_equal (word, "crash"))
    {
      service_crash (run->service);
      run->asked = 0;
    }
  else if (g_str_equal (word, "recover"))
    service_start (run->service, words[1] != NULL ? words[1] : "bus", TRUE);
  else if (g_str_equal (word, "release-all"))
    {
      service_start (run->service, NULL, FALSE);
      vf_registry_stop (run->service->registry, on_stopped, run);
    }
  else if (g_str_equal (word, "stop-service"))
    vf_registry_stop (run->service->registry, on_stopped, run);
  else if (g_str_equal (word, "configure"))
    {
      g_autofree char *text = g_strjoinv (" ", words + 1);
      service_configure (run->service, text);
    }
  else if (g_str_equal (word, "break-journal"))
    service_break_journal (run->service);
  else
    service_mend_journal (run->service);
}

static void
op_state (Run *run, char **words G_GNUC_UNUSED)
{
  VfDomain *domain = service_domain (run->service, run->guest);

  trace (run, "%s", vf_guest_state_word (vf_lane_guest_state (domain->lane)));
  for (guint i = 0; i < domain->freezes->len; i++)
    {
      const VfFreeze *freeze = g_ptr_array_index (domain->freezes, i);

      trace (run, "%" G_GUINT64_FORMAT ":%s:%u+%u", freeze->number,
             freeze->hidden ? "hidden" : vf_freeze_state_word (freeze->state), freeze->frozen,
             freeze->skipped);
    }
  if (vf_lane_frozen_since (domain->lane) != 0)
    trace (run, "since");
}

static void
op_records (Run *run, char **words G_GNUC_UNUSED)
{
  g_autofree char *records = service_records (run->service);

  trace (run, "%s", records);
}

/* Those in the guest, whatever the service believes. */
static void
op_guards (Run *run, char **words G_GNUC_UNUSED)
{
  g_autofree char *guards = fake_guest_guards (run->guest);

  trace (run, "[%s]", guards);
}

static const struct {
  const char *word;
  void (*func) (Run *run, char **words);
} ops[] = {
  { "guards", op_guards },
  { "freeze", op_request },
  { "map", op_request },
  { "group", op_group },
  { "thaw", op_thaw },
  { "thaw-all", op_thaw_all },
  { "renew", op_renew },
  { "left", op_left },
  { "after", op_after },
  { "guest", op_guest },
  { "hold", op_agent },
  { "go", op_agent },
  { "answer", op_agent },
  { "carry-out", op_agent },
  { "hang", op_agent },
  { "lands", op_agent },
  { "wake", op_agent },
  { "silent", op_agent },
  { "mute", op_agent },
  { "outside", op_agent },
  { "fault", op_fault },
  { "reset", op_life },
  { "stop", op_life },
  { "save", op_life },
  { "migrate", op_life },
  { "restore", op_life },
  { "revert", op_life },
  { "boot", op_life },
  { "undefine", op_life },
  { "define", op_life },
  { "told", op_life },
  { "pause", op_change },
  { "resume", op_change },
  { "rename", op_change },
  { "agent", op_change },
  { "attach", op_change },
  { "detach", op_change },
  { "lag", op_lag },
  { "connect", op_connection },
  { "disconnect", op_connection },
  { "crash", op_service },
  { "recover", op_service },
  { "release-all", op_service },
  { "stop-service", op_service },
  { "configure", op_service },
  { "break-journal", op_service },
  { "mend-journal", op_service },
  { "state", op_state },
  { "records", op_records },
};

/* --- running ---------------------------------------------------------------------------------- */

static void
run_op (Run *run, const char *text)
{
  g_auto (GStrv) words = g_strsplit (text, " ", -1);

  for (gsize i = 0; i < G_N_ELEMENTS (ops); i++)
    if (g_str_equal (ops[i].word, words[0]))
      {
        ops[i].func (run, words);
        if (!g_str_equal (words[0], "lag"))
          run->lagging = FALSE;
        if (run->service->registry != NULL)
          service_settle (run->service);
        service_check (run->service);
        return;
      }
  g_error ("no operation “%s”", text);
}

static gboolean
is_released (const char *word)
{
  return word[0] == '-' && g_ascii_isdigit (word[1]);
}

/* Freezes that go together go in no certain order. */
static void
sort_released (GString *text)
{
  g_auto (GStrv) words = g_strsplit (text->str, " ", -1);
  g_autofree char *sorted = NULL;

  for (char **end = words; *end != NULL; end++)
    for (char **word = end; word > words && is_released (*word) && is_released (word[-1])
                            && strcmp (word[-1], *word) > 0;
         word--)
      {
        char *swap = *word;
        *word = word[-1];
        word[-1] = swap;
      }
  sorted = g_strjoinv (" ", words);
  g_string_assign (text, sorted);
}

static void
run_step (Run *run, const char *step)
{
  const char *arrow = strstr (step, " -> ");
  g_autofree char *op = arrow != NULL ? g_strndup (step, (gsize) (arrow - step)) : g_strdup (step);
  const char *expected = arrow != NULL ? arrow + 4 : "";

  g_string_truncate (run->trace, 0);
  service_note (run->service, "%s", op);
  run_op (run, op);
  sort_released (run->trace);
  if (g_getenv ("LANE_SCRIPT_PRINT") != NULL)
    g_print ("#     \"%s%s%s\",\n", op, run->trace->len > 0 ? " -> " : "", run->trace->str);
  else if (!g_str_equal (run->trace->str, expected))
    {
      g_test_message ("%s: “%s”", run->script->name, op);
      g_assert_cmpstr (run->trace->str, ==, expected);
    }
}

static void
test_script (gconstpointer data)
{
  const Script *script = data;
  Run run = { .script = script, .trace = g_string_new (NULL) };

  run.host = fake_host_new (script->kind);
  run.host->data = &run;
  run.guest = fake_guest_new (run.host, "G", "vda vdb",
                              script->filesystems != NULL ? script->filesystems : LINUX);
  run.host->called = on_called;
  run.host->changed = on_changed;
  run.host->thawing = on_thawing;
  run.service = service_new (run.host, script->config, on_observed, &run);
  service_start (run.service, "bus", TRUE);
  fake_hypervisor_connect (run.service->hypervisor);
  for (guint i = 0; i < SCRIPT_STEPS && script->steps[i] != NULL; i++)
    run_step (&run, script->steps[i]);
  service_note (run.service, "the end");
  service_end (run.service);
  g_assert_cmpuint (run.asked, ==, 0);
  g_string_free (run.trace, TRUE);
  fake_host_free (run.host);
}

void
script_add_all (const char *prefix, const Script *scripts, gsize n)
{
  for (gsize i = 0; i < n; i++)
    {
      g_autofree char *path = g_strdup_printf ("/%s/%s", prefix, scripts[i].name);
      g_test_add_data_func (path, &scripts[i], test_script);
    }
}
