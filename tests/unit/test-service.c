/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test-service.h"

#include "fake-clock.h"
#include "journal-file.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#define N_NOTES 60
#define URI "fake:///system"

/* The one under test, whose notes are shown where something aborts. */
static Service *current;

/* Processes that were killed: nothing of them runs or may be freed. */
static GPtrArray *graveyard;

/* --- words ------------------------------------------------------------------------------------ */

static void observe (Service *service, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
observe (Service *service, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  if (service->observed != NULL)
    service->observed (text, service->data);
}

static void
on_connected (gboolean connected, gpointer data)
{
  observe (data, connected ? "on" : "off");
}

static void
on_domain_added (VfDomain *domain, gpointer data)
{
  observe (data, "+%s", domain->info->name);
}

static void
on_domain_changed (VfDomain *domain, VfDomainChange what, gpointer data)
{
  VfGuestState state = vf_lane_guest_state (domain->lane);

  g_assert_cmpint (what, !=, 0);
  if (what & VF_DOMAIN_FREEZE_STATE)
    observe (data, "<%s>", vf_guest_state_word (state));
  if (what & VF_DOMAIN_NAME)
    observe (data, "~%s", domain->info->name);
}

static void
on_domain_removed (VfDomain *domain, gpointer data)
{
  observe (data, "-%s", domain->info->name);
}

static void
on_freeze_added (VfFreeze *freeze, gpointer data)
{
  g_assert_cmpint (freeze->state, ==, VF_FREEZE_HELD);
  observe (data, "+%" G_GUINT64_FORMAT, freeze->number);
}

static void
on_freeze_changed (VfFreeze *freeze, VfFreezeChange what, gpointer data)
{
  if (what & VF_FREEZE_CHANGED_STATE)
    observe (data, "%" G_GUINT64_FORMAT ":%s", freeze->number,
             vf_freeze_state_word (freeze->state));
  if (what & VF_FREEZE_CHANGED_DEADLINE)
    observe (data, "%" G_GUINT64_FORMAT ":deadline", freeze->number);
  if (what & VF_FREEZE_CHANGED_OWNER)
    observe (data, "%" G_GUINT64_FORMAT ":owner", freeze->number);
}

static void
on_freeze_lost (VfFreeze *freeze, gpointer data)
{
  g_assert_cmpint (freeze->state, ==, VF_FREEZE_LOST);
  observe (data, "%" G_GUINT64_FORMAT ":lost:%s", freeze->number, vf_lost_word (freeze->why));
}

static void
on_freeze_released (VfFreeze *freeze, VfReleasedWhy why, gpointer data)
{
  g_assert_true (freeze->gone);
  observe (data, "-%" G_GUINT64_FORMAT ":%s", freeze->number, vf_released_word (why));
}

static const VfObserver observer = {
  .connected = on_connected,
  .domain_added = on_domain_added,
  .domain_changed = on_domain_changed,
  .domain_removed = on_domain_removed,
  .freeze_added = on_freeze_added,
  .freeze_changed = on_freeze_changed,
  .freeze_lost = on_freeze_lost,
  .freeze_released = on_freeze_released,
};

/* --- life and death --------------------------------------------------------------------------- */

/* What the service warns of is what these tests do to it. */
static GLogWriterOutput
write_log (GLogLevelFlags level, const GLogField *fields, gsize n, gpointer data)
{
  if ((level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL)) || g_test_verbose ())
    return g_log_writer_default (level, fields, n, data);
  return G_LOG_WRITER_HANDLED;
}

/* The process dies of it anyway. */
static void
on_abort (int number)
{
  for (GList *l = current != NULL ? current->notes.head : NULL; l != NULL; l = l->next)
    g_print ("#   %s\n", (char *) l->data);
  signal (number, SIG_DFL);
  raise (number);
}

