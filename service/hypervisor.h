/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * hypervisor: what the core asks of the outside world, and what that tells the core.
 *
 * libvirt stands behind it (hypervisor-libvirt), or a fake in tests. All functions and callbacks
 * run on the main thread and never block; calls to guests are answered later, in any order.
 */
#pragma once

#include "config.h"

G_BEGIN_DECLS

typedef struct {
  char *target; /* libvirt's name, such as "vda" */
  char *source; /* path, or NULL */
} VfDisk;

/* A domain as libvirt describes it; immutable, shared by reference. */
typedef struct {
  char *uuid;
  char *name;
  const char *state;        /* libvirt's word; static */
  gboolean active;          /* it has a process */
  gboolean running;         /* and its CPUs run */
  gboolean agent_connected; /* the agent's channel is open in the guest */
  int run;                  /* libvirt's id of this run of the guest; -1 where inactive */
  GPtrArray *disks;         /* VfDisk* */
} VfDomainInfo;

VfDomainInfo *vf_domain_info_new (const char *uuid, const char *name);
void vf_domain_info_add_disk (VfDomainInfo *info, const char *target, const char *source);
VfDomainInfo *vf_domain_info_ref (VfDomainInfo *info);
void vf_domain_info_unref (VfDomainInfo *info);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VfDomainInfo, vf_domain_info_unref)

/* The targets of a domain's disks; NULL-terminated. */
char **vf_domain_info_targets (const VfDomainInfo *info);

typedef enum {
  VF_EVENT_BOOTED,          /* it began a run from its disks */
  VF_EVENT_RESET,           /* the guest's memory was cleared; it runs on */
  VF_EVENT_STOPPED,         /* destroyed, shut down, crashed */
  VF_EVENT_SAVED,           /* stopped, with its memory in a file */
  VF_EVENT_MIGRATED,        /* it runs elsewhere now */
  VF_EVENT_RESTORED,        /* it began a run from saved memory, a snapshot or another host */
  VF_EVENT_RESUMED,         /* its CPUs run again */
  VF_EVENT_AGENT_CONNECTED, /* the agent opened its channel */
} VfEvent;

/* --- calls to a guest --------------------------------------------------------------------- */

typedef enum {
  VF_CALL_MAP,    /* virDomainGetFSInfo */
  VF_CALL_PROBE,  /* virDomainGetTime: does an agent that refuses the map refuse all? */
  VF_CALL_FREEZE, /* virDomainFSFreeze */
  VF_CALL_THAW,   /* virDomainFSThaw */
  /* fsfreeze(8), run in the guest for each of some filesystems: */
  VF_CALL_EXEC_FREEZE, /* sets guards, then freezes */
  VF_CALL_EXEC_THAW,   /* thaws, then ends guards */
  VF_CALL_EXEC_VERIFY, /* done: it was thawed, and is again; frozen: it is, as it should be */
} VfCallKind;

#define VF_CALL_KINDS (VF_CALL_EXEC_VERIFY + 1)

/* What became of one filesystem. */
typedef enum {
  VF_RESULT_NONE,       /* nothing was done to it */
  VF_RESULT_DONE,       /* frozen, or thawed */
  VF_RESULT_FROZEN,     /* it was frozen already */
  VF_RESULT_NOT_FROZEN, /* it was thawed already */
  VF_RESULT_REFUSED,    /* its type does not freeze, or fsfreeze failed on it */
  VF_RESULT_UNKNOWN,    /* no answer */
} VfResult;

/*
 * A dead man's switch: a process in the guest that thaws one filesystem if the host does not come
 * back. It fires VF_GUARD_SLACK after until.
 */
typedef struct {
  VfFilesystem *fs;
  gint64 until;      /* boot time, µs: the deadline that it stands for */
  gint64 pid;        /* in the guest, as far as is known; else 0 */
  gboolean replaces; /* an older one for the same may run, and is to end */
} VfGuard;

