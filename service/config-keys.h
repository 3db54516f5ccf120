/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * config-keys: what each key of the configuration means by itself: its name, default, and values.
 *
 * Internal to config.
 */
#pragma once

#include "config.h"

G_BEGIN_DECLS

#define VF_CONFIG_MAIN_SECTION "Freeze"

/* What [Freeze] can say. What a domain can override comes first, so that a key is stored alike in
 * a VfConfigValues and in a VfDomainConfig. */
typedef struct {
  VfDomainConfig domain;
  char *uri;
  gint64 verify_interval;
  guint max_in_flight;
  guint max_freezes;
  guint max_freezes_per_user;
  guint max_freezes_per_domain;
  guint max_pending;
} VfConfigValues;

G_STATIC_ASSERT (G_STRUCT_OFFSET (VfConfigValues, domain) == 0);

/* The defaults; session chooses that of uri. */
void vf_config_values_init (VfConfigValues *values, gboolean session);
void vf_config_values_clear (VfConfigValues *values);

typedef struct _VfConfigKey VfConfigKey;

/* NULL for a name that is no key. */
const VfConfigKey *vf_config_key_find (const char *name);

/* Whether a [Domain …] section may have it. */
gboolean vf_config_key_is_per_domain (const VfConfigKey *key);

/*
 * Stores the value of text (stripped) in values: a VfConfigValues, or a VfDomainConfig if the key
 * is per domain. Returns NULL, or else what is wrong with the text, as the end of a sentence that
 * the text starts; then values are as before.
 */
char *vf_config_key_parse (const VfConfigKey *key, const char *text, gpointer values);

/* A time as vf_parse_time() reads it. */
char *vf_format_time (gint64 usec);

G_END_DECLS
