/* One worker process as the server sees it: start, send, receive, end. What to do about its death is the
 * pool's business (pool.h). Belongs to one loop's thread. */
#ifndef OVERREAD_GRADING_WORKER_H
#define OVERREAD_GRADING_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/fiber.h"
#include "base/loop.h"
#include "base/text.h"
#include "grading/frame.h"
#include "grading/host.h"
#include "grading/registry.h"

#define WORKER_IN_FLIGHT 64
#define WORKER_REQUESTS 100000 /* after so many, a fresh process takes its place */
#define WORKER_BACKLOG ((size_t)1 << 20)

enum request_outcome {
    REQUEST_PENDING,
    REQUEST_REPLIED,
    REQUEST_FAILED,
    REQUEST_TIMED_OUT,
    REQUEST_BUSY,
    REQUEST_GONE /* whoever asked is not there any more */
};

/* Lives on the waiting fiber's stack, and so do the texts behind input. */
struct request {
    struct request *next;
    uint64_t id;
    enum host_op op;
    struct host_input input;
    struct arena *arena;     /* takes the grade's JSON; NULL in checks */
    struct fiber *fiber;     /* NULL: nobody waits any more, see worker_abandon */
    bool (*gone)(void *arg); /* whether nobody will read the outcome; NULL: somebody will */
    void *gone_arg;
    uint64_t due_ns;    /* when it is to have an outcome, unless a worker is at it */
    unsigned failures;  /* workers that were lost over it */
    unsigned log_lines; /* of the worker that has it now */
    enum request_outcome outcome;
    enum host_status status;
    bool correct;
    int64_t points_milli, max_points_milli;
    char pointer[HOST_POINTER_MAX];
    char words[512];  /* what is not a grade */
    struct text json; /* in arena */
};

struct request_queue {
    struct request *first, *last;
    unsigned count;
};
void request_push(struct request_queue *queue, struct request *request);
struct request *request_pop(struct request_queue *queue); /* NULL when empty */
/* Puts all of front before queue's; front is empty afterwards. */
void request_prepend(struct request_queue *queue, struct request_queue *front);

enum worker_state { WORKER_ABSENT, WORKER_STARTING, WORKER_READY };

struct worker {
    enum worker_state state;
    bool retiring;
    int pid, pidfd, socket;
    struct loop *loop;
    struct loop_watch *watch;
    struct loop_timer timer;
    struct frame_page *page;
    struct request_queue in_flight;
    struct buffer out; /* what the socket did not take yet, from out_at */
    size_t out_at;
    char *in;
    size_t in_len, in_cap;
    uint64_t served, progress_ns;
    const struct registered *plugin;
    char why[200]; /* what the worker said before it ended */
    /* The owner's: called last, when nothing of the worker is in use. */
    void (*changed)(void *arg, struct worker *worker, struct request_queue *replied);
    void (*lost)(void *arg, struct worker *worker, const char *why, bool timed_out);
    void *arg;
};

/* Starts the process; the owner hears of success by changed, of failure by lost, both later. */
void worker_start(struct worker *worker);
bool worker_accepts(const struct worker *worker);
/* Writes the request, or keeps what does not fit. */
void worker_send(struct worker *worker, struct request *request);
/* The request in flight that the worker was at when it was last seen; NULL when none is. */
struct request *worker_culprit(const struct worker *worker);
/* Takes out what is in flight and due, but for what the worker is at. In its place stays a request without a
 * fiber, since replies come in order: whoever gets that one back frees it. */
void worker_abandon(struct worker *worker, uint64_t now_ns, struct request_queue *ret);
/* Lets go of the process without waiting: it is killed, and reaped when the kernel says so. `why` is logged
 * then, with the signal it died of; NULL: not logged. in_flight is left to the owner. The worker is ABSENT
 * afterwards. */
void worker_drop(struct worker *worker, const char *why);

/* Waits for what worker_drop left on this thread. */
void worker_reap_all(void);

#endif
