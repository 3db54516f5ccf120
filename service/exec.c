/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "exec.h"

#include "clock.h"
#include "error.h"
#include "exec-answer.h"
#include "guest-calls.h"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>
#include <string.h>

/* How long one program may run, where AgentTimeout does not say. */
#define RUN_LIMIT (15 * G_USEC_PER_SEC)

/* A status is asked for again after 2 ms at first, then less often. */
#define POLL_FIRST (2 * G_TIME_SPAN_MILLISECOND)
#define POLL_MOST (200 * G_TIME_SPAN_MILLISECOND)

#define HIDDEN                                                                                     \
  "a filesystem of the guest has another one mounted over it, and cannot be reached by fsfreeze"

/* A freeze that takes longer would use up too much of a guard's slack. */
#define QUICK (2 * G_USEC_PER_SEC)

/*
 * $1 names it to END_GUARDS; $2: seconds; $3: the mountpoint. USR1 ends it. TERM comes when the
 * guest shuts down, which it could not while frozen, or when its agent is stopped: it thaws at once.
 * 126 and 127: there is no sleep.
 */
#define GUARD_NAME "virtfreeze-guard"
#define GUARD                                                                                      \
  "trap 'kill \"$!\"; exit 0' USR1; trap 'kill \"$!\"' TERM; sleep \"$2\" & wait \"$!\"; "         \
  "case $? in 126|127) exit 1; esac; exec fsfreeze -u -- \"$3\""

/*
 * $1: how the command line of a guard begins, with its NULs left out, as read does; $2: processes
 * to spare, each between spaces; then what names each guard that is to end.
 */
#define END_GUARDS                                                                                 \
  "g=$1; s=$2; shift 2; for p in /proc/[0-9]*; do c=; IFS= read -r c 2>/dev/null "                 \
  "<\"$p/cmdline\"; for i; do case $c in \"$g$i\"*) case $s in *\" ${p#/proc/} \"*) ;; "           \
  "*) kill -s USR1 \"${p#/proc/}\" ;; esac ;; esac; done; done; exit 0"

/* Exit code 3: one of these mountpoints is still being frozen. */
#define FIND_FREEZES                                                                               \
  "for p in /proc/[0-9]*; do c=; IFS= read -r c 2>/dev/null <\"$p/cmdline\"; "                     \
  "for m; do [ \"$c\" != \"fsfreeze-f--${m%%\n*}\" ] || exit 3; done; done; exit 0"

/* In the guest, so that it is thawed again whatever becomes of the host. */
#define VERIFY "fsfreeze -f -- \"$1\" && exec fsfreeze -u -- \"$1\""

/* --- one command of the agent ------------------------------------------------------------------- */

static gint64
run_limit (const VfCall *call)
{
  return call->agent_timeout > 0 ? call->agent_timeout : RUN_LIMIT;
}

/* What the agent answers to json; NULL: call->error says why. */
static char *
ask (virDomainPtr domain, VfCall *call, const char *json)
{
  virConnectPtr connection = virDomainGetConnect (domain); /* now: it forgets the last error */
  gint64 start = g_get_monotonic_time ();
  int timeout = call->agent_timeout > 0 ? (int) MAX (call->agent_timeout / G_USEC_PER_SEC, 1)
                                        : VIR_DOMAIN_QEMU_AGENT_COMMAND_DEFAULT;
  char *answer = virDomainQemuAgentCommand (domain, json, timeout, 0);

  if (answer == NULL)
    vf_guest_call_classify (call, connection, g_get_monotonic_time () - start);
  return answer;
}

G_GNUC_PRINTF (3, 4)
static gboolean
fail (VfCall *call, VfError code, const char *format, ...)
{
  va_list args;

  g_clear_error (&call->error);
  va_start (args, format);
  call->error = g_error_new_valist (VF_ERROR, (gint) code, format, args);
  va_end (args);
  return FALSE;
}

static gboolean
nonsense (VfCall *call, const char *what)
{
  call->sent = call->answered = TRUE;
  return fail (call, VF_ERROR_AGENT_FAILED, "the guest agent's answer to %s makes no sense", what);
}

/* --- a program in the guest ----------------------------------------------------------------------- */

