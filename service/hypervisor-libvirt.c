/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hypervisor-libvirt.h"

#include "connections.h"
#include "domain-xml.h"
#include "error.h"
#include "guest-calls.h"
#include "libvirt-events.h"

#include <libvirt/virterror.h>
#include <string.h>

#define RECONNECT_FIRST_MS 200
#define RECONNECT_MOST_MS 10000

/* What a refresh of one domain under way is for. */
typedef struct {
  gboolean again;  /* something changed since it was started */
  GArray *waiters; /* Waiter, for its end */
  GArray *later;   /* Waiter, for the end of the next one */
} Refresh;

typedef struct {
  void (*done) (gpointer data);
  gpointer data;
} Waiter;

typedef struct {
  VfHypervisor base;
  char *uri;
  gboolean is_test;           /* libvirt's test driver */
  VfConnections *connections; /* for calls to guests */
  GThreadPool *guest_pool;    /* of VfCall */
  GThreadPool *control_pool;  /* of Job */

  virConnectPtr control; /* NULL while not connected */
  VfLibvirtEvents *events;
  guint reconnect_ms;
  guint reconnect_source;
  gboolean connecting;
  GHashTable *refreshing; /* UUID → Refresh */

  GMutex lock;
  GHashTable *timeouts_set; /* UUID → run: agents whose response time is set; under lock */
} Libvirt;

/* Work for the control pool: run on a worker, then done on the main thread, then freed. */
typedef struct _Job Job;
struct _Job {
  Libvirt *self;
  void (*run) (Job *job);
  void (*done) (Job *job);
  char *uuid;
  virConnectPtr connection;
  VfLibvirtEvents *events;
  GPtrArray *infos; /* VfDomainInfo* */
  GPtrArray *kept;  /* char*: UUIDs of those that could not be read */
  gboolean failed;
  gboolean gone;
  gboolean is_test;
  char *message;
};

static void start_connect (Libvirt *self);
static void disconnected (Libvirt *self, const char *why);
static void close_later (Libvirt *self, virConnectPtr connection, VfLibvirtEvents *events);

static void
job_free (Job *job)
{
  g_free (job->uuid);
  g_clear_pointer (&job->infos, g_ptr_array_unref);
  g_clear_pointer (&job->kept, g_ptr_array_unref);
  g_free (job->message);
  g_free (job);
}

static gboolean
job_done (gpointer data)
{
  Job *job = data;

  job->done (job);
  job_free (job);
  return G_SOURCE_REMOVE;
}

static void
job_run (gpointer data, gpointer pool_data G_GNUC_UNUSED)
{
  Job *job = data;

  job->run (job);
  g_idle_add_full (G_PRIORITY_DEFAULT, job_done, job, NULL);
}

static Job *
job_new (Libvirt *self, void (*run) (Job *), void (*done) (Job *))
{
  Job *job = g_new0 (Job, 1);

  job->self = self;
  job->run = run;
  job->done = done;
  return job;
}

static void
job_push (Job *job)
{
  g_thread_pool_push (job->self->control_pool, job, NULL);
}

static char *
last_error (void)
{
  const virError *error = virGetLastError ();

  return g_strdup (error != NULL && error->message != NULL ? error->message : "no reason given");
}

/* --- domains, on a worker ------------------------------------------------------------------- */

static const char *
state_word (int state)
{
  /* The words of libvirt's own sources, in the order of virDomainState. */
  static const char *const words[] = { "nostate",  "running", "blocked", "paused",
                                       "shutdown", "shutoff", "crashed", "pmsuspended" };

  return state >= 0 && state < (int) G_N_ELEMENTS (words) ? words[state] : "nostate";
}

/* NULL: it is gone, or libvirt does not tell. */
static VfDomainInfo *
read_domain (virDomainPtr domain, gboolean is_test)
{
  char uuid[VIR_UUID_STRING_BUFLEN];
  g_autoptr (VfDomainInfo) info = NULL;
  char *xml;
  int state, reason;
  gboolean readable;

  if (virDomainGetUUIDString (domain, uuid) < 0
      || virDomainGetState (domain, &state, &reason, 0) < 0)
    return NULL;
  info = vf_domain_info_new (uuid, virDomainGetName (domain));
  xml = virDomainGetXMLDesc (domain, 0);
  if (xml == NULL)
    return NULL;
  readable = vf_domain_xml_read (xml, info);
  free (xml);
  if (!readable)
    return NULL;
  info->state = state_word (state);
  info->active
      = state != VIR_DOMAIN_SHUTOFF && state != VIR_DOMAIN_CRASHED && state != VIR_DOMAIN_NOSTATE;
  info->running = state == VIR_DOMAIN_RUNNING || state == VIR_DOMAIN_BLOCKED;
  info->run = info->active ? (int) virDomainGetID (domain) : -1;
  /* The test driver answers without an agent. */
  info->agent_connected = is_test ? info->active : info->agent_connected && info->active;
  return g_steal_pointer (&info);
}

