/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A journal of an earlier process, and guests that are frozen: whatever the files say, the service
 * starts, and when it stops they are thawed and no record is left.
 *
 * A line “=NAME” begins a file; “KEY=VALUE” changes what a good record says there, “-KEY” leaves a
 * line of it out, “!” spoils its checksum.
 */
#include "fuzz.h"

#include "fake-clock.h"
#include "journal-file.h"
#include "test-service.h"

#include <string.h>

#define SUFFIX ".freeze"
#define CHECKSUM "# sha256 "

/* A record like those that the service writes, to be changed. */
static GKeyFile *
good_record (const char *name)
{
  g_autoptr (VfRecord) record = vf_record_new ();
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autofree char *text = NULL;
  const char *devices[] = { "vda1", NULL };
  const char *const vda[] = { "vda", NULL };

  record->phase = VF_PHASE_HELD;
  record->uuid = g_strndup (name, 36);
  record->number = g_ascii_strtoull (name + strlen (record->uuid) + (strlen (name) > 36), NULL, 10);
  record->uri = g_strdup ("fake:///system");
  record->name = g_strdup ("fuzz");
  record->run = 1;
  record->bus_id = g_strdup ("bus");
  record->owner = g_strdup (":1.1");
  record->reason = g_strdup ("");
  record->disks = g_new0 (char *, 1);
  record->scope = VF_SCOPE_DOMAIN;
  record->created = record->since_real = G_GINT64_CONSTANT (1700000000000000);
  record->deadline = vf_clock_now () + G_USEC_PER_SEC;
  record->since = vf_clock_now () - G_USEC_PER_SEC;
  record->frozen = 1;
  record->state.covers = g_strdupv ((char **) devices);
  record->state.tried = g_strdupv ((char **) devices);
  record->state.frozen = g_strdupv ((char **) devices);
  record->state.targets = g_strdupv ((char **) vda);
  record->state.reported = 1;
  record->state.map = vf_map_new ();
  vf_map_add (record->state.map, "vda1", "/", "ext4", vda);
  text = vf_record_to_text (record);
  g_assert_true (g_key_file_load_from_data (file, text, strlen (text), 0, NULL));
  return g_steal_pointer (&file);
}

/* Of the group that has such a key; NULL: none. */
static const char *
group_of (GKeyFile *file, const char *key)
{
  static const char *const groups[] = { "Freeze", "Filesystem 0" };

  for (guint i = 0; i < G_N_ELEMENTS (groups); i++)
    if (g_key_file_has_key (file, groups[i], key, NULL))
      return groups[i];
  return NULL;
}

/* engine: what it then says */
static gboolean
write_record (const char *folder, char **lines, VfEngine *engine)
{
  /* The folder is the service's own: nobody else names files there. */
  g_autofree char *name
      = g_strcanon (g_strdup (*lines + 1), G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS ".-", '_');
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autoptr (GKeyFile) file = good_record (name);
  g_autofree char *value = NULL, *body = NULL, *sum = NULL, *text = NULL;
  gboolean spoilt = FALSE;

  for (lines++; *lines != NULL && **lines != '='; lines++)
    {
      g_auto (GStrv) parts = g_strsplit (*lines, "=", 2);
      const char *key = **lines == '-' ? *lines + 1 : parts[0];
      const char *group = key != NULL ? group_of (file, key) : NULL;

      if (**lines == '!')
        spoilt = TRUE;
      else if (group != NULL && **lines == '-')
        g_key_file_remove_key (file, group, key, NULL);
      /* Freezes of the test driver died with it, and those of another libvirt are not for us. */
      else if (group != NULL && parts[1] != NULL && !g_str_equal (key, "Uri")
               && !g_str_equal (parts[1], "test"))
        g_key_file_set_value (file, group, key, parts[1]);
    }
  value = g_key_file_get_value (file, "Freeze", "Engine", NULL);
  *engine = g_strcmp0 (value, "exec") == 0 ? VF_ENGINE_EXEC : VF_ENGINE_AGENT;
  body = g_key_file_to_data (file, NULL, NULL);
  sum = g_compute_checksum_for_string (G_CHECKSUM_SHA256, body, -1);
  text = g_strconcat (body, CHECKSUM, sum, spoilt ? "x\n" : "\n", NULL);
  /* What is no name for a file is not written, nor one that leaves no room for a suffix. */
  return strlen (name) < 200 && g_file_set_contents (path, text, -1, NULL);
}

/* A record of a domain that is no more is kept, in case it comes back: none of these is. */
static FakeGuest *
name_guest (FakeHost *host, char *name)
{
  g_autofree char *uuid = g_strndup (name, 36);
  FakeGuest *guest = fake_guest_find (host, uuid);

  if (!g_uuid_string_is_valid (uuid))
    return NULL;
  if (guest == NULL)
    guest = g_ptr_array_index (host->guests, 1);
  memcpy (name, guest->uuid, 36);
  /* With more behind the suffix it is what an unfinished write left. */
  return name[36] == '.' && strlen (name) > 36 + strlen (SUFFIX) && g_str_has_suffix (name, SUFFIX)
                 && strstr (name, SUFFIX ".") == NULL
             ? guest
             : NULL;
}

/* Frozen as the records of it say. With some of each engine, which the service does not write, it
 * stays frozen by someone else, who thaws it in the end. */
static void
freeze_as (FakeGuest *guest, gboolean agent, gboolean exec)
{
  if (exec && !agent)
    {
      fake_guest_thaw (guest);
      for (guint i = 0; i < guest->filesystems->len; i++)
        {
          const FakeFilesystem *fs = g_ptr_array_index (guest->filesystems, i);
          fake_exec_touch (guest, fs->device, TRUE);
        }
      guest->touched = FALSE;
    }
  guest->foreign = agent == exec;
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autofree char *text = fuzz_text (data, size);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  FakeHost *host = fake_host_new (FAKE_AGENT);
  Service *service = service_new (host, NULL, NULL, NULL);
  gboolean named[2][2] = { { FALSE } }; /* of guest, by engine */

  fuzz_init ();
  for (guint i = 0; i < 2; i++)
    {
      FakeGuest *guest = fake_guest_new (host, i == 0 ? "a" : "b", "vda", "vda1|/|ext4|vda");

      /* Without a file that names it, it was frozen by someone else. */
      fake_guest_freeze (guest);
      guest->foreign = TRUE;
    }
  for (char **line = lines; *line != NULL; line++)
    if (**line == '=' && line[0][1] != '\0')
      {
        FakeGuest *guest = name_guest (host, *line + 1);
        VfEngine engine;

        if (write_record (service->folder, line, &engine) && guest != NULL)
          named[guest == g_ptr_array_index (host->guests, 1)][engine == VF_ENGINE_EXEC] = TRUE;
      }
  for (guint i = 0; i < 2; i++)
    freeze_as (g_ptr_array_index (host->guests, i), named[i][0], named[i][1]);
  service_start (service, "bus", TRUE);
  fake_hypervisor_connect (service->hypervisor);
  service_settle (service);
  service_end (service);
  fake_host_free (host);
  return 0;
}
