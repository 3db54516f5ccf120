<?xml version="1.0" encoding="UTF-8"?>
<!-- SPDX-License-Identifier: LGPL-2.1-or-later -->
<!-- Puts what gdbus-codegen makes of an interface, a page of its own, into a page as one section. -->
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
  <xsl:output method="xml" encoding="UTF-8"/>
  <xsl:param name="folder"/>

  <xsl:template match="@*|node()">
    <xsl:copy><xsl:apply-templates select="@*|node()"/></xsl:copy>
  </xsl:template>

  <xsl:template match="processing-instruction('interface')">
    <xsl:variable name="page"
      select="document(concat($folder, '/interface-', normalize-space(.), '.xml'))/refentry"/>
    <refsect1>
      <title><xsl:value-of select="$page/refnamediv/refname"/></title>
      <para><xsl:value-of select="$page/refnamediv/refpurpose"/>.</para>
      <xsl:apply-templates select="$page/refsect1[@role='desc']/para"/>
      <xsl:for-each select="$page/refsect1[@role='details']/refsect2">
        <refsect2>
          <title><xsl:value-of select="translate(title, '&quot;', '')"/></title>
          <xsl:apply-templates select="*[not(self::title) and not(self::indexterm)]"/>
        </refsect2>
      </xsl:for-each>
    </refsect1>
  </xsl:template>

  <!-- There is nothing to link to in a manual page. -->
  <xsl:template match="link"><xsl:apply-templates/></xsl:template>

  <!-- Arguments that nobody described. -->
  <xsl:template match="varlistentry[not(normalize-space(listitem))]"/>
  <xsl:template match="para[not(normalize-space(.)) and not(*)]"/>
</xsl:stylesheet>
