/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "registry.h"

#include "error.h"
#include "fault.h"
#include "group.h"

#include <string.h>

struct _VfRegistry {
  VfWorld world;
  GHashTable *domains; /* UUID (borrowed from the domain's info) → VfDomain */
  GHashTable *saved;   /* the same, of domains that are gone, but were saved while frozen */
  void (*attempted) (gpointer data);
  gpointer attempted_data;
  void (*stopped) (gpointer data);
  gpointer stopped_data;
};

/* --- what the hypervisor tells ---------------------------------------------------------------- */

static VfDomain *
add_domain (VfRegistry *registry, VfDomainInfo *info)
{
  VfDomain *domain = vf_domain_new (&registry->world, info);

  g_hash_table_insert (registry->domains, domain->info->uuid, domain);
  registry->world.observer->domain_added (domain, registry->world.observer_data);
  return domain;
}

static void
on_info (VfDomainInfo *info, gpointer data)
{
  VfRegistry *registry = data;
  VfDomain *domain = g_hash_table_lookup (registry->domains, info->uuid), *before;

  if (domain != NULL)
    {
      /* The key belongs to the info that goes. */
      g_hash_table_steal (registry->domains, info->uuid);
      g_hash_table_insert (registry->domains, info->uuid, domain);
      domain->seen = TRUE;
      vf_domain_update (domain, info);
      return;
    }
  domain = add_domain (registry, info);
  domain->seen = TRUE;
  before = g_hash_table_lookup (registry->saved, info->uuid);
  if (before != NULL)
    {
      vf_lane_take_saved (domain->lane, before->lane);
      g_hash_table_remove (registry->saved, info->uuid);
    }
}

static void
on_kept (const char *uuid, gpointer data)
{
  VfRegistry *registry = data;
  VfDomain *domain = g_hash_table_lookup (registry->domains, uuid);

  if (domain != NULL)
    domain->seen = TRUE;
}

static void
on_gone (const char *uuid, gpointer data)
{
  VfRegistry *registry = data;
  g_autoptr (VfDomain) domain = g_hash_table_lookup (registry->domains, uuid);

  if (domain == NULL)
    return;
  g_hash_table_steal (registry->domains, uuid);
  vf_lane_gone (domain->lane);
  domain->gone = TRUE;
  registry->world.observer->domain_removed (domain, registry->world.observer_data);
  if (vf_lane_has_saved (domain->lane))
    g_hash_table_insert (registry->saved, domain->info->uuid, vf_domain_ref (domain));
}

static void
on_event (const char *uuid, VfEvent event, gpointer data)
{
  VfRegistry *registry = data;
  VfDomain *domain = g_hash_table_lookup (registry->domains, uuid);

  if (domain != NULL)
    vf_lane_event (domain->lane, event);
}

static GPtrArray *
all_domains (VfRegistry *registry)
{
  GPtrArray *domains = g_ptr_array_new_with_free_func ((GDestroyNotify) vf_domain_unref);
  GHashTableIter iter;
  gpointer domain;

  g_hash_table_iter_init (&iter, registry->domains);
  while (g_hash_table_iter_next (&iter, NULL, &domain))
    g_ptr_array_add (domains, vf_domain_ref (domain));
  return domains;
}

static void
on_connected (gboolean connected, gpointer data)
{
  VfRegistry *registry = data;
  g_autoptr (GPtrArray) domains = all_domains (registry);

  for (guint i = 0; i < domains->len; i++)
    {
      VfDomain *domain = g_ptr_array_index (domains, i);

      if (!connected)
        domain->seen = FALSE;
      else if (!domain->seen)
        on_gone (domain->info->uuid, registry); /* while nobody looked */
    }
  registry->world.connected = connected;
  registry->world.observer->connected (connected, registry->world.observer_data);
  for (guint i = 0; i < domains->len; i++)
    vf_lane_connection_changed (((VfDomain *) g_ptr_array_index (domains, i))->lane);
  if (registry->attempted != NULL)
    g_steal_pointer (&registry->attempted) (registry->attempted_data);
}

