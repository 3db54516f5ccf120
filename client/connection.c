/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "connection.h"

#include "agent.h"

#include <unistd.h>

#define NO_LIMIT G_MAXINT /* the service has its own, and the bus tells when it is gone */

#define PASSWORD_NEEDED "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"

typedef struct {
  GVariant *reply;
  GError *error;
  gboolean done;
} Answer;

/* --- errors ---------------------------------------------------------------------------------- */

static gboolean
is_remote (const GError *error, const char *name)
{
  g_autofree char *remote = g_dbus_error_get_remote_error (error);

  return remote != NULL && g_str_equal (remote, name);
}

gboolean
error_is_gone (const GError *error)
{
  return g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_OBJECT)
         || g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_METHOD)
         || g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_INTERFACE);
}

gboolean
error_is_service_gone (const GError *error)
{
  return g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_SERVICE_UNKNOWN)
         || g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_NAME_HAS_NO_OWNER)
         || g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_NO_REPLY);
}

gboolean
error_is_denied (const GError *error)
{
  return g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_ACCESS_DENIED)
         || is_remote (error, PASSWORD_NEEDED);
}

ExitCode
error_exit_code (const GError *error)
{
  if (error_is_denied (error))
    return EXIT_DENIED;
  return is_remote (error, "org.virtfreeze1.Error.ConsistencyLost") ? EXIT_LOST : EXIT_FAILED;
}

/* What the bus says of a service that it has to start, as dbus-daemon and systemd name it. */
static const char *
advice (const GError *error)
{
  g_autofree char *remote = g_dbus_error_get_remote_error (error);

  if (remote == NULL)
    return NULL;
  if (g_str_equal (remote, "org.freedesktop.DBus.Error.ServiceUnknown")
      || g_str_equal (remote, "org.freedesktop.DBus.Error.NameHasNoOwner"))
    return "The virtfreeze service does not run, and the bus does not know how to start it; is "
           "virtfreezed installed?";
  if (g_str_has_prefix (remote, "org.freedesktop.DBus.Error.Spawn.")
      || g_str_has_prefix (remote, "org.freedesktop.systemd1.")
      || g_str_equal (remote, "org.freedesktop.DBus.Error.TimedOut"))
    return "The virtfreeze service cannot be started; see “systemctl status virtfreezed”";
  if (g_str_equal (remote, "org.freedesktop.DBus.Error.NoReply"))
    return "The virtfreeze service went away before it answered; see “journalctl -u virtfreezed”";
  if (g_str_equal (remote, PASSWORD_NEEDED))
    return "Not authorized: a password is needed; call it on a terminal and without "
           "--no-ask-password, or have the administrator add a polkit rule";
  if (g_str_equal (remote, "org.freedesktop.DBus.Error.AccessDenied"))
    return "Not authorized";
  return NULL;
}

char *
error_describe (const GError *error)
{
  g_autoptr (GError) copy = g_error_copy (error);
  const char *text = advice (error);

  g_dbus_error_strip_remote_error (copy);
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CLOSED))
    return g_strdup ("The connection to the bus has ended");
  if (text == NULL)
    return g_strdup (copy->message);
  if (is_remote (error, PASSWORD_NEEDED))
    return g_strdup (text);
  if (g_str_has_prefix (copy->message, text)) /* the service says the same, and more */
    return g_strdup (copy->message);
  return g_strdup_printf ("%s (%s)", text, copy->message);
}

ExitCode
fail (const GError *error, const char *format, ...)
{
  g_autofree char *what = error_describe (error);

  if (format != NULL)
    {
      g_autofree char *text = NULL;
      va_list args;

      va_start (args, format);
      text = g_strdup_vprintf (format, args);
      va_end (args);
      complain ("%s: %s", text, what);
    }
  else
    complain ("%s", what);
  return error_exit_code (error);
}

/* --- calls ----------------------------------------------------------------------------------- */

static void
on_reply (GObject *proxy, GAsyncResult *result, gpointer data)
{
  Answer *answer = data;

  answer->reply = g_dbus_proxy_call_finish (G_DBUS_PROXY (proxy), result, &answer->error);
  answer->done = TRUE;
}

static GVariant *
call_once (Connection *connection, GDBusProxy *proxy, const char *method, GVariant *args,
           GDBusCallFlags flags, GError **error)
{
  Answer answer = { 0 };

  g_dbus_proxy_call (proxy, method, args, flags, NO_LIMIT, connection->cancellable, on_reply,
                     &answer);
  while (!answer.done)
    g_main_context_iteration (NULL, TRUE);
  if (answer.error != NULL)
    g_propagate_error (error, answer.error);
  return answer.reply;
}

