/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "authority.h"

#include "clock.h"
#include "error.h"

#include <polkit/polkit.h>

#define MOST_UNDER_WAY 8
#define CHECK_SECONDS 10
#define PROMPT_SECONDS (5 * 60)

struct _VfAuthority {
  gboolean everything_allowed;
  guint under_way;
  GQueue turns;        /* uids with waiting checks; each once */
  GHashTable *waiting; /* uid → GQueue of VfCheck */
};

struct _VfCheck {
  VfAuthority *authority;
  VfClient *client;
  char *action;
  char **details;
  gboolean interactive;
  void (*done) (const GError *, gint64, gpointer);
  gpointer data;

  gboolean cancelled; /* nobody is to be told any more */
  gboolean counted;   /* among those under way */
  gboolean queued;
  gboolean prompting;
  gint64 prompt_start;
  GCancellable *cancel;
  guint timer;
};

static void start_next (VfAuthority *authority);
static void ask (VfCheck *check);

VfAuthority *
vf_authority_new (gboolean everything_allowed)
{
  VfAuthority *authority = g_new0 (VfAuthority, 1);

  authority->everything_allowed = everything_allowed;
  g_queue_init (&authority->turns);
  authority->waiting
      = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) g_queue_free);
  return authority;
}

void
vf_authority_free (VfAuthority *authority)
{
  g_queue_clear (&authority->turns);
  g_hash_table_unref (authority->waiting);
  g_free (authority);
}

static void
check_free (VfCheck *check)
{
  g_clear_handle_id (&check->timer, g_source_remove);
  g_clear_object (&check->cancel);
  vf_client_unref (check->client);
  g_strfreev (check->details);
  g_free (check->action);
  g_free (check);
}

static void
uncount (VfCheck *check)
{
  if (!check->counted)
    return;
  check->counted = FALSE;
  check->authority->under_way--;
}

/* --- turns ------------------------------------------------------------------------------------ */

static void
enqueue (VfCheck *check)
{
  VfAuthority *authority = check->authority;
  gpointer uid = GUINT_TO_POINTER (check->client->uid);
  GQueue *queue = g_hash_table_lookup (authority->waiting, uid);

  if (queue == NULL)
    {
      queue = g_queue_new ();
      g_hash_table_insert (authority->waiting, uid, queue);
      g_queue_push_tail (&authority->turns, uid);
    }
  check->queued = TRUE;
  g_queue_push_tail (queue, check);
}

static void
dequeue (VfCheck *check)
{
  VfAuthority *authority = check->authority;
  gpointer uid = GUINT_TO_POINTER (check->client->uid);
  GQueue *queue = g_hash_table_lookup (authority->waiting, uid);

  check->queued = FALSE;
  g_queue_remove (queue, check);
  if (!g_queue_is_empty (queue))
    return;
  g_hash_table_remove (authority->waiting, uid);
  g_queue_remove (&authority->turns, uid);
}

static void
start_next (VfAuthority *authority)
{
  while (authority->under_way < MOST_UNDER_WAY && !g_queue_is_empty (&authority->turns))
    {
      gpointer uid = g_queue_pop_head (&authority->turns);
      VfCheck *check = g_queue_peek_head (g_hash_table_lookup (authority->waiting, uid));

      g_queue_push_tail (&authority->turns, uid);
      dequeue (check);
      check->counted = TRUE;
      authority->under_way++;
      ask (check);
    }
}

/* --- answers ---------------------------------------------------------------------------------- */

/* Tells, unless that was done already, and frees. */
static void
finish (VfCheck *check, int code, const char *text)
{
  g_autoptr (GError) error = NULL;
  VfAuthority *authority = check->authority;
  gint64 prompted = check->prompting ? vf_clock_now () - check->prompt_start : 0;

  uncount (check);
  if (text != NULL)
    error = g_error_new (VF_ERROR, code, "%s (polkit action %s)", text, check->action);
  if (!check->cancelled)
    check->done (error, prompted, check->data);
  check_free (check);
  start_next (authority);
}

