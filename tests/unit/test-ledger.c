/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ledger by cases. Each case is a script of operations; "-> " and what follows is the result
 * of the operation.
 *
 *   map [DEVICE|MOUNTPOINT|TYPE|DISK,DISK]...   the guest tells its filesystems
 *   no-map                                      the guest does not tell
 *   disks DISK...                               the domain's disks from now on (until told: those
 *                                               that the first map names)
 *   forget DISK
 *   plan SCOPE [DISK]...      "covers a b, freeze a", "covers a, freeze nothing",
 *                             "covers a b, freeze all" (one plain call), "whole, freeze all",
 *                             or the name of an error
 *   commit ID COUNT           of the last plan; "ok" or the name of an error
 *   freeze ID SCOPE [DISK]... plan, and commit with a count that says all; the state, or an error
 *   counts ID                 "1 frozen, 2 skipped"
 *   state                     "a2* b0": counts, and what is frozen; "idle" between periods
 *   release ID                the state
 *   thaw-plan                 "all, expected 2", "b, expected 1", "nothing"
 *   touches                   whether the last thaw plan touches the last plan
 *   thawed                    by the last thaw plan; the state
 *   thaw ID                   release, then thaw what can be thawed; the state
 *   clear
 */
#include "error.h"
#include "ledger.h"

#include <string.h>

/* What the engine can do besides; a case runs with each that it names. */
enum {
  NONE = 1 << 0,
  PART = 1 << 1,
  GROW = 1 << 2,
  BOTH = 1 << 3,
  ANY = NONE | PART | GROW | BOTH,
  CANNOT_GROW = NONE | PART,
  CAN_GROW = GROW | BOTH,
  CANNOT_THAW_PART = NONE | GROW,
  CAN_THAW_PART = PART | BOTH,
};

static const struct {
  const char *name;
  guint flag;
  VfAbilities abilities;
} engines[] = {
  { "all-or-nothing", NONE, { FALSE, FALSE } },
  { "thaw-part", PART, { FALSE, TRUE } },
  { "grow", GROW, { TRUE, FALSE } },
  { "grow+thaw-part", BOTH, { TRUE, TRUE } },
};

typedef struct {
  const char *name;
  guint engines;
  const char *steps[28];
} Case;

#define MAP_AB "map A|/a|ext4|vdx B|/b|ext4|vdy"
#define MAP_VFAT "map a|/|ext4|vda e|/efi|vfat|vda v|/v|vfat|vdb"
#define MAP_WINDOWS "map \\\\?\\Volume{1}\\|C:\\|NTFS|vda \\\\?\\Volume{2}\\|D:\\|NTFS|vdb"

