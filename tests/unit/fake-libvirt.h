/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fake-libvirt: the part of libvirt's API that service/ uses, and behind it a libvirtd with guests.
 *
 * Linked instead of libvirt. It serves at most 5 calls of a connection and 20 calls in all at a
 * time, as libvirtd does: further ones wait for one of those to end, whatever they ask. A call to
 * a hung agent ends when its response time is over. All functions are thread-safe.
 */
#pragma once

#include <glib.h>

/* What has been seen since fake_libvirtd_forget(). */
typedef struct {
  guint most_per_connection; /* calls under way on a connection that agents are called on */
  guint most_agent_calls;    /* to agents, in all */
  guint most_served;         /* in all, of any kind */
  guint times_set;           /* virDomainAgentSetResponseTimeout */
} FakeLibvirtdSeen;

/* Guests 0 to n - 1, all running with an agent. Each call to an agent takes delay (µs). */
void fake_libvirtd_start (guint n, gint64 delay);
/* No call may be under way. */
void fake_libvirtd_stop (void);

void fake_libvirtd_hang (guint guest, gboolean hung);
gboolean fake_libvirtd_is_frozen (guint guest);
/* Calls to agents that libvirtd works on; calls that wait until it does; others, answered. */
guint fake_libvirtd_agent_calls (void);
guint fake_libvirtd_waiting (void);
guint fake_libvirtd_plain_calls (void);
void fake_libvirtd_forget (void);
FakeLibvirtdSeen fake_libvirtd_seen (void);

/* Of a guest; free it. */
char *fake_libvirtd_uuid (guint guest);
