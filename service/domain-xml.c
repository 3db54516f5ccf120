/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain-xml.h"

#include <libxml/parser.h>
#include <libxml/xpath.h>
#include <string.h>

typedef xmlChar XmlString;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlDoc, xmlFreeDoc)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlXPathContext, xmlXPathFreeContext)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlXPathObject, xmlXPathFreeObject)

static void
xml_string_free (XmlString *string)
{
  xmlFree (string);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (XmlString, xml_string_free)

/* The string value of path from node; "" where there is none. */
static char *
string_at (xmlXPathContext *context, xmlNode *node, const char *path)
{
  g_autoptr (xmlXPathObject) found = xmlXPathNodeEval (node, BAD_CAST path, context);
  g_autoptr (XmlString) text = found != NULL ? xmlXPathCastToString (found) : NULL;

  return g_strdup (text != NULL ? (const char *) text : "");
}

gboolean
vf_domain_xml_read (const char *xml, VfDomainInfo *info)
{
  g_autoptr (xmlDoc) doc
      = xmlReadMemory (xml, (int) strlen (xml), "domain.xml", NULL,
                       XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
  g_autoptr (xmlXPathContext) context = doc != NULL ? xmlXPathNewContext (doc) : NULL;
  g_autoptr (xmlXPathObject) disks = NULL;
  g_autofree char *agent = NULL;

  if (context == NULL)
    return FALSE;
  disks = xmlXPathEval (BAD_CAST "/domain/devices/disk", context);
  for (int i = 0; disks != NULL && disks->nodesetval != NULL && i < disks->nodesetval->nodeNr; i++)
    {
      xmlNode *disk = disks->nodesetval->nodeTab[i];
      g_autofree char *target = string_at (context, disk, "target/@dev");
      /* Of a volume the path is not in the XML, of a network disk the name is not a path; both can
       * be asked for by target. */
      g_autofree char *source = string_at (context, disk, "source/@file | source/@dev");

      if (*target != '\0')
        vf_domain_info_add_disk (info, target, *source != '\0' ? source : NULL);
    }
  agent
      = string_at (context, xmlDocGetRootElement (doc),
                   "devices/channel/target[@type='virtio'][@name='org.qemu.guest_agent.0']/@state");
  info->agent_connected = g_str_equal (agent, "connected");
  return TRUE;
}
