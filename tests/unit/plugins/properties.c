#include "properties.h"
#include <fenv.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { ITEMS_MAX = 20, BYTES_TRIES = 100, TEXT_SIZE = 65536 };

static uint64_t random_state;

int properties_setup(void **state)
{
    const char *seed = getenv("OVERREAD_SEED");
    random_state = seed ? strtoull(seed, NULL, 10) | 1 : 88172645463325252;
    return bench_setup(state);
}

int below(int limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (int)(random_state % (uint64_t)limit);
}

struct triple random_triple(void)
{
    struct triple ret = {.config = modality.config()};
    ret.truth = modality.truth(ret.config);
    ret.answer = modality.answer(ret.truth);
    return ret;
}

void triple_drop(struct triple *triple)
{
    json_decref(triple->config);
    json_decref(triple->truth);
    json_decref(triple->answer);
}

json_t *first_mark(const json_t *answer)
{
    return json_array_get(json_object_get(answer, modality.list), 0);
}

json_t *grade_of(const struct triple *triple)
{
    return bench_grade(triple->config, triple->truth, triple->answer);
}

int64_t points_of(const struct triple *triple)
{
    json_t *grade = grade_of(triple);
    int64_t points = grade_milli(grade, "points");
    json_decref(grade);
    return points;
}

void fail_over(const struct triple *triple, const char *words)
{
    const json_t *all[] = {triple->config, triple->truth, triple->answer};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        char *text = json_dumps(all[i], JSON_COMPACT);
        print_error("%s\n", text);
        free(text);
    }
    fail_msg("%s", words);
}

void needs_memory_and_says_so(const struct triple *triple)
{
    bool refused = false, graded = false;
    for (uint64_t memory = 4096; memory <= 262144; memory += 1009) {
        struct bench *small = bench_open(memory);
        const struct host_result *result =
            bench_run_json(small, HOST_GRADE, triple->config, triple->truth, triple->answer);
        refused |= result->status == HOST_NO_MEMORY;
        graded |= result->status == HOST_OK;
        assert_true(result->status == HOST_NO_MEMORY || result->status == HOST_OK);
        bench_close(small);
    }
    assert_true(refused && graded);
}

/* --- All points, and no more
 * ---------------------------------------------------------------------------------- */

/* How many points there are depends on config and truth, never on the answer. */
static void earns_no_more_than(int64_t max_points, const struct triple *triple, json_t *answer)
{
    const struct triple other = {triple->config, triple->truth, answer};
    json_t *grade = grade_of(&other);
    assert_int_equal(grade_milli(grade, "max_points"), max_points);
    assert_true(grade_milli(grade, "points") <= max_points);
    json_decref(grade);
    json_decref(answer);
}

void the_truth_as_answer_earns_all_points_and_nothing_earns_more(void **state)
{
    (void)state;
    for (int i = 0; i < modality.cases; i++) {
        struct triple best = {.config = modality.config()};
        best.truth = modality.truth(best.config);
        best.answer = modality.truth_as_answer(best.truth);
        const struct host_result *check =
            bench_run_json(bench, HOST_CHECK_TRUTH, best.config, best.truth, NULL);
        if (check->status != HOST_OK)
            fail_msg("a random truth is refused: %s: %s", check->pointer, check->text.p);
        json_t *grade = grade_of(&best);
        int64_t max_points = grade_milli(grade, "max_points");
        if (grade_milli(grade, "points") != max_points || !json_is_true(json_object_get(grade, "correct")))
            fail_over(&best, "the truth as answer does not earn all points");
        earns_no_more_than(max_points, &best, json_loads(modality.nothing, 0, NULL));
        earns_no_more_than(max_points, &best, modality.answer(best.truth));
        json_decref(grade);
        triple_drop(&best);
    }
}

/* --- The order
 * ------------------------------------------------------------------------------------------------ */

