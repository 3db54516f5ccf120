/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gstdio.h>
#include <string.h>

#define MSEC G_TIME_SPAN_MILLISECOND
#define SEC G_TIME_SPAN_SECOND
#define MINUTE G_TIME_SPAN_MINUTE
#define HOUR G_TIME_SPAN_HOUR
#define DAY G_TIME_SPAN_DAY

#define UUID "6695eb01-f6a4-8304-79aa-97f2502e193f"
#define UUID_UPPER "6695EB01-F6A4-8304-79AA-97F2502E193F"
#define UUID_BARE "6695eb01f6a4830479aa97f2502e193f"
#define OTHER_UUID "00000000-f6a4-8304-79aa-97f2502e193f"

/* A folder with a main file and drop-ins */

typedef struct {
  char *folder, *file, *drop_ins;
} Files;

static void
files_init (Files *files)
{
  files->folder = g_dir_make_tmp ("virtfreeze-config-XXXXXX", NULL);
  g_assert_nonnull (files->folder);
  files->file = g_build_filename (files->folder, "virtfreezed.conf", NULL);
  files->drop_ins = g_strconcat (files->file, ".d", NULL);
}

static void
remove_folder (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);

      if (g_file_test (path, G_FILE_TEST_IS_DIR))
        remove_folder (path);
      else
        g_assert_no_errno (g_unlink (path));
    }
  g_assert_no_errno (g_rmdir (folder));
}

static void
files_clear (Files *files)
{
  remove_folder (files->folder);
  g_free (files->folder);
  g_free (files->file);
  g_free (files->drop_ins);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Files, files_clear)

static void
write_file (const char *path, const char *text)
{
  g_autoptr (GError) error = NULL;

  g_file_set_contents (path, text, -1, &error);
  g_assert_no_error (error);
}

static void
write_drop_in (Files *files, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (files->drop_ins, name, NULL);

  g_assert_no_errno (g_mkdir_with_parents (files->drop_ins, 0700));
  write_file (path, text);
}

/* The config of this text alone; it must be good. */
static VfConfig *
load_text (const char *text)
{
  g_auto (Files) files = { 0 };
  g_autoptr (GError) error = NULL;
  VfConfig *config;

  files_init (&files);
  write_file (files.file, text);
  config = vf_config_load (files.file, TRUE, FALSE, &error);
  g_assert_no_error (error);
  g_assert_nonnull (config);
  return config;
}

static const VfDomainConfig *
any_domain (VfConfig *config)
{
  return vf_config_for_domain (config, "any", OTHER_UUID);
}

static void
assert_defaults (VfConfig *config, const char *uri)
{
  const VfDomainConfig *domain = any_domain (config);

  g_assert_cmpstr (vf_config_get_uri (config), ==, uri);
  g_assert_cmpint (domain->engine, ==, VF_ENGINE_AGENT);
  g_assert_cmpint (domain->scope, ==, VF_SCOPE_AUTO);
  g_assert_cmpint (domain->default_hold, ==, 1 * MINUTE);
  g_assert_cmpint (domain->max_hold, ==, 10 * MINUTE);
  g_assert_cmpint (domain->freeze_timeout, ==, 20 * SEC);
  g_assert_cmpint (domain->agent_timeout, ==, 15 * SEC);
  g_assert_true (domain->freeze_guard);
  g_assert_cmpint (vf_config_get_verify_interval (config), ==, 5 * SEC);
  g_assert_cmpuint (vf_config_get_max_in_flight (config), ==, 14);
  g_assert_cmpuint (vf_config_get_max_freezes (config), ==, 1024);
  g_assert_cmpuint (vf_config_get_max_freezes_per_user (config), ==, 64);
  g_assert_cmpuint (vf_config_get_max_freezes_per_domain (config), ==, 16);
  g_assert_cmpuint (vf_config_get_max_pending (config), ==, 32);
}

/* Defaults */

static void
test_no_file (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (VfConfig) system = vf_config_load (NULL, FALSE, FALSE, &error);
  g_autoptr (VfConfig) session = vf_config_load (NULL, TRUE, TRUE, &error);

  g_assert_no_error (error);
  assert_defaults (system, "qemu:///system");
  assert_defaults (session, "qemu:///session");
}

static void
test_missing_file (void)
{
  g_auto (Files) files = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (VfConfig) optional = NULL;

  files_init (&files);
  optional = vf_config_load (files.file, FALSE, TRUE, &error);
  g_assert_no_error (error);
  assert_defaults (optional, "qemu:///session");

  g_assert_null (vf_config_load (files.file, TRUE, FALSE, &error));
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
  g_assert_nonnull (strstr (error->message, files.file));
}

