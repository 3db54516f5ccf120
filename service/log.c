/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "log.h"

#include "domain.h"

#include <stdarg.h>

/* Also in data/virtfreeze.catalog. */
#define ID_FROZEN "af5c3344c7644f2a9c35c351f4660992"
#define ID_RELEASED "bfa6067f7b074a54acdd7a9bd9ead0e7"
#define ID_LOST "9d004a1eea7443ca92022fedf6546288"
#define ID_OWED "151900cc42fc492d841403b8ec49dccd"
#define ID_PAID "91f6b0e08edd4886827961cf635bb315"
#define ID_ADOPTED "dccd628acccb423fb5e95abcd71d1aa5"

/* Takes the message. */
static void
send (GLogLevelFlags level, const char *id, const VfDomain *domain, const VfFreeze *freeze,
      const char *why, gint64 usec, char *message)
{
  g_autofree char *text = message;
  g_autofree char *number
      = freeze != NULL ? g_strdup_printf ("%" G_GUINT64_FORMAT, freeze->number) : g_strdup ("");
  g_autofree char *disks = freeze != NULL ? g_strjoinv (" ", freeze->disks) : g_strdup ("");
  g_autofree char *uid = freeze != NULL ? g_strdup_printf ("%u", freeze->uid) : g_strdup ("");
  g_autofree char *time = g_strdup_printf ("%" G_GINT64_FORMAT, usec);

  g_log_structured (G_LOG_DOMAIN, level, "MESSAGE_ID", id, "VIRTFREEZE_DOMAIN", domain->info->name,
                    "VIRTFREEZE_DOMAIN_UUID", domain->info->uuid, "VIRTFREEZE_FREEZE", number,
                    "VIRTFREEZE_DISKS", disks, "VIRTFREEZE_OWNER",
                    freeze != NULL ? freeze->owner : "", "VIRTFREEZE_OWNER_UID", uid,
                    "VIRTFREEZE_REASON", freeze != NULL ? freeze->reason : "", "VIRTFREEZE_WHY",
                    why, "VIRTFREEZE_USEC", time, "MESSAGE", "%s", text);
}

/* “Domain “x”: freeze 3 (vda vdb; by user 0)” */
static char *
about (const VfFreeze *freeze)
{
  g_autofree char *name = vf_text_shorten (freeze->domain->info->name);
  g_autofree char *list = g_strjoinv (" ", freeze->disks);
  g_autofree char *disks = vf_text_shorten (list);

  return g_strdup_printf ("Domain “%s”: freeze %" G_GUINT64_FORMAT " (%s; by user %u)", name,
                          freeze->number, *disks != '\0' ? disks : "all disks", freeze->uid);
}

static gint64
held_for (const VfFreeze *freeze)
{
  return MAX (g_get_real_time () - freeze->created, 0);
}

void
vf_log_frozen (const VfFreeze *freeze)
{
  g_autofree char *what = about (freeze);

  send (G_LOG_LEVEL_MESSAGE, ID_FROZEN, freeze->domain, freeze, "", 0,
        g_strdup_printf ("%s holds: %u filesystems frozen, %u skipped", what, freeze->frozen,
                         freeze->skipped));
}

void
vf_log_released (const VfFreeze *freeze, VfReleasedWhy why)
{
  g_autofree char *what = about (freeze);
  gint64 usec = held_for (freeze);

  send (G_LOG_LEVEL_MESSAGE, ID_RELEASED, freeze->domain, freeze, vf_released_word (why), usec,
        g_strdup_printf ("%s ended after %.3f s: %s", what, (double) usec / G_USEC_PER_SEC,
                         vf_released_word (why)));
}

void
vf_log_lost (const VfFreeze *freeze)
{
  g_autofree char *what = about (freeze);
  gint64 usec = held_for (freeze);

  send (G_LOG_LEVEL_WARNING, ID_LOST, freeze->domain, freeze, vf_lost_word (freeze->why), usec,
        g_strdup_printf ("%s was lost after %.3f s: %s", what, (double) usec / G_USEC_PER_SEC,
                         vf_lost_text (freeze->why)));
}

void
vf_log_adopted (const VfFreeze *freeze)
{
  g_autofree char *what = about (freeze);

  send (G_LOG_LEVEL_MESSAGE, ID_ADOPTED, freeze->domain, freeze, "", held_for (freeze),
        g_strdup_printf ("%s goes on after a restart of the service", what));
}

void
vf_log_owed (const VfDomain *domain, const char *text)
{
  send (G_LOG_LEVEL_WARNING, ID_OWED, domain, NULL, text, 0,
        g_strdup_printf ("%s; retrying until it succeeds", text));
}

void
vf_log_paid (const VfDomain *domain, gint64 usec)
{
  g_autofree char *name = vf_text_shorten (domain->info->name);

  send (G_LOG_LEVEL_MESSAGE, ID_PAID, domain, NULL, "", usec,
        g_strdup_printf ("Domain “%s” is thawed at last, %.3f s after the first attempt", name,
                         (double) usec / G_USEC_PER_SEC));
}
