/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "page.h"

#include <string.h>

/* Home, and what clears to the end of a line, and of the screen. */
#define HOME "\033[H"
#define CLEAR_LINE "\033[K"
#define CLEAR_BELOW "\033[J"

struct Page {
  Connection *connection;
  GDBusObjectManager *objects;
  PageFunc *print;
  gpointer data;
  GMainLoop *loop;
  guint refresh; /* source, or 0 */
  char *shown;   /* the last page, where it is not a terminal */
  ExitCode code;
};

Page *
page_new (Connection *connection, GDBusObjectManager *objects, PageFunc *print, gpointer data)
{
  Page *page = g_new0 (Page, 1);

  page->connection = connection;
  page->objects = objects;
  page->print = print;
  page->data = data;
  page->loop = g_main_loop_new (NULL, FALSE);
  return page;
}

void
page_free (Page *page)
{
  g_signal_handlers_disconnect_by_data (page->objects, page);
  g_signal_handlers_disconnect_by_data (page->connection->manager, page);
  g_signal_handlers_disconnect_by_data (page->connection->bus, page);
  g_clear_handle_id (&page->refresh, g_source_remove);
  g_main_loop_unref (page->loop);
  g_free (page->shown);
  g_free (page);
}

/* What is wrong with what is shown, or NULL. */
static const char *
note (Page *page)
{
  g_autofree char *owner
      = g_dbus_object_manager_client_get_name_owner (G_DBUS_OBJECT_MANAGER_CLIENT (page->objects));

  if (owner == NULL)
    return "The virtfreeze service does not run now.";
  if (!vfc_manager_get_connected (page->connection->manager))
    return "The service has no connection to libvirt now: what is shown of guests may be old.";
  return NULL;
}

/* The first lines, as many as there are on the terminal; the last stays free. */
static char *
for_terminal (const Screen *screen, const char *text)
{
  g_autoptr (GString) out = g_string_new (HOME);

  for (int row = 1; *text != '\0' && row < screen->rows; row++)
    {
      gsize length = strcspn (text, "\n");

      g_string_append_len (out, text, (gssize) length);
      g_string_append (out, CLEAR_LINE "\n");
      text += length + (text[length] == '\n');
    }
  g_string_append (out, CLEAR_BELOW);
  return g_string_free (g_steal_pointer (&out), FALSE);
}

static void
show (Page *page)
{
  const Options *options = page->connection->options;
  g_autoptr (GString) out = g_string_new (NULL);
  g_autofree char *text = NULL;
  const char *wrong = note (page);
  Screen screen;

  screen_read (&screen);
  page->print (&screen, out, page->data);
  if (wrong != NULL && !options->json && options->watch)
    g_string_append_printf (out, "%s\n", wrong);
  else if (wrong != NULL && !options->watch)
    complain ("%s", wrong);
  if (options->watch && screen.terminal && !options->json)
    text = for_terminal (&screen, out->str);
  else if (g_strcmp0 (page->shown, out->str) == 0)
    return;
  else
    {
      gboolean apart = page->shown != NULL && !options->json;

      text = g_strconcat (apart ? "\n" : "", out->str, NULL);
      g_free (page->shown);
      page->shown = g_strdup (out->str);
    }
  if (!output_write (text))
    {
      page->code = output_failed ();
      g_main_loop_quit (page->loop);
    }
}

static gboolean
on_refresh (gpointer data)
{
  Page *page = data;

  page->refresh = 0;
  show (page);
  return G_SOURCE_REMOVE;
}

void
page_refresh (Page *page)
{
  /* What comes together is shown together. */
  if (page->refresh == 0)
    page->refresh = g_idle_add (on_refresh, page);
}

static gboolean
on_tick (gpointer data)
{
  page_refresh (data);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_output_gone (gpointer data)
{
  Page *page = data;

  page->code = output_failed ();
  g_main_loop_quit (page->loop);
  return G_SOURCE_CONTINUE;
}

static void
on_bus_gone (Page *page)
{
  complain ("The connection to the bus has ended");
  page->code = EXIT_FAILED;
  g_main_loop_quit (page->loop);
}

ExitCode
page_run (Page *page)
{
  const Options *options = page->connection->options;
  guint tick = 0, output;
  Screen screen;

  screen_read (&screen);
  if (!options->watch)
    {
      show (page);
      return page->code;
    }
  static const char *const signals[] = { "object-added", "object-removed", "notify::name-owner",
                                         "interface-proxy-properties-changed" };
  for (gsize i = 0; i < G_N_ELEMENTS (signals); i++)
    g_signal_connect_swapped (page->objects, signals[i], G_CALLBACK (page_refresh), page);
  g_signal_connect_swapped (page->connection->manager, "g-properties-changed",
                            G_CALLBACK (page_refresh), page);
  g_signal_connect_swapped (page->connection->bus, "closed", G_CALLBACK (on_bus_gone), page);
  if (screen.terminal && !options->json)
    tick = g_timeout_add (1000, on_tick, page);
  output = output_watch (on_output_gone, page);
  if (screen.terminal && !options->json)
    output_write (HOME CLEAR_BELOW);
  page_refresh (page);
  g_main_loop_run (page->loop);
  g_clear_handle_id (&tick, g_source_remove);
  g_clear_handle_id (&output, g_source_remove);
  return page->code;
}
