/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.virtfreeze1.Domain. */
#include "bus-private.h"

#include "error.h"

#define DOMAIN "org.virtfreeze1.Domain"

/* --- properties -------------------------------------------------------------------------------- */

static GVariant *
new_text (const char *text)
{
  return g_variant_new_take_string (vf_text_escape (text));
}

static GVariant *
targets (const VfDomainInfo *info)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("as"));
  for (guint i = 0; i < info->disks->len; i++)
    g_variant_builder_add_value (
        &builder, new_text (((VfDisk *) g_ptr_array_index (info->disks, i))->target));
  return g_variant_builder_end (&builder);
}

static GVariant *
freezes (const VfDomain *domain)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("ao"));
  for (guint i = 0; i < domain->freezes->len; i++)
    {
      const VfFreeze *freeze = g_ptr_array_index (domain->freezes, i);
      g_autofree char *path = freeze->hidden ? NULL : bus_freeze_path (freeze);

      if (path != NULL)
        g_variant_builder_add (&builder, "o", path);
    }
  return g_variant_builder_end (&builder);
}

GVariant *
bus_domain_property (BusObject *object, const char *name)
{
  const VfDomain *domain = object->domain;
  const VfDomainInfo *info = domain->info;

  if (g_str_equal (name, "Name"))
    return new_text (info->name);
  if (g_str_equal (name, "UUID"))
    return g_variant_new_string (info->uuid);
  if (g_str_equal (name, "State"))
    return g_variant_new_string (info->state);
  if (g_str_equal (name, "AgentConnected"))
    return g_variant_new_boolean (info->agent_connected);
  if (g_str_equal (name, "Disks"))
    return targets (info);
  if (g_str_equal (name, "Engine"))
    return g_variant_new_string (vf_engine_word (vf_domain_engine (domain)));
  if (g_str_equal (name, "DefaultHold"))
    return g_variant_new_uint64 ((guint64) domain->config->default_hold);
  if (g_str_equal (name, "MaxHold"))
    return g_variant_new_uint64 ((guint64) domain->config->max_hold);
  if (g_str_equal (name, "FreezeState"))
    return g_variant_new_string (vf_guest_state_word (vf_lane_guest_state (domain->lane)));
  if (g_str_equal (name, "FrozenSince"))
    return g_variant_new_uint64 ((guint64) vf_lane_frozen_since (domain->lane));
  if (g_str_equal (name, "Freezes"))
    return freezes (domain);
  return NULL;
}

/* --- filesystems ------------------------------------------------------------------------------ */

static gboolean
is_covered (GPtrArray *covers, const VfFilesystem *fs)
{
  return covers == NULL || g_ptr_array_find_with_equal_func (covers, fs->device, g_str_equal, NULL);
}

static void
add_filesystem (GVariantBuilder *builder, VfLane *lane, const VfFilesystem *fs)
{
  gboolean frozen = vf_lane_is_frozen (lane, fs);
  gboolean freezable = frozen || vf_filesystem_must_freeze (fs) || vf_filesystem_is_opaque (fs);

  for (guint i = 0; i < fs->mountpoints->len; i++)
    {
      g_autofree char *mountpoint = vf_text_escape (g_ptr_array_index (fs->mountpoints, i));
      g_autofree char *device = vf_text_escape (fs->device);
      g_autofree char *type = vf_text_escape (fs->type);

      g_variant_builder_open (builder, G_VARIANT_TYPE ("(sssasa{sv})"));
      g_variant_builder_add (builder, "s", mountpoint);
      g_variant_builder_add (builder, "s", device);
      g_variant_builder_add (builder, "s", type);
      g_variant_builder_open (builder, G_VARIANT_TYPE ("as"));
      for (guint t = 0; t < fs->targets->len; t++)
        g_variant_builder_add_value (builder, new_text (g_ptr_array_index (fs->targets, t)));
      g_variant_builder_close (builder);
      g_variant_builder_open (builder, G_VARIANT_TYPE ("a{sv}"));
      g_variant_builder_add (builder, "{sv}", "frozen", g_variant_new_boolean (frozen));
      g_variant_builder_add (builder, "{sv}", "freezable", g_variant_new_boolean (freezable));
      g_variant_builder_close (builder);
      g_variant_builder_close (builder);
    }
}

