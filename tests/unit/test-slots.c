/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many calls are made at a time, of which class, and in which order. */
#include "error.h"
#include "slots.h"

typedef struct {
  VfHypervisor base; /* takes calls, and answers when the test says so */
  GQueue made;       /* VfCall* */
  VfSlots *slots;
  GString *done; /* names of calls, as they are done; “!” before those that failed */
} Fixture;

static void
take_call (VfHypervisor *hypervisor, VfCall *call)
{
  g_queue_push_tail (&((Fixture *) hypervisor)->made, call);
}

static void
set_up (Fixture *fixture, gconstpointer max)
{
  fixture->base.call = take_call;
  g_queue_init (&fixture->made);
  fixture->slots = vf_slots_new (&fixture->base, GPOINTER_TO_UINT (max));
  fixture->done = g_string_new (NULL);
}

static void
on_done (VfCall *call, gpointer data)
{
  Fixture *fixture = data;

  g_string_append_printf (fixture->done, "%s%s", call->error != NULL ? "!" : "", call->uuid);
  vf_call_free (call);
}

static void
answer (Fixture *fixture)
{
  VfCall *call = g_queue_pop_head (&fixture->made);

  call->done (call, call->data);
}

static void
tear_down (Fixture *fixture, gconstpointer max G_GNUC_UNUSED)
{
  while (!g_queue_is_empty (&fixture->made))
    answer (fixture);
  g_assert_cmpuint (vf_slots_busy (fixture->slots), ==, 0);
  vf_slots_free (fixture->slots);
  g_string_free (fixture->done, TRUE);
}

static gboolean
is_wanted (gpointer data G_GNUC_UNUSED)
{
  return TRUE;
}

static gboolean
is_unwanted (gpointer data G_GNUC_UNUSED)
{
  return FALSE;
}

static VfCall *
make (Fixture *fixture, const char *name, VfSlotClass slot_class)
{
  VfCall *call = vf_call_new (VF_CALL_MAP, name, 1);

  call->wanted = is_wanted;
  call->done = on_done;
  call->data = fixture;
  vf_slots_call (fixture->slots, call, slot_class);
  return call;
}

static void
make_many (Fixture *fixture, guint n, VfSlotClass slot_class)
{
  for (guint i = 0; i < n; i++)
    make (fixture, "", slot_class);
}

static void
test_common (Fixture *fixture, gconstpointer max G_GNUC_UNUSED)
{
  make_many (fixture, 7, VF_SLOT_COMMON);
  g_assert_true (vf_slots_free_now (fixture->slots, VF_SLOT_COMMON));
  make_many (fixture, 4, VF_SLOT_COMMON);
  g_assert_cmpuint (fixture->made.length, ==, 8);
  g_assert_cmpuint (vf_slots_busy (fixture->slots), ==, 11);
  g_assert_false (vf_slots_free_now (fixture->slots, VF_SLOT_COMMON));
  g_assert_true (vf_slots_free_now (fixture->slots, VF_SLOT_FIRST_THAW));
  g_assert_true (vf_slots_free_now (fixture->slots, VF_SLOT_QUARANTINE));
  answer (fixture);
  g_assert_cmpuint (fixture->made.length, ==, 8);
  g_assert_cmpuint (vf_slots_busy (fixture->slots), ==, 10);
}

static void
test_first_thaws_use_free_ones (Fixture *fixture, gconstpointer max G_GNUC_UNUSED)
{
  make_many (fixture, 20, VF_SLOT_FIRST_THAW);
  g_assert_cmpuint (fixture->made.length, ==, 12);
  make_many (fixture, 1, VF_SLOT_COMMON);
  make_many (fixture, 3, VF_SLOT_QUARANTINE);
  g_assert_cmpuint (fixture->made.length, ==, 14);
  g_assert_false (vf_slots_free_now (fixture->slots, VF_SLOT_FIRST_THAW));
  g_assert_false (vf_slots_free_now (fixture->slots, VF_SLOT_QUARANTINE));
}

static void
test_first_thaws_have_their_own (Fixture *fixture, gconstpointer max G_GNUC_UNUSED)
{
  make_many (fixture, 20, VF_SLOT_COMMON);
  make_many (fixture, 5, VF_SLOT_FIRST_THAW);
  g_assert_cmpuint (fixture->made.length, ==, 12);
  /* The first that ends is one of the 8: it goes to the thaw that waits. */
  make (fixture, "", VF_SLOT_COMMON);
  answer (fixture);
  g_assert_cmpuint (fixture->made.length, ==, 12);
  g_assert_cmpuint (vf_slots_busy (fixture->slots), ==, 25);
}