/* Starts argv. FALSE: call->error; call->answered tells that it was refused, so does not run. */
static gboolean
start (virDomainPtr domain, VfCall *call, const char *const *argv, gboolean capture, gint64 *pid)
{
  g_autofree char *json = vf_exec_start_command (argv, capture);
  g_autofree char *answer = NULL;

  if (json == NULL)
    {
      call->answered = TRUE;
      return fail (call, VF_ERROR_AGENT_FAILED,
                   "the path of a mountpoint is not UTF-8, and cannot be told to the guest agent");
    }
  answer = ask (domain, call, json);
  if (answer == NULL)
    return FALSE;
  if (vf_exec_read_pid (answer, pid))
    return TRUE;
  nonsense (call, "guest-exec");
  call->answered = FALSE; /* it may run */
  return FALSE;
}

static gboolean
get_status (virDomainPtr domain, VfCall *call, gint64 pid, VfExecStatus *status)
{
  g_autofree char *json = vf_exec_status_command (pid);
  g_autofree char *answer = ask (domain, call, json);

  if (answer == NULL)
    return FALSE;
  return vf_exec_read_status (answer, status) || nonsense (call, "guest-exec-status");
}

typedef enum {
  RAN,     /* to its end */
  REFUSED, /* it was not started */
  STUCK,   /* it still runs */
  LOST,    /* no answer: it may still run */
} Outcome;

/* Runs argv to its end. Other than RAN: call->error says why. */
static Outcome
run (virDomainPtr domain, VfCall *call, const char *const *argv, VfExecStatus *status)
{
  gint64 limit = g_get_monotonic_time () + run_limit (call);
  gulong pause = POLL_FIRST;
  gint64 pid = 0;

  call->sent = call->answered = FALSE;
  if (!start (domain, call, argv, TRUE, &pid))
    return call->answered || !call->sent ? REFUSED : LOST;
  while (get_status (domain, call, pid, status))
    {
      if (status->exited)
        return RAN;
      if (g_get_monotonic_time () >= limit)
        {
          call->sent = call->timed_out = TRUE;
          call->answered = FALSE;
          fail (call, VF_ERROR_AGENT_UNAVAILABLE,
                "“%s” in the guest did not end within %d s; its disk may be slow or stuck", argv[0],
                (int) (run_limit (call) / G_USEC_PER_SEC));
          return STUCK;
        }
      g_usleep (pause);
      pause = MIN (pause * 2, POLL_MOST);
    }
  call->sent = TRUE;
  call->answered = FALSE; /* whatever is said of its status, what it did is not known */
  return LOST;
}

/* --- fsfreeze ------------------------------------------------------------------------------------ */

static gboolean
ends_with (const char *text, const char *const *endings)
{
  for (; *endings != NULL; endings++)
    if (g_str_has_suffix (text, *endings))
      return TRUE;
  return FALSE;
}

static VfResult
read_result (const VfExecStatus *status)
{
  /* strerror() of glibc, and of musl */
  static const char *const busy[] = { ": Device or resource busy", ": Resource busy", NULL };
  static const char *const invalid[] = { ": Invalid argument", NULL };
  g_autofree char *text = g_strchomp (g_strdup (status->text));

  if (status->code == 0)
    return VF_RESULT_DONE;
  if (ends_with (text, busy))
    return VF_RESULT_FROZEN;
  return ends_with (text, invalid) ? VF_RESULT_NOT_FROZEN : VF_RESULT_REFUSED;
}

/* A path that leads to this filesystem and to no other; NULL: another is mounted over each. */
static const char *
find_path (const VfCall *call, const VfFilesystem *fs)
{
  for (guint m = 0; m < fs->mountpoints->len; m++)
    {
      const char *path = g_ptr_array_index (fs->mountpoints, m);
      gboolean shared = FALSE;

      for (guint i = 0; i < call->known->len && !shared; i++)
        {
          const VfFilesystem *other = g_ptr_array_index (call->known, i);

          shared
              = !g_str_equal (other->device, fs->device)
                && g_ptr_array_find_with_equal_func (other->mountpoints, path, g_str_equal, NULL);
        }
      if (!shared)
        return path;
    }
  return NULL;
}

