/* A closed loop of streaming clients: one thread and one epoll, loopback only. Prints one line of JSON.
 *
 *     load -port 8080 -path /v1/chat/completions -model m -c 256 -d 3 -tokens 64 -itl-us 10000 ...
 *
 * Each client sends its next request when the answer to the last one has ended, until -d seconds have
 * passed; what runs then runs to its end. The mock's stamps in the tokens give, in microseconds:
 *   added_chunk_us   a token's way, from the mock's write to the read here
 *   added_ttft_us    the request's way to the mock plus the first token's way back
 * An answer counts as ok only if it is whole: status 200, all tokens, [DONE], usage where it was asked.
 * With -from-ms and -to-ms, steady_chunks counts what came between those instants.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "samples.h"

enum { READ_BYTES = 65536, EVENTS = 512, LOOK_MS = 200, GIVE_UP_ERRORS = 2000 };
#define KEY "sk-bench-7f3c91d2a4b8e605c1f29a"

static struct {
    int port, clients, streamed, tokens, prompt_bytes, burst, usage;
    long itl_us, ttft_us;
    double seconds, ramp_ms, timeout_s, from_ms, to_ms;
    const char *path, *model;
} ask = {.clients = 1, .streamed = 1, .tokens = 128, .usage = 1, .timeout_s = 30, .path = "/v1/chat/completions", .model = "m"};

/* --- clients --- */

enum client_state { CONNECTING, IDLE, HEAD, BODY };
enum chunk_state { SIZE, DATA, AFTER_DATA, AFTER_LAST };

typedef struct {
    int fd;
    enum client_state state;
    uint64_t starts_at, sent_at;
    char *head; /* the answer's head, until it is whole */
    int head_len, head_cap;
    char *text; /* of a stream: the unfinished line; else the body */
    int text_len, text_cap;
    int status, chunked, events; /* events: its type is text/event-stream */
    long left; /* of the body or of the chunk; -1: until the connection ends */
    enum chunk_state chunk;
    int tokens, done, usage;
    int asked; /* every client asks once, however late its turn comes */
} client;

static samples added_chunk, added_ttft;
static int poller, opened;
static struct sockaddr_in address;
static uint64_t started_at, stops_at, from_at, to_at;
static unsigned long issued, ok, errors, tokens_read, steady_tokens, reads, event_lines, reconnects;
static struct {
    unsigned long connect, reset, cut, status, tokens, done, usage, timeout;
} failed;
static char first_error[300], *padding;

static int goes_on(void) { return now_ns() < stops_at && (errors < GIVE_UP_ERRORS || errors < issued / 2); }

/* Text that looks like a prompt: words, and an escape here and there. */
static void make_padding(void) {
    int length = ask.prompt_bytes;
    padding = calloc(1, (size_t)length + 1);
    uint32_t state = 12345;
    for (int i = 0; i < length; i++) {
        state = state * 1103515245 + 12345;
        int letter = (int)(state >> 16) % 40;
        padding[i] = letter < 26 ? (char)('a' + letter) : letter < 36 ? ' ' : 'e';
    }
    for (int i = 100; i + 2 < length; i += 120) {
        padding[i] = '\\';
        padding[i + 1] = (i / 120) % 2 ? 'n' : '"';
    }
}

static char request[262144];

static int make_request(void) {
    static char body[200000], said[160];
    snprintf(said, sizeof said, "req=%08lu MOCK n=%d itl_us=%ld ttft_us=%ld burst=%d ", issued, ask.tokens, ask.itl_us,
             ask.ttft_us, ask.burst);
    const char *stream = !ask.streamed ? "" : ask.usage ? ",\"stream\":true,\"stream_options\":{\"include_usage\":true}" : ",\"stream\":true";
    const char *form = strstr(ask.path, "/chat/")
                           ? "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"%s%s\"}],\"max_tokens\":%d,\"temperature\":0.7%s}"
                           : "{\"model\":\"%s\",\"prompt\":\"%s%s\",\"max_tokens\":%d,\"temperature\":0.7%s}";
    int length = snprintf(body, sizeof body, form, ask.model, said, padding, ask.tokens, stream);
    return snprintf(request, sizeof request,
                    "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nAccept: */*\r\n"
                    "User-Agent: load\r\nAuthorization: Bearer " KEY "\r\nContent-Length: %d\r\n\r\n%s",
                    ask.path, ask.port, length, body);
}

static void watch(client *c, int operation, uint32_t what) {
    struct epoll_event e = {.events = what, .data.ptr = c};
    epoll_ctl(poller, operation, c->fd, &e);
}

