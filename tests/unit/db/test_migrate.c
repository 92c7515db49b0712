/* Migrations against a real database, with a history of their own. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "db/migrate.h"
#include "private_postgres.h"

/* The first is slow, so that two who start at once are at work at once; none could run twice. */
const struct migration migrations[] = {
    {1, "0001_first.sql", "CREATE TABLE a (x int); SELECT pg_sleep(0.3); INSERT INTO a VALUES (1);"},
    {2, "0002_second.sql", "ALTER TABLE a ADD y text;"},
    {3, "0003_third.sql",
     "CREATE TABLE c (z int);\nDO $$ BEGIN\nIF current_setting('test.fail', true) = 'yes' THEN RAISE 'as "
     "asked'; END IF;\n"
     "END $$;"},
    {0, NULL, NULL},
};

static const struct db_statement count_of_a = {"count_of_a", "SELECT count(*) FROM a", 0, DB_LANE_READ};
static const struct db_statement has_c = {"has_c", "SELECT count(*) FROM pg_class WHERE relname = 'c'", 0,
                                          DB_LANE_READ};

static struct db_session *session;

static void exec_ok(const char *sql)
{
    struct error err = {0};
    if (db_session_exec(session, sql, &err) < 0)
        fail_msg("%s", err.detail);
}

static int64_t ask(const struct db_statement *statement)
{
    struct arena *arena = arena_create();
    const struct db_result *rows = NULL;
    assert_int_equal(db_session_run(session, arena, statement, NULL, &rows, NULL), 0);
    int64_t value = db_int(rows, 0, 0);
    arena_destroy(arena);
    return value;
}

static int start_cluster(void **state)
{
    (void)state;
    postgres_start();
    return 0;
}

/* A database of its own for each test. */
static int fresh_database(void **state)
{
    (void)state;
    session = db_session_open(postgres_conninfo("template1", "postgres"), NULL);
    assert_non_null(session);
    exec_ok("DROP DATABASE IF EXISTS fresh");
    exec_ok("CREATE DATABASE fresh");
    db_session_close(session);
    session = db_session_open(postgres_conninfo("fresh", "postgres"), NULL);
    assert_non_null(session);
    return 0;
}

static int close_database(void **state)
{
    (void)state;
    session = db_session_close(session);
    return 0;
}

static void assert_status(const char *const expected[], int expected_pending)
{
    struct buffer out;
    int pending = -1;
    struct error err = {0};
    buffer_init(&out, 4096);
    assert_int_equal(migrate_status(session, &out, &pending, &err), 0);
    assert_int_equal(pending, expected_pending);
    const char *line = out.p;
    for (; *expected; expected++) {
        assert_non_null(line);
        if (strncmp(line, *expected, strlen(*expected)) != 0)
            fail_msg("\"%s\" does not start with \"%s\"", line, *expected);
        line = strchr(line, '\n') + 1;
    }
    assert_string_equal(line, "");
    buffer_finish(&out);
}

static void migrations_run_once_and_a_second_run_does_nothing(void **state)
{
    struct error err = {0};
    int applied = -1;
    (void)state;
    assert_status((const char *const[]){"1 0001_first.sql pending", "2 0002_second.sql pending",
                                        "3 0003_third.sql pending", NULL},
                  3);
    assert_int_equal(migrate_up(session, &applied, &err), 0);
    assert_int_equal(applied, 3);
    assert_int_equal(migrate_up(session, &applied, &err), 0);
    assert_int_equal(applied, 0);
    assert_int_equal(ask(&count_of_a), 1);
    assert_status((const char *const[]){"1 0001_first.sql applied 20", "2 0002_second.sql applied 20",
                                        "3 0003_third.sql applied 20", NULL},
                  0);
}

struct node {
    int status, applied;
    struct error error;
};

static void *run_node(void *arg)
{
    struct node *node = arg;
    struct db_session *own = db_session_open(postgres_conninfo("fresh", "postgres"), &node->error);
    node->status = own ? migrate_up(own, &node->applied, &node->error) : -1;
    db_session_close(own);
    return NULL;
}

