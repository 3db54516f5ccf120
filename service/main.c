/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* main: options, signals, the loop, the exit status. */
#include "error.h"
#include "manager.h"

#include <glib-unix.h>
#include <libvirt-glib/libvirt-glib.h>
#include <locale.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

typedef struct {
  gboolean session;
  gboolean check_config;
  gboolean release_all;
  gboolean version;
  char *uri;
  char *state_dir;
  char *config_file;
  gboolean config_named; /* by --config: it must exist */
} Options;

typedef struct {
  Options options;
  GMainLoop *loop;
  VfManager *manager;
  gboolean done; /* perhaps before the loop runs */
  int status;
} Service;

static void
options_clear (Options *options)
{
  g_free (options->uri);
  g_free (options->state_dir);
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
    { "state-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->state_dir,
      "Folder for the journal of freezes, on tmpfs", "DIR" },
    { "release-all", 0, 0, G_OPTION_ARG_NONE, &options->release_all,
      "Thaw what a service that is gone has left frozen, and exit; needs no bus", NULL },
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
  if (options->state_dir == NULL)
    options->state_dir = options->session
                             ? g_build_filename (g_get_user_runtime_dir (), "virtfreeze", NULL)
                             : g_strdup ("/run/virtfreeze");
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

  if (!options->session || (parsed != NULL && !g_str_equal (g_uri_get_path (parsed), "/system")))
    return TRUE;
  if (parsed == NULL)
    {
      g_set_error (error, VF_ERROR, VF_ERROR_INVALID_ARGS,
                   "“%s” is not a libvirt URI such as qemu:///session", uri);
      return FALSE;
    }
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

/* To be started again: what is held stays held, and the journal tells the next instance. */
static gboolean
on_restart (gpointer data)
{
  Service *service = data;

  g_message ("Restarting: freezes are kept");
  service->status = EXIT_SUCCESS;
  g_main_loop_quit (service->loop);
  return G_SOURCE_CONTINUE;
}

/* From the main loop alone: a service whose loop hangs is to be killed. */
static gboolean
on_watchdog (gpointer data G_GNUC_UNUSED)
{
  sd_notify (0, "WATCHDOG=1");
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

  service->done = TRUE;
  service->status = status;
  g_main_loop_quit (service->loop);
}

/* --- running ------------------------------------------------------------------------------------- */

/* connection NULL: only thaws what is owed. */
static int
run (Service *service, GDBusConnection *connection, VfJournal *journal, VfConfig *config,
     const char *uri, GError **error)
{
  guint64 watchdog;
  guint sources[4], watchdog_source = 0;

  service->loop = g_main_loop_new (NULL, FALSE);
  service->manager = vf_manager_new (connection, journal, config, uri, service->options.session,
                                     on_done, service);
  sources[0] = g_unix_signal_add (SIGTERM, on_terminate, service);
  sources[1] = g_unix_signal_add (SIGINT, on_terminate, service);
  sources[2] = g_unix_signal_add (SIGHUP, on_reload, service);
  sources[3] = g_unix_signal_add (SIGUSR1, on_restart, service);
  if (sd_watchdog_enabled (0, &watchdog) > 0)
    watchdog_source = g_timeout_add ((guint) (watchdog / 1000 / 3), on_watchdog, NULL);
  if (!vf_manager_start (service->manager, error))
    service->status = EXIT_FAILURE;
  else if (!service->done)
    g_main_loop_run (service->loop);
  g_clear_handle_id (&watchdog_source, g_source_remove);
  for (gsize i = 0; i < G_N_ELEMENTS (sources); i++)
    g_source_remove (sources[i]);
  g_clear_pointer (&service->loop, g_main_loop_unref);
  /* The manager is not freed: workers may be waiting for a hung agent, and the process does not wait. */
  return service->status;
}

static int
serve (Service *service, VfConfig *config, const char *uri, GError **error)
{
  g_autoptr (GDBusConnection) connection = NULL;
  g_autoptr (VfJournal) journal = vf_journal_open (service->options.state_dir, error);

  if (journal == NULL)
    return EXIT_FAILURE;
  if (!service->options.release_all)
    {
      connection = g_bus_get_sync (
          service->options.session ? G_BUS_TYPE_SESSION : G_BUS_TYPE_SYSTEM, NULL, error);
      if (connection == NULL)
        return EXIT_FAILURE;
    }
  return run (service, connection, journal, config, uri, error);
}

static int
fail (const GError *error)
{
  g_printerr ("virtfreezed: %s\n", error->message);
  return EXIT_FAILURE;
}

/* Memory that a flood of calls or one large answer needed goes back to the system. */
static void
return_memory (void)
{
  mallopt (M_ARENA_MAX, 1);
  mallopt (M_TRIM_THRESHOLD, 128 * 1024);
  mallopt (M_MMAP_THRESHOLD, 128 * 1024);
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

  return_memory ();
  setlocale (LC_ALL, "");
  if (!parse_options (&argc, &argv, &options, &error))
    return fail (error);
  if (options.version)
    {
      g_print ("virtfreezed %s\n", VF_VERSION);
      return EXIT_SUCCESS;
    }
  config = load_config (&options, &error);
  if (config == NULL && options.release_all)
    {
      /* What is owed does not wait for a file to be mended. */
      fail (error);
      g_clear_error (&error);
      config = vf_config_load (NULL, FALSE, options.session, &error);
    }
  if (config == NULL)
    return fail (error);
  uri = options.uri != NULL ? options.uri : vf_config_get_uri (config);
  if (!check_uri (&options, uri, &error))
    return fail (error);
  if (options.check_config)
    return EXIT_SUCCESS;

  gvir_event_register ();
  service.options = options;
  status = serve (&service, config, uri, &error);
  if (error != NULL)
    fail (error);
  /* Workers may be inside libvirt, connecting or waiting for a hung agent: the process neither waits
   * for them nor takes libvirt down under them, as the handlers of exit() would. */
  fflush (NULL);
  _exit (status);
}
