/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "authority.h"

#include "clock.h"
#include "error.h"

/* CheckAuthorizationFlags of polkit's D-Bus interface. */
#define NO_FLAGS 0u
#define ALLOW_USER_INTERACTION 1u

#define POLKIT_NAME "org.freedesktop.PolicyKit1"
#define POLKIT_PATH "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"

#define MOST_UNDER_WAY 8
#define CHECK_SECONDS 10
#define PROMPT_SECONDS (5 * 60)

struct _VfAuthority {
  GDBusConnection *connection; /* NULL: everything is allowed */
  guint64 next_id;             /* of checks, for cancelling them */
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
  char *id; /* polkit's name for it while it is asked */
  GCancellable *cancel;
  guint timer;
};

static void start_next (VfAuthority *authority);
static void ask (VfCheck *check);

VfAuthority *
vf_authority_new (GDBusConnection *connection)
{
  VfAuthority *authority = g_new0 (VfAuthority, 1);

  authority->connection = connection != NULL ? g_object_ref (connection) : NULL;
  g_queue_init (&authority->turns);
  authority->waiting = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) g_queue_free);
  return authority;
}

void
vf_authority_free (VfAuthority *authority)
{
  g_queue_clear (&authority->turns);
  g_hash_table_unref (authority->waiting);
  g_clear_object (&authority->connection);
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
  g_free (check->id);
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
  /* The type is checked: libpolkit's own call would crash on any other. */
  g_autoptr (GVariant) answer
      = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);
  gboolean authorized = FALSE, challenge = FALSE;

  if (answer != NULL)
    g_variant_get (answer, "((bba{ss}))", &authorized, &challenge, NULL);
  if (answer == NULL)
    {
      if (!check->cancelled)
        g_warning ("polkit gave no answer: %s", error->message);
      finish (check, VF_ERROR_ACCESS_DENIED,
              "Not authorized: polkit could not be asked, see the system's journal");
    }
  else if (authorized)
    finish (check, 0, NULL);
  else if (!challenge)
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

/* Stops waiting; on_checked frees. polkit takes its prompt away. */
static void
give_up (VfCheck *check)
{
  g_dbus_connection_call (check->authority->connection, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE,
                          "CancelCheckAuthorization", g_variant_new ("(s)", check->id), NULL,
                          G_DBUS_CALL_FLAGS_NO_AUTO_START, -1, NULL, NULL, NULL);
  g_cancellable_cancel (check->cancel);
}

/* Nobody answered in time. polkit may still do so later: then it is for nobody. */
static gboolean
on_late (gpointer data)
{
  VfCheck *check = data;
  g_autoptr (GError) error = NULL;

  check->timer = 0;
  error = g_error_new (VF_ERROR, VF_ERROR_ACCESS_DENIED, "Not authorized: %s (polkit action %s)",
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
    give_up (check);
  return G_SOURCE_REMOVE;
}

static void
ask (VfCheck *check)
{
  GVariantBuilder details, subject;

  if (check->prompting)
    {
      g_clear_handle_id (&check->timer, g_source_remove);
      check->timer = g_timeout_add_seconds (PROMPT_SECONDS, on_late, check);
    }
  g_free (check->id);
  check->id = g_strdup_printf ("virtfreeze-%" G_GUINT64_FORMAT, check->authority->next_id++);
  g_variant_builder_init (&subject, G_VARIANT_TYPE ("a{sv}"));
  g_variant_builder_add (&subject, "{sv}", "name", g_variant_new_string (check->client->name));
  g_variant_builder_init (&details, G_VARIANT_TYPE ("a{ss}"));
  for (char **pair = check->details; pair[0] != NULL; pair += 2)
    g_variant_builder_add (&details, "{ss}", pair[0], pair[1]);
  g_dbus_connection_call (
      check->authority->connection, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE,
      "CheckAuthorization",
      g_variant_new ("((sa{sv})sa{ss}us)", "system-bus-name", &subject, check->action, &details,
                     check->prompting ? ALLOW_USER_INTERACTION : NO_FLAGS, check->id),
      G_VARIANT_TYPE ("((bba{ss}))"), G_DBUS_CALL_FLAGS_NONE, G_MAXINT, check->cancel, on_checked,
      check);
}

VfCheck *
vf_authority_check (VfAuthority *authority, VfClient *client, const char *action,
                    const char *const *details, gboolean interactive,
                    void (*done) (const GError *error, gint64 prompted, gpointer data),
                    gpointer data)
{
  VfCheck *check;

  if (authority->connection == NULL)
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
    give_up (check);
}
