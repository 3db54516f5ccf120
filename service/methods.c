/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "methods.h"

#define MANAGER "org.virtfreeze1.Manager"
#define DOMAIN "org.virtfreeze1.Domain"
#define FREEZE "org.virtfreeze1.Freeze"

static const VfMethodRule rules[] = {
  { "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", NULL, VF_OWNER_NO_MATTER },
  { MANAGER, "GetDomain", NULL, VF_OWNER_NO_MATTER },
  { MANAGER, "FreezeDomains", VF_ACTION_FREEZE, VF_OWNER_NO_MATTER },
  { DOMAIN, "Freeze", VF_ACTION_FREEZE, VF_OWNER_NO_MATTER },
  { DOMAIN, "FreezeWithOptions", VF_ACTION_FREEZE, VF_OWNER_NO_MATTER },
  { DOMAIN, "GetFilesystems", VF_ACTION_INSPECT, VF_OWNER_NO_MATTER },
  { DOMAIN, "ThawAll", VF_ACTION_THAW_OTHERS, VF_OWNER_NO_MATTER },
  { FREEZE, "Thaw", VF_ACTION_THAW_OTHERS, VF_OWNER_EXEMPT },
  { FREEZE, "Renew", VF_ACTION_FREEZE, VF_OWNER_ONLY },
  { FREEZE, "GetFilesystems", VF_ACTION_INSPECT, VF_OWNER_EXEMPT },
};

const VfMethodRule *
vf_methods_find (const char *interface, const char *method)
{
  for (gsize i = 0; i < G_N_ELEMENTS (rules); i++)
    if (g_str_equal (rules[i].interface, interface) && g_str_equal (rules[i].method, method))
      return &rules[i];
  return NULL;
}