static void
test_missing_file_with_drop_in (void)
{
  g_auto (Files) files = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (VfConfig) config = NULL;

  files_init (&files);
  write_drop_in (&files, "a.conf", "[Freeze]\nMaxPending=7\n");
  config = vf_config_load (files.file, FALSE, FALSE, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (vf_config_get_max_pending (config), ==, 7);
}

static void
test_unreadable_file (void)
{
  g_auto (Files) files = { 0 };
  g_autoptr (GError) error = NULL;

  files_init (&files);
  g_assert_no_errno (g_mkdir (files.file, 0700));
  g_assert_null (vf_config_load (files.file, FALSE, FALSE, &error));
  g_assert_nonnull (error);
  g_assert_nonnull (strstr (error->message, files.file));
}

static void
test_drop_in_folder_is_a_file (void)
{
  g_auto (Files) files = { 0 };
  g_autoptr (GError) error = NULL;

  files_init (&files);
  write_file (files.drop_ins, "");
  g_assert_null (vf_config_load (files.file, FALSE, FALSE, &error));
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_NOTDIR);
  g_assert_nonnull (strstr (error->message, files.drop_ins));
}

static void
test_empty_file (void)
{
  static const char *const texts[] = { "", "\n", "# nothing\n", "[Freeze]\n", "[Domain web]\n" };

  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (VfConfig) config = load_text (texts[i]);

      assert_defaults (config, "qemu:///system");
    }
}

/* The shipped file, once as it is and once with every "#Key=" made "Key=". */
static void
test_shipped_file (void)
{
  g_autofree char *path
    = g_test_build_filename (G_TEST_DIST, "..", "..", "data", "virtfreezed.conf", NULL);
  g_autofree char *text = NULL, *uncommented = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GRegex) comment = g_regex_new ("^#(?=[A-Z])", G_REGEX_MULTILINE, 0, NULL);
  g_autoptr (GRegex) key = g_regex_new ("^[A-Z][A-Za-z]*=", G_REGEX_MULTILINE, 0, NULL);
  g_autoptr (GMatchInfo) match = NULL;
  g_autoptr (VfConfig) shipped = NULL, all = NULL;
  guint n_keys = 0;

  shipped = vf_config_load (path, TRUE, FALSE, &error);
  g_assert_no_error (error);
  assert_defaults (shipped, "qemu:///system");

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_false (g_regex_match (key, text, 0, NULL)); /* all commented out */
  uncommented = g_regex_replace_literal (comment, text, -1, 0, "", 0, &error);
  g_assert_no_error (error);
  for (g_regex_match (key, uncommented, 0, &match); g_match_info_matches (match);
       g_match_info_next (match, NULL))
    n_keys++;
  g_assert_cmpuint (n_keys, ==, 14);
  all = load_text (uncommented);
  assert_defaults (all, "qemu:///system");
}

/* Keys */

static void
test_every_key (void)
{
  g_autoptr (VfConfig) config = load_text ("[Freeze]\n"
                                           "Uri=test:///default\n"
                                           "Engine=agent\n"
                                           "Scope=disks\n"
                                           "DefaultHold=11s\n"
                                           "MaxHold=12min\n"
                                           "FreezeTimeout=13s\n"
                                           "AgentTimeout=14s\n"
                                           "VerifyInterval=1500ms\n"
                                           "FreezeGuard=no\n"
                                           "MaxInFlight=16\n"
                                           "MaxFreezes=17\n"
                                           "MaxFreezesPerUser=18\n"
                                           "MaxFreezesPerDomain=19\n"
                                           "MaxPending=20\n");
  const VfDomainConfig *domain = any_domain (config);

  g_assert_cmpstr (vf_config_get_uri (config), ==, "test:///default");
  g_assert_cmpint (domain->engine, ==, VF_ENGINE_AGENT);
  g_assert_cmpint (domain->scope, ==, VF_SCOPE_DISKS);
  g_assert_cmpint (domain->default_hold, ==, 11 * SEC);
  g_assert_cmpint (domain->max_hold, ==, 12 * MINUTE);
  g_assert_cmpint (domain->freeze_timeout, ==, 13 * SEC);
  g_assert_cmpint (domain->agent_timeout, ==, 14 * SEC);
  g_assert_false (domain->freeze_guard);
  g_assert_cmpint (vf_config_get_verify_interval (config), ==, 1500 * MSEC);
  g_assert_cmpuint (vf_config_get_max_in_flight (config), ==, 16);
  g_assert_cmpuint (vf_config_get_max_freezes (config), ==, 17);
  g_assert_cmpuint (vf_config_get_max_freezes_per_user (config), ==, 18);
  g_assert_cmpuint (vf_config_get_max_freezes_per_domain (config), ==, 19);
  g_assert_cmpuint (vf_config_get_max_pending (config), ==, 20);
}