static const VfListener listener = {
  .connected = on_connected,
  .info = on_info,
  .kept = on_kept,
  .gone = on_gone,
  .event = on_event,
};

/* --- making and ending ----------------------------------------------------------------------- */

VfRegistry *
vf_registry_new (VfHypervisor *hypervisor, VfClock *clock, VfConfig *config,
                 const VfObserver *observer, gpointer observer_data)
{
  VfRegistry *registry = g_new0 (VfRegistry, 1);
  VfWorld *world = &registry->world;

  world->hypervisor = hypervisor;
  world->slots = vf_slots_new (hypervisor, vf_config_get_max_in_flight (config));
  world->clock = clock;
  world->config = vf_config_ref (config);
  world->observer = observer;
  world->observer_data = observer_data;
  world->next_number = 1;
  world->freezes = g_hash_table_new_full (NULL, NULL, (GDestroyNotify) vf_freeze_unref, NULL);
  world->groups = g_hash_table_new_full (NULL, NULL, (GDestroyNotify) vf_group_free, NULL);
  world->user_count = g_hash_table_new (NULL, NULL);
  registry->domains
      = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify) vf_domain_unref);
  registry->saved
      = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify) vf_domain_unref);
  hypervisor->listener = &listener;
  hypervisor->listener_data = registry;
  return registry;
}

void
vf_registry_free (VfRegistry *registry)
{
  g_hash_table_unref (registry->world.groups);
  g_hash_table_unref (registry->world.freezes);
  g_hash_table_unref (registry->domains);
  g_hash_table_unref (registry->saved);
  g_free (registry->world.uri);
  g_free (registry->world.bus_id);
  g_hash_table_unref (registry->world.user_count);
  vf_slots_free (registry->world.slots);
  vf_config_unref (registry->world.config);
  g_free (registry);
}

void
vf_registry_start (VfRegistry *registry, void (*attempted) (gpointer data), gpointer data)
{
  registry->attempted = attempted;
  registry->attempted_data = data;
  registry->world.hypervisor->start (registry->world.hypervisor);
}

void
vf_registry_configure (VfRegistry *registry, VfConfig *config)
{
  g_autoptr (GPtrArray) domains = all_domains (registry);

  vf_config_ref (config);
  vf_config_unref (registry->world.config);
  registry->world.config = config;
  vf_slots_set_max (registry->world.slots, vf_config_get_max_in_flight (config));
  for (guint i = 0; i < domains->len; i++)
    vf_domain_configure (g_ptr_array_index (domains, i), TRUE);
}

VfConfig *
vf_registry_get_config (VfRegistry *registry)
{
  return registry->world.config;
}

gboolean
vf_registry_is_connected (VfRegistry *registry)
{
  return registry->world.connected;
}

/* --- after a restart ---------------------------------------------------------------------------- */

void
vf_registry_set_journal (VfRegistry *registry, VfJournal *journal, const char *uri,
                         const char *bus_id)
{
  registry->world.journal = journal;
  registry->world.uri = g_strdup (uri);
  registry->world.bus_id = g_strdup (bus_id);
}

/* libvirt's description comes later; until then, what the record tells. */
static VfDomain *
domain_of (VfRegistry *registry, const VfRecord *record)
{
  VfDomain *domain = g_hash_table_lookup (registry->domains, record->uuid);
  g_autoptr (VfDomainInfo) info = NULL;

  if (domain != NULL)
    return domain;
  info = vf_domain_info_new (record->uuid, record->name != NULL ? record->name : record->uuid);
  info->run = record->run;
  info->active = TRUE;
  return add_domain (registry, info);
}

static gboolean
may_go_on (VfRegistry *registry, const VfRecord *record)
{
  return record->phase == VF_PHASE_HELD && !record->damaged && !record->half_done
         && record->deadline > vf_clock_now ()
         && (record->lease || g_strcmp0 (record->bus_id, registry->world.bus_id) == 0);
}

