/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-service: the core as a whole, on fake guests, a fake clock and a journal in a folder of its
 * own; it can be killed and started again. Checks the promises by what is true in the guests.
 */
#pragma once

#include "fake-hypervisor.h"
#include "lane.h"
#include "registry.h"

/* What the observer is told, in the words of lane-script.h. */
typedef void (*ServiceObserved) (const char *what, gpointer data);

typedef struct {
  VfRegistry *registry; /* NULL: it does not run */
  VfHypervisor *hypervisor;
  VfClock *clock;
  VfJournal *journal;
  FakeHost *host;
  char *folder;
  char *config;
  ServiceObserved observed;
  gpointer data;
  GQueue notes; /* char*: the last things done, for people */
  gboolean broken_journal;
} Service;

/* To be called before anything else, instead of g_test_init(). */
void service_test_init (int *argc, char ***argv);

/* config: "Key=Value Key=Value" of [Freeze]; may be NULL. */
Service *service_new (FakeHost *host, const char *config, ServiceObserved observed, gpointer data);
/* As the daemon does, or (adopt FALSE) the one-shot that releases all. Does not connect. */
void service_start (Service *service, const char *bus_id, gboolean adopt);
/* Nothing of it runs any more. */
void service_crash (Service *service);
/* Heals all guests, stops the service, checks that nothing is left, and frees it. */
void service_end (Service *service);

void service_configure (Service *service, const char *config);
/* Makes writing of records fail; removing goes on. */
void service_break_journal (Service *service);
void service_mend_journal (Service *service);

void service_settle (Service *service);
void service_advance (Service *service, gint64 usec);

VfDomain *service_domain (Service *service, const FakeGuest *guest);
VfFreeze *service_freeze (Service *service, guint64 number);
/* "1:held 2:ended", or "none"; what cannot be read is "?". */
char *service_records (Service *service);

/* For messages of checks that fail. */
void service_note (Service *service, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* The promises. */
void service_check (Service *service);
void service_check_recorded (Service *service, const FakeGuest *guest, const VfCall *call);
/* Whether a thaw is due for a freeze that has ended and was not of a group. */
gboolean service_owes_others (Service *service, const FakeGuest *guest);
void service_check_not_held (Service *service, const FakeGuest *guest, const FakeFilesystem *fs);