static const Case cases[] = {
  /* The sequences of the contract, section 4. */
  { "interleaved/scope-disks", BOTH,
    { MAP_AB,
      "freeze 1 disks vdx -> A1* B0",
      "freeze 2 disks vdy -> A1* B1*",
      "thaw 1 -> A0 B1*",
      "thaw 2 -> A0 B0 idle" } },
  { "interleaved/scope-disks", GROW,
    { MAP_AB,
      "freeze 1 disks vdx -> A1* B0",
      "freeze 2 disks vdy -> A1* B1*",
      "thaw 1 -> A0* B1*",
      "thaw 2 -> A0 B0 idle" } },
  { "interleaved/scope-disks", CANNOT_GROW,
    { MAP_AB,
      "freeze 1 disks vdx -> A1* B0",
      "freeze 2 disks vdy -> Conflict",
      "state -> A1* B0",
      "thaw 1 -> A0 B0 idle",
      "freeze 2 disks vdy -> A0 B1*",
      "thaw 2 -> A0 B0 idle" } },
  { "interleaved/scope-domain", ANY,
    { MAP_AB,
      "freeze 1 domain vdx -> A1* B1*",
      "freeze 2 domain vdy -> A2* B2*",
      "thaw 1 -> A1* B1*",
      "thaw 2 -> A0 B0 idle" } },
  { "nested/scope-disks", BOTH,
    { MAP_AB,
      "freeze 3 disks vdx -> A1* B0",
      "freeze 4 disks vdy -> A1* B1*",
      "thaw 4 -> A1* B0",
      "thaw 3 -> A0 B0 idle" } },
  { "nested/scope-disks", GROW,
    { MAP_AB,
      "freeze 3 disks vdx -> A1* B0",
      "freeze 4 disks vdy -> A1* B1*",
      "thaw 4 -> A1* B0*",
      "thaw 3 -> A0 B0 idle" } },
  { "nested/scope-disks", CANNOT_GROW,
    { MAP_AB,
      "freeze 3 disks vdx -> A1* B0",
      "freeze 4 disks vdy -> Conflict",
      "thaw 4 -> A1* B0",
      "thaw 3 -> A0 B0 idle" } },
  { "nested/scope-domain", ANY,
    { MAP_AB,
      "freeze 3 domain vdx -> A1* B1*",
      "freeze 4 domain vdy -> A2* B2*",
      "thaw 4 -> A1* B1*",
      "thaw 3 -> A0 B0 idle" } },
  { "overlapping/scope-disks", CAN_THAW_PART,
    { MAP_AB,
      "freeze 5 disks vdx vdy -> A1* B1*",
      "freeze 6 disks vdx -> A2* B1*",
      "thaw 5 -> A1* B0",
      "thaw 6 -> A0 B0 idle" } },
  { "overlapping/scope-disks", CANNOT_THAW_PART,
    { MAP_AB,
      "freeze 5 disks vdx vdy -> A1* B1*",
      "freeze 6 disks vdx -> A2* B1*",
      "thaw 5 -> A1* B0*",
      "thaw 6 -> A0 B0 idle" } },
  { "overlapping/scope-domain", ANY,
    { MAP_AB,
      "freeze 5 domain vdx vdy -> A1* B1*",
      "freeze 6 domain vdx -> A2* B2*",
      "thaw 5 -> A1* B1*",
      "thaw 6 -> A0 B0 idle" } },
  { "overlapping/everything-first", CANNOT_THAW_PART,
    { MAP_AB,
      "freeze 5 disks -> A1* B1*",
      "freeze 6 disks vdx -> A2* B1*",
      "thaw 6 -> A1* B1*",
      "thaw 5 -> A0 B0 idle" } },

  /* What a request covers. */
  { "covers/one-disk", ANY,
    { MAP_AB, "plan disks vdx -> covers A, freeze A" } },
  { "covers/everything-in-one-plain-call", ANY,
    { MAP_AB, "plan disks -> covers A B, freeze all" } },
  { "covers/all-disks-by-name", ANY,
    { MAP_AB, "plan disks vdx vdy -> covers A B, freeze A B" } },
  { "covers/scope-domain-whatever-is-named", ANY,
    { MAP_AB,
      "plan domain vdx -> covers A B, freeze all",
      "plan domain -> covers A B, freeze all" } },
  { "covers/disk-named-twice", ANY,
    { MAP_AB,
      "plan disks vdx vdx -> covers A, freeze A",
      "commit 1 1 -> ok",
      "state -> A1* B0" } },
  { "covers/filesystem-over-two-disks", ANY,
    { "map a|/a|ext4|vda ab|/ab|xfs|vda,vdb b|/b|ext4|vdb",
      "plan disks vda -> covers a ab, freeze a ab",
      "plan disks vdb -> covers ab b, freeze ab b",
      "plan disks vda vdb -> covers a ab b, freeze a ab b",
      "freeze 1 disks vda -> a1* ab1* b0" } },
  { "covers/filesystem-over-two-disks-counts", BOTH,
    { "map a|/a|ext4|vda ab|/ab|xfs|vda,vdb b|/b|ext4|vdb",
      "freeze 1 disks vda -> a1* ab1* b0",
      "plan disks vdb -> covers ab b, freeze b",
      "freeze 2 disks vdb -> a1* ab2* b1*",
      "thaw 1 -> a0 ab1* b1*",
      "freeze 3 disks vda -> a1* ab2* b1*",
      "thaw 2 -> a1* ab1* b0",
      "thaw 3 -> a0 ab0 b0 idle" } },
  { "covers/filesystem-over-two-disks-is-not-all-frozen", CANNOT_GROW,
    { "map a|/a|ext4|vda ab|/ab|xfs|vda,vdb b|/b|ext4|vdb",
      "freeze 1 disks vda -> a1* ab1* b0",
      "plan disks vdb -> Conflict" } },
  { "covers/bind-mounts-count-once", ANY,
    { "map a|/|ext4|vda b|/b|xfs|vdb a|/bind|ext4|vda a|/snap|ext4|vda",
      "plan disks -> covers a b, freeze all",
      "commit 1 2 -> ok",
      "counts 1 -> 2 frozen, 0 skipped",
      "state -> a1* b1*",
      "release 1",
      "thaw-plan -> all, expected 2" } },
  { "covers/mounted-while-frozen", CAN_GROW,
    { MAP_AB,
      "freeze 1 disks -> A1* B1*",
      "map A|/a|ext4|vdx B|/b|ext4|vdy C|/c|ext4|vdx",
      "plan disks vdx -> covers A C, freeze C",
      "plan disks -> covers A B C, freeze C",
      "freeze 2 domain -> A2* B2* C1*",
      "thaw 2",
      "release 1",
      "thaw-plan",
      "thawed -> A0 B0 C0 idle" } },
  { "covers/no-longer-listed-while-frozen", CAN_GROW,
    { MAP_AB,
      "freeze 1 disks vdx -> A1* B0",
      "map B|/b|ext4|vdy",
      "state -> A1* B0",
      "counts 1 -> 1 frozen, 0 skipped",
      "release 1 -> A0* B0",
      "thaw-plan -> all, expected 1",
      "thawed -> A0 B0 idle",
      "map B|/b|ext4|vdy",
      "plan disks -> covers B, freeze all" } },
  { "covers/new-map-replaces-the-old", ANY,
    { MAP_AB,
      "map C|/c|ext4|vdx",
      "plan disks -> covers C, freeze all",
      "plan disks vdx -> covers C, freeze C",
      "no-map",
      "plan disks -> NotMapped" } },

  /* NotMapped, NothingToFreeze. */
  { "unmapped/no-map", ANY,
    { "disks vda vdb", "no-map",
      "plan disks vda -> NotMapped",
      "plan disks -> NotMapped",
      "plan domain vda -> whole, freeze all",
      "plan domain -> whole, freeze all" } },
  { "unmapped/never-told", ANY,
    { "plan disks -> NotMapped", "plan domain -> whole, freeze all" } },
  { "unmapped/some-filesystem-names-no-disk", ANY,
    { "map a|/|ext4|vda x|/x|ext4|",
      "plan disks vdb -> NotMapped",
      "plan disks vda vdb -> NotMapped",
      "plan disks vda -> covers a, freeze a",
      "plan disks -> covers a x, freeze all",
      "plan domain vdb -> covers a x, freeze all" } },
  { "unmapped/no-filesystem-names-a-disk", ANY,
    { "map x|/x|ext4| y|/y|ext4|",
      "plan disks vda -> NotMapped",
      "plan disks -> covers x y, freeze all",
      "plan domain vda -> covers x y, freeze all" } },
  { "unmapped/disk-without-filesystem", ANY,
    { "map a|/|ext4|vda",
      "plan disks vdb -> NothingToFreeze",
      "plan disks vda vdb -> covers a, freeze a",
      "plan domain vdb -> covers a, freeze all" } },
  { "unmapped/no-filesystems", ANY,
    { "map",
      "plan disks -> NothingToFreeze",
      "plan disks vda -> NothingToFreeze",
      "plan domain -> NothingToFreeze" } },

  /* Disks that come and go. */
  { "attached-since/conflict", CANNOT_GROW,
    { MAP_AB,
      "freeze 1 disks -> A1* B1*",
      "disks vdx vdy vdz",
      "plan disks vdz -> Conflict",
      "plan disks vdx vdz -> Conflict",
      "plan disks -> Conflict",
      "plan domain -> Conflict",
      "plan domain vdz -> Conflict",
      "plan disks vdx -> covers A, freeze nothing",
      "plan domain vdx -> covers A B, freeze nothing",
      "thaw 1 -> A0 B0 idle",
      "plan disks -> covers A B, freeze all" } },
  { "attached-since/without-map", CANNOT_GROW,
    { "disks vda", "no-map",
      "freeze 1 domain -> ",
      "plan domain -> whole, freeze nothing",
      "disks vda vdb",
      "plan domain -> Conflict",
      "plan domain vdb -> Conflict",
      "plan domain vda -> whole, freeze nothing" } },
  { "attached-since/grows", CAN_GROW,
    { MAP_AB,
      "freeze 1 disks -> A1* B1*",
      "disks vdx vdy vdz", MAP_AB " C|/c|xfs|vdz",
      "plan disks vdz -> covers C, freeze C",
      "plan disks -> covers A B C, freeze C",
      "freeze 2 disks vdz -> A1* B1* C1*" } },
  { "attached-since/before-the-period", ANY,
    { MAP_AB,
      "disks vdx vdy vdz",
      "plan disks -> covers A B, freeze all",
      "plan disks vdx -> covers A, freeze A" } },
  { "attached-since/gone-with-an-earlier-map", CANNOT_GROW,
    { MAP_AB,
      "disks vdx", "map A|/a|ext4|vdx",
      "freeze 1 disks -> A1* B0",
      "disks vdx vdy",
      "plan disks vdy -> Conflict",
      "plan disks -> Conflict" } },
  { "forgotten/detached", CANNOT_GROW,
    { MAP_AB,
      "freeze 1 domain -> A1* B1*",
      "forget vdy", "forget vdq", "disks vdx",
      "plan domain -> covers A B, freeze nothing",
      "plan domain vdx -> covers A B, freeze nothing" } },
  { "forgotten/attached-again", CANNOT_GROW,
    { MAP_AB,
      "freeze 1 domain -> A1* B1*",
      "forget vdy",
      "plan domain vdy -> Conflict",
      "plan disks vdy -> Conflict",
      "plan domain -> Conflict",
      "plan domain vdx -> covers A B, freeze nothing",
      "thaw 1 -> A0 B0 idle", MAP_AB,
      "freeze 2 domain -> A1* B1*",
      "plan domain vdy -> covers A B, freeze nothing" } },
  { "forgotten/engine-can-grow", CAN_GROW,
    { MAP_AB,
      "freeze 1 disks vdx -> A1* B0",
      "forget vdy",
      "plan disks vdy -> covers B, freeze B" } },

  /* Conflicts in scope. */
  { "conflict/domain-after-disks", CANNOT_GROW,
    { MAP_AB,
      "freeze 1 disks vdx -> A1* B0",
      "plan domain vdx -> Conflict",
      "plan disks -> Conflict",
      "plan disks vdx -> covers A, freeze nothing" } },
  { "conflict/domain-after-disks-grows", CAN_GROW,
    { MAP_AB,
      "freeze 1 disks vdx -> A1* B0",
      "freeze 2 domain vdx -> A2* B1*" } },

  /* Types that cannot freeze. */
  { "skipped/counted-by-the-hold", ANY,
    { MAP_VFAT,
      "plan disks -> covers a e v, freeze all",
      "commit 1 1 -> ok",
      "state -> a1* e1 v1",
      "counts 1 -> 1 frozen, 2 skipped",
      "plan disks vda -> covers a e, freeze nothing",
      "commit 2 77 -> ok",
      "counts 2 -> 1 frozen, 1 skipped",
      "plan disks vdb -> NothingToFreeze",
      "release 2", "release 1",
      "thaw-plan -> all, expected 1",
      "thawed -> a0 e0 v0 idle",
      "plan disks vdb -> covers v, freeze v" } },
  { "skipped/none-was", ANY,
    { MAP_VFAT,
      "plan disks",
      "commit 1 3 -> ok",
      "state -> a1* e1* v1*",
      "counts 1 -> 3 frozen, 0 skipped",
      "plan disks vdb -> covers v, freeze nothing" } },
  { "skipped/some-of-them", ANY,
    { MAP_VFAT,
      "plan disks",
      "commit 1 2 -> ok",
      "state -> a1* e1 v1",
      "counts 1 -> 2 frozen, 1 skipped",
      "release 1",
      "thaw-plan -> all, expected 2" } },
  { "skipped/alone", ANY,
    { MAP_VFAT,
      "plan disks vdb -> covers v, freeze v",
      "commit 1 0 -> NothingToFreeze",
      "state -> a0 e0 v0 idle",
      "counts 1 -> 0 frozen, 0 skipped",
      "thaw-plan -> nothing",
      "plan disks vdb -> covers v, freeze v",
      "commit 1 1 -> ok",
      "counts 1 -> 1 frozen, 0 skipped" } },
  { "skipped/beside-what-is-frozen", CAN_GROW,
    { MAP_VFAT,
      "plan disks vda -> covers a e, freeze a e",
      "commit 1 1 -> ok",
      "plan disks -> covers a e v, freeze v",
      "commit 2 0 -> ok",
      "counts 2 -> 1 frozen, 2 skipped",
      "state -> a2* e2 v1" } },
  { "skipped/beside-what-is-frozen-without", CAN_GROW,
    { MAP_VFAT,
      "plan disks vda",
      "commit 1 1 -> ok",
      "plan disks vdb -> covers v, freeze v",
      "commit 2 0 -> NothingToFreeze",
      "state -> a1* e1 v0",
      "counts 1 -> 1 frozen, 1 skipped" } },
  { "skipped/tried-again-after-part-thaw", BOTH,
    { MAP_VFAT,
      "plan disks",
      "commit 1 1 -> ok",
      "freeze 2 disks vda -> a2* e2 v1",
      "release 1",
      "thaw-plan -> v, expected 0",
      "thawed -> a1* e1 v0",
      "plan disks vdb -> covers v, freeze v" } },

  /* Incomplete. */
  { "incomplete/none", ANY,
    { MAP_AB,
      "plan disks",
      "commit 1 0 -> Incomplete",
      "state -> A0 B0 idle",
      "counts 1 -> 0 frozen, 0 skipped",
      "thaw-plan -> nothing",
      "commit 1 2 -> ok",
      "state -> A1* B1*" } },
  { "incomplete/one-of-two", ANY,
    { MAP_AB, "plan disks vdx vdy",
      "commit 1 1 -> Incomplete",
      "state -> A0 B0 idle",
      "plan disks vdx",
      "commit 1 1 -> ok" } },
  { "incomplete/although-others-could-freeze", ANY,
    { "map a|/|ext4|vda b|/b|xfs|vda v|/v|vfat|vda",
      "plan disks",
      "commit 1 1 -> Incomplete",
      "commit 1 2 -> ok",
      "counts 1 -> 2 frozen, 1 skipped" } },
  { "incomplete/later-hold", CAN_GROW,
    { MAP_AB,
      "freeze 1 disks vdx -> A1* B0",
      "plan disks vdy",
      "commit 2 0 -> Incomplete",
      "state -> A1* B0",
      "plan disks -> covers A B, freeze B",
      "commit 2 1 -> ok",
      "state -> A2* B1*" } },
  { "incomplete/more-than-the-map", ANY,
    { MAP_AB,
      "plan disks",
      "commit 1 5 -> ok",
      "counts 1 -> 2 frozen, 0 skipped",
      "release 1",
      "thaw-plan -> all, expected 5" } },

  /* Guests that do not tell types, or nothing at all. */
  { "opaque/windows", ANY,
    { MAP_WINDOWS,
      "plan disks -> covers \\\\?\\Volume{1}\\ \\\\?\\Volume{2}\\, freeze all",
      "commit 1 0 -> Incomplete",
      "thaw-plan -> nothing",
      "commit 1 2 -> ok",
      "counts 1 -> 2 frozen, 0 skipped" } },
  { "opaque/windows-fewer", ANY,
    { MAP_WINDOWS,
      "plan disks",
      "commit 1 1 -> ok",
      "counts 1 -> 1 frozen, 1 skipped",
      "plan disks",
      "commit 2 0 -> ok",
      "release 1",
      "release 2",
      "thaw-plan -> all, expected 1" } },
  { "opaque/no-types", ANY,
    { "map a|/|-|vda",
      "plan disks",
      "commit 1 0 -> Incomplete",
      "commit 1 1 -> ok",
      "state -> a1*" } },
  { "opaque/beside-vfat", ANY,
    { "map a|/|-|vda v|/v|vfat|vda",
      "plan disks",
      "commit 1 0 -> NothingToFreeze" } },
  { "whole/frozen", ANY,
    { "disks vda", "no-map",
      "plan domain -> whole, freeze all",
      "commit 1 0 -> Incomplete",
      "thaw-plan -> nothing",
      "commit 1 3 -> ok",
      "counts 1 -> 3 frozen, 0 skipped",
      "plan domain vda -> whole, freeze nothing",
      "commit 2 99 -> ok",
      "counts 2 -> 3 frozen, 0 skipped",
      "release 1",
      "thaw-plan -> nothing",
      "release 2",
      "thaw-plan -> all, expected 3",
      "thawed -> idle",
      "plan domain -> whole, freeze all" } },

  /* Thawing. */
  { "thaw/nothing-frozen", ANY,
    { "thaw-plan -> nothing", MAP_AB, "thaw-plan -> nothing" } },
  { "thaw/unknown-hold", ANY,
    { MAP_AB,
      "freeze 1 disks -> A1* B1*",
      "release 2 -> A1* B1*",
      "release 0 -> A1* B1*",
      "release 1 -> A0* B0*",
      "release 1 -> A0* B0*" } },
  { "thaw/largest-id", ANY,
    { MAP_AB,
      "freeze 18446744073709551615 disks -> A1* B1*",
      "freeze 9223372036854775808 disks -> A2* B2*",
      "release 18446744073709551615 -> A1* B1*" } },
  { "thaw/part-waits-for-others", CANNOT_THAW_PART,
    { MAP_AB,
      "freeze 1 disks -> A1* B1*",
      "freeze 2 disks vdx -> A2* B1*",
      "release 1 -> A1* B0*",
      "thaw-plan -> nothing",
      "freeze 3 disks vdy -> A1* B1*",
      "release 2",
      "thaw-plan -> nothing",
      "release 3",
      "thaw-plan -> all, expected 2" } },
  { "thaw/part", CAN_THAW_PART,
    { MAP_AB " C|/c|xfs|vdy",
      "freeze 1 disks -> A1* B1* C1*",
      "freeze 2 disks vdx -> A2* B1* C1*",
      "thaw-plan -> nothing",
      "release 1",
      "thaw-plan -> B C, expected 2",
      "thawed -> A1* B0 C0",
      "thaw-plan -> nothing",
      "release 2",
      "thaw-plan -> all, expected 1" } },
  { "thaw/last-hold-thaws-what-none-of-them-covers", CAN_THAW_PART,
    { MAP_AB,
      "freeze 1 disks -> A1* B1*",
      "freeze 2 disks vdx -> A2* B1*",
      "release 1", "release 2",
      "thaw-plan -> all, expected 2" } },
  { "thaw/part-of-more-than-the-map", CAN_THAW_PART,
    { MAP_AB,
      "plan disks",
      "commit 1 5 -> ok",
      "freeze 2 disks vdx -> A2* B1*",
      "release 1",
      "thaw-plan -> B, expected 1",
      "thawed",
      "release 2",
      "thaw-plan -> all, expected 4" } },
  { "thaw/expects-no-more-than-can-be-left", CAN_THAW_PART,
    /* One of e and v froze; which one is not known, but it was thawed with the part. */
    { "map a|/|ext4|vda e|/efi|vfat|vdb v|/v|vfat|vdb",
      "plan disks",
      "commit 1 2 -> ok",
      "freeze 2 disks vda -> a2* e1 v1",
      "release 1",
      "thaw-plan -> e v, expected 0",
      "thawed -> a1* e0 v0",
      "release 2",
      "thaw-plan -> all, expected 1" } },
  { "thaw/grown-expects-all", CAN_GROW,
    { MAP_AB,
      "freeze 1 disks vdx -> A1* B0",
      "freeze 2 disks vdy -> A1* B1*",
      "release 1", "release 2",
      "thaw-plan -> all, expected 2" } },
  { "thaw/owed-and-held-again", ANY,
    { MAP_AB,
      "freeze 1 disks vdx -> A1* B0",
      "release 1 -> A0* B0",
      "plan disks vdx -> covers A, freeze nothing",
      "commit 2 0 -> ok",
      "state -> A1* B0",
      "thaw-plan -> nothing",
      "thaw 2 -> A0 B0 idle" } },
  { "thaw/owed-and-more-asked", CANNOT_GROW,
    { MAP_AB,
      "freeze 1 disks vdx -> A1* B0",
      "release 1 -> A0* B0",
      "plan disks vdy -> Conflict",
      "plan disks -> Conflict",
      "thaw-plan -> all, expected 1",
      "thawed -> A0 B0 idle",
      "plan disks vdy -> covers B, freeze B" } },
  { "thaw/owed-and-more-asked-grows", CAN_GROW,
    { MAP_AB,
      "freeze 1 disks vdx -> A1* B0",
      "release 1 -> A0* B0",
      "freeze 2 disks -> A1* B1*",
      "thaw-plan -> nothing" } },
  { "thaw/touches-what-is-asked", CAN_THAW_PART,
    { MAP_AB,
      "freeze 1 disks -> A1* B1*",
      "freeze 2 disks vdx -> A2* B1*",
      "release 1",
      "thaw-plan -> B, expected 1",
      "plan disks vdx", "touches -> no",
      "plan disks vdy", "touches -> yes",
      "plan disks", "touches -> yes",
      "release 2",
      "thaw-plan -> all, expected 2",
      "plan disks vdx", "touches -> yes" } },
  { "thaw/touches-a-guest-that-does-not-tell", ANY,
    { "no-map",
      "freeze 1 domain -> ",
      "release 1",
      "thaw-plan -> all, expected 1",
      "plan domain", "touches -> yes" } },
  { "thaw/clear", ANY,
    { MAP_AB,
      "freeze 1 disks -> A1* B1*",
      "freeze 2 disks vdx -> A2* B1*",
      "clear",
      "state -> A0 B0 idle",
      "counts 1 -> 0 frozen, 0 skipped",
      "thaw-plan -> nothing",
      "release 1 -> A0 B0 idle",
      "plan disks -> covers A B, freeze all",
      "commit 3 2 -> ok",
      "release 3",
      "thaw-plan -> all, expected 2" } },
  { "thaw/clear-without-map", ANY,
    { "no-map",
      "freeze 1 domain -> ",
      "clear",
      "state -> idle",
      "plan domain -> whole, freeze all" } },
};

