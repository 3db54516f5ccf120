/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "filesystem.h"

#include <string.h>

/* Types whose Linux driver implements freezing. Others, vfat above all, may not. */
static const char *const must_freeze[]
    = { "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "nilfs2" };

static void
filesystem_clear (gpointer data)
{
  VfFilesystem *fs = data;

  g_free (fs->device);
  g_free (fs->type);
  g_ptr_array_unref (fs->mountpoints);
  g_ptr_array_unref (fs->targets);
}

VfFilesystem *
vf_filesystem_ref (VfFilesystem *fs)
{
  return g_atomic_rc_box_acquire (fs);
}

void
vf_filesystem_unref (VfFilesystem *fs)
{
  g_atomic_rc_box_release_full (fs, filesystem_clear);
}

GPtrArray *
vf_map_new (void)
{
  return g_ptr_array_new_with_free_func ((GDestroyNotify) vf_filesystem_unref);
}

static VfFilesystem *
find_device (GPtrArray *map, const char *device)
{
  for (guint i = 0; i < map->len; i++)
    {
      VfFilesystem *fs = g_ptr_array_index (map, i);
      if (g_str_equal (fs->device, device))
        return fs;
    }
  return NULL;
}

static void
add_once (GPtrArray *strings, const char *text)
{
  if (!g_ptr_array_find_with_equal_func (strings, text, g_str_equal, NULL))
    g_ptr_array_add (strings, g_strdup (text));
}

gboolean
vf_map_add (GPtrArray *map, const char *device, const char *mountpoint, const char *type,
            const char *const *targets)
{
  VfFilesystem *fs;
  guint listed = 0;

  if (strlen (device) > VF_MAX_TEXT || strlen (mountpoint) > VF_MAX_TEXT
      || strlen (type) > VF_MAX_TEXT)
    return FALSE;
  for (guint i = 0; i < map->len; i++)
    listed += ((VfFilesystem *) g_ptr_array_index (map, i))->mountpoints->len;
  if (listed >= VF_MAX_FILESYSTEMS)
    return FALSE;

  fs = find_device (map, device);
  if (fs == NULL)
    {
      fs = g_atomic_rc_box_new0 (VfFilesystem);
      fs->device = g_strdup (device);
      fs->type = g_strdup (type);
      fs->mountpoints = g_ptr_array_new_with_free_func (g_free);
      fs->targets = g_ptr_array_new_with_free_func (g_free);
      g_ptr_array_add (map, fs);
    }
  add_once (fs->mountpoints, mountpoint);
  for (guint i = 0; targets != NULL && targets[i] != NULL; i++)
    add_once (fs->targets, targets[i]);
  return TRUE;
}

gboolean
vf_filesystem_must_freeze (const VfFilesystem *fs)
{
  for (gsize i = 0; i < G_N_ELEMENTS (must_freeze); i++)
    if (g_str_equal (fs->type, must_freeze[i]))
      return TRUE;
  return FALSE;
}

gboolean
vf_filesystem_is_windows (const VfFilesystem *fs)
{
  return g_str_has_prefix (fs->device, "\\\\?\\Volume");
}

gboolean
vf_filesystem_is_opaque (const VfFilesystem *fs)
{
  return *fs->type == '\0' || vf_filesystem_is_windows (fs);
}
