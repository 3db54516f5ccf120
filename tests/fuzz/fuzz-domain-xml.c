/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt's description of a domain, of which parts are what some administrator wrote. */
#include "fuzz.h"

#include "domain-xml.h"

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autofree char *xml = fuzz_text (data, size);
  g_autoptr (VfDomainInfo) info
      = vf_domain_info_new ("00000000-0000-4000-8000-000000000001", "fuzz");
  g_auto (GStrv) targets = NULL;

  fuzz_init ();
  if (!vf_domain_xml_read (xml, info))
    {
      g_assert_cmpuint (info->disks->len, ==, 0);
      return 0;
    }
  targets = vf_domain_info_targets (info);
  g_assert_cmpuint (g_strv_length (targets), ==, info->disks->len);
  for (guint i = 0; i < info->disks->len; i++)
    {
      const VfDisk *disk = g_ptr_array_index (info->disks, i);

      g_assert_cmpstr (disk->target, !=, "");
      g_assert_cmpstr (disk->source, !=, "");
      g_assert_true (g_utf8_validate (disk->target, -1, NULL));
    }
  return 0;
}
