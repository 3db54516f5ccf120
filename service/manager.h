/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * manager: owns every object of the service; the order in which they start and stop.
 */
#pragma once

#include "config.h"
#include "journal.h"

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _VfManager VfManager;

/*
 * journal: open, and outliving the manager. connection: the bus to be on; NULL: only thaw what an
 * earlier instance left frozen, and stop. done is called when the service has to end, with its exit
 * status: the bus or the name was lost, or a stop is complete.
 */
VfManager *vf_manager_new (GDBusConnection *connection, VfJournal *journal, VfConfig *config,
                           const char *uri, gboolean session,
                           void (*done) (int status, gpointer data), gpointer data);
void vf_manager_free (VfManager *manager);

/* Blocks for one call to the bus. */
gboolean vf_manager_start (VfManager *manager, GError **error);

/* New settings, for what is asked for from now on. */
void vf_manager_configure (VfManager *manager, VfConfig *config);

/* Releases all freezes; done(0) when every guest is thawed; after 10 s done(1), while thaws are owed. */
void vf_manager_stop (VfManager *manager);

G_END_DECLS
