/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * No guest can hurt another: the service's libvirt layer and core on a libvirtd that serves no more
 * than a real one (fake-libvirt.h), with guests whose agents hang. Times are real; the response
 * time of agents is 1 s instead of 15 s. Figures are printed.
 */
#include "error.h"
#include "exec.h"
#include "fake-libvirt.h"
#include "hypervisor-libvirt.h"
#include "lane.h"
#include "registry.h"

#include <glib/gstdio.h>
#include <libvirt/libvirt.h>
#include <stdlib.h>
#include <string.h>

#define N_HUNG 30
#define N_FRESH 8 /* that hang for the first time, later on */
#define N_HEALTHY 6
#define N_GUESTS (N_HUNG + N_FRESH + N_HEALTHY)
#define HEALTHY (N_HUNG + N_FRESH)

#define DELAY (5 * G_TIME_SPAN_MILLISECOND)
#define MAX_IN_FLIGHT 14
#define MOST_CALLS 19 /* as the daemon has it */

static struct {
  VfClock *clock;
  VfHypervisor *hypervisor;
  VfRegistry *registry;
  gboolean connected;
  gboolean pressing;      /* hung guests are asked again and again */
  guint asked;            /* of them, not answered yet */
  guint refused;          /* answers of hung guests: each an error */
  gint64 longest_refusal; /* µs, of those that did not wait for the agent */
} it;

/* --- the observer ----------------------------------------------------------------------------- */

static void
on_connected (gboolean connected, gpointer data G_GNUC_UNUSED)
{
  it.connected = connected;
}

static void
on_domain (VfDomain *domain G_GNUC_UNUSED, gpointer data G_GNUC_UNUSED)
{
}

static void
on_domain_changed (VfDomain *domain G_GNUC_UNUSED, VfDomainChange what G_GNUC_UNUSED,
                   gpointer data G_GNUC_UNUSED)
{
}

static void
on_freeze (VfFreeze *freeze G_GNUC_UNUSED, gpointer data G_GNUC_UNUSED)
{
}

static void
on_freeze_changed (VfFreeze *freeze G_GNUC_UNUSED, VfFreezeChange what G_GNUC_UNUSED,
                   gpointer data G_GNUC_UNUSED)
{
}

static void
on_freeze_released (VfFreeze *freeze G_GNUC_UNUSED, VfReleasedWhy why G_GNUC_UNUSED,
                    gpointer data G_GNUC_UNUSED)
{
}

static const VfObserver observer
    = { on_connected, on_domain,         on_domain_changed, on_domain,
        on_freeze,    on_freeze_changed, on_freeze,         on_freeze_released };

/* --- asking ----------------------------------------------------------------------------------- */

static VfDomain *
domain_of (guint guest)
{
  g_autofree char *uuid = fake_libvirtd_uuid (guest);
  VfDomain *domain = vf_registry_find (it.registry, uuid, NULL);

  g_assert_nonnull (domain);
  return domain;
}

typedef struct {
  gboolean done;
  guint64 number; /* 0: it failed */
  int error;
  gint64 asked;
  gint64 took;
} Answer;

static void
on_frozen (VfRequest *request G_GNUC_UNUSED, VfFreeze *freeze, const GError *error, gpointer data)
{
  Answer *answer = data;

  answer->done = TRUE;
  answer->number = freeze != NULL ? freeze->number : 0;
  answer->error = error != NULL ? error->code : -1;
  answer->took = g_get_monotonic_time () - answer->asked;
}

static void
on_thawed (const GError *error, gpointer data)
{
  Answer *answer = data;

  answer->done = TRUE;
  answer->error = error != NULL ? error->code : -1;
  answer->took = g_get_monotonic_time () - answer->asked;
}

static void
ask_freeze (guint guest, Answer *answer,
            void (*done) (VfRequest *, VfFreeze *, const GError *, gpointer))
{
  VfDomain *domain = domain_of (guest);
  VfRequest *request = vf_request_new ();

  *answer = (Answer){ .asked = g_get_monotonic_time () };
  request->disks = g_new0 (char *, 1);
  request->scope = VF_SCOPE_DOMAIN;
  request->hold = G_TIME_SPAN_MINUTE;
  request->reason = g_strdup ("");
  request->owner = g_strdup (":1.1");
  request->uid = guest;
  request->deadline = vf_clock_now () + 20 * G_USEC_PER_SEC;
  request->done = done;
  request->data = answer;
  vf_lane_request (domain->lane, request);
}

