/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands, each in a file of its name. They complain themselves, and return the exit code. */
#pragma once

#include "options.h"
#include "output.h"

ExitCode command_list (const Options *options);
ExitCode command_status (const Options *options);
ExitCode command_run (const Options *options);
ExitCode command_freeze (const Options *options);
ExitCode command_thaw (const Options *options);
ExitCode command_monitor (const Options *options);
ExitCode command_complete (const Options *options);
