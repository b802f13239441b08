/* A stand-in for one trtllm-serve 1.2: one thread and one epoll, so that it costs little beside what
 * is measured, and writes each event on its own, as uvicorn does.
 *
 *     mock PORT MODEL
 *
 * The prompt says what to answer: `MOCK n=64 itl_us=10000 ttft_us=0 burst=0`. Every token carries the
 * instant at which it was written (`@<ns>`), the first also the one at which the request had come
 * (`#<ns>`): the load generator subtracts. burst=1: the tokens of all streams leave at the same
 * instants, as after a step of an engine. itl_us=0: as fast as the reader takes them.
 *
 * GET /stats counts. POST /v1/traces takes spans, as a collector would: it runs beside the load, not
 * on the core of the gateway. Request bodies must have a content-length.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "frames.h"
#include "turns.h"

enum { READ_BYTES = 65536, EVENTS = 512, ACCEPTS = 64, US = 1000 };

static int poller;
static const char *model = "m";
static connection *dead;
static unsigned long requests, chunks, open_requests, traces;

/* --- connections --- */

static void hang_up(connection *c) {
    if (c->dead) return;
    if (c->busy) open_requests--;
    wait_for_nothing(c);
    close(c->fd);
    c->dead = 1;
    c->next_dead = dead;
    dead = c;
}

static void watch(connection *c, int operation, int also_out) {
    struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP | (also_out ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poller, operation, c->fd, &e);
}

/* Return 0 when all is written, 1 when some waits for the reader, -1 when the reader is gone. */
static int put(connection *c, const char *bytes, int length) {
    if (c->out_at == c->out_len) {
        ssize_t taken = send(c->fd, bytes, (size_t)length, MSG_NOSIGNAL);
        if (taken == length) return 0;
        if (taken < 0 && errno != EAGAIN) {
            hang_up(c);
            return -1;
        }
        if (taken < 0) taken = 0;
        bytes += taken;
        length -= (int)taken;
        c->out_at = c->out_len = 0;
        watch(c, EPOLL_CTL_MOD, 1);
    }
    if (c->out_len + length > c->out_cap) {
        c->out_cap = (c->out_len + length) * 2;
        c->out = realloc(c->out, (size_t)c->out_cap);
    }
    memcpy(c->out + c->out_len, bytes, (size_t)length);
    c->out_len += length;
    return 1;
}

static void end_request(connection *c) {
    c->busy = 0;
    open_requests--;
    wait_for_nothing(c);
    if (!c->keep && c->out_at == c->out_len) hang_up(c);
}

/* --- answers --- */

static int put_frame(connection *c, frame *f) {
    write_id(f->bytes + f->id_at);
    if (f->received_at >= 0) write_stamp(f->bytes + f->received_at, c->received_at);
    if (f->written_at >= 0) write_stamp(f->bytes + f->written_at, now_ns());
    return put(c, f->bytes, f->length);
}

static void put_whole_answer(connection *c) {
    static const char *chat =
        "{\"id\":\"chatcmpl-%s\",\"object\":\"chat.completion\"," CREATED ",\"model\":\"%s\",\"choices\":[{\"index\":0,"
        "\"message\":{\"role\":\"assistant\",\"content\":\" @%018lu#%018lu\",\"reasoning_content\":\"\","
        "\"reasoning\":null,\"tool_calls\":[]},\"logprobs\":null,\"finish_reason\":\"length\",\"stop_reason\":null,"
        "\"mm_embedding_handle\":null,\"disaggregated_params\":null,\"avg_decoded_tokens_per_iter\":1.0}],"
        "\"usage\":" COUNTS ",\"prompt_token_ids\":null}";
    static const char *completion =
        "{\"id\":\"cmpl-%s\",\"object\":\"text_completion\"," CREATED ",\"model\":\"%s\",\"choices\":[{\"index\":0,"
        "\"text\":\" @%018lu#%018lu\",\"token_ids\":null,\"logprobs\":null,\"context_logits\":null,"
        "\"finish_reason\":\"length\",\"stop_reason\":null,\"disaggregated_params\":null,"
        "\"avg_decoded_tokens_per_iter\":1.0}],\"usage\":" COUNTS ",\"prompt_token_ids\":null}";
    char id[ID_DIGITS + 1] = "", body[1400], answer[2000];
    write_id(id);
    int length = snprintf(body, sizeof body, c->chat ? chat : completion, id, model, now_ns(), c->received_at,
                          c->prompt_tokens, c->prompt_tokens + c->tokens, c->tokens);
    int all = snprintf(answer, sizeof answer,
                       HEAD "content-length: %d\r\ncontent-type: application/json\r\n\r\n%s", length, body);
    if (put(c, answer, all) >= 0) end_request(c);
}