typedef struct {
  guint64 number;
  VfFreeze *found;
} Search;

static void
match (VfFreeze *freeze, gpointer data)
{
  Search *search = data;

  if (freeze->number == search->number)
    search->found = freeze;
}

static void
ask_thaw (guint64 number, Answer *answer)
{
  Search search = { number, NULL };

  vf_registry_foreach_freeze (it.registry, match, &search);
  g_assert_nonnull (search.found);
  *answer = (Answer){ .asked = g_get_monotonic_time () };
  vf_lane_thaw (search.found->domain->lane, search.found, TRUE,
                vf_clock_now () + 20 * G_USEC_PER_SEC, on_thawed, answer);
}

static gboolean
wake_up (gpointer data G_GNUC_UNUSED)
{
  return G_SOURCE_CONTINUE;
}

/* Runs the main loop until the condition holds; fails after 20 s. */
#define WAIT_UNTIL(condition)                                                                      \
  G_STMT_START                                                                                     \
  {                                                                                                \
    gint64 latest = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;                                 \
    guint ticks = g_timeout_add (5, wake_up, NULL);                                                \
    while (!(condition))                                                                           \
      {                                                                                            \
        g_assert_cmpint (g_get_monotonic_time (), <, latest);                                      \
        g_main_context_iteration (NULL, TRUE);                                                     \
      }                                                                                            \
    g_source_remove (ticks);                                                                       \
  }                                                                                                \
  G_STMT_END

static guint64
freeze_now (guint guest, gint64 *took)
{
  Answer answer;

  ask_freeze (guest, &answer, on_frozen);
  while (!answer.done)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (answer.number, !=, 0);
  g_assert_true (fake_libvirtd_is_frozen (guest));
  *took = answer.took;
  return answer.number;
}

static void
thaw_now (guint64 number, gint64 *took)
{
  Answer answer;

  ask_thaw (number, &answer);
  while (!answer.done)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (answer.error, ==, -1);
  *took = answer.took;
}

/* --- those that hang -------------------------------------------------------------------------- */

static Answer hung_answers[N_HUNG];

static gboolean ask_again (gpointer data);

static void
on_refused (VfRequest *request, VfFreeze *freeze, const GError *error, gpointer data)
{
  Answer *answer = data;

  on_frozen (request, freeze, error, data);
  g_assert_cmpint (answer->error, ==, VF_ERROR_AGENT_UNAVAILABLE);
  it.asked--;
  it.refused++;
  /* Either it was one of the few whose agent was asked, or it did not wait at all. */
  if (answer->took < G_USEC_PER_SEC)
    it.longest_refusal = MAX (it.longest_refusal, answer->took);
  if (it.pressing)
    g_timeout_add (20, ask_again, data);
}

static gboolean
ask_again (gpointer data)
{
  Answer *answer = data;

  if (it.pressing)
    {
      it.asked++;
      ask_freeze ((guint) (answer - hung_answers), answer, on_refused);
    }
  return G_SOURCE_REMOVE;
}

static void
press (void)
{
  it.pressing = TRUE;
  for (guint i = 0; i < N_HUNG; i++)
    ask_again (&hung_answers[i]);
  WAIT_UNTIL (fake_libvirtd_agent_calls () == 2);
}

static void
release (void)
{
  it.pressing = FALSE;
  WAIT_UNTIL (it.asked == 0 && fake_libvirtd_agent_calls () == 0);
}

static VfConfig *
load_config (void)
{
  g_autofree char *path = NULL;
  g_autoptr (GError) error = NULL;
  VfConfig *config;
  int fd = g_file_open_tmp ("virtfreeze-XXXXXX.conf", &path, &error);

  g_assert_no_error (error);
  g_assert_true (g_close (fd, NULL));
  g_assert_true (g_file_set_contents (path, "[Freeze]\nAgentTimeout=1s\n", -1, NULL));
  config = vf_config_load (path, TRUE, FALSE, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_unlink (path), ==, 0);
  return config;
}

