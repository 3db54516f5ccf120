/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a guest agent says back to guest-exec, guest-exec-status and guest-info. */
#include "fuzz.h"

#include "exec-answer.h"

#include <string.h>

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autofree char *json = fuzz_text (data, size);
  g_auto (VfExecStatus) status = { 0 };
  gboolean enabled = FALSE;
  gint64 pid = 0;

  fuzz_init ();
  g_assert_true (vf_exec_read_pid (json, &pid) == (pid > 0));
  if (vf_exec_read_status (json, &status))
    {
      g_assert_true (status.exited == (status.text != NULL));
      g_assert_cmpint (status.code, >=, -1);
      g_assert_true (status.text == NULL || strlen (status.text) <= VF_MAX_TEXT);
    }
  vf_exec_read_enabled (json, &enabled);
  return 0;
}
