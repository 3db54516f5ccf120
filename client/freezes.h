/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making freezes, for run and freeze. */
#pragma once

#include "connection.h"

/* Makes those that the options ask for, several as one group, with that lifetime ("caller" or
 * "lease"). Returns their paths in the order of the requests. */
GStrv freezes_make (Connection *connection, const char *lifetime, GError **error);
