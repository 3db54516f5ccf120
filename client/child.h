/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command of run, and signals. */
#pragma once

#include "output.h"

#include <signal.h>
#include <sys/types.h>

/* What a shell would run for that word: a path, which is the caller's; or NULL, after a complaint,
 * with code set to EXIT_NOT_FOUND or EXIT_CANNOT_EXECUTE. */
char *child_find (const char *word, ExitCode *code);

/* Starts it in our process group, with our standard streams, and with signals as they were before
 * signals_take(). Returns its id; 0 after a complaint, with code set. */
pid_t child_start (const char *path, char **arguments, const sigset_t *signals, ExitCode *code);

/* Called for a signal that we got. keyboard: the whole process group of the terminal has got it. */
typedef void SignalFunc (int number, gboolean keyboard, gpointer data);

/* From now on the signals that are passed on (and are not ignored already) are told to func, from
 * the default main context; before is what they were. To be called before there are threads. */
guint signals_take (sigset_t *before, SignalFunc *func, gpointer data);

/* Ends by that signal, as if it had not been taken. */
void signals_die (int number) G_GNUC_NORETURN;
