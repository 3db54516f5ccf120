/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Alarms on boot time. Real ones, of milliseconds. */
#include "clock.h"

#include <string.h>

#define MS G_TIME_SPAN_MILLISECOND

typedef struct {
  VfClock *clock;
  GString *rung;
  gint64 base;
} Fixture;

typedef struct {
  Fixture *fixture;
  char name;
  gint64 when;
  VfAlarm *cancels;
  gint64 sets; /* another alarm, “z”, that much later */
} Ring;

static void
set_up (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  fixture->clock = vf_clock_new ();
  fixture->rung = g_string_new (NULL);
  fixture->base = vf_clock_now ();
}

static void
tear_down (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  vf_clock_free (fixture->clock);
  g_string_free (fixture->rung, TRUE);
}

static void
on_ring (gpointer data)
{
  Ring *ring = data;

  g_assert_cmpint (vf_clock_now (), >=, ring->when);
  g_string_append_c (ring->fixture->rung, ring->name);
  g_clear_pointer (&ring->cancels, vf_alarm_cancel);
  if (ring->sets != 0)
    {
      ring->name = 'z';
      ring->when += ring->sets;
      ring->sets = 0;
      vf_clock_set (ring->fixture->clock, ring->when, on_ring, ring);
    }
}

static VfAlarm *
set (Fixture *fixture, Ring *ring, char name, gint64 after)
{
  *ring = (Ring){ .fixture = fixture, .name = name, .when = fixture->base + after };
  return vf_clock_set (fixture->clock, ring->when, on_ring, ring);
}

static void
wait_for (Fixture *fixture, const char *expected)
{
  while (fixture->rung->len < strlen (expected))
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpstr (fixture->rung->str, ==, expected);
}

static void
test_order (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  Ring rings[4];

  set (fixture, &rings[0], 'c', 30 * MS);
  set (fixture, &rings[1], 'a', 10 * MS);
  set (fixture, &rings[2], 'd', 30 * MS);
  set (fixture, &rings[3], 'b', 20 * MS);
  wait_for (fixture, "abcd");
}

static void
test_past (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  Ring rings[3];

  set (fixture, &rings[0], 'b', -10 * MS);
  set (fixture, &rings[1], 'a', -fixture->base);
  set (fixture, &rings[2], 'c', 0);
  g_assert_cmpstr (fixture->rung->str, ==, ""); /* from the main loop only */
  wait_for (fixture, "abc");
}

static void
test_cancel (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  Ring rings[3];
  VfAlarm *first = set (fixture, &rings[0], 'a', 1 * MS);
  VfAlarm *second = set (fixture, &rings[1], 'b', 2 * MS);

  set (fixture, &rings[2], 'c', 5 * MS);
  vf_alarm_cancel (second);
  vf_alarm_cancel (first);
  wait_for (fixture, "c");
}

static void
test_cancel_from_another (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  Ring rings[3];

  set (fixture, &rings[0], 'a', -3 * MS);
  rings[0].cancels = set (fixture, &rings[1], 'b', -2 * MS);
  set (fixture, &rings[2], 'c', -1 * MS);
  wait_for (fixture, "ac");
}

static void
test_set_from_another (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  Ring rings[2];

  set (fixture, &rings[0], 'a', 1 * MS);
  rings[0].sets = 5 * MS;
  set (fixture, &rings[1], 'b', 20 * MS);
  wait_for (fixture, "azb");
}

static void
test_earlier_one_set_later (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  Ring rings[2];

  set (fixture, &rings[0], 'b', 40 * MS);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  set (fixture, &rings[1], 'a', 10 * MS);
  wait_for (fixture, "ab");
}

static void
test_freed_with_alarms (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  static Ring ring;

  set (fixture, &ring, 'a', 1 * MS);
}

#define ADD(name, func) g_test_add ("/clock/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("order", test_order);
  ADD ("past", test_past);
  ADD ("cancel", test_cancel);
  ADD ("cancel-from-another", test_cancel_from_another);
  ADD ("set-from-another", test_set_from_another);
  ADD ("earlier-one-set-later", test_earlier_one_set_later);
  ADD ("freed-with-alarms", test_freed_with_alarms);
  return g_test_run ();
}
