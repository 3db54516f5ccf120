/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "journal-file.h"

#include <string.h>

/* Format 1. A later version that writes something else reads this one, too. */
#define FORMAT 1
#define GROUP "Freeze"
#define CHECKSUM "# sha256 "

/* µs; times are added to. */
#define LATEST (G_MAXINT64 / 2)

static const char *const phases[] = { "freezing", "held", "ended", "saved" };

VfRecord *
vf_record_new (void)
{
  VfRecord *record = g_new0 (VfRecord, 1);

  record->run = -1;
  return record;
}

void
vf_record_free (VfRecord *record)
{
  g_free (record->uri);
  g_free (record->uuid);
  g_free (record->name);
  g_free (record->bus_id);
  g_free (record->owner);
  g_free (record->reason);
  g_strfreev (record->disks);
  vf_ledger_state_clear (&record->state);
  g_free (record);
}

/* --- writing ------------------------------------------------------------------------------------ */

/* A guest's text may be any bytes; a key file is UTF-8, drops spaces in front, takes backslashes for
 * escapes, and ends items of lists with “;”. */
static void
add_encoded (GString *file, const char *text)
{
  if (text != NULL)
    g_string_append_uri_escaped (file, text, *text == ' ' ? "/:,@+()[]{}" : " /:,@+()[]{}", TRUE);
}

static void
set_text (GString *file, const char *key, const char *text)
{
  g_string_append (file, key);
  g_string_append_c (file, '=');
  add_encoded (file, text);
  g_string_append_c (file, '\n');
}

static void
set_number (GString *file, const char *key, gint64 number)
{
  g_string_append_printf (file, "%s=%" G_GINT64_FORMAT "\n", key, number);
}

static void
set_boolean (GString *file, const char *key, gboolean value)
{
  set_text (file, key, value ? "true" : "false");
}

static void
set_list (GString *file, const char *key, const char *const *list)
{
  g_string_append (file, key);
  g_string_append_c (file, '=');
  for (; list != NULL && *list != NULL; list++)
    {
      add_encoded (file, *list);
      g_string_append_c (file, ';');
    }
  g_string_append_c (file, '\n');
}

static void
set_array (GString *file, const char *key, GPtrArray *array)
{
  g_autoptr (GPtrArray) list = g_ptr_array_copy (array, NULL, NULL);

  g_ptr_array_set_free_func (list, NULL);
  g_ptr_array_add (list, NULL);
  set_list (file, key, (const char *const *) list->pdata);
}

static void
write_map (GString *file, GPtrArray *map)
{
  set_number (file, "Filesystems", map != NULL ? (gint64) map->len : -1);
  for (guint i = 0; map != NULL && i < map->len; i++)
    {
      const VfFilesystem *fs = g_ptr_array_index (map, i);

      g_string_append_printf (file, "\n[Filesystem %u]\n", i);
      set_text (file, "Device", fs->device);
      set_text (file, "Type", fs->type);
      set_array (file, "Mountpoints", fs->mountpoints);
      set_array (file, "Disks", fs->targets);
    }
}

/* A key file, written without GKeyFile: that costs half of the time of a freeze's records. */
char *
vf_record_to_text (const VfRecord *record)
{
  g_autoptr (GString) file = g_string_sized_new (1024);
  g_autofree char *checksum = NULL;
  const VfLedgerState *state = &record->state;

  g_string_append (file, "[" GROUP "]\n");
  set_number (file, "Format", FORMAT);
  set_text (file, "Phase", phases[record->phase]);
  set_number (file, "Number", (gint64) record->number);
  if (record->group != 0)
    set_number (file, "Group", (gint64) record->group);
  set_boolean (file, "Unknown", record->damaged);
  set_text (file, "Uri", record->uri);
  set_text (file, "Domain", record->uuid);
  set_text (file, "Name", record->name);
  set_number (file, "Run", record->run);
  set_text (file, "Bus", record->bus_id);
  set_text (file, "Owner", record->owner);
  set_number (file, "OwnerUID", record->uid);
  set_text (file, "Lifetime", record->lease ? "lease" : "caller");
  set_text (file, "Reason", record->reason);
  set_list (file, "Disks", (const char *const *) record->disks);
  set_text (file, "Scope", vf_scope_word (record->scope));
  set_text (file, "Engine", vf_engine_word (record->engine));
  set_number (file, "Created", record->created);
  set_number (file, "DeadlineBootTime", record->deadline);
  set_number (file, "SinceBootTime", record->since);
  set_number (file, "Since", record->since_real);
  set_number (file, "FilesystemsFrozen", record->frozen);
  set_number (file, "FilesystemsSkipped", record->skipped);
  set_boolean (file, "Whole", state->whole);
  set_list (file, "Covers", (const char *const *) state->covers);
  set_list (file, "Tried", (const char *const *) state->tried);
  set_list (file, "Frozen", (const char *const *) state->frozen);
  set_list (file, "Targets", (const char *const *) state->targets);
  set_number (file, "Reported", state->reported);
  write_map (file, state->map);

  checksum = g_compute_checksum_for_string (G_CHECKSUM_SHA256, file->str, (gssize) file->len);
  g_string_append_printf (file, CHECKSUM "%s\n", checksum);
  return g_string_free (g_steal_pointer (&file), FALSE);
}

