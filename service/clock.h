/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * clock: boot time and alarms on it.
 *
 * CLOCK_BOOTTIME goes on while the host sleeps, so that a guest frozen before a suspend is due
 * right after it. GLib's timeouts do not. One timerfd serves all alarms. Main thread only.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _VfClock VfClock;
typedef struct _VfAlarm VfAlarm;

VfClock *vf_clock_new (void);
/* Alarms still set are dropped; their holders must not touch them afterwards. */
void vf_clock_free (VfClock *clock);

/* Boot time now, in µs; thread-safe. */
gint64 vf_clock_now (void);

/*
 * Calls func once, from the main loop, at or after boot time when (µs). The alarm is gone when
 * func is called: func must forget it first.
 */
VfAlarm *vf_clock_set (VfClock *clock, gint64 when, void (*func) (gpointer data), gpointer data);
void vf_alarm_cancel (VfAlarm *alarm);

G_END_DECLS
