/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config-keys.h"

#include <string.h>

#define USEC_PER_MSEC G_TIME_SPAN_MILLISECOND
#define USEC_PER_SEC G_TIME_SPAN_SECOND
#define USEC_PER_MIN G_TIME_SPAN_MINUTE
#define USEC_PER_HOUR G_TIME_SPAN_HOUR
#define USEC_PER_DAY G_TIME_SPAN_DAY

typedef struct {
  const char *name;
  gint64 usec;
} Unit;

/* From long to short; of several names for the same time, the first is the one to write. */
static const Unit units[] = {
  { "w", 7 * USEC_PER_DAY },
  { "week", 7 * USEC_PER_DAY },
  { "weeks", 7 * USEC_PER_DAY },
  { "d", USEC_PER_DAY },
  { "day", USEC_PER_DAY },
  { "days", USEC_PER_DAY },
  { "h", USEC_PER_HOUR },
  { "hr", USEC_PER_HOUR },
  { "hour", USEC_PER_HOUR },
  { "hours", USEC_PER_HOUR },
  { "min", USEC_PER_MIN },
  { "m", USEC_PER_MIN },
  { "minute", USEC_PER_MIN },
  { "minutes", USEC_PER_MIN },
  { "s", USEC_PER_SEC },
  { "sec", USEC_PER_SEC },
  { "second", USEC_PER_SEC },
  { "seconds", USEC_PER_SEC },
  { "ms", USEC_PER_MSEC },
  { "msec", USEC_PER_MSEC },
  { "us", 1 },
  { "usec", 1 },
  { "\u00b5s", 1 },
  { "\u03bcs", 1 },
};

static const Unit *
find_unit (const char *name, gsize length)
{
  for (gsize i = 0; i < G_N_ELEMENTS (units); i++)
    if (strlen (units[i].name) == length && memcmp (units[i].name, name, length) == 0)
      return &units[i];
  return NULL;
}

static const char *
skip_spaces (const char *text)
{
  while (*text == ' ' || *text == '\t')
    text++;
  return text;
}

/* Digits, then perhaps a fraction, whose digits start at *fraction (else NULL). Returns what
 * follows, NULL where this is no number. */
static const char *
scan_number (const char *text, const char **fraction)
{
  *fraction = NULL;
  if (!g_ascii_isdigit (*text))
    return NULL;
  while (g_ascii_isdigit (*text))
    text++;
  if (*text != '.')
    return text;
  *fraction = ++text;
  if (!g_ascii_isdigit (*text))
    return NULL;
  while (g_ascii_isdigit (*text))
    text++;
  return text;
}

/* What is finer than 1 µs is cut off. */
static gboolean
add_scaled (const char *digits, const char *fraction, gint64 unit, gint64 *total)
{
  gint64 sum = 0;

  for (; g_ascii_isdigit (*digits); digits++)
    if (__builtin_mul_overflow (sum, (gint64) 10, &sum)
        || __builtin_add_overflow (sum, (gint64) (*digits - '0'), &sum))
      return FALSE;
  if (__builtin_mul_overflow (sum, unit, &sum))
    return FALSE;
  for (; fraction != NULL && g_ascii_isdigit (*fraction); fraction++)
    {
      gint64 part = (*fraction - '0') * unit / 10;

      unit /= 10;
      if (__builtin_add_overflow (sum, part, &sum))
        return FALSE;
    }
  return !__builtin_add_overflow (*total, sum, total);
}

gboolean
vf_parse_time (const char *text, gint64 *usec)
{
  gint64 total = 0;
  const char *at = skip_spaces (text);
  gboolean first = TRUE;

  do
    {
      const char *digits = at, *fraction, *word;
      const Unit *unit;

      at = scan_number (digits, &fraction);
      if (at == NULL)
        return FALSE;
      at = word = skip_spaces (at);
      while (*at != '\0' && strchr (" \t.0123456789", *at) == NULL)
        at++;
      /* Only a number that stands alone is taken for seconds: "1 000" must not be 1 s. */
      unit = first && *word == '\0' ? find_unit ("s", 1) : find_unit (word, at - word);
      if (unit == NULL || !add_scaled (digits, fraction, unit->usec, &total))
        return FALSE;
      at = skip_spaces (at);
      first = FALSE;
    }
  while (*at != '\0');

  *usec = total;
  return TRUE;
}

char *
vf_format_time (gint64 usec)
{
  for (gsize i = 0; i < G_N_ELEMENTS (units); i++)
    if (usec != 0 && usec % units[i].usec == 0)
      return g_strdup_printf ("%" G_GINT64_FORMAT "%s", usec / units[i].usec, units[i].name);
  return g_strdup ("0");
}

/* Keys */

/* Stores the value of text at out, or returns what is wrong with it. */
typedef char *(*ParseFunc) (const VfConfigKey *key, const char *text, gpointer out);

struct _VfConfigKey {
  const char *name;
  ParseFunc parse;
  gsize offset;
  gboolean per_domain;
  gint64 min, max; /* of times and counts */
};

static char *
parse_time (const VfConfigKey *key, const char *text, gpointer out)
{
  gint64 usec;

  if (!vf_parse_time (text, &usec))
    return g_strdup ("is not a time (try 20s, 5min)");
  if (usec < key->min || usec > key->max)
    {
      g_autofree char *min = vf_format_time (key->min);
      g_autofree char *max = vf_format_time (key->max);

      return g_strdup_printf ("is not between %s and %s", min, max);
    }
  *(gint64 *) out = usec;
  return NULL;
}

/* libvirt takes this one in seconds; rounding would surprise. */
static char *
parse_seconds (const VfConfigKey *key, const char *text, gpointer out)
{
  gint64 usec = 0;
  char *problem = parse_time (key, text, &usec);

  if (problem != NULL)
    return problem;
  if (usec % USEC_PER_SEC != 0)
    return g_strdup ("is not a whole number of seconds");
  *(gint64 *) out = usec;
  return NULL;
}