/* The service, with 30 guests that have timed out once. */
static void
set_up (void)
{
  g_autoptr (VfConfig) config = load_config ();

  fake_libvirtd_start (N_GUESTS, DELAY);
  it.clock = vf_clock_new ();
  it.hypervisor = vf_hypervisor_libvirt_new ("fake:///system", MOST_CALLS);
  it.registry = vf_registry_new (it.hypervisor, it.clock, config, &observer, NULL);
  vf_registry_start (it.registry, NULL, NULL);
  WAIT_UNTIL (it.connected);
  for (guint i = 0; i < N_HUNG; i++)
    {
      fake_libvirtd_hang (i, TRUE);
      it.pressing = TRUE;
      ask_again (&hung_answers[i]);
      it.pressing = FALSE;
    }
  WAIT_UNTIL (it.asked == 0);
  g_assert_cmpuint (it.refused, ==, N_HUNG);
}

static void
on_stopped (gpointer data)
{
  *(gboolean *) data = TRUE;
}

static void
tear_down (void)
{
  gboolean stopped = FALSE;

  /* Once in a guest's run. */
  g_assert_cmpuint (fake_libvirtd_seen ().times_set, ==, N_HUNG + N_FRESH + N_HEALTHY);
  for (guint i = 0; i < N_GUESTS; i++)
    fake_libvirtd_hang (i, FALSE);
  vf_registry_stop (it.registry, on_stopped, &stopped);
  WAIT_UNTIL (stopped);
  for (guint i = 0; i < N_GUESTS; i++)
    g_assert_false (fake_libvirtd_is_frozen (i));
  vf_registry_free (it.registry);
  it.hypervisor->free (it.hypervisor);
  vf_clock_free (it.clock);
  fake_libvirtd_stop ();
}

static int
by_size (gconstpointer a, gconstpointer b)
{
  gint64 left = *(const gint64 *) a, right = *(const gint64 *) b;

  return (left > right) - (left < right);
}

static double
median_ms (GArray *times)
{
  g_array_sort (times, by_size);
  return (double) g_array_index (times, gint64, times->len / 2) / G_TIME_SPAN_MILLISECOND;
}

static double
most_ms (GArray *times)
{
  g_array_sort (times, by_size);
  return (double) g_array_index (times, gint64, times->len - 1) / G_TIME_SPAN_MILLISECOND;
}

static void
check_bounds (void)
{
  FakeLibvirtdSeen seen = fake_libvirtd_seen ();

  g_test_message ("at most %u calls on a connection, %u to agents, %u in all",
                  seen.most_per_connection, seen.most_agent_calls, seen.most_served);
  g_assert_cmpuint (seen.most_per_connection, <=, 4);
  g_assert_cmpuint (seen.most_agent_calls, <=, MAX_IN_FLIGHT);
  g_assert_cmpuint (seen.most_served, <, 20);
}

/* --- cases ------------------------------------------------------------------------------------ */

/* Rounds by turns, so that what else the machine does meets both alike. */
static void
test_latency (void)
{
  GArray *idle[2], *hung[2];

  for (guint i = 0; i < 2; i++)
    {
      idle[i] = g_array_new (FALSE, FALSE, sizeof (gint64));
      hung[i] = g_array_new (FALSE, FALSE, sizeof (gint64));
    }
  for (guint round = 0; round < 6; round++)
    {
      GArray **times = round % 2 == 0 ? idle : hung;

      if (times == hung)
        press ();
      for (guint i = 0; i < 40; i++)
        {
          gint64 freeze, thaw;
          guint64 number = freeze_now (HEALTHY, &freeze);

          thaw_now (number, &thaw);
          g_array_append_val (times[0], freeze);
          g_array_append_val (times[1], thaw);
        }
      if (times == hung)
        release ();
    }
  for (guint i = 0; i < 2; i++)
    {
      double before = median_ms (idle[i]), after = median_ms (hung[i]);

      g_test_message ("%s of a healthy guest: %.2f ms idle, %.2f ms beside %d hung guests: %.2f "
                      "times",
                      i == 0 ? "freeze" : "thaw", before, after, N_HUNG, after / before);
      g_assert_cmpfloat (after, <=, 1.5 * before);
      g_array_unref (idle[i]);
      g_array_unref (hung[i]);
    }
  check_bounds ();
}

