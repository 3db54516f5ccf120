/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-clock.h"

struct _VfClock {
  GSequence *alarms; /* VfAlarm*, the next one first */
};

struct _VfAlarm {
  GSequenceIter *place;
  gint64 when;
  void (*func) (gpointer);
  gpointer data;
};

/* As if the host had been up for a while. */
static gint64 now = 1000 * G_USEC_PER_SEC;

gint64
vf_clock_now (void)
{
  return now;
}

static int
by_time (gconstpointer a, gconstpointer b, gpointer unused G_GNUC_UNUSED)
{
  const VfAlarm *left = a, *right = b;

  return (left->when > right->when) - (left->when < right->when);
}

VfClock *
vf_clock_new (void)
{
  VfClock *clock = g_new0 (VfClock, 1);

  clock->alarms = g_sequence_new (g_free);
  return clock;
}

void
vf_clock_free (VfClock *clock)
{
  g_sequence_free (clock->alarms);
  g_free (clock);
}

VfAlarm *
vf_clock_set (VfClock *clock, gint64 when, void (*func) (gpointer data), gpointer data)
{
  VfAlarm *alarm = g_new (VfAlarm, 1);

  *alarm = (VfAlarm){ .when = when, .func = func, .data = data };
  alarm->place = g_sequence_insert_sorted (clock->alarms, alarm, by_time, NULL);
  return alarm;
}

void
vf_alarm_cancel (VfAlarm *alarm)
{
  g_sequence_remove (alarm->place);
}

guint
fake_clock_count (VfClock *clock)
{
  return (guint) g_sequence_get_length (clock->alarms);
}

/* Runs the first alarm if it is due by then. */
static gboolean
run_one (VfClock *clock, gint64 then)
{
  GSequenceIter *first = g_sequence_get_begin_iter (clock->alarms);
  VfAlarm alarm;

  if (g_sequence_iter_is_end (first))
    return FALSE;
  alarm = *(VfAlarm *) g_sequence_get (first);
  if (alarm.when > then)
    return FALSE;
  now = MAX (now, alarm.when);
  g_sequence_remove (first);
  alarm.func (alarm.data);
  return TRUE;
}

void
fake_clock_settle (VfClock *clock)
{
  do
    while (g_main_context_iteration (NULL, FALSE))
      ;
  while (run_one (clock, now));
}

void
fake_clock_advance (VfClock *clock, gint64 usec)
{
  gint64 then = now + usec;

  fake_clock_settle (clock);
  while (run_one (clock, then))
    fake_clock_settle (clock);
  now = then;
}

void
fake_clock_skip (gint64 usec)
{
  now += usec;
}
