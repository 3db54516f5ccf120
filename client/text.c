/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "text.h"

#include <pwd.h>
#include <string.h>

static gboolean
is_harmless (gunichar c)
{
  switch (g_unichar_type (c))
    {
    case G_UNICODE_CONTROL:
    case G_UNICODE_FORMAT:
    case G_UNICODE_LINE_SEPARATOR:
    case G_UNICODE_PARAGRAPH_SEPARATOR:
    case G_UNICODE_SURROGATE:
      return FALSE;
    default:
      return TRUE;
    }
}

char *
text_escape (const char *text)
{
  g_autoptr (GString) out = g_string_new (NULL);

  while (*text != '\0')
    {
      gunichar c = g_utf8_get_char_validated (text, -1);
      gboolean valid = c != (gunichar) -1 && c != (gunichar) -2;
      gsize length = valid ? (gsize) (g_utf8_next_char (text) - text) : 1;

      if (valid && is_harmless (c))
        g_string_append_len (out, text, (gssize) length);
      else
        for (gsize i = 0; i < length; i++)
          g_string_append_printf (out, "\\x%02x", (guchar) text[i]);
      text += length;
    }
  return g_string_free (g_steal_pointer (&out), FALSE);
}

char *
text_escape_json (const char *text)
{
  g_autoptr (GString) out = g_string_new (NULL);

  for (const char *c = text; *c != '\0'; c = g_utf8_next_char (c))
    {
      gunichar character = g_utf8_get_char (c);

      if (*c == '\n' || is_harmless (character))
        g_string_append_unichar (out, character);
      else if (character < 0x10000)
        g_string_append_printf (out, "\\u%04x", character);
      else
        g_string_append_printf (out, "\\u%04x\\u%04x", 0xd7c0 + (character >> 10),
                                0xdc00 + (character & 0x3ff));
    }
  return g_string_free (g_steal_pointer (&out), FALSE);
}

static int
columns_of (gunichar c)
{
  if (g_unichar_iszerowidth (c))
    return 0;
  return g_unichar_iswide (c) ? 2 : 1;
}

int
text_width (const char *text)
{
  int width = 0;

  for (const char *c = text; *c != '\0'; c = g_utf8_next_char (c))
    width += columns_of (g_utf8_get_char (c));
  return width;
}

char *
text_cut (const char *text, int columns)
{
  const char *ellipsis = g_get_charset (NULL) ? "…" : "~";
  const char *end = text;
  int width = 0;

  if (text_width (text) <= columns)
    return g_strdup (text);
  while (width + columns_of (g_utf8_get_char (end)) < columns)
    {
      width += columns_of (g_utf8_get_char (end));
      end = g_utf8_next_char (end);
    }
  return g_strdup_printf ("%.*s%s", (int) (end - text), text, ellipsis);
}

char *
text_span (gint64 span)
{
  gint64 seconds = MAX (span, 0) / G_USEC_PER_SEC;
  gint64 minutes = seconds / 60;

  if (minutes == 0)
    return g_strdup_printf ("%" G_GINT64_FORMAT " s", seconds);
  if (minutes < 60)
    return g_strdup_printf ("%" G_GINT64_FORMAT " min %" G_GINT64_FORMAT " s", minutes,
                            seconds % 60);
  return g_strdup_printf ("%" G_GINT64_FORMAT " h %" G_GINT64_FORMAT " min", minutes / 60,
                          minutes % 60);
}

char *
text_time (gint64 time)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_local ();
  g_autoptr (GDateTime) then = g_date_time_new_from_unix_local (time / G_USEC_PER_SEC);
  gboolean today;

  if (then == NULL)
    return g_strdup ("?");
  today = g_date_time_get_year (now) == g_date_time_get_year (then)
          && g_date_time_get_day_of_year (now) == g_date_time_get_day_of_year (then);
  return g_date_time_format (then, today ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S");
}

char *
text_user (guint32 uid)
{
  const struct passwd *entry = getpwuid (uid);

  return entry != NULL ? text_escape (entry->pw_name) : g_strdup_printf ("uid %u", uid);
}

static const struct {
  const char *name;
  guint64 span;
} units[] = {
  { "us", 1 },
  { "µs", 1 },
  { "ms", 1000 },
  { "s", G_USEC_PER_SEC },
  { "sec", G_USEC_PER_SEC },
  { "second", G_USEC_PER_SEC },
  { "seconds", G_USEC_PER_SEC },
  { "", G_USEC_PER_SEC },
  { "m", 60 * (guint64) G_USEC_PER_SEC },
  { "min", 60 * (guint64) G_USEC_PER_SEC },
  { "minute", 60 * (guint64) G_USEC_PER_SEC },
  { "minutes", 60 * (guint64) G_USEC_PER_SEC },
  { "h", 3600 * (guint64) G_USEC_PER_SEC },
  { "hr", 3600 * (guint64) G_USEC_PER_SEC },
  { "hour", 3600 * (guint64) G_USEC_PER_SEC },
  { "hours", 3600 * (guint64) G_USEC_PER_SEC },
};

static guint64
unit_of (const char *name, gsize length)
{
  for (gsize i = 0; i < G_N_ELEMENTS (units); i++)
    if (strlen (units[i].name) == length && strncmp (units[i].name, name, length) == 0)
      return units[i].span;
  return 0;
}

gboolean
text_parse_span (const char *text, guint64 *span)
{
  guint64 total = 0;

  for (text += strspn (text, " "); *text != '\0'; text += strspn (text, " "))
    {
      guint64 number, part, unit;
      char *end;
      gsize length;

      if (!g_ascii_isdigit (*text))
        return FALSE;
      number = g_ascii_strtoull (text, &end, 10);
      end += strspn (end, " ");
      length = strcspn (end, " 0123456789");
      unit = unit_of (end, length);
      if (unit == 0 || !g_uint64_checked_mul (&part, number, unit)
          || !g_uint64_checked_add (&total, total, part))
        return FALSE;
      text = end + length;
    }
  *span = total;
  return total != 0;
}
