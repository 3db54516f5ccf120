/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * log: what happened to freezes, as structured messages of the systemd journal.
 *
 * Each kind has a MESSAGE_ID, explained in data/virtfreeze.catalog, and the fields
 * VIRTFREEZE_DOMAIN, VIRTFREEZE_DOMAIN_UUID, VIRTFREEZE_FREEZE (its number), VIRTFREEZE_DISKS,
 * VIRTFREEZE_OWNER, VIRTFREEZE_OWNER_UID, VIRTFREEZE_REASON, VIRTFREEZE_WHY and VIRTFREEZE_USEC
 * (how long it was held, or the thaw owed). Elsewhere than under systemd the message alone goes to
 * stderr.
 */
#pragma once

#include "freeze.h"

G_BEGIN_DECLS

void vf_log_frozen (const VfFreeze *freeze);
/* It ended as it should: thawed, or released for the reason given. */
void vf_log_released (const VfFreeze *freeze, VfReleasedWhy why);
void vf_log_lost (const VfFreeze *freeze);
/* It goes on after a restart of the service. */
void vf_log_adopted (const VfFreeze *freeze);
/* A thaw failed, and is retried; text: why. */
void vf_log_owed (const VfDomain *domain, const char *text);
/* The debt is paid; usec: how long it was owed. */
void vf_log_paid (const VfDomain *domain, gint64 usec);

G_END_DECLS
