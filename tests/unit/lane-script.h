/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lane-script: the core (registry, domains, lanes, ledger, slots, journal) by cases, on fake guests
 * and a fake clock. Each case is a script of operations; "-> " and what follows is all that
 * happened because of it, in order:
 *
 *   map probe freeze thaw        a call came to the guest; "freeze(/a,/b)" names mountpoints
 *   exec-freeze(A+A:5s,B!:5s)    the same by engine exec: what is frozen, and guards with their time;
 *                                "!": instead of an older one
 *   {A B}                        what is frozen in the guest now
 *   <frozen>                     FreezeState, announced
 *   +1 -1:thawed                 freeze 1 appeared; it was released, and why
 *   1:thawing                    its state changed
 *   1:lost:reset 1:deadline 1:owner
 *   a=1 a=Timeout                request a was answered: by freeze 1, by an error
 *   thaw1=ok all=ok              a Thaw of freeze 1, a ThawAll was answered
 *   +G -G on off                 domains that came and went, connected or not
 *
 * Operations (NAME is a letter that the case chooses for a request; X an option):
 *
 *   freeze NAME [DISK]... [owner=:1.1] [uid=0] [scope=domain] [hold=1min] [timeout=20s] [lease]
 *   group NAME GUEST... [as freeze]    all of each, together; "a=1,2" or the error with its guest
 *   map NAME [timeout=20s]       GetFilesystems
 *   thaw N [other] [timeout=20s], thaw-all [timeout=20s], renew N TIME, left OWNER
 *   after TIME                   nobody does anything
 *   guest NAME                   the operations that follow are about this one
 *   hold, go                     calls wait, until "answer [FAULT]", "carry-out" or "go"
 *   hang [KIND], wake, lands     the agent, at once or from the next call of a kind on; with lands,
 *                                a freeze that it got is done at waking
 *   fault KIND FAULT [FAULT]...  what becomes of the next calls
 *   silent, mute                 the agent forbids fsinfo; everything
 *   outside freeze|thaw [DEVICE] by somebody else; with DEVICE, by fsfreeze in the guest
 *   reset, stop, save, restore, revert, migrate, boot, undefine, define, pause, resume, rename
 *   lag                          what libvirt tells of the last operation's guest comes in the
 *   told                         wrong order: the event now, the rest with "told"
 *   agent on|off, attach DISK, detach DISK
 *   connect, disconnect [late|first] [done]
 *   crash, recover [BUS], release-all    the service dies; another one starts
 *   stop-service                 "stopped" when it is done
 *   configure TEXT               of [Freeze]; reloads
 *   break-journal, mend-journal
 *   guards                       what has one in the guest, with the seconds left
 *   state                        FreezeState, freezes (hidden: of a group), "since" if that is told
 *   records                      of the journal: "1:held"
 *
 * After each operation the promises are checked: nothing is frozen without a hold, a debt or a
 * call under way; what a held freeze covers is frozen; what is frozen has a record.
 * After the last one everybody leaves, the guests heal, and the service stops: all must be thawed.
 */
#pragma once

#include "fake-hypervisor.h"

#define SCRIPT_STEPS 40

typedef struct {
  const char *name;
  FakeKind kind;
  const char *filesystems; /* of guest G; NULL: two on two disks, and a vfat */
  const char *config;      /* "Key=Value Key=Value"; may be NULL */
  const char *steps[SCRIPT_STEPS];
} Script;

/* Runs as a test each. */
void script_add_all (const char *prefix, const Script *scripts, gsize n);
