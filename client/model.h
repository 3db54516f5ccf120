/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the service's objects say, in the order and the words in which it is shown. */
#pragma once

#include "connection.h"

#include <json-glib/json-glib.h>

/* VfcDomain *, by their names; references. */
GPtrArray *model_domains (GDBusObjectManager *objects);

/* VfcFreeze *, by their numbers, of the domain at that path, or all for NULL; references. */
GPtrArray *model_freezes (GDBusObjectManager *objects, const char *domain);

/* The number of a freeze, from its path. */
guint64 model_number (const char *path);

/* Never NULL, unlike those of a proxy whose object has gone. */
const char *model_domain_name (VfcDomain *domain);
char *model_freeze_domain_name (GDBusObjectManager *objects, VfcFreeze *freeze);

/* Whether this process may thaw it without authorization. */
gboolean model_is_own (VfcFreeze *freeze);

/* Targets, comma-separated; "all" for none, if all is what none means. */
char *model_disks (const char *const *disks, gboolean none_is_all);

Colour model_freeze_state_colour (const char *state);

/* The members of a JSON object, without its beginning and end. */
void model_add_domain (JsonBuilder *json, VfcDomain *domain);
void model_add_freeze (JsonBuilder *json, VfcFreeze *freeze);
void model_add_freezes (JsonBuilder *json, GPtrArray *freezes);

/* Ends with a newline. The builder is used up. */
char *model_json (JsonBuilder *json, gboolean pretty);
