/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The service, on the bus. Waiting happens in the default main context, so that signals of the
 * system and of the bus are dealt with meanwhile. */
#pragma once

#include "options.h"
#include "output.h"
#include "virtfreeze-proxies.h"

#define SERVICE_NAME "org.virtfreeze1"
#define SERVICE_ROOT "/org/virtfreeze1"

typedef struct {
  const Options *options;
  GDBusConnection *bus;
  VfcManager *manager;
  GCancellable *cancellable; /* ends what is waited for; NULL: nothing does */
  gboolean ask;              /* a password may be asked for */
  GSubprocess *agent;        /* the text agent of polkit, or NULL */
} Connection;

/* Connects and has the service started if it does not run. */
gboolean connection_open (Connection *connection, const Options *options, GCancellable *cancellable,
                          GError **error);
void connection_close (Connection *connection);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Connection, connection_close)

/* Calls a method, takes args if floating, and waits as long as it takes. Where the service wants
 * authorization, it is called once more, now with a password prompt allowed; on a terminal there
 * is an agent of ours then. */
GVariant *connection_call (Connection *connection, gpointer proxy, const char *method,
                           GVariant *args, GError **error);

VfcDomain *connection_get_domain (Connection *connection, const char *name, GError **error);
VfcFreeze *connection_get_freeze (Connection *connection, const char *path, GError **error);

/* All domains and freezes, kept up to date. */
GDBusObjectManager *connection_get_objects (Connection *connection, GError **error);

/* Ends the text agent: the terminal is somebody else's from now on. */
void connection_stop_agent (Connection *connection);

/* Whether the object is not there, or not any more. */
gboolean error_is_gone (const GError *error);
/* Whether the service is not there, or went away before it answered. */
gboolean error_is_service_gone (const GError *error);
gboolean error_is_denied (const GError *error);

ExitCode error_exit_code (const GError *error);

/* What to tell people. */
char *error_describe (const GError *error);

/* Complains: the text, where there is one, then what went wrong. Returns the exit code. */
ExitCode fail (const GError *error, const char *format, ...) G_GNUC_PRINTF (2, 3);
