/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-hypervisor.h"

#include "error.h"

#include <string.h>

/* --- guests ---------------------------------------------------------------------------------- */

static void
filesystem_free (gpointer data)
{
  FakeFilesystem *fs = data;

  g_free (fs->device);
  g_free (fs->mountpoint);
  g_free (fs->type);
  g_strfreev (fs->targets);
  g_free (fs);
}

static void
guest_free (gpointer data)
{
  FakeGuest *guest = data;

  for (int kind = 0; kind < VF_CALL_KINDS; kind++)
    g_queue_clear_full (&guest->faults[kind], g_free);
  g_ptr_array_unref (guest->disks);
  g_ptr_array_unref (guest->filesystems);
  g_free (guest->uuid);
  g_free (guest->name);
  g_free (guest);
}

FakeHost *
fake_host_new (FakeKind kind)
{
  FakeHost *host = g_new0 (FakeHost, 1);

  host->kind = kind;
  host->guests = g_ptr_array_new_with_free_func (guest_free);
  return host;
}

void
fake_host_free (FakeHost *host)
{
  g_ptr_array_unref (host->guests);
  g_free (host);
}

static void
add_filesystem (FakeGuest *guest, const char *text)
{
  g_auto (GStrv) fields = g_strsplit (text, "|", 4);
  FakeFilesystem *fs = g_new0 (FakeFilesystem, 1);

  g_assert_cmpuint (g_strv_length (fields), ==, 4);
  fs->device = g_strdup (fields[0]);
  fs->mountpoint = g_strdup (fields[1]);
  fs->type = g_strdup (fields[2]);
  fs->targets = g_strsplit (fields[3], ",", -1);
  fs->freezable = !g_str_equal (fs->type, "vfat") && !g_str_equal (fs->type, "iso9660");
  g_ptr_array_add (guest->filesystems, fs);
}

FakeGuest *
fake_guest_new (FakeHost *host, const char *name, const char *disks, const char *filesystems)
{
  g_auto (GStrv) disk_list = g_strsplit (disks, " ", -1);
  g_auto (GStrv) list = g_strsplit (filesystems, " ", -1);
  FakeGuest *guest = g_new0 (FakeGuest, 1);

  guest->host = host;
  guest->uuid = g_strdup_printf ("00000000-0000-4000-8000-%012u", host->guests->len + 1);
  guest->name = g_strdup (name);
  guest->disks = g_ptr_array_new_with_free_func (g_free);
  guest->filesystems = g_ptr_array_new_with_free_func (filesystem_free);
  for (int kind = 0; kind < VF_CALL_KINDS; kind++)
    g_queue_init (&guest->faults[kind]);
  for (guint i = 0; disk_list[i] != NULL; i++)
    g_ptr_array_add (guest->disks, g_strdup (disk_list[i]));
  for (guint i = 0; list[i] != NULL; i++)
    add_filesystem (guest, list[i]);
  guest->agent = TRUE;
  fake_guest_start (guest, "running", FALSE);
  g_ptr_array_add (host->guests, guest);
  return guest;
}

FakeGuest *
fake_guest_find (FakeHost *host, const char *uuid)
{
  for (guint i = 0; i < host->guests->len; i++)
    {
      FakeGuest *guest = g_ptr_array_index (host->guests, i);
      if (g_str_equal (guest->uuid, uuid))
        return guest;
    }
  return NULL;
}

gboolean
fake_guest_is_frozen (const FakeGuest *guest)
{
  for (guint i = 0; i < guest->filesystems->len; i++)
    if (((FakeFilesystem *) g_ptr_array_index (guest->filesystems, i))->frozen)
      return TRUE;
  return FALSE;
}

char *
fake_guest_frozen (const FakeGuest *guest)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < guest->filesystems->len; i++)
    {
      const FakeFilesystem *fs = g_ptr_array_index (guest->filesystems, i);
      if (fs->frozen)
        g_string_append_printf (text, "%s%s", text->len > 0 ? " " : "", fs->device);
    }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static void
tell_changed (FakeGuest *guest)
{
  if (guest->host->changed != NULL)
    guest->host->changed (guest, guest->host->data);
}

