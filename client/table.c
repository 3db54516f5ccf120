/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "table.h"

#include "text.h"

#define GAP 2
#define NARROWEST 6 /* columns, for what shrinks */

typedef struct {
  char *text;
  Colour colour;
} Cell;

typedef struct {
  const char *title;
  ColumnFlags flags;
  int width;
} Column;

struct Table {
  GArray *columns; /* Column */
  GArray *cells;   /* Cell */
};

static void
cell_clear (gpointer data)
{
  Cell *cell = data;
  g_free (cell->text);
}

Table *
table_new (void)
{
  Table *table = g_new0 (Table, 1);

  table->columns = g_array_new (FALSE, TRUE, sizeof (Column));
  table->cells = g_array_new (FALSE, TRUE, sizeof (Cell));
  g_array_set_clear_func (table->cells, cell_clear);
  return table;
}

void
table_free (Table *table)
{
  g_array_unref (table->columns);
  g_array_unref (table->cells);
  g_free (table);
}

void
table_add_column (Table *table, const char *title, ColumnFlags flags)
{
  Column column = { title, flags, text_width (title) };

  g_array_append_val (table->columns, column);
}

void
table_add_cell (Table *table, Colour colour, const char *text)
{
  Column *column = &g_array_index (table->columns, Column, table->cells->len % table->columns->len);
  Cell cell = { *text != '\0' ? text_escape (text) : g_strdup ("-"), colour };

  column->width = MAX (column->width, text_width (cell.text));
  g_array_append_val (table->cells, cell);
}

static Column *
widest_that_shrinks (Table *table)
{
  Column *widest = NULL;

  for (guint i = 0; i < table->columns->len; i++)
    {
      Column *column = &g_array_index (table->columns, Column, i);

      if ((column->flags & COLUMN_SHRINKS) && column->width > NARROWEST
          && (widest == NULL || column->width > widest->width))
        widest = column;
    }
  return widest;
}

static void
fit (Table *table, int columns)
{
  int total = -GAP;
  Column *widest;

  for (guint i = 0; i < table->columns->len; i++)
    total += GAP + g_array_index (table->columns, Column, i).width;
  for (; total > columns && (widest = widest_that_shrinks (table)) != NULL; total--)
    widest->width--;
}

static void
print_cell (const Screen *screen, const Column *column, const char *text, Colour colour,
            gboolean last, GString *out)
{
  g_autofree char *shown = text_cut (text, column->width);
  int space = column->width - text_width (shown);

  if (column->flags & COLUMN_RIGHT)
    g_string_append_printf (out, "%*s", space, "");
  g_string_append (out, screen_colour (screen, colour));
  g_string_append (out, shown);
  g_string_append (out, screen_plain (screen, colour));
  if (last)
    g_string_append_c (out, '\n');
  else
    g_string_append_printf (out, "%*s", (column->flags & COLUMN_RIGHT ? 0 : space) + GAP, "");
}

void
table_print (Table *table, const Screen *screen, GString *out)
{
  guint count = table->columns->len;

  if (table->cells->len == 0)
    return;
  if (screen->columns > 0)
    fit (table, screen->columns);
  for (guint i = 0; i < count; i++)
    {
      const Column *column = &g_array_index (table->columns, Column, i);
      print_cell (screen, column, column->title, COLOUR_BOLD, i + 1 == count, out);
    }
  for (guint i = 0; i < table->cells->len; i++)
    {
      const Cell *cell = &g_array_index (table->cells, Cell, i);
      const Column *column = &g_array_index (table->columns, Column, i % count);
      print_cell (screen, column, cell->text, cell->colour, (i + 1) % count == 0, out);
    }
}
