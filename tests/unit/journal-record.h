/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A record with all that is odd in it, for tests of the journal. */
#pragma once

#include "journal-file.h"

#define URI "fake:///system"
#define UUID "6695eb01-f6a4-8304-79aa-97f2502e193f"
#define OTHER_UUID "00000000-0000-4000-8000-000000000001"

/* Held, number 7; owned. */
VfRecord *make_record (void);
void assert_records (const VfRecord *a, const VfRecord *b);
void assert_strv (char **left, char **right);
/* The text of a record with other words, and a checksum that fits; owned. */
char *replace (const VfRecord *record, const char *old, const char *new);