static guint
set_all (FakeGuest *guest, gboolean frozen)
{
  guint changed = 0;

  for (guint i = 0; i < guest->filesystems->len; i++)
    {
      FakeFilesystem *fs = g_ptr_array_index (guest->filesystems, i);

      changed += fs->freezable && fs->frozen != frozen;
      fs->touched |= fs->frozen && !frozen;
      fs->frozen = frozen && fs->freezable;
      fs->by_exec = FALSE;
    }
  if (changed > 0)
    tell_changed (guest);
  return changed;
}

void
fake_guest_freeze (FakeGuest *guest)
{
  guest->foreign = TRUE;
  set_all (guest, TRUE);
}

void
fake_guest_thaw (FakeGuest *guest)
{
  guest->foreign = FALSE;
  guest->touched = TRUE;
  set_all (guest, FALSE);
}

void
fake_guest_wake (FakeGuest *guest)
{
  guest->hung = FALSE;
  memset (guest->hangs_at, 0, sizeof guest->hangs_at);
  if (guest->late)
    set_all (guest, TRUE);
  guest->late = FALSE;
}

static void
end_guards (FakeGuest *guest)
{
  for (guint i = 0; i < guest->filesystems->len; i++)
    ((FakeFilesystem *) g_ptr_array_index (guest->filesystems, i))->guard_until = 0;
}

void
fake_guest_start (FakeGuest *guest, const char *state, gboolean frozen)
{
  guest->run = ++guest->host->last_run;
  guest->state = g_intern_string (state); /* infos take it for static */
  guest->active = TRUE;
  guest->running = g_str_equal (state, "running");
  guest->late = guest->hung = FALSE;
  if (!frozen)
    {
      fake_guest_thaw (guest);
      end_guards (guest);
    }
}

void
fake_guest_stop (FakeGuest *guest, gboolean frozen)
{
  guest->run = -1;
  guest->state = "shutoff";
  guest->active = guest->running = FALSE;
  guest->late = FALSE;
  guest->touched = TRUE;
  if (!frozen)
    fake_guest_thaw (guest);
}

void
fake_guest_add_fault (FakeGuest *guest, VfCallKind kind, const FakeFault *fault)
{
  g_queue_push_tail (&guest->faults[kind], g_memdup2 (fault, sizeof *fault));
}

/* --- what a guest does ------------------------------------------------------------------------ */

static gboolean
is_named (const FakeFilesystem *fs, char **mountpoints)
{
  return mountpoints == NULL || g_strv_contains ((const char *const *) mountpoints, fs->mountpoint);
}

static guint
do_freeze (FakeGuest *guest, char **mountpoints, const char *only)
{
  guint count = 0;

  for (guint i = 0; i < guest->filesystems->len; i++)
    {
      FakeFilesystem *fs = g_ptr_array_index (guest->filesystems, i);

      if (!is_named (fs, mountpoints) || !fs->freezable || fs->frozen
          || (only != NULL && !g_str_equal (only, fs->device)))
        continue;
      fs->frozen = TRUE;
      fs->by_exec = fs->touched = FALSE;
      count++;
    }
  if (count > 0)
    {
      guest->touched = FALSE;
      tell_changed (guest);
    }
  return count;
}

static guint
do_thaw (FakeGuest *guest, char **mountpoints)
{
  guint count = 0;

  for (guint i = 0; i < guest->filesystems->len; i++)
    {
      FakeFilesystem *fs = g_ptr_array_index (guest->filesystems, i);

      if (!is_named (fs, mountpoints) || !fs->frozen)
        continue;
      if (guest->host->thawing != NULL)
        guest->host->thawing (guest, fs, guest->host->data);
      fs->frozen = FALSE;
      count++;
    }
  guest->foreign &= mountpoints != NULL;
  if (count > 0)
    tell_changed (guest);
  return count;
}

static GPtrArray *
make_map (FakeGuest *guest)
{
  GPtrArray *map = vf_map_new ();

  for (guint i = 0; i < guest->filesystems->len; i++)
    {
      const FakeFilesystem *fs = g_ptr_array_index (guest->filesystems, i);
      g_assert_true (vf_map_add (map, fs->device, fs->mountpoint, fs->type,
                                 (const char *const *) fs->targets));
    }
  return map;
}

static void
carry_out (FakeGuest *guest, VfCall *call, const char *only)
{
  switch (call->kind)
    {
    case VF_CALL_MAP:
      call->map = make_map (guest);
      break;
    case VF_CALL_PROBE:
      break;
    case VF_CALL_FREEZE:
      call->count = do_freeze (guest, call->mountpoints, only);
      break;
    case VF_CALL_THAW:
      call->count = do_thaw (guest, call->mountpoints);
      break;
    default:
      fake_exec_carry_out (guest, call, only);
    }
}

