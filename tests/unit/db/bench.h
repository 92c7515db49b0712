/* What the tests of db/ share: a loop, a db on the private PostgreSQL, statements called from fibers, and an
 * operator's session to look behind the scenes. */
#ifndef OVERREAD_TESTS_DB_BENCH_H
#define OVERREAD_TESTS_DB_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bench_sql.h"
#include "db/db.h"
#include "private_postgres.h"

#define TENANT_A "00000000-0000-7000-8000-00000000000a"
#define TENANT_B "00000000-0000-7000-8000-00000000000b"

struct bench {
    struct loop *loop;
    struct db *db;
    struct db_session *operator;
    struct arena *arena;
};

/* One statement in a fiber of its own. */
struct call {
    struct db_scope scope;
    const struct db_statement *statement;
    const char *params[4];
    const struct db_result *rows;
    struct error error;
    int status;
    bool done;
};

/* Where bench_open connects, when not to the private PostgreSQL itself. */
extern const char *bench_conninfo;

int bench_group_setup(void **state); /* starts PostgreSQL, makes the schema */

/* 0 connections or depth or queue: the defaults. Waits until every connection is up. */
void bench_open(struct bench *bench, int read_connections, int write_connections, int queue_max);
void bench_close(struct bench *bench); /* and asserts that no fiber is left */

void call_init(struct bench *bench, struct call *call, const struct db_statement *statement,
               const char *param);
void call_as(struct call *call, const char *token);
void call_start(struct call *call);
void call_wait(struct bench *bench, struct call *call);
void call_run(struct bench *bench, struct call *call); /* start and wait */

/* Turns the loop until it holds; fails the test after 30 s. */
void bench_until(struct bench *bench, bool (*holds)(void *arg), void *arg);
void bench_turn_for(struct bench *bench, unsigned ms);

/* The operator's: blocking, and not through what is tested. */
void operator_exec(struct bench *bench, const char *sql);
int64_t operator_int(struct bench *bench, const struct db_statement *statement, const char *param);

void assert_failed(const struct call *call, enum error_kind kind, const char *code);
void assert_ok(const struct call *call);

#endif