/* --- reading ------------------------------------------------------------------------------------ */

/* Every getter leaves *error alone once it is set, so that they can stand in a row. */
typedef struct {
  GKeyFile *file;
  const char *group;
  GError *error;
} Reader;

/* It was not written by us: what is wrong with the value at key. */
static void
refuse (Reader *reader, const char *key, const char *what)
{
  if (reader->error == NULL)
    reader->error = g_error_new (G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_INVALID_VALUE, "%s %s", key,
                                 what);
}

/* What stands at key, or NULL. We write no backslash; GLib would take it for an escape, and warns
 * in words of its own when two of a value are none. */
static char *
get_encoded (Reader *reader, const char *key)
{
  g_autofree char *encoded = NULL;

  if (reader->error != NULL)
    return NULL;
  encoded = g_key_file_get_value (reader->file, reader->group, key, &reader->error);
  if (encoded != NULL && strchr (encoded, '\\') != NULL)
    {
      refuse (reader, key, "has a backslash");
      return NULL;
    }
  return g_steal_pointer (&encoded);
}

static char *
decode (Reader *reader, const char *key, const char *encoded)
{
  char *text = g_uri_unescape_string (encoded, NULL);

  if (text != NULL)
    return text;
  refuse (reader, key, "has a % that stands for nothing");
  return g_strdup ("");
}

static char *
get_text (Reader *reader, const char *key)
{
  g_autofree char *encoded = get_encoded (reader, key);

  return encoded != NULL ? decode (reader, key, encoded) : g_strdup ("");
}

/* What callers wrote is told to others on the bus, which takes nothing but UTF-8. */
static char *
get_utf8 (Reader *reader, const char *key)
{
  char *text = get_text (reader, key);

  if (!g_utf8_validate (text, -1, NULL))
    refuse (reader, key, "is not UTF-8");
  return text;
}

static char **
get_list (Reader *reader, const char *key)
{
  g_autofree char *value = get_encoded (reader, key);
  g_auto (GStrv) encoded = NULL;
  g_autoptr (GPtrArray) list = g_ptr_array_new ();

  if (value != NULL)
    encoded = g_key_file_get_string_list (reader->file, reader->group, key, NULL, &reader->error);
  for (char **item = encoded; item != NULL && *item != NULL; item++)
    g_ptr_array_add (list, decode (reader, key, *item));
  g_ptr_array_add (list, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&list), FALSE);
}

/* What is out of range was not written by us, and must not be cut to what fits. */
static gint64
get_number (Reader *reader, const char *key, gint64 min, gint64 max)
{
  gint64 number;

  if (reader->error != NULL)
    return 0;
  number = g_key_file_get_int64 (reader->file, reader->group, key, &reader->error);
  if (number < min || number > max)
    refuse (reader, key, "is out of range");
  return reader->error == NULL ? number : 0;
}

static gint64
get_time (Reader *reader, const char *key)
{
  return get_number (reader, key, 0, LATEST);
}

static gboolean
get_boolean (Reader *reader, const char *key)
{
  return reader->error == NULL
         && g_key_file_get_boolean (reader->file, reader->group, key, &reader->error);
}

/* The place of the word at key among words. */
static guint
get_word (Reader *reader, const char *key, const char *const *words, guint n)
{
  g_autofree char *text = get_text (reader, key);

  for (guint i = 0; i < n; i++)
    if (g_str_equal (text, words[i]))
      return i;
  refuse (reader, key, "is none of the known words");
  return 0;
}

