/*
 * Put into a program by LD_PRELOAD: its wall clock is off by as many seconds as FOLIO_CLOCK_OFF says. Its monotonic clock goes as it does.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    const char *off = getenv("FOLIO_CLOCK_OFF");
    int failed;

    if (real == NULL)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    failed = real(clock, now);
    if (failed == 0 && off != NULL && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += atol(off);
    return failed;
}
