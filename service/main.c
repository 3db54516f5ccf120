/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* main: options, signals, the loop, the exit status. */
#include "error.h"
#include "manager.h"

#include <glib-unix.h>
#include <libvirt-glib/libvirt-glib.h>
#include <locale.h>
#include <stdlib.h>

typedef struct {
  gboolean session;
  gboolean check_config;
  gboolean version;
  char *uri;
  char *config_file;
  gboolean config_named; /* by --config: it must exist */
} Options;

typedef struct {
  Options options;
  GMainLoop *loop;
  VfManager *manager;
  int status;
} Service;

static void
options_clear (Options *options)
{
  g_free (options->uri);
  g_free (options->config_file);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

static gboolean
parse_options (int *argc, char ***argv, Options *options, GError **error)
{
  const GOptionEntry entries[] = {
    { "session", 0, 0, G_OPTION_ARG_NONE, &options->session,
      "Serve the session bus and the user's own guests (qemu:///session), without polkit", NULL },
    { "uri", 0, 0, G_OPTION_ARG_STRING, &options->uri,
      "libvirt connection to use instead of the configured one", "URI" },
    { "config", 0, 0, G_OPTION_ARG_FILENAME, &options->config_file,
      "Configuration file to read; drop-ins are read from FILE.d", "FILE" },
    { "check-config", 0, 0, G_OPTION_ARG_NONE, &options->check_config,
      "Check the configuration and exit", NULL },
    { "version", 0, 0, G_OPTION_ARG_NONE, &options->version, "Print the version and exit", NULL },
    G_OPTION_ENTRY_NULL
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);

  g_option_context_set_summary (
      context, "Freezes and thaws the filesystems of libvirt guests for many programs at once.");
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, argc, argv, error))
    return FALSE;
  if (*argc > 1)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION,
                   "Unexpected argument “%s”; see --help", (*argv)[1]);
      return FALSE;
    }
  options->config_named = options->config_file != NULL;
  if (options->config_file == NULL)
    options->config_file
        = options->session
              ? g_build_filename (g_get_user_config_dir (), "virtfreeze", "virtfreezed.conf", NULL)
              : g_strdup (VF_SYSCONFDIR "/virtfreeze/virtfreezed.conf");
  return TRUE;
}

static VfConfig *
load_config (const Options *options, GError **error)
{
  return vf_config_load (options->config_file, options->config_named, options->session, error);
}

/* Guests of the whole host are not for the session bus, which knows no authorization. */
static gboolean
check_uri (const Options *options, const char *uri, GError **error)
{
  g_autoptr (GUri) parsed = g_uri_parse (uri, G_URI_FLAGS_NONE, NULL);

  if (!options->session || parsed == NULL || !g_str_equal (g_uri_get_path (parsed), "/system"))
    return TRUE;
  g_set_error (error, VF_ERROR, VF_ERROR_ACCESS_DENIED,
               "%s is not for --session: guests of the system need the system service, which asks "
               "polkit who may freeze them",
               uri);
  return FALSE;
}

/* --- signals ------------------------------------------------------------------------------------- */

static gboolean
on_terminate (gpointer data)
{
  Service *service = data;

  g_message ("Stopping: all freezes are released");
  vf_manager_stop (service->manager);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_reload (gpointer data)
{
  Service *service = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (VfConfig) config = load_config (&service->options, &error);

  if (config == NULL)
    g_warning ("%s; the settings stay as they were", error->message);
  else
    {
      vf_manager_configure (service->manager, config);
      g_message ("Configuration read again");
    }
  return G_SOURCE_CONTINUE;
}

static void
on_done (int status, gpointer data)
{
  Service *service = data;

  service->status = status;
  g_main_loop_quit (service->loop);
}

/* --- running ------------------------------------------------------------------------------------- */

static int
run (Service *service, VfConfig *config, const char *uri, GError **error)
{
  g_autoptr (GDBusConnection) connection = g_bus_get_sync (
      service->options.session ? G_BUS_TYPE_SESSION : G_BUS_TYPE_SYSTEM, NULL, error);
  guint sources[3];

  if (connection == NULL)
    return EXIT_FAILURE;
  service->loop = g_main_loop_new (NULL, FALSE);
  service->manager = vf_manager_new (connection, config, uri, service->options.session, on_done,
                                     service);
  sources[0] = g_unix_signal_add (SIGTERM, on_terminate, service);
  sources[1] = g_unix_signal_add (SIGINT, on_terminate, service);
  sources[2] = g_unix_signal_add (SIGHUP, on_reload, service);
  if (vf_manager_start (service->manager, error))
    g_main_loop_run (service->loop);
  else
    service->status = EXIT_FAILURE;
  for (gsize i = 0; i < G_N_ELEMENTS (sources); i++)
    g_source_remove (sources[i]);
  return service->status;
}

static int
fail (const GError *error)
{
  g_printerr ("virtfreezed: %s\n", error->message);
  return EXIT_FAILURE;
}

int
main (int argc, char **argv)
{
  Service service = { 0 };
  g_auto (Options) options = { 0 };
  g_autoptr (VfConfig) config = NULL;
  g_autoptr (GError) error = NULL;
  const char *uri;
  int status;

  setlocale (LC_ALL, "");
  if (!parse_options (&argc, &argv, &options, &error))
    return fail (error);
  if (options.version)
    {
      g_print ("virtfreezed %s\n", VF_VERSION);
      return EXIT_SUCCESS;
    }
  config = load_config (&options, &error);
  if (config == NULL)
    return fail (error);
  uri = options.uri != NULL ? options.uri : vf_config_get_uri (config);
  if (!check_uri (&options, uri, &error))
    return fail (error);
  if (options.check_config)
    return EXIT_SUCCESS;

  gvir_event_register ();
  service.options = options;
  status = run (&service, config, uri, &error);
  if (error != NULL)
    fail (error);
  /* Workers may be waiting for a hung agent; the process does not wait for them. */
  return status;
}
