/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "help.h"

/* Lines of 80 columns at most. The options that all commands have are in the general text. */
static const char general[]
    = "Usage: virt-freeze COMMAND [ARGUMENT...]\n"
      "\n"
      "Freezes and thaws the filesystems of running virtual machines, so that what is\n"
      "copied of their disks is consistent. What is frozen is thawed when the command\n"
      "is done, when the time is over, and when anything goes wrong.\n"
      "\n"
      "  list                        the domains, and which of them are frozen\n"
      "  status DOMAIN               its filesystems, and who holds them frozen\n"
      "  run DOMAIN -- COMMAND       hold DOMAIN frozen while COMMAND runs\n"
      "  freeze DOMAIN --hold TIME   freeze, and print a path to thaw it by\n"
      "  thaw PATH                   thaw what freeze has frozen\n"
      "  monitor                     tell what happens, until interrupted\n"
      "\n"
      "  virt-freeze COMMAND --help tells more of each.\n"
      "\n"
      "For all commands:\n"
      "  --session           guests of this user, by the session bus, not those of the\n"
      "                      system\n"
      "  --no-ask-password   do not ask for a password; fail where one is needed\n"
      "  --json              for scripts: of list, status, monitor and freeze\n"
      "  --scope SCOPE       of run and freeze: “disks” freezes the filesystems on the\n"
      "                      disks asked for alone, “domain” the whole guest, “auto”\n"
      "                      (default) what the guest's engine does best\n"
      "  --help, --version\n"
      "\n"
      "Exit code: 0 done, 1 failed, 2 wrong usage, 3 not authorized, 4 the freeze did\n"
      "not hold: discard what was copied. Otherwise run passes on that of its COMMAND.\n"
      "\n"
      "Example, a snapshot of a guest's disk on LVM:\n"
      "  virt-freeze run web --disk vda --hold 30s -- lvcreate -s -n snap vg/web\n";

static const char list[]
    = "Usage: virt-freeze list [--watch] [--json]\n"
      "\n"
      "Shows the domains: state, whether the guest agent is connected, disks, since\n"
      "when the guest is frozen, how many freezes hold it, and how long they still can.\n"
      "\n"
      "  --watch   go on, and show changes as they happen\n"
      "  --json    an array with an object for each domain; with --watch, one such line\n"
      "            for each change. Times are µs since 1970, spans µs.\n"
      "\n"
      "Examples:\n"
      "  virt-freeze list --watch\n"
      "  virt-freeze list --json | jq -r '.[] | select(.freeze_state != \"thawed\").name'\n";

static const char status[]
    = "Usage: virt-freeze status DOMAIN [--watch] [--json]\n"
      "\n"
      "Shows the filesystems of a domain (name or UUID) by disk, and the freezes that\n"
      "hold them: since when, for how long still, whose they are, and why. To see the\n"
      "filesystems needs authorization (org.virtfreeze1.inspect); the rest is shown\n"
      "without.\n"
      "\n"
      "  --watch   go on, and show changes as they happen\n"
      "  --json    an object; with --watch, one such line for each change\n"
      "\n"
      "Example:\n"
      "  virt-freeze status web\n";

static const char run[]
    = "Usage: virt-freeze run DOMAIN [--disk DISK]... [OPTION...] -- COMMAND [ARG...]\n"
      "       virt-freeze run --domain A [--disk DISK]... --domain B ... -- COMMAND\n"
      "\n"
      "Freezes the guest, runs COMMAND, and thaws the guest, however COMMAND ends and\n"
      "even if virt-freeze is killed. Several domains are frozen as one group: all, or\n"
      "none.\n"
      "\n"
      "  --domain DOMAIN   a domain, by name or UUID; may be repeated\n"
      "  --disk DISK       a target (vda) or the path of an image of the domain named\n"
      "                    before it; may be repeated. Default: all disks\n"
      "  --hold TIME       thaw at the latest after TIME, such as 30s or 5min, even if\n"
      "                    COMMAND still runs; default: what the service is set to\n"
      "  --reason TEXT     shown to everybody who looks at the freeze\n"
      "  --scope SCOPE     auto, disks or domain; see virt-freeze --help\n"
      "\n"
      "COMMAND has virt-freeze's standard input and output. SIGINT, SIGTERM, SIGHUP,\n"
      "SIGQUIT, SIGUSR1 and SIGUSR2 are passed on to it.\n"
      "\n"
      "Exit code: COMMAND's own (128+N where signal N ended it; 127 not found, 126\n"
      "cannot be executed: then nothing is frozen), but 4 if the freeze did not hold to\n"
      "the end, which is told at once, too; 1 if it could not be made, 3 if that is not\n"
      "allowed.\n"
      "\n"
      "Examples:\n"
      "  virt-freeze run web -- lvcreate -s -n web-snap vg/web\n"
      "  virt-freeze run web --disk vda --hold 20s --reason backup -- ./snapshot.sh\n"
      "  virt-freeze run --domain db --disk vdb --domain web -- zfs snapshot -r tank@x\n";

