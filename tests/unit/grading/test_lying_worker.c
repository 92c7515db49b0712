#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fixture.h"

#define GRADE(points)                                                                                              \
    "{\"points\":" points ",\"max_points\":2.000,\"correct\":true,\"findings\":[],\"metrics\":{},\"undefined\":{}}"

/* The trial plugin replies in its worker's place: 2 of 2 points, correct, with this text. */
static void forge(const char *reply, struct fixture_call *ret)
{
    json_t *answer = json_pack("{s:s,s:s}", "do", "forge", "text", reply);
    char *text = json_dumps(answer, JSON_COMPACT);

    *ret = (struct fixture_call){.plugin = fixture_find("trial")};
    assert_true(strlen(text) < sizeof(ret->answer));
    snprintf(ret->answer, sizeof(ret->answer), "%s", text);
    fixture_grade(ret, 1, 1);
    json_decref(answer);
    free(text);
}

static void a_worker_that_lies_gives_no_grade(void **state)
{
    struct error err = {0};
    struct fixture_call call;

    (void)state;
    fixture_open();
    fixture_plugin("trial");
    assert_int_equal(fixture_load(&err), 0);
    forge(GRADE("2.000"), &call); /* it is heard: */
    assert_int_equal(call.result, 0);
    arena_destroy(call.arena);
    forge(GRADE("1.000"), &call);
    assert_int_equal(call.result, -1);
    assert_int_equal(call.err.kind, ERROR_UNAVAILABLE);
    assert_string_equal(call.err.code, "grader_failed");
    arena_destroy(call.arena);
    forge("nonsense", &call);
    assert_string_equal(call.err.code, "grader_failed");
    arena_destroy(call.arena);
    fixture_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_worker_that_lies_gives_no_grade)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
