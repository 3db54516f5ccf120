/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "options.h"

#include "text.h"

#include <getopt.h>
#include <gio/gio.h>
#include <string.h>

#define BIT(command) (1u << (command))
#define ALL_COMMANDS (BIT (N_COMMANDS) - 1)
#define FREEZING (BIT (COMMAND_RUN) | BIT (COMMAND_FREEZE))
#define SHOWING (BIT (COMMAND_LIST) | BIT (COMMAND_STATUS))

static const char *const names[N_COMMANDS]
    = { "list", "status", "run", "freeze", "thaw", "monitor", "_complete" };

enum {
  HELP = 1,
  VERSION,
  SESSION,
  NO_ASK,
  JSON,
  SCOPE,
  WATCH,
  ALL,
  FORCE,
  HOLD,
  REASON,
  DOMAIN_,
  DISK
};

/* Which commands each option is for. The common ones are for all, whether or not they mean
 * something there, so that a script can give them always. */
static const struct {
  const char *name;
  int argument;
  int key;
  guint commands;
} table[] = {
  { "help", no_argument, HELP, ALL_COMMANDS },
  { "version", no_argument, VERSION, ALL_COMMANDS },
  { "session", no_argument, SESSION, ALL_COMMANDS },
  { "no-ask-password", no_argument, NO_ASK, ALL_COMMANDS },
  { "json", no_argument, JSON, ALL_COMMANDS },
  { "scope", required_argument, SCOPE, ALL_COMMANDS },
  { "watch", no_argument, WATCH, SHOWING },
  { "all", no_argument, ALL, BIT (COMMAND_THAW) },
  { "force", required_argument, FORCE, BIT (COMMAND_THAW) },
  { "hold", required_argument, HOLD, FREEZING },
  { "reason", required_argument, REASON, FREEZING },
  { "domain", required_argument, DOMAIN_, FREEZING | BIT (COMMAND_THAW) },
  { "disk", required_argument, DISK, FREEZING },
};

const char *
command_name (Command command)
{
  return names[command];
}

