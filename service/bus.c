/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The objects on the bus, and what is announced of them. */
#include "bus-private.h"

#include "virtfreeze-interfaces.h"

#include <string.h>

#define OBJECT_MANAGER "org.freedesktop.DBus.ObjectManager"
#define PROPERTIES "org.freedesktop.DBus.Properties"
#define MANAGER "org.virtfreeze1.Manager"
#define DOMAIN "org.virtfreeze1.Domain"
#define FREEZE "org.virtfreeze1.Freeze"

/* “freezing” and “thawing” are told when they last that long. Most are over before anybody could
 * look, and each signal costs the caller who waits behind it. */
#define PASSING_MS 20

/* --- properties -------------------------------------------------------------------------------- */

static const GDBusInterfaceInfo *
info_of (const BusObject *object)
{
  if (object->freeze != NULL)
    return &org_virtfreeze1_freeze_interface;
  if (object->domain != NULL)
    return &org_virtfreeze1_domain_interface;
  return &org_virtfreeze1_manager_interface;
}

static GVariant *
property (BusObject *object, const char *name)
{
  if (object->freeze != NULL)
    return bus_freeze_property (object, name);
  if (object->domain != NULL)
    return bus_domain_property (object, name);
  return bus_manager_property (object->bus, name);
}

static GVariant *
get_property (GDBusConnection *connection G_GNUC_UNUSED, const char *sender G_GNUC_UNUSED,
              const char *path G_GNUC_UNUSED, const char *interface G_GNUC_UNUSED, const char *name,
              GError **error, gpointer data)
{
  GVariant *value = property (data, name);

  if (value == NULL)
    g_set_error (error, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_PROPERTY, "There is no property “%s”",
                 name);
  return value;
}

/* a{sa{sv}}: the interface and its properties. */
static GVariant *
interfaces_of (BusObject *object)
{
  const GDBusInterfaceInfo *info = info_of (object);
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{sa{sv}}"));
  g_variant_builder_open (&builder, G_VARIANT_TYPE ("{sa{sv}}"));
  g_variant_builder_add (&builder, "s", info->name);
  g_variant_builder_open (&builder, G_VARIANT_TYPE ("a{sv}"));
  for (GDBusPropertyInfo **p = info->properties; *p != NULL; p++)
    g_variant_builder_add (&builder, "{sv}", (*p)->name, property (object, (*p)->name));
  g_variant_builder_close (&builder);
  g_variant_builder_close (&builder);
  return g_variant_builder_end (&builder);
}

GVariant *
bus_managed_objects (VfBus *bus)
{
  GVariantBuilder builder;
  GHashTableIter iter;
  gpointer value;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{oa{sa{sv}}}"));
  g_hash_table_iter_init (&iter, bus->objects);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    g_variant_builder_add (&builder, "{o@a{sa{sv}}}", ((BusObject *) value)->path,
                           interfaces_of (value));
  return g_variant_builder_end (&builder);
}

static const GDBusInterfaceVTable vtable
    = { .method_call = bus_method_call, .get_property = get_property };

/* --- signals ----------------------------------------------------------------------------------- */

static void
emit (VfBus *bus, const char *path, const char *interface, const char *name, GVariant *parameters)
{
  g_autoptr (GError) error = NULL;

  if (!g_dbus_connection_emit_signal (bus->connection, NULL, path, interface, name, parameters,
                                      &error))
    g_debug ("Cannot send %s: %s", name, error->message);
}

/* names: NULL-terminated */
static void
emit_changed (BusObject *object, const char *const *names)
{
  GVariantBuilder changed;

  if (names[0] == NULL)
    return;
  g_variant_builder_init (&changed, G_VARIANT_TYPE ("a{sv}"));
  for (; *names != NULL; names++)
    g_variant_builder_add (&changed, "{sv}", *names, property (object, *names));
  emit (object->bus, object->path, PROPERTIES, "PropertiesChanged",
        g_variant_new ("(sa{sv}as)", info_of (object)->name, &changed, NULL));
}

static gboolean
on_passing (gpointer data)
{
  BusObject *object = data;

  object->passing = 0;
  emit_changed (object, (const char *[]){ object->freeze != NULL ? "State" : "FreezeState", NULL });
  return G_SOURCE_REMOVE;
}

static void
tell_if_it_lasts (BusObject *object)
{
  if (object->passing == 0)
    object->passing = g_timeout_add (PASSING_MS, on_passing, object);
}

/* Whether a domain's FreezeState is to be told now. */
static gboolean
state_settled (BusObject *object)
{
  VfGuestState state = vf_lane_guest_state (object->domain->lane);

  if (state == VF_GUEST_FREEZING || state == VF_GUEST_THAWING)
    {
      tell_if_it_lasts (object);
      return FALSE;
    }
  g_clear_handle_id (&object->passing, g_source_remove);
  return TRUE; /* also if it is what was told last: somebody may have seen the state between */
}

/* --- objects ----------------------------------------------------------------------------------- */

