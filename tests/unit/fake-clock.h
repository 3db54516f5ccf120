/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fake-clock: service/clock.h with a time that stands still until the test moves it.
 *
 * Linked instead of clock.c. Alarms that are due run from fake_clock_settle() and
 * fake_clock_advance() alone, each of which also runs the main loop until it is idle.
 */
#pragma once

#include "clock.h"

/* Runs the main loop and what is due now, until there is nothing to do. */
void fake_clock_settle (VfClock *clock);

/* Moves the time on, alarm by alarm. */
void fake_clock_advance (VfClock *clock, gint64 usec);

/* While there is no clock. */
void fake_clock_skip (gint64 usec);

/* Alarms that are set. */
guint fake_clock_count (VfClock *clock);
