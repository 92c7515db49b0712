/* Inputs made from golden cases by a seeded generator. Private to conformance*.c. */
#ifndef OVERREAD_GRADING_CONFORMANCE_MUTATE_H
#define OVERREAD_GRADING_CONFORMANCE_MUTATE_H

#include "grading/conformance.h"

struct conformance_random {
    uint64_t state;
};
uint64_t conformance_next(struct conformance_random *random); /* splitmix64: any seed is good */
size_t conformance_below(struct conformance_random *random, size_t limit);

/* New references. */
json_t *conformance_shuffled(struct conformance_random *random,
                             const json_t *json); /* members in another order */
json_t *conformance_emptied(struct conformance *c,
                            const json_t *answer); /* what the schema insists on remains */
/* Every array as long as the schema allows, up to `items`. */
json_t *conformance_grown(struct conformance *c, const json_t *answer, size_t items);

/* What mutations put in: the schemas' bounds and choices, and the members of all golden cases. */
struct conformance_pool {
    json_t *values;  /* array */
    json_t *members; /* array of [name, value] */
};
struct conformance_pool conformance_pool(struct conformance *c);
void conformance_mutate(struct conformance_random *random, const struct conformance_pool *pool, json_t *json);

#endif
