/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hypervisor.h"

static void
disk_free (gpointer data)
{
  VfDisk *disk = data;

  g_free (disk->target);
  g_free (disk->source);
  g_free (disk);
}

VfDomainInfo *
vf_domain_info_new (const char *uuid, const char *name)
{
  VfDomainInfo *info = g_atomic_rc_box_new0 (VfDomainInfo);

  info->uuid = g_strdup (uuid);
  info->name = g_strdup (name);
  info->state = "nostate";
  info->run = -1;
  info->disks = g_ptr_array_new_with_free_func (disk_free);
  return info;
}

void
vf_domain_info_add_disk (VfDomainInfo *info, const char *target, const char *source)
{
  VfDisk *disk = g_new (VfDisk, 1);

  disk->target = g_strdup (target);
  disk->source = g_strdup (source);
  g_ptr_array_add (info->disks, disk);
}

VfDomainInfo *
vf_domain_info_ref (VfDomainInfo *info)
{
  return g_atomic_rc_box_acquire (info);
}

static void
domain_info_clear (gpointer data)
{
  VfDomainInfo *info = data;

  g_free (info->uuid);
  g_free (info->name);
  g_ptr_array_unref (info->disks);
}

void
vf_domain_info_unref (VfDomainInfo *info)
{
  g_atomic_rc_box_release_full (info, domain_info_clear);
}

char **
vf_domain_info_targets (const VfDomainInfo *info)
{
  char **targets = g_new0 (char *, info->disks->len + 1);

  for (guint i = 0; i < info->disks->len; i++)
    targets[i] = g_strdup (((VfDisk *) g_ptr_array_index (info->disks, i))->target);
  return targets;
}

VfCall *
vf_call_new (VfCallKind kind, const char *uuid, int run)
{
  VfCall *call = g_new0 (VfCall, 1);

  call->kind = kind;
  call->uuid = g_strdup (uuid);
  call->run = run;
  return call;
}

VfGuard *
vf_guard_new (VfFilesystem *fs, gint64 until)
{
  VfGuard *guard = g_new0 (VfGuard, 1);

  guard->fs = vf_filesystem_ref (fs);
  guard->until = until;
  return guard;
}

void
vf_guard_free (VfGuard *guard)
{
  vf_filesystem_unref (guard->fs);
  g_free (guard);
}

void
vf_call_set_filesystems (VfCall *call, GPtrArray *filesystems, GPtrArray *guards, GPtrArray *known)
{
  call->filesystems = filesystems;
  call->guards = guards != NULL ? guards : g_ptr_array_new ();
  call->known = g_ptr_array_ref (known != NULL ? known : filesystems);
  call->results = g_new0 (VfResult, filesystems->len);
}

void
vf_call_free (VfCall *call)
{
  g_clear_pointer (&call->filesystems, g_ptr_array_unref);
  g_clear_pointer (&call->guards, g_ptr_array_unref);
  g_clear_pointer (&call->known, g_ptr_array_unref);
  g_free (call->results);
  g_free (call->uuid);
  g_strfreev (call->mountpoints);
  g_clear_error (&call->error);
  g_clear_pointer (&call->map, g_ptr_array_unref);
  g_free (call);
}
