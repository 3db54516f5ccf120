/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * world: what all domains share, and who is told of changes. registry owns it.
 */
#pragma once

#include "clock.h"
#include "journal.h"
#include "slots.h"

G_BEGIN_DECLS

/* What of a domain changed; for one change signal. */
typedef enum {
  VF_DOMAIN_NAME = 1 << 0,
  VF_DOMAIN_STATE = 1 << 1,
  VF_DOMAIN_AGENT = 1 << 2,
  VF_DOMAIN_DISKS = 1 << 3,
  VF_DOMAIN_CONFIG = 1 << 4, /* Engine, DefaultHold, MaxHold */
  VF_DOMAIN_FREEZE_STATE = 1 << 5,
  VF_DOMAIN_SINCE = 1 << 6,
} VfDomainChange;

typedef enum {
  VF_FREEZE_CHANGED_STATE = 1 << 0,
  VF_FREEZE_CHANGED_DEADLINE = 1 << 1,
  VF_FREEZE_CHANGED_OWNER = 1 << 2,
} VfFreezeChange;

/* Told at once, before anything that follows from it; must not call back into the core. */
typedef struct {
  void (*connected) (gboolean connected, gpointer data);
  void (*domain_added) (VfDomain *domain, gpointer data);
  void (*domain_changed) (VfDomain *domain, VfDomainChange what, gpointer data);
  void (*domain_removed) (VfDomain *domain, gpointer data);
  void (*freeze_added) (VfFreeze *freeze, gpointer data);
  void (*freeze_changed) (VfFreeze *freeze, VfFreezeChange what, gpointer data);
  void (*freeze_lost) (VfFreeze *freeze, gpointer data); /* its state has changed, too */
  void (*freeze_released) (VfFreeze *freeze, VfReleasedWhy why, gpointer data);
} VfObserver;

typedef struct {
  VfHypervisor *hypervisor;
  VfSlots *slots;
  VfClock *clock;
  VfConfig *config;
  const VfObserver *observer;
  gpointer observer_data;

  gboolean connected;
  gboolean stopping;  /* nothing new is frozen any more */
  VfJournal *journal; /* NULL: nothing is kept over a crash (tests) */
  char *uri;          /* of libvirt, and the id of the bus, for records */
  char *bus_id;
  guint64 next_number;             /* of freezes, where there is no journal */
  GHashTable *freezes;             /* VfFreeze* set, with a reference: all that have an object */
  GHashTable *groups;              /* VfGroup* set, owned: that are not complete, or not undone */
  GHashTable *user_count;          /* uid → freezes, also those being made */
  guint count;                     /* the same, of all users */
  void (*settled) (gpointer data); /* a lane has nothing left to do; may be NULL */
  gpointer settled_data;
} VfWorld;

/* Room for one more freeze of a user and a domain (which has that many already)? Takes it. */
gboolean vf_world_reserve (VfWorld *world, guint uid, guint in_domain, GError **error);
/* Takes it without asking: a freeze that is there already. */
void vf_world_count (VfWorld *world, guint uid);
void vf_world_unreserve (VfWorld *world, guint uid);

G_END_DECLS
