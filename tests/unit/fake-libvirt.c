/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-libvirt.h"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>

/* max_client_requests and max_workers of libvirtd.conf */
#define MOST_OF_CLIENT 5
#define MOST_WORKERS 20

/* libvirt is a little later than it was asked to be. */
#define LATE (20 * G_TIME_SPAN_MILLISECOND)

typedef struct {
  gboolean hung;
  gboolean frozen;
  int response_seconds;
} Guest;

struct _virConnect {
  int refs;
  guint served;    /* calls that libvirtd works on */
  guint under_way; /* those, and those that wait for it */
  gboolean of_agents;
};

struct _virDomain {
  virConnectPtr connection;
  guint guest;
};

static struct {
  GMutex lock;
  GCond changed;
  Guest *guests;
  guint n;
  gint64 delay;
  guint served;
  guint waiting;
  guint agent_calls;
  guint plain_calls; /* answered */
  FakeLibvirtdSeen seen;
} libvirtd;

static _Thread_local virError last_error;

/* --- the daemon ------------------------------------------------------------------------------- */

void
fake_libvirtd_start (guint n, gint64 delay)
{
  g_mutex_lock (&libvirtd.lock);
  g_assert_null (libvirtd.guests);
  libvirtd.guests = g_new0 (Guest, n);
  libvirtd.n = n;
  libvirtd.delay = delay;
  g_mutex_unlock (&libvirtd.lock);
  fake_libvirtd_forget ();
}

void
fake_libvirtd_stop (void)
{
  g_assert_cmpuint (libvirtd.served, ==, 0);
  g_clear_pointer (&libvirtd.guests, g_free);
  libvirtd.n = 0;
}

void
fake_libvirtd_hang (guint guest, gboolean hung)
{
  g_mutex_lock (&libvirtd.lock);
  libvirtd.guests[guest].hung = hung;
  g_cond_broadcast (&libvirtd.changed);
  g_mutex_unlock (&libvirtd.lock);
}

gboolean
fake_libvirtd_is_frozen (guint guest)
{
  gboolean frozen;

  g_mutex_lock (&libvirtd.lock);
  frozen = libvirtd.guests[guest].frozen;
  g_mutex_unlock (&libvirtd.lock);
  return frozen;
}

static guint
look_at (const guint *counter)
{
  guint value;

  g_mutex_lock (&libvirtd.lock);
  value = *counter;
  g_mutex_unlock (&libvirtd.lock);
  return value;
}

guint
fake_libvirtd_agent_calls (void)
{
  return look_at (&libvirtd.agent_calls);
}

guint
fake_libvirtd_waiting (void)
{
  return look_at (&libvirtd.waiting);
}

guint
fake_libvirtd_plain_calls (void)
{
  return look_at (&libvirtd.plain_calls);
}

void
fake_libvirtd_forget (void)
{
  g_mutex_lock (&libvirtd.lock);
  libvirtd.seen = (FakeLibvirtdSeen){ 0 };
  g_mutex_unlock (&libvirtd.lock);
}

FakeLibvirtdSeen
fake_libvirtd_seen (void)
{
  FakeLibvirtdSeen seen;

  g_mutex_lock (&libvirtd.lock);
  seen = libvirtd.seen;
  g_mutex_unlock (&libvirtd.lock);
  return seen;
}

char *
fake_libvirtd_uuid (guint guest)
{
  return g_strdup_printf ("00000000-0000-4000-8000-%012u", guest);
}

/* The lock is held from begin() to end(). */
static void
begin (virConnectPtr connection)
{
  g_mutex_lock (&libvirtd.lock);
  connection->under_way++;
  if (connection->of_agents)
    libvirtd.seen.most_per_connection
        = MAX (libvirtd.seen.most_per_connection, connection->under_way);
  libvirtd.waiting++;
  while (connection->served >= MOST_OF_CLIENT || libvirtd.served >= MOST_WORKERS)
    g_cond_wait (&libvirtd.changed, &libvirtd.lock);
  libvirtd.waiting--;
  connection->served++;
  libvirtd.served++;
  libvirtd.seen.most_served = MAX (libvirtd.seen.most_served, libvirtd.served);
}

static void
end (virConnectPtr connection)
{
  connection->under_way--;
  connection->served--;
  libvirtd.served--;
  g_cond_broadcast (&libvirtd.changed);
  g_mutex_unlock (&libvirtd.lock);
}

static int
fail (int code, const char *message)
{
  last_error = (virError){ .code = code, .message = (char *) message };
  return -1;
}

/* Waits as long as the agent takes, with the lock released. FALSE: it does not answer. */
static gboolean
ask_agent (Guest *guest)
{
  gint64 asked = g_get_monotonic_time ();
  gboolean answers = TRUE;

  libvirtd.agent_calls++;
  libvirtd.seen.most_agent_calls = MAX (libvirtd.seen.most_agent_calls, libvirtd.agent_calls);
  while (guest->hung && answers)
    {
      if (guest->response_seconds > 0)
        answers = g_cond_wait_until (&libvirtd.changed, &libvirtd.lock,
                                     asked + guest->response_seconds * G_USEC_PER_SEC + LATE);
      else
        g_cond_wait (&libvirtd.changed, &libvirtd.lock);
    }
  if (answers)
    {
      g_mutex_unlock (&libvirtd.lock);
      g_usleep ((gulong) libvirtd.delay);
      g_mutex_lock (&libvirtd.lock);
    }
  libvirtd.agent_calls--;
  return answers;
}