void
service_test_init (int *argc, char ***argv)
{
  g_test_init (argc, argv, NULL);
  g_log_set_always_fatal (G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
  g_log_set_writer_func (write_log, NULL, NULL);
  signal (SIGXFSZ, SIG_IGN);
  signal (SIGABRT, on_abort);
  signal (SIGTRAP, on_abort);
}

static VfConfig *
load_config (Service *service)
{
  g_autofree char *path = g_strconcat (service->folder, ".conf", NULL);
  g_autofree char *lines = g_strdup (service->config != NULL ? service->config : "");
  g_autofree char *text = g_strdup_printf ("[Freeze]\n%s\n", g_strdelimit (lines, " ", '\n'));
  g_autoptr (GError) error = NULL;
  VfConfig *config;

  g_assert_true (g_file_set_contents (path, text, -1, NULL));
  config = vf_config_load (path, TRUE, FALSE, &error);
  g_assert_no_error (error);
  g_unlink (path);
  return config;
}

Service *
service_new (FakeHost *host, const char *config, ServiceObserved observed, gpointer data)
{
  Service *service = g_new0 (Service, 1);
  g_autoptr (GError) error = NULL;

  service->host = host;
  service->config = g_strdup (config);
  service->observed = observed;
  service->data = data;
  service->folder = g_dir_make_tmp ("virtfreeze-XXXXXX", &error);
  g_assert_no_error (error);
  g_queue_init (&service->notes);
  current = service;
  return service;
}

void
service_start (Service *service, const char *bus_id, gboolean adopt)
{
  g_autoptr (VfConfig) config = load_config (service);
  g_autoptr (GError) error = NULL;

  g_assert_null (service->registry);
  service->clock = vf_clock_new ();
  service->hypervisor = fake_hypervisor_new (service->host, service->clock);
  service->journal = vf_journal_open (service->folder, &error);
  g_assert_no_error (error);
  service->registry
      = vf_registry_new (service->hypervisor, service->clock, config, &observer, service);
  vf_registry_set_journal (service->registry, service->journal, URI, bus_id);
  vf_registry_recover (service->registry, adopt);
  vf_registry_start (service->registry, NULL, NULL);
}

void
service_crash (Service *service)
{
  if (graveyard == NULL)
    graveyard = g_ptr_array_new ();
  fake_hypervisor_kill (service->hypervisor);
  g_ptr_array_add (graveyard, g_steal_pointer (&service->registry));
  g_ptr_array_add (graveyard, g_steal_pointer (&service->hypervisor));
  g_ptr_array_add (graveyard, g_steal_pointer (&service->clock));
  g_clear_pointer (&service->journal, vf_journal_close);
}

void
service_configure (Service *service, const char *text)
{
  g_autoptr (VfConfig) config = NULL;

  g_free (service->config);
  service->config = g_strdup (text);
  config = load_config (service);
  vf_registry_configure (service->registry, config);
}

static void
limit_files (rlim_t size)
{
  struct rlimit limit;

  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  limit.rlim_cur = size;
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
}

void
service_break_journal (Service *service)
{
  service->broken_journal = TRUE;
  limit_files (64);
}

void
service_mend_journal (Service *service)
{
  service->broken_journal = FALSE;
  limit_files (RLIM_INFINITY);
}

void
service_settle (Service *service)
{
  fake_clock_settle (service->clock);
}

void
service_advance (Service *service, gint64 usec)
{
  if (service->clock == NULL)
    {
      fake_clock_skip (usec);
      return;
    }
  /* In small steps, so that the promises are checked in between. */
  while (usec > 0)
    {
      gint64 step = MIN (usec, 200 * G_TIME_SPAN_MILLISECOND);

      if (usec > 5 * G_TIME_SPAN_MINUTE)
        step = G_USEC_PER_SEC;
      fake_clock_advance (service->clock, step);
      usec -= step;
      service_check (service);
    }
}

/* --- looking ---------------------------------------------------------------------------------- */

VfDomain *
service_domain (Service *service, const FakeGuest *guest)
{
  return vf_registry_find (service->registry, guest->uuid, NULL);
}

typedef struct {
  guint64 number;
  VfFreeze *found;
} Search;

static void
match (VfFreeze *freeze, gpointer data)
{
  Search *search = data;

  if (freeze->number == search->number)
    search->found = freeze;
}

VfFreeze *
service_freeze (Service *service, guint64 number)
{
  Search search = { number, NULL };

  vf_registry_foreach_freeze (service->registry, match, &search);
  return search.found;
}

/* The records in the folder, by number; those that cannot be read are left out. */
static GPtrArray *
read_records (Service *service, guint *unreadable)
{
  GPtrArray *records = g_ptr_array_new_with_free_func ((GDestroyNotify) vf_record_free);
  g_autoptr (GDir) dir = g_dir_open (service->folder, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (service->folder, name, NULL);
      g_autofree char *text = NULL;
      VfRecord *record;
      guint place = 0;

      if (!g_str_has_suffix (name, ".freeze"))
        continue;
      g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
      record = vf_record_from_text (text, NULL);
      if (record == NULL)
        {
          *unreadable += 1;
          continue;
        }
      while (place < records->len
             && ((VfRecord *) g_ptr_array_index (records, place))->number < record->number)
        place++;
      g_ptr_array_insert (records, (gint) place, record);
    }
  return records;
}

char *
service_records (Service *service)
{
  static const char *const phases[] = { "freezing", "held", "ended", "saved" };
  guint unreadable = 0;
  g_autoptr (GPtrArray) records = read_records (service, &unreadable);
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < records->len; i++)
    {
      const VfRecord *record = g_ptr_array_index (records, i);
      g_string_append_printf (text, "%s%" G_GUINT64_FORMAT ":%s", text->len > 0 ? " " : "",
                              record->number, phases[record->phase]);
    }
  for (; unreadable > 0; unreadable--)
    g_string_append (text, text->len > 0 ? " ?" : "?");
  return text->len > 0 ? g_string_free (g_steal_pointer (&text), FALSE) : g_strdup ("none");
}