static char *
parse_count (const VfConfigKey *key, const char *text, gpointer out)
{
  guint64 count;

  if (!g_ascii_string_to_unsigned (text, 10, key->min, key->max, &count, NULL))
    return g_strdup_printf ("is not a number from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT,
                            key->min, key->max);
  *(guint *) out = count;
  return NULL;
}

static char *
parse_boolean (const VfConfigKey *key G_GNUC_UNUSED, const char *text, gpointer out)
{
  static const char *const words[][2] = {
    { "no", "yes" }, { "false", "true" }, { "0", "1" }, { "off", "on" }, { "n", "y" }, { "f", "t" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    for (gboolean value = FALSE; value <= TRUE; value++)
      if (g_ascii_strcasecmp (text, words[i][value]) == 0)
        {
          *(gboolean *) out = value;
          return NULL;
        }
  return g_strdup ("is neither yes nor no");
}

static char *
parse_engine (const VfConfigKey *key G_GNUC_UNUSED, const char *text, gpointer out)
{
  if (strcmp (text, "agent") != 0 && strcmp (text, "exec") != 0)
    return g_strdup ("is not an engine (use agent or exec)");
  *(VfEngine *) out = strcmp (text, "exec") == 0 ? VF_ENGINE_EXEC : VF_ENGINE_AGENT;
  return NULL;
}

static char *
parse_scope (const VfConfigKey *key G_GNUC_UNUSED, const char *text, gpointer out)
{
  static const char *const words[]
      = { [VF_SCOPE_AUTO] = "auto", [VF_SCOPE_DISKS] = "disks", [VF_SCOPE_DOMAIN] = "domain" };

  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    if (strcmp (text, words[i]) == 0)
      {
        *(VfScope *) out = i;
        return NULL;
      }
  return g_strdup ("is not a scope (use auto, disks or domain)");
}

static char *
parse_uri (const VfConfigKey *key G_GNUC_UNUSED, const char *text, gpointer out)
{
  if (*text == '\0')
    return g_strdup ("is not a libvirt URI (try qemu:///system)");
  g_free (*(char **) out);
  *(char **) out = g_strdup (text);
  return NULL;
}

/* What bounds the service as a whole cannot be set for a domain. */
static const VfConfigKey keys[] = {
#define IN_DOMAIN(field) G_STRUCT_OFFSET (VfConfigValues, domain.field), TRUE
#define IN_MAIN(field) G_STRUCT_OFFSET (VfConfigValues, field), FALSE
  { "Uri", parse_uri, IN_MAIN (uri), 0, 0 },
  { "Engine", parse_engine, IN_DOMAIN (engine), 0, 0 },
  { "Scope", parse_scope, IN_DOMAIN (scope), 0, 0 },
  { "DefaultHold", parse_time, IN_DOMAIN (default_hold), 1, 24 * USEC_PER_HOUR },
  { "MaxHold", parse_time, IN_DOMAIN (max_hold), 1, 24 * USEC_PER_HOUR },
  { "FreezeTimeout", parse_time, IN_DOMAIN (freeze_timeout), 1, USEC_PER_HOUR },
  { "AgentTimeout", parse_seconds, IN_DOMAIN (agent_timeout), 0, USEC_PER_HOUR },
  { "VerifyInterval", parse_time, IN_MAIN (verify_interval), 100 * USEC_PER_MSEC,
    24 * USEC_PER_HOUR },
  { "FreezeGuard", parse_boolean, IN_DOMAIN (freeze_guard), 0, 0 },
  /* libvirtd has 20 workers unless told otherwise; one has to stay free. */
  { "MaxInFlight", parse_count, IN_MAIN (max_in_flight), 3, 19 },
  { "MaxFreezes", parse_count, IN_MAIN (max_freezes), 1, 1000000 },
  { "MaxFreezesPerUser", parse_count, IN_MAIN (max_freezes_per_user), 1, 1000000 },
  { "MaxFreezesPerDomain", parse_count, IN_MAIN (max_freezes_per_domain), 1, 1000000 },
  { "MaxPending", parse_count, IN_MAIN (max_pending), 1, 1000000 },
#undef IN_DOMAIN
#undef IN_MAIN
};

void
vf_config_values_init (VfConfigValues *values, gboolean session)
{
  *values = (VfConfigValues){
    .domain = {
      .engine = VF_ENGINE_AGENT,
      .scope = VF_SCOPE_AUTO,
      .default_hold = 1 * USEC_PER_MIN,
      .max_hold = 10 * USEC_PER_MIN,
      .freeze_timeout = 20 * USEC_PER_SEC,
      .agent_timeout = 15 * USEC_PER_SEC,
      .freeze_guard = TRUE,
    },
    .uri = g_strdup (session ? "qemu:///session" : "qemu:///system"),
    .verify_interval = 5 * USEC_PER_SEC,
    .max_in_flight = 14,
    .max_freezes = 1024,
    .max_freezes_per_user = 64,
    .max_freezes_per_domain = 16,
    .max_pending = 32,
  };
}

void
vf_config_values_clear (VfConfigValues *values)
{
  g_clear_pointer (&values->uri, g_free);
}

const VfConfigKey *
vf_config_key_find (const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    if (strcmp (keys[i].name, name) == 0)
      return &keys[i];
  return NULL;
}

gboolean
vf_config_key_is_per_domain (const VfConfigKey *key)
{
  return key->per_domain;
}

char *
vf_config_key_parse (const VfConfigKey *key, const char *text, gpointer values)
{
  return key->parse (key, text, (char *) values + key->offset);
}
