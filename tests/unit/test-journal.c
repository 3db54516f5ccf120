/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The folder of the journal: what goes in comes out, and nothing else is believed. */
#include "error.h"
#include "journal-record.h"
#include "test-service.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
  static const char *const names[] = { "README",          ".freeze", "x.1.freeze",  UUID ".freeze",
                                       UUID "-1.freeze",  "core",    "group.7.bak", "group.007",
                                       "group.00000freeze" };

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
      if (g_strcmp0 (g_getenv ("CI"), "true") == 0)
        g_test_fail_printf ("only root can give files away");
      else
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

/* Two records that say so of one guest, as after a copy of the folder: one thaw does for both. */
static void
test_recovery_of_two_saved (void)
{
  FakeHost *host = fake_host_new (FAKE_AGENT);
  FakeGuest *guest = fake_guest_new (host, "G", "vda", "A|/a|ext4|vda");
  Service *service = service_new (host, NULL, NULL, NULL);
  g_autoptr (VfRecord) record = make_record ();
  VfJournal *journal = vf_journal_open (service->folder, NULL);

  record->phase = VF_PHASE_SAVED;
  g_free (record->uri);
  record->uri = g_strdup ("fake:///system");
  g_free (record->uuid);
  record->uuid = g_strdup (guest->uuid);
  for (record->number = 7; record->number <= 8; record->number++)
    g_assert_true (vf_journal_write (journal, record, NULL));
  vf_journal_close (journal);
  fake_guest_freeze (guest);
  guest->foreign = FALSE;
  service_start (service, "bus", TRUE);
  fake_hypervisor_connect (service->hypervisor);
  service_settle (service);
  g_assert_false (fake_guest_is_frozen (guest));
  service_end (service); /* checks that no record is left */
  fake_host_free (host);
}

#define ADD(name, func) g_test_add ("/journal/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  service_test_init (&argc, &argv);
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
  g_test_add_func ("/journal/recovery/two-saved", test_recovery_of_two_saved);
  return g_test_run ();
}
