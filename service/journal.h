/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * journal: what is held and what is owed, one small readable file a freeze.
 *
 * Written ahead of every call to a guest, so that after a crash the next instance knows which
 * guests may be frozen, for whom and until when. Each write replaces a whole file by rename; the
 * folder is on tmpfs, so there is no fsync: what a reboot of the host forgets, no guest survives.
 * A lock keeps a second instance away. Main thread only.
 *
 * Files: DOMAIN-UUID.NUMBER.freeze, a key file that ends with a checksum; "counter", the next
 * block of numbers; "lock"; "group.NUMBER", empty, as long as a group of freezes is not complete.
 * What cannot be read is renamed to *.damaged and kept for people.
 */
#pragma once

#include "freeze.h"

G_BEGIN_DECLS

typedef enum {
  VF_PHASE_FREEZING, /* sent, or about to be: to be undone */
  VF_PHASE_HELD,
  VF_PHASE_ENDED, /* over for its owner; something that it froze is still to be thawed */
  VF_PHASE_SAVED, /* the guest was saved to a file while frozen: to be thawed when it returns */
} VfPhase;

/* What a file tells. */
typedef struct {
  VfPhase phase;
  gboolean damaged; /* nothing but uuid and number (0: unknown) is known */
  guint64 number;
  guint64 group;      /* 0: none; see vf_journal_begin_group() */
  gboolean half_done; /* its group is not complete; not in the file */
  char *uri;          /* of the libvirt connection */
  char *uuid;
  char *name; /* of the domain, for people */
  int run;    /* libvirt's id of the guest's run */
  char *bus_id;
  char *owner;
  guint uid;
  gboolean lease;
  char *reason;
  char **disks;
  VfScope scope;
  VfEngine engine;
  gint64 created;    /* µs since the epoch */
  gint64 deadline;   /* boot time, µs */
  gint64 since;      /* boot time, µs: when the guest was frozen, by whatever freeze */
  gint64 since_real; /* the same in µs since the epoch */
  guint frozen;
  guint skipped;
  VfLedgerState state;
} VfRecord;

VfRecord *vf_record_new (void);
void vf_record_free (VfRecord *record);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VfRecord, vf_record_free)

typedef struct _VfJournal VfJournal;

/* Makes the folder where it is missing (mode 0700). Error: another instance has the lock, or the
 * folder cannot be used. */
VfJournal *vf_journal_open (const char *folder, GError **error);
void vf_journal_close (VfJournal *journal);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VfJournal, vf_journal_close)

/* A number that no freeze has had as long as the folder exists. 0: it cannot be recorded. */
guint64 vf_journal_next_number (VfJournal *journal);

gboolean vf_journal_write (VfJournal *journal, const VfRecord *record, GError **error);
void vf_journal_remove (VfJournal *journal, const char *uuid, guint64 number);

/*
 * All records, by number (VfRecord*, owned). Damaged ones among them are set aside once their
 * domain has a record of its own again, which this writes (with uri); those that name no domain
 * are set aside at once.
 */
GPtrArray *vf_journal_read (VfJournal *journal, const char *uri);

/*
 * Groups. Between these two, held records with this number are half done: after a crash none of
 * them is held. Ending a group is one step for all. Its number is one of vf_journal_next_number().
 */
gboolean vf_journal_begin_group (VfJournal *journal, guint64 group, GError **error);
gboolean vf_journal_end_group (VfJournal *journal, guint64 group, GError **error);
/* The group has failed: ended, unless (FALSE) some record that says “held” could not be changed. */
gboolean vf_journal_give_up_group (VfJournal *journal, guint64 group);
/* The same for all that there are. */
void vf_journal_give_up_groups (VfJournal *journal);

/* Whether it holds no records. */
gboolean vf_journal_is_empty (VfJournal *journal);

G_END_DECLS