/* Runs argv for one filesystem. Other than RAN: call->error. */
static Outcome
run_for (virDomainPtr domain, VfCall *call, const char *const *argv, guint i, char **text)
{
  g_auto (VfExecStatus) status = { 0 };
  Outcome outcome = run (domain, call, argv, &status);

  call->results[i] = outcome == REFUSED ? VF_RESULT_NONE : VF_RESULT_UNKNOWN;
  if (outcome != RAN)
    return outcome;
  if (status.code < 0)
    {
      /* The kernel may have done it all the same. */
      call->sent = TRUE;
      fail (call, VF_ERROR_AGENT_FAILED, "“%s” was killed in the guest", argv[0]);
      return STUCK;
    }
  call->results[i] = read_result (&status);
  *text = vf_text_shorten (g_strchomp (status.text));
  return RAN;
}

static gboolean
freeze_path (virDomainPtr domain, VfCall *call, guint i, const char *path)
{
  const VfFilesystem *fs = g_ptr_array_index (call->filesystems, i);
  const char *argv[] = { "fsfreeze", "-f", "--", path, NULL };
  g_autofree char *text = NULL;

  if (run_for (domain, call, argv, i, &text) != RAN)
    {
      if (call->answered)
        g_prefix_error (&call->error, "fsfreeze(8) cannot be run in the guest, see that package "
                                      "util-linux is installed there: ");
      return FALSE;
    }
  if (call->results[i] == VF_RESULT_NOT_FROZEN)
    call->results[i] = VF_RESULT_REFUSED;
  if (call->results[i] == VF_RESULT_DONE
      || (call->results[i] == VF_RESULT_REFUSED && !vf_filesystem_must_freeze (fs)))
    return TRUE;
  call->sent = call->answered = TRUE;
  if (call->results[i] == VF_RESULT_FROZEN)
    return fail (call, VF_ERROR_FROZEN_ELSEWHERE,
                 "a filesystem of it is frozen already, and not by this service; whoever froze it "
                 "must thaw it (“fsfreeze -u” in the guest)");
  return fail (call, VF_ERROR_INCOMPLETE, "a filesystem of the guest could not be frozen: %s",
               text);
}

static gboolean
freeze_one (virDomainPtr domain, VfCall *call, guint i)
{
  const char *path = find_path (call, g_ptr_array_index (call->filesystems, i));

  if (path != NULL)
    return freeze_path (domain, call, i, path);
  call->answered = TRUE;
  return fail (call, VF_ERROR_INCOMPLETE, HIDDEN "; use Engine=agent for this domain");
}

/* --- guards -------------------------------------------------------------------------------------- */

/* What tells the guard of a filesystem from others: of letters and digits alone. */
static char *
guard_name (const VfGuard *guard)
{
  g_autofree char *sum = g_compute_checksum_for_string (G_CHECKSUM_SHA256, guard->fs->device, -1);

  return g_strndup (sum, 16);
}

static gboolean
start_guard (virDomainPtr domain, VfCall *call, VfGuard *guard)
{
  gint64 wait = guard->until + VF_GUARD_SLACK - vf_clock_now ();
  g_autofree char *name = guard_name (guard);
  g_autofree char *seconds
      = g_strdup_printf ("%" G_GINT64_FORMAT, MAX (wait, G_USEC_PER_SEC) / G_USEC_PER_SEC);
  static const char script[] = GUARD;
  const char *found = find_path (call, guard->fs);
  const char *path = found != NULL ? found : g_ptr_array_index (guard->fs->mountpoints, 0);
  const char *argv[] = { "sh", "-c", script, GUARD_NAME, name, seconds, path, NULL };

  return start (domain, call, argv, FALSE, &guard->pid);
}

/* Ends guards of the same filesystems; spare: but those of that number. */
static gboolean
end_guards (virDomainPtr domain, VfCall *call, GPtrArray *guards, gboolean spare)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GString) spared = g_string_new (" ");
  g_auto (VfExecStatus) status = { 0 };

  for (guint i = 0; spare && i < guards->len; i++)
    g_string_append_printf (spared, "%" G_GINT64_FORMAT " ",
                            ((VfGuard *) g_ptr_array_index (guards, i))->pid);
  for (gsize i = 0; i < 4; i++)
    g_ptr_array_add (argv, g_strdup (((const char *[]){ "sh", "-c", END_GUARDS, "sh" })[i]));
  g_ptr_array_add (argv, g_strdup ("sh-c" GUARD GUARD_NAME));
  g_ptr_array_add (argv, g_strdup (spared->str));
  for (guint i = 0; i < guards->len; i++)
    g_ptr_array_add (argv, guard_name (g_ptr_array_index (guards, i)));
  g_ptr_array_add (argv, NULL);
  if (run (domain, call, (const char *const *) argv->pdata, &status) != RAN)
    return FALSE;
  if (status.code != 0)
    return fail (call, VF_ERROR_AGENT_FAILED, "processes in the guest cannot be listed by sh");
  return TRUE;
}