static gboolean wrong (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

static gboolean
wrong (GError **error, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  if (error != NULL)
    *error = g_error_new_valist (G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, format, args);
  va_end (args);
  return FALSE;
}

static void
request_free (gpointer data)
{
  Request *request = data;
  g_ptr_array_unref (request->disks);
  g_free (request);
}

void
options_clear (Options *options)
{
  g_clear_pointer (&options->requests, g_ptr_array_unref);
}

static Request *
add_request (Options *options, const char *domain)
{
  Request *request = g_new (Request, 1);

  *request = (Request){ domain, g_ptr_array_new () };
  g_ptr_array_add (options->requests, request);
  return request;
}

static gboolean
add_disk (Options *options, const char *disk, GError **error)
{
  Request *request;

  if (options->requests->len == 0)
    return wrong (error, "--disk %s: name the domain first", disk);
  request = g_ptr_array_index (options->requests, options->requests->len - 1);
  g_ptr_array_add (request->disks, (gpointer) disk);
  return TRUE;
}

static gboolean
set_scope (Options *options, const char *word, GError **error)
{
  if (!g_str_equal (word, "auto") && !g_str_equal (word, "disks") && !g_str_equal (word, "domain"))
    return wrong (error, "--scope %s: it can be auto, disks or domain", word);
  options->scope = word;
  return TRUE;
}

static gboolean
set (Options *options, int key, const char *value, GError **error)
{
  switch (key)
    {
    case HELP:
      options->help = TRUE;
      break;
    case VERSION:
      options->version = TRUE;
      break;
    case SESSION:
      options->session = TRUE;
      break;
    case NO_ASK:
      options->no_ask_password = TRUE;
      break;
    case JSON:
      options->json = TRUE;
      break;
    case SCOPE:
      return set_scope (options, value, error);
    case WATCH:
      options->watch = TRUE;
      break;
    case ALL:
      options->all = TRUE;
      break;
    case FORCE:
      options->force = TRUE;
      add_request (options, value);
      break;
    case HOLD:
      return text_parse_span (value, &options->hold)
             || wrong (error, "--hold %s: it is a time such as 30s, 5min or “1min 30s”", value);
    case REASON:
      options->reason = value;
      break;
    case DOMAIN_:
      add_request (options, value);
      break;
    case DISK:
      return add_disk (options, value, error);
    default:
      g_assert_not_reached ();
    }
  return TRUE;
}

/* Options up to the first word that is none, or "--". TRUE for dashes: it was "--". */
static gboolean
parse_some (Options *options, int argc, char **argv, guint commands, gboolean *dashes,
            GError **error)
{
  struct option known[G_N_ELEMENTS (table) + 1] = { 0 };
  int count = 0, before, key, index;

  for (gsize i = 0; i < G_N_ELEMENTS (table); i++)
    if (table[i].commands & commands)
      known[count++] = (struct option){ table[i].name, table[i].argument, NULL, table[i].key };
  opterr = 0;
  while (before = optind, (key = getopt_long (argc, argv, "+:h", known, &index)) != -1)
    {
      if (key == ':')
        return wrong (error, "%s needs a value", argv[optind - 1]);
      if (key == '?')
        return wrong (error, "%s is not an option here", argv[optind - 1]);
      if (!set (options, key == 'h' ? HELP : key, optarg, error))
        return FALSE;
    }
  *dashes = optind > before;
  return TRUE;
}

static gboolean
find_command (Options *options, const char *word, GError **error)
{
  for (int command = 0; command < N_COMMANDS; command++)
    if (g_str_equal (names[command], word))
      {
        options->command = command;
        return TRUE;
      }
  return wrong (error, "There is no command “%s”; see virt-freeze --help", word);
}

/* Of run: DOMAIN, unless --domain has named some, then COMMAND and what belongs to it. */
static gboolean
takes_a_domain (const Options *options)
{
  return options->requests->len == 0
         && (BIT (options->command) & (FREEZING | BIT (COMMAND_STATUS)));
}

/* Everything after the command. What follows COMMAND is left alone, options or not. */
static gboolean
parse_words (Options *options, int argc, char **argv, GError **error)
{
  guint commands = BIT (options->command);
  g_autoptr (GPtrArray) words = g_ptr_array_new ();
  gboolean dashes = FALSE;

  while (TRUE)
    {
      if (!dashes && !parse_some (options, argc, argv, commands, &dashes, error))
        return FALSE;
      if (options->help || optind >= argc)
        break;
      if (takes_a_domain (options))
        {
          add_request (options, argv[optind++]);
          /* "run -- -name -- COMMAND": the first "--" was for the name */
          if (dashes && optind < argc && g_str_equal (argv[optind], "--"))
            {
              optind++;
              break;
            }
          if (dashes)
            break;
          continue;
        }
      if (options->command == COMMAND_RUN || dashes)
        break;
      g_ptr_array_add (words, argv[optind++]);
    }
  /* The words move to the end of those that were looked at. */
  optind -= (int) words->len;
  for (guint i = 0; i < words->len; i++)
    argv[optind + (int) i] = g_ptr_array_index (words, i);
  options->rest = argv + optind;
  return TRUE;
}

static gboolean
check_thaw (const Options *options, GError **error)
{
  gboolean domains = options->requests->len > 0;
  int ways = options->all + domains + (options->rest[0] != NULL);

  if (ways != 1)
    return wrong (error, "Say which freezes to thaw: either PATH..., --domain DOMAIN, --all or "
                         "--force DOMAIN");
  if (options->force && options->requests->len != 1)
    return wrong (error, "--force takes one domain, and no --domain");
  return TRUE;
}

static gboolean
check (const Options *options, GError **error)
{
  const char *name = names[options->command];

  if (options->command == COMMAND_THAW)
    return check_thaw (options, error);
  if (options->command == COMMAND_COMPLETE)
    return TRUE;
  if (options->requests->len == 0 && (BIT (options->command) & (FREEZING | BIT (COMMAND_STATUS))))
    return wrong (error, "Name a domain: virt-freeze %s DOMAIN", name);
  if (options->command == COMMAND_RUN)
    return options->rest[0] != NULL
           || wrong (error, "Name a command: virt-freeze run DOMAIN -- COMMAND");
  if (options->rest[0] != NULL)
    return wrong (error, "“%s” is one word too many for %s", options->rest[0], name);
  if (options->command == COMMAND_FREEZE && options->hold == 0)
    return wrong (error, "A freeze that outlives this command needs --hold, such as --hold 30s");
  return TRUE;
}

static gboolean
check_word (const char *word, GError **error)
{
  g_autofree char *shown = NULL;

  if (word == NULL || g_utf8_validate (word, -1, NULL))
    return TRUE;
  shown = text_escape (word);
  return wrong (error, "“%s” is not valid UTF-8", shown);
}

/* D-Bus knows nothing but UTF-8. What is for COMMAND may be anything. */
static gboolean
check_text (const Options *options, GError **error)
{
  for (guint i = 0; i < options->requests->len; i++)
    {
      const Request *request = g_ptr_array_index (options->requests, i);

      if (!check_word (request->domain, error))
        return FALSE;
      for (guint d = 0; d < request->disks->len; d++)
        if (!check_word (g_ptr_array_index (request->disks, d), error))
          return FALSE;
    }
  if (options->command != COMMAND_RUN)
    for (char **word = options->rest; *word != NULL; word++)
      if (!check_word (*word, error))
        return FALSE;
  return check_word (options->reason, error);
}

gboolean
options_parse (Options *options, int argc, char **argv, GError **error)
{
  gboolean dashes;

  *options = (Options){ .command = N_COMMANDS,
                        .requests = g_ptr_array_new_with_free_func (request_free) };
  /* Before the command there are the common options. */
  if (!parse_some (options, argc, argv, BIT (COMMAND_MONITOR), &dashes, error))
    return FALSE;
  options->rest = argv + optind;
  if (options->version || (options->help && optind >= argc))
    return TRUE;
  if (optind >= argc)
    return wrong (error, "Name a command: list, status, run, freeze, thaw or monitor; see "
                         "virt-freeze --help");
  if (!find_command (options, argv[optind++], error) || !parse_words (options, argc, argv, error))
    return FALSE;
  if (options->help || options->version)
    return TRUE;
  return check_text (options, error) && check (options, error);
}
