/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "journal.h"

#include "fault.h"
#include "journal-file.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".freeze"
#define GROUP "group."
#define UUID_LENGTH 36

/* Numbers are taken from the file in blocks: one write for many freezes. */
#define BLOCK 64

struct _VfJournal {
  char *folder;
  int lock;
  guint64 next;
  guint64 block_end;
};

static char *
path_of (VfJournal *journal, const char *uuid, guint64 number)
{
  g_autofree char *name = g_strdup_printf ("%s.%" G_GUINT64_FORMAT SUFFIX, uuid, number);

  return g_build_filename (journal->folder, name, NULL);
}

/* Not 007: that would be written to, and removed, as 7. */
static gboolean
parse_number (const char *digits, guint64 *number)
{
  return *digits != '0'
         && g_ascii_string_to_unsigned (digits, 10, 1, G_MAXINT64, number, NULL);
}

/* Reads DOMAIN-UUID.NUMBER.freeze; number 0 where that part is nonsense. */
static gboolean
parse_name (const char *name, char **uuid, guint64 *number)
{
  g_autofree char *digits = NULL;

  if (!g_str_has_suffix (name, SUFFIX) || strlen (name) <= UUID_LENGTH + strlen (SUFFIX)
      || name[UUID_LENGTH] != '.')
    return FALSE;
  *uuid = g_strndup (name, UUID_LENGTH);
  if (!g_uuid_string_is_valid (*uuid))
    {
      g_clear_pointer (uuid, g_free);
      return FALSE;
    }
  digits = g_strndup (name + UUID_LENGTH + 1, strlen (name) - UUID_LENGTH - 1 - strlen (SUFFIX));
  if (!parse_number (digits, number))
    *number = 0;
  return TRUE;
}

/* Reads group.NUMBER. */
static gboolean
parse_group (const char *name, guint64 *group)
{
  return g_str_has_prefix (name, GROUP) && parse_number (name + strlen (GROUP), group);
}

/* Atomic by the rename; the folder is on tmpfs, so there is nothing to sync. What a crash leaves
 * unfinished is removed at the next start. */
static gboolean
write_file (const char *path, const char *text, GError **error)
{
  g_autofree char *unfinished = g_strconcat (path, ".new", NULL);
  int file = open (unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  gssize length = (gssize) strlen (text);
  gssize written = file >= 0 ? write (file, text, (gsize) length) : -1;
  int failed = written < 0 ? errno : written < length ? ENOSPC : 0;

  if (file >= 0)
    close (file);
  if (failed == 0 && rename (unfinished, path) < 0)
    failed = errno;
  if (failed == 0)
    return TRUE;
  g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (failed), "Cannot write %s: %s", path,
               g_strerror (failed));
  if (file >= 0)
    unlink (unfinished);
  return FALSE;
}

/* --- the counter -------------------------------------------------------------------------------- */

static guint64
read_counter (VfJournal *journal)
{
  g_autofree char *path = g_build_filename (journal->folder, "counter", NULL);
  g_autofree char *text = NULL;
  guint64 value;

  if (!g_file_get_contents (path, &text, NULL, NULL)
      || !g_ascii_string_to_unsigned (g_strchomp (text), 10, 1, G_MAXINT64, &value, NULL))
    return 1;
  return value;
}

static gboolean
take_block (VfJournal *journal)
{
  g_autofree char *path = g_build_filename (journal->folder, "counter", NULL);
  g_autofree char *text = g_strdup_printf ("%" G_GUINT64_FORMAT "\n", journal->next + BLOCK);
  g_autoptr (GError) error = NULL;

  if (!write_file (path, text, &error))
    {
      g_warning ("Cannot write the counter of freezes: %s", error->message);
      return FALSE;
    }
  journal->block_end = journal->next + BLOCK;
  return TRUE;
}

guint64
vf_journal_next_number (VfJournal *journal)
{
  if (journal->next >= journal->block_end && !take_block (journal))
    return 0;
  return journal->next++;
}

/* --- opening --------------------------------------------------------------------------------- */

VfJournal *
vf_journal_open (const char *folder, GError **error)
{
  g_autofree char *lock_path = g_build_filename (folder, "lock", NULL);
  VfJournal *journal;
  int lock;

  if (g_mkdir_with_parents (folder, 0700) < 0)
    {
      g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (errno), "Cannot make %s: %s",
                   folder, g_strerror (errno));
      return NULL;
    }
  lock = open (lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock < 0 || flock (lock, LOCK_EX | LOCK_NB) < 0)
    {
      int saved = errno;

      if (lock >= 0)
        close (lock);
      if (saved == EWOULDBLOCK)
        g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_AGAIN,
                     "Another instance of virtfreezed uses %s; stop it first", folder);
      else
        g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (saved), "Cannot lock %s: %s",
                     lock_path, g_strerror (saved));
      return NULL;
    }
  journal = g_new0 (VfJournal, 1);
  journal->folder = g_strdup (folder);
  journal->lock = lock;
  journal->next = read_counter (journal);
  return journal;
}

