/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * exec-answer: what is said to a guest agent to run a program, and what it says back, as JSON.
 *
 * Pure; any thread. Answers come from the guest and may be anything: each function takes the whole
 * text that virDomainQemuAgentCommand() returned, {"return": …}, and says FALSE to what it cannot
 * use. The commands and their answers are those of QEMU's guest agent reference: guest-exec,
 * guest-exec-status (since 2.5), guest-info.
 */
#pragma once

#include "text.h"

G_BEGIN_DECLS

/*
 * guest-exec of argv (its first is looked up in the agent's PATH), with messages in English; capture:
 * what it prints is kept for its status. NULL where an argument is not UTF-8, which JSON cannot say.
 */
char *vf_exec_start_command (const char *const *argv, gboolean capture);
char *vf_exec_status_command (gint64 pid);
char *vf_exec_info_command (void);

/* Of guest-exec: the process, as the guest numbers it; at least 1. */
gboolean vf_exec_read_pid (const char *json, gint64 *pid);

typedef struct {
  gboolean exited;
  int code;   /* exit code; -1: killed by a signal, or not told */
  char *text; /* what it wrote to stderr, cut to VF_MAX_TEXT, raw; never NULL once exited */
} VfExecStatus;

/* Of guest-exec-status; status is to be cleared. */
gboolean vf_exec_read_status (const char *json, VfExecStatus *status);
void vf_exec_status_clear (VfExecStatus *status);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (VfExecStatus, vf_exec_status_clear)

/* Of guest-info: whether guest-exec and guest-exec-status are there and enabled. */
gboolean vf_exec_read_enabled (const char *json, gboolean *enabled);

G_END_DECLS