char *
bus_domain_path (const VfDomain *domain)
{
  return g_strdelimit (g_strconcat (VF_BUS_ROOT "/domain/_", domain->info->uuid, NULL), "-", '_');
}

char *
bus_freeze_path (const VfFreeze *freeze)
{
  g_autofree char *domain = bus_domain_path (freeze->domain);

  return g_strdup_printf ("%s/freeze/%" G_GUINT64_FORMAT, domain, freeze->number);
}

static guint
publish (BusObject *object, const GDBusInterfaceInfo *info, GError **error)
{
  return g_dbus_connection_register_object (object->bus->connection, object->path,
                                            (GDBusInterfaceInfo *) info, &vtable, object, NULL,
                                            error);
}

static void
unpublish (BusObject *object)
{
  for (gsize i = 0; i < G_N_ELEMENTS (object->registrations); i++)
    if (object->registrations[i] != 0)
      g_dbus_connection_unregister_object (object->bus->connection, object->registrations[i]);
  g_clear_handle_id (&object->passing, g_source_remove);
  g_clear_pointer (&object->path, g_free);
}

static void
add_object (VfBus *bus, gpointer key, VfDomain *domain, VfFreeze *freeze)
{
  BusObject *object = g_new0 (BusObject, 1);
  g_autoptr (GError) error = NULL;

  object->bus = bus;
  object->domain = vf_domain_ref (domain);
  object->freeze = freeze != NULL ? vf_freeze_ref (freeze) : NULL;
  object->path = freeze != NULL ? bus_freeze_path (freeze) : bus_domain_path (domain);
  object->registrations[0] = publish (object, info_of (object), &error);
  if (error != NULL)
    g_warning ("Cannot publish %s: %s", object->path, error->message);
  g_hash_table_insert (bus->objects, key, object);
  emit (bus, VF_BUS_ROOT, OBJECT_MANAGER, "InterfacesAdded",
        g_variant_new ("(o@a{sa{sv}})", object->path, interfaces_of (object)));
}

static void
object_free (gpointer data)
{
  BusObject *object = data;

  unpublish (object);
  g_clear_pointer (&object->freeze, vf_freeze_unref);
  g_clear_pointer (&object->domain, vf_domain_unref);
  g_free (object);
}

static void
remove_object (VfBus *bus, gpointer key)
{
  BusObject *object = g_hash_table_lookup (bus->objects, key);
  const char *interfaces[] = { NULL, NULL };

  g_return_if_fail (object != NULL);
  interfaces[0] = info_of (object)->name;
  emit (bus, VF_BUS_ROOT, OBJECT_MANAGER, "InterfacesRemoved",
        g_variant_new ("(o^as)", object->path, interfaces));
  g_hash_table_remove (bus->objects, key);
}

/* --- what the core tells ------------------------------------------------------------------------ */

static void
on_connected (gboolean connected, gpointer data)
{
  VfBus *bus = data;

  if (bus->connected == connected)
    return;
  bus->connected = connected;
  emit_changed (&bus->root, (const char *[]){ "Connected", NULL });
}

static void
on_domain_added (VfDomain *domain, gpointer data)
{
  add_object (data, domain, domain, NULL);
}

static void
on_domain_changed (VfDomain *domain, VfDomainChange what, gpointer data)
{
  static const struct {
    VfDomainChange what;
    const char *name;
  } table[] = {
    { VF_DOMAIN_NAME, "Name" },
    { VF_DOMAIN_STATE, "State" },
    { VF_DOMAIN_AGENT, "AgentConnected" },
    { VF_DOMAIN_DISKS, "Disks" },
    { VF_DOMAIN_CONFIG, "Engine" },
    { VF_DOMAIN_CONFIG, "DefaultHold" },
    { VF_DOMAIN_CONFIG, "MaxHold" },
    { VF_DOMAIN_FREEZE_STATE, "FreezeState" },
    { VF_DOMAIN_SINCE, "FrozenSince" },
  };
  VfBus *bus = data;
  BusObject *object = g_hash_table_lookup (bus->objects, domain);
  const char *names[G_N_ELEMENTS (table) + 1] = { NULL };
  gsize n = 0;

  if (object == NULL)
    return;
  if ((what & VF_DOMAIN_FREEZE_STATE) && !state_settled (object))
    what &= ~VF_DOMAIN_FREEZE_STATE;
  for (gsize i = 0; i < G_N_ELEMENTS (table); i++)
    if (what & table[i].what)
      names[n++] = table[i].name;
  emit_changed (object, names);
}

static void
on_domain_removed (VfDomain *domain, gpointer data)
{
  remove_object (data, domain);
}

static void
on_freeze_added (VfFreeze *freeze, gpointer data)
{
  add_object (data, freeze, freeze->domain, freeze);
}

static void
on_freeze_changed (VfFreeze *freeze, VfFreezeChange what, gpointer data)
{
  VfBus *bus = data;
  BusObject *object = g_hash_table_lookup (bus->objects, freeze);
  const char *names[3] = { NULL };
  gsize n = 0;

  if (what & VF_FREEZE_CHANGED_STATE)
    tell_if_it_lasts (object); /* it is being thawed */
  if (what & VF_FREEZE_CHANGED_DEADLINE)
    names[n++] = "Deadline";
  if (what & VF_FREEZE_CHANGED_OWNER)
    names[n++] = "Owner";
  emit_changed (object, names);
}