static GPtrArray *
read_map (Reader *reader)
{
  int n = (int) get_number (reader, "Filesystems", -1, VF_MAX_FILESYSTEMS);
  g_autoptr (GPtrArray) map = NULL;

  if (n < 0 || reader->error != NULL)
    return NULL;
  map = vf_map_new ();
  for (int i = 0; i < n && reader->error == NULL; i++)
    {
      g_autofree char *group = g_strdup_printf ("Filesystem %d", i);
      Reader each = { reader->file, group, NULL };
      g_autofree char *device = get_text (&each, "Device");
      g_autofree char *type = get_text (&each, "Type");
      g_auto (GStrv) mountpoints = get_list (&each, "Mountpoints");
      g_auto (GStrv) targets = get_list (&each, "Disks");

      reader->error = each.error;
      for (char **m = mountpoints; *m != NULL; m++)
        vf_map_add (map, device, *m, type, (const char *const *) targets);
    }
  return g_steal_pointer (&map);
}

static void
read_record (Reader *reader, VfRecord *record)
{
  static const char *const lifetimes[] = { "caller", "lease" };
  static const char *const scopes[] = { "auto", "disks", "domain" };
  static const char *const engines[] = { "agent", "exec", "test" };
  VfLedgerState *state = &record->state;

  record->phase = get_word (reader, "Phase", phases, G_N_ELEMENTS (phases));
  record->number = (guint64) get_number (reader, "Number", 0, G_MAXINT64);
  if (g_key_file_has_key (reader->file, reader->group, "Group", NULL))
    record->group = (guint64) get_number (reader, "Group", 1, G_MAXINT64);
  record->damaged = get_boolean (reader, "Unknown");
  record->uri = get_text (reader, "Uri");
  record->uuid = get_text (reader, "Domain");
  record->name = get_text (reader, "Name");
  record->run = (int) get_number (reader, "Run", -1, G_MAXINT);
  record->bus_id = get_text (reader, "Bus");
  record->owner = get_utf8 (reader, "Owner");
  record->uid = (guint) get_number (reader, "OwnerUID", 0, G_MAXUINT);
  record->lease = get_word (reader, "Lifetime", lifetimes, G_N_ELEMENTS (lifetimes)) == 1;
  record->reason = get_utf8 (reader, "Reason");
  record->disks = get_list (reader, "Disks");
  record->scope = get_word (reader, "Scope", scopes, G_N_ELEMENTS (scopes));
  record->engine = get_word (reader, "Engine", engines, G_N_ELEMENTS (engines));
  record->created = get_time (reader, "Created");
  record->deadline = get_time (reader, "DeadlineBootTime");
  record->since = get_time (reader, "SinceBootTime");
  record->since_real = get_time (reader, "Since");
  record->frozen = (guint) get_number (reader, "FilesystemsFrozen", 0, G_MAXUINT);
  record->skipped = (guint) get_number (reader, "FilesystemsSkipped", 0, G_MAXUINT);
  state->whole = get_boolean (reader, "Whole");
  state->covers = get_list (reader, "Covers");
  state->tried = get_list (reader, "Tried");
  state->frozen = get_list (reader, "Frozen");
  state->targets = get_list (reader, "Targets");
  state->reported = (guint) get_number (reader, "Reported", 0, G_MAXUINT);
  state->map = read_map (reader);
}

/* The text without its last line, which must be its checksum. */
static char *
check_sum (const char *text, GError **error)
{
  const char *line = g_strrstr (text, CHECKSUM);
  g_autofree char *body = NULL;
  g_autofree char *checksum = NULL;
  g_autofree char *expected = NULL;

  body = line != NULL ? g_strndup (text, (gsize) (line - text)) : NULL;
  checksum = body != NULL ? g_compute_checksum_for_string (G_CHECKSUM_SHA256, body, -1) : NULL;
  expected = checksum != NULL ? g_strconcat (CHECKSUM, checksum, "\n", NULL) : NULL;
  if (expected != NULL && g_str_equal (line, expected))
    return g_steal_pointer (&body);
  g_set_error_literal (error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_PARSE,
                       line == NULL ? "it is cut short" : "it was changed");
  return NULL;
}

VfRecord *
vf_record_from_text (const char *text, GError **error)
{
  g_autofree char *body = check_sum (text, error);
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autoptr (VfRecord) record = NULL;
  Reader reader = { file, GROUP, NULL };
  gint64 format;

  if (body == NULL || !g_key_file_load_from_data (file, body, strlen (body), 0, error))
    return NULL;
  format = get_number (&reader, "Format", 1, G_MAXINT64);
  if (reader.error == NULL && format > FORMAT)
    reader.error = g_error_new (G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_INVALID_VALUE,
                                "it is of a later version (format %" G_GINT64_FORMAT ")", format);
  record = vf_record_new ();
  if (reader.error == NULL)
    read_record (&reader, record);
  if (reader.error != NULL)
    {
      g_propagate_error (error, reader.error);
      return NULL;
    }
  return g_steal_pointer (&record);
}