static void two_nodes_that_start_at_once_apply_each_migration_once(void **state)
{
    struct node nodes[2] = {{0}, {0}};
    pthread_t threads[2];
    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_node, &nodes[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 2; i++)
        if (nodes[i].status != 0)
            fail_msg("%s", nodes[i].error.detail);
    assert_int_equal(nodes[0].applied + nodes[1].applied, 3);
    assert_true(nodes[0].applied == 0 || nodes[1].applied == 0);
    assert_int_equal(ask(&count_of_a), 1);
}

static void a_migration_that_was_edited_after_it_ran_is_refused(void **state)
{
    struct error err = {0};
    int applied = -1;
    (void)state;
    assert_int_equal(migrate_up(session, NULL, &err), 0);
    exec_ok("UPDATE overread_migrations SET sha256 = repeat('0', 64) WHERE number = 2");
    assert_int_equal(migrate_up(session, &applied, &err), -1);
    assert_int_equal(err.kind, ERROR_CONFLICT);
    assert_string_equal(err.code, "migration_changed");
    assert_non_null(strstr(err.detail, "0002_second.sql"));
    assert_status((const char *const[]){"1 0001_first.sql applied", "2 0002_second.sql CHANGED",
                                        "3 0003_third.sql applied", NULL},
                  0);
}

static void a_database_newer_than_the_binary_is_refused(void **state)
{
    struct error err = {0};
    (void)state;
    assert_int_equal(migrate_up(session, NULL, &err), 0);
    exec_ok("INSERT INTO overread_migrations VALUES (4, '0004_fourth.sql', repeat('0', 64))");
    assert_int_equal(migrate_up(session, NULL, &err), -1);
    assert_int_equal(err.kind, ERROR_CONFLICT);
    assert_string_equal(err.code, "database_newer");
    assert_non_null(strstr(err.detail, "0004_fourth.sql"));
}

static void a_migration_that_fails_leaves_nothing_behind_and_can_be_run_again(void **state)
{
    struct error err = {0};
    int applied = -1;
    (void)state;
    exec_ok("SET test.fail = 'yes'");
    assert_int_equal(migrate_up(session, &applied, &err), -1);
    assert_int_equal(applied, -1);
    assert_non_null(strstr(err.detail, "0003_third.sql: as asked"));
    assert_int_equal(ask(&has_c), 0);
    assert_status((const char *const[]){"1 0001_first.sql applied", "2 0002_second.sql applied",
                                        "3 0003_third.sql pending", NULL},
                  1);
    exec_ok("SET test.fail = 'no'");
    assert_int_equal(migrate_up(session, &applied, &err), 0);
    assert_int_equal(applied, 1);
    assert_int_equal(ask(&has_c), 1);
}

static void a_session_that_cannot_be_opened_says_why(void **state)
{
    struct error err = {0};
    (void)state;
    assert_null(db_session_open(postgres_conninfo("no_such_database", "postgres"), &err));
    assert_int_equal(err.kind, ERROR_UNAVAILABLE);
    assert_non_null(strstr(err.detail, "no_such_database"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(migrations_run_once_and_a_second_run_does_nothing, fresh_database,
                                        close_database),
        cmocka_unit_test_setup_teardown(two_nodes_that_start_at_once_apply_each_migration_once,
                                        fresh_database, close_database),
        cmocka_unit_test_setup_teardown(a_migration_that_was_edited_after_it_ran_is_refused, fresh_database,
                                        close_database),
        cmocka_unit_test_setup_teardown(a_database_newer_than_the_binary_is_refused, fresh_database,
                                        close_database),
        cmocka_unit_test_setup_teardown(a_migration_that_fails_leaves_nothing_behind_and_can_be_run_again,
                                        fresh_database, close_database),
        cmocka_unit_test(a_session_that_cannot_be_opened_says_why),
    };
    return cmocka_run_group_tests(tests, start_cluster, NULL);
}
