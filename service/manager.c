/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager.h"

#include "bus.h"
#include "fault.h"
#include "hypervisor-libvirt.h"

#define BUS_NAME "org.virtfreeze1"
#define READY_MS 2000
#define STOP_SECONDS 10

/* The limit that configuration has for MaxInFlight: a reload may raise it. */
#define MOST_CALLS 19

struct _VfManager {
  GDBusConnection *connection; /* NULL: only release what is owed */
  VfJournal *journal;
  char *uri;
  VfHypervisor *hypervisor;
  VfClock *clock;
  VfAuthority *authority;
  VfBus *bus;
  VfRegistry *registry;
  guint name; /* owner id; 0 until it is asked for */
  guint ready_timer;
  gboolean attempted;   /* libvirt's domains are listed, or cannot be for now */
  gboolean owners_seen; /* it is known which owners of adopted freezes are still there */
  guint stop_timer;
  gulong closed;
  gboolean stopping;
  void (*done) (int status, gpointer data);
  gpointer data;
};

/* --- the name ----------------------------------------------------------------------------------- */

static void
on_name_lost (GDBusConnection *connection G_GNUC_UNUSED, const char *name, gpointer data)
{
  VfManager *manager = data;

  if (manager->stopping)
    return;
  g_critical ("The bus name %s is not to be had, or was lost: is another instance running, and "
              "does the bus policy allow it?",
              name);
  manager->done (1, manager->data);
}

static void
on_name_acquired (GDBusConnection *connection G_GNUC_UNUSED, const char *name G_GNUC_UNUSED,
                  gpointer data G_GNUC_UNUSED)
{
  g_message ("Ready");
}

/* Ready: whoever calls now finds the domains, or learns that there is no connection. */
static void
take_name (VfManager *manager)
{
  if (!manager->attempted || !manager->owners_seen)
    return;
  g_clear_handle_id (&manager->ready_timer, g_source_remove);
  VF_FAULT ("adopt-nameless");
  if (manager->name == 0 && !manager->stopping)
    manager->name = g_bus_own_name_on_connection (manager->connection, BUS_NAME,
                                                  G_BUS_NAME_OWNER_FLAGS_DO_NOT_QUEUE,
                                                  on_name_acquired, on_name_lost, manager, NULL);
}

static gboolean
on_ready_timer (gpointer data)
{
  VfManager *manager = data;

  manager->ready_timer = 0;
  manager->attempted = TRUE;
  take_name (manager);
  return G_SOURCE_REMOVE;
}

static void
on_attempted (gpointer data)
{
  VfManager *manager = data;

  manager->attempted = TRUE;
  if (manager->connection != NULL)
    take_name (manager);
}

static void
on_owners_seen (gpointer data)
{
  VfManager *manager = data;

  manager->owners_seen = TRUE;
  take_name (manager);
}

static void
on_closed (GDBusConnection *connection G_GNUC_UNUSED, gboolean vanished G_GNUC_UNUSED,
           GError *error G_GNUC_UNUSED, gpointer data)
{
  VfManager *manager = data;

  g_critical ("The connection to the bus was lost");
  manager->done (1, manager->data);
}

/* --- starting and stopping ------------------------------------------------------------------------ */

static void
on_flushed (GObject *source, GAsyncResult *result, gpointer data)
{
  VfManager *manager = data;

  g_dbus_connection_flush_finish (G_DBUS_CONNECTION (source), result, NULL);
  manager->done (0, manager->data);
}

static void
on_stopped (gpointer data)
{
  VfManager *manager = data;

  /* What was sent last must be out before the process is. */
  if (manager->connection != NULL)
    g_dbus_connection_flush (manager->connection, NULL, on_flushed, manager);
  else
    manager->done (0, manager->data);
}

/* Without a bus nobody is told. */
static void
ignore_domain (VfDomain *domain G_GNUC_UNUSED, gpointer data G_GNUC_UNUSED)
{
}

static void
ignore_domain_change (VfDomain *domain G_GNUC_UNUSED, VfDomainChange what G_GNUC_UNUSED,
                      gpointer data G_GNUC_UNUSED)
{
}

static void
ignore_connected (gboolean connected G_GNUC_UNUSED, gpointer data G_GNUC_UNUSED)
{
}

/* Without a bus no freeze is made or adopted. */
static const VfObserver nobody = { .connected = ignore_connected,
                                   .domain_added = ignore_domain,
                                   .domain_changed = ignore_domain_change,
                                   .domain_removed = ignore_domain };