static void dial(client *c) {
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        perror("load: cannot open a connection");
        exit(1);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connect(c->fd, (void *)&address, sizeof address);
    c->state = CONNECTING;
    watch(c, EPOLL_CTL_ADD, EPOLLOUT);
    opened++;
}

static void leave(client *c) {
    if (c->fd >= 0) {
        close(c->fd);
        opened--;
    }
    c->fd = -1;
    c->state = IDLE;
}

static void send_request(client *c) {
    int length = make_request(), sent = 0;
    issued++;
    c->asked = 1;
    c->state = HEAD;
    c->head_len = c->text_len = 0;
    c->tokens = c->done = c->usage = 0;
    c->sent_at = now_ns();
    while (sent < length) {
        ssize_t taken = send(c->fd, request + sent, (size_t)(length - sent), MSG_NOSIGNAL);
        if (taken < 0 && errno != EAGAIN) return; /* the read will tell */
        if (taken < 0) {
            struct pollfd room = {c->fd, POLLOUT, 0};
            poll(&room, 1, 1000);
        } else {
            sent += (int)taken;
        }
    }
}

static void next_request(client *c) {
    if (c->asked && !goes_on()) {
        leave(c);
    } else if (c->fd < 0) {
        reconnects++;
        dial(c);
    } else {
        send_request(c);
    }
}

static void fail(client *c, unsigned long *why) {
    (*why)++;
    errors++;
    c->asked = 1;
    leave(c);
    next_request(c);
}

static void keep_error(const client *c) {
    if (first_error[0]) return;
    int at = snprintf(first_error, 100, "status %d, %d tokens, done %d, usage %d: ", c->status, c->tokens, c->done, c->usage);
    for (int i = 0; c->status != 200 && i < c->text_len && at < (int)sizeof first_error - 1; i++)
        if (c->text[i] >= ' ' && c->text[i] != '"' && c->text[i] != '\\') first_error[at++] = c->text[i];
    first_error[at] = 0;
}

static void finish(client *c) {
    unsigned long *why = NULL;
    int wants_usage = !ask.streamed || ask.usage;
    if (c->status != 200)
        why = &failed.status;
    else if (c->tokens != (ask.streamed ? ask.tokens : 1))
        why = &failed.tokens;
    else if (ask.streamed && !c->done)
        why = &failed.done;
    else if (c->usage != (wants_usage ? ask.tokens : 0))
        why = &failed.usage; /* missing, wrong, or shown though nobody asked */
    if (why) {
        (*why)++;
        errors++;
        keep_error(c);
    } else {
        ok++;
    }
    next_request(c);
}

/* --- what comes --- */

static uint64_t number(const char *at) {
    uint64_t value = 0;
    while (isdigit((unsigned char)*at)) value = value * 10 + (uint64_t)(*at++ - '0');
    return value;
}

static void on_token(client *c, const char *written, const char *end, uint64_t at) {
    const char *received = memchr(written, '#', (size_t)(end - written));
    int64_t way = (int64_t)(at - number(written));
    c->tokens++;
    tokens_read++;
    if (at >= from_at && at < to_at) steady_tokens++;
    if (received && received - written <= STAMP_DIGITS)
        note(&added_ttft, (int64_t)(number(received + 1) - c->sent_at) + way);
    else
        note(&added_chunk, way);
}

static void look_for_tokens(client *c, const char *at, const char *end, uint64_t now) {
    for (; (at = memchr(at, '@', (size_t)(end - at))); at++)
        if (isdigit((unsigned char)at[1]) && isdigit((unsigned char)at[2])) on_token(c, at + 1, end, now);
}

static void look_for_usage(client *c, const char *at, const char *end) {
    static const char name[] = "\"completion_tokens\":";
    const char *found = memmem(at, (size_t)(end - at), name, sizeof name - 1);
    if (found) c->usage = (int)number(found + sizeof name - 1);
}

static void on_line(client *c, const char *line, int length, uint64_t now) {
    static const char last[] = "data: [DONE]";
    if (length < 6 || memcmp(line, "data:", 5)) return;
    event_lines++;
    if (length >= (int)sizeof last - 1 && !memcmp(line, last, sizeof last - 1)) {
        c->done = 1;
        return;
    }
    int before = c->tokens;
    look_for_tokens(c, line, line + length, now);
    if (c->tokens == before || c->tokens == ask.tokens) look_for_usage(c, line, line + length);
}

