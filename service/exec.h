/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * exec: fsfreeze(8) run in the guest through its agent, for each filesystem by itself.
 *
 * Every program gets its arguments as an argument vector. Paths go to the two scripts below (the
 * guard, and the check of a freeze) as positional parameters; these need sh, sleep and fsfreeze
 * alone. Facts relied on (qemu-ga 7.2, util-linux 2.38): guest-exec returns once the program runs,
 * and is refused where it is not there; `fsfreeze -f` on a frozen filesystem says EBUSY, `-u` on a
 * thawed one EINVAL, in the words of strerror(3); the agent reaps what it starts and keeps its
 * exit status until guest-exec-status asks for it.
 */
#pragma once

#include "hypervisor.h"

#include <libvirt/libvirt.h>

G_BEGIN_DECLS

/* Makes a call of kind EXEC_…: blocks, on a worker thread. Fills the answer of call. */
void vf_exec_call (virDomainPtr domain, VfCall *call);

G_END_DECLS
