/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "text.h"

/* Characters of a name in a message. */
#define SHORT 64

/* Controls, and what redirects or breaks text on a terminal. */
static gboolean
is_harmless (gunichar c)
{
  switch (g_unichar_type (c))
    {
    case G_UNICODE_CONTROL:
    case G_UNICODE_FORMAT:
    case G_UNICODE_LINE_SEPARATOR:
    case G_UNICODE_PARAGRAPH_SEPARATOR:
      return FALSE;
    default:
      return TRUE;
    }
}

char *
vf_text_escape (const char *text)
{
  g_autoptr (GString) out = g_string_sized_new (64);

  while (*text != '\0')
    {
      gunichar c = g_utf8_get_char_validated (text, -1);
      gboolean valid = c != (gunichar) -1 && c != (gunichar) -2;
      gboolean keep = valid && is_harmless (c);
      gsize len = valid ? (gsize) (g_utf8_next_char (text) - text) : 1;

      if (out->len + (keep ? len : 4 * len) > VF_MAX_TEXT)
        break;
      if (keep)
        g_string_append_len (out, text, (gssize) len);
      else
        for (gsize i = 0; i < len; i++)
          g_string_append_printf (out, "\\x%02x", (guchar) text[i]);
      text += len;
    }
  return g_string_free (g_steal_pointer (&out), FALSE);
}

char *
vf_text_shorten (const char *text)
{
  g_autofree char *escaped = vf_text_escape (text);
  g_autofree char *start = NULL;

  if (g_utf8_strlen (escaped, -1) <= SHORT)
    return g_steal_pointer (&escaped);
  start = g_utf8_substring (escaped, 0, SHORT);
  return g_strconcat (start, "…", NULL);
}