static void
on_freeze_lost (VfFreeze *freeze, gpointer data)
{
  VfBus *bus = data;
  BusObject *object = g_hash_table_lookup (bus->objects, freeze);

  g_clear_handle_id (&object->passing, g_source_remove);
  emit_changed (object, (const char *[]){ "State", NULL });
  emit (bus, object->path, FREEZE, "Lost", g_variant_new ("(s)", vf_lost_word (freeze->why)));
}

static void
on_freeze_released (VfFreeze *freeze, VfReleasedWhy why, gpointer data)
{
  VfBus *bus = data;
  BusObject *object = g_hash_table_lookup (bus->objects, freeze);

  emit (bus, object->path, FREEZE, "Released", g_variant_new ("(s)", vf_released_word (why)));
  remove_object (bus, freeze);
}

const VfObserver vf_bus_observer = {
  .connected = on_connected,
  .domain_added = on_domain_added,
  .domain_changed = on_domain_changed,
  .domain_removed = on_domain_removed,
  .freeze_added = on_freeze_added,
  .freeze_changed = on_freeze_changed,
  .freeze_lost = on_freeze_lost,
  .freeze_released = on_freeze_released,
};

/* --- making and ending -------------------------------------------------------------------------- */

static void
on_client_gone (VfClient *client, gpointer data)
{
  VfBus *bus = data;

  bus_calls_client_gone (bus, client);
  vf_registry_owner_gone (bus->registry, client->name);
}

VfBus *
vf_bus_new (GDBusConnection *connection, VfAuthority *authority, const char *uri)
{
  VfBus *bus = g_new0 (VfBus, 1);

  bus->connection = g_object_ref (connection);
  bus->authority = authority;
  bus->uri = g_strdup (uri);
  bus->clients = vf_clients_new (connection, on_client_gone, bus);
  bus->objects = g_hash_table_new_full (NULL, NULL, NULL, object_free);
  bus->calls = g_hash_table_new (NULL, NULL);
  bus->pending = g_hash_table_new (NULL, NULL);
  bus->root.bus = bus;
  bus->root.path = g_strdup (VF_BUS_ROOT);
  return bus;
}

gboolean
vf_bus_start (VfBus *bus, VfRegistry *registry, GError **error)
{
  bus->registry = registry;
  if (!vf_clients_watch (bus->clients, error))
    return FALSE;
  bus->root.registrations[0] = publish (&bus->root, &org_virtfreeze1_manager_interface, error);
  if (bus->root.registrations[0] == 0)
    return FALSE;
  bus->root.registrations[1]
      = publish (&bus->root, &org_freedesktop_dbus_object_manager_interface, error);
  return bus->root.registrations[1] != 0;
}

typedef struct {
  VfBus *bus;
  guint waiting; /* answers, and the one who asks */
  void (*done) (gpointer data);
  gpointer data;
} OwnerCheck;

typedef struct {
  OwnerCheck *check;
  VfFreeze *freeze;
} OwnerAsked;

static void
owner_check_done (OwnerCheck *check)
{
  if (--check->waiting > 0)
    return;
  check->done (check->data);
  g_free (check);
}

/* The same name on the same bus is the same connection. */
static void
on_owner (VfClient *client, gpointer data)
{
  g_autofree OwnerAsked *asked = data;
  g_autoptr (VfFreeze) freeze = asked->freeze;

  if (!freeze->gone && (client == NULL || client->uid != freeze->uid))
    vf_lane_owner_gone (freeze->domain->lane, freeze);
  owner_check_done (asked->check);
}

static void
ask_for_owner (VfFreeze *freeze, gpointer data)
{
  OwnerCheck *check = data;
  OwnerAsked *asked;

  if (*freeze->owner == '\0')
    return; /* a lease whose creator had left */
  asked = g_new (OwnerAsked, 1);
  *asked = (OwnerAsked){ check, vf_freeze_ref (freeze) };
  check->waiting++;
  vf_clients_get (check->bus->clients, freeze->owner, on_owner, asked);
}

void
vf_bus_check_owners (VfBus *bus, void (*done) (gpointer data), gpointer data)
{
  OwnerCheck *check = g_new (OwnerCheck, 1);

  *check = (OwnerCheck){ bus, 1, done, data };
  vf_registry_foreach_freeze (bus->registry, ask_for_owner, check);
  owner_check_done (check);
}

void
vf_bus_free (VfBus *bus)
{
  bus_calls_clear (bus);
  g_hash_table_unref (bus->objects);
  unpublish (&bus->root);
  vf_clients_free (bus->clients);
  g_hash_table_unref (bus->calls);
  g_hash_table_unref (bus->pending);
  g_object_unref (bus->connection);
  g_free (bus->uri);
  g_free (bus);
}