static void on_text(client *c, const char *bytes, long length, uint64_t now) {
    if (c->text_len + length + 1 > c->text_cap) {
        c->text_cap = (int)(c->text_len + length + 1) * 2;
        c->text = realloc(c->text, (size_t)c->text_cap);
    }
    memcpy(c->text + c->text_len, bytes, (size_t)length);
    c->text_len += (int)length;
    c->text[c->text_len] = 0;
    if (!c->events) return;
    char *line = c->text, *end = c->text + c->text_len, *stop;
    for (; (stop = memchr(line, '\n', (size_t)(end - line))); line = stop + 1) {
        *stop = 0;
        on_line(c, line, (int)(stop - line), now);
    }
    c->text_len = (int)(end - line);
    memmove(c->text, line, (size_t)c->text_len + 1);
}

static int body_ended(client *c, uint64_t now) {
    if (!c->events && c->status == 200) {
        look_for_tokens(c, c->text, c->text + c->text_len, now);
        look_for_usage(c, c->text, c->text + c->text_len);
    }
    return 1;
}

static int digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Return 1 when the answer is whole. */
static int on_chunked(client *c, const char *at, const char *end, uint64_t now) {
    while (at < end) {
        long some;
        switch (c->chunk) {
        case SIZE:
            if (digit(*at) >= 0) c->left = c->left * 16 + digit(*at);
            if (*at++ == '\n') c->chunk = c->left ? DATA : AFTER_LAST;
            break;
        case DATA:
            some = end - at < c->left ? end - at : c->left;
            on_text(c, at, some, now);
            at += some;
            c->left -= some;
            if (!c->left) c->chunk = AFTER_DATA;
            break;
        case AFTER_DATA:
            if (*at++ == '\n') c->chunk = SIZE;
            break;
        case AFTER_LAST:
            if (*at++ == '\n') return body_ended(c, now);
        }
    }
    return 0;
}

static int on_body(client *c, const char *at, int length, uint64_t now) {
    if (c->chunked) return on_chunked(c, at, at + length, now);
    long some = c->left < 0 || length < c->left ? length : c->left;
    on_text(c, at, some, now);
    if (c->left >= 0) c->left -= some;
    return c->left == 0 ? body_ended(c, now) : 0;
}

static int on_head(client *c, const char *bytes, int length, uint64_t now) {
    if (c->head_len + length + 1 > c->head_cap) {
        c->head_cap = (c->head_len + length + 1) * 2;
        c->head = realloc(c->head, (size_t)c->head_cap);
    }
    memcpy(c->head + c->head_len, bytes, (size_t)length);
    c->head_len += length;
    char *end = memmem(c->head, (size_t)c->head_len, "\r\n\r\n", 4);
    if (!end) return 0;
    int head = (int)(end - c->head) + 4, rest = c->head_len - head;
    end[3] = 0;
    const char *length_field = strcasestr(c->head, "\r\ncontent-length:");
    c->status = atoi(c->head + 9);
    c->chunked = strcasestr(c->head, "\r\ntransfer-encoding: chunked") != NULL;
    c->events = strcasestr(c->head, "text/event-stream") != NULL;
    c->left = c->chunked ? 0 : length_field ? atol(length_field + 17) : -1;
    c->chunk = SIZE;
    c->state = BODY;
    on_text(c, "", 0, now);
    if (!c->chunked && c->left == 0) return body_ended(c, now);
    return rest ? on_body(c, c->head + head, rest, now) : 0;
}

static void on_connected(client *c) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        usleep(1000);
        fail(c, &failed.connect);
        return;
    }
    watch(c, EPOLL_CTL_MOD, EPOLLIN);
    next_request(c);
}

static void on_readable(client *c) {
    static char bytes[READ_BYTES];
    ssize_t came = recv(c->fd, bytes, sizeof bytes, 0);
    uint64_t now = now_ns();
    if (came < 0 && errno == EAGAIN) return;
    if (came < 0) {
        fail(c, &failed.reset);
    } else if (came == 0) {
        fail(c, c->state == HEAD ? &failed.reset : &failed.cut);
    } else {
        reads++;
        if (c->state == HEAD ? on_head(c, bytes, (int)came, now) : on_body(c, bytes, (int)came, now)) {
            if (c->status != 200) keep_error(c);
            finish(c);
        }
    }
}

/* --- the run --- */

static void run(client *clients) {
    struct epoll_event events[EVENTS];
    int running = 0;
    uint64_t gives_up_at = stops_at + (uint64_t)(ask.timeout_s * NS_PER_S);
    for (;;) {
        uint64_t now = now_ns();
        for (; running < ask.clients && clients[running].starts_at <= now; running++) dial(&clients[running]);
        if (running == ask.clients && !opened) return;
        if (now > gives_up_at) {
            failed.timeout += (unsigned long)opened;
            errors += (unsigned long)opened;
            return;
        }
        int64_t pause_ms = running < ask.clients ? (int64_t)(clients[running].starts_at - now) / 1000000 : LOOK_MS;
        int count = epoll_wait(poller, events, EVENTS, pause_ms > LOOK_MS ? LOOK_MS : (int)pause_ms);
        for (int i = 0; i < count; i++) {
            client *c = events[i].data.ptr;
            if (c->fd < 0) continue;
            if (c->state == CONNECTING)
                on_connected(c);
            else
                on_readable(c);
        }
    }
}

