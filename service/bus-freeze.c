/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.virtfreeze1.Freeze. */
#include "bus-private.h"

#include "error.h"

#define FREEZE "org.virtfreeze1.Freeze"

GVariant *
bus_freeze_property (BusObject *object, const char *name)
{
  const VfFreeze *freeze = object->freeze;

  if (g_str_equal (name, "Domain"))
    {
      g_autofree char *path = bus_domain_path (freeze->domain);
      return g_variant_new_object_path (path);
    }
  if (g_str_equal (name, "Disks"))
    return g_variant_new_strv ((const char *const *) freeze->disks, -1);
  if (g_str_equal (name, "FilesystemsFrozen"))
    return g_variant_new_uint32 (freeze->frozen);
  if (g_str_equal (name, "FilesystemsSkipped"))
    return g_variant_new_uint32 (freeze->skipped);
  if (g_str_equal (name, "Owner"))
    return g_variant_new_string (freeze->owner);
  if (g_str_equal (name, "OwnerUID"))
    return g_variant_new_uint32 (freeze->uid);
  if (g_str_equal (name, "Reason"))
    return g_variant_new_string (freeze->reason);
  if (g_str_equal (name, "Lifetime"))
    return g_variant_new_string (freeze->lease ? "lease" : "caller");
  if (g_str_equal (name, "Scope"))
    return g_variant_new_string (vf_scope_word (freeze->scope));
  if (g_str_equal (name, "Engine"))
    return g_variant_new_string (vf_engine_word (freeze->engine));
  if (g_str_equal (name, "State"))
    return g_variant_new_string (vf_freeze_state_word (freeze->state));
  if (g_str_equal (name, "Created"))
    return g_variant_new_uint64 ((guint64) freeze->created);
  if (g_str_equal (name, "Deadline"))
    return g_variant_new_uint64 ((guint64) freeze->deadline_real);
  return NULL;
}

static gboolean
expects_reply (BusCall *call)
{
  GDBusMessage *message = g_dbus_method_invocation_get_message (call->invocation);

  return !(g_dbus_message_get_flags (message) & G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED);
}

static void
run_thaw (BusCall *call)
{
  /* An owner's Thaws are not limited; those that nobody waits for do not pile up. */
  if (call->by_owner && call->freeze->state == VF_FREEZE_THAWING && !expects_reply (call))
    {
      bus_call_return (call, NULL);
      return;
    }
  call->in_core = TRUE;
  vf_lane_thaw (call->domain->lane, call->freeze, call->by_owner, bus_call_deadline (call),
                bus_call_answer, call);
}

static gboolean
read_renew (BusCall *call, GError **error)
{
  guint64 hold;

  g_variant_get (call->parameters, "(t)", &hold);
  return bus_check_hold (call, hold, error);
}

/* The same as for a freeze of these disks, with the new hold. */
static void
describe_renew (BusCall *call, GPtrArray *details)
{
  call->scope = call->freeze->scope;
  call->lease = call->freeze->lease;
  g_strfreev (call->names);
  call->names = g_strdupv (call->freeze->disks);
  g_strfreev (call->disks);
  call->disks = g_strdupv (call->freeze->disks);
  bus_describe_freeze (call, details);
}

static void
run_renew (BusCall *call)
{
  call->in_core = TRUE;
  vf_lane_renew (call->domain->lane, call->freeze, call->hold, bus_call_deadline (call),
                 bus_call_answer, call);
}

static void
run_get_filesystems (BusCall *call)
{
  VfLane *lane = call->domain->lane;

  bus_call_return (
      call, g_variant_new ("(@a(sssasa{sv}))",
                           bus_filesystems (lane, call->freeze->map, call->freeze->plan->covers)));
}

const BusMethod bus_freeze_methods[] = {
  { FREEZE, "Thaw", NULL, NULL, run_thaw },
  { FREEZE, "Renew", read_renew, describe_renew, run_renew },
  { FREEZE, "GetFilesystems", NULL, NULL, run_get_filesystems },
  { 0 },
};
