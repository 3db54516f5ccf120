/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config-keys.h"

#include <string.h>

#define DOMAIN_PREFIX "Domain "

/* One [Domain …] section with what it inherits. */
typedef struct {
  char *title; /* as spelled where it was seen first */
  VfDomainConfig values;
} DomainSection;

struct _VfConfig {
  gatomicrefcount refs;
  VfConfigValues values;
  GHashTable *domains; /* section id -> DomainSection */
};

/* Sections */

static void
domain_section_free (DomainSection *section)
{
  g_free (section->title);
  g_free (section);
}

/* The 32 digits of a UUID in lower case, or NULL for what does not have the form of one. */
static char *
normalize_uuid (const char *text)
{
  gboolean hyphens = strlen (text) == 36;
  g_autoptr (GString) digits = g_string_sized_new (32);

  for (guint i = 0; text[i] != '\0'; i++)
    {
      if (hyphens && (i == 8 || i == 13 || i == 18 || i == 23))
        {
          if (text[i] != '-')
            return NULL;
        }
      else if (g_ascii_isxdigit (text[i]))
        {
          g_string_append_c (digits, g_ascii_tolower (text[i]));
        }
      else
        {
          return NULL;
        }
    }
  return digits->len == 32 ? g_string_free (g_steal_pointer (&digits), FALSE) : NULL;
}

/* The spelling of a UUID differs between files; its section is the same. */
static char *
domain_section_id (const char *name_or_uuid)
{
  g_autofree char *uuid = normalize_uuid (name_or_uuid);

  return uuid != NULL ? g_strconcat ("uuid ", uuid, NULL)
                      : g_strconcat ("name ", name_or_uuid, NULL);
}

/* Files */

typedef struct {
  char *path;
  GKeyFile *key_file;
} Source;

typedef struct {
  VfConfig *config;
  GPtrArray *sources;  /* Source, in the order of their weight */
  GHashTable *origins; /* "section id\nkey" -> path, borrowed from sources */
} Loader;

static void
source_free (Source *source)
{
  g_free (source->path);
  g_key_file_unref (source->key_file);
  g_free (source);
}

