/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.virtfreeze1.Manager and org.freedesktop.DBus.ObjectManager. */
#include "bus-private.h"

#include "error.h"

GVariant *
bus_manager_property (VfBus *bus, const char *name)
{
  if (g_str_equal (name, "Version"))
    return g_variant_new_string (VF_VERSION);
  if (g_str_equal (name, "ConnectionUri"))
    return g_variant_new_string (bus->uri);
  if (g_str_equal (name, "Connected"))
    return g_variant_new_boolean (vf_registry_is_connected (bus->registry));
  return NULL;
}

static void
get_domain (BusCall *call)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = NULL;
  const char *name;
  VfDomain *domain;

  g_variant_get (call->parameters, "(&s)", &name);
  domain = vf_registry_find (call->bus->registry, name, &error);
  if (domain == NULL)
    {
      bus_call_fail (call, error);
      return;
    }
  path = bus_domain_path (domain);
  bus_call_return (call, g_variant_new ("(o)", path));
}

static void
get_managed_objects (BusCall *call)
{
  bus_call_return (call, g_variant_new ("(@a{oa{sa{sv}}})", bus_managed_objects (call->bus)));
}

const BusMethod bus_manager_methods[] = {
  { "org.virtfreeze1.Manager", "GetDomain", NULL, NULL, get_domain },
  { "org.virtfreeze1.Manager", "FreezeDomains", bus_group_read, bus_describe_freeze,
    bus_group_run },
  { "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", NULL, NULL, get_managed_objects },
  { 0 },
};