void
service_note (Service *service, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_queue_push_tail (&service->notes, g_strdup_vprintf (format, args));
  va_end (args);
  if (service->notes.length > N_NOTES)
    g_free (g_queue_pop_head (&service->notes));
}

/* --- the promises ----------------------------------------------------------------------------- */

static void
broken (Service *service, const FakeGuest *guest, const char *what)
{
  g_autofree char *frozen = fake_guest_frozen (guest);
  g_autofree char *records = service_records (service);

  g_print ("# Guest %s: %s\n# frozen: {%s}; records: %s\n", guest->name, what, frozen, records);
  g_error ("%s", what);
}

/* Any at all. */
static gboolean
has_file (Service *service, const FakeGuest *guest)
{
  g_autoptr (GDir) dir = g_dir_open (service->folder, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_prefix (name, guest->uuid) && g_str_has_suffix (name, ".freeze"))
      return TRUE;
  return FALSE;
}

static gboolean
has_record (Service *service, const FakeGuest *guest, VfPhase phase)
{
  guint unreadable = 0;
  g_autoptr (GPtrArray) records = read_records (service, &unreadable);

  for (guint i = 0; i < records->len; i++)
    {
      const VfRecord *record = g_ptr_array_index (records, i);
      if (g_str_equal (record->uuid, guest->uuid) && record->phase == phase)
        return TRUE;
    }
  return unreadable > 0;
}

gboolean
service_owes_others (Service *service, const FakeGuest *guest)
{
  guint unreadable = 0;
  g_autoptr (GPtrArray) records = read_records (service, &unreadable);

  for (guint i = 0; i < records->len; i++)
    {
      const VfRecord *record = g_ptr_array_index (records, i);
      if (g_str_equal (record->uuid, guest->uuid) && record->phase == VF_PHASE_ENDED
          && record->group == 0)
        return TRUE;
    }
  return FALSE;
}