/* Scripts */

typedef struct {
  VfAbilities abilities;
  VfLedger *ledger;
  GPtrArray *devices; /* char*: all that were ever listed */
  char **disks;       /* of the domain, now */
  VfPlan *plan;       /* the last */
  VfThawPlan *thaw;   /* the last */
} Script;

static int
compare_strings (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* In the order of the names, since the ledger promises none. */
static char *
join_devices (GPtrArray *filesystems)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();

  for (guint i = 0; i < filesystems->len; i++)
    g_ptr_array_add (names, ((VfFilesystem *) g_ptr_array_index (filesystems, i))->device);
  g_ptr_array_sort (names, compare_strings);
  g_ptr_array_add (names, NULL);
  return g_strjoinv (" ", (char **) names->pdata);
}

static char *
join_sorted (GPtrArray *strings)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();

  for (guint i = 0; i < strings->len; i++)
    g_ptr_array_add (names, g_ptr_array_index (strings, i));
  g_ptr_array_sort (names, compare_strings);
  g_ptr_array_add (names, NULL);
  return g_strjoinv (" ", (char **) names->pdata);
}

static char *
error_text (const GError *error)
{
  g_assert_true (error->domain == VF_ERROR);
  g_assert_cmpuint (strlen (error->message), >, 0);
  return g_strdup (strrchr (vf_error_dbus_name (error->code), '.') + 1);
}

