/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text as people read and write it. Returned strings are the caller's. Spans and times are in µs. */
#pragma once

#include <glib.h>

/* For a terminal: control characters, what redirects text and invalid UTF-8 become \xNN. */
char *text_escape (const char *text);

/* The same for JSON text, in its own way: \uNNNN. */
char *text_escape_json (const char *text);

/* How many columns it takes. */
int text_width (const char *text);

/* At most so many columns, with an ellipsis where something is left out. */
char *text_cut (const char *text, int columns);

/* "48 s", "3 min 12 s", "2 h 5 min"; nothing is less than 0 s. */
char *text_span (gint64 span);

/* A time since the epoch, of today "10:24:13", else "2026-11-23 10:24:13". */
char *text_time (gint64 time);

/* The user's name, or "uid 1000". */
char *text_user (guint32 uid);

/* "30s", "5min", "1min 30s", "500ms"; a number alone is in seconds. FALSE: it is none, or 0. */
gboolean text_parse_span (const char *text, guint64 *span);
