#include "http/http_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include "base/clock.h"

#define CHUNK ((size_t)96 * 1024) /* from 128 KiB on malloc maps it anew, page by page, for each request */
/* A part that is not in memory is asked for, and looked for again after 1, 2, 4, 8, 16, 16... ms: a loop never waits for
 * a disk that answers within a second. */
#define AHEAD ((off_t)1024 * 1024)
#define LOOKS_MAX 64
#define LOOK_AGAIN_MS 16
/* How long a file that was replaced or removed may still be served. */
#define FILES_KEPT_NS ((uint64_t)1000 * 1000 * 1000)

/* libh2o's own h2o_file_send knows neither HEAD nor Range. Lies in the h2o request's pool. */
struct sender {
    h2o_generator_t super;
    h2o_filecache_ref_t *file; /* NULL when finished */
    off_t offset;
    uint64_t left;
    char *chunk;
    h2o_req_t *h2o;
    struct loop *loop;
    struct loop_timer timer;
    unsigned looks; /* in a row that found nothing */
};

static void finish(struct sender *sender)
{
    loop_timer_stop(&sender->timer);
    if (sender->file)
        h2o_filecache_close_file(sender->file);
    sender->file = NULL;
}

static void on_stop(h2o_generator_t *self, h2o_req_t *h2o)
{
    (void)h2o;
    finish((struct sender *)self);
}

/* What is in memory, or -1 with EAGAIN. Not every file system can tell: then, and when the kernel never brings it by
 * itself, it is waited for here. */
static ssize_t read_part(struct sender *sender, size_t wanted)
{
    struct iovec part = {sender->chunk, wanted};
    ssize_t got = -1;

    errno = EAGAIN;
    if (sender->looks < LOOKS_MAX)
        got = preadv2(sender->file->fd, &part, 1, sender->offset, RWF_NOWAIT);
    if (got >= 0 || (errno == EAGAIN && sender->looks < LOOKS_MAX))
        return got;
    do {
        got = pread(sender->file->fd, sender->chunk, wanted, sender->offset);
    } while (got < 0 && errno == EINTR);
    return got;
}

static void on_proceed(h2o_generator_t *self, h2o_req_t *h2o);

static void look_again(void *arg)
{
    struct sender *sender = arg;
    on_proceed(&sender->super, sender->h2o);
}

static void look_later(struct sender *sender)
{
    unsigned ms = sender->looks < 4 ? 1U << sender->looks : LOOK_AGAIN_MS;

    if (sender->looks++ == 0)
        (void)posix_fadvise(sender->file->fd, sender->offset, AHEAD, POSIX_FADV_WILLNEED);
    loop_timer_start(sender->loop, &sender->timer, ms, look_again, sender);
}

static void on_proceed(h2o_generator_t *self, h2o_req_t *h2o)
{
    struct sender *sender = (struct sender *)self;
    size_t wanted = sender->left < CHUNK ? (size_t)sender->left : CHUNK;
    ssize_t got = read_part(sender, wanted);

    if (got < 0 && errno == EAGAIN) {
        look_later(sender);
        return;
    }
    sender->looks = 0;
    if (got <= 0) { /* shorter than it was: the promised length cannot be kept, the connection ends */
        finish(sender);
        h2o_send(h2o, NULL, 0, H2O_SEND_STATE_ERROR);
        return;
    }
    sender->offset += got;
    sender->left -= (uint64_t)got;
    bool last = sender->left == 0;
    if (last)
        finish(sender);
    h2o_iovec_t part = h2o_iovec_init(sender->chunk, (size_t)got);
    h2o_send(h2o, &part, 1, last ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_IN_PROGRESS);
}

static void send_part(struct http_request *req, h2o_filecache_ref_t *file, uint64_t first, uint64_t len)
{
    h2o_req_t *h2o = req->h2o;
    struct sender *sender = h2o_mem_alloc_pool(&h2o->pool, sizeof(*sender));

    *sender = (struct sender){.super = {on_proceed, on_stop},
                              .file = file,
                              .offset = (off_t)first,
                              .left = len,
                              .h2o = h2o,
                              .loop = req->loop->loop};
    h2o->res.content_length = len;
    h2o_start_response(h2o, &sender->super);
    if (request_is_head(req) || len == 0) {
        finish(sender);
        h2o_send(h2o, NULL, 0, H2O_SEND_STATE_FINAL);
        return;
    }
    req->reply_bytes = len;
    sender->chunk = h2o_mem_alloc_pool(&h2o->pool, len < CHUNK ? (size_t)len : CHUNK);
    on_proceed(&sender->super, h2o);
}