/* Unless told otherwise, a domain has the disks that its guest names. */
static void
add_disks (Script *script, char **targets)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  if (script->disks != NULL)
    g_strv_builder_addv (builder, (const char **) script->disks);
  g_strv_builder_addv (builder, (const char **) targets);
  g_clear_pointer (&script->disks, g_strfreev);
  script->disks = g_strv_builder_end (builder);
}

static void
set_map (Script *script, char **entries)
{
  g_autoptr (GPtrArray) map = vf_map_new ();
  gboolean disks_told = script->disks != NULL;

  for (guint i = 0; entries[i] != NULL; i++)
    {
      g_auto (GStrv) field = g_strsplit (entries[i], "|", 4);
      g_auto (GStrv) targets = NULL;

      g_assert_cmpuint (g_strv_length (field), ==, 4);
      targets = g_strsplit (field[3], ",", -1);
      g_assert_true (vf_map_add (map, field[0], field[1],
                                 g_str_equal (field[2], "-") ? "" : field[2],
                                 (const char *const *) targets));
      if (!disks_told)
        add_disks (script, targets);
      if (!g_ptr_array_find_with_equal_func (script->devices, field[0], g_str_equal, NULL))
        g_ptr_array_add (script->devices, g_strdup (field[0]));
    }
  g_ptr_array_sort (script->devices, compare_strings);
  vf_ledger_set_map (script->ledger, map, (const char *const *) script->disks);
}

