/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz: one target a file, for libFuzzer; replay.c runs it over its corpus as an ordinary test.
 *
 * An input is any bytes. What must hold is asserted, so that a failure is a crash.
 */
#pragma once

#include <glib.h>

/* The target. */
int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

/* Runs before the first input: warnings of the service are not shown. May be called again. */
void fuzz_init (void);

/* The input as text: up to its first NUL; free it. */
char *fuzz_text (const guint8 *data, gsize size);

/* What D-Bus would disconnect us for: not UTF-8. And what a terminal must not get. */
void fuzz_check_shown (const char *text);
/* An error that is told to people, of any domain. */
void fuzz_check_error (const GError *error);