static gboolean
needs_replacing (GPtrArray *guards)
{
  for (guint i = 0; i < guards->len; i++)
    if (((VfGuard *) g_ptr_array_index (guards, i))->replaces)
      return TRUE;
  return FALSE;
}

/* New ones first, so that none of these filesystems is without. */
static gboolean
set_guards (virDomainPtr domain, VfCall *call)
{
  for (guint i = 0; i < call->guards->len; i++)
    if (!start_guard (domain, call, g_ptr_array_index (call->guards, i)))
      return FALSE;
  return !needs_replacing (call->guards) || end_guards (domain, call, call->guards, TRUE);
}

/* What guest-exec started may have ended at once, for want of sleep, say. */
static gboolean
check_guards (virDomainPtr domain, VfCall *call)
{
  for (guint i = 0; i < call->guards->len; i++)
    {
      VfGuard *guard = g_ptr_array_index (call->guards, i);
      g_auto (VfExecStatus) status = { 0 };

      if (!get_status (domain, call, guard->pid, &status))
        return FALSE;
      if (status.exited)
        {
          call->sent = call->answered = TRUE;
          return fail (call, VF_ERROR_AGENT_FAILED,
                       "the process that thaws the guest if the host dies does not stay; see that "
                       "sh, sleep and fsfreeze work in the guest, or set FreezeGuard=no");
        }
    }
  return TRUE;
}

/* A freeze that took long has used up of their time. */
static gboolean
renew_guards (virDomainPtr domain, VfCall *call, gint64 took)
{
  if (took < QUICK)
    return TRUE;
  for (guint i = 0; i < call->guards->len; i++)
    {
      VfGuard *guard = g_ptr_array_index (call->guards, i);

      guard->until += took;
      guard->replaces = TRUE;
    }
  return set_guards (domain, call);
}

/* --- the calls ------------------------------------------------------------------------------------ */

static gboolean
check_enabled (virDomainPtr domain, VfCall *call)
{
  g_autofree char *json = vf_exec_info_command ();
  g_autofree char *answer = ask (domain, call, json);
  gboolean enabled;

  if (answer == NULL)
    return FALSE;
  if (!vf_exec_read_enabled (answer, &enabled))
    return nonsense (call, "guest-info");
  if (enabled)
    return TRUE;
  call->answered = TRUE;
  return fail (call, VF_ERROR_AGENT_FAILED,
               "Engine=exec needs guest-exec and guest-exec-status, which its guest agent does not "
               "allow; in the guest take them out of block-rpcs (or add them to allow-rpcs) in "
               "/etc/qemu/qemu-ga.conf (on others: /etc/sysconfig/qemu-ga) and restart "
               "qemu-guest-agent, or set Engine=agent for this domain");
}

static void
freeze (virDomainPtr domain, VfCall *call)
{
  gint64 begin = g_get_monotonic_time ();

  if (!check_enabled (domain, call))
    {
      call->sent = FALSE;
      return;
    }
  /* What it has waited for its turn is not to be missing from the hold. */
  for (guint i = 0; i < call->guards->len; i++)
    ((VfGuard *) g_ptr_array_index (call->guards, i))->until += vf_clock_now () - call->made;
  if (!set_guards (domain, call))
    return;
  for (guint i = 0; i < call->filesystems->len; i++)
    {
      if (!freeze_one (domain, call, i))
        return;
      call->count += call->results[i] == VF_RESULT_DONE;
    }
  /* One that has gone off meanwhile is not to be replaced unnoticed. */
  if (check_guards (domain, call) && renew_guards (domain, call, g_get_monotonic_time () - begin))
    check_guards (domain, call);
}

