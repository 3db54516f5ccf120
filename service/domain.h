/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * domain: a libvirt domain as this service sees it: libvirt's description, its settings, its
 * freezes, and the lane through which everything that touches the guest goes.
 *
 * Refcounted; main thread only.
 */
#pragma once

#include "world.h"

G_BEGIN_DECLS

typedef struct _VfLane VfLane;

struct _VfDomain {
  VfWorld *world;
  VfDomainInfo *info;
  VfConfig *config_ref; /* keeps config alive */
  const VfDomainConfig *config;
  VfLane *lane;
  GPtrArray *freezes; /* VfFreeze*, by number; borrowed from world->freezes */
  gboolean seen;      /* libvirt has told of it since it was connected */
  gboolean gone;      /* its object is no more */
};

VfDomain *vf_domain_new (VfWorld *world, VfDomainInfo *info);
VfDomain *vf_domain_ref (VfDomain *domain);
void vf_domain_unref (VfDomain *domain);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VfDomain, vf_domain_unref)

/* libvirt describes it anew: tells the observer, then the lane. */
void vf_domain_update (VfDomain *domain, VfDomainInfo *info);

/* Takes the settings from world->config; tells the observer (unless it is new). */
void vf_domain_configure (VfDomain *domain, gboolean announce);

/* agent, exec or test. */
VfEngine vf_domain_engine (const VfDomain *domain);

/* Scope auto, resolved by the configured engine alone. */
VfScope vf_domain_resolve_scope (const VfDomain *domain, VfScope scope);

/*
 * Turns names of disks (targets or source paths) into targets, each once, in the order asked.
 * Where one is unknown: its place is left out, and *unknown (may be NULL) is set to the first
 * such name (borrowed from names).
 */
char **vf_domain_resolve_disks (const VfDomain *domain, const char *const *names,
                                const char **unknown);

G_END_DECLS
