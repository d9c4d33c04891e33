/* The wall clock goes back an hour whenever somebody looks at it; the monotonic clock goes on.
   To be preloaded: `cc -shared -fPIC`. */
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    static long looks;
    long result = syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && clock == CLOCK_REALTIME) {
        time->tv_sec -= 3600 * __atomic_fetch_add(&looks, 1, __ATOMIC_RELAXED);
    }
    return (int)result;
}
