// SPDX-License-Identifier: LGPL-2.1-or-later
//
// guest-writer MILLISECONDS NAME=FILE...
//
// One process per file appends a small record, waits until it is on disk, and only then says
// "writer NAME COUNT" on standard output. On a frozen filesystem the write blocks, so the lines
// stop; they go on with the next number after the thaw.
//
// A program of its own since a shell loop forks two processes a record: with several guests under
// emulation that alone would keep the host busy.

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void
write_forever (const char *name, const char *file, long period_ms)
{
  struct timespec period = { period_ms / 1000, period_ms % 1000 * 1000000 };
  int fd = open (file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  char line[128];

  for (unsigned long count = 1; fd >= 0; count++)
    {
      int length = snprintf (line, sizeof line, "writer %s %lu\n", name, count);

      if (write (fd, line, length) != length || fdatasync (fd) != 0)
        break;
      // One write, so that the lines of the processes do not mix.
      if (write (STDOUT_FILENO, line, length) != length)
        break;
      nanosleep (&period, NULL);
    }
  dprintf (STDOUT_FILENO, "writer %s failed: %s\n", name, strerror (errno));
}

int
main (int argc, char **argv)
{
  for (int i = 2; i < argc; i++)
    {
      char *file = strchr (argv[i], '=');

      if (file == NULL)
        return 2;
      *file++ = '\0';
      if (fork () == 0)
        {
          write_forever (argv[i], file, atol (argv[1]));
          _exit (1);
        }
    }
  return 0;
}
