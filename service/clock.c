/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "clock.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

struct _VfClock {
  GSequence *alarms; /* VfAlarm*, the next one first */
  int fd;
  guint source;
};

struct _VfAlarm {
  VfClock *clock;
  GSequenceIter *place;
  gint64 when;
  void (*func) (gpointer);
  gpointer data;
};

gint64
vf_clock_now (void)
{
  struct timespec now;

  clock_gettime (CLOCK_BOOTTIME, &now);
  return now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000;
}

static int
by_time (gconstpointer a, gconstpointer b, gpointer unused G_GNUC_UNUSED)
{
  const VfAlarm *left = a, *right = b;

  return (left->when > right->when) - (left->when < right->when);
}

static void
arm (VfClock *clock)
{
  GSequenceIter *first = g_sequence_get_begin_iter (clock->alarms);
  struct itimerspec at = { 0 };

  if (!g_sequence_iter_is_end (first))
    {
      /* Zero would disarm the timer. */
      gint64 when = MAX (((VfAlarm *) g_sequence_get (first))->when, 1);

      at.it_value.tv_sec = when / G_USEC_PER_SEC;
      at.it_value.tv_nsec = when % G_USEC_PER_SEC * 1000;
    }
  if (timerfd_settime (clock->fd, TFD_TIMER_ABSTIME, &at, NULL) < 0)
    g_error ("Cannot set a timer: %s", g_strerror (errno));
}

static gboolean
on_timer (int fd, GIOCondition condition G_GNUC_UNUSED, gpointer data)
{
  VfClock *clock = data;
  guint64 expirations;
  gint64 now = vf_clock_now ();

  if (read (fd, &expirations, sizeof expirations) < 0 && errno != EAGAIN)
    g_warning ("Cannot read a timer: %s", g_strerror (errno));
  for (;;)
    {
      GSequenceIter *first = g_sequence_get_begin_iter (clock->alarms);
      VfAlarm *alarm;
      void (*func) (gpointer);
      gpointer func_data;

      if (g_sequence_iter_is_end (first))
        break;
      alarm = g_sequence_get (first);
      if (alarm->when > now)
        break;
      func = alarm->func;
      func_data = alarm->data;
      g_sequence_remove (first);
      func (func_data);
    }
  arm (clock);
  return G_SOURCE_CONTINUE;
}

VfClock *
vf_clock_new (void)
{
  VfClock *clock = g_new0 (VfClock, 1);

  clock->alarms = g_sequence_new (g_free);
  clock->fd = timerfd_create (CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
  if (clock->fd < 0)
    g_error ("Cannot create a timer: %s", g_strerror (errno));
  clock->source = g_unix_fd_add (clock->fd, G_IO_IN, on_timer, clock);
  return clock;
}

void
vf_clock_free (VfClock *clock)
{
  g_source_remove (clock->source);
  g_sequence_free (clock->alarms);
  close (clock->fd);
  g_free (clock);
}

VfAlarm *
vf_clock_set (VfClock *clock, gint64 when, void (*func) (gpointer data), gpointer data)
{
  VfAlarm *alarm = g_new (VfAlarm, 1);

  *alarm = (VfAlarm){ .clock = clock, .when = when, .func = func, .data = data };
  alarm->place = g_sequence_insert_sorted (clock->alarms, alarm, by_time, NULL);
  if (g_sequence_iter_is_begin (alarm->place))
    arm (clock);
  return alarm;
}

void
vf_alarm_cancel (VfAlarm *alarm)
{
  /* The timer may fire once for nothing: cheaper than setting it anew each time. */
  g_sequence_remove (alarm->place);
}