GVariant *
connection_call (Connection *connection, gpointer proxy, const char *method, GVariant *args,
                 GError **error)
{
  g_autoptr (GVariant) own_args = args != NULL ? g_variant_ref_sink (args) : NULL;
  g_autoptr (GError) first = NULL;
  GVariant *reply = call_once (connection, proxy, method, own_args, G_DBUS_CALL_FLAGS_NONE, &first);

  if (reply != NULL)
    return reply;
  if (!connection->ask || !is_remote (first, PASSWORD_NEEDED))
    {
      g_propagate_error (error, g_steal_pointer (&first));
      return NULL;
    }
  if (connection->agent == NULL)
    connection->agent = agent_start ();
  return call_once (connection, proxy, method, own_args,
                    G_DBUS_CALL_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION, error);
}

void
connection_stop_agent (Connection *connection)
{
  g_clear_pointer (&connection->agent, agent_stop);
}

/* --- the service -------------------------------------------------------------------------------- */

static gboolean
connect_to_bus (Connection *connection, GError **error)
{
  gboolean session = connection->options->session;
  g_autoptr (GError) failure = NULL;

  connection->bus = g_bus_get_sync (session ? G_BUS_TYPE_SESSION : G_BUS_TYPE_SYSTEM,
                                    connection->cancellable, &failure);
  if (connection->bus == NULL)
    {
      g_set_error (error, failure->domain, failure->code, "Cannot connect to the %s bus: %s",
                   session ? "session" : "system", failure->message);
      return FALSE;
    }
  g_dbus_connection_set_exit_on_close (connection->bus, FALSE);
  return TRUE;
}

/* GDBus takes a service that cannot be started for one without objects: this call tells. */
static gboolean
start_service (Connection *connection, GError **error)
{
  g_autoptr (GDBusProxy) peer = g_dbus_proxy_new_sync (
      connection->bus,
      G_DBUS_PROXY_FLAGS_DO_NOT_LOAD_PROPERTIES | G_DBUS_PROXY_FLAGS_DO_NOT_CONNECT_SIGNALS
          | G_DBUS_PROXY_FLAGS_DO_NOT_AUTO_START_AT_CONSTRUCTION,
      NULL, SERVICE_NAME, SERVICE_ROOT, "org.freedesktop.DBus.Peer", connection->cancellable,
      error);
  g_autoptr (GVariant) reply = NULL;

  if (peer == NULL)
    return FALSE;
  reply = call_once (connection, peer, "Ping", NULL, G_DBUS_CALL_FLAGS_NONE, error);
  return reply != NULL;
}

gboolean
connection_open (Connection *connection, const Options *options, GCancellable *cancellable,
                 GError **error)
{
  *connection = (Connection){ .options = options, .ask = !options->no_ask_password };
  connection->cancellable = cancellable != NULL ? g_object_ref (cancellable) : NULL;
  if (!connect_to_bus (connection, error) || !start_service (connection, error))
    return FALSE;
  connection->manager
      = vfc_manager_proxy_new_sync (connection->bus, G_DBUS_PROXY_FLAGS_NONE, SERVICE_NAME,
                                    SERVICE_ROOT, connection->cancellable, error);
  return connection->manager != NULL;
}

void
connection_close (Connection *connection)
{
  connection_stop_agent (connection);
  g_clear_object (&connection->manager);
  g_clear_object (&connection->bus);
  g_clear_object (&connection->cancellable);
}

VfcDomain *
connection_get_domain (Connection *connection, const char *name, GError **error)
{
  g_autoptr (GVariant) reply = connection_call (connection, connection->manager, "GetDomain",
                                                g_variant_new ("(s)", name), error);
  const char *path;

  if (reply == NULL)
    return NULL;
  g_variant_get (reply, "(&o)", &path);
  return vfc_domain_proxy_new_sync (connection->bus, G_DBUS_PROXY_FLAGS_NONE, SERVICE_NAME, path,
                                    connection->cancellable, error);
}

VfcFreeze *
connection_get_freeze (Connection *connection, const char *path, GError **error)
{
  return vfc_freeze_proxy_new_sync (connection->bus, G_DBUS_PROXY_FLAGS_NONE, SERVICE_NAME, path,
                                    connection->cancellable, error);
}

GDBusObjectManager *
connection_get_objects (Connection *connection, GError **error)
{
  return vfc_object_manager_client_new_sync (connection->bus,
                                             G_DBUS_OBJECT_MANAGER_CLIENT_FLAGS_NONE, SERVICE_NAME,
                                             SERVICE_ROOT, connection->cancellable, error);
}