/* Usage (a chat object for completions too, in this release), [DONE], the end: each a write of its own. */
static void put_tail(connection *c) {
    if (c->usage) {
        char id[ID_DIGITS + 1] = "", event[600], framed[700];
        write_id(id);
        int length = snprintf(event, sizeof event,
                              "data: {\"id\":\"chatcmpl-%s\",\"object\":\"chat.completion.chunk\"," CREATED
                              ",\"model\":\"%s\",\"choices\":[],\"usage\":" COUNTS "}\n\n",
                              id, model, c->prompt_tokens, c->prompt_tokens + c->tokens, c->tokens);
        int all = snprintf(framed, sizeof framed, "%x\r\n%s\r\n", length, event);
        if (put(c, framed, all) < 0) return;
    }
    if (put(c, "e\r\ndata: [DONE]\n\n\r\n", 19) >= 0 && put(c, "0\r\n\r\n", 5) >= 0) end_request(c);
}

/* Write one token of a stream, and what follows the last one. */
static void put_token(connection *c) {
    if (c->out_len > c->out_at) { /* goes on when the reader has taken what waits */
        wait_for_nothing(c);
        return;
    }
    int first = c->sent == 0, last = c->sent == c->tokens - 1;
    if (first && c->chat && put_frame(c, &role_frame) < 0) return;
    int waits = put_frame(c, &token_frames[c->chat][first][last]);
    if (waits < 0) return;
    chunks++;
    c->sent++;
    c->due_at += c->itl_ns;
    if (last)
        put_tail(c);
    else if (waits)
        wait_for_nothing(c);
    else
        wait_for_turn(c);
}

/* --- requests --- */

static void put_simple(connection *c, const char *status, const char *type, const char *body) {
    char answer[1024];
    int length = snprintf(answer, sizeof answer, "HTTP/1.1 %s\r\nserver: uvicorn\r\n%scontent-length: %zu\r\n\r\n%s",
                          status, type, strlen(body), body);
    c->busy = 1;
    open_requests++;
    if (put(c, answer, length) >= 0) end_request(c);
}

#define JSON "content-type: application/json\r\n"

static void answer_get(connection *c, const char *path) {
    char body[512];
    if (!strncmp(path, "/health ", 8)) {
        put_simple(c, "200 OK", "", "");
    } else if (!strncmp(path, "/v1/models ", 11)) {
        snprintf(body, sizeof body,
                 "{\"object\":\"list\",\"data\":[{\"id\":\"%s\",\"object\":\"model\"," CREATED
                 ",\"owned_by\":\"tensorrt_llm\"}]}", model);
        put_simple(c, "200 OK", JSON, body);
    } else if (!strncmp(path, "/version ", 9)) {
        put_simple(c, "200 OK", JSON, "{\"version\":\"1.2.0\"}");
    } else if (!strncmp(path, "/metrics ", 9)) {
        put_simple(c, "200 OK", JSON, "[]");
    } else if (!strncmp(path, "/stats ", 7)) {
        snprintf(body, sizeof body, "{\"requests\":%lu,\"chunks\":%lu,\"open\":%lu,\"traces\":%lu}", requests, chunks,
                 open_requests, traces);
        put_simple(c, "200 OK", JSON, body);
    } else {
        put_simple(c, "404 Not Found", JSON, "{\"detail\":\"Not Found\"}");
    }
}

static uint64_t setting(const char *body, int length, const char *name, uint64_t otherwise) {
    const char *found = memmem(body, (size_t)length, name, strlen(name));
    return found ? strtoull(found + strlen(name), NULL, 10) : otherwise;
}

static int says(const char *body, int length, const char *compact, const char *spaced) {
    return memmem(body, (size_t)length, compact, strlen(compact)) || memmem(body, (size_t)length, spaced, strlen(spaced));
}

static void generate(connection *c, const char *body, int length) {
    requests++;
    c->busy = 1;
    open_requests++;
    c->received_at = now_ns();
    c->streamed = says(body, length, "\"stream\":true", "\"stream\": true");
    c->usage = says(body, length, "\"include_usage\":true", "\"include_usage\": true");
    c->tokens = (int)setting(body, length, "MOCK n=", 1);
    c->itl_ns = setting(body, length, "itl_us=", 0) * US;
    c->burst = (int)setting(body, length, "burst=", 0);
    c->prompt_tokens = length / 4;
    c->sent = 0;
    uint64_t ttft_ns = setting(body, length, "ttft_us=", 0) * US;
    static const char head[] = HEAD "content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
    if (c->streamed && put(c, head, sizeof head - 1) < 0) return; /* before the first token, as theirs */
    c->due_at = c->received_at + ttft_ns + (c->streamed ? 0 : c->itl_ns * (uint64_t)c->tokens);
    if (c->burst && c->itl_ns) c->due_at = (c->due_at / c->itl_ns + 1) * c->itl_ns;
    if (ttft_ns || c->itl_ns)
        timer_set(c);
    else if (c->streamed)
        flood_set(c);
    else
        put_whole_answer(c);
}

