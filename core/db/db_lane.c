#include "db/db_internal.h"

#include "base/clock.h"
#include "base/mem.h"

/* --- Queues --------------------------------------------------------------------------------- */

void db_queue_push(struct db_queue *queue, struct db_request *request)
{
    request->next = NULL;
    if (queue->last)
        queue->last->next = request;
    else
        queue->first = request;
    queue->last = request;
    queue->length++;
}

void db_queue_push_front(struct db_queue *queue, struct db_request *request)
{
    request->next = queue->first;
    queue->first = request;
    if (!queue->last)
        queue->last = request;
    queue->length++;
}

struct db_request *db_queue_pop(struct db_queue *queue)
{
    struct db_request *request = queue->first;
    if (!request)
        return NULL;
    queue->first = request->next;
    if (!queue->first)
        queue->last = NULL;
    queue->length--;
    request->next = NULL;
    return request;
}

/* --- Refusing ------------------------------------------------------------------------------- */

static void refuse(struct db_lane_state *lane, struct db_request *request, bool away)
{
    request->failed = true;
    if (away)
        error_set(&request->error, ERROR_UNAVAILABLE, "database_away", NULL,
                  "The database is away; try again.");
    else
        error_set(&request->error, ERROR_UNAVAILABLE, "database_busy", NULL,
                  "The database is busy; try again.");
    request->error.retry_after = away ? 2 : 1;
    lane->db->counters.refused++;
    db_complete(lane->db, request);
}

/* Counted from the last sign that the database is there: while it lets connections in, one for this lane is on its way. */
static uint64_t away_at(const struct db_lane_state *lane)
{
    const struct db *db = lane->db;
    uint64_t since = db->heard_ns > lane->down_since_ns ? db->heard_ns : lane->down_since_ns;
    return since + (uint64_t)db->away_grace_ms * 1000000;
}

static bool is_away(const struct db_lane_state *lane, uint64_t now)
{
    return lane->up == 0 && now >= away_at(lane);
}

/* --- Waiting no longer than it makes sense -------------------------------------------------- */

static void lane_expire(void *arg);

static void lane_arm(struct db_lane_state *lane)
{
    uint64_t now = clock_monotonic_ns(), due = UINT64_MAX;
    for (const struct db_request *r = lane->queue.first; r; r = r->next)
        if (r->due_ns < due)
            due = r->due_ns;
    loop_timer_stop(&lane->timer);
    if (due == UINT64_MAX)
        return;
    if (lane->up == 0 && away_at(lane) < due)
        due = away_at(lane);
    loop_timer_start(lane->db->loop, &lane->timer, due > now ? (due - now) / 1000000 + 1 : 0, lane_expire,
                     lane);
}

static void lane_expire(void *arg)
{
    struct db_lane_state *lane = arg;
    struct db_queue waiting = lane->queue;
    struct db_request *request;
    uint64_t now = clock_monotonic_ns();

    lane->queue = (struct db_queue){NULL, NULL, 0};
    while ((request = db_queue_pop(&waiting))) {
        if (is_away(lane, now) || request->due_ns <= now)
            refuse(lane, request, lane->up == 0);
        else
            db_queue_push(&lane->queue, request);
    }
    lane_arm(lane);
    db_settle(lane->db);
}

/* --- From the queue to a connection --------------------------------------------------------- */

static struct db_connection *least_loaded(struct db_lane_state *lane)
{
    struct db_connection *best = NULL;
    for (unsigned i = 0; i < lane->connection_count; i++) {
        struct db_connection *c = &lane->connections[i];
        if (c->up && c->in_flight.length < lane->depth &&
            (!best || c->in_flight.length < best->in_flight.length))
            best = c;
    }
    return best;
}

static bool dropped(struct db_lane_state *lane, struct db_request *request)
{
    if (!request->scope->gone || !request->scope->gone(request->scope->gone_arg))
        return false;
    request->failed = true;
    error_set(&request->error, ERROR_CANCELLED, "request_gone", NULL,
              "Nobody waits for the answer any more.");
    lane->db->counters.dropped++;
    db_complete(lane->db, request);
    return true;
}

