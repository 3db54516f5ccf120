/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest-calls.h"

#include "error.h"
#include "exec.h"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>

/* Numbers of libvirt 11.2, which the headers of older ones lack. */
#define AGENT_COMMAND_TIMEOUT 112
#define AGENT_COMMAND_FAILED 113

/* Longer than that, and somebody was waited for. */
#define NOTICEABLE G_USEC_PER_SEC

typedef virDomain LibvirtDomain;
static void
libvirt_domain_free (LibvirtDomain *domain)
{
  virDomainFree (domain);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LibvirtDomain, libvirt_domain_free)

/* --- errors ---------------------------------------------------------------------------------- */

/* prefix: what is known, in our words; text: in libvirt's */
static void
fail (VfCall *call, VfError code, const char *prefix, const char *text)
{
  g_autofree char *shown = vf_text_escape (text);

  call->error = g_error_new (VF_ERROR, (gint) code, "%s%s", prefix, shown);
}

/*
 * What an error of libvirt says about the guest. Error texts of agents differ between versions and
 * are not looked at; libvirt before 11.2 reports an agent's error as INTERNAL_ERROR, later as
 * AGENT_COMMAND_FAILED. Whatever is not known to have failed before the guest heard of it counts
 * as sent.
 */
void
vf_guest_call_classify (VfCall *call, virConnectPtr connection, gint64 took)
{
  /* Copied: every call to libvirt forgets it. */
  const virError *error = virGetLastError ();
  g_autofree char *text
      = g_strdup (error != NULL && error->message != NULL ? error->message : "no reason given");
  int code = error != NULL ? error->code : VIR_ERR_INTERNAL_ERROR;

  if (virConnectIsAlive (connection) == 0)
    {
      call->sent = TRUE;
      fail (call, VF_ERROR_DISCONNECTED, "the connection to libvirt broke: ", text);
      return;
    }
  switch (code)
    {
    case VIR_ERR_NO_DOMAIN:
    case VIR_ERR_OPERATION_INVALID: /* not running, or paused */
      fail (call, VF_ERROR_NOT_RUNNING, "", text);
      break;
    case VIR_ERR_ARGUMENT_UNSUPPORTED: /* mountpoints; or no agent configured */
      call->unsupported = TRUE;
      fail (call, VF_ERROR_AGENT_UNAVAILABLE, "", text);
      break;
    case VIR_ERR_NO_SUPPORT:
    case VIR_ERR_CONFIG_UNSUPPORTED:
    case VIR_ERR_OPERATION_UNSUPPORTED:
    case VIR_ERR_OPERATION_DENIED:
    case VIR_ERR_ACCESS_DENIED:
    case VIR_ERR_AUTH_FAILED:
      fail (call, VF_ERROR_AGENT_FAILED, "libvirt refuses: ", text);
      break;
    case VIR_ERR_AGENT_UNRESPONSIVE:
    case VIR_ERR_AGENT_UNSYNCED:
    case VIR_ERR_OPERATION_TIMEOUT:
    case AGENT_COMMAND_TIMEOUT:
      call->sent = TRUE;
      call->timed_out = took > NOTICEABLE;
      fail (call, VF_ERROR_AGENT_UNAVAILABLE, "the guest agent does not answer: ", text);
      break;
    case VIR_ERR_INTERNAL_ERROR:
    case AGENT_COMMAND_FAILED:
      call->sent = TRUE;
      call->answered = TRUE;
      fail (call, VF_ERROR_AGENT_FAILED, "the guest agent answered: ", text);
      break;
    default:
      call->sent = TRUE;
      /* libvirt passes on no more than 256 mountpoints: the agent did answer. */
      call->answered = call->kind == VF_CALL_MAP && code == VIR_ERR_RPC;
      fail (call, VF_ERROR_AGENT_FAILED, "libvirt failed: ", text);
    }
}

void
vf_guest_call_unconnected (VfCall *call)
{
  const virError *error = virGetLastError ();

  fail (call, VF_ERROR_DISCONNECTED, "libvirt cannot be reached: ",
        error != NULL && error->message != NULL ? error->message : "no reason given");
}

/* --- the calls -------------------------------------------------------------------------------- */

