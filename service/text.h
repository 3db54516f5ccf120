/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* text: what comes from a stranger, made fit to be shown. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define VF_MAX_TEXT 4096

/* A printable copy: the bytes of invalid UTF-8, of control characters and of characters that
 * redirect text become \xNN each (a backslash stays: Windows paths have them); cut at
 * VF_MAX_TEXT bytes, between characters. */
char *vf_text_escape (const char *text);

/* The same, and no longer than a name in a message should be. */
char *vf_text_shorten (const char *text);

G_END_DECLS
