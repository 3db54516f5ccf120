/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The way of a call: form → client → authorization → look again → core → one reply. */
#include "bus-private.h"

#include "error.h"

#include <string.h>

/* Of one call's parameters. Far above what a freeze of every disk needs; calls are kept while they
 * wait for polkit, and anybody may make them. */
#define MAX_PARAMETERS (256 * 1024)

static void
call_free (BusCall *call)
{
  VfBus *bus = call->bus;

  if (call->places > 0)
    {
      gpointer uid = GUINT_TO_POINTER (call->client->uid);
      guint count = GPOINTER_TO_UINT (g_hash_table_lookup (bus->pending, uid)) - call->places;

      if (count == 0)
        g_hash_table_remove (bus->pending, uid);
      else
        g_hash_table_insert (bus->pending, uid, GUINT_TO_POINTER (count));
    }
  g_hash_table_remove (bus->calls, call);
  g_clear_pointer (&call->check, vf_check_cancel);
  g_clear_pointer (&call->parts, g_ptr_array_unref);
  g_clear_error (&call->refused);
  g_clear_object (&call->invocation);
  g_variant_unref (call->parameters);
  g_clear_pointer (&call->freeze, vf_freeze_unref);
  g_clear_pointer (&call->domain, vf_domain_unref);
  g_clear_pointer (&call->client, vf_client_unref);
  g_strfreev (call->names);
  g_strfreev (call->disks);
  g_free (call->unknown);
  g_free (call->reason);
  g_free (call);
}

void
bus_call_free_part (gpointer part)
{
  call_free (part);
}

BusCall *
bus_call_new_part (BusCall *whole, VfDomain *domain)
{
  BusCall *part = g_new0 (BusCall, 1);

  part->bus = whole->bus;
  part->method = whole->method;
  part->rule = whole->rule;
  part->parameters = g_variant_ref (whole->parameters);
  part->domain = vf_domain_ref (domain);
  part->received = whole->received;
  part->whole = whole;
  return part;
}

void
bus_call_return (BusCall *call, GVariant *reply)
{
  g_dbus_method_invocation_return_value (g_steal_pointer (&call->invocation), reply);
  call_free (call);
}

void
bus_call_fail (BusCall *call, const GError *error)
{
  const char *name = "org.freedesktop.DBus.Error.UnknownObject";

  if (error->domain == VF_ERROR)
    name = vf_error_dbus_name ((VfError) error->code);
  g_dbus_method_invocation_return_dbus_error (g_steal_pointer (&call->invocation), name,
                                              error->message);
  call_free (call);
}

void
bus_call_answer (const GError *error, gpointer data)
{
  if (error != NULL)
    bus_call_fail (data, error);
  else
    bus_call_return (data, NULL);
}

gint64
bus_call_deadline (BusCall *call)
{
  return call->received + call->prompted + call->domain->config->freeze_timeout;
}

/* --- after authorization -------------------------------------------------------------------- */

/* Whether the object is still there; otherwise the call is answered as GDBus would. */
static gboolean
still_there (BusCall *call)
{
  g_autoptr (GError) error = NULL;

  if (!(call->freeze != NULL ? call->freeze->gone : call->domain->gone))
    return TRUE;
  error = g_error_new (G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_OBJECT,
                       call->freeze != NULL ? "This freeze has ended"
                                            : "This domain is no longer defined");
  bus_call_fail (call, error);
  return FALSE;
}

static void
on_checked (const GError *error, gint64 prompted, gpointer data)
{
  BusCall *call = data;

  call->check = NULL;
  call->prompted = prompted;
  if (error != NULL)
    bus_call_fail (call, error);
  else if (still_there (call))
    call->method->run (call);
}

