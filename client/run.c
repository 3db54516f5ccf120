/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* virt-freeze run: holds a freeze while a command runs. The freeze is this connection's: if we are
 * killed, the service ends it. */
#include "commands.h"

#include "child.h"
#include "freezes.h"
#include "model.h"

#include <sys/wait.h>
#include <unistd.h>

/* How long a service that is gone may take to come back, before the thaw is left to it. */
#define SERVICE_TIMEOUT 60 /* s */

typedef struct {
  const Options *options;
  Connection connection;
  GCancellable *cancellable; /* of what is before the command, and of the thaw */
  GPtrArray *holds;          /* Hold * */
  pid_t child;               /* 0: does not run */
  int status;                /* of the child, as wait() has it */
  int signal;                /* that ends us, since there is no child to pass it on to; or 0 */
  gboolean lost;             /* a freeze did not hold */
  gboolean failed;           /* a thaw failed otherwise */
  guint thawing;             /* holds without an answer */
} Run;

typedef struct {
  Run *run;
  VfcFreeze *freeze;
  char *domain;    /* as it was named */
  gboolean lost;   /* it has been told */
  gboolean gone;   /* the object is, before our Thaw */
  gboolean away;   /* the service is */
  gboolean ending; /* by our Thaw */
  guint timeout;   /* for a service that is gone, or 0 */
} Hold;

static void
hold_free (gpointer data)
{
  Hold *hold = data;

  g_signal_handlers_disconnect_by_data (hold->freeze, hold);
  g_clear_handle_id (&hold->timeout, g_source_remove);
  g_object_unref (hold->freeze);
  g_free (hold->domain);
  g_free (hold);
}

/* --- watching what is held -------------------------------------------------------------------- */

static void
tell_lost (Hold *hold, const char *why)
{
  if (!hold->lost)
    complain ("The freeze of “%s” did not hold: %s; discard what was copied", hold->domain, why);
  hold->lost = TRUE;
  hold->run->lost = TRUE;
}

static const char *
explain (const char *why)
{
  static const struct {
    const char *word, *text;
  } table[] = {
    { "thawed-outside", "somebody thawed the guest without the service (thawed-outside)" },
    { "reset", "the guest was reset (reset)" },
    { "domain-stopped", "the guest has stopped (domain-stopped)" },
    { "expired", "the time of --hold is over (expired)" },
    { "thawed-by-other", "somebody else thawed it (thawed-by-other)" },
    { "migrated", "the guest was migrated (migrated)" },
    { "restored", "the guest was reverted to another state (restored)" },
    { "guest-time-limit", "the guest's own time limit is over (guest-time-limit)" },
    { "service-stopping", "the virtfreeze service was stopped (service-stopping)" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (table); i++)
    if (g_strcmp0 (table[i].word, why) == 0)
      return table[i].text;
  return why;
}

static void
on_lost (VfcFreeze *freeze G_GNUC_UNUSED, const char *why, gpointer data)
{
  tell_lost (data, explain (why));
}

static void
on_released (VfcFreeze *freeze G_GNUC_UNUSED, const char *why, gpointer data)
{
  Hold *hold = data;

  if (hold->ending)
    return;
  hold->gone = TRUE;
  tell_lost (hold, explain (why));
}

/* What the properties say: of a new proxy, and of a service that was started again. */
static void
look (Hold *hold)
{
  const char *state = vfc_freeze_get_state (hold->freeze);

  if (state == NULL)
    tell_lost (hold, "the virtfreeze service no longer knows it");
  else if (g_str_equal (state, "lost"))
    tell_lost (hold, "the service says that it is lost");
}

static void thaw (Hold *hold);

static void
on_owner (GObject *freeze, GParamSpec *spec G_GNUC_UNUSED, gpointer data)
{
  Hold *hold = data;
  g_autofree char *owner = g_dbus_proxy_get_name_owner (G_DBUS_PROXY (freeze));

  if (owner == NULL)
    {
      if (!hold->away && !hold->lost)
        complain ("The virtfreeze service is gone; the freeze of “%s” holds if it comes back",
                  hold->domain);
      hold->away = TRUE;
      return;
    }
  if (!hold->away)
    return;
  hold->away = FALSE;
  look (hold);
  if (!hold->lost)
    complain ("The virtfreeze service is back; the freeze of “%s” holds", hold->domain);
  if (hold->timeout != 0)
    {
      g_clear_handle_id (&hold->timeout, g_source_remove);
      thaw (hold);
    }
}

static void
on_bus_gone (Run *run)
{
  for (guint i = 0; i < run->holds->len; i++)
    tell_lost (g_ptr_array_index (run->holds, i),
               "the connection to the bus has ended, and with it the freeze");
}

static gboolean
watch (Run *run, const char *path, const char *domain, GError **error)
{
  VfcFreeze *freeze = connection_get_freeze (&run->connection, path, error);
  g_autofree char *owner = NULL;
  Hold *hold;

  if (freeze == NULL)
    return FALSE;
  hold = g_new0 (Hold, 1);
  hold->run = run;
  hold->freeze = freeze;
  hold->domain = g_strdup (domain);
  g_ptr_array_add (run->holds, hold);
  g_signal_connect (freeze, "lost", G_CALLBACK (on_lost), hold);
  g_signal_connect (freeze, "released", G_CALLBACK (on_released), hold);
  g_signal_connect (freeze, "notify::g-name-owner", G_CALLBACK (on_owner), hold);
  owner = g_dbus_proxy_get_name_owner (G_DBUS_PROXY (freeze));
  if (owner != NULL)
    look (hold);
  else
    on_owner (G_OBJECT (freeze), NULL, hold);
  return TRUE;
}

/* --- ending ---------------------------------------------------------------------------------- */

static gboolean
on_service_timeout (gpointer data)
{
  Hold *hold = data;

  hold->timeout = 0;
  tell_lost (hold, "the virtfreeze service has not come back to confirm it; it thaws the guest "
                   "when it is started again");
  hold->run->thawing--;
  return G_SOURCE_REMOVE;
}

static void
on_thawed (GObject *proxy, GAsyncResult *result, gpointer data)
{
  Hold *hold = data;
  Run *run = hold->run;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply = g_dbus_proxy_call_finish (G_DBUS_PROXY (proxy), result, &error);

  if (error != NULL && error_is_service_gone (error))
    {
      g_autofree char *owner = g_dbus_proxy_get_name_owner (G_DBUS_PROXY (proxy));

      hold->away = owner == NULL;
      if (hold->away && hold->lost)
        {
          run->thawing--; /* there is nothing to wait for */
          return;
        }
      if (hold->away)
        {
          hold->timeout = g_timeout_add_seconds (SERVICE_TIMEOUT, on_service_timeout, hold);
          return;
        }
      /* It is back already. */
      thaw (hold);
      return;
    }
  run->thawing--;
  if (error == NULL || g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return;
  if (error_is_gone (error))
    tell_lost (hold, "the virtfreeze service no longer knows it");
  else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CLOSED))
    tell_lost (hold, "the connection to the bus has ended, and with it the freeze");
  else if (error_exit_code (error) == EXIT_LOST)
    {
      g_autofree char *what = error_describe (error);
      tell_lost (hold, what);
    }
  else
    {
      fail (error, "“%s” could not be thawed, the service keeps trying", hold->domain);
      run->failed = TRUE;
    }
}

