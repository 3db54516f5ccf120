/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What list and status have in common: a page, printed once, or again whenever something changes. */
#pragma once

#include "connection.h"

typedef struct Page Page;

/* Appends the whole page. */
typedef void PageFunc (const Screen *screen, GString *out, gpointer data);

/* Borrows all, until page_free(). */
Page *page_new (Connection *connection, GDBusObjectManager *objects, PageFunc *print,
                gpointer data);
void page_free (Page *page);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Page, page_free)

/* Prints it and returns; with --watch, until interrupted. On a terminal the page takes the place
 * of the last one, and is done anew each second, for the time left. Returns the exit code. */
ExitCode page_run (Page *page);

/* Has it printed anew, soon, if it is watched. */
void page_refresh (Page *page);
