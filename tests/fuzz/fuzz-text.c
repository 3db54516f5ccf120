/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a stranger calls things, as it is shown to people and put on the bus. */
#include "fuzz.h"

#include "text.h"

#include <string.h>

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autofree char *text = fuzz_text (data, size);
  g_autofree char *escaped = vf_text_escape (text);
  g_autofree char *twice = vf_text_escape (escaped);
  g_autofree char *shorter = vf_text_shorten (text);

  fuzz_check_shown (escaped);
  g_assert_cmpuint (strlen (escaped), <=, VF_MAX_TEXT);
  g_assert_cmpstr (escaped, ==, twice);
  fuzz_check_shown (shorter);
  g_assert_cmpint (g_utf8_strlen (shorter, -1), <=, 65);
  return 0;
}
