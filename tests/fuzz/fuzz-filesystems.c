/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a guest's agent says of its filesystems, as libvirt passes it on: from virDomainGetFSInfo
 * through the ledger to the bus and to the journal. This file is libvirt.
 *
 * One filesystem a line: DEVICE|MOUNTPOINT|TYPE|DISK,DISK; without the second bar no type is told.
 * A first line “!CODE TEXT” is an error of libvirt instead, with “@” that of looking the domain up,
 * with “~” one after which the connection is gone; “#” is another run of the guest.
 */
#include "fuzz.h"

#include "bus-private.h"
#include "error.h"
#include "guest-calls.h"
#include "journal-file.h"
#include "test-service.h"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>

#define UUID "00000000-0000-4000-8000-000000000001"

/* --- libvirt ---------------------------------------------------------------------------------- */

static struct {
  char kind; /* of the first line */
  char **lines;
  virError error;
} answer;

static virDomainFSInfoPtr
new_info (const char *line)
{
  virDomainFSInfoPtr info = calloc (1, sizeof *info);
  g_auto (GStrv) parts = g_strsplit (line, "|", 4);
  guint n = g_strv_length (parts);
  g_auto (GStrv) aliases = g_strsplit (n > 3 ? parts[3] : "", ",", -1);

  info->name = strdup (n > 0 ? parts[0] : "");
  info->mountpoint = strdup (n > 1 ? parts[1] : "");
  info->fstype = n > 2 ? strdup (parts[2]) : NULL;
  info->ndevAlias = g_strv_length (aliases);
  info->devAlias = calloc (info->ndevAlias + 1, sizeof *info->devAlias);
  for (size_t i = 0; i < info->ndevAlias; i++)
    info->devAlias[i] = strdup (aliases[i]);
  return info;
}

int
virDomainGetFSInfo (virDomainPtr domain G_GNUC_UNUSED, virDomainFSInfoPtr **infos,
                    unsigned int flags G_GNUC_UNUSED)
{
  int n = (int) g_strv_length (answer.lines);

  if (answer.error.code != VIR_ERR_OK)
    return -1;
  *infos = calloc ((size_t) n + 1, sizeof **infos);
  for (int i = 0; i < n; i++)
    (*infos)[i] = new_info (answer.lines[i]);
  return n;
}

void
virDomainFSInfoFree (virDomainFSInfoPtr info)
{
  free (info->mountpoint);
  free (info->name);
  free (info->fstype);
  for (size_t i = 0; i < info->ndevAlias; i++)
    free (info->devAlias[i]);
  free (info->devAlias);
  free (info);
}

virDomainPtr
virDomainLookupByUUIDString (virConnectPtr connection, const char *uuid G_GNUC_UNUSED)
{
  return answer.kind != '@' ? (virDomainPtr) connection : NULL;
}

int
virDomainFree (virDomainPtr domain G_GNUC_UNUSED)
{
  return 0;
}

unsigned int
virDomainGetID (virDomainPtr domain G_GNUC_UNUSED)
{
  return answer.kind != '#' ? 1 : 2;
}

int
virConnectIsAlive (virConnectPtr connection G_GNUC_UNUSED)
{
  return answer.kind != '~';
}

virErrorPtr
virGetLastError (void)
{
  return answer.error.code != VIR_ERR_OK ? &answer.error : NULL;
}

int
virGetLastErrorCode (void)
{
  return answer.error.code;
}

void
virResetLastError (void)
{
}

/* Not called: of calls of other kinds. */
int
virDomainAgentSetResponseTimeout (virDomainPtr domain G_GNUC_UNUSED, int timeout G_GNUC_UNUSED,
                                  unsigned int flags G_GNUC_UNUSED)
{
  g_assert_not_reached ();
}

int
virDomainGetTime (virDomainPtr domain G_GNUC_UNUSED, long long *seconds G_GNUC_UNUSED,
                  unsigned int *nanoseconds G_GNUC_UNUSED, unsigned int flags G_GNUC_UNUSED)
{
  g_assert_not_reached ();
}

int
virDomainFSFreeze (virDomainPtr domain G_GNUC_UNUSED, const char **mountpoints G_GNUC_UNUSED,
                   unsigned int n G_GNUC_UNUSED, unsigned int flags G_GNUC_UNUSED)
{
  g_assert_not_reached ();
}

int
virDomainFSThaw (virDomainPtr domain G_GNUC_UNUSED, const char **mountpoints G_GNUC_UNUSED,
                 unsigned int n G_GNUC_UNUSED, unsigned int flags G_GNUC_UNUSED)
{
  g_assert_not_reached ();
}

char *
virDomainQemuAgentCommand (virDomainPtr domain G_GNUC_UNUSED, const char *command G_GNUC_UNUSED,
                           int timeout G_GNUC_UNUSED, unsigned int flags G_GNUC_UNUSED)
{
  g_assert_not_reached ();
}

const char *
virDomainGetName (virDomainPtr domain G_GNUC_UNUSED)
{
  return "fuzz";
}

virConnectPtr
virDomainGetConnect (virDomainPtr domain G_GNUC_UNUSED)
{
  g_assert_not_reached ();
}

