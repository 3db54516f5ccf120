/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "error.h"

/* The names that clients rely on, section 7 of the contract. */
static const struct {
  VfError code;
  const char *name;
} contract[] = {
  { VF_ERROR_INVALID_ARGS, "org.freedesktop.DBus.Error.InvalidArgs" },
  { VF_ERROR_ACCESS_DENIED, "org.freedesktop.DBus.Error.AccessDenied" },
  { VF_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
    "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired" },
  { VF_ERROR_LIMITS_EXCEEDED, "org.freedesktop.DBus.Error.LimitsExceeded" },
  { VF_ERROR_UNKNOWN_DOMAIN, "org.virtfreeze1.Error.UnknownDomain" },
  { VF_ERROR_UNKNOWN_DISK, "org.virtfreeze1.Error.UnknownDisk" },
  { VF_ERROR_NOT_RUNNING, "org.virtfreeze1.Error.NotRunning" },
  { VF_ERROR_AGENT_UNAVAILABLE, "org.virtfreeze1.Error.AgentUnavailable" },
  { VF_ERROR_AGENT_FAILED, "org.virtfreeze1.Error.AgentFailed" },
  { VF_ERROR_FROZEN_ELSEWHERE, "org.virtfreeze1.Error.FrozenElsewhere" },
  { VF_ERROR_NOT_MAPPED, "org.virtfreeze1.Error.NotMapped" },
  { VF_ERROR_NOTHING_TO_FREEZE, "org.virtfreeze1.Error.NothingToFreeze" },
  { VF_ERROR_INCOMPLETE, "org.virtfreeze1.Error.Incomplete" },
  { VF_ERROR_CONFLICT, "org.virtfreeze1.Error.Conflict" },
  { VF_ERROR_TIMEOUT, "org.virtfreeze1.Error.Timeout" },
  { VF_ERROR_CONSISTENCY_LOST, "org.virtfreeze1.Error.ConsistencyLost" },
  { VF_ERROR_DISCONNECTED, "org.virtfreeze1.Error.Disconnected" },
};

static void
test_names (void)
{
  g_assert_cmpuint (G_N_ELEMENTS (contract), ==, VF_N_ERRORS);
  for (gsize i = 0; i < G_N_ELEMENTS (contract); i++)
    {
      g_assert_cmpuint (contract[i].code, ==, i); /* each once, none left out */
      g_assert_cmpstr (vf_error_dbus_name (contract[i].code), ==, contract[i].name);
    }
}

static void
test_no_duplicates (void)
{
  for (guint i = 0; i < VF_N_ERRORS; i++)
    for (guint j = 0; j < i; j++)
      g_assert_cmpstr (vf_error_dbus_name (i), !=, vf_error_dbus_name (j));
}

static void
test_quark (void)
{
  g_autoptr (GError) error = g_error_new_literal (VF_ERROR, VF_ERROR_CONFLICT, "text");

  g_assert_cmpuint (VF_ERROR, !=, 0);
  g_assert_error (error, VF_ERROR, VF_ERROR_CONFLICT);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/error/every-code-has-its-name-of-the-contract", test_names);
  g_test_add_func ("/error/no-name-twice", test_no_duplicates);
  g_test_add_func ("/error/domain", test_quark);
  return g_test_run ();
}
