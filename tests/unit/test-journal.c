/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The journal's files: what goes in comes out, and nothing else is believed. */
#include "error.h"
#include "journal-file.h"
#include "test-service.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define URI "fake:///system"
#define UUID "6695eb01-f6a4-8304-79aa-97f2502e193f"
#define OTHER_UUID "00000000-0000-4000-8000-000000000001"

/* What guests may call their mountpoints. */
static const char *const odd[] = { "",
                                   " ",
                                   "  leading",
                                   "trailing  ",
                                   "\t",
                                   "a\nb",
                                   "\r\n",
                                   ";",
                                   "a;b;",
                                   "\\",
                                   "\\;",
                                   "\\s\\n",
                                   "%",
                                   "%41",
                                   "%00",
                                   "\xff\xfe",
                                   "caf\xe9",
                                   "\xc3\xa9t\xc3\xa9",
                                   "#",
                                   "[Freeze]",
                                   "a=b",
                                   "\x01\x7f",
                                   "# sha256 0",
                                   "# sha256 \n",
                                   "/mnt/ # sha256 x",
                                   "日本語",
                                   "\"quoted\"",
                                   "C:\\",
                                   "\\\\?\\Volume{1}\\",
                                   ":1.1",
                                   NULL };

static VfRecord *
make_record (void)
{
  VfRecord *record = vf_record_new ();
  VfLedgerState *state = &record->state;

  record->phase = VF_PHASE_HELD;
  record->number = 7;
  record->uri = g_strdup (URI);
  record->uuid = g_strdup (UUID);
  record->name = g_strdup ("a guest; with\na name");
  record->run = 3;
  record->bus_id = g_strdup ("0123456789abcdef");
  record->owner = g_strdup (":1.42");
  record->uid = 4294967294u;
  record->lease = TRUE;
  record->reason = g_strdup (" nightly backup; € ");
  record->disks = g_strsplit ("vda vdb", " ", -1);
  record->scope = VF_SCOPE_DISKS;
  record->engine = VF_ENGINE_AGENT;
  record->created = 1700000000000000;
  record->deadline = 123456789;
  record->since = 120000000;
  record->since_real = 1699999990000000;
  record->frozen = 2;
  record->skipped = 1;
  state->whole = FALSE;
  state->covers = g_strsplit ("vda1 vdb1 vda2", " ", -1);
  state->tried = g_strsplit ("vda1 vda2", " ", -1);
  state->frozen = g_strsplit ("vda1", " ", -1);
  state->targets = g_strsplit ("vda vdb vdc", " ", -1);
  state->reported = 2;
  state->map = vf_map_new ();
  for (guint i = 0; state->covers[i] != NULL; i++)
    g_assert_true (vf_map_add (state->map, state->covers[i], "/", "ext4", NULL));
  for (guint i = 0; odd[i] != NULL; i++)
    {
      static const char *const targets[] = { "vda", "vd;b", NULL };
      g_autofree char *device = g_strdup_printf ("device %u", i % 5);

      g_assert_true (vf_map_add (state->map, device, odd[i], i % 5 == 0 ? "" : "ext4",
                                 i % 5 == 1 ? NULL : targets));
    }
  for (guint i = 0; odd[i] != NULL; i++)
    g_assert_true (vf_map_add (state->map, odd[i], "/", odd[i], odd + i));
  return record;
}

static void
assert_strv (char **left, char **right)
{
  g_assert_cmpuint (g_strv_length (left), ==, g_strv_length (right));
  for (guint i = 0; left[i] != NULL; i++)
    g_assert_cmpstr (left[i], ==, right[i]);
}

static void
assert_arrays (GPtrArray *left, GPtrArray *right)
{
  g_assert_cmpuint (left->len, ==, right->len);
  for (guint i = 0; i < left->len; i++)
    g_assert_cmpstr (g_ptr_array_index (left, i), ==, g_ptr_array_index (right, i));
}

static void
assert_maps (GPtrArray *left, GPtrArray *right)
{
  g_assert_cmpint (left != NULL, ==, right != NULL);
  for (guint i = 0; left != NULL && i < MAX (left->len, right->len); i++)
    {
      const VfFilesystem *a = g_ptr_array_index (left, i), *b = g_ptr_array_index (right, i);

      g_assert_cmpstr (a->device, ==, b->device);
      g_assert_cmpstr (a->type, ==, b->type);
      assert_arrays (a->mountpoints, b->mountpoints);
      assert_arrays (a->targets, b->targets);
    }
}

