/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * filesystem: a mounted filesystem of a guest as its agent describes it, and the map of them all.
 *
 * A filesystem is a guest device, however many mountpoints it has (bind mounts, btrfs subvolumes).
 * All text comes from the guest and is kept as it came, since mountpoints go back to the agent;
 * use vf_text_escape() before showing it.
 */
#pragma once

#include "text.h"

G_BEGIN_DECLS

#define VF_MAX_FILESYSTEMS 1024

typedef struct {
  char *device;           /* the guest's name, such as "vda1" or "\\?\Volume{…}\" */
  char *type;             /* such as "ext4"; "" where the guest does not tell */
  GPtrArray *mountpoints; /* char*, at least one */
  GPtrArray *targets;     /* char*: libvirt's targets of the disks below; may be empty */
} VfFilesystem;

VfFilesystem *vf_filesystem_ref (VfFilesystem *fs);
void vf_filesystem_unref (VfFilesystem *fs);

/* A map is a GPtrArray that owns VfFilesystem*, one for each device. Map and filesystems are
 * immutable once built, and shared by reference, between threads too. */
GPtrArray *vf_map_new (void);

/*
 * Adds one mountpoint as the agent lists it: merges it into the filesystem of the same device.
 * Returns FALSE where the guest lists more than VF_MAX_FILESYSTEMS mountpoints or a string is
 * longer than VF_MAX_TEXT: such a map must not be used.
 */
gboolean vf_map_add (GPtrArray *map, const char *device, const char *mountpoint, const char *type,
                     const char *const *targets);

/* Whether the kernel must be able to freeze this type: less than all of them frozen is an error. */
gboolean vf_filesystem_must_freeze (const VfFilesystem *fs);

/* A Windows volume, or a guest that tells no type: only "nothing froze" is known to be wrong. */
gboolean vf_filesystem_is_opaque (const VfFilesystem *fs);

/* A Windows volume (\\?\Volume…): VSS holds a freeze for 10 s at most. */
gboolean vf_filesystem_is_windows (const VfFilesystem *fs);

G_END_DECLS
