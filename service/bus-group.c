/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Manager.FreezeDomains: each domain is a part of the call, read, checked and described as a freeze
 * of its own; then all go to the core as one group. */
#include "bus-private.h"

#include "error.h"
#include "group.h"

#include <string.h>

#define DOMAIN_PATH VF_BUS_ROOT "/domain/_"

/* --- the form ---------------------------------------------------------------------------------- */

/* NULL: there is no such object. */
static VfDomain *
find_domain (VfBus *bus, const char *path)
{
  g_autofree char *uuid = NULL;
  g_autofree char *canonical = NULL;
  VfDomain *domain;

  if (!g_str_has_prefix (path, DOMAIN_PATH))
    return NULL;
  uuid = g_strdelimit (g_strdup (path + strlen (DOMAIN_PATH)), "_", '-');
  domain = g_uuid_string_is_valid (uuid) ? vf_registry_find (bus->registry, uuid, NULL) : NULL;
  canonical = domain != NULL ? bus_domain_path (domain) : NULL;
  return g_strcmp0 (canonical, path) == 0 ? domain : NULL;
}

static gboolean
is_named (BusCall *call, const VfDomain *domain)
{
  for (guint i = 0; i < call->parts->len; i++)
    if (((BusCall *) g_ptr_array_index (call->parts, i))->domain == domain)
      return TRUE;
  return FALSE;
}

static void
name_error (const VfDomain *domain, GError **error)
{
  g_autofree char *name = vf_text_escape (domain->info->name);

  g_prefix_error (error, "Domain “%s”: ", name);
}

static gboolean
read_part (BusCall *call, const char *path, GVariant *disks, GVariant *options, GError **error)
{
  VfDomain *domain = find_domain (call->bus, path);
  BusCall *part;

  if (domain == NULL)
    {
      gboolean connected = vf_registry_is_connected (call->bus->registry);

      g_set_error (error, VF_ERROR, connected ? VF_ERROR_UNKNOWN_DOMAIN : VF_ERROR_DISCONNECTED,
                   connected
                       ? "There is no domain “%.200s”; GetDomain() tells the paths of domains"
                       : "There is no connection to libvirt to ask for domain “%.200s”; it is "
                         "being retried",
                   path);
      return FALSE;
    }
  if (is_named (call, domain))
    {
      g_set_error (error, VF_ERROR, VF_ERROR_INVALID_ARGS,
                   "it is named twice; name each domain once, with all of its disks");
      name_error (domain, error);
      return FALSE;
    }
  part = bus_call_new_part (call, domain);
  g_ptr_array_add (call->parts, part);
  if (bus_read_freeze (part, disks, options, error))
    return TRUE;
  name_error (domain, error);
  return FALSE;
}

gboolean
bus_group_read (BusCall *call, GError **error)
{
  g_autoptr (GVariant) requests = g_variant_get_child_value (call->parameters, 0);
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 1);

  if (g_variant_n_children (requests) == 0)
    {
      g_set_error (error, VF_ERROR, VF_ERROR_INVALID_ARGS, "No domain is named");
      return FALSE;
    }
  call->parts = g_ptr_array_new_with_free_func (bus_call_free_part);
  for (gsize i = 0; i < g_variant_n_children (requests); i++)
    {
      g_autoptr (GVariant) request = g_variant_get_child_value (requests, i);
      g_autoptr (GVariant) disks = g_variant_get_child_value (request, 1);
      const char *path;

      g_variant_get_child (request, 0, "&o", &path);
      if (!read_part (call, path, disks, options, error))
        return FALSE;
    }
  return TRUE;
}

/* --- authorization ------------------------------------------------------------------------------ */

/* Those parts that need a prompt. */
static GPtrArray *
prompted_parts (BusCall *call)
{
  GPtrArray *parts = g_ptr_array_new ();

  for (guint i = 0; i < call->parts->len; i++)
    if (((BusCall *) g_ptr_array_index (call->parts, i))->refused != NULL)
      g_ptr_array_add (parts, g_ptr_array_index (call->parts, i));
  return parts;
}

static void
on_prompted (const GError *error, gint64 prompted, gpointer data)
{
  BusCall *call = data;
  g_autoptr (GPtrArray) parts = prompted_parts (call);
  const BusCall *first = g_ptr_array_index (parts, 0);
  g_autoptr (GError) refused = error != NULL ? g_error_copy (error) : NULL;

  call->check = NULL;
  call->prompted = prompted;
  /* Nobody was asked: a rule that allows none of the names by itself took all of them together for
   * the name of another domain. */
  if (error == NULL && prompted == 0 && parts->len > 1)
    refused = g_error_new (VF_ERROR, VF_ERROR_ACCESS_DENIED,
                           "Not authorized: polkit's rules want a password for each of these "
                           "domains and for all of them together none (polkit action %s); such "
                           "a rule is to look at each name in domain_name",
                           call->rule->action);
  if (refused != NULL)
    {
      name_error (first->domain, &refused);
      bus_call_fail (call, refused);
    }
  else
    call->method->run (call);
}