GVariant *
bus_filesystems (VfLane *lane, GPtrArray *map, GPtrArray *covers)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a(sssasa{sv})"));
  for (guint i = 0; map != NULL && i < map->len; i++)
    if (is_covered (covers, g_ptr_array_index (map, i)))
      add_filesystem (&builder, lane, g_ptr_array_index (map, i));
  return g_variant_builder_end (&builder);
}

/* --- methods ----------------------------------------------------------------------------------- */

static VfRequest *
new_request (BusCall *call)
{
  VfRequest *request = vf_request_new ();

  request->owner = g_strdup (call->client->name);
  request->uid = call->client->uid;
  request->deadline = bus_call_deadline (call);
  return request;
}

static void
send (BusCall *call, VfRequest *request,
      void (*done) (VfRequest *, VfFreeze *, const GError *, gpointer data))
{
  request->done = done;
  request->data = call;
  call->in_core = TRUE;
  vf_lane_request (call->domain->lane, request);
}

VfRequest *
bus_freeze_request (BusCall *call, GError **error)
{
  VfRequest *request;

  /* Without libvirt not every disk may be known; then that is the answer. */
  if (call->unknown != NULL && vf_registry_is_connected (call->bus->registry))
    {
      g_autofree char *name = vf_text_escape (call->domain->info->name);
      g_autofree char *disk = vf_text_shorten (call->unknown);

      g_set_error (error, VF_ERROR, VF_ERROR_UNKNOWN_DISK,
                   "Domain “%s” has no disk “%s”; see “virsh domblklist”", name, disk);
      return NULL;
    }
  request = new_request (call);
  request->disks = g_strdupv (call->disks);
  request->scope = call->scope;
  request->hold = call->hold;
  request->lease = call->lease;
  request->reason = g_strdup (call->reason);
  return request;
}

static void
on_frozen (VfRequest *request G_GNUC_UNUSED, VfFreeze *freeze, const GError *error, gpointer data)
{
  g_autofree char *path = NULL;

  if (freeze == NULL)
    {
      bus_call_fail (data, error);
      return;
    }
  path = bus_freeze_path (freeze);
  bus_call_return (data, g_variant_new ("(o)", path));
}

static gboolean
read_freeze (BusCall *call, GError **error)
{
  g_autoptr (GVariant) disks = g_variant_get_child_value (call->parameters, 0);
  g_autoptr (GVariant) options = NULL;

  if (g_variant_n_children (call->parameters) > 1)
    options = g_variant_get_child_value (call->parameters, 1);
  return bus_read_freeze (call, disks, options, error);
}

static void
run_freeze (BusCall *call)
{
  g_autoptr (GError) error = NULL;
  VfRequest *request = bus_freeze_request (call, &error);

  if (request == NULL)
    bus_call_fail (call, error);
  else
    send (call, request, on_frozen);
}

static void
on_mapped (VfRequest *request G_GNUC_UNUSED, VfFreeze *freeze G_GNUC_UNUSED, const GError *error,
           gpointer data)
{
  BusCall *call = data;
  VfLane *lane = call->domain->lane;

  if (error != NULL)
    bus_call_fail (call, error);
  else
    bus_call_return (call, g_variant_new ("(@a(sssasa{sv}))",
                                          bus_filesystems (lane, vf_lane_get_map (lane), NULL)));
}

static void
run_get_filesystems (BusCall *call)
{
  VfRequest *request = new_request (call);

  request->map_only = TRUE;
  send (call, request, on_mapped);
}

static void
run_thaw_all (BusCall *call)
{
  call->in_core = TRUE;
  vf_lane_thaw_all (call->domain->lane, bus_call_deadline (call), bus_call_answer, call);
}

const BusMethod bus_domain_methods[] = {
  { DOMAIN, "Freeze", read_freeze, bus_describe_freeze, run_freeze },
  { DOMAIN, "FreezeWithOptions", read_freeze, bus_describe_freeze, run_freeze },
  { DOMAIN, "GetFilesystems", NULL, NULL, run_get_filesystems },
  { DOMAIN, "ThawAll", NULL, NULL, run_thaw_all },
  { 0 },
};
