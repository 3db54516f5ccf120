/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "exec-answer.h"

#include <string.h>

static void
test_start (void)
{
  static const char *const argv[] = { "fsfreeze", "-f", "--", "/mnt/a \"b\" 'c'\n\\$(d)", NULL };
  static const char *const latin1[] = { "fsfreeze", "-f", "--", "/mnt/\xe4", NULL };
  g_autofree char *json = vf_exec_start_command (argv, TRUE);

  g_assert_nonnull (strstr (json, "\"execute\":\"guest-exec\""));
  g_assert_nonnull (strstr (json, "\"path\":\"fsfreeze\""));
  g_assert_nonnull (strstr (json, "[\"-f\",\"--\",\"/mnt/a \\\"b\\\" 'c'\\n\\\\$(d)\"]"));
  g_assert_nonnull (strstr (json, "\"LC_ALL=C\""));
  g_assert_nonnull (strstr (json, "\"capture-output\":true"));
  g_assert_null (vf_exec_start_command (latin1, TRUE));
}

static void
test_status_command (void)
{
  g_autofree char *json = vf_exec_status_command (4711);

  g_assert_cmpstr (json, ==, "{\"execute\":\"guest-exec-status\",\"arguments\":{\"pid\":4711}}");
}

static void
test_info_command (void)
{
  g_autofree char *json = vf_exec_info_command ();

  g_assert_cmpstr (json, ==, "{\"execute\":\"guest-info\"}");
}

static void
test_pid (void)
{
  static const char *const bad[]
      = { "", "{", "[]", "1", "null", "{\"return\":1}", "{\"return\":{}}",
          "{\"return\":{\"pid\":\"1\"}}", "{\"return\":{\"pid\":1.5}}", "{\"return\":{\"pid\":0}}",
          "{\"return\":{\"pid\":-1}}", "{\"return\":{\"pid\":[1]}}", "{\"return\":{\"pid\":null}}",
          "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"}}" };
  gint64 pid;

  g_assert_true (vf_exec_read_pid ("{\"return\":{\"pid\":4711}}", &pid));
  g_assert_cmpint (pid, ==, 4711);
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_false (vf_exec_read_pid (bad[i], &pid));
}

static const struct {
  const char *json;
  gboolean valid, exited;
  int code;
  const char *text;
} statuses[] = {
  { "{\"return\":{\"exited\":false}}", TRUE, FALSE, -1, NULL },
  { "{\"return\":{\"exited\":true,\"exitcode\":0}}", TRUE, TRUE, 0, "" },
  { "{\"return\":{\"exited\":true,\"exitcode\":1,\"err-data\":\"bm8K\"}}", TRUE, TRUE, 1, "no\n" },
  { "{\"return\":{\"exited\":true,\"signal\":9}}", TRUE, TRUE, -1, "" },
  { "{\"return\":{\"exited\":true,\"exitcode\":-1}}", TRUE, TRUE, -1, "" },
  { "{\"return\":{\"exited\":true,\"exitcode\":99999999999}}", TRUE, TRUE, -1, "" },
  { "{\"return\":{\"exited\":true,\"exitcode\":\"0\"}}", TRUE, TRUE, -1, "" },
  { "{\"return\":{\"exited\":true,\"exitcode\":0,\"err-data\":7}}", TRUE, TRUE, 0, "" },
  { "{\"return\":{\"exited\":true,\"exitcode\":0,\"err-data\":\"%\"}}", TRUE, TRUE, 0, "" },
  { "{\"return\":{\"exited\":1}}", FALSE, FALSE, -1, NULL },
  { "{\"return\":{}}", FALSE, FALSE, -1, NULL },
  { "{\"return\":[]}", FALSE, FALSE, -1, NULL },
  { "nonsense", FALSE, FALSE, -1, NULL },
};

static void
test_status (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (statuses); i++)
    {
      g_auto (VfExecStatus) status = { 0 };

      g_test_message ("%s", statuses[i].json);
      g_assert_cmpint (vf_exec_read_status (statuses[i].json, &status), ==, statuses[i].valid);
      g_assert_cmpint (status.exited, ==, statuses[i].exited);
      g_assert_cmpint (status.code, ==, statuses[i].code);
      g_assert_cmpstr (status.text, ==, statuses[i].text);
    }
}

static void
test_long_status (void)
{
  g_autofree char *text = g_strnfill (3 * VF_MAX_TEXT, 'x');
  g_autofree char *data = g_base64_encode ((const guchar *) text, strlen (text));
  g_autofree char *json = g_strdup_printf (
      "{\"return\":{\"exited\":true,\"exitcode\":1,\"err-data\":\"%s\"}}", data);
  g_auto (VfExecStatus) status = { 0 };

  g_assert_true (vf_exec_read_status (json, &status));
  g_assert_cmpuint (strlen (status.text), ==, VF_MAX_TEXT);
}

#define COMMAND(name, enabled) "{\"name\":\"" name "\",\"enabled\":" enabled "}"
#define COMMANDS(list) "{\"return\":{\"version\":\"7.2\",\"supported_commands\":[" list "]}}"

static void
test_enabled (void)
{
  static const struct {
    const char *json;
    gboolean valid, enabled;
  } cases[] = {
    { COMMANDS (COMMAND ("guest-exec", "true") "," COMMAND ("guest-exec-status", "true")), TRUE,
      TRUE },
    { COMMANDS (COMMAND ("guest-exec", "false") "," COMMAND ("guest-exec-status", "true")), TRUE,
      FALSE },
    { COMMANDS (COMMAND ("guest-exec", "true") "," COMMAND ("guest-exec-status", "false")), TRUE,
      FALSE },
    { COMMANDS (COMMAND ("guest-exec", "true")), TRUE, FALSE },
    { COMMANDS (""), TRUE, FALSE },
    { COMMANDS ("1,null,\"guest-exec\",{\"name\":7,\"enabled\":true}"), TRUE, FALSE },
    { "{\"return\":{\"supported_commands\":{}}}", FALSE, FALSE },
    { "{\"return\":{}}", FALSE, FALSE },
    { "{}", FALSE, FALSE },
    { "", FALSE, FALSE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      gboolean enabled = FALSE;

      g_assert_cmpint (vf_exec_read_enabled (cases[i].json, &enabled), ==, cases[i].valid);
      g_assert_cmpint (enabled, ==, cases[i].enabled);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/exec-answer/start", test_start);
  g_test_add_func ("/exec-answer/status-command", test_status_command);
  g_test_add_func ("/exec-answer/info-command", test_info_command);
  g_test_add_func ("/exec-answer/pid", test_pid);
  g_test_add_func ("/exec-answer/status", test_status);
  g_test_add_func ("/exec-answer/long-status", test_long_status);
  g_test_add_func ("/exec-answer/enabled", test_enabled);
  return g_test_run ();
}
