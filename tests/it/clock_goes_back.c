/* Each reading of the wall clock is an hour earlier than the one before. The monotonic clock is unchanged.
   For LD_PRELOAD: `cc -shared -fPIC`. */
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    static long readings;
    long result = syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && clock == CLOCK_REALTIME) {
        time->tv_sec -= 3600 * __atomic_fetch_add(&readings, 1, __ATOMIC_RELAXED);
    }
    return (int)result;
}
