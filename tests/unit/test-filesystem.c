/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "filesystem.h"

#include <string.h>

static const char *const vda[] = { "vda", NULL };
static const char *const vda_vdb[] = { "vda", "vdb", NULL };

static VfFilesystem *
nth (GPtrArray *map, guint n)
{
  g_assert_cmpuint (n, <, map->len);
  return g_ptr_array_index (map, n);
}

static void
assert_strings (GPtrArray *strings, const char *expected)
{
  g_autoptr (GString) joined = g_string_new (NULL);

  for (guint i = 0; i < strings->len; i++)
    g_string_append_printf (joined, "%s%s", i > 0 ? " " : "",
                            (const char *) g_ptr_array_index (strings, i));
  g_assert_cmpstr (joined->str, ==, expected);
}

static char *
repeat (const char *text, gsize times)
{
  g_autoptr (GString) out = g_string_new (NULL);

  while (times-- > 0)
    g_string_append (out, text);
  return g_string_free (g_steal_pointer (&out), FALSE);
}

/* The map */

static void
test_one (void)
{
  g_autoptr (GPtrArray) map = vf_map_new ();

  g_assert_true (vf_map_add (map, "vda1", "/", "ext4", vda));
  g_assert_cmpuint (map->len, ==, 1);
  g_assert_cmpstr (nth (map, 0)->device, ==, "vda1");
  g_assert_cmpstr (nth (map, 0)->type, ==, "ext4");
  assert_strings (nth (map, 0)->mountpoints, "/");
  assert_strings (nth (map, 0)->targets, "vda");
}

static void
test_bind_mount (void)
{
  g_autoptr (GPtrArray) map = vf_map_new ();

  g_assert_true (vf_map_add (map, "vda1", "/", "ext4", vda));
  g_assert_true (vf_map_add (map, "vdb1", "/srv", "xfs", NULL));
  g_assert_true (vf_map_add (map, "vda1", "/mnt/bind", "ext4", vda));
  g_assert_cmpuint (map->len, ==, 2);
  assert_strings (nth (map, 0)->mountpoints, "/ /mnt/bind");
  assert_strings (nth (map, 0)->targets, "vda");
  assert_strings (nth (map, 1)->mountpoints, "/srv");
}

static void
test_targets_merged (void)
{
  g_autoptr (GPtrArray) map = vf_map_new ();

  g_assert_true (vf_map_add (map, "dm-0", "/a", "btrfs", vda));
  g_assert_true (vf_map_add (map, "dm-0", "/b", "btrfs", vda_vdb));
  g_assert_cmpuint (map->len, ==, 1);
  assert_strings (nth (map, 0)->targets, "vda vdb");
}

static void
test_no_targets (void)
{
  static const char *const none[] = { NULL };
  g_autoptr (GPtrArray) map = vf_map_new ();

  g_assert_true (vf_map_add (map, "a", "/a", "ext4", NULL));
  g_assert_true (vf_map_add (map, "b", "/b", "ext4", none));
  g_assert_cmpuint (nth (map, 0)->targets->len, ==, 0);
  g_assert_cmpuint (nth (map, 1)->targets->len, ==, 0);
}

static void
test_shared (void)
{
  GPtrArray *map = vf_map_new ();
  VfFilesystem *fs;

  g_assert_true (vf_map_add (map, "vda1", "/", "ext4", vda));
  fs = vf_filesystem_ref (nth (map, 0));
  g_ptr_array_unref (map);
  g_assert_cmpstr (fs->device, ==, "vda1");
  vf_filesystem_unref (fs);
}

static void
test_limit_devices (void)
{
  g_autoptr (GPtrArray) map = vf_map_new ();

  for (guint i = 0; i < VF_MAX_FILESYSTEMS; i++)
    {
      g_autofree char *device = g_strdup_printf ("d%u", i);

      g_assert_true (vf_map_add (map, device, "/", "ext4", NULL));
    }
  g_assert_cmpuint (map->len, ==, VF_MAX_FILESYSTEMS);
  g_assert_false (vf_map_add (map, "more", "/", "ext4", NULL));
}

