/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fault: places where a test can kill the service, one for each step between two durable states.
 *
 * Compiled in for the tests' own binary alone (VF_FAULTS); nothing otherwise. The process dies by
 * SIGKILL at the place that $VIRTFREEZE_FAULT names.
 */
#pragma once

#ifdef VF_FAULTS
void vf_fault (const char *place);
#define VF_FAULT(place) vf_fault (place)
#else
#define VF_FAULT(place) ((void) 0)
#endif
