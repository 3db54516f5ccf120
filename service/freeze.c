/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "freeze.h"

#include "clock.h"
#include "domain.h"

VfFreeze *
vf_freeze_new (VfDomain *domain, guint64 number)
{
  VfFreeze *freeze = g_rc_box_new0 (VfFreeze);

  freeze->domain = vf_domain_ref (domain);
  freeze->number = number;
  return freeze;
}

VfFreeze *
vf_freeze_ref (VfFreeze *freeze)
{
  return g_rc_box_acquire (freeze);
}

static void
freeze_clear (gpointer data)
{
  VfFreeze *freeze = data;

  g_strfreev (freeze->disks);
  g_clear_pointer (&freeze->plan, vf_plan_free);
  g_clear_pointer (&freeze->map, g_ptr_array_unref);
  g_free (freeze->owner);
  g_free (freeze->reason);
  vf_domain_unref (freeze->domain);
}

void
vf_freeze_unref (VfFreeze *freeze)
{
  g_rc_box_release_full (freeze, freeze_clear);
}

gboolean
vf_freeze_is_owner (const VfFreeze *freeze, const char *name, guint uid)
{
  return freeze->lease ? freeze->uid == uid : g_str_equal (freeze->owner, name);
}

void
vf_freeze_set_deadline (VfFreeze *freeze, gint64 deadline)
{
  freeze->deadline = deadline;
  freeze->deadline_real = g_get_real_time () + deadline - vf_clock_now ();
}

const char *
vf_freeze_state_word (VfFreezeState state)
{
  static const char *const words[] = { "held", "thawing", "lost" };

  return words[state];
}

const char *
vf_lost_word (VfLostWhy why)
{
  static const char *const words[]
      = { "thawed-outside",  "reset",    "domain-stopped", "expired",
          "thawed-by-other", "migrated", "restored",       "guest-time-limit" };

  return words[why];
}

const char *
vf_lost_text (VfLostWhy why)
{
  static const char *const texts[] = {
    "the guest was thawed by something other than this service",
    "the guest was reset",
    "the guest stopped",
    "its time was up",
    "somebody else thawed it",
    "the guest was migrated to another host",
    "the guest was restored from saved memory",
    "Windows holds a freeze for 10 s at most",
  };

  return texts[why];
}

const char *
vf_released_word (VfReleasedWhy why)
{
  static const char *const words[] = { "thawed", "caller-vanished", "lost", "service-stopping" };

  return words[why];
}

const char *
vf_scope_word (VfScope scope)
{
  static const char *const words[] = { "auto", "disks", "domain" };

  return words[scope];
}

const char *
vf_engine_word (VfEngine engine)
{
  static const char *const words[] = { "agent", "exec", "test" };

  return words[engine];
}