static char *
plan_text (Script *script)
{
  g_autofree char *covers = join_sorted (script->plan->covers);
  g_autofree char *freeze = join_devices (script->plan->freeze);
  const char *what = freeze;

  if (script->plan->freeze_all)
    what = "all";
  else if (script->plan->freeze->len == 0)
    what = "nothing";
  g_assert_cmpint (vf_plan_needs_freeze (script->plan), ==, !g_str_equal (what, "nothing"));
  if (script->plan->whole)
    return g_strdup_printf ("whole%s, freeze %s", covers, what);
  return g_strdup_printf ("covers %s, freeze %s", covers, what);
}

static char *
op_plan (Script *script, char **words)
{
  VfScope scope = g_str_equal (words[0], "disks") ? VF_SCOPE_DISKS : VF_SCOPE_DOMAIN;
  g_autoptr (GError) error = NULL;

  g_clear_pointer (&script->plan, vf_plan_free);
  script->plan
    = vf_ledger_plan (script->ledger, (const char *const *) words + 1, scope, script->abilities,
                      (const char *const *) script->disks, &error);
  if (script->plan == NULL)
    return error_text (error);
  g_assert_no_error (error);
  g_assert_cmpint (script->plan->everything, ==, words[1] == NULL);
  return plan_text (script);
}