static void
recover (VfRegistry *registry, const VfRecord *record, gboolean adopt)
{
  gboolean hold = adopt && may_go_on (registry, record);
  gboolean died = record->engine == VF_ENGINE_TEST && !record->damaged;
  VfDomain *domain;

  /* The test driver's freezes lived in the process that died; only their owners may be left. */
  if (died && !hold)
    {
      vf_journal_remove (registry->world.journal, record->uuid, record->number);
      return;
    }
  domain = domain_of (registry, record);
  vf_lane_adopt (domain->lane, record, hold);
  VF_FAULT ("adopt-one");
  if (died)
    vf_lane_event (domain->lane, VF_EVENT_STOPPED);
}

void
vf_registry_recover (VfRegistry *registry, gboolean adopt)
{
  g_autoptr (GPtrArray) records = vf_journal_read (registry->world.journal, registry->world.uri);

  VF_FAULT ("adopt-read");
  /* Those in doubt come last: what else is frozen decides how they are undone. */
  for (int in_doubt = 0; in_doubt <= 1; in_doubt++)
    for (guint i = 0; i < records->len; i++)
      {
        const VfRecord *record = g_ptr_array_index (records, i);

        if ((record->phase == VF_PHASE_FREEZING) != in_doubt)
          continue;
        if (g_strcmp0 (record->uri, registry->world.uri) == 0)
          recover (registry, record, adopt);
        else
          g_warning ("Domain %s may still be frozen by an earlier instance that used %s; run "
                     "“virtfreezed --release-all --uri %s”",
                     record->uuid, record->uri, record->uri);
      }
  VF_FAULT ("adopt-groups");
  vf_journal_give_up_groups (registry->world.journal);
}

/* --- finding -------------------------------------------------------------------------------- */

/* The canonical form of what looks like a UUID: 32 hexadecimal digits, with or without hyphens in
 * the usual places; else NULL. */
static char *
parse_uuid (const char *text)
{
  g_autoptr (GString) uuid = g_string_sized_new (36);
  gboolean hyphens = strlen (text) == 36;

  if (!hyphens && strlen (text) != 32)
    return NULL;
  for (; *text != '\0'; text++)
    {
      gboolean place = uuid->len == 8 || uuid->len == 13 || uuid->len == 18 || uuid->len == 23;

      if (place && hyphens && *text++ != '-')
        return NULL;
      if (place)
        g_string_append_c (uuid, '-');
      if (!g_ascii_isxdigit (*text))
        return NULL;
      g_string_append_c (uuid, g_ascii_tolower (*text));
    }
  return g_string_free (g_steal_pointer (&uuid), FALSE);
}

VfDomain *
vf_registry_find (VfRegistry *registry, const char *name_or_uuid, GError **error)
{
  g_autofree char *uuid = parse_uuid (name_or_uuid);
  g_autofree char *shown = NULL;
  GHashTableIter iter;
  gpointer value;

  if (uuid != NULL)
    {
      VfDomain *domain = g_hash_table_lookup (registry->domains, uuid);
      if (domain != NULL)
        return domain;
    }
  else
    {
      g_hash_table_iter_init (&iter, registry->domains);
      while (g_hash_table_iter_next (&iter, NULL, &value))
        if (g_str_equal (((VfDomain *) value)->info->name, name_or_uuid))
          return value;
    }
  shown = vf_text_shorten (name_or_uuid);
  if (!registry->world.connected)
    g_set_error (error, VF_ERROR, VF_ERROR_DISCONNECTED,
                 "There is no connection to libvirt to ask for domain “%s”; it is being retried",
                 shown);
  else
    g_set_error (error, VF_ERROR, VF_ERROR_UNKNOWN_DOMAIN,
                 "There is no domain with the %s “%s”; see “virsh list --all”",
                 uuid != NULL ? "UUID" : "name", shown);
  return NULL;
}