/* libh2o's cache remembers failures too, and would keep what has gone: it is emptied after each failure and
 * every second. What is being sent stays open. */
static h2o_filecache_ref_t *open_cached(struct http_request *req, const char *path)
{
    struct http_loop *loop = req->loop;
    h2o_filecache_t *cache = loop->context.filecache;
    uint64_t now = clock_monotonic_ns();

    if (now - loop->files_since_ns > FILES_KEPT_NS) {
        h2o_filecache_clear(cache);
        loop->files_since_ns = now;
    }
    h2o_filecache_ref_t *file = h2o_filecache_open_file(cache, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (!file) {
        int number = errno;
        h2o_filecache_clear(cache);
        errno = number;
    }
    return file;
}

static bool out_of_descriptors(void)
{
    return errno == EMFILE || errno == ENFILE;
}

/* NULL with *err set. */
static h2o_filecache_ref_t *open_file(struct http_request *req, const char *path, struct error *err)
{
    h2o_filecache_ref_t *file = open_cached(req, path);

    if (!file && out_of_descriptors()) /* the cache has given some back */
        file = open_cached(req, path);
    if (file && S_ISREG(file->st.st_mode))
        return file;
    if (file) {
        h2o_filecache_close_file(file);
    } else if (out_of_descriptors()) {
        error_set(err, ERROR_UNAVAILABLE, "busy", NULL, "Too many files are being read; try again.");
        err->retry_after = 1;
        return NULL;
    }
    error_set(err, ERROR_NOT_FOUND, "no_such_file", NULL, "The file is not there.");
    return NULL;
}

/* A range of another version than the client has is not what it wants. */
static enum field_range wanted_range(const struct http_request *req, const char *quoted_etag, uint64_t size,
                                     uint64_t *first, uint64_t *len)
{
    struct text range, version;

    *first = 0;
    *len = size;
    if (!http_header(req, "range", &range) || !text_is(req->method, "GET"))
        return FIELD_RANGE_NONE;
    if (http_header(req, "if-range", &version) && !text_is(version, quoted_etag))
        return FIELD_RANGE_NONE;
    return field_range(range, size, first, len);
}

void http_reply_file(struct http_request *req, const char *path, const char *content_type, const char *etag)
{
    const char *quoted = arena_printf(req->arena, "\"%s\"", etag);
    struct error err = {0};
    struct text known;
    uint64_t first, len;
    h2o_filecache_ref_t *file = open_file(req, path, &err);

    if (!file) {
        http_reply_error(req, &err);
        return;
    }
    uint64_t size = (uint64_t)file->st.st_size;
    bool unchanged = http_header(req, "if-none-match", &known) && field_etag_listed(known, text_of(etag));
    enum field_range range = wanted_range(req, quoted, size, &first, &len);
    if (!unchanged && range == FIELD_RANGE_UNSATISFIABLE) {
        h2o_filecache_close_file(file);
        http_header_add(req, "content-range", arena_printf(req->arena, "bytes */%" PRIu64, size));
        error_set(&err, ERROR_INVALID, "range_not_satisfiable", NULL, "The file has no such range.");
        reply_problem(req, 416, &err);
        return;
    }
    http_header_add(req, "etag", quoted);
    if (h2o_find_header(&req->h2o->res.headers, H2O_TOKEN_CACHE_CONTROL, -1) == -1)
        http_header_add(req, "cache-control", "private, max-age=31536000, immutable");
    if (unchanged) {
        h2o_filecache_close_file(file);
        reply_empty(req, 304);
        return;
    }
    http_header_add(req, "accept-ranges", "bytes");
    if (range == FIELD_RANGE_PART)
        http_header_add(
            req, "content-range",
            arena_printf(req->arena, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, first, first + len - 1, size));
    http_header_add(req, "content-type", content_type);
    if (!reply_begin(req, range == FIELD_RANGE_PART ? 206 : 200)) {
        h2o_filecache_close_file(file);
        return;
    }
    send_part(req, file, first, len);
}
