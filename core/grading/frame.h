/* Frames between the server and a worker (overread-grader): a head and a body over a stream socket, native
 * byte order, since both ends are one machine and one build. The parsers are pure, and take any bytes.
 *
 * server -> worker: HELLO once (JSON: id, version, rules_revision, memory_mb, cpu_ms, findings), then
 * REQUEST, any number in flight, answered in order. worker -> server: READY or FAILED (a sentence) once, then
 * for each request in turn at most FRAME_LOG_LINES times LOG, with its id, and REPLY. A worker that sends
 * anything else is ended. */
#ifndef OVERREAD_GRADING_FRAME_H
#define OVERREAD_GRADING_FRAME_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include "base/text.h"

#define FRAME_MAGIC 0x4652564fu      /* "OVRF" */
#define FRAME_MAX (4u * 1024 * 1024) /* of a body */
#define FRAME_LOG_LINES 8

/* Descriptors that a worker is started with. */
enum { FRAME_FD_SOCKET = 3, FRAME_FD_LIBRARY = 4, FRAME_FD_PAGE = 5 };

enum frame_type {
    FRAME_HELLO = 1,
    FRAME_READY = 2,
    FRAME_FAILED = 3,
    FRAME_REQUEST = 4,
    FRAME_REPLY = 5,
    FRAME_LOG = 6
};

struct frame_head {
    uint32_t magic, type;
    uint64_t id;
    uint32_t len;
    uint32_t reserved; /* 0 */
};

/* A request's body: this, then the three texts. */
struct frame_request_head {
    uint32_t op; /* enum host_op */
    uint32_t config_len, truth_len, answer_len;
};

/* A reply's body: this, then the pointer and the text. */
struct frame_reply_head {
    int64_t points_milli, max_points_milli;
    uint32_t status; /* enum host_status */
    uint32_t correct;
    uint32_t pointer_len, text_len;
};

struct frame {
    enum frame_type type;
    uint64_t id;
    struct text body; /* points into what was parsed */
};

struct frame_request {
    uint32_t op;
    struct text config, truth, answer;
};

struct frame_reply {
    uint32_t status;
    bool correct;
    int64_t points_milli, max_points_milli;
    struct text pointer, text;
};

/* A page that both ends map: what a worker works on, so that its death or silence is blamed on the right
 * request though replies are written in batches. A plugin could forge it, but only to the harm of its own
 * grades. */
struct frame_page {
    _Atomic uint64_t running;    /* id; 0: none */
    _Atomic uint64_t started_ns; /* CLOCK_MONOTONIC */
};

/* First frame in bytes: its whole size, 0 when more bytes are needed, -EBADMSG when this is no frame. */
int64_t frame_parse(struct text bytes, struct frame *ret);
struct frame_head frame_head(enum frame_type type, uint64_t id, size_t len);
/* 0 or -EBADMSG: the lengths do not add up to the body's. */
int frame_parse_request(struct text body, struct frame_request *ret);
int frame_parse_reply(struct text body, struct frame_reply *ret);

#endif
