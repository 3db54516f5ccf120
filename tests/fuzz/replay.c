/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* replay FILE...: runs the target over the inputs of corpora: one a line, escaped as in C. */
#include "fuzz.h"

#include <stdio.h>
#include <string.h>

static GByteArray *
unescape (const char *line)
{
  GByteArray *bytes = g_byte_array_new ();

  while (*line != '\0')
    {
      guint8 byte = (guint8) *line++;

      if (byte == '\\' && *line == 'x' && g_ascii_isxdigit (line[1]) && g_ascii_isxdigit (line[2]))
        {
          byte = (guint8) (16 * g_ascii_xdigit_value (line[1]) + g_ascii_xdigit_value (line[2]));
          line += 3;
        }
      else if (byte == '\\')
        {
          g_assert_nonnull (strchr ("nt\\", *line));
          byte = *line == 'n' ? '\n' : *line == 't' ? '\t' : '\\';
          line++;
        }
      g_byte_array_append (bytes, &byte, 1);
    }
  return bytes;
}

/* Without the NUL behind it, so that a sanitizer or valgrind sees what reads beyond. */
static void
run (const GByteArray *input)
{
  g_autofree guint8 *copy = g_malloc (MAX (input->len, 1));

  if (input->len > 0)
    memcpy (copy, input->data, input->len);
  LLVMFuzzerTestOneInput (copy, input->len);
}

int
main (int argc, char **argv)
{
  guint n = 0;

  setvbuf (stdout, NULL, _IOLBF, 0);
  for (int i = 1; i < argc; i++)
    {
      g_autofree char *text = NULL;
      g_autofree char *name = g_path_get_basename (argv[i]);
      g_autoptr (GError) error = NULL;
      g_auto (GStrv) lines = NULL;

      if (!g_file_get_contents (argv[i], &text, NULL, &error))
        g_error ("%s", error->message);
      lines = g_strsplit (text, "\n", -1);
      for (guint l = 0; lines[l] != NULL; l++)
        if (*lines[l] != '\0' && *lines[l] != '#')
          {
            g_autoptr (GByteArray) input = unescape (lines[l]);

            printf ("# %s, line %u\n", name, l + 1);
            run (input);
            n++;
          }
      printf ("ok %d - %s\n", i, name);
    }
  printf ("1..%d\n", argc - 1);
  return n > 0 ? 0 : 1;
}