static void
test_layout (void)
{
  g_autoptr (VfConfig) config = load_text ("# first\r\n"
                                           "\r\n"
                                           "[Freeze]\r\n"
                                           "  MaxHold =  2min \t \r\n"
                                           "[Domain web]\n"
                                           "Scope=domain\n"
                                           "[Freeze]\n"
                                           "MaxPending=9\n");

  g_assert_cmpint (any_domain (config)->max_hold, ==, 2 * MINUTE);
  g_assert_cmpuint (vf_config_get_max_pending (config), ==, 9);
  g_assert_cmpint (vf_config_for_domain (config, "web", NULL)->scope, ==, VF_SCOPE_DOMAIN);
}

static void
test_scopes (void)
{
  static const struct {
    const char *text;
    VfScope scope;
  } cases[] = { { "[Freeze]\nScope=auto\n", VF_SCOPE_AUTO },
                { "[Freeze]\nScope=disks\n", VF_SCOPE_DISKS },
                { "[Freeze]\nScope=domain\n", VF_SCOPE_DOMAIN } };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (VfConfig) config = load_text (cases[i].text);

      g_assert_cmpint (any_domain (config)->scope, ==, cases[i].scope);
    }
}

static void
test_booleans (void)
{
  static const char *const yes[] = { "yes", "true", "1", "on", "YES", "True" };
  static const char *const no[] = { "no", "false", "0", "off", "NO", "False" };

  for (gsize i = 0; i < G_N_ELEMENTS (yes); i++)
    {
      g_autofree char *with = g_strdup_printf ("[Freeze]\nFreezeGuard=%s\n", yes[i]);
      g_autofree char *without = g_strdup_printf ("[Freeze]\nFreezeGuard=%s\n", no[i]);
      g_autoptr (VfConfig) on = load_text (with);
      g_autoptr (VfConfig) off = load_text (without);

      g_assert_true (any_domain (on)->freeze_guard);
      g_assert_false (any_domain (off)->freeze_guard);
    }
}

/* The ends of every range are in it; what lies beyond is among the errors below. */
static void
test_range_ends (void)
{
  g_autoptr (VfConfig) low = load_text ("[Freeze]\n"
                                        "DefaultHold=1us\n"
                                        "MaxHold=1us\n"
                                        "FreezeTimeout=1us\n"
                                        "AgentTimeout=0\n"
                                        "VerifyInterval=100ms\n"
                                        "MaxInFlight=3\n"
                                        "MaxFreezes=1\n"
                                        "MaxFreezesPerUser=1\n"
                                        "MaxFreezesPerDomain=1\n"
                                        "MaxPending=1\n");
  g_autoptr (VfConfig) high = load_text ("[Freeze]\n"
                                         "DefaultHold=24h\n"
                                         "MaxHold=24h\n"
                                         "FreezeTimeout=1h\n"
                                         "AgentTimeout=1h\n"
                                         "MaxInFlight=19\n"
                                         "MaxFreezes=1000000\n"
                                         "MaxFreezesPerUser=1000000\n"
                                         "MaxFreezesPerDomain=1000000\n"
                                         "MaxPending=1000000\n");

  g_assert_cmpint (any_domain (low)->default_hold, ==, 1);
  g_assert_cmpint (any_domain (low)->agent_timeout, ==, 0);
  g_assert_cmpint (vf_config_get_verify_interval (low), ==, 100 * MSEC);
  g_assert_cmpuint (vf_config_get_max_in_flight (low), ==, 3);
  g_assert_cmpint (any_domain (high)->max_hold, ==, DAY);
  g_assert_cmpint (any_domain (high)->freeze_timeout, ==, HOUR);
  g_assert_cmpuint (vf_config_get_max_pending (high), ==, 1000000);
}

/* Drop-ins */

