/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "journal-record.h"

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

VfRecord *
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

void
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

void
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

/* A record with other words, and a checksum that fits. */
char *
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