void
vf_journal_close (VfJournal *journal)
{
  close (journal->lock);
  g_free (journal->folder);
  g_free (journal);
}

/* --- records ----------------------------------------------------------------------------------- */

gboolean
vf_journal_write (VfJournal *journal, const VfRecord *record, GError **error)
{
  g_autofree char *path = path_of (journal, record->uuid, record->number);
  g_autofree char *text = vf_record_to_text (record);

  return write_file (path, text, error);
}

void
vf_journal_remove (VfJournal *journal, const char *uuid, guint64 number)
{
  g_autofree char *path = path_of (journal, uuid, number);

  if (g_unlink (path) < 0 && errno != ENOENT)
    g_warning ("Cannot remove %s: %s", path, g_strerror (errno));
}

/* Names of all that may be records. */
static GPtrArray *
list_names (VfJournal *journal)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GDir) dir = g_dir_open (journal->folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (!g_str_equal (name, "lock") && !g_str_equal (name, "counter")
        && !parse_group (name, NULL) && !g_str_has_suffix (name, ".damaged"))
      g_ptr_array_add (names, g_strdup (name));
  return names;
}

/* Numbers of the groups that are not complete. */
static GArray *
list_groups (VfJournal *journal)
{
  GArray *groups = g_array_new (FALSE, FALSE, sizeof (guint64));
  g_autoptr (GDir) dir = g_dir_open (journal->folder, 0, NULL);
  const char *name;
  guint64 group;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (parse_group (name, &group))
      g_array_append_val (groups, group);
  return groups;
}

/* Not through a link, and nothing that would block. */
static char *
read_file (const char *path, GError **error)
{
  g_autofree char *text = NULL;
  struct stat status;

  if (g_lstat (path, &status) < 0 || !S_ISREG (status.st_mode) || status.st_uid != geteuid ())
    {
      g_set_error_literal (error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                           "not a plain file of this service");
      return NULL;
    }
  return g_file_get_contents (path, &text, NULL, error) ? g_steal_pointer (&text) : NULL;
}

static void
set_aside (const char *path)
{
  g_autofree char *aside = g_strconcat (path, ".damaged", NULL);

  if (g_rename (path, aside) < 0)
    g_warning ("Cannot rename %s: %s", path, g_strerror (errno));
}

/* A domain with an unreadable record may be frozen: it gets a record that says so before the other
 * is set aside. */
static void
replace_damaged (VfJournal *journal, VfRecord *record, const char *path, const char *uri)
{
  g_autoptr (GError) error = NULL;

  record->number = vf_journal_next_number (journal);
  record->uri = g_strdup (uri);
  if (record->number != 0 && vf_journal_write (journal, record, &error))
    {
      VF_FAULT ("damaged-replaced");
      set_aside (path);
    }
  else
    g_warning ("Cannot write a record for domain %s: %s", record->uuid,
               error != NULL ? error->message : "no number");
}

/* --- groups ------------------------------------------------------------------------------------ */

static char *
group_path (VfJournal *journal, guint64 group)
{
  g_autofree char *name = g_strdup_printf (GROUP "%" G_GUINT64_FORMAT, group);

  return g_build_filename (journal->folder, name, NULL);
}

static gboolean
has_group (VfJournal *journal, guint64 group)
{
  g_autofree char *path = group_path (journal, group);

  return g_file_test (path, G_FILE_TEST_EXISTS);
}

gboolean
vf_journal_begin_group (VfJournal *journal, guint64 group, GError **error)
{
  g_autofree char *path = group_path (journal, group);
  int file = open (path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

  if (file < 0)
    {
      g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (errno), "Cannot make %s: %s", path,
                   g_strerror (errno));
      return FALSE;
    }
  close (file);
  return TRUE;
}

gboolean
vf_journal_end_group (VfJournal *journal, guint64 group, GError **error)
{
  g_autofree char *path = group_path (journal, group);

  if (g_unlink (path) == 0)
    return TRUE;
  g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (errno), "Cannot remove %s: %s", path,
               g_strerror (errno));
  return FALSE;
}

/* Whether some record says that a freeze of the group is held: no need to read all of it. */
static gboolean
is_held (VfJournal *journal, guint64 group)
{
  g_autoptr (GPtrArray) names = list_names (journal);
  g_autofree char *line = g_strdup_printf ("\nGroup=%" G_GUINT64_FORMAT "\n", group);

  for (guint i = 0; i < names->len; i++)
    {
      g_autofree char *path
          = g_build_filename (journal->folder, g_ptr_array_index (names, i), NULL);
      g_autofree char *text = read_file (path, NULL);

      if (text != NULL && strstr (text, "\nPhase=held\n") != NULL && strstr (text, line) != NULL)
        return TRUE;
    }
  return FALSE;
}

