#include "testing.h"

#include "base/arena.h"
#include "base/die.h"
#include "base/error.h"
#include "base/mem.h"

static void memory_is_zeroed_and_may_be_of_no_size(void **state)
{
    (void)state;
    unsigned char *p = mem_array(100, 3);
    for (int i = 0; i < 300; i++)
        assert_int_equal(p[i], 0);
    p = mem_resize(p, 600);
    p[599] = 1;
    mem_free(p);
    void *none = mem_alloc(0);
    assert_non_null(none);
    mem_free(none);
    char *copy = mem_strdup("copy");
    assert_string_equal(copy, "copy");
    mem_free(copy);
}

static void overflow_array(void)
{
    mem_free(mem_array(SIZE_MAX / 2, 3));
}

static void overflow_arena(void)
{
    arena_array(arena_create(), SIZE_MAX / 8, 9);
}

static void exhaust(void)
{
    mem_free(mem_resize(NULL, (size_t)PTRDIFF_MAX + 1));
}

static void sizes_that_overflow_end_the_process_with_a_line(void **state)
{
    (void)state;
    assert_dies(overflow_array, "\"what\":\"mem_array\",\"detail\":\"size overflow\"}\n");
    assert_dies(overflow_arena, "\"what\":\"arena_array\"");
    assert_dies(exhaust, "\"what\":\"mem_resize\"");
}

static void arena_memory_is_zeroed_aligned_and_apart(void **state)
{
    (void)state;
    struct arena *arena = arena_create();
    unsigned char *pieces[400];
    for (size_t i = 0; i < 400; i++) {
        size_t size = i % 7 == 0 ? 3000 : i % 31 == 0 ? 100000 : i;
        pieces[i] = arena_alloc(arena, size);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        for (size_t k = 0; k < size; k++)
            assert_int_equal(pieces[i][k], 0);
        memset(pieces[i], (int)i, size);
    }
    for (size_t i = 0; i < 400; i++) {
        size_t size = i % 7 == 0 ? 3000 : i % 31 == 0 ? 100000 : i;
        for (size_t k = 0; k < size; k++)
            assert_int_equal(pieces[i][k], (unsigned char)i);
    }
    assert_null(arena_destroy(arena));
    assert_null(arena_destroy(NULL));
}

static void arena_strings_end_with_nul(void **state)
{
    (void)state;
    struct arena *arena = arena_create();
    assert_string_equal(arena_copy(arena, "abcdef", 3), "abc");
    assert_string_equal(arena_copy(arena, NULL, 0), "");
    assert_string_equal(arena_strdup(arena, "whole"), "whole");
    char *long_one = arena_printf(arena, "%05000d|%s", 7, "end");
    assert_int_equal(strlen(long_one), 5004);
    assert_string_equal(long_one + 4999, "7|end");
    arena_destroy(arena);
}

struct order {
    struct arena *arena;
    char seen[8];
};

static struct order order;

static void note(void *arg)
{
    strncat(order.seen, arg, 1);
}

static void note_and_defer(void *arg)
{
    note(arg);
    arena_defer(order.arena, note, arena_strdup(order.arena, "d"));
}

static void deferred_calls_run_last_first_and_may_defer_again(void **state)
{
    (void)state;
    order = (struct order){.arena = arena_create()};
    arena_defer(order.arena, note, arena_strdup(order.arena, "a"));
    arena_defer(order.arena, note_and_defer, arena_strdup(order.arena, "b"));
    arena_defer(order.arena, note, arena_strdup(order.arena, "c"));
    arena_destroy(order.arena);
    assert_string_equal(order.seen, "cbda");
}

static void an_error_is_filled_whole_and_cut_to_its_size(void **state)
{
    (void)state;
    struct error err = {.retry_after = 9, .field = "/old"};
    assert_int_equal(error_set(&err, ERROR_CONFLICT, "taken", NULL, "seat %d of %s", 3, "ward"), -1);
    assert_int_equal(err.kind, ERROR_CONFLICT);
    assert_int_equal(err.retry_after, 0);
    assert_string_equal(err.code, "taken");
    assert_string_equal(err.field, "");
    assert_string_equal(err.detail, "seat 3 of ward");

    char longer[2000];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    error_set(&err, ERROR_INTERNAL, longer, longer, "%s", longer);
    assert_int_equal(strlen(err.code), sizeof(err.code) - 1);
    assert_int_equal(strlen(err.field), sizeof(err.field) - 1);
    assert_int_equal(strlen(err.detail), sizeof(err.detail) - 1);
    assert_int_equal(error_set(NULL, ERROR_INVALID, "c", "f", "d"), -1);
}

static void an_error_can_be_built_from_itself(void **state)
{
    (void)state;
    struct error err;
    error_set(&err, ERROR_INVALID, "inner", "/a", "inner words");
    error_set(&err, ERROR_UNPROCESSABLE, err.code, err.field, "outer: %s", err.detail);
    assert_string_equal(err.code, "inner");
    assert_string_equal(err.field, "/a");
    assert_string_equal(err.detail, "outer: inner words");
}

static void each_kind_has_its_status(void **state)
{
    (void)state;
    static const int statuses[] = {200, 400, 401, 402, 403, 404, 409, 410, 412, 413, 415, 422, 429, 500, 503, 499};
    for (int kind = ERROR_NONE; kind <= ERROR_CANCELLED; kind++)
        assert_int_equal(error_status((enum error_kind)kind), statuses[kind]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_and_may_be_of_no_size),
        cmocka_unit_test(sizes_that_overflow_end_the_process_with_a_line),
        cmocka_unit_test(arena_memory_is_zeroed_aligned_and_apart),
        cmocka_unit_test(arena_strings_end_with_nul),
        cmocka_unit_test(deferred_calls_run_last_first_and_may_defer_again),
        cmocka_unit_test(an_error_is_filled_whole_and_cut_to_its_size),
        cmocka_unit_test(an_error_can_be_built_from_itself),
        cmocka_unit_test(each_kind_has_its_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
