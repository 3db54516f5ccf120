/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Times as they are written in the configuration. */
#include "config.h"

#define MSEC G_TIME_SPAN_MILLISECOND
#define SEC G_TIME_SPAN_SECOND
#define MINUTE G_TIME_SPAN_MINUTE
#define HOUR G_TIME_SPAN_HOUR
#define DAY G_TIME_SPAN_DAY

static const struct {
  const char *text;
  gint64 usec; /* -1: not a time */
} times[] = {
  { "0", 0 },
  { "20", 20 * SEC },
  { "20s", 20 * SEC },
  { "20 s", 20 * SEC },
  { " 20s ", 20 * SEC },
  { "\t20s\t", 20 * SEC },
  { "1sec", SEC },
  { "1second", SEC },
  { "2seconds", 2 * SEC },
  { "5min", 5 * MINUTE },
  { "5m", 5 * MINUTE },
  { "1minute", MINUTE },
  { "2minutes", 2 * MINUTE },
  { "1h", HOUR },
  { "1hr", HOUR },
  { "1hour", HOUR },
  { "2hours", 2 * HOUR },
  { "1d", DAY },
  { "1day", DAY },
  { "2days", 2 * DAY },
  { "1w", 7 * DAY },
  { "1week", 7 * DAY },
  { "2weeks", 14 * DAY },
  { "500ms", 500 * MSEC },
  { "500msec", 500 * MSEC },
  { "7us", 7 },
  { "7usec", 7 },
  { "7µs", 7 },
  { "7μs", 7 },
  { "1min 30s", 90 * SEC },
  { "1min30s", 90 * SEC },
  { "1h 1min 1s 1ms 1us", HOUR + MINUTE + SEC + MSEC + 1 },
  { "30s 1min", 90 * SEC },
  { "1s 1s", 2 * SEC },
  { "1.5s", 1500 * MSEC },
  { "0.25min", 15 * SEC },
  { "2.5", 2500 * MSEC },
  { "0.0000001s", 0 },
  { "1.999999999s", SEC + 999999 },
  { "007s", 7 * SEC },
  { "9223372036854775807us", G_MAXINT64 },
  { "9223372036854s 775ms 807us", G_MAXINT64 },

  { "", -1 },
  { " ", -1 },
  { "s", -1 },
  { "-1s", -1 },
  { "+1s", -1 },
  { "1 fortnight", -1 },
  { "20x", -1 },
  { "20S", -1 },
  { "1Min", -1 },
  { "1s,", -1 },
  { "1,5s", -1 },
  { "1.s", -1 },
  { ".5s", -1 },
  { "1.", -1 },
  { "1..5s", -1 },
  { "1.5.5s", -1 },
  { "1 000", -1 },
  { "1 000s", -1 },
  { "1min 30", -1 },
  { "30 1min", -1 },
  { "0x10s", -1 },
  { "1e3s", -1 },
  { "infinity", -1 },
  { "20s\n", -1 },
  { "20s extra", -1 },
  { "1s -1s", -1 },
  { "9223372036854775808us", -1 },
  { "9223372036854775807us 1us", -1 },
  { "9223372036854776s", -1 },
  { "9223372036854775807", -1 },
  { "99999999999999999999999999s", -1 },
  { "18446744073709551617us", -1 },
};

static void
test_times (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (times); i++)
    {
      gint64 usec = 12345;
      gboolean good = vf_parse_time (times[i].text, &usec);

      if (good != (times[i].usec >= 0) || (good && usec != times[i].usec))
        g_test_fail_printf ("“%s” is taken for %" G_GINT64_FORMAT " µs", times[i].text,
                            good ? usec : -1);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/config-time/times", test_times);
  return g_test_run ();
}
