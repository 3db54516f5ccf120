/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * authority: may this caller do that? Asks polkit, asynchronously; whatever goes wrong is a no.
 *
 * polkitd is single-threaded: few checks are under way at a time, and users take turns. A check
 * that needs no prompt has 10 s. Where polkit asks for a password and the caller allows that, a
 * second check with a prompt follows, which lasts until the caller leaves, or 5 min.
 * Main thread only.
 */
#pragma once

#include "clients.h"

G_BEGIN_DECLS

typedef struct _VfAuthority VfAuthority;
typedef struct _VfCheck VfCheck;

/* connection: the bus that callers and polkit are on; NULL: everything is allowed, as on the session
 * bus, which is its user's alone. */
VfAuthority *vf_authority_new (GDBusConnection *connection);
void vf_authority_free (VfAuthority *authority);

/*
 * details: pairs of strings, NULL-terminated (copied). done is called once, possibly before this
 * returns (then the result is NULL), unless the check is cancelled: error is NULL, or
 * VF_ERROR_ACCESS_DENIED or VF_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED; prompted is how long a
 * prompt was shown, in µs.
 */
VfCheck *vf_authority_check (VfAuthority *authority, VfClient *client, const char *action,
                             const char *const *details, gboolean interactive,
                             void (*done) (const GError *error, gint64 prompted, gpointer data),
                             gpointer data);
void vf_check_cancel (VfCheck *check);

G_END_DECLS
