/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The text of a record: what goes in comes out, and nothing else is believed. */
#include "error.h"
#include "journal-record.h"

#include <string.h>

static void
check_round_trip (const VfRecord *record)
{
  g_autofree char *text = vf_record_to_text (record);
  g_autoptr (GError) error = NULL;
  g_autoptr (VfRecord) back = vf_record_from_text (text, &error);

  g_assert_no_error (error);
  g_assert_true (g_utf8_validate (text, -1, NULL));
  assert_records (record, back);
}

static void
test_round_trip (void)
{
  g_autoptr (VfRecord) record = make_record ();

  check_round_trip (record);
}

static void
test_round_trip_words (void)
{
  g_autoptr (VfRecord) record = make_record ();

  for (int phase = VF_PHASE_FREEZING; phase <= VF_PHASE_SAVED; phase++)
    for (int engine = VF_ENGINE_AGENT; engine <= VF_ENGINE_TEST; engine++)
      for (int scope = VF_SCOPE_AUTO; scope <= VF_SCOPE_DOMAIN; scope++)
        {
          record->phase = (VfPhase) phase;
          record->engine = (VfEngine) engine;
          record->scope = (VfScope) scope;
          record->lease = !record->lease;
          record->state.whole = !record->state.whole;
          check_round_trip (record);
        }
}

static void
test_round_trip_without_a_map (void)
{
  g_autoptr (VfRecord) record = make_record ();

  g_clear_pointer (&record->state.map, g_ptr_array_unref);
  g_clear_pointer (&record->state.covers, g_strfreev);
  record->state.covers = g_new0 (char *, 1);
  record->state.whole = TRUE;
  record->run = -1;
  record->number = G_MAXINT64;
  record->deadline = G_MAXINT64 / 2;
  check_round_trip (record);
}

static void
test_cut_short (void)
{
  g_autoptr (VfRecord) record = make_record ();
  g_autofree char *text = vf_record_to_text (record);

  for (gsize length = 0; length < strlen (text); length++)
    {
      g_autofree char *cut = g_strndup (text, length);
      g_assert_null (vf_record_from_text (cut, NULL));
    }
}

static void
test_one_byte_changed (void)
{
  static const char changes[] = { 1, 2, 16, 32, 64, (char) 128 };
  g_autoptr (VfRecord) record = make_record ();
  g_autofree char *text = vf_record_to_text (record);
  gsize length = strlen (text);

  for (gsize i = 0; i < length; i++)
    for (gsize c = 0; c < sizeof changes; c++)
      {
        text[i] ^= changes[c];
        g_assert_null (vf_record_from_text (text, NULL));
        text[i] ^= changes[c];
      }
}

static void
test_something_added (void)
{
  g_autoptr (VfRecord) record = make_record ();
  g_autofree char *text = vf_record_to_text (record);
  g_autofree char *before = g_strconcat ("#\n", text, NULL);
  g_autofree char *after = g_strconcat (text, "#\n", NULL);
  g_autofree char *twice = g_strconcat (text, text, NULL);

  g_assert_null (vf_record_from_text (before, NULL));
  g_assert_null (vf_record_from_text (after, NULL));
  g_assert_null (vf_record_from_text (twice, NULL));
}

static void
test_other_formats (void)
{
  static const struct {
    const char *old, *new;
    gboolean read;
  } cases[] = {
    { "Format=1\n", "Format=1\n", TRUE },
    { "Format=1\n", "Format=2\n", FALSE },
    { "Format=1\n", "", FALSE },
    { "Format=1\n", "Format=one\n", FALSE },
    { "Phase=held\n", "Phase=melting\n", FALSE },
    { "Phase=held\n", "", FALSE },
    { "Number=7\n", "", FALSE },
    { "Lifetime=lease\n", "Lifetime=\n", FALSE },
    { "Scope=disks\n", "Scope=all\n", FALSE },
    { "Engine=agent\n", "Engine=steam\n", FALSE },
    { "Covers=", "Uncovers=", FALSE },
    { "Filesystems=", "Files=", FALSE },
    { "[Filesystem 3]", "[Filesystem 333]", FALSE },
    { "[Freeze]", "[Frieze]", FALSE },
    { "Uri=", "NewKeyOfALaterVersion=1\nUri=", TRUE },
    /* Nothing is cut to the width of its field. */
    { "OwnerUID=4294967294\n", "OwnerUID=4294967296\n", FALSE },
    { "OwnerUID=4294967294\n", "OwnerUID=-1\n", FALSE },
    { "Run=3\n", "Run=4294967299\n", FALSE },
    { "Number=7\n", "Number=-7\n", FALSE },
    { "DeadlineBootTime=123456789\n", "DeadlineBootTime=9223372036854775807\n", FALSE },
    { "SinceBootTime=120000000\n", "SinceBootTime=-1\n", FALSE },
    /* We write neither a backslash nor a percent sign that stands for nothing. */
    { "Lifetime=lease\n", "Lifetime=\\e\\\n", FALSE },
    { "Bus=", "Bus=\\s", FALSE },
    { "Bus=", "Bus=%zz", FALSE },
    { "Owner=", "Owner=%FF", FALSE },
    { "Reason=", "Reason=%FF", FALSE },
    { "Type=", "Type=%FF", TRUE },
    { "Covers=", "Covers=\\e\\;", FALSE },
    { "Covers=", "Covers=%0;", FALSE },
  };
  g_autoptr (VfRecord) record = make_record ();

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *text = replace (record, cases[i].old, cases[i].new);
      g_autoptr (GError) error = NULL;
      g_autoptr (VfRecord) back = vf_record_from_text (text, &error);

      g_assert_cmpint (back != NULL, ==, cases[i].read);
      g_assert_cmpint (error == NULL, ==, cases[i].read);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/journal-text/round-trip", test_round_trip);
  g_test_add_func ("/journal-text/round-trip-of-all-words", test_round_trip_words);
  g_test_add_func ("/journal-text/round-trip-without-a-map", test_round_trip_without_a_map);
  g_test_add_func ("/journal-text/cut-short-anywhere", test_cut_short);
  g_test_add_func ("/journal-text/one-byte-changed-anywhere", test_one_byte_changed);
  g_test_add_func ("/journal-text/something-added", test_something_added);
  g_test_add_func ("/journal-text/other-formats-and-words", test_other_formats);
  return g_test_run ();
}
