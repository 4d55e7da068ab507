// A mutex on the platform's own primitive (C11 threads.h is missing on too many systems).
#ifndef VKS_MUTEX_H
#define VKS_MUTEX_H

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
typedef SRWLOCK vks_mutex;
static inline void vks_mutex_init(vks_mutex *mutex) {
    InitializeSRWLock(mutex);
}
static inline void vks_mutex_finish(vks_mutex *mutex) {
    (void)mutex;
}
static inline void vks_mutex_lock(vks_mutex *mutex) {
    AcquireSRWLockExclusive(mutex);
}
static inline void vks_mutex_unlock(vks_mutex *mutex) {
    ReleaseSRWLockExclusive(mutex);
}
#else
#include <pthread.h>
typedef pthread_mutex_t vks_mutex;
static inline void vks_mutex_init(vks_mutex *mutex) {
    pthread_mutex_init(mutex, 0);
}
static inline void vks_mutex_finish(vks_mutex *mutex) {
    pthread_mutex_destroy(mutex);
}
static inline void vks_mutex_lock(vks_mutex *mutex) {
    pthread_mutex_lock(mutex);
}
static inline void vks_mutex_unlock(vks_mutex *mutex) {
    pthread_mutex_unlock(mutex);
}
#endif

#endif
