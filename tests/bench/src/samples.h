/* Times that were seen, all kept, so that quantiles are exact. */
#ifndef SAMPLES_H
#define SAMPLES_H
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { NS_PER_TENTH_US = 100 };

typedef struct {
    uint32_t *all; /* tenths of a microsecond */
    size_t count, cap;
} samples;

static void note(samples *s, int64_t ns) {
    int64_t tenths = ns / NS_PER_TENTH_US;
    if (s->count == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 65536;
        s->all = realloc(s->all, s->cap * sizeof *s->all);
    }
    s->all[s->count++] = tenths < 0 ? 0 : tenths > UINT32_MAX ? UINT32_MAX : (uint32_t)tenths;
}

static int ascending(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

static double quantile(const samples *s, double share) { return s->all[(size_t)((double)(s->count - 1) * share)] / 10.0; }

static void print_samples(const char *name, samples *s) {
    if (!s->count) {
        printf(",\"%s\":null", name);
        return;
    }
    qsort(s->all, s->count, sizeof *s->all, ascending);
    printf(",\"%s\":{\"count\":%zu,\"p50\":%.1f,\"p99\":%.1f,\"max\":%.1f}", name, s->count, quantile(s, .5),
           quantile(s, .99), quantile(s, 1));
}

#endif