static void handle(connection *c, const char *head, const char *body, int length) {
    const char *path = strchr(head, ' ');
    path = path ? path + 1 : head;
    c->keep = !strcasestr(head, "\r\nconnection: close");
    c->chat = !strncmp(path, "/v1/chat/completions ", 21);
    if (!strncmp(head, "GET ", 4)) {
        answer_get(c, path);
    } else if (!strncmp(path, "/v1/traces ", 11)) {
        traces++;
        put_simple(c, "200 OK", "content-type: application/x-protobuf\r\n", "");
    } else if (c->chat || !strncmp(path, "/v1/completions ", 16)) {
        generate(c, body, length);
    } else {
        put_simple(c, "404 Not Found", JSON, "{\"detail\":\"Not Found\"}");
    }
}

/* Answer each whole request that has come, one after the other. */
static void take_requests(connection *c) {
    while (!c->busy && !c->dead && c->in_len > 0) {
        char *end = memmem(c->in, (size_t)c->in_len, "\r\n\r\n", 4);
        if (!end) return;
        int head = (int)(end - c->in) + 4;
        char kept = c->in[head - 1];
        c->in[head - 1] = 0;
        const char *length = strcasestr(c->in, "\r\ncontent-length:");
        int body = length ? atoi(length + 17) : 0;
        if (c->in_len < head + body) {
            c->in[head - 1] = kept;
            return;
        }
        handle(c, c->in, c->in + head, body);
        if (c->dead) return;
        c->in_len -= head + body;
        memmove(c->in, c->in + head + body, (size_t)c->in_len);
    }
}

static void on_readable(connection *c) {
    for (;;) {
        if (c->in_len + READ_BYTES > c->in_cap) {
            c->in_cap = c->in_cap ? c->in_cap * 2 : 2 * READ_BYTES;
            c->in = realloc(c->in, (size_t)c->in_cap);
        }
        ssize_t came = recv(c->fd, c->in + c->in_len, (size_t)(c->in_cap - c->in_len - 1), 0);
        if (came < 0 && errno == EAGAIN) break;
        if (came <= 0) {
            hang_up(c);
            return;
        }
        c->in_len += (int)came;
        if (came < READ_BYTES) break;
    }
    take_requests(c);
}

static void on_writable(connection *c) {
    while (c->out_at < c->out_len) {
        ssize_t taken = send(c->fd, c->out + c->out_at, (size_t)(c->out_len - c->out_at), MSG_NOSIGNAL);
        if (taken < 0 && errno == EAGAIN) return;
        if (taken < 0) {
            hang_up(c);
            return;
        }
        c->out_at += (int)taken;
    }
    c->out_at = c->out_len = 0;
    watch(c, EPOLL_CTL_MOD, 0);
    if (c->busy)
        wait_for_turn(c);
    else if (!c->keep)
        hang_up(c);
    else
        take_requests(c);
}

/* --- the loop --- */

static void accept_some(int listener) {
    int on = 1;
    for (int i = 0; i < ACCEPTS; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connection *c = calloc(1, sizeof *c);
        c->fd = fd;
        c->timer_at = c->flood_at = -1;
        watch(c, EPOLL_CTL_ADD, 0);
    }
}

static void turn(connection *c) {
    if (!c->streamed)
        put_whole_answer(c);
    else if (!c->itl_ns && c->timer_at >= 0) { /* its first token is due: from now on it never waits */
        timer_clear(c);
        flood_set(c);
        return;
    } else
        put_token(c);
    if (!c->dead && !c->busy) take_requests(c);
}

static void give_turns(void) {
    for (int i = floods.count - 1; i >= 0; i--)
        if (i < floods.count) turn(floods.all[i]);
    uint64_t now = now_ns();
    for (int i = 0; timers.count && timers.all[0]->due_at <= now && i < 4096; i++) turn(timers.all[0]);
}

static int wait_for_events(struct epoll_event *events) {
    struct timespec left = {0, 0}, *limit = &left;
    if (!floods.count && timers.count) {
        uint64_t now = now_ns(), due = timers.all[0]->due_at, ns = due > now ? due - now : 0;
        left = (struct timespec){(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};
    } else if (!floods.count) {
        limit = NULL;
    }
    return epoll_pwait2(poller, events, EVENTS, limit, NULL);
}

static int listen_on(int port) {
    int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) {
        perror("mock: cannot listen");
        exit(1);
    }
    return listener;
}

int main(int count, char **words) {
    if (count != 3) {
        fprintf(stderr, "usage: mock PORT MODEL\n");
        return 2;
    }
    model = words[2];
    signal(SIGPIPE, SIG_IGN);
    make_frames(model);
    int listener = listen_on(atoi(words[1]));
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event accepting = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &accepting);
    for (;;) {
        int count_of_events = wait_for_events(events);
        for (int i = 0; i < count_of_events; i++) {
            connection *c = events[i].data.ptr;
            if (!c) accept_some(listener);
            if (!c || c->dead) continue;
            if (events[i].events & EPOLLOUT) on_writable(c);
            if (!c->dead && events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) on_readable(c);
        }
        give_turns();
        while (dead) {
            connection *c = dead;
            dead = c->next_dead;
            free(c->in);
            free(c->out);
            free(c);
        }
    }
}
