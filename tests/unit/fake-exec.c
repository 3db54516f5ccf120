/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What fsfreeze does in a fake guest. */
#include "fake-hypervisor.h"

#include <string.h>

static FakeFilesystem *
find (FakeGuest *guest, const char *device)
{
  for (guint i = 0; i < guest->filesystems->len; i++)
    {
      FakeFilesystem *fs = g_ptr_array_index (guest->filesystems, i);
      if (g_str_equal (fs->device, device))
        return fs;
    }
  return NULL;
}

char *
fake_guest_guards (const FakeGuest *guest)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < guest->filesystems->len; i++)
    {
      const FakeFilesystem *fs = g_ptr_array_index (guest->filesystems, i);
      if (fs->guard_until != 0)
        g_string_append_printf (text, "%s%s:%" G_GINT64_FORMAT, text->len > 0 ? " " : "",
                                fs->device, (fs->guard_until - vf_clock_now ()) / G_USEC_PER_SEC);
    }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

void
fake_exec_touch (FakeGuest *guest, const char *device, gboolean frozen)
{
  FakeFilesystem *fs = find (guest, device);

  fs->touched = !frozen;
  guest->touched |= !frozen;
  guest->foreign |= frozen;
  fs->frozen = fs->by_exec = frozen;
}

static void
set_guards (FakeGuest *guest, VfCall *call, gboolean on)
{
  for (guint i = 0; i < call->guards->len; i++)
    {
      VfGuard *guard = g_ptr_array_index (call->guards, i);
      FakeFilesystem *fs = find (guest, guard->fs->device);

      guard->pid = on ? 100 + i : guard->pid;
      if (fs != NULL)
        fs->guard_until = on ? guard->until : 0;
    }
}

/* FALSE: the call ends here. */
static gboolean
freeze_one (VfCall *call, guint i, FakeFilesystem *fs, const char *only)
{
  if (fs->frozen)
    {
      call->results[i] = VF_RESULT_FROZEN;
      call->error = g_error_new_literal (VF_ERROR, VF_ERROR_FROZEN_ELSEWHERE, "frozen elsewhere");
      call->sent = call->answered = TRUE;
      return FALSE;
    }
  if (!fs->freezable || (only != NULL && !g_str_equal (only, fs->device)))
    {
      call->results[i] = VF_RESULT_REFUSED;
      return TRUE;
    }
  call->results[i] = VF_RESULT_DONE;
  fs->frozen = fs->by_exec = TRUE;
  fs->touched = FALSE;
  call->count++;
  return TRUE;
}

static void
freeze (FakeGuest *guest, VfCall *call, const char *only)
{
  set_guards (guest, call, TRUE);
  for (guint i = 0; i < call->filesystems->len; i++)
    {
      const VfFilesystem *fs = g_ptr_array_index (call->filesystems, i);
      if (!freeze_one (call, i, find (guest, fs->device), only))
        break;
    }
  if (call->count == 0)
    return;
  guest->touched = FALSE;
  for (guint i = 0; i < guest->filesystems->len; i++)
    guest->touched |= ((FakeFilesystem *) g_ptr_array_index (guest->filesystems, i))->touched;
}

static void
thaw (FakeGuest *guest, VfCall *call)
{
  for (guint i = 0; i < call->filesystems->len; i++)
    {
      FakeFilesystem *fs
          = find (guest, ((VfFilesystem *) g_ptr_array_index (call->filesystems, i))->device);

      call->results[i] = fs->frozen ? VF_RESULT_DONE : VF_RESULT_NOT_FROZEN;
      if (fs->frozen && guest->host->thawing != NULL)
        guest->host->thawing (guest, fs, guest->host->data);
      call->count += fs->frozen;
      fs->frozen = FALSE;
    }
  set_guards (guest, call, FALSE);
}

void
fake_exec_carry_out (FakeGuest *guest, VfCall *call, const char *only)
{
  if (call->kind == VF_CALL_EXEC_FREEZE)
    freeze (guest, call, only);
  else if (call->kind == VF_CALL_EXEC_THAW)
    thaw (guest, call);
  else
    for (guint i = 0; i < call->filesystems->len; i++)
      {
        const VfFilesystem *fs = g_ptr_array_index (call->filesystems, i);
        call->results[i] = find (guest, fs->device)->frozen ? VF_RESULT_FROZEN : VF_RESULT_DONE;
      }
  if (call->count > 0 && guest->host->changed != NULL)
    guest->host->changed (guest, guest->host->data);
}

/* --- for people ------------------------------------------------------------------------------- */

static int
by_name (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

char *
fake_exec_describe (const VfCall *call)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) guards = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *name_list = NULL;
  g_autofree char *guard_list = NULL;

  for (guint i = 0; i < call->filesystems->len; i++)
    g_ptr_array_add (
        names, g_strdup (((VfFilesystem *) g_ptr_array_index (call->filesystems, i))->device));
  for (guint i = 0; i < call->guards->len; i++)
    {
      const VfGuard *guard = g_ptr_array_index (call->guards, i);
      gint64 left = guard->until - vf_clock_now ();

      if (call->kind == VF_CALL_EXEC_FREEZE)
        g_ptr_array_add (guards, g_strdup_printf ("%s%s:%gs", guard->fs->device,
                                                  guard->replaces ? "!" : "", (double) left / 1e6));
      else
        g_ptr_array_add (guards, g_strdup (guard->fs->device));
    }
  g_ptr_array_sort (names, by_name);
  g_ptr_array_sort (guards, by_name);
  g_ptr_array_add (names, NULL);
  g_ptr_array_add (guards, NULL);
  name_list = g_strjoinv (",", (char **) names->pdata);
  guard_list = g_strjoinv (",", (char **) guards->pdata);
  return g_strdup_printf ("(%s%s%s)", name_list, guards->len > 1 ? "+" : "", guard_list);
}

gboolean
fake_exec_has_touched (const FakeGuest *guest, GPtrArray *devices)
{
  for (guint i = 0; i < guest->filesystems->len; i++)
    {
      const FakeFilesystem *fs = g_ptr_array_index (guest->filesystems, i);

      if (fs->touched && g_ptr_array_find_with_equal_func (devices, fs->device, g_str_equal, NULL))
        return TRUE;
    }
  return FALSE;
}
