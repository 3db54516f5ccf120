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
  guint passing; /* timer: a state that lasts is to be told */
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
  guint places;     /* among the unanswered requests of the caller's user */
  gboolean in_core; /* the core will answer */

  /* of FreezeDomains: a call for each domain, which is never answered itself */
  GPtrArray *parts; /* BusCall*, owned; NULL: none */
  BusCall *whole;   /* whose part this is; NULL: none */
  GError *refused;  /* of a part */
  guint waiting;    /* for answers about parts, and one */

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
/* Of FreezeDomains; parameters and times are those of the whole call. */
BusCall *bus_call_new_part (BusCall *whole, VfDomain *domain);
void bus_call_free_part (gpointer part);
/* Pairs of strings for polkit, owned, NULL-terminated. */
GPtrArray *bus_call_details (BusCall *call);
gboolean bus_call_is_interactive (BusCall *call);
void bus_calls_client_gone (VfBus *bus, VfClient *client);
/* Unanswered calls are dropped. */
void bus_calls_clear (VfBus *bus);

/* bus-options.c */
gboolean bus_read_freeze (BusCall *call, GVariant *disks, GVariant *options, GError **error);
gboolean bus_check_hold (BusCall *call, guint64 hold, GError **error);
void bus_resolve_disks (BusCall *call);
void bus_describe_freeze (BusCall *call, GPtrArray *details);

/* bus-domain.c: the request of a freeze; its done and data are to be set. Error: names a disk that
 * the domain does not have. */
VfRequest *bus_freeze_request (BusCall *call, GError **error);

/* bus-group.c: Manager.FreezeDomains */
gboolean bus_group_read (BusCall *call, GError **error);
/* The caller is known. */
void bus_group_check (BusCall *call);
void bus_group_run (BusCall *call);

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
