/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * config: the key file and its drop-ins, checked once, as one immutable value.
 *
 * Times are µs. A config is shared by reference; held freezes keep what they were made with.
 */
#pragma once

#include "ledger.h"

G_BEGIN_DECLS

typedef enum { VF_ENGINE_AGENT, VF_ENGINE_EXEC, VF_ENGINE_TEST } VfEngine;

/* The keys that a [Domain NAME-or-UUID] section may override. */
typedef struct {
  VfEngine engine; /* AGENT or EXEC */
  VfScope scope;
  gint64 default_hold;
  gint64 max_hold;
  gint64 freeze_timeout;
  gint64 agent_timeout; /* 0: leave libvirt's */
  gboolean freeze_guard;
} VfDomainConfig;

typedef struct _VfConfig VfConfig;

/*
 * Reads file, then DIR/virtfreezed.conf.d / *.conf (the folder beside it, named after it) in the
 * order of their names, key by key; the last one wins. Where file is NULL only defaults are used; where
 * it does not exist but required is FALSE, defaults and drop-ins are used. session chooses the
 * default of Uri.
 *
 * Errors (G_KEY_FILE_ERROR or G_FILE_ERROR domains or VF_ERROR_INVALID_ARGS) name file, section
 * and key. Unknown sections and keys, bad values, and combinations that cannot work (DefaultHold
 * over MaxHold of the same domain) are errors.
 */
VfConfig *vf_config_load (const char *file, gboolean required, gboolean session, GError **error);
VfConfig *vf_config_ref (VfConfig *config);
void vf_config_unref (VfConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VfConfig, vf_config_unref)

/* What holds for one domain; a section by UUID goes before one by name. Borrowed from config. */
const VfDomainConfig *vf_config_for_domain (VfConfig *config, const char *name, const char *uuid);

const char *vf_config_get_uri (VfConfig *config);
gint64 vf_config_get_verify_interval (VfConfig *config);
guint vf_config_get_max_in_flight (VfConfig *config);
guint vf_config_get_max_freezes (VfConfig *config);
guint vf_config_get_max_freezes_per_user (VfConfig *config);
guint vf_config_get_max_freezes_per_domain (VfConfig *config);
guint vf_config_get_max_pending (VfConfig *config);

/*
 * A time as systemd writes it ("20s", "1min 30s", "500ms"; a bare number is seconds) in µs.
 * Returns FALSE for anything else, and for what does not fit in gint64.
 */
gboolean vf_parse_time (const char *text, gint64 *usec);

G_END_DECLS
