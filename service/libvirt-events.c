/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-events.h"

#include <libvirt/virterror.h>

#define MAX_REGISTERED 8

struct _VfLibvirtEvents {
  gint refs; /* one for each callback that libvirt holds, one for the owner */
  virConnectPtr connection;
  const VfLibvirtEventFuncs *funcs;
  gpointer data;
  int ids[MAX_REGISTERED];
  guint n_ids;
  gboolean live;     /* main thread: "changed" goes through */
  gboolean silent;   /* main thread: nothing goes through */
  GHashTable *noted; /* UUIDs that changed before it was live */
};

static void
unref (void *data)
{
  VfLibvirtEvents *events = data;

  if (!g_atomic_int_dec_and_test (&events->refs))
    return;
  g_hash_table_unref (events->noted);
  g_free (events);
}

static void
tell (VfLibvirtEvents *events, virDomainPtr domain, const VfEvent *event)
{
  char uuid[VIR_UUID_STRING_BUFLEN];

  if (events->silent || virDomainGetUUIDString (domain, uuid) < 0)
    return;
  if (event != NULL)
    events->funcs->event (uuid, *event, events->data);
  if (events->live)
    events->funcs->changed (uuid, events->data);
  else
    g_hash_table_add (events->noted, g_strdup (uuid));
}

/* --- libvirt's callbacks, from the main loop -------------------------------------------------- */

static const VfEvent *
lifecycle_event (int event, int detail)
{
  static const VfEvent stopped = VF_EVENT_STOPPED, saved = VF_EVENT_SAVED,
                       migrated = VF_EVENT_MIGRATED, restored = VF_EVENT_RESTORED,
                       resumed = VF_EVENT_RESUMED, booted = VF_EVENT_BOOTED;

  switch (event)
    {
    case VIR_DOMAIN_EVENT_STARTED:
      switch (detail)
        {
        case VIR_DOMAIN_EVENT_STARTED_BOOTED:
          return &booted;
        case VIR_DOMAIN_EVENT_STARTED_MIGRATED:
        case VIR_DOMAIN_EVENT_STARTED_RESTORED:
        case VIR_DOMAIN_EVENT_STARTED_FROM_SNAPSHOT:
          return &restored;
        default:
          return NULL;
        }
    case VIR_DOMAIN_EVENT_SUSPENDED:
      return detail == VIR_DOMAIN_EVENT_SUSPENDED_FROM_SNAPSHOT ? &restored : NULL;
    case VIR_DOMAIN_EVENT_RESUMED:
      return detail == VIR_DOMAIN_EVENT_RESUMED_FROM_SNAPSHOT ? &restored : &resumed;
    case VIR_DOMAIN_EVENT_STOPPED:
      switch (detail)
        {
        case VIR_DOMAIN_EVENT_STOPPED_MIGRATED:
          return &migrated;
        case VIR_DOMAIN_EVENT_STOPPED_SAVED:
          return &saved;
        case VIR_DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT:
          return &restored;
        default:
          return &stopped;
        }
    case VIR_DOMAIN_EVENT_CRASHED:
      return &stopped;
    default:
      return NULL;
    }
}

static int
on_lifecycle (virConnectPtr connection G_GNUC_UNUSED, virDomainPtr domain, int event, int detail,
              void *data)
{
  tell (data, domain, lifecycle_event (event, detail));
  return 0;
}

static void
on_reboot (virConnectPtr connection G_GNUC_UNUSED, virDomainPtr domain, void *data)
{
  static const VfEvent reset = VF_EVENT_RESET;

  tell (data, domain, &reset);
}

static void
on_agent (virConnectPtr connection G_GNUC_UNUSED, virDomainPtr domain, int state,
          int reason G_GNUC_UNUSED, void *data)
{
  static const VfEvent agent = VF_EVENT_AGENT_CONNECTED;

  tell (data, domain,
        state == VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED ? &agent : NULL);
}

