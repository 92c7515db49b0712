/* What every plugin's grades promise whatever the case: seeded random truths and answers. OVERREAD_SEED
 * repeats a run. A modality's test says how its random cases are made, and adds the promises of its own. */
#ifndef OVERREAD_TESTS_PLUGINS_PROPERTIES_H
#define OVERREAD_TESTS_PLUGINS_PROPERTIES_H

#include "support.h"

struct triple {
    json_t *config, *truth, *answer;
};

struct modality {
    const char *list;    /* what truth and answer hold: "lesions" */
    const char *nothing; /* an answer without a mark, as JSON */
    int cases;           /* to be tried */
    json_t *(*config)(void);
    json_t *(*truth)(const json_t *config);
    json_t *(*answer)(const json_t *truth);
    json_t *(*truth_as_answer)(const json_t *truth); /* what an expert who knew the truth would have sent */
};
extern const struct modality modality; /* each test's own */

int properties_setup(void **state); /* as bench_setup, and seeds what is random */

/* 0 to limit - 1. */
int below(int limit);
/* A random case of the modality. */
struct triple random_triple(void);
void triple_drop(struct triple *triple);
/* The answer's first mark. Borrowed. */
json_t *first_mark(const json_t *answer);

/* Each fails the test when there is no grade. */
json_t *grade_of(const struct triple *triple);
int64_t points_of(const struct triple *triple);
/* Writes the case to stderr and fails. */
void fail_over(const struct triple *triple, const char *words);

/* In little memory the case is refused for that, in more it is graded, and nothing else ever happens. */
void needs_memory_and_says_so(const struct triple *triple);

/* --- The promises, as tests of cmocka
 * ------------------------------------------------------------------------- */

void the_truth_as_answer_earns_all_points_and_nothing_earns_more(void **state);
void the_order_of_truth_and_answer_changes_nothing_but_the_pointers(void **state);
void keys_locale_and_rounding_mode_change_no_byte(void **state);

#define THE_PROMISES_OF_EVERY_MODALITY                                                                       \
    cmocka_unit_test(the_truth_as_answer_earns_all_points_and_nothing_earns_more),                           \
        cmocka_unit_test(the_order_of_truth_and_answer_changes_nothing_but_the_pointers),                    \
        cmocka_unit_test(keys_locale_and_rounding_mode_change_no_byte)

#endif
