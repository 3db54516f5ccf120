/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* How GLib ends with an error; libFuzzer keeps the input of those that it knows. */
static void
on_trap (int number G_GNUC_UNUSED)
{
  abort ();
}

static GLogWriterOutput
write_log (GLogLevelFlags level, const GLogField *fields, gsize n, gpointer data)
{
  if (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
    return g_log_writer_default (level, fields, n, data);
  for (gsize i = 0; i < n; i++)
    if (g_str_equal (fields[i].key, "MESSAGE"))
      fuzz_check_shown (fields[i].value);
  return G_LOG_WRITER_HANDLED;
}

void
fuzz_init (void)
{
  static gsize done;

  if (!g_once_init_enter (&done))
    return;
  g_log_set_always_fatal (G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
  g_log_set_writer_func (write_log, NULL, NULL);
  signal (SIGTRAP, on_trap);
  g_once_init_leave (&done, 1);
}

char *
fuzz_text (const guint8 *data, gsize size)
{
  return g_strndup ((const char *) data, size);
}

void
fuzz_check_shown (const char *text)
{
  g_assert_nonnull (text);
  g_assert_true (g_utf8_validate (text, -1, NULL));
  for (const char *c = text; *c != '\0'; c = g_utf8_next_char (c))
    g_assert_false (g_unichar_iscntrl (g_utf8_get_char (c)));
}

void
fuzz_check_error (const GError *error)
{
  g_assert_nonnull (error);
  g_assert_cmpstr (error->message, !=, "");
  fuzz_check_shown (error->message);
}
