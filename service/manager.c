/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager.h"

#include "bus.h"
#include "hypervisor-libvirt.h"

#define BUS_NAME "org.virtfreeze1"
#define READY_MS 2000
#define STOP_SECONDS 10

/* The limit that configuration has for MaxInFlight: a reload may raise it. */
#define MOST_CALLS 19

struct _VfManager {
  GDBusConnection *connection;
  VfHypervisor *hypervisor;
  VfClock *clock;
  VfAuthority *authority;
  VfBus *bus;
  VfRegistry *registry;
  guint name;         /* owner id; 0 until it is asked for */
  guint ready_timer;
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
  g_clear_handle_id (&manager->ready_timer, g_source_remove);
  if (manager->name == 0 && !manager->stopping)
    manager->name = g_bus_own_name_on_connection (
        manager->connection, BUS_NAME, G_BUS_NAME_OWNER_FLAGS_DO_NOT_QUEUE, on_name_acquired,
        on_name_lost, manager, NULL);
}

static gboolean
on_ready_timer (gpointer data)
{
  VfManager *manager = data;

  manager->ready_timer = 0;
  take_name (manager);
  return G_SOURCE_REMOVE;
}

static void
on_attempted (gpointer data)
{
  take_name (data);
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

VfManager *
vf_manager_new (GDBusConnection *connection, VfConfig *config, const char *uri, gboolean session,
                void (*done) (int status, gpointer data), gpointer data)
{
  VfManager *manager = g_new0 (VfManager, 1);

  manager->connection = g_object_ref (connection);
  manager->done = done;
  manager->data = data;
  manager->clock = vf_clock_new ();
  manager->hypervisor = vf_hypervisor_libvirt_new (uri, MOST_CALLS);
  manager->authority = vf_authority_new (session);
  manager->bus = vf_bus_new (connection, manager->authority, uri);
  manager->registry = vf_registry_new (manager->hypervisor, manager->clock, config,
                                       &vf_bus_observer, manager->bus);
  return manager;
}

void
vf_manager_free (VfManager *manager)
{
  g_clear_handle_id (&manager->ready_timer, g_source_remove);
  g_clear_handle_id (&manager->stop_timer, g_source_remove);
  g_clear_signal_handler (&manager->closed, manager->connection);
  if (manager->name != 0)
    g_bus_unown_name (manager->name);
  vf_bus_free (manager->bus);
  vf_registry_free (manager->registry);
  vf_authority_free (manager->authority);
  manager->hypervisor->free (manager->hypervisor);
  vf_clock_free (manager->clock);
  g_object_unref (manager->connection);
  g_free (manager);
}

gboolean
vf_manager_start (VfManager *manager, GError **error)
{
  if (!vf_bus_start (manager->bus, manager->registry, error))
    return FALSE;
  g_dbus_connection_set_exit_on_close (manager->connection, FALSE);
  manager->closed
      = g_signal_connect (manager->connection, "closed", G_CALLBACK (on_closed), manager);
  manager->ready_timer = g_timeout_add (READY_MS, on_ready_timer, manager);
  vf_registry_start (manager->registry, on_attempted, manager);
  return TRUE;
}

void
vf_manager_configure (VfManager *manager, VfConfig *config)
{
  vf_registry_configure (manager->registry, config);
}

static void
on_stopped (gpointer data)
{
  VfManager *manager = data;

  /* What was sent last must be out before the process is. */
  g_dbus_connection_flush_sync (manager->connection, NULL, NULL);
  manager->done (0, manager->data);
}

static gboolean
on_stop_timer (gpointer data)
{
  VfManager *manager = data;

  manager->stop_timer = 0;
  g_warning ("Some guests could not be thawed within %d s", STOP_SECONDS);
  manager->done (0, manager->data);
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
