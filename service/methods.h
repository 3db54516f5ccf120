/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* methods: the one table from method to polkit action. What is not in it is denied. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define VF_ACTION_FREEZE "org.virtfreeze1.freeze"
#define VF_ACTION_THAW_OTHERS "org.virtfreeze1.thaw-others"
#define VF_ACTION_INSPECT "org.virtfreeze1.inspect"

typedef enum {
  VF_OWNER_NO_MATTER, /* everybody needs the action (NULL: nobody needs any) */
  VF_OWNER_EXEMPT,    /* the freeze's owner does not need it */
  VF_OWNER_ONLY,      /* for the freeze's owner alone, who needs it */
} VfOwnerRule;

typedef struct {
  const char *interface;
  const char *method;
  const char *action;
  VfOwnerRule owner;
} VfMethodRule;

/* NULL: deny. */
const VfMethodRule *vf_methods_find (const char *interface, const char *method);

G_END_DECLS