static char *
commit (Script *script, guint64 id, guint count)
{
  g_autoptr (GError) error = NULL;

  g_assert_nonnull (script->plan);
  if (!vf_ledger_commit (script->ledger, id, script->plan, count, &error))
    return error_text (error);
  g_assert_no_error (error);
  return g_strdup ("ok");
}

static char *
state (Script *script)
{
  g_autoptr (GString) out = g_string_new (NULL);

  for (guint i = 0; i < script->devices->len; i++)
    {
      const char *device = g_ptr_array_index (script->devices, i);

      g_string_append_printf (out, "%s%s%u%s", i > 0 ? " " : "", device,
                              vf_ledger_count (script->ledger, device),
                              vf_ledger_is_frozen (script->ledger, device) ? "*" : "");
    }
  if (!vf_ledger_in_period (script->ledger))
    {
      g_assert_false (vf_ledger_has_holds (script->ledger));
      g_string_append_printf (out, "%sidle", out->len > 0 ? " " : "");
    }
  return g_string_free (g_steal_pointer (&out), FALSE);
}

static char *
op_freeze (Script *script, char **words)
{
  g_autofree char *planned = op_plan (script, words + 1), *committed = NULL;

  if (script->plan == NULL)
    return g_steal_pointer (&planned);
  committed = commit (script, g_ascii_strtoull (words[0], NULL, 10),
                      script->plan->whole ? 1 : script->plan->freeze->len);
  return g_str_equal (committed, "ok") ? state (script) : g_steal_pointer (&committed);
}

