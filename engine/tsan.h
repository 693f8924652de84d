/*
 * Annotations for ThreadSanitizer, which cannot see into liburcu. Only for the files that call it
 * (rcu.c, queue.c, registry.c); everything else uses C11 atomics, which it understands.
 */
#ifndef PH_ENGINE_TSAN_H
#define PH_ENGINE_TSAN_H

#if defined(__SANITIZE_THREAD__)
#define PH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PH_TSAN 1
#endif
#endif

#ifdef PH_TSAN
extern void __tsan_acquire(void *);
extern void __tsan_release(void *);
#define PH_TSAN_ACQUIRE(address) __tsan_acquire((void *)(address))
#define PH_TSAN_RELEASE(address) __tsan_release((void *)(address))
#else
#define PH_TSAN_ACQUIRE(address) ((void)0)
#define PH_TSAN_RELEASE(address) ((void)0)
#endif

#endif