static void
test_drop_in_order (void)
{
  g_auto (Files) files = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (VfConfig) config = NULL;

  files_init (&files);
  write_drop_in (&files, "b.conf", "[Freeze]\nMaxFreezes=30\nMaxPending=31\n");
  write_drop_in (&files, "a.conf", "[Freeze]\nMaxFreezes=20\nMaxFreezesPerUser=21\n");
  write_drop_in (&files, "10-first.conf", "[Freeze]\nMaxFreezes=15\nMaxFreezesPerUser=16\n");
  write_drop_in (&files, "z.config", "[Freeze]\nMaxFreezes=99\n");
  write_drop_in (&files, "z.conf~", "[Freeze]\nMaxFreezes=98\n");
  write_drop_in (&files, ".z.conf", "[Freeze]\nMaxInFlight=5\n");
  write_file (files.file, "[Freeze]\nMaxFreezes=10\nMaxPending=11\nMaxFreezesPerDomain=12\n");
  config = vf_config_load (files.file, TRUE, FALSE, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (vf_config_get_max_freezes (config), ==, 30);            /* b */
  g_assert_cmpuint (vf_config_get_max_pending (config), ==, 31);            /* b */
  g_assert_cmpuint (vf_config_get_max_freezes_per_user (config), ==, 21);   /* a */
  g_assert_cmpuint (vf_config_get_max_freezes_per_domain (config), ==, 12); /* main */
  g_assert_cmpuint (vf_config_get_max_in_flight (config), ==, 14);          /* default */
}

/* Whatever the order of files and sections: a domain inherits what [Freeze] ends up with. */
static void
test_drop_in_domain (void)
{
  g_auto (Files) files = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (VfConfig) config = NULL;
  const VfDomainConfig *web, *db;

  files_init (&files);
  write_file (files.file, "[Domain web]\nDefaultHold=2s\nAgentTimeout=3s\n"
                          "[Domain " UUID "]\nDefaultHold=4s\nMaxHold=5s\n"
                          "[Freeze]\nFreezeTimeout=6s\n");
  write_drop_in (&files, "a.conf", "[Domain web]\nDefaultHold=7s\n[Freeze]\nFreezeTimeout=8s\n");
  write_drop_in (&files, "b.conf", "[Domain " UUID_UPPER "]\nMaxHold=9s\n");
  config = vf_config_load (files.file, TRUE, FALSE, &error);
  g_assert_no_error (error);

  web = vf_config_for_domain (config, "web", OTHER_UUID);
  g_assert_cmpint (web->default_hold, ==, 7 * SEC);
  g_assert_cmpint (web->agent_timeout, ==, 3 * SEC);
  g_assert_cmpint (web->freeze_timeout, ==, 8 * SEC);
  g_assert_cmpint (web->max_hold, ==, 10 * MINUTE);
  db = vf_config_for_domain (config, "db", UUID);
  g_assert_cmpint (db->default_hold, ==, 4 * SEC);
  g_assert_cmpint (db->max_hold, ==, 9 * SEC);
  g_assert_cmpint (db->freeze_timeout, ==, 8 * SEC);
}

/* Domains */

static void
test_domain_every_key (void)
{
  g_autoptr (VfConfig) config = load_text ("[Domain web]\n"
                                           "Engine=agent\n"
                                           "Scope=disks\n"
                                           "DefaultHold=11s\n"
                                           "MaxHold=12s\n"
                                           "FreezeTimeout=13s\n"
                                           "AgentTimeout=14s\n"
                                           "FreezeGuard=no\n");
  const VfDomainConfig *web = vf_config_for_domain (config, "web", OTHER_UUID);

  g_assert_cmpint (web->engine, ==, VF_ENGINE_AGENT);
  g_assert_cmpint (web->scope, ==, VF_SCOPE_DISKS);
  g_assert_cmpint (web->default_hold, ==, 11 * SEC);
  g_assert_cmpint (web->max_hold, ==, 12 * SEC);
  g_assert_cmpint (web->freeze_timeout, ==, 13 * SEC);
  g_assert_cmpint (web->agent_timeout, ==, 14 * SEC);
  g_assert_false (web->freeze_guard);
  assert_defaults (config, "qemu:///system"); /* all others */
}

static void
test_domain_lookup (void)
{
  g_autoptr (VfConfig) config = load_text ("[Freeze]\nDefaultHold=1s\n"
                                           "[Domain web]\nDefaultHold=2s\n"
                                           "[Domain my web server]\nDefaultHold=3s\n"
                                           "[Domain " UUID "]\nScope=domain\n"
                                           "[Domain größe]\nDefaultHold=5s\n");
  static const struct {
    const char *name, *uuid;
    gint64 hold;
    VfScope scope;
  } cases[] = {
    { "web", OTHER_UUID, 2 * SEC, VF_SCOPE_AUTO },
    { "web", NULL, 2 * SEC, VF_SCOPE_AUTO },
    { "Web", OTHER_UUID, 1 * SEC, VF_SCOPE_AUTO },
    { "we", OTHER_UUID, 1 * SEC, VF_SCOPE_AUTO },
    { "my web server", OTHER_UUID, 3 * SEC, VF_SCOPE_AUTO },
    { "größe", OTHER_UUID, 5 * SEC, VF_SCOPE_AUTO },
    /* The UUID wins, and takes nothing from the section of the name. */
    { "web", UUID, 1 * SEC, VF_SCOPE_DOMAIN },
    { "web", UUID_UPPER, 1 * SEC, VF_SCOPE_DOMAIN },
    { "web", UUID_BARE, 1 * SEC, VF_SCOPE_DOMAIN },
    { NULL, UUID, 1 * SEC, VF_SCOPE_DOMAIN },
    /* What has the form of a UUID is one, never a name. */
    { UUID, OTHER_UUID, 1 * SEC, VF_SCOPE_AUTO },
    { NULL, NULL, 1 * SEC, VF_SCOPE_AUTO },
    { "", "", 1 * SEC, VF_SCOPE_AUTO },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const VfDomainConfig *domain
        = vf_config_for_domain (config, cases[i].name, cases[i].uuid);

      if (domain->default_hold != cases[i].hold || domain->scope != cases[i].scope)
        g_test_fail_printf ("%s, %s: wrong section", cases[i].name, cases[i].uuid);
    }
}

static void
test_uuid_spellings (void)
{
  static const char *const spellings[] = { UUID, UUID_UPPER, UUID_BARE,
                                           "6695EB01F6A4830479AA97F2502E193F" };

  for (gsize i = 0; i < G_N_ELEMENTS (spellings); i++)
    {
      g_autofree char *text
        = g_strdup_printf ("[Domain %s]\nDefaultHold=7s\n", spellings[i]);
      g_autoptr (VfConfig) config = load_text (text);

      for (gsize j = 0; j < G_N_ELEMENTS (spellings); j++)
        g_assert_cmpint (vf_config_for_domain (config, "x", spellings[j])->default_hold, ==,
                         7 * SEC);
      assert_defaults (config, "qemu:///system");
    }
}

/* Almost a UUID: a name like any other. */
static void
test_not_a_uuid (void)
{
  static const char *const names[] = {
    "6695eb01-f6a4-8304-79aa-97f2502e193",   "6695eb01-f6a4-8304-79aa-97f2502e193fa",
    "6695eb01-f6a4-8304-79aa-97f2502e193g",  "6695eb01f-6a4-8304-79aa-97f2502e193f",
    "6695eb01f6a4830479aa97f2502e193",       "6695eb01f6a4830479aa97f2502e193f0",
    "6695eb01f6a4830479aa97f2502e193f0000",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *text = g_strdup_printf ("[Domain %s]\nDefaultHold=7s\n", names[i]);
      g_autoptr (VfConfig) config = load_text (text);

      g_assert_cmpint (vf_config_for_domain (config, names[i], UUID)->default_hold, ==, 7 * SEC);
      g_assert_cmpint (vf_config_for_domain (config, "x", names[i])->default_hold, ==, 1 * MINUTE);
    }
}

static void
test_hold_inherits_max (void)
{
  g_autoptr (VfConfig) config = load_text ("[Freeze]\nMaxHold=20min\n"
                                           "[Domain web]\nDefaultHold=20min\n");

  g_assert_cmpint (vf_config_for_domain (config, "web", NULL)->default_hold, ==, 20 * MINUTE);
}

static void
test_references (void)
{
  VfConfig *config = load_text ("[Freeze]\nUri=test:///default\n");
  VfConfig *again = vf_config_ref (config);

  g_assert_true (again == config);
  vf_config_unref (config);
  g_assert_cmpstr (vf_config_get_uri (again), ==, "test:///default");
  vf_config_unref (again);
}

/* Errors */

typedef struct {
  const char *name;
  const char *file, *drop_in; /* NULL: none */
  gboolean blames_drop_in;
  const char *message; /* what follows the name of the file */
} Mistake;

#define IN_FILE(name, text, message) { name, text, NULL, FALSE, message }
#define IN_DROP_IN(name, file, text, message) { name, file, text, TRUE, message }
#define BAD(key, value, problem)                                                                  \
  { key "=" value, "[Freeze]\n" key "=" value "\n", NULL, FALSE,                                  \
    "[Freeze] " key ": “" value "” " problem }

static const Mistake mistakes[] = {
  /* values */
  BAD ("DefaultHold", "20x", "is not a time (try 20s, 5min)"),
  BAD ("DefaultHold", "", "is not a time (try 20s, 5min)"),
  BAD ("DefaultHold", "99999999999999w", "is not a time (try 20s, 5min)"),
  BAD ("DefaultHold", "0", "is not between 1us and 1d"),
  BAD ("DefaultHold", "25h", "is not between 1us and 1d"),
  BAD ("MaxHold", "0s", "is not between 1us and 1d"),
  BAD ("MaxHold", "86400000001us", "is not between 1us and 1d"),
  BAD ("MaxHold", "-1s", "is not a time (try 20s, 5min)"),
  BAD ("FreezeTimeout", "0", "is not between 1us and 1h"),
  BAD ("FreezeTimeout", "61min", "is not between 1us and 1h"),
  BAD ("FreezeTimeout", "never", "is not a time (try 20s, 5min)"),
  BAD ("AgentTimeout", "1500ms", "is not a whole number of seconds"),
  BAD ("AgentTimeout", "1us", "is not a whole number of seconds"),
  BAD ("AgentTimeout", "3601s", "is not between 0 and 1h"),
  BAD ("AgentTimeout", "x", "is not a time (try 20s, 5min)"),
  BAD ("VerifyInterval", "99ms", "is not between 100ms and 1d"),
  BAD ("VerifyInterval", "2d", "is not between 100ms and 1d"),
  BAD ("FreezeGuard", "maybe", "is neither yes nor no"),
  BAD ("FreezeGuard", "", "is neither yes nor no"),
  BAD ("FreezeGuard", "2", "is neither yes nor no"),
  BAD ("Engine", "test", "is not an engine (use agent or exec)"),
  BAD ("Engine", "Agent", "is not an engine (use agent or exec)"),
  BAD ("Scope", "guest", "is not a scope (use auto, disks or domain)"),
  BAD ("Scope", "", "is not a scope (use auto, disks or domain)"),
  BAD ("Uri", "", "is not a libvirt URI (try qemu:///system)"),
  BAD ("MaxInFlight", "2", "is not a number from 3 to 19"),
  BAD ("MaxInFlight", "20", "is not a number from 3 to 19"),
  BAD ("MaxInFlight", "14.0", "is not a number from 3 to 19"),
  BAD ("MaxInFlight", "0x10", "is not a number from 3 to 19"),
  BAD ("MaxFreezes", "0", "is not a number from 1 to 1000000"),
  BAD ("MaxFreezes", "1000001", "is not a number from 1 to 1000000"),
  BAD ("MaxFreezes", "-1", "is not a number from 1 to 1000000"),
  BAD ("MaxFreezes", "18446744073709551617", "is not a number from 1 to 1000000"),
  BAD ("MaxFreezesPerUser", "0", "is not a number from 1 to 1000000"),
  BAD ("MaxFreezesPerUser", "many", "is not a number from 1 to 1000000"),
  BAD ("MaxFreezesPerDomain", "0", "is not a number from 1 to 1000000"),
  BAD ("MaxFreezesPerDomain", "", "is not a number from 1 to 1000000"),
  BAD ("MaxPending", "0", "is not a number from 1 to 1000000"),
  BAD ("MaxPending", "1000001", "is not a number from 1 to 1000000"),
  IN_FILE ("comment-after-value", "[Freeze]\nDefaultHold=20s # short\n",
           "[Freeze] DefaultHold: “20s # short” is not a time (try 20s, 5min)"),
  IN_FILE ("control-characters-in-value", "[Freeze]\nScope=a\033[31m\n",
           "[Freeze] Scope: “a\\x1b[31m” is not a scope (use auto, disks or domain)"),
  IN_FILE ("escape-in-value", "[Freeze]\nScope=a\\q\n",
           "[Freeze] Scope: “a\\q” is not a scope (use auto, disks or domain)"),
  IN_FILE ("bad-value-that-a-domain-overrides", "[Freeze]\nMaxHold=x\n[Domain w]\nMaxHold=1h\n",
           "[Freeze] MaxHold: “x” is not a time (try 20s, 5min)"),
  IN_FILE ("bad-value-for-a-domain", "[Domain web]\nFreezeTimeout=0\n",
           "[Domain web] FreezeTimeout: “0” is not between 1us and 1h"),

  /* keys and sections */
  IN_FILE ("unknown-key", "[Freeze]\nDefaultHolt=1s\n",
           "[Freeze] DefaultHolt: there is no such key"),
  IN_FILE ("key-in-another-case", "[Freeze]\ndefaulthold=1s\n",
           "[Freeze] defaulthold: there is no such key"),
  IN_FILE ("translated-key", "[Freeze]\nUri[de]=test:///default\n",
           "[Freeze] Uri[de]: there is no such key"),
  IN_FILE ("unknown-key-of-a-domain", "[Domain web]\nX=1\n",
           "[Domain web] X: there is no such key"),
  IN_FILE ("uri-of-a-domain", "[Domain web]\nUri=test:///default\n",
           "[Domain web] Uri: only [Freeze] can have this key"),
  IN_FILE ("verify-interval-of-a-domain", "[Domain web]\nVerifyInterval=1s\n",
           "[Domain web] VerifyInterval: only [Freeze] can have this key"),
  IN_FILE ("max-in-flight-of-a-domain", "[Domain web]\nMaxInFlight=5\n",
           "[Domain web] MaxInFlight: only [Freeze] can have this key"),
  IN_FILE ("max-freezes-of-a-domain", "[Domain web]\nMaxFreezes=5\n",
           "[Domain web] MaxFreezes: only [Freeze] can have this key"),
  IN_FILE ("max-freezes-per-user-of-a-domain", "[Domain web]\nMaxFreezesPerUser=5\n",
           "[Domain web] MaxFreezesPerUser: only [Freeze] can have this key"),
  IN_FILE ("max-freezes-per-domain-of-a-domain", "[Domain web]\nMaxFreezesPerDomain=5\n",
           "[Domain web] MaxFreezesPerDomain: only [Freeze] can have this key"),
  IN_FILE ("max-pending-of-a-domain", "[Domain " UUID "]\nMaxPending=5\n",
           "[Domain " UUID "] MaxPending: only [Freeze] can have this key"),
  IN_FILE ("unknown-section", "[Freezer]\nScope=auto\n",
           "[Freezer]: there is no such section (try [Freeze] or [Domain NAME-or-UUID])"),
  IN_FILE ("empty-unknown-section", "[Freezer]\n",
           "[Freezer]: there is no such section (try [Freeze] or [Domain NAME-or-UUID])"),
  IN_FILE ("section-in-another-case", "[freeze]\n",
           "[freeze]: there is no such section (try [Freeze] or [Domain NAME-or-UUID])"),
  IN_FILE ("domain-section-without-name", "[Domain]\nScope=auto\n",
           "[Domain]: there is no such section (try [Freeze] or [Domain NAME-or-UUID])"),
  IN_FILE ("domain-section-without-space", "[Domainweb]\n",
           "[Domainweb]: there is no such section (try [Freeze] or [Domain NAME-or-UUID])"),
  IN_FILE ("domain-section-of-spaces", "[Domain  ]\n",
           "[Domain  ]: there is no such section (try [Freeze] or [Domain NAME-or-UUID])"),

  /* one key against the other */
  IN_FILE ("default-hold-over-max-hold", "[Freeze]\nDefaultHold=2min\nMaxHold=90s\n",
           "[Freeze] DefaultHold: DefaultHold (2min) is longer than MaxHold (90s)"),
  IN_FILE ("default-hold-over-default-max-hold", "[Freeze]\nDefaultHold=601s\n",
           "[Freeze] DefaultHold: DefaultHold (601s) is longer than MaxHold (10min)"),
  IN_FILE ("max-hold-under-default-default-hold", "[Freeze]\nMaxHold=59s\n",
           "[Freeze] MaxHold: DefaultHold (1min) is longer than MaxHold (59s)"),
  IN_FILE ("domain-default-hold-over-inherited-max-hold",
           "[Domain web]\nDefaultHold=6min\n[Freeze]\nMaxHold=5min\n",
           "[Domain web] DefaultHold: DefaultHold (6min) is longer than MaxHold (5min)"),
  IN_FILE ("domain-max-hold-under-inherited-default-hold",
           "[Freeze]\nDefaultHold=2s\n[Domain web]\nMaxHold=1s\n",
           "[Domain web] MaxHold: DefaultHold (2s) is longer than MaxHold (1s)"),
  IN_FILE ("domain-default-hold-over-its-max-hold",
           "[Domain " UUID "]\nDefaultHold=2s\n[Domain " UUID_BARE "]\nMaxHold=1s\n",
           "[Domain " UUID "] DefaultHold: DefaultHold (2s) is longer than MaxHold (1s)"),

  /* files */
  IN_DROP_IN ("drop-in-bad-value", "[Freeze]\nMaxHold=1h\n", "[Freeze]\nMaxHold=1x\n",
              "[Freeze] MaxHold: “1x” is not a time (try 20s, 5min)"),
  IN_DROP_IN ("drop-in-unknown-key", "", "[Freeze]\nX=1\n", "[Freeze] X: there is no such key"),
  IN_DROP_IN ("drop-in-unknown-section", "", "[X]\n",
              "[X]: there is no such section (try [Freeze] or [Domain NAME-or-UUID])"),
  IN_DROP_IN ("drop-in-alone", NULL, "[Domain web]\nScope=x\n",
              "[Domain web] Scope: “x” is not a scope (use auto, disks or domain)"),
  IN_DROP_IN ("drop-in-max-hold-too-short", "[Freeze]\nMaxHold=1h\n", "[Freeze]\nMaxHold=1s\n",
              "[Freeze] MaxHold: DefaultHold (1min) is longer than MaxHold (1s)"),
  IN_DROP_IN ("drop-in-default-hold-too-long", "[Freeze]\nMaxHold=30s\n",
              "[Freeze]\nDefaultHold=31s\n",
              "[Freeze] DefaultHold: DefaultHold (31s) is longer than MaxHold (30s)"),
  { "bad-value-mended-by-drop-in", "[Freeze]\nMaxHold=x\n", "[Freeze]\nMaxHold=1h\n", FALSE,
    "[Freeze] MaxHold: “x” is not a time (try 20s, 5min)" },
  IN_FILE ("invalid-utf8", "[Freeze]\n# \xff\n", "is not valid UTF-8"),
  IN_DROP_IN ("drop-in-invalid-utf8", "[Freeze]\n", "[Freeze]\nUri=\xc3\n", "is not valid UTF-8"),
};

static void
test_mistake (gconstpointer data)
{
  const Mistake *mistake = data;
  g_auto (Files) files = { 0 };
  g_autoptr (GError) error = NULL;
  g_autofree char *drop_in = NULL, *expected = NULL;

  files_init (&files);
  drop_in = g_build_filename (files.drop_ins, "local.conf", NULL);
  if (mistake->file != NULL)
    write_file (files.file, mistake->file);
  if (mistake->drop_in != NULL)
    write_drop_in (&files, "local.conf", mistake->drop_in);
  expected = g_strdup_printf ("%s: %s", mistake->blames_drop_in ? drop_in : files.file,
                              mistake->message);

  g_assert_null (vf_config_load (files.file, mistake->file != NULL, FALSE, &error));
  g_assert_nonnull (error);
  g_assert_cmpstr (error->message, ==, expected);
  g_assert_true (error->domain == G_KEY_FILE_ERROR);
}

/* Where the text is no key file at all, the reason is GLib's; the file must be named. */
static void
test_no_key_file (void)
{
  static const char *const texts[] = { "Scope=auto\n", "[Freeze]\nScope\n", "[Freeze\n", "{}\n",
                                       "[Freeze]\n=auto\n" };

  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_auto (Files) files = { 0 };
      g_autoptr (GError) error = NULL;
      g_autofree char *prefix = NULL;

      files_init (&files);
      prefix = g_strconcat (files.file, ": ", NULL);
      write_file (files.file, texts[i]);
      g_assert_null (vf_config_load (files.file, TRUE, FALSE, &error));
      g_assert_nonnull (error);
      g_assert_true (g_str_has_prefix (error->message, prefix));
    }
}