static void
on_device (virConnectPtr connection G_GNUC_UNUSED, virDomainPtr domain,
           const char *alias G_GNUC_UNUSED, void *data)
{
  tell (data, domain, NULL);
}

static void
on_block_job (virConnectPtr connection G_GNUC_UNUSED, virDomainPtr domain,
              const char *disk G_GNUC_UNUSED, int type G_GNUC_UNUSED, int status G_GNUC_UNUSED,
              void *data)
{
  tell (data, domain, NULL); /* a disk may have another source now */
}

static void
on_disk_change (virConnectPtr connection G_GNUC_UNUSED, virDomainPtr domain,
                const char *old_source G_GNUC_UNUSED, const char *new_source G_GNUC_UNUSED,
                const char *alias G_GNUC_UNUSED, int reason G_GNUC_UNUSED, void *data)
{
  tell (data, domain, NULL);
}

static gboolean
closed_on_main (gpointer data)
{
  VfLibvirtEvents *events = data;

  if (!events->silent)
    events->funcs->closed (events->connection, events->data);
  unref (events);
  return G_SOURCE_REMOVE;
}

/* On whichever thread notices first. */
static void
on_close (virConnectPtr connection G_GNUC_UNUSED, int reason G_GNUC_UNUSED, void *data)
{
  VfLibvirtEvents *events = data;

  g_atomic_int_inc (&events->refs);
  g_idle_add_full (G_PRIORITY_DEFAULT, closed_on_main, events, NULL);
}

/* --- registration ---------------------------------------------------------------------------- */

static gboolean
add (VfLibvirtEvents *events, int event, virConnectDomainEventGenericCallback callback)
{
  int id;

  g_atomic_int_inc (&events->refs);
  id = virConnectDomainEventRegisterAny (events->connection, NULL, event, callback, events, unref);
  if (id < 0)
    {
      unref (events);
      return FALSE;
    }
  g_assert (events->n_ids < MAX_REGISTERED);
  events->ids[events->n_ids++] = id;
  return TRUE;
}

VfLibvirtEvents *
vf_libvirt_events_new (virConnectPtr connection, const VfLibvirtEventFuncs *funcs, gpointer data)
{
  VfLibvirtEvents *events = g_new0 (VfLibvirtEvents, 1);

  events->refs = 1;
  events->connection = connection;
  events->funcs = funcs;
  events->data = data;
  events->noted = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  if (!add (events, VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK (on_lifecycle)))
    {
      unref (events);
      return NULL;
    }
  /* Not every driver has these. */
  add (events, VIR_DOMAIN_EVENT_ID_REBOOT, VIR_DOMAIN_EVENT_CALLBACK (on_reboot));
  add (events, VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK (on_agent));
  add (events, VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_CALLBACK (on_device));
  add (events, VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK (on_device));
  add (events, VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, VIR_DOMAIN_EVENT_CALLBACK (on_block_job));
  add (events, VIR_DOMAIN_EVENT_ID_DISK_CHANGE, VIR_DOMAIN_EVENT_CALLBACK (on_disk_change));
  g_atomic_int_inc (&events->refs);
  if (virConnectRegisterCloseCallback (connection, on_close, events, unref) < 0)
    unref (events);
  virResetLastError ();
  return events;
}

void
vf_libvirt_events_replay (VfLibvirtEvents *events)
{
  GHashTableIter iter;
  gpointer uuid;

  events->live = TRUE;
  g_hash_table_iter_init (&iter, events->noted);
  while (g_hash_table_iter_next (&iter, &uuid, NULL))
    events->funcs->changed (uuid, events->data);
  g_hash_table_remove_all (events->noted);
}

void
vf_libvirt_events_silence (VfLibvirtEvents *events)
{
  events->silent = TRUE;
}

void
vf_libvirt_events_free (VfLibvirtEvents *events)
{
  for (guint i = 0; i < events->n_ids; i++)
    virConnectDomainEventDeregisterAny (events->connection, events->ids[i]);
  virConnectUnregisterCloseCallback (events->connection, on_close);
  virResetLastError ();
  unref (events);
}
