/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The text of a record, as it is and with the checksum that it should have. */
#include "fuzz.h"

#include "journal-file.h"

static void
read_record (const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (VfRecord) record = vf_record_from_text (text, &error);
  g_autoptr (VfRecord) second = NULL;
  g_autofree char *written = NULL;
  g_autofree char *again = NULL;

  if (record == NULL)
    {
      g_assert_nonnull (error);
      return;
    }
  g_assert_no_error (error);
  g_assert_nonnull (record->state.covers);
  g_assert_nonnull (record->state.tried);
  g_assert_nonnull (record->disks);
  /* What was understood can be written, and says the same. */
  written = vf_record_to_text (record);
  second = vf_record_from_text (written, &error);
  g_assert_no_error (error);
  again = vf_record_to_text (second);
  g_assert_cmpstr (written, ==, again);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autofree char *text = fuzz_text (data, size);
  g_autofree char *sum = g_compute_checksum_for_string (G_CHECKSUM_SHA256, text, -1);
  g_autofree char *whole = g_strconcat (text, "# sha256 ", sum, "\n", NULL);

  fuzz_init ();
  read_record (text);
  read_record (whole);
  return 0;
}
