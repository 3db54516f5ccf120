/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The configuration: a file, and behind a line “%” a drop-in. Times also each by itself. */
#include "fuzz.h"

#include "config-keys.h"

#include <glib/gstdio.h>
#include <string.h>

static void
check_values (const VfDomainConfig *values)
{
  g_assert_cmpint (values->default_hold, >, 0);
  g_assert_cmpint (values->default_hold, <=, values->max_hold);
  g_assert_cmpint (values->max_hold, <=, G_TIME_SPAN_DAY);
  g_assert_cmpint (values->freeze_timeout, >, 0);
  g_assert_cmpint (values->freeze_timeout, <=, G_TIME_SPAN_HOUR);
  g_assert_cmpint (values->agent_timeout % G_USEC_PER_SEC, ==, 0);
}

static void
check_config (VfConfig *config)
{
  check_values (vf_config_for_domain (config, "a", "00000000-0000-4000-8000-000000000001"));
  check_values (vf_config_for_domain (config, "b", NULL));
  check_values (vf_config_for_domain (config, NULL, "no uuid"));
  g_assert_cmpstr (vf_config_get_uri (config), !=, "");
  g_assert_cmpint (vf_config_get_verify_interval (config), >=, 100 * G_TIME_SPAN_MILLISECOND);
  g_assert_cmpuint (vf_config_get_max_in_flight (config), >=, 3);
  g_assert_cmpuint (vf_config_get_max_in_flight (config), <=, 19);
  g_assert_cmpuint (vf_config_get_max_freezes (config), >, 0);
  g_assert_cmpuint (vf_config_get_max_freezes_per_user (config), >, 0);
  g_assert_cmpuint (vf_config_get_max_freezes_per_domain (config), >, 0);
  g_assert_cmpuint (vf_config_get_max_pending (config), >, 0);
}

static void
check_time (const char *text)
{
  gint64 usec, again;
  g_autofree char *written = NULL;

  if (!vf_parse_time (text, &usec))
    return;
  g_assert_cmpint (usec, >=, 0);
  written = vf_format_time (usec);
  g_assert_true (vf_parse_time (written, &again));
  g_assert_cmpint (again, ==, usec);
}

static void
write_file (const char *path, const char *text, gsize length)
{
  FILE *file = g_fopen (path, "w");

  g_assert_nonnull (file);
  g_assert_cmpuint (fwrite (text, 1, length, file), ==, length);
  fclose (file);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autofree char *text = fuzz_text (data, size);
  g_autofree char *folder = g_dir_make_tmp ("virtfreeze-fuzz-XXXXXX", NULL);
  g_autofree char *file = g_build_filename (folder, "x.conf", NULL);
  g_autofree char *drop_ins = g_strconcat (file, ".d", NULL);
  g_autofree char *drop_in = g_build_filename (drop_ins, "1.conf", NULL);
  g_autoptr (VfConfig) config = NULL;
  g_autoptr (GError) error = NULL;
  char *second = strstr (text, "\n%\n");

  fuzz_init ();
  check_time (text);
  if (second != NULL)
    {
      *second = '\0';
      second += strlen ("\n%\n");
      g_mkdir (drop_ins, 0700);
      write_file (drop_in, second, strlen (second));
      write_file (file, text, strlen (text));
    }
  else
    write_file (file, (const char *) data, size); /* with what NULs it has */
  config = vf_config_load (file, TRUE, FALSE, &error);
  if (config != NULL)
    check_config (config);
  else
    fuzz_check_error (error);
  g_unlink (drop_in);
  g_rmdir (drop_ins);
  g_unlink (file);
  g_rmdir (folder);
  return 0;
}
