/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvirt's API called directly. Arguments: URI, and the name of a domain. For each line of
 * standard input: “pairs N” prints what N freezes and thaws took (µs), “freeze”, “thaw” and “map”
 * (virDomainGetFSInfo) what one took; then “end” or “error …”.
 */
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double
now (void)
{
  struct timespec t;

  clock_gettime (CLOCK_MONOTONIC, &t);
  return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

static int
read_map (virDomainPtr domain)
{
  virDomainFSInfoPtr *infos = NULL;
  int n = virDomainGetFSInfo (domain, &infos, 0);

  for (int i = 0; i < n; i++)
    virDomainFSInfoFree (infos[i]);
  free (infos);
  return n;
}

static int
run (virDomainPtr domain, const char *what, int n)
{
  double start, middle;

  if (strcmp (what, "pairs") != 0)
    {
      start = now ();
      if ((*what == 'f'   ? virDomainFSFreeze (domain, NULL, 0, 0)
           : *what == 't' ? virDomainFSThaw (domain, NULL, 0, 0)
                          : read_map (domain))
          < 0)
        return -1;
      printf ("%.1f 0\n", now () - start);
      return 0;
    }
  for (int i = 0; i < n; i++)
    {
      start = now ();
      if (virDomainFSFreeze (domain, NULL, 0, 0) < 0)
        return -1;
      middle = now ();
      if (virDomainFSThaw (domain, NULL, 0, 0) < 0)
        return -1;
      printf ("%.1f %.1f\n", middle - start, now () - middle);
    }
  return 0;
}

int
main (int argc, char **argv)
{
  virConnectPtr connection = argc == 3 ? virConnectOpen (argv[1]) : NULL;
  virDomainPtr domain = connection != NULL ? virDomainLookupByName (connection, argv[2]) : NULL;
  char line[64], what[32];

  if (domain == NULL)
    return 1;
  printf ("ready\n");
  fflush (stdout);
  while (fgets (line, sizeof line, stdin) != NULL)
    {
      int n = 1;

      if (sscanf (line, "%31s %d", what, &n) < 1)
        return 2;
      if (run (domain, what, n) < 0)
        printf ("error %s\n", virGetLastErrorMessage ());
      else
        printf ("end\n");
      fflush (stdout);
    }
  virDomainFree (domain);
  virConnectClose (connection);
  return 0;
}