static void
assert_records (const VfRecord *a, const VfRecord *b)
{
  g_assert_cmpint (a->phase, ==, b->phase);
  g_assert_cmpint (a->damaged, ==, b->damaged);
  g_assert_cmpuint (a->number, ==, b->number);
  g_assert_cmpstr (a->uri, ==, b->uri);
  g_assert_cmpstr (a->uuid, ==, b->uuid);
  g_assert_cmpstr (a->name, ==, b->name);
  g_assert_cmpint (a->run, ==, b->run);
  g_assert_cmpstr (a->bus_id, ==, b->bus_id);
  g_assert_cmpstr (a->owner, ==, b->owner);
  g_assert_cmpuint (a->uid, ==, b->uid);
  g_assert_cmpint (a->lease, ==, b->lease);
  g_assert_cmpstr (a->reason, ==, b->reason);
  assert_strv (a->disks, b->disks);
  g_assert_cmpint (a->scope, ==, b->scope);
  g_assert_cmpint (a->engine, ==, b->engine);
  g_assert_cmpint (a->created, ==, b->created);
  g_assert_cmpint (a->deadline, ==, b->deadline);
  g_assert_cmpint (a->since, ==, b->since);
  g_assert_cmpint (a->since_real, ==, b->since_real);
  g_assert_cmpuint (a->frozen, ==, b->frozen);
  g_assert_cmpuint (a->skipped, ==, b->skipped);
  g_assert_cmpint (a->state.whole, ==, b->state.whole);
  assert_strv (a->state.covers, b->state.covers);
  assert_strv (a->state.tried, b->state.tried);
  assert_strv (a->state.frozen, b->state.frozen);
  assert_strv (a->state.targets, b->state.targets);
  g_assert_cmpuint (a->state.reported, ==, b->state.reported);
  assert_maps (a->state.map, b->state.map);
}

/* --- the text of a record --------------------------------------------------------------------- */

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

