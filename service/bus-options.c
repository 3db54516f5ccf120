/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The disks and options of a freeze: read, checked, and told to polkit. */
#include "bus-private.h"

#include "error.h"

#include <string.h>

#define MAX_DISKS 1024
#define MAX_REASON 256

static gboolean invalid (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

static gboolean
invalid (GError **error, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  if (error != NULL)
    *error = g_error_new_valist (VF_ERROR, VF_ERROR_INVALID_ARGS, format, args);
  va_end (args);
  return FALSE;
}

static gboolean
read_disks (BusCall *call, GVariant *disks, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  GVariantIter iter;
  const char *name;

  g_variant_iter_init (&iter, disks);
  while (g_variant_iter_next (&iter, "&s", &name))
    {
      if (*name == '\0')
        return invalid (error, "The name of a disk is empty; leave the list empty to mean all");
      if (strlen (name) > VF_MAX_TEXT)
        return invalid (error, "The name of a disk is longer than %d bytes", VF_MAX_TEXT);
      if (!g_hash_table_add (seen, (gpointer) name))
        continue;
      if (names->len == MAX_DISKS)
        return invalid (error, "More than %d disks are named", MAX_DISKS);
      g_ptr_array_add (names, (gpointer) name);
    }
  g_ptr_array_add (names, NULL);
  call->names = g_strdupv ((char **) names->pdata);
  return TRUE;
}

gboolean
bus_check_hold (BusCall *call, guint64 hold, GError **error)
{
  gint64 max = call->domain->config->max_hold;

  if (hold == 0 || hold > (guint64) max)
    return invalid (error,
                    "A hold of %" G_GUINT64_FORMAT " µs is not possible: it can be from 1 µs to "
                    "MaxHold, %" G_GINT64_FORMAT " µs for this domain",
                    hold, max);
  call->hold = (gint64) hold;
  return TRUE;
}

static gboolean
read_hold (BusCall *call, GVariant *value, GError **error)
{
  return bus_check_hold (call, g_variant_get_uint64 (value), error);
}

static gboolean
read_lifetime (BusCall *call, GVariant *value, GError **error)
{
  const char *word = g_variant_get_string (value, NULL);

  call->lease = g_str_equal (word, "lease");
  if (!call->lease && !g_str_equal (word, "caller"))
    return invalid (error, "The lifetime is neither “caller” nor “lease”");
  return TRUE;
}

static gboolean
read_scope (BusCall *call, GVariant *value, GError **error)
{
  const char *word = g_variant_get_string (value, NULL);

  for (int scope = VF_SCOPE_AUTO; scope <= VF_SCOPE_DOMAIN; scope++)
    if (g_str_equal (word, vf_scope_word (scope)))
      {
        call->scope = scope;
        return TRUE;
      }
  return invalid (error, "The scope is none of “auto”, “disks” and “domain”");
}

static gboolean
read_reason (BusCall *call, GVariant *value, GError **error)
{
  const char *text = g_variant_get_string (value, NULL);

  if (strlen (text) > MAX_REASON)
    return invalid (error, "The reason is longer than %d bytes", MAX_REASON);
  for (const char *c = text; *c != '\0'; c = g_utf8_next_char (c))
    if (g_unichar_iscntrl (g_utf8_get_char (c)))
      return invalid (error, "The reason has control characters");
  g_free (call->reason);
  call->reason = g_strdup (text);
  return TRUE;
}

static const struct {
  const char *key;
  const char *type;
  gboolean (*read) (BusCall *, GVariant *, GError **);
} options_table[] = {
  { "hold", "t", read_hold },
  { "lifetime", "s", read_lifetime },
  { "scope", "s", read_scope },
  { "reason", "s", read_reason },
};

static gboolean
read_option (BusCall *call, const char *key, GVariant *value, GError **error)
{
  g_autofree char *shown = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (options_table); i++)
    {
      if (!g_str_equal (options_table[i].key, key))
        continue;
      if (!g_variant_is_of_type (value, G_VARIANT_TYPE (options_table[i].type)))
        return invalid (error, "The option “%s” is of type %s, it must be %s", key,
                        g_variant_get_type_string (value), options_table[i].type);
      return options_table[i].read (call, value, error);
    }
  shown = vf_text_shorten (key);
  return invalid (error, "There is no option “%s”; known are hold, lifetime, scope and reason",
                  shown);
}

gboolean
bus_read_freeze (BusCall *call, GVariant *disks, GVariant *options, GError **error)
{
  GVariantIter iter;
  const char *key;
  GVariant *value;

  call->scope = VF_SCOPE_AUTO;
  call->reason = g_strdup ("");
  call->hold = call->domain->config->default_hold;
  if (!read_disks (call, disks, error))
    return FALSE;
  if (options != NULL)
    {
      g_variant_iter_init (&iter, options);
      while (g_variant_iter_next (&iter, "{&sv}", &key, &value))
        {
          gboolean good = read_option (call, key, value, error);

          g_variant_unref (value);
          if (!good)
            return FALSE;
        }
    }
  call->scope = vf_domain_resolve_scope (call->domain, call->scope);
  return TRUE;
}

/* What is asked of polkit is what will be frozen: names are looked up once, before the check. */
void
bus_resolve_disks (BusCall *call)
{
  const char *unknown;

  g_strfreev (call->disks);
  call->disks = vf_domain_resolve_disks (call->domain, (const char *const *) call->names, &unknown);
  g_free (call->unknown);
  call->unknown = g_strdup (unknown);
}

static void
add (GPtrArray *details, const char *key, char *value)
{
  g_ptr_array_add (details, g_strdup (key));
  g_ptr_array_add (details, value);
}

void
bus_describe_freeze (BusCall *call, GPtrArray *details)
{
  gboolean all = call->scope == VF_SCOPE_DOMAIN || call->names[0] == NULL;
  g_autofree char *targets = g_strjoinv (" ", call->disks);

  /* A name that is not a disk now matches no rule about disks; such a request fails later. */
  add (details, "disks",
       all ? g_strdup ("*") : g_strconcat (targets, call->unknown != NULL ? " ?" : "", NULL));
  add (details, "asked_disks", g_strjoinv (" ", call->names));
  add (details, "scope", g_strdup (vf_scope_word (call->scope)));
  add (details, "lifetime", g_strdup (call->lease ? "lease" : "caller"));
  add (details, "hold_seconds",
       g_strdup_printf ("%" G_GINT64_FORMAT, (call->hold + G_USEC_PER_SEC - 1) / G_USEC_PER_SEC));
}
