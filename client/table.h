/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rows of aligned columns, two spaces apart. */
#pragma once

#include "output.h"

typedef struct Table Table;

typedef enum {
  COLUMN_LEFT = 0,
  COLUMN_RIGHT = 1 << 0,
  COLUMN_SHRINKS = 1 << 1, /* gives way where the terminal is too narrow */
} ColumnFlags;

Table *table_new (void);
void table_free (Table *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Table, table_free)

void table_add_column (Table *table, const char *title, ColumnFlags flags);

/* The next cell, from left to right, row by row. It is escaped here; empty, it shows as "-". */
void table_add_cell (Table *table, Colour colour, const char *text);

/* Titles, where there is at least one row, and rows. */
void table_print (Table *table, const Screen *screen, GString *out);
