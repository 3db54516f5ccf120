/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "world.h"

#include "error.h"

static guint
count_of (VfWorld *world, guint uid)
{
  return GPOINTER_TO_UINT (g_hash_table_lookup (world->user_count, GUINT_TO_POINTER (uid)));
}

void
vf_world_count (VfWorld *world, guint uid)
{
  world->count++;
  g_hash_table_insert (world->user_count, GUINT_TO_POINTER (uid),
                       GUINT_TO_POINTER (count_of (world, uid) + 1));
}

gboolean
vf_world_reserve (VfWorld *world, guint uid, guint in_domain, GError **error)
{
  guint max = vf_config_get_max_freezes (world->config);
  guint max_user = vf_config_get_max_freezes_per_user (world->config);
  guint max_domain = vf_config_get_max_freezes_per_domain (world->config);

  if (in_domain >= max_domain)
    g_set_error (error, VF_ERROR, VF_ERROR_LIMITS_EXCEEDED,
                 "it has %u freezes, as many as MaxFreezesPerDomain allows; thaw some", in_domain);
  else if (count_of (world, uid) >= max_user)
    g_set_error (error, VF_ERROR, VF_ERROR_LIMITS_EXCEEDED,
                 "user %u has %u freezes, as many as MaxFreezesPerUser allows; thaw some", uid,
                 max_user);
  else if (world->count >= max)
    g_set_error (error, VF_ERROR, VF_ERROR_LIMITS_EXCEEDED,
                 "there are %u freezes, as many as MaxFreezes allows; thaw some", max);
  else
    {
      vf_world_count (world, uid);
      return TRUE;
    }
  return FALSE;
}

void
vf_world_unreserve (VfWorld *world, guint uid)
{
  guint count = count_of (world, uid);

  g_return_if_fail (count > 0 && world->count > 0);
  world->count--;
  if (count == 1)
    g_hash_table_remove (world->user_count, GUINT_TO_POINTER (uid));
  else
    g_hash_table_insert (world->user_count, GUINT_TO_POINTER (uid), GUINT_TO_POINTER (count - 1));
}