static const char freeze[]
    = "Usage: virt-freeze freeze DOMAIN [--disk DISK]... --hold TIME [OPTION...]\n"
      "\n"
      "Freezes the guest and prints the path of the freeze. It holds until virt-freeze\n"
      "thaw, or until TIME is over. Rather use virt-freeze run where you can: it thaws\n"
      "as soon as your command has ended, however it ends.\n"
      "\n"
      "  --hold TIME       thaw at the latest after TIME, such as 30s or 5min\n"
      "  --disk DISK       a target (vda) or the path of an image; may be repeated.\n"
      "                    Default: all disks\n"
      "  --domain DOMAIN   further domains, frozen with it as one group; see run\n"
      "  --reason TEXT     shown to everybody who looks at the freeze\n"
      "  --scope SCOPE     auto, disks or domain; see virt-freeze --help\n"
      "  --json            an array with an object for each freeze\n"
      "\n"
      "Example:\n"
      "  FREEZE=$(virt-freeze freeze web --hold 30s) || exit\n"
      "  trap 'virt-freeze thaw \"$FREEZE\" || echo \"discard that copy\"' EXIT\n";

static const char thaw[]
    = "Usage: virt-freeze thaw PATH... | --domain DOMAIN... | --all | --force DOMAIN\n"
      "\n"
      "Ends freezes. Those that the same user has made by virt-freeze freeze (leases)\n"
      "end without authorization. All others, also what another program of the same\n"
      "user holds, need org.virtfreeze1.thaw-others, and are then lost to their owners.\n"
      "\n"
      "  PATH              a path that virt-freeze freeze has printed, or its number as\n"
      "                    virt-freeze status shows it\n"
      "  --domain DOMAIN   every freeze of a domain, own ones first\n"
      "  --all             every freeze of every domain, own ones first\n"
      "  --force DOMAIN    the emergency brake: thaws the guest whoever froze it, even\n"
      "                    if it was not the virtfreeze service\n"
      "\n"
      "Exit code 0 says that the guest was frozen from the first to the last moment; 4,\n"
      "that it was not: discard what was copied.\n"
      "\n"
      "Examples:\n"
      "  virt-freeze thaw \"$FREEZE\"\n"
      "  virt-freeze thaw --domain web\n";

static const char monitor[]
    = "Usage: virt-freeze monitor [--json]\n"
      "\n"
      "Prints a line for each freeze that is held now, and then for each thing that\n"
      "happens: freezes that are made, renewed, lost and released, changes of domains,\n"
      "of the service, and of its connection to libvirt, until it is interrupted.\n"
      "\n"
      "  --json   an object on each line: time (µs since 1970), event, what, and of\n"
      "           what it is about domain, domain_path, path\n"
      "\n"
      "Example:\n"
      "  virt-freeze monitor --json | jq -r 'select(.event == \"lost\").domain'\n";

const char *
help_text (Command command)
{
  static const char *const texts[N_COMMANDS + 1] = {
    [COMMAND_LIST] = list,        [COMMAND_STATUS] = status, [COMMAND_RUN] = run,
    [COMMAND_FREEZE] = freeze,    [COMMAND_THAW] = thaw,     [COMMAND_MONITOR] = monitor,
    [COMMAND_COMPLETE] = general, [N_COMMANDS] = general,
  };

  return texts[command];
}
