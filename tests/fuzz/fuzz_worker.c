/* Bytes from a worker that a plugin has subverted, to the server's end of the socket: whatever they are, the
 * worker is served or lost, and each reply is that of the request it was due to. The process beside it is
 * left out. */
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "fuzz.h"
#include "base/log.h"
#include "grading/worker.h"
#include "grading/worker_process.h"

enum { REQUESTS = 8, PIECE = 512 };

static int far_end;

/* --- What worker.c is linked with here */

const char *registry_grader(void)
{
    return "none";
}

int worker_process_start(const char *grader, int library_fd, struct worker_process *ret)
{
    int ends[2];

    (void)grader;
    (void)library_fd;
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    far_end = ends[1];
    *ret = (struct worker_process){.socket = ends[0], .pid = -1, .pidfd = -1};
    ret->page = mmap(NULL, sizeof(*ret->page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(ret->page != MAP_FAILED);
    return 0;
}

bool worker_process_confined(int pid)
{
    (void)pid;
    return true;
}

void worker_process_bury(struct loop *loop, int pid, int pidfd, const char *plugin, const char *why)
{
    (void)loop;
    (void)pid;
    (void)pidfd;
    (void)plugin;
    (void)why;
}

void worker_process_reap_all(void)
{
}

/* --- The owner of the worker */

struct owner {
    struct request requests[REQUESTS];
    size_t sent, replied;
    struct arena *arena;
    bool is_lost;
};

static void changed(void *arg, struct worker *w, struct request_queue *replied)
{
    struct owner *owner = arg;
    struct request *r;

    while ((r = request_pop(replied))) {
        must(r == &owner->requests[owner->replied++]); /* in order */
        must(r->outcome == REQUEST_REPLIED && r->status <= HOST_BAD_INPUT && r->log_lines <= FRAME_LOG_LINES);
        must(strlen(r->pointer) < sizeof(r->pointer) && strlen(r->words) < sizeof(r->words));
        must(r->json.len == 0 || (r->arena && r->status == HOST_OK));
    }
    while (owner->sent < REQUESTS && !owner->is_lost && worker_accepts(w)) {
        r = &owner->requests[owner->sent++];
        *r = (struct request){.id = owner->sent,
                              .op = HOST_GRADE,
                              .arena = owner->sent % 2 ? owner->arena : NULL,
                              .input = {TEXT("{}"), TEXT("{}"), TEXT("{}")}};
        worker_send(w, r);
    }
}

static void lost(void *arg, struct worker *w, const char *why, bool timed_out)
{
    struct owner *owner = arg;

    must(why && why[0] && !timed_out);
    owner->is_lost = true;
    worker_drop(w, why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct loop *loop;
    static const struct registered plugin = {
        .face = {.id = "any"}, .manifest = {.wall_ms = 60000, .cpu_ms = 60000}, .hello = {"{}", 2}};
    struct owner owner = {.arena = arena_create()};
    struct worker w = {.plugin = &plugin, .changed = changed, .lost = lost, .arg = &owner, .pid = -1};
    char sink[65536];

    if (!loop)
        loop = loop_create();
    log_set_level(LOG_LEVEL_ERROR);
    w.loop = loop;
    worker_start(&w);
    for (size_t at = 0; at < size && !owner.is_lost;) {
        size_t piece = size - at < PIECE ? size - at : PIECE;
        ssize_t n = send(far_end, data + at, piece, MSG_NOSIGNAL);

        at += n > 0 ? (size_t)n : 0;
        loop_turn(loop, 0);
        while (recv(far_end, sink, sizeof(sink), 0) > 0)
            ;
    }
    must(owner.replied <= owner.sent && (owner.sent == 0 || owner.is_lost || w.state == WORKER_READY));
    worker_drop(&w, NULL);
    close(far_end);
    arena_destroy(owner.arena);
    return 0;
}