static void
test_thaws_go_first (Fixture *fixture, gconstpointer max G_GNUC_UNUSED)
{
  make_many (fixture, 12, VF_SLOT_FIRST_THAW);
  make (fixture, "freeze ", VF_SLOT_COMMON);
  make (fixture, "thaw ", VF_SLOT_FIRST_THAW);
  while (!g_queue_is_empty (&fixture->made))
    answer (fixture);
  g_assert_cmpstr (fixture->done->str, ==, "thaw freeze ");
}

static void
test_quarantine (Fixture *fixture, gconstpointer max G_GNUC_UNUSED)
{
  make_many (fixture, 5, VF_SLOT_QUARANTINE);
  g_assert_cmpuint (fixture->made.length, ==, 2);
  make_many (fixture, 9, VF_SLOT_COMMON);
  g_assert_cmpuint (fixture->made.length, ==, 10);
}

static void
test_order (Fixture *fixture, gconstpointer max G_GNUC_UNUSED)
{
  make_many (fixture, 8, VF_SLOT_COMMON);
  for (char name[] = "a"; name[0] <= 'e'; name[0]++)
    make (fixture, name, VF_SLOT_COMMON);
  while (!g_queue_is_empty (&fixture->made))
    answer (fixture);
  g_assert_cmpstr (fixture->done->str, ==, "abcde");
}

static void
test_unwanted (Fixture *fixture, gconstpointer max G_GNUC_UNUSED)
{
  VfCall *call;

  make_many (fixture, 8, VF_SLOT_COMMON);
  call = make (fixture, "a", VF_SLOT_COMMON);
  make (fixture, "b", VF_SLOT_COMMON);
  call->wanted = is_unwanted;
  answer (fixture);
  /* Its turn passes to the next, and it is answered from the main loop. */
  g_assert_cmpstr (fixture->done->str, ==, "");
  g_assert_cmpuint (fixture->made.length, ==, 8);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpstr (fixture->done->str, ==, "!a");
}

static void
test_end_of_quarantine (Fixture *fixture, gconstpointer max G_GNUC_UNUSED)
{
  VfCall *waiting, *made;

  made = make (fixture, "made ", VF_SLOT_QUARANTINE);
  make (fixture, "", VF_SLOT_QUARANTINE);
  waiting = make (fixture, "waiting ", VF_SLOT_QUARANTINE);
  vf_slots_end_quarantine (fixture->slots, made, VF_SLOT_COMMON);
  g_assert_cmpuint (fixture->made.length, ==, 2);
  vf_slots_end_quarantine (fixture->slots, waiting, VF_SLOT_FIRST_THAW);
  g_assert_cmpuint (fixture->made.length, ==, 3);
  g_assert_false (vf_slots_free_now (fixture->slots, VF_SLOT_QUARANTINE));
}

static void
test_fewer (Fixture *fixture, gconstpointer max G_GNUC_UNUSED)
{
  make_many (fixture, 20, VF_SLOT_COMMON);
  vf_slots_set_max (fixture->slots, 7); /* 4, 2, 1 */
  for (guint left = 8; left > 4; left--)
    {
      g_assert_cmpuint (fixture->made.length, ==, left);
      answer (fixture);
    }
  g_assert_cmpuint (fixture->made.length, ==, 4);
  answer (fixture);
  g_assert_cmpuint (fixture->made.length, ==, 4);
  vf_slots_set_max (fixture->slots, 14);
  answer (fixture);
  g_assert_cmpuint (fixture->made.length, ==, 8);
}

static void
test_least (Fixture *fixture, gconstpointer max G_GNUC_UNUSED)
{
  make_many (fixture, 3, VF_SLOT_QUARANTINE);
  make_many (fixture, 3, VF_SLOT_COMMON);
  make_many (fixture, 3, VF_SLOT_FIRST_THAW);
  g_assert_cmpuint (fixture->made.length, ==, 3);
}

#define ADD(name, max, func)                                                                       \
  g_test_add ("/slots/" name, Fixture, GUINT_TO_POINTER (max), set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("common", 14, test_common);
  ADD ("first-thaws-use-free-ones", 14, test_first_thaws_use_free_ones);
  ADD ("first-thaws-have-their-own", 14, test_first_thaws_have_their_own);
  ADD ("thaws-go-first", 14, test_thaws_go_first);
  ADD ("quarantine", 14, test_quarantine);
  ADD ("order-of-arrival", 14, test_order);
  ADD ("unwanted", 14, test_unwanted);
  ADD ("end-of-quarantine", 14, test_end_of_quarantine);
  ADD ("fewer-than-before", 14, test_fewer);
  ADD ("least", 3, test_least);
  return g_test_run ();
}