static gboolean
read_map (virDomainPtr domain, VfCall *call)
{
  virDomainFSInfoPtr *infos = NULL;
  int n = virDomainGetFSInfo (domain, &infos, 0);

  if (n < 0)
    return FALSE;
  call->map = vf_map_new ();
  for (int i = 0; i < n; i++)
    {
      g_autoptr (GPtrArray) targets = g_ptr_array_new ();

      for (size_t t = 0; t < infos[i]->ndevAlias; t++)
        g_ptr_array_add (targets, infos[i]->devAlias[t]);
      g_ptr_array_add (targets, NULL);
      if (call->map != NULL
          && !vf_map_add (call->map, infos[i]->name, infos[i]->mountpoint,
                          infos[i]->fstype != NULL ? infos[i]->fstype : "",
                          (const char *const *) targets->pdata))
        g_clear_pointer (&call->map, g_ptr_array_unref);
    }
  for (int i = 0; i < n; i++)
    virDomainFSInfoFree (infos[i]);
  free (infos);
  return TRUE;
}

static gboolean
make_call (virDomainPtr domain, VfCall *call)
{
  const char **mountpoints = (const char **) call->mountpoints;
  unsigned int n = call->mountpoints != NULL ? g_strv_length (call->mountpoints) : 0;
  long long seconds;
  unsigned int nanoseconds;
  int count = 0;

  switch (call->kind)
    {
    case VF_CALL_MAP:
      return read_map (domain, call);
    case VF_CALL_PROBE:
      return virDomainGetTime (domain, &seconds, &nanoseconds, 0) >= 0;
    case VF_CALL_FREEZE:
      count = virDomainFSFreeze (domain, mountpoints, n, 0);
      break;
    case VF_CALL_THAW:
      count = virDomainFSThaw (domain, mountpoints, n, 0);
      break;
    default: /* of engine exec */
      vf_exec_call (domain, call);
      return TRUE;
    }
  call->count = MAX (count, 0);
  return count >= 0;
}

/* Tried again at the next call, unless it will not get better. */
static void
response_time_refused (virDomainPtr domain, const VfCall *call, const VfResponseTimes *times)
{
  const virError *error = virGetLastError ();
  int code = error != NULL ? error->code : VIR_ERR_INTERNAL_ERROR;
  gboolean denied = code == VIR_ERR_ACCESS_DENIED || code == VIR_ERR_OPERATION_DENIED;

  if (denied)
    g_warning ("Domain “%s”: libvirt does not let this service set AgentTimeout (%s), so that "
               "calls to a hung guest agent may never end; allow it “write” in the rules of "
               "libvirt's access driver, or set a time-out for the agent in libvirt",
               virDomainGetName (domain), error->message);
  if (denied || code == VIR_ERR_NO_SUPPORT) /* the test driver has no agents */
    times->set (call->uuid, call->run, times->data);
}

/* Without that, libvirt waits for a hung agent for ever, and so would the thaw behind. */
static void
set_response_time (virDomainPtr domain, const VfCall *call, const VfResponseTimes *times)
{
  int seconds = (int) (call->agent_timeout / G_USEC_PER_SEC);

  if (seconds == 0 || times->is_set (call->uuid, call->run, times->data))
    return;
  if (virDomainAgentSetResponseTimeout (domain, seconds, 0) == 0)
    times->set (call->uuid, call->run, times->data);
  else
    response_time_refused (domain, call, times);
  virResetLastError ();
}

void
vf_guest_call (virConnectPtr connection, VfCall *call, const VfResponseTimes *times)
{
  gint64 start = g_get_monotonic_time ();
  g_autoptr (LibvirtDomain) domain = virDomainLookupByUUIDString (connection, call->uuid);

  if (domain == NULL)
    {
      vf_guest_call_classify (call, connection, 0);
      call->sent = call->answered = FALSE;
      return;
    }
  if ((int) virDomainGetID (domain) != call->run)
    {
      fail (call, VF_ERROR_NOT_RUNNING, "", "it was stopped meanwhile");
      return;
    }
  set_response_time (domain, call, times);
  if (!make_call (domain, call))
    vf_guest_call_classify (call, connection, g_get_monotonic_time () - start);
}
