/* For tests that need an arena each, and JSON in it: cmocka's includes in the order it wants them, and fixtures. */
#ifndef OVERREAD_TESTS_ARENA_TESTING_H
#define OVERREAD_TESTS_ARENA_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"

/* *state is the arena. */
static inline int arena_setup(void **state)
{
    *state = arena_create();
    return 0;
}

static inline int arena_teardown(void **state)
{
    *state = arena_destroy(*state);
    return 0;
}

#define arena_test(f) cmocka_unit_test_setup_teardown(f, arena_setup, arena_teardown)

/* *state is this. */
struct fixture {
    struct arena *arena;
    struct error err;
};

static inline int fixture_setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.arena = arena_create()};
    *state = &f;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    f->arena = arena_destroy(f->arena);
    return 0;
}

#define fixture_test(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

/* Fails the test when it is no JSON. */
static inline json_t *json_in(struct arena *arena, const char *text)
{
    json_t *ret = NULL;
    struct error err = {0};
    if (json_parse(arena, text_of(text), &ret, &err) < 0)
        fail_msg("%s: %s", err.detail, text);
    return ret;
}

#endif
