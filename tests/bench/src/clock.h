/* The clock that mock and load share: both stamp what they write and read on one machine. */
#ifndef CLOCK_H
#define CLOCK_H
#include <stdint.h>
#include <time.h>

#define NS_PER_S 1000000000ull
#define STAMP_DIGITS 18 /* nanoseconds since boot, zero-padded: enough for 31 years */

static inline uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

#endif