#define VF_GUARD_SLACK (4 * G_USEC_PER_SEC)

VfGuard *vf_guard_new (VfFilesystem *fs, gint64 until);
void vf_guard_free (VfGuard *guard);

typedef struct _VfCall VfCall;

/*
 * One call. The maker fills the first part and passes ownership to vf_hypervisor_call(), which
 * fills the second and passes ownership to done. A worker thread may use the call in between.
 */
struct _VfCall {
  VfCallKind kind;
  char *uuid;
  int run;            /* the run of the guest that is meant; another one fails, unsent */
  char **mountpoints; /* NULL: all */
  /* Of EXEC_…; all may be empty. */
  GPtrArray *filesystems; /* VfFilesystem*, in the order in which they are to be frozen */
  GPtrArray *guards;      /* VfGuard* */
  GPtrArray *known;       /* VfFilesystem*: all of the guest, to tell which paths lead elsewhere */
  gboolean in_doubt;    /* of EXEC_THAW: an fsfreeze may still be under way, and is to end first */
  gint64 made;          /* boot time, µs */
  gint64 agent_timeout; /* µs; 0: libvirt's own */
  /* Asked when its turn has come; may be NULL. FALSE: it fails, unsent. */
  gboolean (*wanted) (gpointer data);
  void (*done) (VfCall *call, gpointer data);
  gpointer data;

  GError *error;        /* VF_ERROR; NULL on success */
  gboolean sent;        /* on error: the guest may have got it, and may still do it */
  gboolean answered;    /* on error: the agent answered, with a refusal */
  gboolean timed_out;   /* on error: somebody was waited for in vain */
  gboolean unsupported; /* on error: libvirt cannot do that to a part of the guest */
  GPtrArray *map;       /* of MAP: owned; NULL where the guest told more than we take */
  guint count;          /* of FREEZE and THAW: filesystems */
  /* Of EXEC_…, also on error: */
  VfResult *results;    /* one for each of filesystems */
  gboolean guards_left; /* of EXEC_THAW: done, but the guards could not be ended */
};

VfCall *vf_call_new (VfCallKind kind, const char *uuid, int run);
/* Of EXEC_…: takes the first two; guards and known may be NULL. */
void vf_call_set_filesystems (VfCall *call, GPtrArray *filesystems, GPtrArray *guards,
                              GPtrArray *known);
void vf_call_free (VfCall *call);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VfCall, vf_call_free)

/* --- the interface -------------------------------------------------------------------------- */

typedef struct _VfHypervisor VfHypervisor;

/* Told on the main thread, from the main loop only. */
typedef struct {
  /* On TRUE, all domains have been told of (info, kept) since the last FALSE: what was not among them is no
   * more. On FALSE, calls under way fail by themselves. */
  void (*connected) (gboolean connected, gpointer data);
  void (*info) (VfDomainInfo *info, gpointer data); /* new or changed; take a reference */
  void (*kept) (const char *uuid, gpointer data);   /* still there, but not described this time */
  void (*gone) (const char *uuid, gpointer data);   /* libvirt no longer knows it */
  void (*event) (const char *uuid, VfEvent event, gpointer data);
} VfListener;

struct _VfHypervisor {
  void (*start) (VfHypervisor *hypervisor);
  void (*refresh) (VfHypervisor *hypervisor, const char *uuid, void (*done) (gpointer data),
                   gpointer data);
  void (*call) (VfHypervisor *hypervisor, VfCall *call);
  void (*free) (VfHypervisor *hypervisor);

  const VfListener *listener;
  gpointer listener_data;

  /* Set before the first connected(TRUE): */
  gboolean test_driver; /* libvirt's test driver: engine "test" */
  /* Learned on the way: */
  gboolean no_part_thaw; /* libvirt has said that it cannot thaw a part of an agent's freeze */
};

G_END_DECLS
