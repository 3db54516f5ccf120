/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "freezes.h"

/* a{sv}; floating */
static GVariant *
freeze_options (const Options *options, const char *lifetime)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&builder, "{sv}", "lifetime", g_variant_new_string (lifetime));
  if (options->hold != 0)
    g_variant_builder_add (&builder, "{sv}", "hold", g_variant_new_uint64 (options->hold));
  if (options->scope != NULL)
    g_variant_builder_add (&builder, "{sv}", "scope", g_variant_new_string (options->scope));
  if (options->reason != NULL)
    g_variant_builder_add (&builder, "{sv}", "reason", g_variant_new_string (options->reason));
  return g_variant_builder_end (&builder);
}

static GVariant *
disks_of (const Request *request)
{
  return g_variant_new_strv ((const char *const *) request->disks->pdata,
                             (gssize) request->disks->len);
}

static GStrv
make_one (Connection *connection, VfcDomain *domain, const Request *request, GVariant *more,
          GError **error)
{
  g_autoptr (GVariant) reply
      = connection_call (connection, domain, "FreezeWithOptions",
                         g_variant_new ("(@as@a{sv})", disks_of (request), more), error);
  GStrv paths;

  if (reply == NULL)
    return NULL;
  paths = g_new0 (char *, 2);
  g_variant_get (reply, "(o)", &paths[0]);
  return paths;
}

static GStrv
make_group (Connection *connection, GPtrArray *domains, GVariant *more, GError **error)
{
  GPtrArray *requests = connection->options->requests;
  g_autoptr (GVariant) reply = NULL;
  GVariantBuilder builder;
  GStrv paths;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a(oas)"));
  for (guint i = 0; i < requests->len; i++)
    g_variant_builder_add (
        &builder, "(o@as)",
        g_dbus_proxy_get_object_path (G_DBUS_PROXY (g_ptr_array_index (domains, i))),
        disks_of (g_ptr_array_index (requests, i)));
  reply = connection_call (connection, connection->manager, "FreezeDomains",
                           g_variant_new ("(a(oas)@a{sv})", &builder, more), error);
  if (reply == NULL)
    return NULL;
  g_variant_get (reply, "(^ao)", &paths);
  return paths;
}

GStrv
freezes_make (Connection *connection, const char *lifetime, GError **error)
{
  const Options *options = connection->options;
  g_autoptr (GPtrArray) domains = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GVariant) more = g_variant_ref_sink (freeze_options (options, lifetime));

  for (guint i = 0; i < options->requests->len; i++)
    {
      const Request *request = g_ptr_array_index (options->requests, i);
      VfcDomain *domain = connection_get_domain (connection, request->domain, error);

      if (domain == NULL)
        return NULL;
      g_ptr_array_add (domains, domain);
    }
  if (domains->len == 1)
    return make_one (connection, g_ptr_array_index (domains, 0),
                     g_ptr_array_index (options->requests, 0), more, error);
  return make_group (connection, domains, more, error);
}