static gboolean
covers (const VfFreeze *freeze, const char *device)
{
  return freeze->plan->whole
         || g_ptr_array_find_with_equal_func (freeze->plan->covers, device, g_str_equal, NULL);
}

static void
check_held (Service *service, const FakeGuest *guest, VfDomain *domain)
{
  for (guint f = 0; f < domain->freezes->len; f++)
    {
      const VfFreeze *freeze = g_ptr_array_index (domain->freezes, f);

      if (freeze->state != VF_FREEZE_HELD)
        continue;
      for (guint i = 0; i < guest->filesystems->len; i++)
        {
          const FakeFilesystem *fs = g_ptr_array_index (guest->filesystems, i);
          if (fs->freezable && !fs->frozen && !fs->touched && covers (freeze, fs->device))
            broken (service, guest, "a freeze is held, but not all it covers is frozen");
        }
      if (freeze->deadline < vf_clock_now ())
        broken (service, guest, "a freeze is held beyond its deadline");
      if (!has_record (service, guest, VF_PHASE_HELD))
        broken (service, guest, "a freeze is held without a record");
    }
}

static gboolean
is_held (VfDomain *domain)
{
  for (guint f = 0; f < domain->freezes->len; f++)
    if (((VfFreeze *) g_ptr_array_index (domain->freezes, f))->state == VF_FREEZE_HELD)
      return TRUE;
  return FALSE;
}

static void
check_guest (Service *service, const FakeGuest *guest)
{
  gboolean ours = guest->active && fake_guest_is_frozen (guest) && !guest->foreign;
  VfDomain *domain;

  if (ours && !guest->touched && !has_file (service, guest))
    broken (service, guest, "frozen without a record");
  if (service->registry == NULL || !fake_hypervisor_is_connected (service->hypervisor))
    return;
  domain = service_domain (service, guest);
  if (domain == NULL)
    return;
  check_held (service, guest, domain);
  if ((ours || guest->late) && !guest->touched && !is_held (domain)
      && vf_lane_guest_state (domain->lane) == VF_GUEST_THAWED
      && fake_hypervisor_pending (service->hypervisor, guest) == 0)
    broken (service, guest, "frozen without a reason");
}

void
service_check (Service *service)
{
  for (guint i = 0; i < service->host->guests->len; i++)
    check_guest (service, g_ptr_array_index (service->host->guests, i));
}

void
service_check_recorded (Service *service, const FakeGuest *guest, const VfCall *call)
{
  gboolean freezes = call->kind == VF_CALL_FREEZE
                     || (call->kind == VF_CALL_EXEC_FREEZE && call->filesystems->len > 0);
  /* One that waits for its turn until the guest has stopped fails, unsent. */
  gboolean reaches = guest->active && guest->run == call->run;

  if (freezes && reaches && !has_record (service, guest, VF_PHASE_FREEZING))
    broken (service, guest, "a freeze is sent that was not recorded");
}

void
service_check_not_held (Service *service, const FakeGuest *guest, const FakeFilesystem *fs)
{
  VfDomain *domain = service_domain (service, guest);

  for (guint f = 0; domain != NULL && !guest->touched && f < domain->freezes->len; f++)
    {
      const VfFreeze *freeze = g_ptr_array_index (domain->freezes, f);
      if (freeze->state == VF_FREEZE_HELD && covers (freeze, fs->device))
        broken (service, guest, "thawed while a freeze that covers it is held");
    }
}

/* --- the end ---------------------------------------------------------------------------------- */