static void print_result(double wall_s, double cpu_s) {
    printf("{\"wall_s\":%.3f,\"issued\":%lu,\"ok\":%lu,\"errors\":%lu,\"chunks\":%lu,\"steady_chunks\":%lu", wall_s, issued,
           ok, errors, tokens_read, steady_tokens);
    printf(",\"failed\":{\"connect\":%lu,\"reset\":%lu,\"cut\":%lu,\"status\":%lu,\"tokens\":%lu,\"done\":%lu,"
           "\"usage\":%lu,\"timeout\":%lu},\"first_error\":\"%s\"",
           failed.connect, failed.reset, failed.cut, failed.status, failed.tokens, failed.done, failed.usage,
           failed.timeout, first_error);
    printf(",\"events_per_read\":%.2f,\"reconnects\":%lu,\"load_share\":%.3f", reads ? (double)event_lines / (double)reads : 0,
           reconnects, cpu_s / wall_s);
    print_samples("added_ttft_us", &added_ttft);
    print_samples("added_chunk_us", &added_chunk);
    printf("}\n");
}

static int read_options(int count, char **words) {
    enum { PORT = 1, PATH, MODEL, CLIENTS, SECONDS, TOKENS, ITL, TTFT, WHOLE, PROMPT, RAMP, TIMEOUT, BURST, NO_USAGE, FROM, TO };
    static const struct option options[] = {
        {"port", 1, 0, PORT}, {"path", 1, 0, PATH}, {"model", 1, 0, MODEL}, {"c", 1, 0, CLIENTS}, {"d", 1, 0, SECONDS},
        {"tokens", 1, 0, TOKENS}, {"itl-us", 1, 0, ITL}, {"ttft-us", 1, 0, TTFT}, {"nostream", 0, 0, WHOLE},
        {"prompt-bytes", 1, 0, PROMPT}, {"ramp-ms", 1, 0, RAMP}, {"timeout", 1, 0, TIMEOUT}, {"burst", 0, 0, BURST},
        {"no-usage", 0, 0, NO_USAGE}, {"from-ms", 1, 0, FROM}, {"to-ms", 1, 0, TO}, {0}};
    for (int option; (option = getopt_long_only(count, words, "", options, NULL)) >= 0;) switch (option) {
        case PORT: ask.port = atoi(optarg); break;
        case PATH: ask.path = optarg; break;
        case MODEL: ask.model = optarg; break;
        case CLIENTS: ask.clients = atoi(optarg); break;
        case SECONDS: ask.seconds = atof(optarg); break;
        case TOKENS: ask.tokens = atoi(optarg); break;
        case ITL: ask.itl_us = atol(optarg); break;
        case TTFT: ask.ttft_us = atol(optarg); break;
        case WHOLE: ask.streamed = 0; break;
        case PROMPT: ask.prompt_bytes = atoi(optarg); break;
        case RAMP: ask.ramp_ms = atof(optarg); break;
        case TIMEOUT: ask.timeout_s = atof(optarg); break;
        case BURST: ask.burst = 1; break;
        case NO_USAGE: ask.usage = 0; break;
        case FROM: ask.from_ms = atof(optarg); break;
        case TO: ask.to_ms = atof(optarg); break;
        default: return 0;
        }
    return ask.port && ask.prompt_bytes < 150000;
}

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / NS_PER_S;
}

int main(int count, char **words) {
    if (!read_options(count, words)) return 2;
    address = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)ask.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    signal(SIGPIPE, SIG_IGN);
    make_padding();
    poller = epoll_create1(EPOLL_CLOEXEC);
    client *clients = calloc((size_t)ask.clients, sizeof *clients);
    started_at = now_ns();
    stops_at = started_at + (uint64_t)(ask.seconds * NS_PER_S);
    from_at = started_at + (uint64_t)(ask.from_ms * 1e6);
    to_at = started_at + (uint64_t)(ask.to_ms * 1e6);
    for (int i = 0; i < ask.clients; i++) {
        clients[i].fd = -1;
        clients[i].starts_at = started_at + (uint64_t)(ask.ramp_ms * 1e6 * i / ask.clients);
    }
    run(clients);
    print_result((double)(now_ns() - started_at) / NS_PER_S, cpu_seconds());
    return 0;
}