static void
test_first_thaw (void)
{
  static Answer fresh[N_FRESH];
  g_autoptr (GArray) times = g_array_new (FALSE, FALSE, sizeof (gint64));
  guint64 numbers[N_HEALTHY];
  Answer answers[N_HEALTHY];
  gint64 took;

  for (guint i = 0; i < N_HEALTHY; i++)
    numbers[i] = freeze_now (HEALTHY + i, &took);
  press ();
  /* All slots for anything but first thaws are busy for a second. */
  for (guint i = 0; i < N_FRESH; i++)
    {
      fake_libvirtd_hang (N_HUNG + i, TRUE);
      ask_freeze (N_HUNG + i, &fresh[i], on_frozen);
    }
  WAIT_UNTIL (fake_libvirtd_agent_calls () == 2 + N_FRESH);
  for (guint i = 0; i < N_HEALTHY; i++)
    ask_thaw (numbers[i], &answers[i]);
  for (guint i = 0; i < N_HEALTHY; i++)
    {
      WAIT_UNTIL (answers[i].done);
      g_assert_cmpint (answers[i].error, ==, -1);
      g_array_append_val (times, answers[i].took);
    }
  /* Nothing of what hung was waited for. */
  for (guint i = 0; i < N_FRESH; i++)
    g_assert_false (fresh[i].done);
  g_test_message ("%d first thaws at once behind %d hung calls: %.2f ms at most", N_HEALTHY,
                  2 + N_FRESH, most_ms (times));
  WAIT_UNTIL (fake_libvirtd_agent_calls () <= 2);
  for (guint i = 0; i < N_FRESH; i++)
    WAIT_UNTIL (fresh[i].done);
  release ();
  check_bounds ();
}

static void
test_quarantine (void)
{
  guint before = it.refused;

  it.longest_refusal = 0;
  press ();
  WAIT_UNTIL (it.refused > before + 200);
  release ();
  g_test_message ("%u requests to hung guests refused; those that did not ask an agent within "
                  "%.2f ms",
                  it.refused - before, (double) it.longest_refusal / G_TIME_SPAN_MILLISECOND);
  g_assert_cmpint (it.longest_refusal, <, G_USEC_PER_SEC / 2);
  check_bounds ();
}

static void
on_refreshed (gpointer data)
{
  *(gboolean *) data = TRUE;
}

static void
test_control (void)
{
  g_autoptr (GArray) times = g_array_new (FALSE, FALSE, sizeof (gint64));
  double median;

  press ();
  for (guint i = 0; i < 200; i++)
    {
      gint64 start = g_get_monotonic_time (), took;
      gboolean done = FALSE;

      vf_registry_refresh (it.registry, domain_of (i % N_GUESTS), on_refreshed, &done);
      while (!done)
        g_main_context_iteration (NULL, TRUE);
      took = g_get_monotonic_time () - start;
      g_array_append_val (times, took);
    }
  release ();
  median = median_ms (times);
  g_test_message ("looking at a domain beside %d hung guests: %.2f ms", N_HUNG, median);
  g_assert_cmpfloat (median, <, 20);
}

/* The fake itself is as narrow as libvirtd: the sixth call of a connection waits, and the
 * twenty-first of all. */

static gpointer
call_hung (gpointer data)
{
  g_autofree char *uuid = fake_libvirtd_uuid (0);
  virDomainPtr domain = virDomainLookupByUUIDString (data, uuid);
  long long seconds;
  unsigned int nanoseconds;

  virDomainGetTime (domain, &seconds, &nanoseconds, 0);
  virDomainFree (domain);
  return NULL;
}