static void
fail (VfCall *call, VfError code, gboolean sent, gboolean answered, const char *text)
{
  g_clear_error (&call->error);
  call->error = g_error_new_literal (VF_ERROR, code, text);
  /* Without an answer, nobody knows. */
  for (guint i = 0; call->filesystems != NULL && i < call->filesystems->len; i++)
    call->results[i] = call->results[i] == VF_RESULT_DONE || (sent && !answered)
                           ? VF_RESULT_UNKNOWN
                           : VF_RESULT_NONE;
  call->sent = sent;
  call->answered = answered;
  g_clear_pointer (&call->map, g_ptr_array_unref);
  call->count = 0;
}

static gboolean
is_agent_frozen (const FakeGuest *guest)
{
  for (guint i = 0; i < guest->filesystems->len; i++)
    {
      const FakeFilesystem *fs = g_ptr_array_index (guest->filesystems, i);
      if (fs->frozen && !fs->by_exec)
        return TRUE;
    }
  return FALSE;
}

/* What neither libvirt nor the agent lets through. */
static gboolean
refuse (FakeGuest *guest, VfCall *call)
{
  gboolean driver = guest->host->kind == FAKE_DRIVER;

  if (!guest->active || guest->run != call->run)
    fail (call, VF_ERROR_NOT_RUNNING, FALSE, FALSE, "it was stopped meanwhile");
  else if (!guest->running && !driver)
    fail (call, VF_ERROR_NOT_RUNNING, FALSE, FALSE, "domain is not running");
  else if (!guest->agent)
    fail (call, VF_ERROR_AGENT_UNAVAILABLE, TRUE, FALSE, "the agent is not connected");
  else if (call->kind == VF_CALL_THAW && call->mountpoints != NULL
           && guest->host->kind == FAKE_AGENT)
    {
      fail (call, VF_ERROR_AGENT_UNAVAILABLE, FALSE, FALSE, "mountpoints are not supported");
      call->unsupported = TRUE;
    }
  else if (call->kind != VF_CALL_THAW && !driver && (is_agent_frozen (guest) || guest->mute))
    fail (call, VF_ERROR_AGENT_FAILED, TRUE, TRUE, "the agent is in frozen state");
  else if (call->kind == VF_CALL_MAP && guest->silent)
    fail (call, VF_ERROR_AGENT_FAILED, TRUE, TRUE, "the command is not allowed");
  return call->error != NULL;
}

static void
do_call (FakeGuest *guest, VfCall *call, const FakeFault *fault)
{
  gboolean reaches = fault == NULL || fault->carried_out || fault->succeeds;

  if (reaches && refuse (guest, call))
    return;
  if (fault == NULL || fault->carried_out)
    carry_out (guest, call, fault != NULL ? fault->only : NULL);
  if (fault != NULL && fault->succeeds)
    call->count = fault->count >= 0 ? (guint) fault->count : call->count;
  else if (fault != NULL)
    {
      fail (call, fault->code, fault->sent, fault->answered, "a fault of the test");
      call->timed_out = fault->timed_out;
      call->unsupported = fault->unsupported;
    }
}

/* --- the hypervisor --------------------------------------------------------------------------- */

typedef struct {
  VfHypervisor base;
  FakeHost *host;
  VfClock *clock;
  gboolean connected;
  GPtrArray *pending; /* Pending* */
} Fake;

typedef struct {
  Fake *fake;
  FakeGuest *guest;
  VfCall *call;
  VfAlarm *alarm; /* when a hung one times out */
  guint source;
  gboolean carried_out;
} Pending;

static void
pending_free (gpointer data)
{
  Pending *pending = data;

  g_clear_handle_id (&pending->source, g_source_remove);
  g_clear_pointer (&pending->alarm, vf_alarm_cancel);
  g_free (pending);
}

static void
finish (Pending *pending)
{
  VfCall *call = pending->call;

  g_ptr_array_remove (pending->fake->pending, pending);
  call->done (call, call->data);
}

/* A hung agent may have got it all the same. */
static void
note_late (Pending *pending)
{
  FakeGuest *guest = pending->guest;

  guest->late |= pending->call->kind == VF_CALL_FREEZE && guest->hung && guest->lands
                 && guest->active && !fake_guest_is_frozen (guest);
}

