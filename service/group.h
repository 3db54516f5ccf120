/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * group: freezes of several guests that come about together, or not at all.
 *
 * Each is a request to the lane of its guest, all at once. A guest that is frozen is held so, and
 * nobody is told, until all are: then all freezes appear, as ordinary ones. When one fails, all
 * others are undone first; the answer comes when nothing of them is left to thaw, or at the
 * deadline, with what is still owed. In the journal the last step is a single one (see
 * vf_journal_begin_group()): after a crash all of them are held, or none.
 *
 * Main thread only.
 */
#pragma once

#include "lane.h"

G_BEGIN_DECLS

typedef struct _VfGroup VfGroup;

/*
 * deadline: boot time, µs: when the answer is due. done is called once, perhaps before
 * vf_group_start() returns: freezes (VfFreeze*, in the order of the requests; borrowed), or NULL
 * and the first error in the order of the requests.
 */
VfGroup *vf_group_new (VfWorld *world, gint64 deadline,
                       void (*done) (GPtrArray *freezes, const GError *error, gpointer data),
                       gpointer data);

/* Takes request (its done and data are the group's to set) and error: why this one has failed
 * already; may be NULL. Each domain once. */
void vf_group_add (VfGroup *group, VfDomain *domain, VfRequest *request, GError *error);

/* Takes the group. Limits count all of it before anything is frozen. */
void vf_group_start (VfGroup *group);

/* For the end of the process. */
void vf_group_free (VfGroup *group);

G_END_DECLS
