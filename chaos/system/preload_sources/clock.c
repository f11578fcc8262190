/* Preloaded into a process whose time of day is to be wrong by CHAOS_CLOCK_SECONDS, which may be negative. The monotonic clock
 * stays right, as on a machine whose clock is set by hand. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>

static long off_seconds(void) {
    static long known, off;
    if (!known) {
        const char *text = getenv("CHAOS_CLOCK_SECONDS");
        off = text ? atol(text) : 0;
        known = 1;
    }
    return off;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += off_seconds();
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int result = syscall(SYS_gettimeofday, now, zone);
    if (result == 0) now->tv_sec += off_seconds();
    return result;
}

time_t time(time_t *where) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where) *where = now.tv_sec;
    return now.tv_sec;
}