static json_t *shuffled(const json_t *object, int order[ITEMS_MAX])
{
    json_t *copied = json_deep_copy(object), *items = json_object_get(object, modality.list),
           *mixed = json_array();
    int count = (int)json_array_size(items);
    assert_true(count <= ITEMS_MAX);
    for (int i = 0; i < count; i++)
        order[i] = i;
    for (int i = count - 1; i > 0; i--) {
        int j = below(i + 1), swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
    for (int i = 0; i < count; i++)
        json_array_append(mixed, json_array_get(items, (size_t)order[i]));
    json_object_set_new(copied, modality.list, mixed);
    return copied;
}

/* "/lesions/<i>" becomes "/lesions/<order[i]>". */
static void rename_pointers(json_t *grade, const char *member, const int order[ITEMS_MAX])
{
    size_t i, len = strlen(modality.list);
    json_t *finding;
    json_array_foreach(json_object_get(grade, "findings"), i, finding)
    {
        const char *pointer = json_string_value(json_object_get(finding, member));
        char renamed[64];
        if (!pointer || strncmp(pointer + 1, modality.list, len) != 0 || pointer[1 + len] != '/')
            continue;
        snprintf(renamed, sizeof(renamed), "/%s/%d", modality.list,
                 order[strtol(pointer + len + 2, NULL, 10)]);
        json_object_set_new(finding, member, json_string(renamed));
    }
}

void the_order_of_truth_and_answer_changes_nothing_but_the_pointers(void **state)
{
    (void)state;
    for (int i = 0; i < modality.cases; i++) {
        int truth_order[ITEMS_MAX], answer_order[ITEMS_MAX];
        struct triple c = random_triple();
        struct triple mixed = {json_incref(c.config), shuffled(c.truth, truth_order),
                               shuffled(c.answer, answer_order)};
        json_t *grade = grade_of(&c), *other = grade_of(&mixed);
        rename_pointers(other, "truth_pointer", truth_order);
        rename_pointers(other, "answer_pointer", answer_order);
        char *one = json_dumps(grade, JSON_COMPACT), *two = json_dumps(other, JSON_COMPACT);
        if (strcmp(one, two) != 0)
            fail_over(&c, "another order is another grade");
        free(one);
        free(two);
        json_decref(grade);
        json_decref(other);
        triple_drop(&c);
        triple_drop(&mixed);
    }
}

/* --- Every byte
 * ----------------------------------------------------------------------------------------------- */

/* The same value with the members of every object in the opposite order. */
static json_t *reversed(const json_t *value)
{
    const char *names[64];
    size_t count = 0;
    json_t *ret, *item;
    if (json_is_array(value)) {
        ret = json_array();
        json_array_foreach(value, count, item) json_array_append_new(ret, reversed(item));
        return ret;
    }
    if (!json_is_object(value))
        return json_deep_copy(value);
    ret = json_object();
    for (void *at = json_object_iter((json_t *)(uintptr_t)value); at && count < 64;
         at = json_object_iter_next((json_t *)(uintptr_t)value, at))
        names[count++] = json_object_iter_key(at);
    while (count-- > 0)
        json_object_set_new(ret, names[count], reversed(json_object_get(value, names[count])));
    return ret;
}

static void take_bytes(char to[TEXT_SIZE], const struct triple *triple)
{
    const struct host_result *result =
        bench_run_json(bench, HOST_GRADE, triple->config, triple->truth, triple->answer);
    assert_int_equal(result->status, HOST_OK);
    assert_true(result->text.len < TEXT_SIZE);
    memcpy(to, result->text.p, result->text.len + 1);
}

void keys_locale_and_rounding_mode_change_no_byte(void **state)
{
    static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    static char first[TEXT_SIZE], again[TEXT_SIZE];
    (void)state;
    for (int i = 0; i < BYTES_TRIES; i++) {
        struct triple c = random_triple();
        struct triple turned = {reversed(c.config), reversed(c.truth), reversed(c.answer)};
        take_bytes(first, &c);
        setlocale(LC_ALL, "de_DE.UTF-8"); /* a decimal comma, where the machine has that locale */
        for (size_t m = 0; m < sizeof(modes) / sizeof(modes[0]); m++) {
            fesetround(modes[m]);
            take_bytes(again, &turned);
            fesetround(FE_TONEAREST);
            assert_string_equal(first, again);
        }
        setlocale(LC_ALL, "C");
        triple_drop(&c);
        triple_drop(&turned);
    }
}
