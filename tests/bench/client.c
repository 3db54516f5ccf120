/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The measuring caller: does what it reads from standard input, and prints how long each step took
 * (µs), then “end” or “error …”. sd-bus, since it costs the least between the clock and the bus.
 *
 *   freeze PATH N     N pairs of Freeze and Thaw of org.virtfreeze1 on a domain
 *   dbus PATH N       N pairs of FSFreeze and FSThaw of libvirt-dbus
 *   ping N            pairs of empty calls to the service, which its main loop does not see
 *   version N         pairs of reads of a property, which it does
 *   check N ID        calls of CheckAuthorization as the service makes them; ID: the domain's
 *   floor N ID        both: an empty call, a check, an empty call
 *   objects N         GetManagedObjects
 *   hold PATH N       N leases that stay, or with “-” in front of PATH one freeze of this caller
 *   thaw PATH         ends one
 *
 * Arguments: address of the bus, uid of the caller, uid of the service (who asks polkit).
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <time.h>
#include <unistd.h>

#define NAME "org.virtfreeze1"
#define DOMAIN NAME ".Domain"
#define FREEZE NAME ".Freeze"
#define LIBVIRT "org.libvirt"
#define LIBVIRT_DOMAIN LIBVIRT ".Domain"
#define LONGEST (120ULL * 1000 * 1000)

typedef struct {
  sd_bus *bus;     /* the caller's */
  sd_bus *service; /* of the service's user, for checks */
} Client;