static void
on_checked (GObject *source, GAsyncResult *result, gpointer data)
{
  VfCheck *check = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (PolkitAuthorizationResult) answer = polkit_authority_check_authorization_finish (
      POLKIT_AUTHORITY (source), result, &error);

  if (answer == NULL)
    {
      if (!check->cancelled)
        g_warning ("polkit did not answer: %s", error->message);
      finish (check, VF_ERROR_ACCESS_DENIED,
              "Not authorized: polkit could not be asked, see the system's journal");
    }
  else if (polkit_authorization_result_get_is_authorized (answer))
    finish (check, 0, NULL);
  else if (!polkit_authorization_result_get_is_challenge (answer))
    finish (check, VF_ERROR_ACCESS_DENIED, "Not authorized");
  else if (check->prompting)
    finish (check, VF_ERROR_ACCESS_DENIED, "Not authorized: the prompt was not answered");
  else if (!check->interactive)
    finish (check, VF_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
            "A password is needed, and the caller does not allow to ask for one");
  else
    {
      uncount (check); /* people are slow, and do not keep polkitd busy */
      check->prompting = TRUE;
      check->prompt_start = vf_clock_now ();
      ask (check);
      start_next (check->authority);
    }
}

static void
on_authority (GObject *source G_GNUC_UNUSED, GAsyncResult *result, gpointer data)
{
  VfCheck *check = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (PolkitAuthority) polkit = polkit_authority_get_finish (result, &error);
  g_autoptr (PolkitSubject) subject = NULL;
  g_autoptr (PolkitDetails) details = NULL;

  if (polkit == NULL || check->cancelled)
    {
      if (polkit == NULL)
        g_warning ("polkit cannot be reached: %s", error->message);
      finish (check, VF_ERROR_ACCESS_DENIED,
              "Not authorized: polkit could not be asked, see the system's journal");
      return;
    }
  subject = polkit_system_bus_name_new (check->client->name);
  details = polkit_details_new ();
  for (char **pair = check->details; pair[0] != NULL; pair += 2)
    polkit_details_insert (details, pair[0], pair[1]);
  polkit_authority_check_authorization (
      polkit, subject, check->action, details,
      check->prompting ? POLKIT_CHECK_AUTHORIZATION_FLAGS_ALLOW_USER_INTERACTION
                       : POLKIT_CHECK_AUTHORIZATION_FLAGS_NONE,
      check->cancel, on_checked, check);
}

/* Nobody answered in time. polkit may still do so later: then it is for nobody. */
static gboolean
on_late (gpointer data)
{
  VfCheck *check = data;
  g_autoptr (GError) error = NULL;

  check->timer = 0;
  error = g_error_new (VF_ERROR, VF_ERROR_ACCESS_DENIED,
                       "Not authorized: %s (polkit action %s)",
                       check->prompting ? "the prompt was not answered in time"
                                        : "polkit did not answer in time",
                       check->action);
  check->cancelled = TRUE;
  check->done (error, check->prompting ? vf_clock_now () - check->prompt_start : 0, check->data);
  if (check->queued)
    {
      dequeue (check);
      check_free (check);
    }
  else
    g_cancellable_cancel (check->cancel); /* on_checked frees */
  return G_SOURCE_REMOVE;
}

static void
ask (VfCheck *check)
{
  if (check->prompting)
    {
      g_clear_handle_id (&check->timer, g_source_remove);
      check->timer = g_timeout_add_seconds (PROMPT_SECONDS, on_late, check);
    }
  polkit_authority_get_async (NULL, on_authority, check);
}

VfCheck *
vf_authority_check (VfAuthority *authority, VfClient *client, const char *action,
                    const char *const *details, gboolean interactive,
                    void (*done) (const GError *error, gint64 prompted, gpointer data),
                    gpointer data)
{
  VfCheck *check;

  if (authority->everything_allowed)
    {
      done (NULL, 0, data);
      return NULL;
    }
  check = g_new0 (VfCheck, 1);
  check->authority = authority;
  check->client = vf_client_ref (client);
  check->action = g_strdup (action);
  check->details = g_strdupv ((char **) details);
  check->interactive = interactive;
  check->done = done;
  check->data = data;
  check->cancel = g_cancellable_new ();
  check->timer = g_timeout_add_seconds (CHECK_SECONDS, on_late, check);
  enqueue (check);
  start_next (authority);
  return check;
}

void
vf_check_cancel (VfCheck *check)
{
  check->cancelled = TRUE;
  g_clear_handle_id (&check->timer, g_source_remove);
  if (check->queued)
    {
      dequeue (check);
      check_free (check);
    }
  else
    g_cancellable_cancel (check->cancel);
}
