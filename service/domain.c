/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain.h"

#include "error.h"
#include "lane.h"

#include <string.h>

VfDomain *
vf_domain_new (VfWorld *world, VfDomainInfo *info)
{
  VfDomain *domain = g_rc_box_new0 (VfDomain);

  domain->world = world;
  domain->info = vf_domain_info_ref (info);
  domain->freezes = g_ptr_array_new ();
  vf_domain_configure (domain, FALSE);
  domain->lane = vf_lane_new (domain);
  return domain;
}

VfDomain *
vf_domain_ref (VfDomain *domain)
{
  return g_rc_box_acquire (domain);
}

static void
domain_clear (gpointer data)
{
  VfDomain *domain = data;

  vf_lane_free (domain->lane);
  g_ptr_array_unref (domain->freezes);
  vf_config_unref (domain->config_ref);
  vf_domain_info_unref (domain->info);
}

void
vf_domain_unref (VfDomain *domain)
{
  g_rc_box_release_full (domain, domain_clear);
}

VfEngine
vf_domain_engine (const VfDomain *domain)
{
  return domain->world->hypervisor->test_driver ? VF_ENGINE_TEST : domain->config->engine;
}

VfScope
vf_domain_resolve_scope (const VfDomain *domain, VfScope scope)
{
  if (scope == VF_SCOPE_AUTO)
    scope = domain->config->scope;
  if (scope == VF_SCOPE_AUTO)
    scope = vf_domain_engine (domain) == VF_ENGINE_AGENT ? VF_SCOPE_DOMAIN : VF_SCOPE_DISKS;
  return scope;
}

void
vf_domain_configure (VfDomain *domain, gboolean announce)
{
  VfConfig *config = vf_config_ref (domain->world->config);

  g_clear_pointer (&domain->config_ref, vf_config_unref);
  domain->config_ref = config;
  domain->config = vf_config_for_domain (config, domain->info->name, domain->info->uuid);
  if (announce)
    domain->world->observer->domain_changed (domain, VF_DOMAIN_CONFIG,
                                             domain->world->observer_data);
}

static gboolean
same_disks (const VfDomainInfo *a, const VfDomainInfo *b)
{
  g_auto (GStrv) left = vf_domain_info_targets (a);
  g_auto (GStrv) right = vf_domain_info_targets (b);

  return g_strv_equal ((const char *const *) left, (const char *const *) right);
}

void
vf_domain_update (VfDomain *domain, VfDomainInfo *info)
{
  g_autoptr (VfDomainInfo) old = domain->info;
  VfDomainChange what = 0;

  domain->info = vf_domain_info_ref (info);
  if (!g_str_equal (old->name, info->name))
    {
      what |= VF_DOMAIN_NAME | VF_DOMAIN_CONFIG;
      vf_domain_configure (domain, FALSE); /* a section may name it */
    }
  if (!g_str_equal (old->state, info->state))
    what |= VF_DOMAIN_STATE;
  if (old->agent_connected != info->agent_connected)
    what |= VF_DOMAIN_AGENT;
  if (!same_disks (old, info))
    what |= VF_DOMAIN_DISKS;
  if (what != 0)
    domain->world->observer->domain_changed (domain, what, domain->world->observer_data);
  vf_lane_info_changed (domain->lane, old);
}

static const VfDisk *
find_disk (const VfDomain *domain, const char *name)
{
  const GPtrArray *disks = domain->info->disks;

  for (guint i = 0; i < disks->len; i++)
    {
      const VfDisk *disk = g_ptr_array_index (disks, i);
      if (g_str_equal (disk->target, name))
        return disk;
    }
  for (guint i = 0; i < disks->len; i++)
    {
      const VfDisk *disk = g_ptr_array_index (disks, i);
      if (disk->source != NULL && g_str_equal (disk->source, name))
        return disk;
    }
  return NULL;
}

char **
vf_domain_resolve_disks (const VfDomain *domain, const char *const *names, const char **unknown)
{
  g_autoptr (GPtrArray) targets = g_ptr_array_new ();
  const char *first_unknown = NULL;

  for (; names != NULL && *names != NULL; names++)
    {
      const VfDisk *disk = find_disk (domain, *names);

      if (disk == NULL)
        first_unknown = first_unknown != NULL ? first_unknown : *names;
      else if (!g_ptr_array_find_with_equal_func (targets, disk->target, g_str_equal, NULL))
        g_ptr_array_add (targets, g_strdup (disk->target));
    }
  if (unknown != NULL)
    *unknown = first_unknown;
  g_ptr_array_add (targets, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&targets), FALSE);
}
