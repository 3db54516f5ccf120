/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* polkit's own text agent, which asks for passwords on the terminal. */
#pragma once

#include <gio/gio.h>

/* Starts it for this process and waits until it is ready. NULL where there is no terminal, or no
 * agent: others may be there. */
GSubprocess *agent_start (void);
void agent_stop (GSubprocess *agent);