static void
test_limit_mountpoints (void)
{
  g_autoptr (GPtrArray) map = vf_map_new ();

  for (guint i = 0; i < VF_MAX_FILESYSTEMS; i++)
    {
      g_autofree char *mountpoint = g_strdup_printf ("/%u", i);

      g_assert_true (vf_map_add (map, "vda1", mountpoint, "ext4", NULL));
    }
  g_assert_false (vf_map_add (map, "vda1", "/more", "ext4", NULL));
  g_assert_false (vf_map_add (map, "vdb1", "/", "ext4", NULL));
}

static void
test_limit_text (void)
{
  g_autoptr (GPtrArray) map = vf_map_new ();
  g_autofree char *longest = repeat ("x", VF_MAX_TEXT);
  g_autofree char *too_long = repeat ("x", VF_MAX_TEXT + 1);

  g_assert_true (vf_map_add (map, longest, longest, longest, NULL));
  g_assert_false (vf_map_add (map, too_long, "/", "ext4", NULL));
  g_assert_false (vf_map_add (map, "vda1", too_long, "ext4", NULL));
  g_assert_false (vf_map_add (map, "vda1", "/", too_long, NULL));
}

/* Types */

static VfFilesystem *
filesystem (GPtrArray *map, const char *device, const char *type)
{
  g_assert_true (vf_map_add (map, device, "/", type, NULL));
  return nth (map, map->len - 1);
}

static void
test_must_freeze (void)
{
  static const struct {
    const char *type;
    gboolean must;
  } cases[] = {
    { "ext2", TRUE },    { "ext3", TRUE },   { "ext4", TRUE },   { "xfs", TRUE },
    { "btrfs", TRUE },   { "f2fs", TRUE },   { "jfs", TRUE },    { "nilfs2", TRUE },
    { "vfat", FALSE },   { "ntfs", FALSE },  { "iso9660", FALSE }, { "", FALSE },
    { "EXT4", FALSE },   { "ext", FALSE },   { "ext4x", FALSE }, { "xf", FALSE },
    { "squashfs", FALSE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GPtrArray) map = vf_map_new ();

      if (vf_filesystem_must_freeze (filesystem (map, "vda1", cases[i].type)) != cases[i].must)
        g_test_fail_printf ("“%s”", cases[i].type);
    }
}

static void
test_windows (void)
{
  static const struct {
    const char *device, *type;
    gboolean windows, opaque;
  } cases[] = {
    { "\\\\?\\Volume{d1f2}\\", "NTFS", TRUE, TRUE },
    { "\\\\?\\Volume{d1f2}\\", "", TRUE, TRUE },
    { "\\\\?\\volum", "NTFS", FALSE, FALSE },
    { "vda1", "", FALSE, TRUE },
    { "vda1", "ext4", FALSE, FALSE },
    { "vda1", "vfat", FALSE, FALSE },
    { "x\\\\?\\Volume{d1f2}\\", "ntfs", FALSE, FALSE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GPtrArray) map = vf_map_new ();
      VfFilesystem *fs = filesystem (map, cases[i].device, cases[i].type);

      if (vf_filesystem_is_windows (fs) != cases[i].windows
          || vf_filesystem_is_opaque (fs) != cases[i].opaque)
        g_test_fail_printf ("“%s” of type “%s”", cases[i].device, cases[i].type);
    }
}

/* Text of strangers */

typedef struct {
  const char *name, *in, *out;
} Escape;

static const Escape escapes[] = {
  { "empty", "", "" },
  { "plain", "/srv/data", "/srv/data" },
  { "beyond-ascii", "/srv/größe/数据", "/srv/größe/数据" },
  { "backslash-stays", "C:\\Users", "C:\\Users" },
  { "newline", "a\nb", "a\\x0ab" },
  { "tab", "a\tb", "a\\x09b" },
  { "escape-sequence", "\x1b[31mred", "\\x1b[31mred" },
  { "delete", "a\x7f", "a\\x7f" },
  { "c1-control", "a\xc2\x9b" "b", "a\\xc2\\x9bb" },
  { "right-to-left-override", "a\xe2\x80\xae" "b", "a\\xe2\\x80\\xaeb" },
  { "line-separator", "a\xe2\x80\xa8" "b", "a\\xe2\\x80\\xa8b" },
  { "lone-continuation-byte", "a\x80" "b", "a\\x80b" },
  { "cut-character-at-the-end", "a\xe6\x95", "a\\xe6\\x95" },
  { "cut-character-in-between", "a\xe6\x95/b", "a\\xe6\\x95/b" },
  { "overlong", "\xc0\xaf", "\\xc0\\xaf" },
  { "surrogate", "\xed\xa0\x80", "\\xed\\xa0\\x80" },
  { "beyond-unicode", "\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80" },
  { "bytes-no-text-has", "\xfe\xff", "\\xfe\\xff" },
};