static void
run_refresh (Job *job)
{
  virDomainPtr domain = virDomainLookupByUUIDString (job->connection, job->uuid);
  VfDomainInfo *info;

  if (domain == NULL)
    {
      job->gone = virGetLastErrorCode () == VIR_ERR_NO_DOMAIN;
      return;
    }
  info = read_domain (domain, job->is_test);
  if (info != NULL)
    g_ptr_array_add (job->infos, info);
  else
    job->gone = virGetLastErrorCode () == VIR_ERR_NO_DOMAIN;
  virDomainFree (domain);
}

/* --- domains, on the main thread ------------------------------------------------------------- */

static void
refresh_free (gpointer data)
{
  Refresh *refresh = data;

  g_array_unref (refresh->waiters);
  g_array_unref (refresh->later);
  g_free (refresh);
}

static void done_refresh (Job *job);

static void
push_refresh (Libvirt *self, const char *uuid)
{
  Job *job = job_new (self, run_refresh, done_refresh);

  job->uuid = g_strdup (uuid);
  job->connection = self->control;
  virConnectRef (job->connection);
  job->is_test = self->is_test;
  job->infos = g_ptr_array_new_with_free_func ((GDestroyNotify) vf_domain_info_unref);
  job_push (job);
}

static void
done_refresh (Job *job)
{
  Libvirt *self = job->self;
  Refresh *refresh = g_hash_table_lookup (self->refreshing, job->uuid);
  gboolean current = job->connection == self->control;
  g_autoptr (GArray) waiters = NULL;

  if (current && job->infos->len > 0)
    self->base.listener->info (g_ptr_array_index (job->infos, 0), self->base.listener_data);
  else if (current && job->gone)
    self->base.listener->gone (job->uuid, self->base.listener_data);
  virConnectClose (job->connection);

  waiters = g_steal_pointer (&refresh->waiters);
  refresh->waiters = refresh->later;
  refresh->later = g_array_new (FALSE, FALSE, sizeof (Waiter));
  if (refresh->again && self->control != NULL)
    {
      refresh->again = FALSE;
      push_refresh (self, job->uuid);
    }
  else
    {
      g_array_append_vals (waiters, refresh->waiters->data, refresh->waiters->len);
      g_hash_table_remove (self->refreshing, job->uuid);
    }
  for (guint i = 0; i < waiters->len; i++)
    {
      Waiter *waiter = &g_array_index (waiters, Waiter, i);
      waiter->done (waiter->data);
    }
}

/* At most one refresh of a domain is under way; what comes meanwhile makes it run once more. */
static void
refresh (VfHypervisor *hypervisor, const char *uuid, void (*done) (gpointer data), gpointer data)
{
  Libvirt *self = (Libvirt *) hypervisor;
  Refresh *entry = g_hash_table_lookup (self->refreshing, uuid);
  Waiter waiter = { done, data };

  if (self->control == NULL)
    {
      if (done != NULL)
        done (data);
      return;
    }
  if (entry != NULL)
    {
      entry->again = TRUE;
      if (done != NULL)
        g_array_append_val (entry->later, waiter);
      return;
    }
  entry = g_new0 (Refresh, 1);
  entry->waiters = g_array_new (FALSE, FALSE, sizeof (Waiter));
  entry->later = g_array_new (FALSE, FALSE, sizeof (Waiter));
  if (done != NULL)
    g_array_append_val (entry->waiters, waiter);
  g_hash_table_insert (self->refreshing, g_strdup (uuid), entry);
  push_refresh (self, uuid);
}

/* --- events, on the main thread --------------------------------------------------------------- */

static void
on_event (const char *uuid, VfEvent event, gpointer data)
{
  Libvirt *self = data;

  self->base.listener->event (uuid, event, self->base.listener_data);
}

static void
on_changed (const char *uuid, gpointer data)
{
  refresh (data, uuid, NULL, NULL);
}

static void
on_closed (virConnectPtr connection, gpointer data)
{
  Libvirt *self = data;

  if (connection == self->control)
    disconnected (self, "the connection was closed");
}