static Source *
source_read (const char *path, GError **error)
{
  g_autofree char *text = NULL;
  gsize length;
  g_autoptr (GKeyFile) key_file = g_key_file_new ();
  Source *source;

  if (!g_file_get_contents (path, &text, &length, error)) /* names the file itself */
    return NULL;
  if (!g_utf8_validate_len (text, length, NULL))
    {
      g_set_error (error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_UNKNOWN_ENCODING,
                   "%s: is not valid UTF-8", path);
      return NULL;
    }
  /* With translations kept, "Uri[de]" is seen, and refused as an unknown key. */
  if (!g_key_file_load_from_data (key_file, text, length, G_KEY_FILE_KEEP_TRANSLATIONS, error))
    {
      g_prefix_error (error, "%s: ", path);
      return NULL;
    }
  source = g_new0 (Source, 1);
  source->path = g_strdup (path);
  source->key_file = g_steal_pointer (&key_file);
  return source;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

static gboolean
load_drop_ins (Loader *loader, const char *file, GError **error)
{
  g_autofree char *folder = g_strconcat (file, ".d", NULL);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) local_error = NULL;
  g_autoptr (GDir) dir = g_dir_open (folder, 0, &local_error);
  const char *name;

  if (dir == NULL)
    {
      if (g_error_matches (local_error, G_FILE_ERROR, G_FILE_ERROR_NOENT))
        return TRUE;
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  while ((name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_suffix (name, ".conf") && name[0] != '.') /* hidden: an editor's */
      g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, compare_names);

  for (guint i = 0; i < names->len; i++)
    {
      g_autofree char *path = g_build_filename (folder, names->pdata[i], NULL);
      Source *source = source_read (path, error);

      if (source == NULL)
        return FALSE;
      g_ptr_array_add (loader->sources, source);
    }
  return TRUE;
}

static gboolean
load_sources (Loader *loader, const char *file, gboolean required, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  Source *source = source_read (file, &local_error);

  if (source != NULL)
    {
      g_ptr_array_add (loader->sources, source);
    }
  else if (required || !g_error_matches (local_error, G_FILE_ERROR, G_FILE_ERROR_NOENT))
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  return load_drop_ins (loader, file, error);
}

/* Merging */

static gboolean
apply_key (Loader *loader, const Source *source, const char *group, const char *name,
           const char *section_id, gpointer out, GError **error)
{
  const VfConfigKey *key = vf_config_key_find (name);
  g_autofree char *text = NULL, *problem = NULL;

  if (key == NULL || (section_id != NULL && !vf_config_key_is_per_domain (key)))
    {
      g_set_error (error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_KEY_NOT_FOUND, "%s: [%s] %s: %s",
                   source->path, group, name,
                   key == NULL ? "there is no such key"
                               : "only [" VF_CONFIG_MAIN_SECTION "] can have this key");
      return FALSE;
    }
  /* As it stands: no value here needs the escapes of key files. */
  text = g_key_file_get_value (source->key_file, group, name, NULL);
  problem = vf_config_key_parse (key, g_strstrip (text), out);
  if (problem != NULL)
    {
      g_set_error (error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_INVALID_VALUE, "%s: [%s] %s: “%s” %s",
                   source->path, group, name, text, problem);
      return FALSE;
    }
  g_hash_table_insert (loader->origins,
                       g_strdup_printf ("%s\n%s", section_id != NULL ? section_id : "", name),
                       source->path);
  return TRUE;
}

/* section_id is NULL for [Freeze]. */
static gboolean
apply_group (Loader *loader, const Source *source, const char *group, const char *section_id,
             gpointer out, GError **error)
{
  g_auto (GStrv) names = g_key_file_get_keys (source->key_file, group, NULL, error);

  if (names == NULL)
    return FALSE;
  for (guint i = 0; names[i] != NULL; i++)
    if (!apply_key (loader, source, group, names[i], section_id, out, error))
      return FALSE;
  return TRUE;
}

static gboolean
apply_main_section (Loader *loader, GError **error)
{
  for (guint i = 0; i < loader->sources->len; i++)
    {
      const Source *source = loader->sources->pdata[i];

      if (g_key_file_has_group (source->key_file, VF_CONFIG_MAIN_SECTION)
          && !apply_group (loader, source, VF_CONFIG_MAIN_SECTION, NULL, &loader->config->values,
                           error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
apply_domain_section (Loader *loader, const Source *source, const char *group, GError **error)
{
  VfConfig *config = loader->config;
  g_autofree char *name = NULL, *id = NULL;
  DomainSection *section;

  if (g_str_has_prefix (group, DOMAIN_PREFIX))
    name = g_strstrip (g_strdup (group + strlen (DOMAIN_PREFIX)));
  if (name == NULL || *name == '\0')
    {
      g_set_error (error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_GROUP_NOT_FOUND,
                   "%s: [%s]: there is no such section (try [" VF_CONFIG_MAIN_SECTION
                   "] or [" DOMAIN_PREFIX "NAME-or-UUID])",
                   source->path, group);
      return FALSE;
    }
  id = domain_section_id (name);
  section = g_hash_table_lookup (config->domains, id);
  if (section == NULL)
    {
      section = g_new0 (DomainSection, 1);
      section->title = g_strdup (group);
      section->values = config->values.domain;
      g_hash_table_insert (config->domains, g_strdup (id), section);
    }
  return apply_group (loader, source, group, id, &section->values, error);
}

static gboolean
apply_domain_sections (Loader *loader, GError **error)
{
  for (guint i = 0; i < loader->sources->len; i++)
    {
      const Source *source = loader->sources->pdata[i];
      g_auto (GStrv) groups = g_key_file_get_groups (source->key_file, NULL);

      for (guint j = 0; groups[j] != NULL; j++)
        if (strcmp (groups[j], VF_CONFIG_MAIN_SECTION) != 0
            && !apply_domain_section (loader, source, groups[j], error))
          return FALSE;
    }
  return TRUE;
}

/* One key against the other, so only now that all files are merged. */
static gboolean
check_holds (Loader *loader, const char *section_id, const char *title,
             const VfDomainConfig *values, GError **error)
{
  static const char *const blamed[] = { "DefaultHold", "MaxHold" };
  g_autofree char *hold = vf_format_time (values->default_hold);
  g_autofree char *max = vf_format_time (values->max_hold);

  if (values->default_hold <= values->max_hold)
    return TRUE;
  for (gsize i = 0; i < G_N_ELEMENTS (blamed); i++)
    {
      g_autofree char *where = g_strdup_printf ("%s\n%s", section_id, blamed[i]);
      const char *path = g_hash_table_lookup (loader->origins, where);

      if (path != NULL)
        {
          g_set_error (error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_INVALID_VALUE,
                       "%s: [%s] %s: DefaultHold (%s) is longer than MaxHold (%s)", path, title,
                       blamed[i], hold, max);
          return FALSE;
        }
    }
  g_assert_not_reached (); /* what is inherited was checked before, and defaults are right */
}

static gboolean
check_all_holds (Loader *loader, GError **error)
{
  VfConfig *config = loader->config;
  GHashTableIter iter;
  gpointer id, value;

  if (!check_holds (loader, "", VF_CONFIG_MAIN_SECTION, &config->values.domain, error))
    return FALSE;
  g_hash_table_iter_init (&iter, config->domains);
  while (g_hash_table_iter_next (&iter, &id, &value))
    {
      const DomainSection *section = value;

      if (!check_holds (loader, id, section->title, &section->values, error))
        return FALSE;
    }
  return TRUE;
}

static VfConfig *
config_new (gboolean session)
{
  VfConfig *config = g_new0 (VfConfig, 1);

  g_atomic_ref_count_init (&config->refs);
  vf_config_values_init (&config->values, session);
  config->domains = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                           (GDestroyNotify) domain_section_free);
  return config;
}

VfConfig *
vf_config_load (const char *file, gboolean required, gboolean session, GError **error)
{
  g_autoptr (VfConfig) config = config_new (session);
  g_autoptr (GPtrArray) sources = g_ptr_array_new_with_free_func ((GDestroyNotify) source_free);
  g_autoptr (GHashTable) origins = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GError) local_error = NULL;
  g_autofree char *message = NULL;
  Loader loader = { config, sources, origins };

  if (file == NULL)
    return g_steal_pointer (&config);
  if (!load_sources (&loader, file, required, &local_error)
      || !apply_main_section (&loader, &local_error)
      || !apply_domain_sections (&loader, &local_error) || !check_all_holds (&loader, &local_error))
    {
      message = vf_text_escape (local_error->message); /* it cites the files */
      g_set_error_literal (error, local_error->domain, local_error->code, message);
      return NULL;
    }
  return g_steal_pointer (&config);
}

VfConfig *
vf_config_ref (VfConfig *config)
{
  g_atomic_ref_count_inc (&config->refs);
  return config;
}

void
vf_config_unref (VfConfig *config)
{
  if (!g_atomic_ref_count_dec (&config->refs))
    return;
  g_hash_table_unref (config->domains);
  vf_config_values_clear (&config->values);
  g_free (config);
}

/* Reading */

static const DomainSection *
find_section (VfConfig *config, const char *kind, const char *key)
{
  g_autofree char *id = g_strconcat (kind, key, NULL);

  return key != NULL ? g_hash_table_lookup (config->domains, id) : NULL;
}

const VfDomainConfig *
vf_config_for_domain (VfConfig *config, const char *name, const char *uuid)
{
  g_autofree char *digits = uuid != NULL ? normalize_uuid (uuid) : NULL;
  const DomainSection *section = find_section (config, "uuid ", digits);

  if (section == NULL)
    section = find_section (config, "name ", name);
  return section != NULL ? &section->values : &config->values.domain;
}

const char *
vf_config_get_uri (VfConfig *config)
{
  return config->values.uri;
}

gint64
vf_config_get_verify_interval (VfConfig *config)
{
  return config->values.verify_interval;
}

guint
vf_config_get_max_in_flight (VfConfig *config)
{
  return config->values.max_in_flight;
}

guint
vf_config_get_max_freezes (VfConfig *config)
{
  return config->values.max_freezes;
}

guint
vf_config_get_max_freezes_per_user (VfConfig *config)
{
  return config->values.max_freezes_per_user;
}

guint
vf_config_get_max_freezes_per_domain (VfConfig *config)
{
  return config->values.max_freezes_per_domain;
}

guint
vf_config_get_max_pending (VfConfig *config)
{
  return config->values.max_pending;
}