static void
thaw (Hold *hold)
{
  hold->ending = TRUE;
  g_dbus_proxy_call (G_DBUS_PROXY (hold->freeze), "Thaw", NULL, G_DBUS_CALL_FLAGS_NONE, G_MAXINT,
                     hold->run->cancellable, on_thawed, hold);
}

static void
thaw_all (Run *run)
{
  for (guint i = 0; i < run->holds->len; i++)
    {
      Hold *hold = g_ptr_array_index (run->holds, i);

      if (hold->gone)
        continue;
      run->thawing++;
      thaw (hold);
    }
  while (run->thawing > 0 && run->signal == 0)
    g_main_context_iteration (NULL, TRUE);
}

/* --- signals and the command --------------------------------------------------------------------- */

static void
on_signal (int number, gboolean keyboard, gpointer data)
{
  Run *run = data;

  if (run->child == 0)
    {
      run->signal = number;
      g_cancellable_cancel (run->cancellable);
    }
  /* What the terminal sends to all of its process group the command has got already. */
  else if (!keyboard || getpgid (run->child) != getpgrp ())
    kill (run->child, number);
}

static void
on_child (GPid pid G_GNUC_UNUSED, int status, gpointer data)
{
  Run *run = data;

  run->child = 0;
  run->status = status;
}

static ExitCode
code_of (int status)
{
  return WIFSIGNALED (status) ? EXIT_SIGNAL + WTERMSIG (status) : WEXITSTATUS (status);
}

static ExitCode
hold_while (Run *run, const char *path, const sigset_t *signals)
{
  ExitCode code = EXIT_DONE;

  if (run->signal != 0)
    return code;
  run->child = child_start (path, run->options->rest, signals, &code);
  if (run->child == 0)
    return code;
  g_child_watch_add (run->child, on_child, run);
  while (run->child != 0)
    g_main_context_iteration (NULL, TRUE);
  return code_of (run->status);
}

static gboolean
freeze (Run *run, GError **error)
{
  g_auto (GStrv) paths = NULL;

  if (!connection_open (&run->connection, run->options, run->cancellable, error))
    return FALSE;
  g_signal_connect_swapped (run->connection.bus, "closed", G_CALLBACK (on_bus_gone), run);
  paths = freezes_make (&run->connection, "caller", error);
  if (paths == NULL)
    return FALSE;
  for (guint i = 0; paths[i] != NULL; i++)
    if (!watch (run, paths[i], ((Request *) g_ptr_array_index (run->options->requests, i))->domain,
                error))
      return FALSE;
  connection_stop_agent (&run->connection);
  return TRUE;
}

static ExitCode
run_all (Run *run, const char *path, const sigset_t *signals)
{
  g_autoptr (GError) error = NULL;
  ExitCode code;

  if (!freeze (run, &error))
    return run->signal != 0 ? EXIT_DONE : fail (error, NULL);
  code = hold_while (run, path, signals);
  if (run->signal == 0)
    thaw_all (run);
  /* Our connection's end is a thaw, too; what is not known is whether the freeze has held. */
  if (run->signal != 0)
    return code;
  if (run->lost)
    return EXIT_LOST;
  return run->failed && code == EXIT_DONE ? EXIT_FAILED : code;
}

ExitCode
command_run (const Options *options)
{
  Run run = { .options = options };
  ExitCode code = EXIT_FAILED;
  /* First: without it nothing needs to be frozen. */
  g_autofree char *path = child_find (options->rest[0], &code);
  sigset_t signals;
  guint source;

  if (path == NULL)
    return code;
  run.cancellable = g_cancellable_new ();
  run.holds = g_ptr_array_new_with_free_func (hold_free);
  source = signals_take (&signals, on_signal, &run);
  code = run_all (&run, path, &signals);
  if (run.connection.bus != NULL)
    g_signal_handlers_disconnect_by_data (run.connection.bus, &run);
  g_ptr_array_unref (run.holds);
  connection_close (&run.connection);
  g_object_unref (run.cancellable);
  if (run.signal != 0)
    signals_die (run.signal);
  g_source_remove (source);
  return code;
}
