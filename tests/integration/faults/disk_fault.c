/*
 * Put between a server and its disk by LD_PRELOAD: makes the calls fail that a control file names.
 *
 * FOLIO_DISK_FAULT names the control file. It holds one line, or does not exist and nothing fails:
 *
 *     <EIO|ENOSPC> <fdatasync|fsync|write> <part of the file's path> [once]
 *
 * "write" is every call that writes or reserves room. With "once" the file is removed by the process
 * whose call fails, so that one call of all processes does.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* The error that a call on a file is to fail with, or 0. */
static int fault(const char *call, int fd)
{
    const char *control = getenv("FOLIO_DISK_FAULT");
    char line[512], error[16], failing[16], part[256], once[8] = "", link[32], path[4096];
    ssize_t length;
    int file, saved = errno;

    if (control == NULL || (file = open(control, O_RDONLY | O_CLOEXEC)) < 0)
    {
        errno = saved;
        return 0;
    }
    length = read(file, line, sizeof line - 1);
    close(file);
    errno = saved;
    if (length <= 0)
        return 0;
    line[length] = '\0';
    if (sscanf(line, "%15s %15s %255s %7s", error, failing, part, once) < 3
        || strcmp(failing, call) != 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    errno = saved;
    if (length <= 0)
        return 0;
    path[length] = '\0';
    if (strstr(path, part) == NULL)
        return 0;
    if (strcmp(once, "once") == 0 && unlink(control) != 0)
    {
        errno = saved;
        return 0;
    }
    return strcmp(error, "EIO") == 0 ? EIO : ENOSPC;
}

#define REAL(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))

#define FAILS_AS(call, name, parameters, arguments, type)                                           \
    type name parameters                                                                            \
    {                                                                                               \
        int error = fault(call, fd);                                                                \
        if (error != 0)                                                                             \
        {                                                                                           \
            errno = error;                                                                          \
            return -1;                                                                              \
        }                                                                                           \
        return REAL(name) arguments;                                                                \
    }

FAILS_AS("fdatasync", fdatasync, (int fd), (fd), int)
FAILS_AS("fsync", fsync, (int fd), (fd), int)
FAILS_AS("write", write, (int fd, const void *bytes, size_t count), (fd, bytes, count), ssize_t)
FAILS_AS("write", pwrite, (int fd, const void *bytes, size_t count, off_t at),
         (fd, bytes, count, at), ssize_t)
FAILS_AS("write", pwritev, (int fd, const struct iovec *parts, int count, off_t at),
         (fd, parts, count, at), ssize_t)

/* This one answers with the error. */
int posix_fallocate(int fd, off_t from, off_t count)
{
    int error = fault("write", fd);
    return error != 0 ? error : REAL(posix_fallocate)(fd, from, count);
}

/* What glibc calls them in programs that are built for large files, as PostgreSQL is. */
#ifdef __GLIBC__
FAILS_AS("write", pwrite64, (int fd, const void *bytes, size_t count, off64_t at),
         (fd, bytes, count, at), ssize_t)
FAILS_AS("write", pwritev64, (int fd, const struct iovec *parts, int count, off64_t at),
         (fd, parts, count, at), ssize_t)

int posix_fallocate64(int fd, off64_t from, off64_t count)
{
    int error = fault("write", fd);
    return error != 0 ? error : REAL(posix_fallocate64)(fd, from, count);
}
#endif