/* An fsfreeze -f that is stuck may freeze later: it must have ended before the last thaw. */
static gboolean
find_freezes (virDomainPtr domain, VfCall *call)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  g_auto (VfExecStatus) status = { 0 };

  for (gsize i = 0; i < 4; i++)
    g_ptr_array_add (argv, (char *) ((const char *[]){ "sh", "-c", FIND_FREEZES, "sh" })[i]);
  for (guint i = 0; i < call->filesystems->len; i++)
    {
      const char *path = find_path (call, g_ptr_array_index (call->filesystems, i));
      if (path != NULL)
        g_ptr_array_add (argv, (char *) path);
    }
  g_ptr_array_add (argv, NULL);
  if (run (domain, call, (const char *const *) argv->pdata, &status) != RAN)
    return FALSE;
  if (status.code == 0)
    return TRUE;
  call->sent = call->answered = TRUE;
  return fail (call, VF_ERROR_AGENT_FAILED, "a freeze of it is still under way in the guest");
}

static Outcome
thaw_one (virDomainPtr domain, VfCall *call, guint i)
{
  const char *path = find_path (call, g_ptr_array_index (call->filesystems, i));
  const char *argv[] = { "fsfreeze", "-u", "--", path, NULL };
  g_autofree char *text = NULL;
  Outcome outcome;

  if (path == NULL)
    {
      fail (call, VF_ERROR_AGENT_FAILED, HIDDEN);
      return REFUSED;
    }
  outcome = run_for (domain, call, argv, i, &text);
  if (outcome == RAN && call->results[i] == VF_RESULT_DONE)
    call->count++;
  else if (outcome == RAN && call->results[i] != VF_RESULT_NOT_FROZEN)
    fail (call, VF_ERROR_AGENT_FAILED, "%s", text);
  return outcome;
}

/* FALSE: call->error, about the first that is not thawed. One that is stuck does not keep others. */
static gboolean
thaw_all (virDomainPtr domain, VfCall *call)
{
  g_autoptr (GError) first = NULL;
  Outcome outcome = RAN;

  for (guint i = 0; i < call->filesystems->len && outcome != LOST; i++)
    {
      outcome = thaw_one (domain, call, i);
      if (call->error != NULL && first == NULL)
        first = g_steal_pointer (&call->error);
      g_clear_error (&call->error);
    }
  call->error = g_steal_pointer (&first);
  if (call->error == NULL)
    return TRUE;
  call->sent = TRUE;
  call->answered = outcome != LOST;
  return FALSE;
}

static void
thaw (virDomainPtr domain, VfCall *call)
{
  if (!thaw_all (domain, call))
    return;
  if (call->in_doubt
      && (!find_freezes (domain, call)
          || !thaw_all (domain, call))) /* one may have ended between */
    return;
  if (call->guards->len == 0)
    return;
  if (!end_guards (domain, call, call->guards, FALSE))
    {
      call->guards_left = TRUE;
      if (call->filesystems->len > 0)
        g_clear_error (&call->error); /* it is thawed; they end by themselves */
      return;
    }
  for (guint i = 0; i < call->guards->len; i++)
    {
      VfGuard *guard = g_ptr_array_index (call->guards, i);
      g_auto (VfExecStatus) status = { 0 };

      /* So that the agent forgets it. */
      if (guard->pid != 0 && !get_status (domain, call, guard->pid, &status))
        g_clear_error (&call->error);
    }
}

static void
verify (virDomainPtr domain, VfCall *call)
{
  for (guint i = 0; i < call->filesystems->len; i++)
    {
      const char *path = find_path (call, g_ptr_array_index (call->filesystems, i));
      const char *argv[] = { "sh", "-c", VERIFY, "sh", path, NULL };
      g_autofree char *text = NULL;

      if (path == NULL)
        {
          call->sent = TRUE;
          fail (call, VF_ERROR_AGENT_FAILED, HIDDEN);
          return;
        }
      if (run_for (domain, call, argv, i, &text) != RAN)
        return;
      if (call->results[i] != VF_RESULT_DONE && call->results[i] != VF_RESULT_FROZEN)
        {
          call->sent = TRUE;
          fail (call, VF_ERROR_AGENT_FAILED, "%s", text);
          return;
        }
    }
}

void
vf_exec_call (virDomainPtr domain, VfCall *call)
{
  if (call->kind == VF_CALL_EXEC_FREEZE)
    freeze (domain, call);
  else if (call->kind == VF_CALL_EXEC_THAW)
    thaw (domain, call);
  else
    verify (domain, call);
}