/* A record with other words, and a checksum that fits. */
static char *
replace (const VfRecord *record, const char *old, const char *new)
{
  g_autofree char *text = vf_record_to_text (record);
  g_autoptr (GString) changed = g_string_new (NULL);
  g_autofree char *checksum = NULL;

  g_string_append_len (changed, text, strstr (text, "# sha256 ") - text);
  g_assert_cmpuint (g_string_replace (changed, old, new, 1), ==, 1);
  checksum = g_compute_checksum_for_string (G_CHECKSUM_SHA256, changed->str, -1);
  return g_strconcat (changed->str, "# sha256 ", checksum, "\n", NULL);
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

/* --- the folder ------------------------------------------------------------------------------- */

typedef struct {
  char *folder;
  VfJournal *journal;
} Fixture;

static void
reopen (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  g_clear_pointer (&fixture->journal, vf_journal_close);
  fixture->journal = vf_journal_open (fixture->folder, &error);
  g_assert_no_error (error);
}

static void
set_up (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (GError) error = NULL;

  fixture->folder = g_dir_make_tmp ("virtfreeze-XXXXXX", &error);
  g_assert_no_error (error);
  reopen (fixture);
}

static void
tear_down (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (GDir) dir = g_dir_open (fixture->folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (fixture->folder, name, NULL);
      g_assert_cmpint (g_remove (path), ==, 0);
    }
  g_rmdir (fixture->folder);
  g_clear_pointer (&fixture->journal, vf_journal_close);
  g_free (fixture->folder);
}

static char *
path_of (Fixture *fixture, const char *name)
{
  return g_build_filename (fixture->folder, name, NULL);
}

static gboolean
exists (Fixture *fixture, const char *name)
{
  g_autofree char *path = path_of (fixture, name);
  GStatBuf status;

  return g_lstat (path, &status) == 0;
}

static void
put (Fixture *fixture, const char *name, const char *text)
{
  g_autofree char *path = path_of (fixture, name);

  g_assert_true (g_file_set_contents (path, text, -1, NULL));
}

static void
write_record (Fixture *fixture, guint64 number)
{
  g_autoptr (VfRecord) record = make_record ();
  g_autoptr (GError) error = NULL;

  record->number = number;
  g_assert_true (vf_journal_write (fixture->journal, record, &error));
  g_assert_no_error (error);
}

static void
test_write_and_read (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (VfRecord) expected = make_record ();
  g_autoptr (GPtrArray) records = NULL;

  g_assert_true (vf_journal_is_empty (fixture->journal));
  write_record (fixture, 10);
  write_record (fixture, 9);
  write_record (fixture, 100);
  write_record (fixture, 9);
  g_assert_false (vf_journal_is_empty (fixture->journal));
  reopen (fixture);
  records = vf_journal_read (fixture->journal, URI);
  g_assert_cmpuint (records->len, ==, 3);
  for (guint i = 0; i < 3; i++)
    {
      static const guint64 numbers[] = { 9, 10, 100 };

      expected->number = numbers[i];
      assert_records (expected, g_ptr_array_index (records, i));
      vf_journal_remove (fixture->journal, UUID, numbers[i]);
    }
  g_assert_true (vf_journal_is_empty (fixture->journal));
  vf_journal_remove (fixture->journal, UUID, 9); /* nothing to remove: nothing happens */
}

static void
test_modes (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autofree char *made = path_of (fixture, "a/b");
  g_autofree char *record = path_of (fixture, UUID ".5.freeze");
  g_autoptr (GError) error = NULL;
  VfJournal *journal = vf_journal_open (made, &error);
  GStatBuf status;

  g_assert_no_error (error);
  vf_journal_close (journal);
  g_assert_cmpint (g_stat (made, &status), ==, 0);
  g_assert_cmpint (status.st_mode & 0777, ==, 0700);
  write_record (fixture, 5);
  g_assert_cmpint (g_stat (record, &status), ==, 0);
  g_assert_cmpint (status.st_mode & 0777, ==, 0600);
  for (guint i = 0; i < 3; i++)
    {
      static const char *const parts[] = { "a/b/lock", "a/b", NULL };
      g_autofree char *path = parts[i] != NULL ? path_of (fixture, parts[i]) : NULL;
      if (path != NULL)
        g_remove (path);
    }
}

/* What is in the file of freeze 7 of the domain, and whether the domain is in doubt for it. */
static void
check_set_aside (Fixture *fixture, const char *name, gboolean in_doubt)
{
  g_autofree char *aside = g_strconcat (name, ".damaged", NULL);
  g_autoptr (GPtrArray) records = vf_journal_read (fixture->journal, URI);
  g_autoptr (GPtrArray) again = NULL;

  g_assert_false (exists (fixture, name));
  g_assert_true (exists (fixture, aside));
  g_assert_cmpuint (records->len, ==, in_doubt ? 1 : 0);
  if (in_doubt)
    {
      const VfRecord *record = g_ptr_array_index (records, 0);

      g_assert_true (record->damaged);
      g_assert_cmpint (record->phase, ==, VF_PHASE_FREEZING);
      g_assert_cmpstr (record->uuid, ==, UUID);
      g_assert_cmpstr (record->uri, ==, URI);
      g_assert_cmpuint (record->number, >, 7);
    }
  g_assert_cmpint (vf_journal_is_empty (fixture->journal), ==, !in_doubt);
  /* A crash before the thaw: it is known the next time, too. */
  reopen (fixture);
  again = vf_journal_read (fixture->journal, URI);
  g_assert_cmpuint (again->len, ==, records->len);
  if (in_doubt)
    assert_strv (((VfRecord *) g_ptr_array_index (again, 0))->state.covers, (char *[]){ NULL });
}

static void
test_damaged (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (VfRecord) record = make_record ();
  g_autofree char *text = vf_record_to_text (record);

  text[strlen (text) / 2] ^= 1;
  put (fixture, UUID ".7.freeze", text);
  check_set_aside (fixture, UUID ".7.freeze", TRUE);
}

static void
test_empty (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  put (fixture, UUID ".7.freeze", "");
  check_set_aside (fixture, UUID ".7.freeze", TRUE);
}

static void
test_future (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (VfRecord) record = make_record ();
  g_autofree char *text = replace (record, "Format=1\n", "Format=99\n");

  put (fixture, UUID ".7.freeze", text);
  check_set_aside (fixture, UUID ".7.freeze", TRUE);
}

static void
test_of_another_freeze (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (VfRecord) record = make_record ();
  g_autofree char *text = NULL;

  record->number = 8;
  text = vf_record_to_text (record);
  put (fixture, UUID ".7.freeze", text);
  check_set_aside (fixture, UUID ".7.freeze", TRUE);
}

static void
test_of_another_domain (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (VfRecord) record = make_record ();
  g_autofree char *text = NULL;

  g_free (record->uuid);
  record->uuid = g_strdup (OTHER_UUID);
  text = vf_record_to_text (record);
  put (fixture, UUID ".7.freeze", text);
  check_set_aside (fixture, UUID ".7.freeze", TRUE);
}

static void
test_name_without_a_number (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  put (fixture, UUID ".seven.freeze", "");
  g_test_message ("%s", fixture->folder);
  {
    g_autoptr (GPtrArray) records = vf_journal_read (fixture->journal, URI);

    g_assert_cmpuint (records->len, ==, 1);
    g_assert_true (((VfRecord *) g_ptr_array_index (records, 0))->damaged);
  }
  g_assert_true (exists (fixture, UUID ".seven.freeze.damaged"));
}

static void
test_foreign_names (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  static const char *const names[]
      = { "README", ".freeze", "x.1.freeze", UUID ".freeze", UUID "-1.freeze", "core" };

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      put (fixture, names[i], "not ours");
      check_set_aside (fixture, names[i], FALSE);
    }
}