/* One question for all of them; what differs is told of each, in the order of the requests. */
static GPtrArray *
joint_details (GPtrArray *parts)
{
  GPtrArray *joint = bus_call_details (g_ptr_array_index (parts, 0));

  /* Keys and values in turn, the keys in the same order in all. */
  for (guint i = 1; i < joint->len; i += 2)
    {
      g_autoptr (GPtrArray) values = g_ptr_array_new_with_free_func (g_free);
      gboolean differ = FALSE;

      for (guint p = 0; p < parts->len; p++)
        {
          g_autoptr (GPtrArray) details = bus_call_details (g_ptr_array_index (parts, p));

          g_ptr_array_add (values, g_strdup (g_ptr_array_index (details, i)));
          differ |= !g_str_equal (values->pdata[p], values->pdata[0]);
        }
      if (!differ)
        continue;
      g_ptr_array_add (values, NULL);
      g_free (joint->pdata[i]);
      joint->pdata[i] = g_strjoinv (", ", (char **) values->pdata);
    }
  return joint;
}

static void
prompt (BusCall *call)
{
  g_autoptr (GPtrArray) parts = prompted_parts (call);
  g_autoptr (GPtrArray) details = joint_details (parts);
  VfCheck *check
      = vf_authority_check (call->bus->authority, call->client, call->rule->action,
                            (const char *const *) details->pdata, TRUE, on_prompted, call);

  if (check != NULL)
    call->check = check;
}

static void
on_all_checked (BusCall *call)
{
  gboolean interactive = bus_call_is_interactive (call), ask = FALSE;

  for (guint i = 0; i < call->parts->len; i++)
    {
      BusCall *part = g_ptr_array_index (call->parts, i);
      gboolean may_ask
          = g_error_matches (part->refused, VF_ERROR, VF_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED);

      if (part->refused != NULL && !(may_ask && interactive))
        {
          name_error (part->domain, &part->refused);
          bus_call_fail (call, part->refused);
          return;
        }
      ask |= may_ask;
    }
  if (ask)
    prompt (call);
  else
    call->method->run (call);
}

static void
checked (BusCall *call)
{
  if (--call->waiting == 0)
    on_all_checked (call);
}

static void
on_part_checked (const GError *error, gint64 prompted G_GNUC_UNUSED, gpointer data)
{
  BusCall *part = data;

  part->check = NULL;
  part->refused = error != NULL ? g_error_copy (error) : NULL;
  checked (part->whole);
}

static void
on_all_resolved (BusCall *call)
{
  g_autoptr (GError) error = NULL;

  call->in_core = FALSE;
  if (call->client->gone)
    {
      error = g_error_new (VF_ERROR, VF_ERROR_ACCESS_DENIED, "The caller has left");
      bus_call_fail (call, error);
      return;
    }
  call->waiting = 1;
  for (guint i = 0; i < call->parts->len; i++)
    {
      BusCall *part = g_ptr_array_index (call->parts, i);
      g_autoptr (GPtrArray) details = bus_call_details (part);
      VfCheck *check;

      call->waiting++;
      check
          = vf_authority_check (call->bus->authority, call->client, call->rule->action,
                                (const char *const *) details->pdata, FALSE, on_part_checked, part);
      if (check != NULL)
        part->check = check;
    }
  checked (call);
}

static void
resolved (BusCall *call)
{
  if (--call->waiting == 0)
    on_all_resolved (call);
}

static void
on_refreshed (gpointer data)
{
  BusCall *part = data;

  bus_resolve_disks (part);
  resolved (part->whole);
}

/* Which disks are meant, as for a single freeze; then polkit. */
void
bus_group_check (BusCall *call)
{
  call->in_core = TRUE;
  call->waiting = 1;
  for (guint i = 0; i < call->parts->len; i++)
    {
      BusCall *part = g_ptr_array_index (call->parts, i);

      part->client = vf_client_ref (call->client);
      bus_resolve_disks (part);
      if (part->unknown == NULL)
        continue;
      call->waiting++;
      vf_registry_refresh (call->bus->registry, part->domain, on_refreshed, part);
    }
  resolved (call);
}

/* --- the group ---------------------------------------------------------------------------------- */

static void
on_done (GPtrArray *freezes, const GError *error, gpointer data)
{
  GVariantBuilder builder;

  if (freezes == NULL)
    {
      bus_call_fail (data, error);
      return;
    }
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("ao"));
  for (guint i = 0; i < freezes->len; i++)
    {
      g_autofree char *path = bus_freeze_path (g_ptr_array_index (freezes, i));
      g_variant_builder_add (&builder, "o", path);
    }
  bus_call_return (data, g_variant_new ("(ao)", &builder));
}

/* NULL: what speaks against it. */
static VfRequest *
new_request (BusCall *part, GError **error)
{
  if (!part->domain->gone)
    return bus_freeze_request (part, error);
  g_set_error (error, VF_ERROR, VF_ERROR_UNKNOWN_DOMAIN, "it is no longer defined");
  name_error (part->domain, error);
  return NULL;
}

void
bus_group_run (BusCall *call)
{
  BusCall *first = g_ptr_array_index (call->parts, 0);
  gint64 deadline = 0;
  VfGroup *group;

  for (guint i = 0; i < call->parts->len; i++)
    {
      BusCall *part = g_ptr_array_index (call->parts, i);

      part->prompted = call->prompted;
      deadline = MAX (deadline, bus_call_deadline (part));
    }
  call->in_core = TRUE;
  group = vf_group_new (first->domain->world, deadline, on_done, call);
  for (guint i = 0; i < call->parts->len; i++)
    {
      BusCall *part = g_ptr_array_index (call->parts, i);
      GError *error = NULL;
      VfRequest *request = new_request (part, &error);

      vf_group_add (group, part->domain, request != NULL ? request : vf_request_new (), error);
    }
  vf_group_start (group);
}