static double
now (void)
{
  struct timespec t;

  clock_gettime (CLOCK_MONOTONIC, &t);
  return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

/* The bus sees the user who connects. */
static sd_bus *
connect_as (const char *address, uid_t uid)
{
  sd_bus *bus = NULL;

  if (geteuid () != uid && (seteuid (0) < 0 || seteuid (uid) < 0))
    exit (3);
  if (sd_bus_new (&bus) < 0 || sd_bus_set_address (bus, address) < 0
      || sd_bus_set_bus_client (bus, 1) < 0 || sd_bus_start (bus) < 0)
    exit (3);
  sd_bus_set_method_call_timeout (bus, LONGEST);
  /* Returns when the bus has given a name. */
  if (sd_bus_get_unique_name (bus, &(const char *){ NULL }) < 0)
    exit (3);
  return bus;
}

static int
failed (const sd_bus_error *error, int r)
{
  printf ("error %s: %s\n", error->name != NULL ? error->name : strerror (-r),
          error->message != NULL ? error->message : "");
  return r < 0 ? r : -1;
}

static sd_bus_message *
new_call (sd_bus *bus, const char *name, const char *path, const char *interface,
          const char *method)
{
  sd_bus_message *message = NULL;

  if (sd_bus_message_new_method_call (bus, &message, name, path, interface, method) < 0)
    exit (3);
  return message;
}

/* Takes message; the reply is for the caller to free, or NULL and the error is printed. */
static sd_bus_message *
call (sd_bus *bus, sd_bus_message *message)
{
  sd_bus_message *reply = NULL;
  sd_bus_error error = SD_BUS_ERROR_NULL;
  int r = sd_bus_call (bus, message, 0, &error, &reply);

  sd_bus_message_unref (message);
  if (r < 0)
    failed (&error, r);
  sd_bus_error_free (&error);
  return reply;
}

static int
call_only (sd_bus *bus, sd_bus_message *message)
{
  sd_bus_message *reply = call (bus, message);

  sd_bus_message_unref (reply);
  return reply != NULL ? 0 : -1;
}

/* --- the steps -------------------------------------------------------------------------------- */

static int
pair (Client *client, const char *path)
{
  double start = now (), frozen;
  sd_bus_message *message = new_call (client->bus, NAME, path, DOMAIN, "Freeze"), *reply;
  const char *freeze;
  int r;

  sd_bus_message_append (message, "as", 0);
  reply = call (client->bus, message);
  frozen = now ();
  if (reply == NULL || sd_bus_message_read (reply, "o", &freeze) < 0)
    return -1;
  r = call_only (client->bus, new_call (client->bus, NAME, freeze, FREEZE, "Thaw"));
  sd_bus_message_unref (reply);
  if (r == 0)
    printf ("%.1f %.1f\n", frozen - start, now () - frozen);
  return r;
}

static int
pair_of_libvirt_dbus (Client *client, const char *path)
{
  static const char *const methods[] = { "FSFreeze", "FSThaw" };
  double times[3];

  times[0] = now ();
  for (int i = 0; i < 2; i++)
    {
      sd_bus_message *message = new_call (client->bus, LIBVIRT, path, LIBVIRT_DOMAIN, methods[i]);

      sd_bus_message_append (message, "asu", 0, 0);
      if (call_only (client->bus, message) < 0)
        return -1;
      times[i + 1] = now ();
    }
  printf ("%.1f %.1f\n", times[1] - times[0], times[2] - times[1]);
  return 0;
}

static int
empty_call (Client *client)
{
  return call_only (client->bus, new_call (client->bus, NAME, "/org/virtfreeze1",
                                           "org.freedesktop.DBus.Peer", "Ping"));
}

static int
property_call (Client *client)
{
  sd_bus_message *message
      = new_call (client->bus, NAME, "/org/virtfreeze1", "org.freedesktop.DBus.Properties", "Get");

  sd_bus_message_append (message, "ss", NAME ".Manager", "Version");
  return call_only (client->bus, message);
}

/* With the details of a freeze of everything by the test driver. */
static int
check (Client *client, const char *id)
{
  sd_bus_message *message = new_call (client->service, "org.freedesktop.PolicyKit1",
                                      "/org/freedesktop/PolicyKit1/Authority",
                                      "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization");
  const char *name;

  sd_bus_get_unique_name (client->bus, &name);
  sd_bus_message_append (message, "(sa{sv})sa{ss}us", "system-bus-name", 1, "name", "s", name,
                         "org.virtfreeze1.freeze", 8, "connect_driver", "TEST", "domain_name",
                         "bench", "domain_uuid", id, "disks", "*", "asked_disks", "", "scope",
                         "disks", "lifetime", "caller", "hold_seconds", "60", 0, "bench");
  return call_only (client->service, message);
}

static int
two (Client *client, int (*step) (Client *))
{
  double start = now (), middle;

  if (step (client) < 0)
    return -1;
  middle = now ();
  if (step (client) < 0)
    return -1;
  printf ("%.1f %.1f\n", middle - start, now () - middle);
  return 0;
}

static int
check_alone (Client *client, const char *id)
{
  double start = now ();

  if (check (client, id) < 0)
    return -1;
  printf ("%.1f 0\n", now () - start);
  return 0;
}

static int
floor_of_all (Client *client, const char *id)
{
  double start = now (), middle;

  if (empty_call (client) < 0 || check (client, id) < 0)
    return -1;
  middle = now ();
  if (empty_call (client) < 0)
    return -1;
  printf ("%.1f %.1f\n", middle - start, now () - middle);
  return 0;
}

static int
managed_objects (Client *client)
{
  double start = now ();

  if (call_only (client->bus, new_call (client->bus, NAME, "/org/virtfreeze1",
                                        "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"))
      < 0)
    return -1;
  printf ("%.1f 0\n", now () - start);
  return 0;
}

/* Prints its path. */
static int
hold (Client *client, const char *path, int lease)
{
  sd_bus_message *message = new_call (client->bus, NAME, path, DOMAIN, "FreezeWithOptions");
  sd_bus_message *reply;
  const char *freeze = NULL;

  sd_bus_message_append (message, "asa{sv}", 0, 2, "lifetime", "s", lease ? "lease" : "caller",
                         "hold", "t", (uint64_t) 600 * 1000000);
  reply = call (client->bus, message);
  if (reply != NULL && sd_bus_message_read (reply, "o", &freeze) >= 0)
    printf ("%s\n", freeze);
  sd_bus_message_unref (reply);
  return freeze != NULL ? 0 : -1;
}

/* --- commands --------------------------------------------------------------------------------- */

static int
run (Client *client, const char *what, const char *word, const char *more)
{
  int r = 0;

  if (strcmp (what, "thaw") == 0)
    return call_only (client->bus, new_call (client->bus, NAME, word, FREEZE, "Thaw"));
  if (strcmp (what, "freeze") == 0 || strcmp (what, "dbus") == 0 || strcmp (what, "hold") == 0)
    {
      int n = atoi (more), lease = word[0] != '-';

      for (int i = 0; i < n && r >= 0; i++)
        r = *what == 'h'   ? hold (client, word + !lease, lease)
            : *what == 'f' ? pair (client, word)
                           : pair_of_libvirt_dbus (client, word);
      return r;
    }
  for (int i = 0; i < atoi (word) && r >= 0; i++)
    r = strcmp (what, "ping") == 0      ? two (client, empty_call)
        : strcmp (what, "version") == 0 ? two (client, property_call)
        : strcmp (what, "check") == 0   ? check_alone (client, more)
        : strcmp (what, "objects") == 0 ? managed_objects (client)
                                        : floor_of_all (client, more);
  return r;
}

int
main (int argc, char **argv)
{
  Client client;
  char line[1024], what[32], word[512], more[256];

  if (argc != 4)
    return 2;
  client.service = connect_as (argv[1], (uid_t) atoi (argv[3]));
  client.bus = connect_as (argv[1], (uid_t) atoi (argv[2]));
  printf ("ready\n");
  fflush (stdout);
  while (fgets (line, sizeof line, stdin) != NULL)
    {
      int n = sscanf (line, "%31s %511s %255s", what, word, more);

      if (n < 2)
        return 2;
      if (n < 3)
        more[0] = '\0';
      if (run (&client, what, word, more) >= 0)
        printf ("end\n");
      fflush (stdout);
    }
  return 0;
}