static char *
op_counts (Script *script, char **words)
{
  guint frozen = 99, skipped = 99;

  vf_ledger_hold_counts (script->ledger, g_ascii_strtoull (words[0], NULL, 10), &frozen, &skipped);
  return g_strdup_printf ("%u frozen, %u skipped", frozen, skipped);
}

static char *
op_thaw_plan (Script *script)
{
  g_autofree char *devices = NULL;

  g_clear_pointer (&script->thaw, vf_thaw_plan_free);
  script->thaw = vf_ledger_plan_thaw (script->ledger, script->abilities);
  if (script->thaw == NULL)
    return g_strdup ("nothing");
  devices = join_devices (script->thaw->thaw);
  return g_strdup_printf ("%s, expected %u", script->thaw->all ? "all" : devices,
                          script->thaw->expected);
}

static char *
op_thawed (Script *script)
{
  if (script->thaw != NULL)
    vf_ledger_thawed (script->ledger, script->thaw);
  return state (script);
}

static char *
op_release (Script *script, char **words)
{
  vf_ledger_release (script->ledger, g_ascii_strtoull (words[0], NULL, 10));
  return state (script);
}

static char *
op_thaw (Script *script, char **words)
{
  g_free (op_release (script, words));
  g_free (op_thaw_plan (script));
  return op_thawed (script);
}

