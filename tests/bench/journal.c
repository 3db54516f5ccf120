/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the journal costs of a freeze and its thaw: three records written, one removed. Arguments:
 * folder, number of pairs. Prints the time of each (µs).
 */
#include "journal.h"

#include <stdio.h>
#include <stdlib.h>

int
main (int argc, char **argv)
{
  static const VfPhase phases[] = { VF_PHASE_FREEZING, VF_PHASE_HELD, VF_PHASE_ENDED };
  g_autoptr (GPtrArray) map = vf_map_new ();
  const char *disks[] = { "vda", NULL }, *both[] = { "/", "/boot", NULL };
  g_autoptr (GError) error = NULL;
  VfJournal *journal = argc == 3 ? vf_journal_open (argv[1], &error) : NULL;
  VfRecord record = { .uri = (char *) "test:///default",
                      .uuid = (char *) "6695eb01-f6a4-8304-79aa-97f2502e193f",
                      .name = (char *) "test",
                      .run = 1,
                      .bus_id = (char *) "00112233445566778899aabbccddeeff",
                      .owner = (char *) ":1.42",
                      .reason = (char *) "nightly backup",
                      .engine = VF_ENGINE_TEST,
                      .created = g_get_real_time (),
                      .frozen = 2 };

  if (journal == NULL)
    return 1;
  vf_map_add (map, "/", "/", "ext4", disks);
  vf_map_add (map, "/boot", "/boot", "ext4", disks);
  record.state.map = map;
  record.state.covers = record.state.tried = record.state.frozen = (char **) both;
  record.state.targets = (char **) disks;
  for (int i = 0; i < atoi (argv[2]); i++)
    {
      gint64 start = g_get_monotonic_time ();

      record.number = vf_journal_next_number (journal);
      for (gsize p = 0; p < G_N_ELEMENTS (phases); p++)
        {
          record.phase = phases[p];
          if (!vf_journal_write (journal, &record, &error))
            return 1;
        }
      vf_journal_remove (journal, record.uuid, record.number);
      printf ("%" G_GINT64_FORMAT " 0\n", g_get_monotonic_time () - start);
    }
  vf_journal_close (journal);
  return 0;
}
