#include "grading/conformance.h"
#include <string.h>
#include "grading/conformance_mutate.h"

enum { MUTATIONS = 3000, TRUNCATIONS = 2000, TRIES = 6 };

/* What a host hands over: texts that parse to values which are valid by the schemas. */
static bool is_fit(struct conformance *c, const struct text part[PARTS])
{
    bool fit = true;

    for (int p = 0; p < PARTS && fit; p++) {
        json_t *json = json_loadb(part[p].p, part[p].len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);

        fit = json && conformance_valid(c, p, json, NULL);
        json_decref(json);
    }
    return fit;
}

/* The promises that hold for every fit input. `what` names it. */
static void hold_to_promises(struct conformance *c, const struct text part[PARTS],
                             struct host_result results[2], const char *what, size_t n)
{
    static const struct {
        enum host_op op;
        const char *words;
    } checks[] = {{HOST_CHECK_ANSWER, "check_answer"}, {HOST_CHECK_TRUTH, "check_truth"}};

    conformance_input(c, part);
    for (size_t k = 0; k < 2; k++) {
        conformance_at(c, "%s of %s %d", checks[k].words, what, (int)n);
        conformance_call(c, c->plugin, checks[k].op, part, &results[0]);
        if (results[0].status == HOST_BUG || results[0].status == HOST_BAD_INPUT)
            conformance_fail(c, "%s of %s %d: %.400s", checks[k].words, what, (int)n,
                             conformance_words(&results[0]));
    }
    /* A truth that its own check refuses never becomes a case. */
    if (results[0].status != HOST_OK)
        return;
    conformance_at(c, "grading %s %d", what, (int)n);
    conformance_call(c, c->plugin, HOST_GRADE, part, &results[0]);
    conformance_call(c, c->plugin, HOST_GRADE, part, &results[1]);
    if (results[0].status != HOST_OK && results[0].status != HOST_NO_MEMORY)
        conformance_fail(c, "grading %s %d: %.400s", what, (int)n, conformance_words(&results[0]));
    else if (!conformance_same(&results[0], &results[1]))
        conformance_fail(c, "grading %s %d twice gives other bytes", what, (int)n);
}

/* Changes one part until it is valid by its schema again; NULL when no try was. */
static json_t *valid_mutant(struct conformance *c, struct conformance_random *random,
                            const struct conformance_pool *pool, int part, const json_t *from)
{
    for (int tries = 0; tries < TRIES; tries++) {
        json_t *json = json_deep_copy(from);

        conformance_mutate(random, pool, json);
        if (conformance_valid(c, part, json, NULL))
            return json;
        json_decref(json);
    }
    return NULL;
}

void conformance_mutations(struct conformance *c)
{
    struct conformance_random random = {c->seed};
    struct host_result results[2];
    struct buffer buffers[PARTS];
    size_t fit = 0;

    if (!conformance_load(c))
        return;
    struct conformance_pool pool = conformance_pool(c);

    for (int i = 0; i < 2; i++)
        host_result_init(&results[i]);
    for (int p = 0; p < PARTS; p++)
        buffer_init(&buffers[p], MANIFEST_MAX);
    for (size_t n = 1; n <= MUTATIONS && !conformance_failed(c); n++) {
        const struct conformance_case *one = &c->cases[conformance_below(&random, c->case_count)];
        /* Readers write answers; now and then an author's truth or config is unusual too. */
        int which = conformance_below(&random, 4) ? ANSWER : (int)conformance_below(&random, PARTS);
        struct text part[PARTS] = {one->text[CONFIG], one->text[TRUTH], one->text[ANSWER]};
        json_t *mutant = valid_mutant(c, &random, &pool, which, one->json[which]);

        if (!mutant)
            continue;
        part[which] = conformance_text(&buffers[which], mutant);
        json_decref(mutant);
        fit++;
        hold_to_promises(c, part, results, "mutation", n);
    }
    if (!conformance_failed(c) && fit == 0)
        conformance_skip(c, "no mutation of a golden case is valid by the schemas");
}

/* The text without one byte, without its end, or with a piece of it taken twice. */
static struct text damaged(struct buffer *bytes, struct text text, size_t cut, size_t kind)
{
    buffer_clear(bytes);
    buffer_add(bytes, text.p, cut);
    if (kind == 1)
        buffer_add(bytes, text.p + cut + 1, text.len - cut - 1);
    else if (kind == 2)
        buffer_add(bytes, text.p + cut / 2, text.len - cut / 2);
    return (struct text){.p = bytes->p ? bytes->p : "", .len = bytes->len};
}

static void expect_refusal(struct conformance *c, const struct text part[PARTS], struct text changed,
                           struct host_result *result, size_t n)
{
    json_t *json = json_loadb(changed.p, changed.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);

    conformance_at(c, "refusing damaged text %d", (int)n);
    if (!json) {
        conformance_call(c, c->plugin, HOST_GRADE, part, result);
        if (result->status != HOST_BAD_INPUT)
            conformance_fail(c, "damaged text %d was taken as JSON", (int)n);
    }
    json_decref(json); /* what parses is refused by its schema, before a plugin sees it */
}

void conformance_truncations(struct conformance *c)
{
    struct conformance_random random = {c->seed};
    struct host_result results[2];
    struct buffer bytes;

    if (!conformance_load(c))
        return;
    for (int i = 0; i < 2; i++)
        host_result_init(&results[i]);
    buffer_init(&bytes, MANIFEST_MAX);
    for (size_t n = 1; n <= TRUNCATIONS && !conformance_failed(c); n++) {
        const struct conformance_case *one = &c->cases[conformance_below(&random, c->case_count)];
        int which = (int)conformance_below(&random, PARTS);
        struct text part[PARTS] = {one->text[CONFIG], one->text[TRUTH], one->text[ANSWER]};

        part[which] = damaged(&bytes, part[which], conformance_below(&random, part[which].len), n % 3);
        if (is_fit(c, part))
            hold_to_promises(c, part, results, "damaged text", n);
        else
            expect_refusal(c, part, part[which], &results[0], n);
    }
}