static gpointer
call_plain (gpointer data)
{
  virDomainPtr *domains;

  g_assert_cmpint (virConnectListAllDomains (data, &domains, 0), ==, 1);
  virDomainFree (domains[0]);
  free (domains);
  return NULL;
}

/* Whether a plain call on the connection is answered while others hang. */
static gboolean
is_served (virConnectPtr connection, GPtrArray *threads)
{
  guint waiting = fake_libvirtd_waiting (), served = fake_libvirtd_plain_calls ();
  GThread *thread = g_thread_new ("plain", call_plain, connection);

  WAIT_UNTIL (fake_libvirtd_waiting () > waiting || fake_libvirtd_plain_calls () > served);
  g_ptr_array_add (threads, thread);
  return fake_libvirtd_waiting () == waiting;
}

static void
join (gpointer thread)
{
  g_thread_join (thread);
}

static void
test_fake (void)
{
  g_autoptr (GPtrArray) threads = g_ptr_array_new_with_free_func (join);
  virConnectPtr connections[5];

  fake_libvirtd_start (1, 0);
  fake_libvirtd_hang (0, TRUE);
  for (guint i = 0; i < 5; i++)
    connections[i] = virConnectOpen ("fake:///system");
  for (guint i = 0; i < 4; i++)
    {
      g_assert_true (is_served (connections[i], threads));
      for (guint n = 0; n < 5; n++)
        g_ptr_array_add (threads, g_thread_new ("hung", call_hung, connections[i]));
      WAIT_UNTIL (fake_libvirtd_agent_calls () == 5 * (i + 1));
      g_assert_true (i == 3 || is_served (connections[4], threads));
      g_assert_false (is_served (connections[i], threads));
    }
  g_assert_false (is_served (connections[4], threads));
  fake_libvirtd_hang (0, FALSE);
  g_ptr_array_set_size (threads, 0);
  for (guint i = 0; i < 5; i++)
    virConnectClose (connections[i]);
  fake_libvirtd_stop ();
}

/* What the service logs of each freeze is not of interest here. */
static GLogWriterOutput
write_log (GLogLevelFlags level, const GLogField *fields, gsize n, gpointer data)
{
  if (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
    return g_log_writer_default (level, fields, n, data);
  return G_LOG_WRITER_HANDLED;
}

/* It may have been done: no answer is not a refusal. */
static void
test_exec_hung (void)
{
  g_autoptr (VfCall) call = NULL;
  g_autofree char *uuid = fake_libvirtd_uuid (0);
  virConnectPtr connection;
  virDomainPtr domain;

  fake_libvirtd_start (1, DELAY);
  fake_libvirtd_hang (0, TRUE);
  connection = virConnectOpen ("fake:///system");
  domain = virDomainLookupByUUIDString (connection, uuid);
  g_assert_nonnull (domain);
  g_assert_cmpint (virDomainAgentSetResponseTimeout (domain, 1, 0), ==, 0);
  call = vf_call_new (VF_CALL_EXEC_FREEZE, uuid, 1);
  vf_call_set_filesystems (call, vf_map_new (), NULL, NULL);
  vf_exec_call (domain, call);
  g_assert_error (call->error, VF_ERROR, VF_ERROR_AGENT_UNAVAILABLE);
  g_assert_false (call->answered);
  g_assert_nonnull (strstr (call->error->message, "guest agent is not responding"));
  virDomainFree (domain);
  virConnectClose (connection);
  fake_libvirtd_hang (0, FALSE);
  fake_libvirtd_stop ();
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_log_set_always_fatal (G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
  g_log_set_writer_func (write_log, NULL, NULL);
  g_test_add_func ("/isolation/exec-without-an-answer", test_exec_hung);
  g_test_add_func ("/isolation/set-up", set_up);
  g_test_add_func ("/isolation/latency", test_latency);
  g_test_add_func ("/isolation/first-thaw", test_first_thaw);
  g_test_add_func ("/isolation/quarantine-fails-fast", test_quarantine);
  g_test_add_func ("/isolation/control-connection", test_control);
  g_test_add_func ("/isolation/tear-down", tear_down);
  g_test_add_func ("/isolation/fake-is-as-narrow-as-libvirtd", test_fake);
  return g_test_run ();
}