static void
on_hung (gpointer data)
{
  Pending *pending = data;

  pending->alarm = NULL;
  note_late (pending);
  fail (pending->call, VF_ERROR_AGENT_UNAVAILABLE, TRUE, FALSE, "the agent does not answer");
  pending->call->timed_out = TRUE;
  finish (pending);
}

static gboolean
on_turn (gpointer data)
{
  Pending *pending = data;
  FakeGuest *guest = pending->guest;
  g_autofree FakeFault *fault = NULL;

  pending->source = 0;
  if (!pending->fake->connected)
    {
      fail (pending->call, VF_ERROR_DISCONNECTED, FALSE, FALSE, "libvirt cannot be reached");
      finish (pending);
      return G_SOURCE_REMOVE;
    }
  if (guest->held)
    return G_SOURCE_REMOVE;
  guest->hung |= guest->hangs_at[pending->call->kind];
  if (!pending->carried_out && guest->hung && guest->active && guest->run == pending->call->run)
    {
      gint64 timeout = pending->call->agent_timeout;

      if (timeout > 0)
        pending->alarm
            = vf_clock_set (pending->fake->clock, vf_clock_now () + timeout, on_hung, pending);
      return G_SOURCE_REMOVE;
    }
  if (!pending->carried_out)
    {
      fault = g_queue_pop_head (&guest->faults[pending->call->kind]);
      do_call (guest, pending->call, fault);
    }
  finish (pending);
  return G_SOURCE_REMOVE;
}

static void
fake_call (VfHypervisor *hypervisor, VfCall *call)
{
  Fake *fake = (Fake *) hypervisor;
  FakeGuest *guest = fake_guest_find (fake->host, call->uuid);
  Pending *pending = g_new0 (Pending, 1);

  g_assert_nonnull (guest);
  /* One call at a time: that is what a lane is for. */
  g_assert_cmpuint (fake_hypervisor_pending (hypervisor, guest), ==, 0);
  guest->calls[call->kind]++;
  if (fake->host->called != NULL)
    fake->host->called (guest, call, fake->host->data);
  *pending = (Pending){ .fake = fake, .guest = guest, .call = call };
  pending->source = g_idle_add_full (G_PRIORITY_DEFAULT, on_turn, pending, NULL);
  g_ptr_array_add (fake->pending, pending);
}

static Pending *
find_pending (Fake *fake, const FakeGuest *guest)
{
  for (guint i = 0; i < fake->pending->len; i++)
    {
      Pending *pending = g_ptr_array_index (fake->pending, i);
      if (pending->guest == guest)
        return pending;
    }
  return NULL;
}

guint
fake_hypervisor_pending (VfHypervisor *hypervisor, const FakeGuest *guest)
{
  return find_pending ((Fake *) hypervisor, guest) != NULL;
}

gboolean
fake_hypervisor_answered (VfHypervisor *hypervisor, const FakeGuest *guest)
{
  const Pending *pending = find_pending ((Fake *) hypervisor, guest);

  return pending != NULL && pending->carried_out;
}

gboolean
fake_hypervisor_answer (VfHypervisor *hypervisor, FakeGuest *guest, const FakeFault *fault)
{
  Pending *pending = find_pending ((Fake *) hypervisor, guest);

  if (pending == NULL)
    return FALSE;
  if (!pending->carried_out)
    do_call (guest, pending->call, fault);
  finish (pending);
  return TRUE;
}

void
fake_hypervisor_wake (VfHypervisor *hypervisor, FakeGuest *guest)
{
  Pending *pending = find_pending ((Fake *) hypervisor, guest);

  fake_guest_wake (guest);
  if (pending == NULL || pending->source != 0)
    return;
  g_clear_pointer (&pending->alarm, vf_alarm_cancel);
  pending->source = g_idle_add_full (G_PRIORITY_DEFAULT, on_turn, pending, NULL);
}

void
fake_hypervisor_carry_out (VfHypervisor *hypervisor, FakeGuest *guest)
{
  Pending *pending = find_pending ((Fake *) hypervisor, guest);

  g_assert_nonnull (pending);
  if (!pending->carried_out)
    do_call (guest, pending->call, NULL);
  pending->carried_out = TRUE;
}