/* A call to an agent; frozen: what it is to be afterwards, -1: it only asks. */
static int
call_agent (virDomainPtr domain, int frozen)
{
  Guest *guest;
  int result = 1;

  g_mutex_lock (&libvirtd.lock);
  domain->connection->of_agents = TRUE;
  g_mutex_unlock (&libvirtd.lock);
  begin (domain->connection);
  guest = &libvirtd.guests[domain->guest];
  if (!ask_agent (guest))
    result = fail (VIR_ERR_AGENT_UNRESPONSIVE, "guest agent is not responding");
  else if (guest->frozen && frozen != 0)
    result = fail (VIR_ERR_INTERNAL_ERROR, "the agent is in frozen state");
  else if (frozen >= 0)
    {
      result = guest->frozen != frozen;
      guest->frozen = frozen;
    }
  end (domain->connection);
  return result;
}

/* --- libvirt: connections --------------------------------------------------------------------- */

virConnectPtr
virConnectOpen (const char *name G_GNUC_UNUSED)
{
  virConnectPtr connection = g_new0 (struct _virConnect, 1);

  connection->refs = 1;
  return connection;
}

int
virConnectRef (virConnectPtr connection)
{
  g_atomic_int_inc (&connection->refs);
  return 0;
}

int
virConnectClose (virConnectPtr connection)
{
  if (g_atomic_int_dec_and_test (&connection->refs))
    g_free (connection);
  return 0;
}

const char *
virConnectGetType (virConnectPtr connection G_GNUC_UNUSED)
{
  return "QEMU";
}

int
virConnectIsAlive (virConnectPtr connection G_GNUC_UNUSED)
{
  return 1;
}

int
virConnectSetKeepAlive (virConnectPtr connection G_GNUC_UNUSED, int interval G_GNUC_UNUSED,
                        unsigned int count G_GNUC_UNUSED)
{
  return 0;
}

int
virConnectListAllDomains (virConnectPtr connection, virDomainPtr **domains,
                          unsigned int flags G_GNUC_UNUSED)
{
  guint n;

  begin (connection);
  n = libvirtd.n;
  libvirtd.plain_calls++;
  end (connection);
  *domains = calloc (n + 1, sizeof **domains);
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *uuid = fake_libvirtd_uuid (i);
      (*domains)[i] = virDomainLookupByUUIDString (connection, uuid);
    }
  return (int) n;
}

/* --- libvirt: events, which never come -------------------------------------------------------- */

static GPtrArray *callbacks; /* virFreeCallback and its data, by turns */

int
virConnectDomainEventRegisterAny (virConnectPtr connection, virDomainPtr domain G_GNUC_UNUSED,
                                  int event G_GNUC_UNUSED,
                                  virConnectDomainEventGenericCallback callback G_GNUC_UNUSED,
                                  void *data, virFreeCallback free_data)
{
  int id;

  begin (connection);
  if (callbacks == NULL)
    callbacks = g_ptr_array_new ();
  id = (int) callbacks->len;
  g_ptr_array_add (callbacks, free_data);
  g_ptr_array_add (callbacks, data);
  end (connection);
  return id;
}

int
virConnectDomainEventDeregisterAny (virConnectPtr connection, int id)
{
  virFreeCallback free_data;
  void *data;

  begin (connection);
  free_data = g_ptr_array_index (callbacks, (guint) id);
  data = g_ptr_array_index (callbacks, (guint) id + 1);
  end (connection);
  free_data (data);
  return 0;
}

int
virConnectRegisterCloseCallback (virConnectPtr connection G_GNUC_UNUSED,
                                 virConnectCloseFunc func G_GNUC_UNUSED, void *data G_GNUC_UNUSED,
                                 virFreeCallback free_data G_GNUC_UNUSED)
{
  return fail (VIR_ERR_NO_SUPPORT, "this connection is never closed");
}

int
virConnectUnregisterCloseCallback (virConnectPtr connection G_GNUC_UNUSED,
                                   virConnectCloseFunc func G_GNUC_UNUSED)
{
  return -1;
}

/* --- libvirt: domains ------------------------------------------------------------------------- */

virDomainPtr
virDomainLookupByUUIDString (virConnectPtr connection, const char *uuid)
{
  guint guest = (guint) strtoul (strrchr (uuid, '-') + 1, NULL, 10);
  gboolean known;
  virDomainPtr domain;

  begin (connection);
  known = guest < libvirtd.n;
  end (connection);
  if (!known)
    {
      fail (VIR_ERR_NO_DOMAIN, "no such domain");
      return NULL;
    }
  domain = g_new0 (struct _virDomain, 1);
  domain->connection = connection;
  domain->guest = guest;
  virConnectRef (connection);
  return domain;
}