static void
test_escape (gconstpointer data)
{
  const Escape *escape = data;
  g_autofree char *out = vf_text_escape (escape->in);

  g_assert_cmpstr (out, ==, escape->out);
}

/* What comes out is valid, short enough, and ends with a whole character or escape. */
static void
assert_cut (const char *prefix, const char *unit, const char *unit_out, gsize expected_length)
{
  g_autofree char *body = repeat (unit, VF_MAX_TEXT);
  g_autofree char *in = g_strconcat (prefix, body, NULL);
  g_autofree char *out = vf_text_escape (in);

  g_assert_true (g_utf8_validate (out, -1, NULL));
  g_assert_cmpuint (strlen (out), ==, expected_length);
  g_assert_true (g_str_has_suffix (out, unit_out));
}

static void
test_escape_truncation (void)
{
  g_autofree char *longest = repeat ("x", VF_MAX_TEXT);
  g_autofree char *kept = vf_text_escape (longest);

  g_assert_cmpstr (kept, ==, longest);
  assert_cut ("x", "x", "x", VF_MAX_TEXT);
  assert_cut ("", "ö", "ö", VF_MAX_TEXT);
  assert_cut ("x", "ö", "ö", VF_MAX_TEXT - 1);
  assert_cut ("", "数", "数", VF_MAX_TEXT - 1);
  assert_cut ("x", "数", "数", VF_MAX_TEXT);
  assert_cut ("", "😀", "😀", VF_MAX_TEXT);
  assert_cut ("xx", "😀", "😀", VF_MAX_TEXT - 2);
  assert_cut ("", "\n", "\\x0a", VF_MAX_TEXT);
  assert_cut ("x", "\n", "\\x0a", VF_MAX_TEXT - 3);
  assert_cut ("x", "\xff", "\\xff", VF_MAX_TEXT - 3);
}

/* Whatever a guest says: always valid UTF-8 without controls, never too long. */
static void
test_escape_random (void)
{
  for (guint round = 0; round < 2000; round++)
    {
      gsize length = g_test_rand_int_range (0, round % 100 == 0 ? 2 * VF_MAX_TEXT : 40);
      g_autofree char *in = g_malloc0 (length + 1);
      g_autofree char *out = NULL;

      for (gsize i = 0; i < length; i++)
        in[i] = g_test_rand_int_range (1, 256);
      out = vf_text_escape (in);
      g_assert_true (g_utf8_validate (out, -1, NULL));
      g_assert_cmpuint (strlen (out), <=, VF_MAX_TEXT);
      for (const char *c = out; *c != '\0'; c = g_utf8_next_char (c))
        g_assert_false (g_unichar_iscntrl (g_utf8_get_char (c)));
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/filesystem/map/one", test_one);
  g_test_add_func ("/filesystem/map/bind-mounts-are-one-filesystem", test_bind_mount);
  g_test_add_func ("/filesystem/map/disks-of-all-mountpoints", test_targets_merged);
  g_test_add_func ("/filesystem/map/no-disks-told", test_no_targets);
  g_test_add_func ("/filesystem/map/filesystem-outlives-its-map", test_shared);
  g_test_add_func ("/filesystem/map/limit-of-devices", test_limit_devices);
  g_test_add_func ("/filesystem/map/limit-of-mountpoints", test_limit_mountpoints);
  g_test_add_func ("/filesystem/map/limit-of-text", test_limit_text);
  g_test_add_func ("/filesystem/types-that-must-freeze", test_must_freeze);
  g_test_add_func ("/filesystem/windows-and-opaque", test_windows);
  for (gsize i = 0; i < G_N_ELEMENTS (escapes); i++)
    {
      g_autofree char *path = g_strdup_printf ("/filesystem/escape/%s", escapes[i].name);

      g_test_add_data_func (path, &escapes[i], test_escape);
    }
  g_test_add_func ("/filesystem/escape/truncation", test_escape_truncation);
  g_test_add_func ("/filesystem/escape/random-bytes", test_escape_random);
  return g_test_run ();
}
