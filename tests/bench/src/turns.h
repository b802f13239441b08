/* Whose turn it is to write: a heap of streams that wait for an instant, and a list of streams that never
 * wait. A stream is in one of them at most; in neither while its reader has not taken what it was sent.
 */
#ifndef TURNS_H
#define TURNS_H
#include <stdint.h>
#include <stdlib.h>

typedef struct connection connection;
struct connection {
    int fd, keep, dead, busy;
    char *in;
    int in_len, in_cap;
    char *out; /* what the reader did not take yet */
    int out_at, out_len, out_cap;
    int chat, streamed, usage, burst; /* the running request */
    int tokens, sent, prompt_tokens;
    uint64_t itl_ns, due_at, received_at;
    int timer_at, flood_at; /* places in the two lists below; -1: not there */
    connection *next_dead;
};

typedef struct {
    connection **all;
    int count, cap;
} list;
static list timers, floods;

static void grow(list *l) {
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 256;
        l->all = realloc(l->all, (size_t)l->cap * sizeof *l->all);
    }
}

static void timer_place(int at, connection *c) {
    timers.all[at] = c;
    c->timer_at = at;
}

static void timer_settle(connection *c) {
    int at = c->timer_at;
    for (int up; at > 0 && timers.all[up = (at - 1) / 2]->due_at > c->due_at; at = up)
        timer_place(at, timers.all[up]);
    for (int down; (down = 2 * at + 1) < timers.count; at = down) {
        if (down + 1 < timers.count && timers.all[down + 1]->due_at < timers.all[down]->due_at) down++;
        if (timers.all[down]->due_at >= c->due_at) break;
        timer_place(at, timers.all[down]);
    }
    timer_place(at, c);
}

static void timer_set(connection *c) {
    if (c->timer_at < 0) {
        grow(&timers);
        timer_place(timers.count++, c);
    }
    timer_settle(c);
}

static void timer_clear(connection *c) {
    int at = c->timer_at;
    if (at < 0) return;
    c->timer_at = -1;
    connection *last = timers.all[--timers.count];
    if (last == c) return;
    timer_place(at, last);
    timer_settle(last);
}

static void flood_set(connection *c) {
    if (c->flood_at >= 0) return;
    grow(&floods);
    c->flood_at = floods.count;
    floods.all[floods.count++] = c;
}

static void flood_clear(connection *c) {
    int at = c->flood_at;
    if (at < 0) return;
    c->flood_at = -1;
    connection *last = floods.all[--floods.count];
    if (last == c) return;
    floods.all[at] = last;
    last->flood_at = at;
}

static void wait_for_turn(connection *c) { c->itl_ns ? timer_set(c) : flood_set(c); }

static void wait_for_nothing(connection *c) {
    timer_clear(c);
    flood_clear(c);
}

#endif
