/* Another machine for LD_PRELOAD: `cc -shared -fPIC`. The wall clock is off by the seconds in the file `.clock` of the home
   directory, and there is a container's marker if there is a file `.container`. The monotonic clock is unchanged. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static FILE *open_in_home(const char *name) {
    char path[4096];
    const char *home = getenv("HOME");
    snprintf(path, sizeof path, "%s/%s", home ? home : "", name);
    return fopen(path, "re");
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    long result = syscall(SYS_clock_gettime, clock, time);
    FILE *file = result == 0 && clock == CLOCK_REALTIME ? open_in_home(".clock") : NULL;
    if (file) {
        long seconds = 0;
        if (fscanf(file, "%ld", &seconds) == 1) time->tv_sec += seconds;
        fclose(file);
    }
    return (int)result;
}

int statx(int directory, const char *path, int flags, unsigned mask, struct statx *status) {
    if (path && (!strcmp(path, "/.dockerenv") || !strcmp(path, "/run/.containerenv"))) {
        FILE *file = open_in_home(".container");
        if (!file) {
            errno = ENOENT;
            return -1;
        }
        fclose(file);
        path = "/";
    }
    return (int)syscall(SYS_statx, directory, path, flags, mask, status);
}
