/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * error: every error that a caller can see, and its D-Bus name.
 *
 * A function either logs or returns an error, never both. The message is for people: what failed,
 * for which domain and disk, and what to do.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define VF_ERROR (vf_error_quark ())
GQuark vf_error_quark (void);

typedef enum {
  /* org.freedesktop.DBus.Error. */
  VF_ERROR_INVALID_ARGS,
  VF_ERROR_ACCESS_DENIED,
  VF_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
  VF_ERROR_LIMITS_EXCEEDED,
  /* org.virtfreeze1.Error. */
  VF_ERROR_UNKNOWN_DOMAIN,
  VF_ERROR_UNKNOWN_DISK,
  VF_ERROR_NOT_RUNNING,
  VF_ERROR_AGENT_UNAVAILABLE,
  VF_ERROR_AGENT_FAILED,
  VF_ERROR_FROZEN_ELSEWHERE,
  VF_ERROR_NOT_MAPPED,
  VF_ERROR_NOTHING_TO_FREEZE,
  VF_ERROR_INCOMPLETE,
  VF_ERROR_CONFLICT,
  VF_ERROR_TIMEOUT,
  VF_ERROR_CONSISTENCY_LOST,
  VF_ERROR_DISCONNECTED,
  VF_N_ERRORS
} VfError;

/* The D-Bus name of a code; static. */
const char *vf_error_dbus_name (VfError code);

G_END_DECLS