VfManager *
vf_manager_new (GDBusConnection *connection, VfJournal *journal, VfConfig *config, const char *uri,
                gboolean session, void (*done) (int status, gpointer data), gpointer data)
{
  VfManager *manager = g_new0 (VfManager, 1);

  manager->journal = journal;
  manager->uri = g_strdup (uri);
  manager->done = done;
  manager->data = data;
  manager->clock = vf_clock_new ();
  manager->hypervisor = vf_hypervisor_libvirt_new (uri, MOST_CALLS);
  if (connection != NULL)
    {
      manager->connection = g_object_ref (connection);
      manager->authority = vf_authority_new (session ? NULL : connection);
      manager->bus = vf_bus_new (connection, manager->authority, uri);
    }
  manager->registry
      = vf_registry_new (manager->hypervisor, manager->clock, config,
                         connection != NULL ? &vf_bus_observer : &nobody, manager->bus);
  return manager;
}

void
vf_manager_free (VfManager *manager)
{
  g_clear_handle_id (&manager->ready_timer, g_source_remove);
  g_clear_handle_id (&manager->stop_timer, g_source_remove);
  if (manager->name != 0)
    g_bus_unown_name (manager->name);
  if (manager->connection != NULL)
    {
      g_clear_signal_handler (&manager->closed, manager->connection);
      vf_bus_free (manager->bus);
    }
  vf_registry_free (manager->registry);
  g_clear_pointer (&manager->authority, vf_authority_free);
  manager->hypervisor->free (manager->hypervisor);
  vf_clock_free (manager->clock);
  g_clear_object (&manager->connection);
  g_free (manager->uri);
  g_free (manager);
}

/* Which bus this is: unique names mean nothing on another one. */
static char *
get_bus_id (GDBusConnection *connection, GError **error)
{
  g_autoptr (GVariant) reply = g_dbus_connection_call_sync (
      connection, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId",
      NULL, G_VARIANT_TYPE ("(s)"), G_DBUS_CALL_FLAGS_NONE, -1, NULL, error);
  char *id = NULL;

  if (reply != NULL)
    g_variant_get (reply, "(s)", &id);
  return id;
}

static gboolean
start_on_bus (VfManager *manager, GError **error)
{
  g_autofree char *bus_id = get_bus_id (manager->connection, error);

  if (bus_id == NULL || !vf_bus_start (manager->bus, manager->registry, error))
    return FALSE;
  g_dbus_connection_set_exit_on_close (manager->connection, FALSE);
  manager->closed
      = g_signal_connect (manager->connection, "closed", G_CALLBACK (on_closed), manager);
  vf_registry_set_journal (manager->registry, manager->journal, manager->uri, bus_id);
  vf_registry_recover (manager->registry, TRUE);
  manager->ready_timer = g_timeout_add (READY_MS, on_ready_timer, manager);
  vf_bus_check_owners (manager->bus, on_owners_seen, manager);
  return TRUE;
}

gboolean
vf_manager_start (VfManager *manager, GError **error)
{
  if (manager->connection != NULL)
    {
      if (!start_on_bus (manager, error))
        return FALSE;
      vf_registry_start (manager->registry, on_attempted, manager);
      return TRUE;
    }
  vf_registry_set_journal (manager->registry, manager->journal, manager->uri, NULL);
  vf_registry_recover (manager->registry, FALSE);
  vf_registry_start (manager->registry, on_attempted, manager);
  vf_registry_stop (manager->registry, on_stopped, manager);
  return TRUE;
}

void
vf_manager_configure (VfManager *manager, VfConfig *config)
{
  vf_registry_configure (manager->registry, config);
}

static gboolean
on_stop_timer (gpointer data)
{
  VfManager *manager = data;

  manager->stop_timer = 0;
  g_warning ("Some guests could not be thawed within %d s", STOP_SECONDS);
  /* So that systemd starts who pays the rest. The one-shot itself is only stopped for the service. */
  manager->done (manager->connection != NULL ? 1 : 0, manager->data);
  return G_SOURCE_REMOVE;
}

void
vf_manager_stop (VfManager *manager)
{
  if (manager->stopping)
    return;
  manager->stopping = TRUE;
  manager->stop_timer = g_timeout_add_seconds (STOP_SECONDS, on_stop_timer, manager);
  vf_registry_stop (manager->registry, on_stopped, manager);
}
