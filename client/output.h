/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Standard output and standard error. What is printed is UTF-8 whatever the locale. */
#pragma once

#include <glib.h>

/* What every exit of virt-freeze says. */
typedef enum {
  EXIT_DONE = 0,
  EXIT_FAILED = 1,
  EXIT_USAGE = 2,
  EXIT_DENIED = 3,
  EXIT_LOST = 4, /* a freeze did not hold */
  EXIT_CANNOT_EXECUTE = 126,
  EXIT_NOT_FOUND = 127,
  EXIT_SIGNAL = 128, /* and the number of the signal */
} ExitCode;

typedef enum { COLOUR_NONE, COLOUR_BOLD, COLOUR_GOOD, COLOUR_WARN, COLOUR_BAD } Colour;

typedef struct {
  gboolean terminal;
  gboolean colours; /* on a terminal, unless NO_COLOR is set */
  int columns;      /* 0: not a terminal, as many as it takes */
  int rows;
} Screen;

void screen_read (Screen *screen);

/* The sequences to begin and to end a colour; empty where there are none. */
const char *screen_colour (const Screen *screen, Colour colour);
const char *screen_plain (const Screen *screen, Colour colour);

/* Writes and flushes. FALSE: it cannot be written; see output_failed(). */
gboolean output_write (const char *text);

/* After a failed write: ends by SIGPIPE, as filters do, where the reader has gone and SIGPIPE was
 * not ignored when virt-freeze was started; else complains. Returns the exit code. */
ExitCode output_failed (void);

/* Calls back once the reader of standard output has gone, where that can be known. */
guint output_watch (GSourceFunc gone, gpointer data);

/* A message on standard error: "virt-freeze: …". What is not printable is escaped. */
void complain (const char *format, ...) G_GNUC_PRINTF (1, 2);

/* To be called first: notes whether SIGPIPE is ignored, which GLib is going to change. */
void output_init (void);
gboolean output_sigpipe_was_ignored (void);
