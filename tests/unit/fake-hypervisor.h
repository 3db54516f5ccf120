/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fake-hypervisor: guests for tests, behind the interface of service/hypervisor.h.
 *
 * Guests belong to a FakeHost, and outlive the hypervisor objects of one service after another.
 * Each knows what is physically frozen in it, whatever the service believes, and refuses what a
 * real one refuses: a frozen agent everything but thaw. Calls are answered from the main loop,
 * unless the guest is held (the test answers) or hung (they time out on the clock).
 */
#pragma once

#include "clock.h"
#include "error.h"
#include "hypervisor.h"

typedef struct {
  char *device;
  char *mountpoint;
  char *type;
  char **targets;
  gboolean freezable;
  gboolean frozen;
  gboolean by_exec;   /* by fsfreeze, of which the agent knows nothing */
  gint64 guard_until; /* boot time, µs; 0: there is none in the guest */
  gboolean touched; /* it was thawed by something else than the service, and not frozen since */
} FakeFilesystem;

typedef enum {
  FAKE_AGENT,   /* qemu-ga: thaws all or nothing */
  FAKE_PARTIAL, /* one with a libvirt that passes mountpoints of a thaw on */
  FAKE_DRIVER,  /* libvirt's test driver: tells its map while frozen, grows, thaws a part */
} FakeKind;

/* What becomes of a call. Without any fault it is carried out and answered. */
typedef struct {
  gboolean carried_out; /* in the guest, whatever is answered */
  gboolean succeeds;
  int count;        /* the count answered on success; -1: the true one */
  const char *only; /* a freeze catches this device alone; NULL: all */
  VfError code;
  gboolean sent, answered, timed_out, unsupported;
} FakeFault;

typedef struct _FakeHost FakeHost;

typedef struct {
  FakeHost *host;
  char *uuid;
  char *name;
  const char *state;
  gboolean active, running, agent;
  gboolean undefined; /* libvirt does not know it */
  int run;
  GPtrArray *disks;       /* char* */
  GPtrArray *filesystems; /* FakeFilesystem* */
  gboolean silent;        /* fsinfo is forbidden */
  gboolean mute;          /* everything but thaw is */
  gboolean held;          /* calls wait for fake_hypervisor_answer() */
  gboolean hung;          /* calls time out */
  gboolean hangs_at[VF_CALL_KINDS];   /* it hangs from the next call of this kind on */
  gboolean lands;         /* a freeze that a hung agent got is carried out when it wakes */
  gboolean late;          /* one is on its way */
  gboolean foreign;       /* frozen by somebody else */
  gboolean touched;       /* thawed by something else than the service, since it last froze */
  GQueue faults[VF_CALL_KINDS];       /* by kind: FakeFault*, of the next calls */
  guint calls[VF_CALL_KINDS];         /* by kind: how many came */
} FakeGuest;

struct _FakeHost {
  FakeKind kind;
  GPtrArray *guests; /* FakeGuest* */
  /* All may be NULL: a call has come; a guest's frozen set has changed; a filesystem is about to be
   * thawed by a call. */
  void (*called) (FakeGuest *guest, const VfCall *call, gpointer data);
  void (*changed) (FakeGuest *guest, gpointer data);
  void (*thawing) (FakeGuest *guest, const FakeFilesystem *fs, gpointer data);
  gpointer data;
  int last_run;
};

FakeHost *fake_host_new (FakeKind kind);
void fake_host_free (FakeHost *host);

/* An active guest with its agent connected. filesystems: "DEVICE|MOUNTPOINT|TYPE|DISK,DISK" by
 * blanks; the types vfat and iso9660 do not freeze. */
FakeGuest *fake_guest_new (FakeHost *host, const char *name, const char *disks,
                           const char *filesystems);
FakeGuest *fake_guest_find (FakeHost *host, const char *uuid);
gboolean fake_guest_is_frozen (const FakeGuest *guest);
/* "A B": what is frozen; free it. */
char *fake_guest_frozen (const FakeGuest *guest);

/* From outside, or by itself: not announced to anyone. */
void fake_guest_freeze (FakeGuest *guest);
void fake_guest_thaw (FakeGuest *guest);
/* A hung agent goes on. */
void fake_guest_wake (FakeGuest *guest);
/* The process of the guest begins or ends; frozen: what is frozen stays so. */
void fake_guest_start (FakeGuest *guest, const char *state, gboolean frozen);
void fake_guest_stop (FakeGuest *guest, gboolean frozen);
void fake_guest_add_fault (FakeGuest *guest, VfCallKind kind, const FakeFault *fault);

/* fsfreeze in the guest, as a call of engine exec asks for; only: as in FakeFault. */
void fake_exec_carry_out (FakeGuest *guest, VfCall *call, const char *only);
/* By somebody else in the guest. */
void fake_exec_touch (FakeGuest *guest, const char *device, gboolean frozen);
/* "(A+A:5s,B!:5s)": what a call is about; free it. */
char *fake_exec_describe (const VfCall *call);
/* Whether one of these was thawed by something else, and not frozen since. */
gboolean fake_exec_has_touched (const FakeGuest *guest, GPtrArray *devices);
/* "A:5 B:5": what has a guard, with the seconds left; free it. */
char *fake_guest_guards (const FakeGuest *guest);

/* --- the hypervisor of one service ------------------------------------------------------------ */

VfHypervisor *fake_hypervisor_new (FakeHost *host, VfClock *clock);

/* Tells of all guests, and that it is connected. */
void fake_hypervisor_connect (VfHypervisor *hypervisor);
/* Calls under way fail; carried_out: though the guests do what they got. first: before the
 * connection is told to be gone. */
void fake_hypervisor_disconnect (VfHypervisor *hypervisor, gboolean carried_out, gboolean first);
/* Its process is killed: it does nothing more, and stays allocated. */
void fake_hypervisor_kill (VfHypervisor *hypervisor);
gboolean fake_hypervisor_is_connected (VfHypervisor *hypervisor);

void fake_hypervisor_tell (VfHypervisor *hypervisor, FakeGuest *guest);
void fake_hypervisor_gone (VfHypervisor *hypervisor, FakeGuest *guest);
void fake_hypervisor_event (VfHypervisor *hypervisor, FakeGuest *guest, VfEvent event);

/* Calls to the guest under way. */
guint fake_hypervisor_pending (VfHypervisor *hypervisor, const FakeGuest *guest);
/* Whether the guest has done what the one under way asks. */
gboolean fake_hypervisor_answered (VfHypervisor *hypervisor, const FakeGuest *guest);
/* Answers the oldest one to a held guest; FALSE: there is none. fault may be NULL. */
gboolean fake_hypervisor_answer (VfHypervisor *hypervisor, FakeGuest *guest,
                                 const FakeFault *fault);
/* fake_guest_wake(), and its call under way is answered. */
void fake_hypervisor_wake (VfHypervisor *hypervisor, FakeGuest *guest);
/* The guest does what the oldest one asks, which is answered later. */
void fake_hypervisor_carry_out (VfHypervisor *hypervisor, FakeGuest *guest);
