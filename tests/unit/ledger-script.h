/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ledger-script: operations on a ledger, in words; "-> " and what follows is the result of one.
 *
 *   map [DEVICE|MOUNTPOINT|TYPE|DISK,DISK]...   the guest tells its filesystems
 *   no-map                                      the guest does not tell
 *   disks DISK...                               the domain's disks from now on (until told: those
 *                                               that the first map names)
 *   forget DISK
 *   plan SCOPE [DISK]...      "covers a b, freeze a", "covers a, freeze nothing",
 *                             "covers a b, freeze all" (one plain call), "whole, freeze all",
 *                             or the name of an error
 *   commit ID COUNT           of the last plan; "ok" or the name of an error
 *   freeze ID SCOPE [DISK]... plan, and commit with a count that says all; the state, or an error
 *   counts ID                 "1 frozen, 2 skipped"
 *   state                     "a2* b0": counts, and what is frozen; "idle" between periods
 *   release ID                the state
 *   thaw-plan                 "all, expected 2", "b, expected 1", "nothing"
 *   touches                   whether the last thaw plan touches the last plan
 *   thawed                    by the last thaw plan; the state
 *   thaw ID                   release, then thaw what can be thawed; the state
 *   clear
 */
#pragma once

#include "ledger.h"

/* steps end with NULL. A result that differs fails the test. */
void ledger_script_run (const char *const *steps, VfAbilities abilities);
