/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A caller's disks and options, up to the lane.
 *
 * A line “KEY=VALUE” is an option, its value GVariant text, else a string; another line is the
 * name of a disk. GDBus lets through valid UTF-8 alone, and so does this.
 */
#include "fuzz.h"

#include "bus-private.h"
#include "error.h"
#include "test-service.h"

#include <string.h>

static VfDomain *
get_domain (Service **service)
{
  static Service *made;

  if (made == NULL)
    {
      FakeHost *host = fake_host_new (FAKE_DRIVER);

      fake_guest_new (host, "fuzz", "vda vdb",
                      "vda1|/|ext4|vda vdb1|/b|xfs|vdb vda2|/efi|vfat|vda");
      made = service_new (host, NULL, NULL, NULL);
      service_start (made, "bus", TRUE);
      fake_hypervisor_connect (made->hypervisor);
      service_settle (made);
    }
  *service = made;
  return service_domain (made, g_ptr_array_index (made->host->guests, 0));
}

static GVariant *
read_value (const char *text)
{
  g_autoptr (GVariant) value = g_variant_parse (NULL, text, NULL, NULL, NULL);

  return value != NULL ? g_steal_pointer (&value)
                       : g_variant_ref_sink (g_variant_new_string (text));
}

static void
read_input (const char *text, GVariant **disks, GVariant **options)
{
  GVariantBuilder names, values;
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  g_variant_builder_init (&names, G_VARIANT_TYPE ("as"));
  g_variant_builder_init (&values, G_VARIANT_TYPE ("a{sv}"));
  for (guint i = 0; lines[i] != NULL; i++)
    {
      char *value = strchr (lines[i], '=');

      if (value == NULL)
        {
          g_variant_builder_add (&names, "s", lines[i]);
        }
      else
        {
          g_autoptr (GVariant) read = NULL;

          *value = '\0';
          read = read_value (value + 1);
          g_variant_builder_add (&values, "{sv}", lines[i], read);
        }
    }
  *disks = g_variant_ref_sink (g_variant_builder_end (&names));
  *options = g_variant_ref_sink (g_variant_builder_end (&values));
}

static void
check_call (const BusCall *call)
{
  guint n = g_strv_length (call->names);

  g_assert_cmpuint (n, <=, 1024);
  for (guint i = 0; i < n; i++)
    {
      g_assert_cmpstr (call->names[i], !=, "");
      g_assert_cmpuint (strlen (call->names[i]), <=, VF_MAX_TEXT);
      g_assert_false (g_strv_contains ((const char *const *) call->names + i + 1, call->names[i]));
    }
  g_assert_cmpint (call->hold, >, 0);
  g_assert_cmpint (call->hold, <=, call->domain->config->max_hold);
  g_assert_cmpint (call->scope, !=, VF_SCOPE_AUTO);
  g_assert_cmpuint (strlen (call->reason), <=, 256);
  fuzz_check_shown (call->reason);
}

static const char *
find (GPtrArray *details, const char *key)
{
  for (guint i = 0; i < details->len; i += 2)
    if (g_str_equal (g_ptr_array_index (details, i), key))
      return g_ptr_array_index (details, i + 1);
  g_assert_not_reached ();
}

/* What polkit is told is what is frozen. */
static void
check_details (BusCall *call)
{
  g_autoptr (GPtrArray) details = g_ptr_array_new_with_free_func (g_free);
  const char *disks;

  bus_resolve_disks (call);
  bus_describe_freeze (call, details);
  for (guint i = 0; i < details->len; i++)
    g_assert_true (g_utf8_validate (g_ptr_array_index (details, i), -1, NULL));
  disks = find (details, "disks");
  g_assert_true (g_str_equal (disks, "*")
                 == (call->scope == VF_SCOPE_DOMAIN || call->names[0] == NULL));
  g_assert_true (g_str_has_suffix (disks, "?") == (call->unknown != NULL && *disks != '*'));
  g_assert_cmpstr (find (details, "lifetime"), ==, call->lease ? "lease" : "caller");
}

static void
on_frozen (VfRequest *request G_GNUC_UNUSED, VfFreeze *freeze, const GError *error, gpointer data)
{
  VfFreeze **out = data;

  if (freeze == NULL)
    fuzz_check_error (error);
  else
    *out = vf_freeze_ref (freeze);
}

static void
on_thawed (const GError *error, gpointer data)
{
  g_assert_no_error (error);
  *(gboolean *) data = TRUE;
}

static void
freeze (Service *service, BusCall *call)
{
  g_autoptr (VfFreeze) frozen = NULL;
  VfRequest *request = vf_request_new ();
  VfLane *lane = call->domain->lane;
  gboolean thawed = FALSE;

  request->owner = g_strdup (":1.1");
  request->deadline = vf_clock_now () + G_USEC_PER_SEC;
  request->done = on_frozen;
  request->data = &frozen;
  request->disks = g_strdupv (call->disks);
  request->scope = call->scope;
  request->hold = call->hold;
  request->lease = call->lease;
  request->reason = g_strdup (call->reason);
  vf_lane_request (lane, request);
  service_settle (service);
  if (frozen == NULL)
    return;
  g_assert_cmpint (frozen->deadline, ==, vf_clock_now () + call->hold);
  g_assert_cmpstr (frozen->reason, ==, call->reason);
  vf_lane_thaw (lane, frozen, TRUE, vf_clock_now () + G_USEC_PER_SEC, on_thawed, &thawed);
  service_settle (service);
  g_assert_true (thawed);
  g_assert_cmpint (vf_lane_guest_state (lane), ==, VF_GUEST_THAWED);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autofree char *text = fuzz_text (data, size);
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  g_autoptr (GVariant) disks = NULL;
  g_autoptr (GVariant) options = NULL;
  g_autoptr (GError) error = NULL;
  Service *service;
  BusCall call = { 0 };

  fuzz_init ();
  call.domain = get_domain (&service);
  read_input (valid, &disks, &options);
  if (bus_read_freeze (&call, disks, options, &error))
    {
      check_call (&call);
      check_details (&call);
      if (call.unknown == NULL)
        freeze (service, &call);
    }
  else
    {
      fuzz_check_error (error);
      g_assert_error (error, VF_ERROR, VF_ERROR_INVALID_ARGS);
    }
  g_strfreev (call.names);
  g_strfreev (call.disks);
  g_free (call.unknown);
  g_free (call.reason);
  return 0;
}