int
virDomainFree (virDomainPtr domain)
{
  virConnectClose (domain->connection);
  g_free (domain);
  return 0;
}

int
virDomainGetUUIDString (virDomainPtr domain, char *buffer)
{
  g_autofree char *uuid = fake_libvirtd_uuid (domain->guest);

  g_strlcpy (buffer, uuid, VIR_UUID_STRING_BUFLEN);
  return 0;
}

unsigned int
virDomainGetID (virDomainPtr domain)
{
  return domain->guest + 1;
}

const char *
virDomainGetName (virDomainPtr domain)
{
  static char names[64][12];

  g_assert_cmpuint (domain->guest, <, G_N_ELEMENTS (names));
  g_snprintf (names[domain->guest], sizeof names[0], "guest-%02u", domain->guest);
  return names[domain->guest];
}

int
virDomainGetState (virDomainPtr domain, int *state, int *reason, unsigned int flags G_GNUC_UNUSED)
{
  begin (domain->connection);
  *state = VIR_DOMAIN_RUNNING;
  *reason = 0;
  end (domain->connection);
  return 0;
}

char *
virDomainGetXMLDesc (virDomainPtr domain, unsigned int flags G_GNUC_UNUSED)
{
  begin (domain->connection);
  end (domain->connection);
  return strdup ("<domain><devices>"
                 "<disk><source file='/images/a'/><target dev='vda'/></disk>"
                 "<channel><target type='virtio' name='org.qemu.guest_agent.0' "
                 "state='connected'/></channel></devices></domain>");
}

/* --- libvirt: agents -------------------------------------------------------------------------- */

int
virDomainAgentSetResponseTimeout (virDomainPtr domain, int timeout,
                                  unsigned int flags G_GNUC_UNUSED)
{
  begin (domain->connection);
  libvirtd.guests[domain->guest].response_seconds = timeout;
  libvirtd.seen.times_set++;
  end (domain->connection);
  return 0;
}

int
virDomainGetFSInfo (virDomainPtr domain, virDomainFSInfoPtr **infos,
                    unsigned int flags G_GNUC_UNUSED)
{
  virDomainFSInfoPtr info;

  if (call_agent (domain, -1) < 0)
    return -1;
  info = calloc (1, sizeof *info);
  info->mountpoint = strdup ("/");
  info->name = strdup ("vda1");
  info->fstype = strdup ("ext4");
  info->ndevAlias = 1;
  info->devAlias = calloc (1, sizeof *info->devAlias);
  info->devAlias[0] = strdup ("vda");
  *infos = calloc (1, sizeof **infos);
  (*infos)[0] = info;
  return 1;
}

void
virDomainFSInfoFree (virDomainFSInfoPtr info)
{
  free (info->mountpoint);
  free (info->name);
  free (info->fstype);
  for (size_t i = 0; i < info->ndevAlias; i++)
    free (info->devAlias[i]);
  free (info->devAlias);
  free (info);
}

int
virDomainGetTime (virDomainPtr domain, long long *seconds, unsigned int *nanoseconds,
                  unsigned int flags G_GNUC_UNUSED)
{
  *seconds = 0;
  *nanoseconds = 0;
  return call_agent (domain, -1);
}

int
virDomainFSFreeze (virDomainPtr domain, const char **mountpoints G_GNUC_UNUSED,
                   unsigned int n G_GNUC_UNUSED, unsigned int flags G_GNUC_UNUSED)
{
  return call_agent (domain, 1);
}

int
virDomainFSThaw (virDomainPtr domain, const char **mountpoints, unsigned int n G_GNUC_UNUSED,
                 unsigned int flags G_GNUC_UNUSED)
{
  if (mountpoints != NULL)
    return fail (VIR_ERR_ARGUMENT_UNSUPPORTED, "mountpoints are not supported");
  return call_agent (domain, 0);
}

/* Of engine exec there is no more here than agents that do not answer. */
char *
virDomainQemuAgentCommand (virDomainPtr domain, const char *command G_GNUC_UNUSED,
                           int timeout G_GNUC_UNUSED, unsigned int flags G_GNUC_UNUSED)
{
  if (call_agent (domain, -1) >= 0)
    fail (VIR_ERR_NO_SUPPORT, "not in this test");
  return NULL;
}

virConnectPtr
virDomainGetConnect (virDomainPtr domain)
{
  virResetLastError (); /* as every function of libvirt does, whatever it does besides */
  return domain->connection;
}

/* --- libvirt: errors -------------------------------------------------------------------------- */

virErrorPtr
virGetLastError (void)
{
  return last_error.code != VIR_ERR_OK ? &last_error : NULL;
}

int
virGetLastErrorCode (void)
{
  return last_error.code;
}

void
virResetLastError (void)
{
  last_error = (virError){ 0 };
}

void
virSetErrorFunc (void *data G_GNUC_UNUSED, virErrorFunc handler G_GNUC_UNUSED)
{
}