/* Takes a place among the unanswered requests of the caller's user. An owner's Thaw needs none. */
static gboolean
take_place (BusCall *call, GError **error)
{
  VfBus *bus = call->bus;
  gpointer uid = GUINT_TO_POINTER (call->client->uid);
  guint count = GPOINTER_TO_UINT (g_hash_table_lookup (bus->pending, uid));
  guint max = vf_config_get_max_pending (vf_registry_get_config (bus->registry));
  guint places = call->parts != NULL ? call->parts->len : 1;

  if (call->by_owner && call->rule->owner == VF_OWNER_EXEMPT)
    return TRUE;
  if (count + places > max)
    {
      if (places == 1)
        g_set_error (error, VF_ERROR, VF_ERROR_LIMITS_EXCEEDED,
                     "User %u has %u unanswered requests, as many as MaxPending allows; wait for "
                     "their answers",
                     call->client->uid, count);
      else
        g_set_error (error, VF_ERROR, VF_ERROR_LIMITS_EXCEEDED,
                     "A group of %u domains counts as %u requests, user %u has %u unanswered ones, "
                     "and MaxPending allows %u; wait for their answers, or ask for fewer domains",
                     places, places, call->client->uid, count, max);
      return FALSE;
    }
  g_hash_table_insert (bus->pending, uid, GUINT_TO_POINTER (count + places));
  call->places = places;
  return TRUE;
}

gboolean
bus_call_is_interactive (BusCall *call)
{
  GDBusMessage *message = g_dbus_method_invocation_get_message (call->invocation);

  return (g_dbus_message_get_flags (message) & G_DBUS_MESSAGE_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION)
         != 0;
}

GPtrArray *
bus_call_details (BusCall *call)
{
  GPtrArray *details = g_ptr_array_new_with_free_func (g_free);
  const VfDomain *domain = call->domain;

  g_assert (domain != NULL); /* whatever has an action is about one */
  g_ptr_array_add (details, g_strdup ("connect_driver"));
  g_ptr_array_add (details,
                   g_strdup (vf_domain_engine (domain) == VF_ENGINE_TEST ? "TEST" : "QEMU"));
  g_ptr_array_add (details, g_strdup ("domain_name"));
  g_ptr_array_add (details, vf_text_escape (domain->info->name));
  g_ptr_array_add (details, g_strdup ("domain_uuid"));
  g_ptr_array_add (details, vf_text_escape (domain->info->uuid));
  if (call->method->describe != NULL)
    call->method->describe (call, details);
  g_ptr_array_add (details, NULL);
  return details;
}

static void
check_authority (BusCall *call)
{
  g_autoptr (GPtrArray) details = bus_call_details (call);
  VfCheck *check;

  /* done may have run, and the call be gone, when this returns NULL */
  check = vf_authority_check (call->bus->authority, call->client, call->rule->action,
                              (const char *const *) details->pdata, bus_call_is_interactive (call),
                              on_checked, call);
  if (check != NULL)
    call->check = check;
}

static void
on_refreshed (gpointer data)
{
  BusCall *call = data;
  g_autoptr (GError) error = NULL;

  call->in_core = FALSE;
  if (call->client->gone)
    {
      error = g_error_new (VF_ERROR, VF_ERROR_ACCESS_DENIED, "The caller has left");
      bus_call_fail (call, error);
    }
  else if (still_there (call))
    {
      bus_resolve_disks (call);
      check_authority (call);
    }
}

/* Which disks are meant. A name that is not known may be a path that libvirt has just changed (a
 * snapshot does, and there is no event for it): then libvirt is asked once more. */
static void
resolve (BusCall *call)
{
  bus_resolve_disks (call);
  if (call->unknown == NULL)
    {
      check_authority (call);
      return;
    }
  call->in_core = TRUE;
  vf_registry_refresh (call->bus->registry, call->domain, on_refreshed, call);
}

