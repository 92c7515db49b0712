/* Bytes as either end of a worker's socket may receive them, cut into frames, and each frame's body taken as
 * a request (what the grader does) and as a reply (what the server does). */
#include <string.h>
#include "fuzz.h"
#include "grading/frame.h"

static bool lies_in(struct text part, struct text whole)
{
    return part.p >= whole.p && part.len <= whole.len && (size_t)(part.p - whole.p) <= whole.len - part.len;
}

static unsigned touched;

static void touch(struct text part)
{
    for (size_t i = 0; i < part.len; i++) /* a sanitizer sees what is not the input's */
        touched += (unsigned char)part.p[i];
}

static void take_body(struct text body)
{
    struct frame_request request;
    struct frame_reply reply;

    if (frame_parse_request(body, &request) == 0) {
        const struct text parts[] = {request.config, request.truth, request.answer};

        for (size_t i = 0; i < 3; i++) {
            must(lies_in(parts[i], body));
            touch(parts[i]);
        }
        must(sizeof(struct frame_request_head) + request.config.len + request.truth.len +
                 request.answer.len ==
             body.len);
    }
    if (frame_parse_reply(body, &reply) == 0) {
        must(lies_in(reply.pointer, body) && lies_in(reply.text, body));
        must(sizeof(struct frame_reply_head) + reply.pointer.len + reply.text.len == body.len);
        touch(reply.pointer);
        touch(reply.text);
    }
}

/* A frame that was parsed says the same when it is made again, and is none without its last byte. */
static void make_again(const struct frame *frame, struct text bytes, int64_t size)
{
    struct frame_head head = frame_head(frame->type, frame->id, frame->body.len);
    struct frame shorter;

    must(memcmp(&head, bytes.p, sizeof(head)) == 0);
    must((size_t)size == sizeof(head) + frame->body.len);
    must(frame_parse((struct text){.p = bytes.p, .len = (size_t)size - 1}, &shorter) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text rest = {.p = (const char *)data, .len = size};
    struct frame frame;
    int64_t n;

    take_body(rest);
    while ((n = frame_parse(rest, &frame)) > 0) {
        must(lies_in(frame.body, rest));
        make_again(&frame, rest, n);
        take_body(frame.body);
        rest.p += n;
        rest.len -= (size_t)n;
    }
    return 0;
}