static VfDomainInfo *
make_info (const FakeGuest *guest)
{
  VfDomainInfo *info = vf_domain_info_new (guest->uuid, guest->name);

  info->state = guest->state;
  info->active = guest->active;
  info->running = guest->running;
  info->agent_connected = guest->agent && guest->active;
  info->run = guest->run;
  for (guint i = 0; i < guest->disks->len; i++)
    vf_domain_info_add_disk (info, g_ptr_array_index (guest->disks, i), NULL);
  return info;
}

void
fake_hypervisor_tell (VfHypervisor *hypervisor, FakeGuest *guest)
{
  g_autoptr (VfDomainInfo) info = make_info (guest);

  if (((Fake *) hypervisor)->connected && !guest->undefined)
    hypervisor->listener->info (info, hypervisor->listener_data);
}

void
fake_hypervisor_gone (VfHypervisor *hypervisor, FakeGuest *guest)
{
  if (((Fake *) hypervisor)->connected)
    hypervisor->listener->gone (guest->uuid, hypervisor->listener_data);
}

void
fake_hypervisor_event (VfHypervisor *hypervisor, FakeGuest *guest, VfEvent event)
{
  if (((Fake *) hypervisor)->connected)
    hypervisor->listener->event (guest->uuid, event, hypervisor->listener_data);
}

void
fake_hypervisor_connect (VfHypervisor *hypervisor)
{
  Fake *fake = (Fake *) hypervisor;

  fake->connected = TRUE;
  hypervisor->test_driver = fake->host->kind == FAKE_DRIVER;
  hypervisor->no_part_thaw = FALSE;
  for (guint i = 0; i < fake->host->guests->len; i++)
    fake_hypervisor_tell (hypervisor, g_ptr_array_index (fake->host->guests, i));
  hypervisor->listener->connected (TRUE, hypervisor->listener_data);
}

static void
break_calls (Fake *fake, gboolean carried_out)
{
  while (fake->pending->len > 0)
    {
      Pending *pending = g_ptr_array_index (fake->pending, 0);
      FakeFault fault = { .carried_out = carried_out, .code = VF_ERROR_DISCONNECTED, .sent = TRUE };

      if (pending->carried_out && pending->call->error == NULL)
        fail (pending->call, VF_ERROR_DISCONNECTED, TRUE, FALSE, "the connection broke");
      else if (!pending->carried_out)
        do_call (pending->guest, pending->call, &fault);
      finish (pending);
    }
}

void
fake_hypervisor_disconnect (VfHypervisor *hypervisor, gboolean carried_out, gboolean first)
{
  Fake *fake = (Fake *) hypervisor;

  fake->connected = FALSE;
  if (first)
    break_calls (fake, carried_out);
  hypervisor->listener->connected (FALSE, hypervisor->listener_data);
  break_calls (fake, carried_out);
}

void
fake_hypervisor_kill (VfHypervisor *hypervisor)
{
  Fake *fake = (Fake *) hypervisor;

  fake->connected = FALSE;
  for (guint i = 0; i < fake->pending->len; i++)
    {
      Pending *pending = g_ptr_array_index (fake->pending, i);

      g_clear_handle_id (&pending->source, g_source_remove);
      note_late (pending);
    }
}

gboolean
fake_hypervisor_is_connected (VfHypervisor *hypervisor)
{
  return ((Fake *) hypervisor)->connected;
}

static void
fake_start (VfHypervisor *hypervisor G_GNUC_UNUSED)
{
  /* The test connects. */
}

static void
fake_refresh (VfHypervisor *hypervisor, const char *uuid, void (*done) (gpointer data),
              gpointer data)
{
  FakeGuest *guest = fake_guest_find (((Fake *) hypervisor)->host, uuid);

  if (guest != NULL)
    fake_hypervisor_tell (hypervisor, guest);
  if (done != NULL)
    done (data);
}

static void
fake_free (VfHypervisor *hypervisor)
{
  Fake *fake = (Fake *) hypervisor;

  g_assert_cmpuint (fake->pending->len, ==, 0);
  g_ptr_array_unref (fake->pending);
  g_free (fake);
}

VfHypervisor *
fake_hypervisor_new (FakeHost *host, VfClock *clock)
{
  Fake *fake = g_new0 (Fake, 1);

  fake->base = (VfHypervisor){
    .start = fake_start, .refresh = fake_refresh, .call = fake_call, .free = fake_free
  };
  fake->base.test_driver = host->kind == FAKE_DRIVER;
  fake->host = host;
  fake->clock = clock;
  fake->pending = g_ptr_array_new_with_free_func (pending_free);
  return &fake->base;
}
