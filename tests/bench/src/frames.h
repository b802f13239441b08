/* What trtllm-serve 1.2 says, event by event, each framed as a chunk of HTTP. Made once; only ids and
 * instants change. tests/bench/test_mock.py holds it against transcripts of trtllm-serve.
 */
#ifndef FRAMES_H
#define FRAMES_H
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"

enum { ID_DIGITS = 32 };

#define STAMP "000000000000000000"                 /* STAMP_DIGITS */
#define ID "00000000000000000000000000000000"       /* ID_DIGITS: every chunk has an id of its own */
#define COUNTS "{\"prompt_tokens\":%d,\"total_tokens\":%d,\"completion_tokens\":%d," \
               "\"prompt_tokens_details\":{\"cached_tokens\":0}}"
#define HEAD "HTTP/1.1 200 OK\r\ndate: Mon, 24 Nov 2025 08:00:00 GMT\r\nserver: uvicorn\r\n"
#define CREATED "\"created\":1764000000"

typedef struct {
    char bytes[1024];
    int length, id_at, written_at, received_at; /* where the id and the instants stand; -1: nowhere */
} frame;
static frame role_frame, token_frames[2][2][2]; /* [chat][is the first][is the last] */

static frame make_frame(const char *event) {
    frame f;
    f.length = snprintf(f.bytes, sizeof f.bytes, "%zx\r\n%s\r\n", strlen(event), event);
    const char *id = strstr(f.bytes, ID), *written = strstr(f.bytes, "@" STAMP);
    const char *received = strstr(f.bytes, "#" STAMP);
    f.id_at = (int)(id - f.bytes);
    f.written_at = written ? (int)(written - f.bytes) + 1 : -1;
    f.received_at = received ? (int)(received - f.bytes) + 1 : -1;
    return f;
}

static void make_frames(const char *model) {
    char event[900];
    const char *chat = "data: {\"id\":\"chatcmpl-" ID "\",\"object\":\"chat.completion.chunk\"," CREATED
                       ",\"model\":\"%s\",\"choices\":[{\"index\":0,\"delta\":{%s}%s}]}%s\n\n";
    const char *completion = "data: {\"id\":\"cmpl-" ID "\",\"object\":\"text_completion\"," CREATED
                             ",\"model\":\"%s\",\"choices\":[{\"index\":0,\"text\":\"%s\",\"token_ids\":null,"
                             "\"logprobs\":null,\"finish_reason\":%s,\"stop_reason\":null,"
                             "\"avg_decoded_tokens_per_iter\":1.0}],\"usage\":null}\n\n";
    snprintf(event, sizeof event, chat, model, "\"role\":\"assistant\"", "", " "); /* this blank is theirs */
    role_frame = make_frame(event);
    for (int first = 0; first < 2; first++)
        for (int last = 0; last < 2; last++) {
            const char *text = first ? " @" STAMP "#" STAMP : " @" STAMP;
            char delta[120];
            snprintf(delta, sizeof delta, "\"content\":\"%s\",\"reasoning_content\":\"\"", text);
            const char *end = last ? ",\"finish_reason\":\"length\",\"avg_decoded_tokens_per_iter\":1.0"
                                   : ",\"avg_decoded_tokens_per_iter\":1.0";
            snprintf(event, sizeof event, chat, model, delta, end, "");
            token_frames[1][first][last] = make_frame(event);
            snprintf(event, sizeof event, completion, model, text, last ? "\"length\"" : "null");
            token_frames[0][first][last] = make_frame(event);
        }
}

static void write_stamp(char *to, uint64_t ns) {
    for (int digit = STAMP_DIGITS - 1; digit >= 0; digit--, ns /= 10) to[digit] = (char)('0' + ns % 10);
}

static void write_id(char *to) {
    static uint64_t state = 88172645463325252ull; /* xorshift: differs from chunk to chunk, no more */
    for (int digit = 0; digit < ID_DIGITS; digit++) {
        if (digit % 16 == 0) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
        }
        to[digit] = "0123456789abcdef"[state >> (4 * (digit % 16)) & 15];
    }
}

#endif
