/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* virt-freeze, the command. */
#include "commands.h"
#include "help.h"

#include <locale.h>

static ExitCode
print (const char *text)
{
  return output_write (text) ? EXIT_DONE : output_failed ();
}

int
main (int argc, char **argv)
{
  static ExitCode (*const commands[N_COMMANDS]) (const Options *)
      = { command_list, command_status,  command_run,     command_freeze,
          command_thaw, command_monitor, command_complete };
  g_auto (Options) options = { 0 };
  g_autoptr (GError) error = NULL;

  setlocale (LC_ALL, "");
  output_init ();
  if (!options_parse (&options, argc, argv, &error))
    {
      complain ("%s", error->message);
      return EXIT_USAGE;
    }
  if (options.version)
    return print ("virt-freeze " VF_VERSION "\n");
  if (options.help)
    return print (help_text (options.command));
  return commands[options.command](&options);
}
