/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "slots.h"

#include "error.h"

typedef struct {
  VfSlots *slots;
  VfSlotClass counted; /* the class whose slot it uses */
  void (*done) (VfCall *call, gpointer data);
  gpointer data;
} Use;

#define N_CLASSES 3

struct _VfSlots {
  VfHypervisor *hypervisor;
  guint limit[N_CLASSES];
  guint used[N_CLASSES];
  GQueue waiting[N_CLASSES]; /* VfCall* */
};

void
vf_slots_set_max (VfSlots *slots, guint max)
{
  slots->limit[VF_SLOT_QUARANTINE] = MAX (max / 7, 1);
  slots->limit[VF_SLOT_FIRST_THAW] = MAX (max * 2 / 7, 1);
  slots->limit[VF_SLOT_COMMON]
      = max - slots->limit[VF_SLOT_QUARANTINE] - slots->limit[VF_SLOT_FIRST_THAW];
}

VfSlots *
vf_slots_new (VfHypervisor *hypervisor, guint max)
{
  VfSlots *slots = g_new0 (VfSlots, 1);

  slots->hypervisor = hypervisor;
  vf_slots_set_max (slots, max);
  for (int i = 0; i < N_CLASSES; i++)
    g_queue_init (&slots->waiting[i]);
  return slots;
}

void
vf_slots_free (VfSlots *slots)
{
  for (int i = 0; i < N_CLASSES; i++)
    g_queue_clear_full (&slots->waiting[i], (GDestroyNotify) vf_call_free);
  g_free (slots);
}

/* The class whose slot a call of this class could use now, or -1. */
static int
find_slot (VfSlots *slots, VfSlotClass slot_class)
{
  if (slots->used[slot_class] < slots->limit[slot_class])
    return slot_class;
  if (slot_class == VF_SLOT_FIRST_THAW
      && slots->used[VF_SLOT_COMMON] < slots->limit[VF_SLOT_COMMON])
    return VF_SLOT_COMMON;
  return -1;
}

gboolean
vf_slots_free_now (VfSlots *slots, VfSlotClass slot_class)
{
  return g_queue_is_empty (&slots->waiting[slot_class]) && find_slot (slots, slot_class) >= 0;
}

static void on_done (VfCall *call, gpointer data);

/* Nobody waits for it any more. */
static gboolean
fail_unwanted (gpointer data)
{
  VfCall *call = data;

  call->error = g_error_new_literal (VF_ERROR, VF_ERROR_TIMEOUT, "nobody waits for it any more");
  call->done (call, call->data);
  return G_SOURCE_REMOVE;
}

/* First thaws go first. */
static void
start_waiting (VfSlots *slots)
{
  static const VfSlotClass order[] = { VF_SLOT_FIRST_THAW, VF_SLOT_COMMON, VF_SLOT_QUARANTINE };

  for (gsize i = 0; i < G_N_ELEMENTS (order); i++)
    {
      GQueue *waiting = &slots->waiting[order[i]];
      int slot;

      while (!g_queue_is_empty (waiting) && (slot = find_slot (slots, order[i])) >= 0)
        {
          VfCall *call = g_queue_pop_head (waiting);
          Use *use;

          if (call->wanted != NULL && !call->wanted (call->data))
            {
              g_idle_add_full (G_PRIORITY_DEFAULT, fail_unwanted, call, NULL);
              continue;
            }
          use = g_new (Use, 1);
          *use = (Use){ slots, (VfSlotClass) slot, call->done, call->data };
          slots->used[slot]++;
          call->done = on_done;
          call->data = use;
          slots->hypervisor->call (slots->hypervisor, call);
        }
    }
}

static void
on_done (VfCall *call, gpointer data)
{
  g_autofree Use *use = data;

  use->slots->used[use->counted]--;
  call->done = use->done;
  call->data = use->data;
  start_waiting (use->slots);
  call->done (call, call->data);
}

void
vf_slots_call (VfSlots *slots, VfCall *call, VfSlotClass slot_class)
{
  g_queue_push_tail (&slots->waiting[slot_class], call);
  start_waiting (slots);
}

void
vf_slots_end_quarantine (VfSlots *slots, VfCall *call, VfSlotClass slot_class)
{
  if (g_queue_remove (&slots->waiting[VF_SLOT_QUARANTINE], call))
    vf_slots_call (slots, call, slot_class);
}

guint
vf_slots_busy (VfSlots *slots)
{
  guint busy = 0;

  for (int i = 0; i < N_CLASSES; i++)
    busy += slots->used[i] + slots->waiting[i].length;
  return busy;
}