static void
heal (Service *service, FakeGuest *guest)
{
  for (int kind = 0; kind < VF_CALL_KINDS; kind++)
    g_queue_clear_full (&guest->faults[kind], g_free);
  guest->silent = guest->mute = FALSE;
  if (guest->foreign)
    fake_guest_thaw (guest);
  guest->held = FALSE;
  fake_hypervisor_wake (service->hypervisor, guest);
  service_settle (service);
  while (fake_hypervisor_answer (service->hypervisor, guest, NULL))
    service_settle (service);
  guest->agent = TRUE;
  if (!guest->active)
    {
      /* What a file keeps of it may be frozen. */
      fake_guest_start (guest, "running", TRUE);
      fake_hypervisor_tell (service->hypervisor, guest);
      fake_hypervisor_event (service->hypervisor, guest, VF_EVENT_RESTORED);
    }
  guest->running = TRUE;
  guest->state = "running";
  fake_hypervisor_tell (service->hypervisor, guest);
  fake_hypervisor_event (service->hypervisor, guest, VF_EVENT_AGENT_CONNECTED);
}

static void
on_stopped (gpointer data)
{
  *(gboolean *) data = TRUE;
}

/* Each is complete, or forgotten. What is no group is set aside. */
static void
check_no_groups (Service *service)
{
  g_autoptr (GDir) dir = g_dir_open (service->folder, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_prefix (name, "group.") && !g_str_has_suffix (name, ".damaged"))
      g_error ("%s is left", name);
}

static void
check_nothing_left (Service *service)
{
  for (guint i = 0; i < service->host->guests->len; i++)
    {
      const FakeGuest *guest = g_ptr_array_index (service->host->guests, i);
      VfDomain *domain = service_domain (service, guest);

      if (fake_guest_is_frozen (guest))
        broken (service, guest, "frozen at the end");
      g_assert_nonnull (domain);
      g_assert_cmpuint (domain->world->count, ==, 0);
      g_assert_cmpuint (g_hash_table_size (domain->world->user_count), ==, 0);
      g_assert_cmpuint (g_hash_table_size (domain->world->freezes), ==, 0);
      g_assert_cmpuint (vf_slots_busy (domain->world->slots), ==, 0);
      g_assert_cmpuint (domain->freezes->len, ==, 0);
      g_assert_cmpint (vf_lane_frozen_since (domain->lane), ==, 0);
      g_assert_cmpint (vf_lane_guest_state (domain->lane), ==, VF_GUEST_THAWED);
      g_assert_true (vf_lane_is_settled (domain->lane));
    }
  check_no_groups (service);
  if (!vf_journal_is_empty (service->journal))
    {
      g_autofree char *records = service_records (service);
      g_error ("records are left: %s", records);
    }
}

static void
remove_folder (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);
      g_unlink (path);
    }
  g_rmdir (folder);
}

void
service_end (Service *service)
{
  gboolean stopped = FALSE;

  if (service->broken_journal)
    service_mend_journal (service);
  if (service->registry == NULL)
    service_start (service, "bus", TRUE);
  for (guint i = 0; i < service->host->guests->len; i++)
    ((FakeGuest *) g_ptr_array_index (service->host->guests, i))->undefined = FALSE;
  if (!fake_hypervisor_is_connected (service->hypervisor))
    fake_hypervisor_connect (service->hypervisor);
  for (guint i = 0; i < service->host->guests->len; i++)
    {
      heal (service, g_ptr_array_index (service->host->guests, i));
      service_settle (service);
    }
  service_advance (service, G_USEC_PER_SEC);
  vf_registry_stop (service->registry, on_stopped, &stopped);
  service_advance (service, 31 * G_USEC_PER_SEC);
  if (!stopped)
    broken (service, g_ptr_array_index (service->host->guests, 0), "the service does not stop");
  check_nothing_left (service);

  vf_registry_free (service->registry);
  service->hypervisor->free (service->hypervisor);
  g_assert_cmpuint (fake_clock_count (service->clock), ==, 0);
  vf_clock_free (service->clock);
  vf_journal_close (service->journal);
  remove_folder (service->folder);
  current = NULL;
  g_queue_clear_full (&service->notes, g_free);
  g_free (service->folder);
  g_free (service->config);
  g_free (service);
}
