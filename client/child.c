/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "child.h"

#include <errno.h>
#include <glib-unix.h>
#include <spawn.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHELL "/bin/sh"
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

extern char **environ;

/* SIGUSR1 and 2, too: some commands answer to them, and they would end us and the freeze. */
static const int passed_on[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };

/* --- the command ----------------------------------------------------------------------------- */

/* 0, or why it cannot be run. */
static int
check (const char *path)
{
  struct stat status;

  if (stat (path, &status) != 0)
    return errno;
  if (!S_ISREG (status.st_mode))
    return S_ISDIR (status.st_mode) ? EISDIR : EACCES;
  return access (path, X_OK) == 0 ? 0 : errno;
}

static void
set_failure (const char *word, int number, ExitCode *code)
{
  gboolean absent = number == ENOENT || number == ENOTDIR;

  complain ("%s: %s", word, absent ? "Command not found" : g_strerror (number));
  *code = absent ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE;
}

char *
child_find (const char *word, ExitCode *code)
{
  const char *path = g_getenv ("PATH") ?: DEFAULT_PATH;
  g_auto (GStrv) folders = NULL;
  int worst = ENOENT;

  if (strchr (word, '/') != NULL)
    {
      worst = check (word);
      if (worst == 0)
        return g_strdup (word);
      set_failure (word, worst, code);
      return NULL;
    }
  folders = g_strsplit (path, ":", -1);
  for (char **folder = folders; *word != '\0' && *folder != NULL; folder++)
    {
      g_autofree char *candidate = g_build_filename (**folder != '\0' ? *folder : ".", word, NULL);
      int number = check (candidate);

      if (number == 0)
        return g_steal_pointer (&candidate);
      if (number == EACCES)
        worst = EACCES;
    }
  set_failure (word, worst, code);
  return NULL;
}

/* A script without "#!" is run by the shell, as shells and execvp() do. */
static int
spawn (pid_t *pid, const char *path, char **arguments, const posix_spawnattr_t *attributes)
{
  int number = posix_spawn (pid, path, NULL, attributes, arguments, environ);
  g_autoptr (GPtrArray) words = NULL;

  if (number != ENOEXEC)
    return number;
  words = g_ptr_array_new ();
  g_ptr_array_add (words, (gpointer) SHELL);
  g_ptr_array_add (words, (gpointer) path);
  for (char **word = arguments + 1; *word != NULL; word++)
    g_ptr_array_add (words, *word);
  g_ptr_array_add (words, NULL);
  return posix_spawn (pid, SHELL, NULL, attributes, (char **) words->pdata, environ);
}

pid_t
child_start (const char *path, char **arguments, const sigset_t *signals, ExitCode *code)
{
  posix_spawnattr_t attributes;
  sigset_t defaults;
  pid_t pid = 0;
  int number;

  sigemptyset (&defaults);
  /* We ignore it, as GLib wants; what was ignored before us stays so. */
  if (!output_sigpipe_was_ignored ())
    sigaddset (&defaults, SIGPIPE);
  posix_spawnattr_init (&attributes);
  posix_spawnattr_setflags (&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  posix_spawnattr_setsigmask (&attributes, signals);
  posix_spawnattr_setsigdefault (&attributes, &defaults);
  number = spawn (&pid, path, arguments, &attributes);
  posix_spawnattr_destroy (&attributes);
  if (number != 0)
    {
      set_failure (arguments[0], number, code);
      return 0;
    }
  return pid;
}

/* --- signals --------------------------------------------------------------------------------- */

typedef struct {
  SignalFunc *func;
  gpointer data;
} Handler;

/* Of a hang-up only the leader of the session is told, which may be us. */
static gboolean
is_of_keyboard (const struct signalfd_siginfo *info)
{
  return info->ssi_code == SI_KERNEL && (info->ssi_signo == SIGINT || info->ssi_signo == SIGQUIT);
}

static gboolean
on_signal (int fd, GIOCondition condition G_GNUC_UNUSED, gpointer data)
{
  Handler *handler = data;
  struct signalfd_siginfo info;

  if (read (fd, &info, sizeof info) == sizeof info)
    handler->func ((int) info.ssi_signo, is_of_keyboard (&info), handler->data);
  return G_SOURCE_CONTINUE;
}

static void
handler_free (gpointer data)
{
  g_free (data);
}

guint
signals_take (sigset_t *before, SignalFunc *func, gpointer data)
{
  Handler *handler = g_new (Handler, 1);
  sigset_t taken;

  *handler = (Handler){ func, data };
  sigemptyset (&taken);
  for (gsize i = 0; i < G_N_ELEMENTS (passed_on); i++)
    {
      struct sigaction action;

      /* As nohup and shells leave it: then it is not for the command, either. */
      if (sigaction (passed_on[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
        sigaddset (&taken, passed_on[i]);
    }
  sigprocmask (SIG_BLOCK, &taken, before);
  return g_unix_fd_add_full (G_PRIORITY_HIGH, signalfd (-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK),
                             G_IO_IN, on_signal, handler, handler_free);
}

void
signals_die (int number)
{
  sigset_t one;

  sigemptyset (&one);
  sigaddset (&one, number);
  signal (number, SIG_DFL);
  raise (number);
  sigprocmask (SIG_UNBLOCK, &one, NULL);
  _exit (EXIT_SIGNAL + number);
}