static const VfLibvirtEventFuncs event_funcs = {
  .event = on_event,
  .changed = on_changed,
  .closed = on_closed,
};

/* --- the connection -------------------------------------------------------------------------- */

/* On a worker. */
static void
close_job_connection (Job *job)
{
  if (job->events != NULL)
    vf_libvirt_events_free (job->events);
  job->events = NULL;
  virConnectClose (job->connection);
}

/* On a worker: connect, ask for events, then list: what changes in between is in both. */
static void
run_connect (Job *job)
{
  Libvirt *self = job->self;
  virDomainPtr *domains = NULL;
  const char *type;
  int n;

  job->connection = virConnectOpen (self->uri);
  if (job->connection == NULL)
    {
      job->failed = TRUE;
      job->message = last_error ();
      return;
    }
  vf_connection_keep_alive (job->connection);
  type = virConnectGetType (job->connection);
  job->is_test = type != NULL && g_ascii_strcasecmp (type, "test") == 0;
  job->events = vf_libvirt_events_new (job->connection, &event_funcs, self);
  n = job->events != NULL ? virConnectListAllDomains (job->connection, &domains, 0) : -1;
  for (int i = 0; i < n; i++)
    {
      char uuid[VIR_UUID_STRING_BUFLEN];
      VfDomainInfo *info;

      virResetLastError ();
      info = read_domain (domains[i], job->is_test);
      if (info != NULL)
        g_ptr_array_add (job->infos, info);
      else if (virGetLastErrorCode () != VIR_ERR_NO_DOMAIN
               && virDomainGetUUIDString (domains[i], uuid) == 0)
        g_ptr_array_add (job->kept, g_strdup (uuid)); /* it counts as gone otherwise */
      virDomainFree (domains[i]);
    }
  job->failed = n < 0 || virConnectIsAlive (job->connection) != 1;
  free (domains);
  if (!job->failed)
    return;
  job->message = g_strdup ("the domains could not be listed");
  close_job_connection (job);
}

static gboolean
on_reconnect (gpointer data)
{
  Libvirt *self = data;

  self->reconnect_source = 0;
  start_connect (self);
  return G_SOURCE_REMOVE;
}

static void
plan_reconnect (Libvirt *self)
{
  if (self->reconnect_source != 0)
    return;
  self->reconnect_source = g_timeout_add (self->reconnect_ms, on_reconnect, self);
  self->reconnect_ms = MIN (self->reconnect_ms * 2, RECONNECT_MOST_MS);
}

static void
done_connect (Job *job)
{
  Libvirt *self = job->self;

  self->connecting = FALSE;
  if (!job->failed && virConnectIsAlive (job->connection) != 1)
    {
      /* Closed after the list: whoever was told of that had no connection to match it with. */
      job->failed = TRUE;
      job->message = g_strdup ("the connection was closed at once");
      close_later (self, job->connection, job->events);
    }
  if (job->failed)
    {
      if (self->reconnect_ms == RECONNECT_FIRST_MS)
        g_warning ("Cannot connect to libvirt at %s: %s; retrying", self->uri, job->message);
      plan_reconnect (self);
      self->base.listener->connected (FALSE, self->base.listener_data);
      return;
    }
  g_message ("Connected to libvirt at %s", self->uri);
  self->reconnect_ms = RECONNECT_FIRST_MS;
  self->control = job->connection;
  self->events = job->events;
  self->is_test = job->is_test;
  if (job->is_test)
    vf_connections_share (self->connections, job->connection);
  self->base.test_driver = job->is_test;
  self->base.no_part_thaw = FALSE; /* it may be another version */
  g_mutex_lock (&self->lock);
  g_hash_table_remove_all (self->timeouts_set);
  g_mutex_unlock (&self->lock);

  for (guint i = 0; i < job->infos->len; i++)
    self->base.listener->info (g_ptr_array_index (job->infos, i), self->base.listener_data);
  for (guint i = 0; i < job->kept->len; i++)
    self->base.listener->kept (g_ptr_array_index (job->kept, i), self->base.listener_data);
  self->base.listener->connected (TRUE, self->base.listener_data);
  vf_libvirt_events_replay (self->events);
}

static void
start_connect (Libvirt *self)
{
  Job *job;

  if (self->connecting || self->control != NULL)
    return;
  self->connecting = TRUE;
  job = job_new (self, run_connect, done_connect);
  job->infos = g_ptr_array_new_with_free_func ((GDestroyNotify) vf_domain_info_unref);
  job->kept = g_ptr_array_new_with_free_func (g_free);
  job_push (job);
}

