/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line. */
#pragma once

#include <glib.h>

typedef enum {
  COMMAND_LIST,
  COMMAND_STATUS,
  COMMAND_RUN,
  COMMAND_FREEZE,
  COMMAND_THAW,
  COMMAND_MONITOR,
  COMMAND_COMPLETE, /* for the shells' completion; not documented */
  N_COMMANDS,
} Command;

/* A domain and the disks of it that are asked for; none: all. */
typedef struct {
  const char *domain;
  GPtrArray *disks; /* const char * */
} Request;

/* Strings are those of argv. */
typedef struct {
  Command command;
  gboolean help;
  gboolean version;
  gboolean session;
  gboolean no_ask_password;
  gboolean json;
  gboolean watch;
  gboolean all;
  gboolean force;
  guint64 hold;        /* µs; 0: not given */
  const char *scope;   /* or NULL */
  const char *reason;  /* or NULL */
  GPtrArray *requests; /* Request *: of DOMAIN and each --domain */
  char **rest;         /* what follows: PATHs, or COMMAND and its arguments; into argv */
} Options;

/* FALSE, with an error for people, where the command line makes no sense. */
gboolean options_parse (Options *options, int argc, char **argv, GError **error);
void options_clear (Options *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

const char *command_name (Command command);
