/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "options.h"

/* Static text, for people; of a command, or of virt-freeze for N_COMMANDS. */
const char *help_text (Command command);
