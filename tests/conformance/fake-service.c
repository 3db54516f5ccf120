/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The service with a guest that is played: linked instead of hypervisor-libvirt.c.
 *
 * The URI is fake:FOLDER?agent or fake:FOLDER?driver. In the folder, "guest" tells what is
 * physically so, a line "DEVICE agent|exec [guard]" for each frozen filesystem; it outlives the
 * service, as a guest does. Whoever writes a line "thaw DEVICE" into the FIFO "outside" thaws it
 * behind the service's back.
 */
#include "fake-hypervisor.h"
#include "hypervisor-libvirt.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

typedef struct {
  VfHypervisor base;
  VfHypervisor *fake;
  VfClock *clock;
  FakeHost *host;
  FakeGuest *guest;
  char *folder;
  guint outside; /* source */
  guint start;   /* source */
  int fd;
} Played;

static void
write_guest (FakeGuest *guest, gpointer data)
{
  const Played *played = data;
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *file = g_build_filename (played->folder, "guest", NULL);

  for (guint i = 0; i < guest->filesystems->len; i++)
    {
      const FakeFilesystem *fs = g_ptr_array_index (guest->filesystems, i);

      if (fs->frozen)
        g_string_append_printf (text, "%s %s%s\n", fs->device, fs->by_exec ? "exec" : "agent",
                                fs->guard_until != 0 ? " guard" : "");
    }
  g_assert_true (g_file_set_contents (file, text->str, -1, NULL));
}

static FakeFilesystem *
find (const Played *played, const char *device)
{
  for (guint i = 0; i < played->guest->filesystems->len; i++)
    {
      FakeFilesystem *fs = g_ptr_array_index (played->guest->filesystems, i);

      if (g_str_equal (fs->device, device))
        return fs;
    }
  g_assert_not_reached ();
}

static void
read_guest (const Played *played)
{
  g_autofree char *file = g_build_filename (played->folder, "guest", NULL);
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;

  if (!g_file_get_contents (file, &text, NULL, NULL))
    return;
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL && *lines[i] != '\0'; i++)
    {
      g_auto (GStrv) words = g_strsplit (lines[i], " ", -1);
      FakeFilesystem *fs = find (played, words[0]);

      fs->frozen = TRUE;
      fs->by_exec = g_str_equal (words[1], "exec");
    }
}

/* An agent thaws all of its own at once, whatever was frozen by whom. */
static gboolean
on_outside (int fd, GIOCondition condition G_GNUC_UNUSED, gpointer data)
{
  Played *played = data;
  char line[64];
  ssize_t length = read (fd, line, sizeof line - 1);
  const char *device = line + strlen ("thaw ");

  if (length <= 0)
    return G_SOURCE_CONTINUE;
  line[length] = '\0';
  g_strchomp (line);
  g_assert_true (g_str_has_prefix (line, "thaw "));
  if (find (played, device)->by_exec)
    fake_exec_touch (played->guest, device, FALSE);
  else
    fake_guest_thaw (played->guest);
  write_guest (played->guest, played);
  return G_SOURCE_CONTINUE;
}

/* --- the interface: all is the fake's -------------------------------------------------------------- */

static gboolean
on_start (gpointer data)
{
  Played *played = data;

  played->start = 0;
  fake_hypervisor_connect (played->fake);
  return G_SOURCE_REMOVE;
}

static void
played_start (VfHypervisor *hypervisor)
{
  Played *played = (Played *) hypervisor;

  played->fake->listener = hypervisor->listener;
  played->fake->listener_data = hypervisor->listener_data;
  played->start = g_idle_add (on_start, played);
}

static void
played_refresh (VfHypervisor *hypervisor, const char *uuid, void (*done) (gpointer data),
                gpointer data)
{
  VfHypervisor *fake = ((Played *) hypervisor)->fake;

  fake->refresh (fake, uuid, done, data);
}

static void
played_call (VfHypervisor *hypervisor, VfCall *call)
{
  VfHypervisor *fake = ((Played *) hypervisor)->fake;

  fake->call (fake, call);
}

static void
played_free (VfHypervisor *hypervisor)
{
  Played *played = (Played *) hypervisor;

  g_clear_handle_id (&played->start, g_source_remove);
  g_clear_handle_id (&played->outside, g_source_remove);
  close (played->fd);
  played->fake->free (played->fake);
  fake_host_free (played->host);
  vf_clock_free (played->clock);
  g_free (played->folder);
  g_free (played);
}

static void
open_fifo (Played *played)
{
  g_autofree char *fifo = g_build_filename (played->folder, "outside", NULL);

  played->fd = open (fifo, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  g_assert_cmpint (played->fd, >=, 0);
  played->outside = g_unix_fd_add (played->fd, G_IO_IN, on_outside, played);
}

VfHypervisor *
vf_hypervisor_libvirt_new (const char *uri, guint max_calls G_GNUC_UNUSED)
{
  g_autoptr (GUri) parsed = g_uri_parse (uri, G_URI_FLAGS_NONE, NULL);
  Played *played = g_new0 (Played, 1);
  gboolean driver;

  g_assert_nonnull (parsed);
  driver = g_strcmp0 (g_uri_get_query (parsed), "driver") == 0;
  played->base = (VfHypervisor){ .start = played_start,
                                 .refresh = played_refresh,
                                 .call = played_call,
                                 .free = played_free,
                                 .test_driver = driver };
  played->folder = g_strdup (g_uri_get_path (parsed));
  played->host = fake_host_new (driver ? FAKE_DRIVER : FAKE_AGENT);
  played->guest
      = fake_guest_new (played->host, "guest", "vdx vdy", "a|/mnt/a|ext4|vdx b|/mnt/b|xfs|vdy");
  /* The state of the driver's guests dies with its process. */
  if (!driver)
    read_guest (played);
  write_guest (played->guest, played);
  played->host->changed = write_guest;
  played->host->data = played;
  open_fifo (played);
  played->clock = vf_clock_new ();
  played->fake = fake_hypervisor_new (played->host, played->clock);
  return &played->base;
}