static void
on_client (VfClient *client, gpointer data)
{
  BusCall *call = data;
  g_autoptr (GError) error = NULL;
  const VfMethodRule *rule = call->rule;

  if (client == NULL)
    {
      error = g_error_new (VF_ERROR, VF_ERROR_ACCESS_DENIED, "The caller cannot be identified");
      bus_call_fail (call, error);
      return;
    }
  call->client = vf_client_ref (client);
  call->by_owner
      = call->freeze != NULL && vf_freeze_is_owner (call->freeze, client->name, client->uid);
  if (call->domain != NULL && !still_there (call))
    return;
  if (!take_place (call, &error))
    {
      bus_call_fail (call, error);
      return;
    }
  if (rule->owner == VF_OWNER_ONLY && !call->by_owner)
    {
      error = g_error_new (VF_ERROR, VF_ERROR_ACCESS_DENIED,
                           "Only the owner of a freeze may do that");
      bus_call_fail (call, error);
      return;
    }
  if (call->parts != NULL)
    bus_group_check (call);
  else if (rule->action == NULL || (rule->owner == VF_OWNER_EXEMPT && call->by_owner))
    call->method->run (call);
  else if (call->names == NULL)
    check_authority (call);
  else
    resolve (call);
}

/* --- at its arrival -------------------------------------------------------------------------- */

static const BusMethod *
find_method (const char *interface, const char *name)
{
  const BusMethod *tables[] = { bus_manager_methods, bus_domain_methods, bus_freeze_methods };

  for (gsize t = 0; t < G_N_ELEMENTS (tables); t++)
    for (const BusMethod *method = tables[t]; method->interface != NULL; method++)
      if (g_str_equal (method->interface, interface) && g_str_equal (method->method, name))
        return method;
  return NULL;
}

void
bus_method_call (GDBusConnection *connection G_GNUC_UNUSED, const char *sender,
                 const char *path G_GNUC_UNUSED, const char *interface, const char *name,
                 GVariant *parameters, GDBusMethodInvocation *invocation, gpointer data)
{
  BusObject *object = data;
  BusCall *call = g_new0 (BusCall, 1);
  g_autoptr (GError) error = NULL;

  call->bus = object->bus;
  call->received = vf_clock_now ();
  call->invocation = invocation;
  call->parameters = g_variant_ref (parameters);
  call->domain = object->domain != NULL ? vf_domain_ref (object->domain) : NULL;
  call->freeze = object->freeze != NULL ? vf_freeze_ref (object->freeze) : NULL;
  call->rule = vf_methods_find (interface, name);
  call->method = find_method (interface, name);
  g_hash_table_add (call->bus->calls, call);

  if (call->rule == NULL || call->method == NULL)
    {
      error = g_error_new (VF_ERROR, VF_ERROR_ACCESS_DENIED, "%s.%s is not for anybody", interface,
                           name);
      bus_call_fail (call, error);
    }
  else if (call->rule->action != NULL && g_variant_get_size (parameters) > MAX_PARAMETERS)
    {
      error = g_error_new (VF_ERROR, VF_ERROR_INVALID_ARGS,
                           "The call has more than %d bytes of parameters", MAX_PARAMETERS);
      bus_call_fail (call, error);
    }
  else if (call->method->read != NULL && !call->method->read (call, &error))
    bus_call_fail (call, error);
  else if (call->domain == NULL && call->rule->action == NULL)
    call->method->run (call); /* the root's other methods need neither authorization nor a caller */
  else
    vf_clients_get (call->bus->clients, sender, on_client, call);
}

/* --- callers that leave ------------------------------------------------------------------------ */

void
bus_calls_client_gone (VfBus *bus, VfClient *client)
{
  g_autoptr (GPtrArray) due = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, bus->calls);
  while (g_hash_table_iter_next (&iter, &value, NULL))
    {
      BusCall *call = value;
      /* What the core has taken it answers itself. */
      if (call->client == client && !call->in_core)
        g_ptr_array_add (due, call);
    }
  for (guint i = 0; i < due->len; i++)
    {
      g_autoptr (GError) error
          = g_error_new (VF_ERROR, VF_ERROR_ACCESS_DENIED, "The caller has left");

      bus_call_fail (g_ptr_array_index (due, i), error);
    }
}

void
bus_calls_clear (VfBus *bus)
{
  g_autoptr (GList) calls = g_hash_table_get_keys (bus->calls);

  for (GList *l = calls; l != NULL; l = l->next)
    call_free (l->data);
}
