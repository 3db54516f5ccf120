/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* journal-file: the text of one record. Pure. */
#pragma once

#include "journal.h"

G_BEGIN_DECLS

char *vf_record_to_text (const VfRecord *record);

/* Errors say what is wrong with the text: cut short, changed, or of a later version. */
VfRecord *vf_record_from_text (const char *text, GError **error);

G_END_DECLS
