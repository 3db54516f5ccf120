/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by bus.c (objects, signals), bus-call.c (the way of a call) and the adapters. */
#pragma once

#include "bus.h"
#include "lane.h"
#include "methods.h"

#define VF_BUS_ROOT "/org/virtfreeze1"
#define VF_BUS_NAME "org.virtfreeze1"

/* What an object on the bus stands for: the root (both NULL), a domain, or a freeze. */
typedef struct {
  VfBus *bus;
  VfDomain *domain;
  VfFreeze *freeze;
  char *path;
  guint registrations[2];
} BusObject;

struct _VfBus {
  GDBusConnection *connection;
  VfAuthority *authority;
  VfClients *clients;
  VfRegistry *registry;
  char *uri;
  gboolean connected;
  BusObject root;
  GHashTable *objects; /* VfDomain* or VfFreeze* → BusObject */
  GHashTable *calls;   /* BusCall* set: unanswered */
  GHashTable *pending; /* uid → unanswered requests */
};

/* A call on its way to its answer. */
typedef struct _BusCall BusCall;

typedef struct {
  const char *interface;
  const char *method;
  /* Reads the parameters; an error is one of the request's form. May be NULL. */
  gboolean (*read) (BusCall *call, GError **error);
  /* Adds what polkit rules may look at besides the domain (pairs of strings, owned). May be NULL. */
  void (*describe) (BusCall *call, GPtrArray *details);
  /* Allowed, and the object still there: does it, and sees to the answer. */
  void (*run) (BusCall *call);
} BusMethod;

struct _BusCall {
  VfBus *bus;
  const BusMethod *method;
  const VfMethodRule *rule;
  GDBusMethodInvocation *invocation; /* NULL once answered */
  GVariant *parameters;
  VfDomain *domain; /* references; NULL for the root */
  VfFreeze *freeze;
  VfClient *client;
  VfCheck *check;
  gint64 received; /* boot time, µs */
  gint64 prompted; /* time spent at a prompt */
  gboolean by_owner;
  gboolean counted;
  gboolean in_core; /* the core will answer */

  /* of Freeze and Renew */
  char **names;  /* disks as asked for */
  char **disks;  /* their targets, as far as known, when the request came */
  char *unknown; /* the first name that was not known then */
  VfScope scope;
  gint64 hold;
  gboolean lease;
  char *reason;
};

/* bus-call.c */
void bus_method_call (GDBusConnection *connection, const char *sender, const char *path,
                      const char *interface, const char *name, GVariant *parameters,
                      GDBusMethodInvocation *invocation, gpointer data);
/* Answers, and frees the call. reply may be floating or NULL. */
void bus_call_return (BusCall *call, GVariant *reply);
void bus_call_fail (BusCall *call, const GError *error);
/* The form of Domain.ThawAll and Freeze.Thaw: VfAnswer with a BusCall. */
void bus_call_answer (const GError *error, gpointer data);
/* Boot time when the answer is due. */
gint64 bus_call_deadline (BusCall *call);
void bus_calls_client_gone (VfBus *bus, VfClient *client);
/* Unanswered calls are dropped. */
void bus_calls_clear (VfBus *bus);

/* bus-options.c */
gboolean bus_read_freeze (BusCall *call, GVariant *disks, GVariant *options, GError **error);
gboolean bus_check_hold (BusCall *call, guint64 hold, GError **error);
void bus_resolve_disks (BusCall *call);
void bus_describe_freeze (BusCall *call, GPtrArray *details);

/* The adapters: properties and methods of one interface each. */
GVariant *bus_manager_property (VfBus *bus, const char *name);
GVariant *bus_domain_property (BusObject *object, const char *name);
GVariant *bus_freeze_property (BusObject *object, const char *name);
extern const BusMethod bus_manager_methods[], bus_domain_methods[], bus_freeze_methods[];

/* a(sssasa{sv}); covers: devices to tell of, or NULL: all. map may be NULL. */
GVariant *bus_filesystems (VfLane *lane, GPtrArray *map, GPtrArray *covers);
char *bus_domain_path (const VfDomain *domain);
char *bus_freeze_path (const VfFreeze *freeze);
GVariant *bus_managed_objects (VfBus *bus);