gboolean
vf_journal_give_up_group (VfJournal *journal, guint64 group)
{
  g_autoptr (GError) error = NULL;

  if (is_held (journal, group))
    return FALSE;
  if (!vf_journal_end_group (journal, group, &error))
    g_warning ("%s", error->message);
  return TRUE;
}

void
vf_journal_give_up_groups (VfJournal *journal)
{
  g_autoptr (GArray) groups = list_groups (journal);

  for (guint i = 0; i < groups->len; i++)
    vf_journal_give_up_group (journal, g_array_index (groups, guint64, i));
}

/* --- reading ----------------------------------------------------------------------------------- */

static gboolean
is_mapped (const VfLedgerState *state, const char *device)
{
  for (guint i = 0; state->map != NULL && i < state->map->len; i++)
    if (g_str_equal (((VfFilesystem *) g_ptr_array_index (state->map, i))->device, device))
      return TRUE;
  return FALSE;
}

/* A freeze that took place has frozen something. One that does not tell what could not be thawed. */
static gboolean
tells_what (const VfRecord *record)
{
  const VfLedgerState *state = &record->state;
  gboolean tried = FALSE;

  if (record->damaged || record->phase == VF_PHASE_FREEZING || record->phase == VF_PHASE_SAVED)
    return TRUE;
  if (state->whole) /* engine exec freezes what is in a map, and nothing else */
    return record->engine != VF_ENGINE_EXEC;
  for (char **device = state->covers; *device != NULL; device++)
    {
      if (!is_mapped (state, *device))
        return FALSE;
      tried |= g_strv_contains ((const char *const *) state->tried, *device);
    }
  return tried;
}

static VfRecord *
read_record (VfJournal *journal, const char *name, const char *uri)
{
  g_autofree char *path = g_build_filename (journal->folder, name, NULL);
  g_autofree char *uuid = NULL;
  g_autofree char *text = NULL;
  g_autofree char *problem = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (VfRecord) record = NULL;
  guint64 number = 0;

  if (!parse_name (name, &uuid, &number))
    {
      g_warning ("%s is not a record of a freeze; it is set aside", path);
      set_aside (path);
      return NULL;
    }
  text = read_file (path, &error);
  record = text != NULL ? vf_record_from_text (text, &error) : NULL;
  /* 0 is no number of a freeze: the ledger takes it for nobody's. */
  if (record != NULL
      && (number == 0 || record->number != number || !g_str_equal (record->uuid, uuid)))
    {
      g_clear_pointer (&record, vf_record_free);
      g_set_error_literal (&error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "it is about another freeze");
    }
  if (record != NULL && !tells_what (record))
    {
      g_clear_pointer (&record, vf_record_free);
      g_set_error_literal (&error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                           "it does not say what is frozen");
    }
  if (record != NULL)
    {
      record->half_done = record->group != 0 && has_group (journal, record->group);
      return g_steal_pointer (&record);
    }

  problem = vf_text_escape (error->message); /* it may cite the file */
  g_warning ("The record %s cannot be used: %s; it is set aside, and domain %s is thawed", path,
             problem, uuid);
  record = vf_record_new ();
  record->damaged = TRUE;
  record->phase = VF_PHASE_FREEZING;
  record->uuid = g_steal_pointer (&uuid);
  replace_damaged (journal, record, path, uri);
  return g_steal_pointer (&record);
}

static int
by_number (gconstpointer a, gconstpointer b)
{
  const VfRecord *left = *(VfRecord *const *) a, *right = *(VfRecord *const *) b;

  return (left->number > right->number) - (left->number < right->number);
}

GPtrArray *
vf_journal_read (VfJournal *journal, const char *uri)
{
  GPtrArray *records = g_ptr_array_new_with_free_func ((GDestroyNotify) vf_record_free);
  g_autoptr (GPtrArray) names = list_names (journal);
  g_autoptr (GArray) groups = list_groups (journal);
  guint64 uuid_number = 0;

  /* No number of an existing file may be given out, even where the counter is lost. */
  for (guint i = 0; i < names->len; i++)
    {
      g_autofree char *uuid = NULL;

      if (parse_name (g_ptr_array_index (names, i), &uuid, &uuid_number))
        journal->next = MAX (journal->next, uuid_number + 1);
    }
  for (guint i = 0; i < groups->len; i++)
    journal->next = MAX (journal->next, g_array_index (groups, guint64, i) + 1);
  for (guint i = 0; i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);
      VfRecord *record;

      /* What a crash left of an unfinished write. */
      if (strstr (name, SUFFIX ".") != NULL || g_str_has_prefix (name, "counter."))
        {
          g_autofree char *path = g_build_filename (journal->folder, name, NULL);
          g_unlink (path);
          continue;
        }
      record = read_record (journal, name, uri);
      if (record != NULL)
        g_ptr_array_add (records, record);
    }
  g_ptr_array_sort (records, by_number);
  return records;
}

gboolean
vf_journal_is_empty (VfJournal *journal)
{
  g_autoptr (GPtrArray) names = list_names (journal);

  return names->len == 0;
}