static void
test_symbolic_link (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autofree char *path = path_of (fixture, UUID ".7.freeze");
  g_autofree char *target = path_of (fixture, "target.damaged");
  g_autoptr (VfRecord) record = make_record ();
  g_autofree char *text = vf_record_to_text (record);

  /* What it points to would be a good record. */
  put (fixture, "target.damaged", text);
  g_assert_cmpint (symlink (target, path), ==, 0);
  check_set_aside (fixture, UUID ".7.freeze", TRUE);
}

static void
test_pipe (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autofree char *path = path_of (fixture, UUID ".7.freeze");

  g_assert_cmpint (mkfifo (path, 0600), ==, 0);
  check_set_aside (fixture, UUID ".7.freeze", TRUE); /* and does not block */
}

static void
test_directory (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autofree char *path = path_of (fixture, UUID ".7.freeze");

  g_assert_cmpint (g_mkdir (path, 0700), ==, 0);
  check_set_aside (fixture, UUID ".7.freeze", TRUE);
}

static void
test_of_another_user (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autofree char *path = path_of (fixture, UUID ".7.freeze");

  if (geteuid () != 0)
    {
      g_test_skip ("only root can give files away");
      return;
    }
  write_record (fixture, 7);
  g_assert_cmpint (chown (path, 12345, (gid_t) -1), ==, 0);
  check_set_aside (fixture, UUID ".7.freeze", TRUE);
}

static void
test_unfinished_writes (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (GPtrArray) records = NULL;

  write_record (fixture, 7);
  put (fixture, UUID ".7.freeze.X7Y8Z9", "half of a rec");
  put (fixture, "counter.ABCDEF", "1");
  records = vf_journal_read (fixture->journal, URI);
  g_assert_cmpuint (records->len, ==, 1);
  g_assert_false (exists (fixture, UUID ".7.freeze.X7Y8Z9"));
  g_assert_false (exists (fixture, "counter.ABCDEF"));
  g_assert_true (exists (fixture, UUID ".7.freeze"));
}

/* --- the counter ------------------------------------------------------------------------------ */

static void
test_counter_goes_on (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  guint64 last = 0;

  for (guint i = 0; i < 300; i++)
    {
      guint64 number = vf_journal_next_number (fixture->journal);

      g_assert_cmpuint (number, >, last);
      last = number;
      if (i % 23 == 0)
        reopen (fixture);
    }
}

static void
test_counter_damaged (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  static const char *const texts[]
      = { "", "x", "-1", "0", "1", "99999999999999999999", "9223372036854775807\n", "5 5" };

  write_record (fixture, 1000);
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GPtrArray) records = NULL;

      put (fixture, "counter", texts[i]);
      reopen (fixture);
      records = vf_journal_read (fixture->journal, URI);
      if (i != 6) /* no room for a block behind the last number */
        g_assert_cmpuint (vf_journal_next_number (fixture->journal), >, 1000);
    }
}

static void
test_counter_missing (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (GPtrArray) records = NULL;

  put (fixture, UUID ".77.freeze", "damaged");
  records = vf_journal_read (fixture->journal, URI);
  g_assert_cmpuint (vf_journal_next_number (fixture->journal), >, 77);
}

