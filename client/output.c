/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "output.h"

#include "text.h"

#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_COLUMNS 80
#define DEFAULT_ROWS 24

/* What this process was started with: a fact about it, not a state. */
static gboolean sigpipe_was_ignored;

void
output_init (void)
{
  struct sigaction action;

  sigpipe_was_ignored = sigaction (SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
  signal (SIGPIPE, SIG_IGN);
}

gboolean
output_sigpipe_was_ignored (void)
{
  return sigpipe_was_ignored;
}

void
screen_read (Screen *screen)
{
  const char *no_colour = g_getenv ("NO_COLOR");
  const char *term = g_getenv ("TERM");
  struct winsize size = { 0 };

  *screen = (Screen){ .terminal = isatty (STDOUT_FILENO) == 1 };
  if (!screen->terminal)
    return;
  ioctl (STDOUT_FILENO, TIOCGWINSZ, &size);
  screen->columns = size.ws_col != 0 ? size.ws_col : DEFAULT_COLUMNS;
  screen->rows = size.ws_row != 0 ? size.ws_row : DEFAULT_ROWS;
  screen->colours = (no_colour == NULL || *no_colour == '\0') && term != NULL && *term != '\0'
                    && !g_str_equal (term, "dumb");
}

const char *
screen_colour (const Screen *screen, Colour colour)
{
  static const char *const sequences[] = { "", "\033[1m", "\033[32m", "\033[33m", "\033[31m" };

  return screen->colours ? sequences[colour] : "";
}

const char *
screen_plain (const Screen *screen, Colour colour)
{
  return screen->colours && colour != COLOUR_NONE ? "\033[0m" : "";
}

gboolean
output_write (const char *text)
{
  return fputs (text, stdout) >= 0 && fflush (stdout) == 0;
}

ExitCode
output_failed (void)
{
  int number = errno;

  if (number == EPIPE && !sigpipe_was_ignored)
    {
      signal (SIGPIPE, SIG_DFL);
      raise (SIGPIPE);
    }
  complain ("Cannot write to standard output: %s", g_strerror (number));
  /* What is left in the buffer is not to be tried again by exit(). */
  fflush (NULL);
  _exit (EXIT_FAILED);
}

typedef struct {
  GSourceFunc gone;
  gpointer data;
  int number; /* what a write would say */
} Watch;

static gboolean
on_hang_up (int fd G_GNUC_UNUSED, GIOCondition condition G_GNUC_UNUSED, gpointer data)
{
  Watch *watch = data;

  errno = watch->number;
  return watch->gone (watch->data);
}

guint
output_watch (GSourceFunc gone, gpointer data)
{
  struct stat status;
  Watch *watch;

  if (fstat (STDOUT_FILENO, &status) != 0
      || !(S_ISFIFO (status.st_mode) || S_ISSOCK (status.st_mode) || S_ISCHR (status.st_mode)))
    return 0;
  watch = g_new (Watch, 1);
  *watch = (Watch){ gone, data, S_ISCHR (status.st_mode) ? EIO : EPIPE };
  /* No condition is asked for: errors and hang-ups are always told. */
  return g_unix_fd_add_full (G_PRIORITY_DEFAULT, STDOUT_FILENO, G_IO_ERR | G_IO_HUP, on_hang_up,
                             watch, g_free);
}

void
complain (const char *format, ...)
{
  g_autofree char *text = NULL;
  g_autofree char *escaped = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  escaped = text_escape (text);
  /* A closed terminal is no reason to stop. */
  fprintf (stderr, "virt-freeze: %s\n", escaped);
  fflush (stderr);
}