static void
test_nul_byte (void)
{
  g_auto (Files) files = { 0 };
  g_autoptr (GError) error = NULL;

  files_init (&files);
  g_assert_true (g_file_set_contents (files.file, "[Freeze]\n\0#", 11, NULL));
  g_assert_null (vf_config_load (files.file, TRUE, FALSE, &error));
  g_assert_error (error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_UNKNOWN_ENCODING);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/config/defaults/no-file", test_no_file);
  g_test_add_func ("/config/defaults/missing-file", test_missing_file);
  g_test_add_func ("/config/defaults/missing-file-with-drop-in", test_missing_file_with_drop_in);
  g_test_add_func ("/config/defaults/empty-file", test_empty_file);
  g_test_add_func ("/config/defaults/shipped-file", test_shipped_file);
  g_test_add_func ("/config/keys/every-key", test_every_key);
  g_test_add_func ("/config/keys/layout", test_layout);
  g_test_add_func ("/config/keys/scopes", test_scopes);
  g_test_add_func ("/config/keys/booleans", test_booleans);
  g_test_add_func ("/config/keys/ends-of-ranges", test_range_ends);
  g_test_add_func ("/config/drop-ins/order", test_drop_in_order);
  g_test_add_func ("/config/drop-ins/domains", test_drop_in_domain);
  g_test_add_func ("/config/domains/every-key", test_domain_every_key);
  g_test_add_func ("/config/domains/lookup", test_domain_lookup);
  g_test_add_func ("/config/domains/spellings-of-a-uuid", test_uuid_spellings);
  g_test_add_func ("/config/domains/almost-a-uuid", test_not_a_uuid);
  g_test_add_func ("/config/domains/hold-within-inherited-max-hold", test_hold_inherits_max);
  g_test_add_func ("/config/references", test_references);
  g_test_add_func ("/config/errors/no-key-file", test_no_key_file);
  g_test_add_func ("/config/errors/nul-byte", test_nul_byte);
  g_test_add_func ("/config/errors/file-is-a-folder", test_unreadable_file);
  g_test_add_func ("/config/errors/drop-in-folder-is-a-file", test_drop_in_folder_is_a_file);
  for (gsize i = 0; i < G_N_ELEMENTS (mistakes); i++)
    {
      g_autofree char *path = g_strdup_printf ("/config/errors/%s", mistakes[i].name);

      g_test_add_data_func (path, &mistakes[i], test_mistake);
    }
  return g_test_run ();
}