static void
test_counter_not_writable (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autofree char *path = path_of (fixture, "counter");
  g_autofree char *inside = path_of (fixture, "counter/x");

  g_assert_cmpint (g_mkdir (path, 0700), ==, 0);
  g_assert_cmpint (g_mkdir (inside, 0700), ==, 0); /* a rename does not replace that */
  g_assert_cmpuint (vf_journal_next_number (fixture->journal), ==, 0);
  g_assert_cmpint (g_rmdir (inside), ==, 0);
  g_assert_cmpint (g_rmdir (path), ==, 0);
  g_assert_cmpuint (vf_journal_next_number (fixture->journal), ==, 1);
}

/* --- opening ---------------------------------------------------------------------------------- */

static void
test_lock (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (vf_journal_open (fixture->folder, &error));
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_AGAIN);
  reopen (fixture); /* after the first one has gone */
}

static void
test_lock_is_a_link (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autofree char *path = path_of (fixture, "lock");
  g_autoptr (GError) error = NULL;

  g_clear_pointer (&fixture->journal, vf_journal_close);
  g_assert_cmpint (g_unlink (path), ==, 0);
  g_assert_cmpint (symlink ("/dev/null", path), ==, 0);
  fixture->journal = vf_journal_open (fixture->folder, &error);
  g_assert_null (fixture->journal);
  g_assert_nonnull (error);
}

static void
test_not_a_folder (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autofree char *path = path_of (fixture, "lock");
  g_autoptr (GError) error = NULL;

  g_assert_null (vf_journal_open (path, &error));
  g_assert_nonnull (error);
  g_clear_error (&error);
  g_assert_null (vf_journal_open ("/proc/none", &error));
  g_assert_nonnull (error);
}

static void
test_folder_goes (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autofree char *lock = path_of (fixture, "lock");
  g_autoptr (VfRecord) record = make_record ();
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (g_unlink (lock), ==, 0);
  g_assert_cmpint (g_rmdir (fixture->folder), ==, 0);
  g_assert_false (vf_journal_write (fixture->journal, record, &error));
  g_assert_nonnull (error);
  g_assert_cmpuint (vf_journal_next_number (fixture->journal), ==, 0);
  vf_journal_remove (fixture->journal, UUID, 7);
}

/* --- groups ----------------------------------------------------------------------------------- */

/* Writes record 7 as a member of group 30, and reads it. */
static gboolean
is_half_done (Fixture *fixture, VfPhase phase)
{
  g_autoptr (VfRecord) record = make_record ();
  g_autoptr (GPtrArray) records = NULL;
  const VfRecord *read;

  record->group = 30;
  record->phase = phase;
  g_assert_true (vf_journal_write (fixture->journal, record, NULL));
  records = vf_journal_read (fixture->journal, URI);
  g_assert_cmpuint (records->len, ==, 1);
  read = g_ptr_array_index (records, 0);
  g_assert_cmpuint (read->group, ==, 30);
  g_assert_cmpint (read->phase, ==, phase);
  return read->half_done;
}

static void
test_group (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (is_half_done (fixture, VF_PHASE_HELD));
  g_assert_true (vf_journal_begin_group (fixture->journal, 30, NULL));
  g_assert_true (is_half_done (fixture, VF_PHASE_HELD));
  reopen (fixture);
  g_assert_true (is_half_done (fixture, VF_PHASE_HELD));
  g_assert_true (vf_journal_end_group (fixture->journal, 30, NULL));
  g_assert_false (is_half_done (fixture, VF_PHASE_HELD));
  g_assert_false (vf_journal_end_group (fixture->journal, 30, &error));
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
}

/* As long as a record says that one of it is held, it cannot be given up. */
static void
test_group_given_up (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_assert_true (vf_journal_begin_group (fixture->journal, 30, NULL));
  g_assert_true (is_half_done (fixture, VF_PHASE_HELD));
  g_assert_false (vf_journal_give_up_group (fixture->journal, 30));
  vf_journal_give_up_groups (fixture->journal);
  g_assert_true (is_half_done (fixture, VF_PHASE_HELD));
  g_assert_true (vf_journal_begin_group (fixture->journal, 3, NULL)); /* that of nobody */
  g_assert_true (vf_journal_give_up_group (fixture->journal, 3));
  g_assert_true (is_half_done (fixture, VF_PHASE_ENDED));
  vf_journal_give_up_groups (fixture->journal);
  g_assert_false (is_half_done (fixture, VF_PHASE_HELD));
}