static void
run_close (Job *job)
{
  close_job_connection (job);
  vf_connections_drop_all (job->self->connections);
}

static void
done_nothing (Job *job G_GNUC_UNUSED)
{
}

/* Closing asks libvirtd, and may wait. */
static void
close_later (Libvirt *self, virConnectPtr connection, VfLibvirtEvents *events)
{
  Job *job = job_new (self, run_close, done_nothing);

  job->connection = connection;
  job->events = events;
  vf_libvirt_events_silence (events);
  job_push (job);
}

static void
disconnected (Libvirt *self, const char *why)
{
  g_warning ("Lost libvirt at %s: %s; reconnecting", self->uri, why);
  close_later (self, g_steal_pointer (&self->control), g_steal_pointer (&self->events));
  self->base.listener->connected (FALSE, self->base.listener_data);
  plan_reconnect (self);
}

/* --- calls to guests -------------------------------------------------------------------------- */

static gboolean
is_time_set (const char *uuid, int run, gpointer data)
{
  Libvirt *self = data;
  gpointer known;
  gboolean set;

  g_mutex_lock (&self->lock);
  set = g_hash_table_lookup_extended (self->timeouts_set, uuid, NULL, &known)
        && GPOINTER_TO_INT (known) == run;
  g_mutex_unlock (&self->lock);
  return set;
}

static void
note_time_set (const char *uuid, int run, gpointer data)
{
  Libvirt *self = data;

  g_mutex_lock (&self->lock);
  g_hash_table_insert (self->timeouts_set, g_strdup (uuid), GINT_TO_POINTER (run));
  g_mutex_unlock (&self->lock);
}

static gboolean
call_done (gpointer data)
{
  VfCall *call = data;

  call->done (call, call->data);
  return G_SOURCE_REMOVE;
}

static void
run_call (gpointer data, gpointer pool_data)
{
  VfCall *call = data;
  Libvirt *self = pool_data;
  const VfResponseTimes times = { is_time_set, note_time_set, self };
  virConnectPtr connection = vf_connections_take (self->connections);

  if (connection == NULL)
    vf_guest_call_unconnected (call);
  else
    {
      vf_guest_call (connection, call, &times);
      vf_connections_give_back (self->connections, connection);
    }
  g_idle_add_full (G_PRIORITY_DEFAULT, call_done, call, NULL);
}

static void
call_guest (VfHypervisor *hypervisor, VfCall *call)
{
  Libvirt *self = (Libvirt *) hypervisor;

  g_thread_pool_push (self->guest_pool, call, NULL);
}

/* --- making and ending ------------------------------------------------------------------------ */

static void
start (VfHypervisor *hypervisor)
{
  start_connect ((Libvirt *) hypervisor);
}

static void
libvirt_free (VfHypervisor *hypervisor)
{
  Libvirt *self = (Libvirt *) hypervisor;

  g_clear_handle_id (&self->reconnect_source, g_source_remove);
  g_thread_pool_free (self->guest_pool, FALSE, TRUE);
  g_thread_pool_free (self->control_pool, FALSE, TRUE);
  if (self->events != NULL)
    vf_libvirt_events_silence (self->events);
  g_clear_pointer (&self->events, vf_libvirt_events_free);
  if (self->control != NULL)
    virConnectClose (self->control);
  vf_connections_free (self->connections);
  g_hash_table_unref (self->refreshing);
  g_hash_table_unref (self->timeouts_set);
  g_mutex_clear (&self->lock);
  g_free (self->uri);
  g_free (self);
}

/* Errors go where the call was made; libvirt's default is to print each to stderr. */
static void
print_nothing (void *data G_GNUC_UNUSED, virErrorPtr error G_GNUC_UNUSED)
{
}

VfHypervisor *
vf_hypervisor_libvirt_new (const char *uri, guint max_calls)
{
  Libvirt *self = g_new0 (Libvirt, 1);

  virSetErrorFunc (NULL, print_nothing);
  self->base = (VfHypervisor){
    .start = start, .refresh = refresh, .call = call_guest, .free = libvirt_free
  };
  self->uri = g_strdup (uri);
  self->connections = vf_connections_new (uri);
  self->guest_pool = g_thread_pool_new (run_call, self, (gint) max_calls, FALSE, NULL);
  self->control_pool = g_thread_pool_new (job_run, self, 2, FALSE, NULL);
  self->refreshing = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, refresh_free);
  self->timeouts_set = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->reconnect_ms = RECONNECT_FIRST_MS;
  g_mutex_init (&self->lock);
  return &self->base;
}