static char *
run_step (Script *script, char **words)
{
  const char *op = *words++;

  if (g_str_equal (op, "plan"))
    return op_plan (script, words);
  if (g_str_equal (op, "commit"))
    return commit (script, g_ascii_strtoull (words[0], NULL, 10),
                   (guint) g_ascii_strtoull (words[1], NULL, 10));
  if (g_str_equal (op, "freeze"))
    return op_freeze (script, words);
  if (g_str_equal (op, "counts"))
    return op_counts (script, words);
  if (g_str_equal (op, "state"))
    return state (script);
  if (g_str_equal (op, "release"))
    return op_release (script, words);
  if (g_str_equal (op, "thaw-plan"))
    return op_thaw_plan (script);
  if (g_str_equal (op, "touches"))
    return g_strdup (vf_thaw_plan_touches (script->thaw, script->plan) ? "yes" : "no");
  if (g_str_equal (op, "thawed"))
    return op_thawed (script);
  if (g_str_equal (op, "thaw"))
    return op_thaw (script, words);

  if (g_str_equal (op, "map"))
    set_map (script, words);
  else if (g_str_equal (op, "no-map"))
    vf_ledger_set_map (script->ledger, NULL, (const char *const *) script->disks);
  else if (g_str_equal (op, "forget"))
    {
      g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
      g_auto (GStrv) left = NULL;

      for (char **disk = script->disks; *disk != NULL; disk++)
        if (!g_str_equal (*disk, words[0]))
          g_strv_builder_add (builder, *disk);
      left = g_strv_builder_end (builder);
      vf_ledger_keep_targets (script->ledger, (const char *const *) left);
    }
  else if (g_str_equal (op, "clear"))
    vf_ledger_clear (script->ledger);
  else if (g_str_equal (op, "disks"))
    {
      g_strfreev (script->disks);
      script->disks = g_strdupv (words);
    }
  else
    g_error ("no such operation: %s", op);
  return g_strdup ("");
}

static void
run_case (const Case *test, VfAbilities abilities)
{
  Script script = { .abilities = abilities };

  script.ledger = vf_ledger_new ();
  script.devices = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; test->steps[i] != NULL; i++)
    {
      g_auto (GStrv) step = g_strsplit (test->steps[i], " -> ", 2);
      g_auto (GStrv) words = g_strsplit (step[0], " ", -1);
      g_autofree char *result = run_step (&script, words);

      if (step[1] != NULL && !g_str_equal (result, step[1]))
        {
          g_test_fail_printf ("step %u, “%s”: “%s”", i + 1, test->steps[i], result);
          break;
        }
    }
  g_clear_pointer (&script.plan, vf_plan_free);
  g_clear_pointer (&script.thaw, vf_thaw_plan_free);
  g_clear_pointer (&script.disks, g_strfreev);
  g_ptr_array_unref (script.devices);
  vf_ledger_free (script.ledger);
}

typedef struct {
  const Case *test;
  VfAbilities abilities;
} Run;

static void
test_case (gconstpointer data)
{
  const Run *run = data;

  run_case (run->test, run->abilities);
}

/* What the guest says belongs to the plan, and outlives a change of the map. */
static void
test_plan_outlives_map (void)
{
  g_autoptr (VfLedger) ledger = vf_ledger_new ();
  g_autoptr (VfPlan) plan = NULL;
  g_autoptr (VfThawPlan) thaw = NULL;
  GPtrArray *map = vf_map_new ();
  const VfAbilities abilities = { TRUE, TRUE };

  g_assert_true (vf_map_add (map, "vda1", "/", "ext4", NULL));
  vf_ledger_set_map (ledger, map, NULL);
  g_assert_true (vf_ledger_get_map (ledger) == map);
  g_ptr_array_unref (map);
  plan = vf_ledger_plan (ledger, NULL, VF_SCOPE_DOMAIN, abilities, NULL, NULL);
  g_assert_nonnull (plan);
  g_assert_true (vf_ledger_commit (ledger, 1, plan, 1, NULL));
  vf_ledger_release (ledger, 1);
  thaw = vf_ledger_plan_thaw (ledger, abilities);
  vf_ledger_set_map (ledger, NULL, NULL);
  g_assert_null (vf_ledger_get_map (ledger));
  g_clear_pointer (&ledger, vf_ledger_free);
  g_assert_cmpstr (((VfFilesystem *) g_ptr_array_index (plan->freeze, 0))->device, ==, "vda1");
  g_assert_true (thaw->all);
  g_assert_true (vf_thaw_plan_touches (thaw, plan));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    for (gsize j = 0; j < G_N_ELEMENTS (engines); j++)
      if ((cases[i].engines & engines[j].flag) != 0)
        {
          g_autofree char *path
            = g_strdup_printf ("/ledger/%s/%s", cases[i].name, engines[j].name);
          Run *run = g_new (Run, 1);

          *run = (Run){ &cases[i], engines[j].abilities };
          g_test_add_data_func_full (path, run, test_case, g_free);
        }
  g_test_add_func ("/ledger/plans-outlive-map-and-ledger", test_plan_outlives_map);
  return g_test_run ();
}
