/* A disk that keeps only what was synced: loaded into the server with LD_PRELOAD.
 *
 * POWER_CUT_DISK is the directory that a power cut would leave. Each fsync of a file copies it there as it is; what is
 * written afterwards is lost. With POWER_CUT_IGNORE=SUFFIX the fsync of files that end so does nothing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DESCRIPTORS = 4096 };
static char names[DESCRIPTORS][256];

static int remember(int fd, const char *path) {
    const char *slash = strrchr(path, '/');
    if (fd >= 0 && fd < DESCRIPTORS) snprintf(names[fd], sizeof names[fd], "%s", slash ? slash + 1 : path);
    return fd;
}

#define OPEN(NAME)                                                              \
    int NAME(const char *path, int flags, ...) {                                \
        va_list more;                                                           \
        va_start(more, flags);                                                  \
        int mode = va_arg(more, int);                                           \
        va_end(more);                                                           \
        int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, #NAME);          \
        return remember(real(path, flags, mode), path);                         \
    }
OPEN(open)
OPEN(open64)

static int copy(int fd) {
    const char *disk = getenv("POWER_CUT_DISK"), *ignored = getenv("POWER_CUT_IGNORE");
    if (!disk || fd < 0 || fd >= DESCRIPTORS || !names[fd][0]) return 0;
    size_t length = strlen(names[fd]), end = ignored ? strlen(ignored) : 0;
    if (end && length >= end && !strcmp(names[fd] + length - end, ignored)) return 0;
    char path[1024], whole[1024], buffer[65536];
    snprintf(path, sizeof path, "%s/%s", disk, names[fd]);
    snprintf(whole, sizeof whole, "%s.new", path);
    int out = creat(whole, 0600);
    if (out < 0) return 0;
    ssize_t got;
    for (off_t at = 0; (got = pread(fd, buffer, sizeof buffer, at)) > 0; at += got)
        if (write(out, buffer, got) != got) abort();
    close(out);
    /* One who reads a directory, and not a file, has nothing to keep. */
    if (got < 0) unlink(whole);
    else rename(whole, path);
    return 0;
}

int fsync(int fd) { return copy(fd); }
int fdatasync(int fd) { return copy(fd); }
