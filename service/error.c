/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "error.h"

G_DEFINE_QUARK (vf - error - quark, vf_error)

static const char *const names[] = {
  [VF_ERROR_INVALID_ARGS] = "org.freedesktop.DBus.Error.InvalidArgs",
  [VF_ERROR_ACCESS_DENIED] = "org.freedesktop.DBus.Error.AccessDenied",
  [VF_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED]
  = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
  [VF_ERROR_LIMITS_EXCEEDED] = "org.freedesktop.DBus.Error.LimitsExceeded",
  [VF_ERROR_UNKNOWN_DOMAIN] = "org.virtfreeze1.Error.UnknownDomain",
  [VF_ERROR_UNKNOWN_DISK] = "org.virtfreeze1.Error.UnknownDisk",
  [VF_ERROR_NOT_RUNNING] = "org.virtfreeze1.Error.NotRunning",
  [VF_ERROR_AGENT_UNAVAILABLE] = "org.virtfreeze1.Error.AgentUnavailable",
  [VF_ERROR_AGENT_FAILED] = "org.virtfreeze1.Error.AgentFailed",
  [VF_ERROR_FROZEN_ELSEWHERE] = "org.virtfreeze1.Error.FrozenElsewhere",
  [VF_ERROR_NOT_MAPPED] = "org.virtfreeze1.Error.NotMapped",
  [VF_ERROR_NOTHING_TO_FREEZE] = "org.virtfreeze1.Error.NothingToFreeze",
  [VF_ERROR_INCOMPLETE] = "org.virtfreeze1.Error.Incomplete",
  [VF_ERROR_CONFLICT] = "org.virtfreeze1.Error.Conflict",
  [VF_ERROR_TIMEOUT] = "org.virtfreeze1.Error.Timeout",
  [VF_ERROR_CONSISTENCY_LOST] = "org.virtfreeze1.Error.ConsistencyLost",
  [VF_ERROR_DISCONNECTED] = "org.virtfreeze1.Error.Disconnected",
};
G_STATIC_ASSERT (G_N_ELEMENTS (names) == VF_N_ERRORS);

const char *
vf_error_dbus_name (VfError code)
{
  g_return_val_if_fail ((guint) code < VF_N_ERRORS, names[VF_ERROR_ACCESS_DENIED]);
  return names[code];
}
