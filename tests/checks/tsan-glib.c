/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tells ThreadSanitizer how GLib orders threads: GLib is not instrumented, its mutexes are bare
 * futexes, and its pools and main loop hand over by them, so that every hand-over would look like a
 * race. Linked into tests in a build with b_sanitize=thread; stands before GLib's own functions.
 */
#include <glib.h>

#include <dlfcn.h>
#include <pthread.h>
#include <sanitizer/tsan_interface.h>

#undef g_mutex_lock
#undef g_mutex_unlock

#define REAL(function) ((__typeof__ (&(function))) dlsym (RTLD_NEXT, #function))

/* --- locks ------------------------------------------------------------------------------------ */

void
g_mutex_lock (GMutex *mutex)
{
  static void (*real) (GMutex *);

  if (g_atomic_pointer_get (&real) == NULL)
    g_atomic_pointer_set (&real, REAL (g_mutex_lock));
  real (mutex);
  __tsan_acquire (mutex);
}

void
g_mutex_unlock (GMutex *mutex)
{
  static void (*real) (GMutex *);

  if (g_atomic_pointer_get (&real) == NULL)
    g_atomic_pointer_set (&real, REAL (g_mutex_unlock));
  __tsan_release (mutex);
  real (mutex);
}

void
g_cond_wait (GCond *cond, GMutex *mutex)
{
  __tsan_release (mutex);
  REAL (g_cond_wait) (cond, mutex);
  __tsan_acquire (mutex);
}

gboolean
g_cond_wait_until (GCond *cond, GMutex *mutex, gint64 end)
{
  gboolean signalled;

  __tsan_release (mutex);
  signalled = REAL (g_cond_wait_until) (cond, mutex, end);
  __tsan_acquire (mutex);
  return signalled;
}

/* The last one to let go comes after all others. */
void
g_atomic_rc_box_release_full (gpointer box, GDestroyNotify clear)
{
  __tsan_release (box);
  __tsan_acquire (box);
  REAL (g_atomic_rc_box_release_full) (box, clear);
}

/* --- hand-overs ------------------------------------------------------------------------------- */

typedef struct {
  GFunc func;
  gpointer data;
} Work;

static void
run_work (gpointer item, gpointer data)
{
  const Work *work = data;

  __tsan_acquire (item);
  work->func (item, work->data);
}

GThreadPool *
g_thread_pool_new (GFunc func, gpointer data, gint most, gboolean exclusive, GError **error)
{
  Work *work = g_new (Work, 1); /* as long as the process */

  *work = (Work){ func, data };
  return REAL (g_thread_pool_new) (run_work, work, most, exclusive, error);
}

gboolean
g_thread_pool_push (GThreadPool *pool, gpointer item, GError **error)
{
  __tsan_release (item);
  return REAL (g_thread_pool_push) (pool, item, error);
}

typedef struct {
  pthread_mutex_t lock; /* which orders what GLib allocates for it, too */
  GSourceFunc func;
  gpointer data;
  GDestroyNotify notify;
} Idle;

static gboolean
run_idle (gpointer data)
{
  Idle *idle = data;

  __tsan_acquire (idle);
  pthread_mutex_lock (&idle->lock);
  pthread_mutex_unlock (&idle->lock);
  return idle->func (idle->data);
}

static void
free_idle (gpointer data)
{
  Idle *idle = data;

  if (idle->notify != NULL)
    idle->notify (idle->data);
  g_free (idle);
}

guint
g_idle_add_full (gint priority, GSourceFunc func, gpointer data, GDestroyNotify notify)
{
  Idle *idle = g_new (Idle, 1);
  guint id;

  *idle = (Idle){ PTHREAD_MUTEX_INITIALIZER, func, data, notify };
  __tsan_release (idle);
  pthread_mutex_lock (&idle->lock);
  id = REAL (g_idle_add_full) (priority, run_idle, idle, free_idle);
  pthread_mutex_unlock (&idle->lock);
  return id;
}