static void
test_group_is_no_record (Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
  g_autoptr (GPtrArray) records = NULL;

  g_assert_true (vf_journal_begin_group (fixture->journal, 30, NULL));
  g_assert_true (vf_journal_is_empty (fixture->journal));
  reopen (fixture);
  records = vf_journal_read (fixture->journal, URI);
  g_assert_cmpuint (records->len, ==, 0);
  /* Its number is not given out again. */
  g_assert_cmpuint (vf_journal_next_number (fixture->journal), ==, 31);
  g_assert_true (vf_journal_give_up_group (fixture->journal, 30));
}

/* --- all of it -------------------------------------------------------------------------------- */

/* A damaged record of a frozen guest: it is thawed, and the service goes on. */
static void
test_recovery_of_a_damaged_record (gconstpointer data)
{
  gboolean adopt = GPOINTER_TO_INT (data);
  FakeHost *host = fake_host_new (FAKE_AGENT);
  FakeGuest *guest = fake_guest_new (host, "G", "vda", "A|/a|ext4|vda");
  Service *service = service_new (host, NULL, NULL, NULL);
  g_autofree char *name = g_strdup_printf ("%s.3.freeze", guest->uuid);
  g_autofree char *path = g_build_filename (service->folder, name, NULL);

  g_assert_true (g_file_set_contents (path, "[Freeze]\nFormat=1\n", -1, NULL));
  fake_guest_freeze (guest);
  guest->foreign = FALSE;
  service_start (service, "bus", adopt);
  g_assert_cmpint (vf_lane_guest_state (service_domain (service, guest)->lane), ==,
                   VF_GUEST_IN_DOUBT);
  fake_hypervisor_connect (service->hypervisor);
  service_settle (service);
  g_assert_false (fake_guest_is_frozen (guest));
  service_end (service);
  fake_host_free (host);
}

#define ADD(name, func) g_test_add ("/journal/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  service_test_init (&argc, &argv);
  g_test_add_func ("/journal/text/round-trip", test_round_trip);
  g_test_add_func ("/journal/text/round-trip-of-all-words", test_round_trip_words);
  g_test_add_func ("/journal/text/round-trip-without-a-map", test_round_trip_without_a_map);
  g_test_add_func ("/journal/text/cut-short-anywhere", test_cut_short);
  g_test_add_func ("/journal/text/one-byte-changed-anywhere", test_one_byte_changed);
  g_test_add_func ("/journal/text/something-added", test_something_added);
  g_test_add_func ("/journal/text/other-formats-and-words", test_other_formats);
  ADD ("files/write-and-read", test_write_and_read);
  ADD ("files/modes", test_modes);
  ADD ("files/damaged", test_damaged);
  ADD ("files/empty", test_empty);
  ADD ("files/future", test_future);
  ADD ("files/of-another-freeze", test_of_another_freeze);
  ADD ("files/of-another-domain", test_of_another_domain);
  ADD ("files/name-without-a-number", test_name_without_a_number);
  ADD ("files/foreign-names", test_foreign_names);
  ADD ("files/symbolic-link", test_symbolic_link);
  ADD ("files/pipe", test_pipe);
  ADD ("files/directory", test_directory);
  ADD ("files/of-another-user", test_of_another_user);
  ADD ("files/unfinished-writes", test_unfinished_writes);
  ADD ("counter/goes-on", test_counter_goes_on);
  ADD ("counter/damaged", test_counter_damaged);
  ADD ("counter/missing", test_counter_missing);
  ADD ("counter/not-writable", test_counter_not_writable);
  ADD ("open/lock", test_lock);
  ADD ("open/lock-is-a-link", test_lock_is_a_link);
  ADD ("open/not-a-folder", test_not_a_folder);
  ADD ("open/folder-goes", test_folder_goes);
  ADD ("group/half-done", test_group);
  ADD ("group/given-up", test_group_given_up);
  ADD ("group/no-record", test_group_is_no_record);
  g_test_add_data_func ("/journal/recovery/damaged-record", GINT_TO_POINTER (TRUE),
                        test_recovery_of_a_damaged_record);
  g_test_add_data_func ("/journal/recovery/damaged-record-and-release-all", GINT_TO_POINTER (FALSE),
                        test_recovery_of_a_damaged_record);
  return g_test_run ();
}