/* --- what becomes of it ----------------------------------------------------------------------- */

static void
check_map (GPtrArray *map)
{
  guint mountpoints = 0;

  for (guint i = 0; i < map->len; i++)
    {
      const VfFilesystem *fs = g_ptr_array_index (map, i);

      mountpoints += fs->mountpoints->len;
      g_assert_cmpuint (fs->mountpoints->len, >, 0);
      g_assert_cmpuint (strlen (fs->device), <=, VF_MAX_TEXT);
      for (guint k = 0; k < i; k++)
        g_assert_cmpstr (fs->device, !=, ((VfFilesystem *) g_ptr_array_index (map, k))->device);
    }
  g_assert_cmpuint (mountpoints, <=, VF_MAX_FILESYSTEMS);
}

/* As clients see it. */
static void
check_bus (GPtrArray *map)
{
  static Service *service;
  FakeHost *host;
  g_autoptr (GVariant) told = NULL;
  GVariantIter iter;
  const char *mountpoint, *device, *type;

  if (service == NULL)
    {
      host = fake_host_new (FAKE_AGENT);
      fake_guest_new (host, "fuzz", "vda", "vda1|/|ext4|vda");
      service = service_new (host, NULL, NULL, NULL);
      service_start (service, "bus", TRUE);
      fake_hypervisor_connect (service->hypervisor);
    }
  told = g_variant_ref_sink (bus_filesystems (
      service_domain (service, g_ptr_array_index (service->host->guests, 0))->lane, map, NULL));
  g_assert_true (g_variant_is_normal_form (told));
  g_variant_iter_init (&iter, told);
  while (g_variant_iter_next (&iter, "(&s&s&sas@a{sv})", &mountpoint, &device, &type, NULL, NULL))
    {
      fuzz_check_shown (mountpoint);
      fuzz_check_shown (device);
      fuzz_check_shown (type);
    }
}

/* What is written while it is frozen says the same when it is read. */
static void
check_journal (VfLedger *ledger, const VfPlan *plan)
{
  g_autoptr (VfRecord) record = vf_record_new ();
  g_autoptr (VfRecord) read = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  g_autofree char *again = NULL;

  record->uuid = g_strdup (UUID);
  record->number = 7;
  vf_ledger_save (ledger, plan, FALSE, &record->state);
  text = vf_record_to_text (record);
  read = vf_record_from_text (text, &error);
  g_assert_no_error (error);
  again = vf_record_to_text (read);
  g_assert_cmpstr (text, ==, again);
}

static void
freeze_and_thaw (GPtrArray *map, VfScope scope, const char *const *targets, VfAbilities abilities)
{
  static const char *const disks[] = { "vda", "vdb", NULL };
  g_autoptr (VfLedger) ledger = vf_ledger_new ();
  g_autoptr (VfPlan) plan = NULL;
  g_autoptr (VfThawPlan) thaw = NULL;
  g_autoptr (GError) error = NULL;

  vf_ledger_set_map (ledger, map, disks);
  plan = vf_ledger_plan (ledger, targets, scope, abilities, disks, &error);
  if (plan == NULL)
    {
      fuzz_check_error (error);
      return;
    }
  if (!vf_ledger_commit (ledger, 1, plan, plan->freeze->len, &error))
    {
      fuzz_check_error (error);
      return;
    }
  if (scope == VF_SCOPE_DISKS)
    check_journal (ledger, plan);
  g_assert_null (vf_ledger_plan_thaw (ledger, abilities));
  vf_ledger_release (ledger, 1);
  thaw = vf_ledger_plan_thaw (ledger, abilities);
  g_assert_nonnull (thaw);
  vf_ledger_thawed (ledger, thaw);
  g_assert_false (vf_ledger_in_period (ledger));
}

static gboolean
is_set (const char *uuid G_GNUC_UNUSED, int run G_GNUC_UNUSED, gpointer data G_GNUC_UNUSED)
{
  return TRUE;
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  static const char *const vda[] = { "vda", NULL };
  static const VfResponseTimes times = { .is_set = is_set };
  g_autofree char *text = fuzz_text (data, size);
  g_autoptr (VfCall) call = vf_call_new (VF_CALL_MAP, UUID, 1);

  fuzz_init ();
  answer.lines = g_strsplit (text, "\n", -1);
  answer.error = (virError){ 0 };
  answer.kind = *text;
  if (*text != '\0' && strchr ("!@~", *text) != NULL)
    {
      char *message;

      answer.error.code = (int) strtol (text + 1, &message, 10);
      answer.error.message = *message != '\0' ? message : NULL;
    }
  vf_guest_call ((virConnectPtr) &answer, call, &times);
  g_strfreev (answer.lines);
  if (call->error != NULL)
    {
      fuzz_check_shown (call->error->message);
      g_assert_true (call->error->domain == VF_ERROR);
    }
  else if (call->map != NULL)
    {
      check_map (call->map);
      check_bus (call->map);
      freeze_and_thaw (call->map, VF_SCOPE_DOMAIN, NULL, (VfAbilities){ 0 });
      freeze_and_thaw (call->map, VF_SCOPE_DISKS, vda, (VfAbilities){ TRUE, TRUE });
    }
  return 0;
}
