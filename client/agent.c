/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#define AGENT "pkttyagent"
#define READY_FD 3
#define READY_TIMEOUT 10000 /* ms */

/* In the child: signals as at the start of a process, and it ends when we do. */
static void
prepare (gpointer data G_GNUC_UNUSED)
{
  sigset_t none;

  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
  signal (SIGPIPE, SIG_DFL);
  prctl (PR_SET_PDEATHSIG, SIGTERM);
}

/* In its foreground: in the background, reading a password would stop us. */
static gboolean
on_terminal (void)
{
  int terminal = open ("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
  gboolean ours = terminal >= 0 && tcgetpgrp (terminal) == getpgrp ();

  if (terminal >= 0)
    close (terminal);
  return ours;
}

/* It closes its end of the pipe when it is registered, or when it cannot be. */
static void
wait_ready (int fd)
{
  struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

  poll (&poll_fd, 1, READY_TIMEOUT);
}

GSubprocess *
agent_start (void)
{
  g_autoptr (GSubprocessLauncher) launcher = NULL;
  g_autofree char *self = g_strdup_printf ("%d", (int) getpid ());
  g_autofree char *ready = g_strdup_printf ("%d", READY_FD);
  /* A desktop's own agent goes first. Outside of a session of logind polkit 122 never asks one that
   * is for that case alone. */
  const char *fallback = g_getenv ("XDG_SESSION_ID") != NULL ? "--fallback" : NULL;
  const char *command[] = { AGENT, "--process", self, "--notify-fd", ready, fallback, NULL };
  GSubprocess *agent;
  int ends[2];

  if (!on_terminal () || !g_unix_open_pipe (ends, FD_CLOEXEC, NULL))
    return NULL;
  launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDIN_INHERIT);
  g_subprocess_launcher_set_child_setup (launcher, prepare, NULL, NULL);
  g_subprocess_launcher_take_fd (launcher, ends[1], READY_FD);
  agent = g_subprocess_launcher_spawnv (launcher, command, NULL);
  g_subprocess_launcher_close (launcher);
  if (agent != NULL)
    wait_ready (ends[0]);
  close (ends[0]);
  return agent;
}

void
agent_stop (GSubprocess *agent)
{
  g_subprocess_send_signal (agent, SIGTERM);
  g_subprocess_wait (agent, NULL, NULL);
  g_object_unref (agent);
}