void db_lane_dispatch(struct db_lane_state *lane)
{
    struct db_connection *connection;
    while (lane->queue.first && !lane->db->closing && (connection = least_loaded(lane))) {
        struct db_request *request = db_queue_pop(&lane->queue);
        if (!dropped(lane, request))
            db_connection_send(connection, request);
    }
    if (!lane->queue.first)
        loop_timer_stop(&lane->timer);
    else if (lane->timer.index == 0)
        lane_arm(lane);
}

void db_lane_submit(struct db_lane_state *lane, struct db_request *request)
{
    uint64_t now = clock_monotonic_ns();
    request->due_ns = now + (uint64_t)lane->wait_ms * 1000000;
    if (lane->db->closing || is_away(lane, now)) {
        refuse(lane, request, true);
        return;
    }
    if (lane->queue.length >= lane->queue_max) {
        refuse(lane, request, false);
        return;
    }
    db_queue_push(&lane->queue, request);
    db_lane_dispatch(lane);
}

void db_lane_retry(struct db_lane_state *lane, struct db_request *request)
{
    request->due_ns = clock_monotonic_ns() + (uint64_t)lane->wait_ms * 1000000;
    db_queue_push_front(&lane->queue, request);
}

/* --- Connections come and go ---------------------------------------------------------------- */

static void note_ready(struct db *db)
{
    bool ready = true;
    for (int i = 0; i < DB_LANES; i++)
        ready = ready && db->lanes[i].up > 0;
    atomic_store(&db->ready, ready);
}

/* Each connection backs off by itself; the first that is let in again spares the others the rest of their wait. */
static void hurry_others(struct db *db)
{
    for (int i = 0; i < DB_LANES; i++)
        for (unsigned c = 0; c < db->lanes[i].connection_count; c++)
            db_link_hurry(&db->lanes[i].connections[c].link);
    if (db->listener.started)
        db_link_hurry(&db->listener.link);
}

void db_lane_connected(struct db_lane_state *lane)
{
    lane->up++;
    lane->db->counters.connected++;
    note_ready(lane->db);
    hurry_others(lane->db);
}

void db_lane_disconnected(struct db_lane_state *lane)
{
    lane->db->counters.connected--;
    if (--lane->up > 0)
        return;
    note_ready(lane->db);
    lane->down_since_ns = clock_monotonic_ns();
    lane_arm(lane); /* who waits now waits for the grace only */
}

void db_lane_start(struct db_lane_state *lane, struct db *db, enum db_lane which, unsigned connections)
{
    static const unsigned wait_ms[DB_LANES] = {2000, 5000, 30000};
    static const unsigned statement_ms[DB_LANES] = {2000, 5000, 60000};
    *lane = (struct db_lane_state){
        .db = db,
        .lane = which,
        .depth = which == DB_LANE_READ ? (unsigned)db->options.read_depth : 1,
        .queue_max = (unsigned)db->options.queue_max,
        .wait_ms = wait_ms[which],
        .statement_ms = statement_ms[which],
        .connections = mem_array(connections, sizeof(struct db_connection)),
        .connection_count = connections,
        .down_since_ns = clock_monotonic_ns(),
    };
    for (unsigned i = 0; i < connections; i++)
        db_connection_start(&lane->connections[i], lane);
}

void db_lane_finish(struct db_lane_state *lane)
{
    struct db_request *request;
    for (unsigned i = 0; i < lane->connection_count; i++)
        db_connection_finish(&lane->connections[i]);
    loop_timer_stop(&lane->timer);
    while ((request = db_queue_pop(&lane->queue)))
        refuse(lane, request, true);
    mem_free(lane->connections);
    lane->connections = NULL;
    lane->connection_count = lane->up = 0;
}
