/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* domain-xml: what we need of libvirt's domain XML. Thread-safe. */
#pragma once

#include "hypervisor.h"

G_BEGIN_DECLS

/* Adds the disks, and whether the guest agent's channel is open in the guest. FALSE: not XML. */
gboolean vf_domain_xml_read (const char *xml, VfDomainInfo *info);

G_END_DECLS