void
vf_registry_foreach_domain (VfRegistry *registry, void (*func) (VfDomain *, gpointer),
                            gpointer data)
{
  g_autoptr (GPtrArray) domains = all_domains (registry);

  for (guint i = 0; i < domains->len; i++)
    func (g_ptr_array_index (domains, i), data);
}

static int
by_number (gconstpointer a, gconstpointer b)
{
  const VfFreeze *left = *(VfFreeze *const *) a, *right = *(VfFreeze *const *) b;

  return (left->number > right->number) - (left->number < right->number);
}

/* The oldest first. */
static GPtrArray *
all_freezes (VfRegistry *registry)
{
  GPtrArray *freezes = g_ptr_array_new_with_free_func ((GDestroyNotify) vf_freeze_unref);
  GHashTableIter iter;
  gpointer freeze;

  g_hash_table_iter_init (&iter, registry->world.freezes);
  while (g_hash_table_iter_next (&iter, &freeze, NULL))
    g_ptr_array_add (freezes, vf_freeze_ref (freeze));
  g_ptr_array_sort (freezes, by_number);
  return freezes;
}

void
vf_registry_foreach_freeze (VfRegistry *registry, void (*func) (VfFreeze *, gpointer),
                            gpointer data)
{
  g_autoptr (GPtrArray) freezes = all_freezes (registry);

  for (guint i = 0; i < freezes->len; i++)
    func (g_ptr_array_index (freezes, i), data);
}

void
vf_registry_refresh (VfRegistry *registry, VfDomain *domain, void (*done) (gpointer data),
                     gpointer data)
{
  VfHypervisor *hypervisor = registry->world.hypervisor;

  if (registry->world.connected)
    hypervisor->refresh (hypervisor, domain->info->uuid, done, data);
  else
    done (data);
}

/* --- callers ---------------------------------------------------------------------------------- */

void
vf_registry_owner_gone (VfRegistry *registry, const char *owner)
{
  g_autoptr (GPtrArray) domains = all_domains (registry);
  g_autoptr (GPtrArray) freezes = all_freezes (registry);

  for (guint i = 0; i < domains->len; i++)
    vf_lane_drop_requests (((VfDomain *) g_ptr_array_index (domains, i))->lane, owner);
  for (guint i = 0; i < freezes->len; i++)
    {
      VfFreeze *freeze = g_ptr_array_index (freezes, i);
      if (!freeze->gone && g_str_equal (freeze->owner, owner))
        vf_lane_owner_gone (freeze->domain->lane, freeze);
    }
}

/* --- stopping --------------------------------------------------------------------------------- */

static void
on_settled (gpointer data)
{
  VfRegistry *registry = data;
  GHashTableIter iter;
  gpointer domain;

  g_hash_table_iter_init (&iter, registry->domains);
  while (g_hash_table_iter_next (&iter, NULL, &domain))
    if (!vf_lane_is_settled (((VfDomain *) domain)->lane))
      return;
  registry->world.settled = NULL;
  registry->stopped (registry->stopped_data);
}

void
vf_registry_stop (VfRegistry *registry, void (*done) (gpointer data), gpointer data)
{
  g_autoptr (GPtrArray) domains = all_domains (registry);
  g_autoptr (GPtrArray) freezes = NULL;

  registry->world.stopping = TRUE;
  for (guint i = 0; i < domains->len; i++)
    vf_lane_stop (((VfDomain *) g_ptr_array_index (domains, i))->lane);
  freezes = all_freezes (registry); /* what is left: lost ones of domains that are gone */
  for (guint i = 0; i < freezes->len; i++)
    vf_lane_stop (((VfFreeze *) g_ptr_array_index (freezes, i))->domain->lane);
  registry->stopped = done;
  registry->stopped_data = data;
  registry->world.settled = on_settled;
  registry->world.settled_data = registry;
  on_settled (registry);
}
