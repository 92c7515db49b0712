#include "grading/conformance.h"
#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "grading/conformance_mutate.h"

void conformance_cases(struct conformance *c)
{
    struct host_result result;

    if (c->cases_error.kind != ERROR_NONE) {
        conformance_fail(c, "%s", c->cases_error.detail);
        return;
    }
    if (!conformance_load(c))
        return;
    host_result_init(&result);
    for (size_t i = 0; i < c->case_count; i++) {
        const struct conformance_case *one = &c->cases[i];
        struct error err = {0};

        conformance_at(c, "checking %s", one->name);
        for (int p = 0; p < PARTS; p++)
            if (!conformance_valid(c, p, one->json[p], &err))
                conformance_fail(c, "%s: %s %s", one->name, err.field, err.detail);
        conformance_call(c, c->plugin, HOST_CHECK_TRUTH, one->text, &result);
        if (result.status != HOST_OK)
            conformance_fail(c, "%s: the plugin's check_truth says at %s: %s", one->name, result.pointer,
                             conformance_words(&result));
        conformance_call(c, c->plugin, HOST_CHECK_ANSWER, one->text, &result);
        if (result.status != HOST_OK && result.status != HOST_REFUSED)
            conformance_fail(c, "%s: the plugin's check_answer: %s", one->name, conformance_words(&result));
    }
}

/* --- Golden
 * ----------------------------------------------------------------------------------------------------- */

static const char *line_end(const char *p)
{
    return p + strcspn(p, "\n");
}

/* The first line in which two texts differ. */
static void say_difference(struct conformance *c, const char *name, const char *expected, const char *got)
{
    int line = 1;

    for (const char *a = expected, *b = got;; line++) {
        const char *a_end = line_end(a), *b_end = line_end(b);

        if (a_end - a != b_end - b || memcmp(a, b, (size_t)(a_end - a)) != 0) {
            a += strspn(a, " ");
            b += strspn(b, " ");
            conformance_fail(c, "%s: expected.json, line %d, has `%.*s`, the grade has `%.*s`", name, line,
                             (int)(a_end - a > 300 ? 300 : a_end - a), a,
                             (int)(b_end - b > 300 ? 300 : b_end - b), b);
            return;
        }
        if (!*a_end || !*b_end)
            break;
        a = a_end + 1;
        b = b_end + 1;
    }
    conformance_fail(c, "%s: expected.json is shorter or longer than the grade", name);
}

static int append(const char *bytes, size_t len, void *arg)
{
    buffer_add(arg, bytes, len);
    return 0;
}

/* One way of writing numbers and blanks for both, so that every byte that means something counts, and the
 * order too. */
static void compare_expected(struct conformance *c, const struct conformance_case *one,
                             const struct host_result *got)
{
    const size_t flags = JSON_INDENT(2) | JSON_REAL_PRECISION(15);
    struct buffer a, b;
    json_t *grade = json_loadb(got->text.p, got->text.len, 0, NULL);

    buffer_init(&a, 4 * HOST_TEXT_MAX);
    buffer_init(&b, 4 * HOST_TEXT_MAX);
    json_dump_callback(one->expected, append, &a, flags);
    json_dump_callback(grade, append, &b, flags);
    buffer_puts(&a, "");
    buffer_puts(&b, "");
    if (a.len != b.len || memcmp(a.p, b.p, a.len) != 0)
        say_difference(c, one->name, a.p, b.p);
    buffer_finish(&a);
    buffer_finish(&b);
    json_decref(grade);
}

void conformance_golden(struct conformance *c)
{
    if (!conformance_load(c))
        return;
    const struct host_result *grades = conformance_grade_all(c, c->plugin);

    for (size_t i = 0; grades && i < c->case_count; i++) {
        if (c->cases[i].expected)
            compare_expected(c, &c->cases[i], &grades[i]);
        else
            conformance_fail(
                c, "%s/expected.json is missing: write it by `overread plugin try ... --json`, and read it",
                c->cases[i].name);
    }
}

/* --- The same bytes
 * --------------------------------------------------------------------------------------------- */

/* Grades case i again, by `plugin`, from these texts, and compares. False when it differs. */
static bool again(struct conformance *c, const overread_plugin *plugin, size_t i,
                  const struct text part[PARTS], const struct host_result *first, struct host_result *result,
                  const char *what)
{
    conformance_at(c, "grading %s, %s", c->cases[i].name, what);
    conformance_call(c, plugin, HOST_GRADE, part, result);
    if (conformance_same(&first[i], result))
        return true;
    conformance_input(c, part);
    conformance_fail(c, "%s: other bytes %s: `%.400s` instead of `%.400s`", c->cases[i].name, what,
                     conformance_words(result), conformance_words(&first[i]));
    return false;
}

void conformance_repeats(struct conformance *c)
{
    const int rounds = 20;
    struct conformance_random random = {c->seed};
    struct host_result result;
    const struct host_result *first = conformance_load(c) ? conformance_grade_all(c, c->plugin) : NULL;

    host_result_init(&result);
    for (size_t n = 0; first && n < (size_t)rounds * c->case_count; n++) {
        size_t i = conformance_below(&random, c->case_count);

        if (!again(c, c->plugin, i, c->cases[i].text, first, &result, "after other cases"))
            return;
    }
}

void conformance_keys(struct conformance *c)
{
    const size_t orders = 20; /* of each case: a dependence on order shows in half of them */
    struct conformance_random random = {c->seed};
    struct host_result result;
    struct buffer buffers[PARTS];
    const struct host_result *first = conformance_load(c) ? conformance_grade_all(c, c->plugin) : NULL;

    host_result_init(&result);
    for (int p = 0; p < PARTS; p++)
        buffer_init(&buffers[p], MANIFEST_MAX);
    for (size_t n = 0; first && n < orders * c->case_count; n++) {
        struct text part[PARTS];

        for (int p = 0; p < PARTS; p++) {
            json_t *shuffled = conformance_shuffled(&random, c->cases[n / orders].json[p]);

            part[p] = conformance_text(&buffers[p], shuffled);
            json_decref(shuffled);
        }
        if (!again(c, c->plugin, n / orders, part, first, &result, "with the members in another order"))
            return;
    }
}

/* A plugin that stands before the real one. */
static _Thread_local struct {
    const overread_plugin *inner;
    int rounding;
    const overread_host *host;
    uint64_t calls, fail_at; /* counting from 1 */
    bool onwards;
} trick;

static enum overread_status rounded_grade(const overread_host *host, const overread_input *input,
                                          overread_grade *grade)
{
    fesetround(trick.rounding);
    enum overread_status status = trick.inner->grade(host, input, grade);

    fesetround(FE_TONEAREST);
    return status;
}

void conformance_rounding(struct conformance *c)
{
    static const struct {
        int mode;
        const char *words;
    } modes[] = {{FE_UPWARD, "when arithmetic rounds upward"},
                 {FE_DOWNWARD, "when arithmetic rounds downward"},
                 {FE_TOWARDZERO, "when arithmetic rounds towards zero"}};
    struct host_result result;
    const struct host_result *first = conformance_load(c) ? conformance_grade_all(c, c->plugin) : NULL;

    host_result_init(&result);
    for (size_t m = 0; first && m < 3; m++) {
        overread_plugin rounded = *c->plugin;

        rounded.grade = rounded_grade;
        trick.inner = c->plugin;
        trick.rounding = modes[m].mode;
        for (size_t i = 0; i < c->case_count; i++)
            if (!again(c, &rounded, i, c->cases[i].text, first, &result, modes[m].words))
                return;
    }
}

/* --- Allocations that fail
 * -------------------------------------------------------------------------------------- */

static void *failing_alloc(void *context, uint64_t size)
{
    trick.calls++;
    if (trick.fail_at && (trick.calls == trick.fail_at || (trick.onwards && trick.calls > trick.fail_at)))
        return NULL;
    return trick.host->alloc(context, size);
}

static overread_host failing_host(const overread_host *host)
{
    overread_host ret = *host;

    trick.host = host;
    trick.calls = 0;
    ret.alloc = failing_alloc;
    return ret;
}

static enum overread_status failing_grade(const overread_host *host, const overread_input *input,
                                          overread_grade *grade)
{
    overread_host failing = failing_host(host);

    return trick.inner->grade(&failing, input, grade);
}

static enum overread_status failing_check_truth(const overread_host *host, const overread_input *input,
                                                overread_problem *problem)
{
    overread_host failing = failing_host(host);

    return trick.inner->check_truth(&failing, input, problem);
}

static enum overread_status failing_check_answer(const overread_host *host, const overread_input *input,
                                                 overread_problem *problem)
{
    overread_host failing = failing_host(host);

    return trick.inner->check_answer(&failing, input, problem);
}

/* One call with every allocation failing in its turn, alone and with all that follow. */
static bool fail_each(struct conformance *c, const overread_plugin *plugin,
                      const struct conformance_case *one, enum host_op op, const char *what)
{
    struct host_result good, result;
    uint64_t count;

    host_result_init(&good);
    host_result_init(&result);
    trick.fail_at = 0;
    trick.calls = 0;
    conformance_call(c, plugin, op, one->text, &good);
    count = trick.calls;
    for (uint64_t k = 1; k <= 2 * count && !conformance_failed(c); k++) {
        trick.fail_at = (k + 1) / 2;
        trick.onwards = k % 2 == 0;
        conformance_at(c, "%s of %s without its allocation %d of %d", what, one->name, (int)trick.fail_at,
                       (int)count);
        conformance_input(c, one->text);
        conformance_call(c, plugin, op, one->text, &result);
        if (result.status != HOST_NO_MEMORY && !conformance_same(&good, &result))
            conformance_fail(
                c,
                "%s of %s without its allocation %d of %d is neither OVERREAD_NO_MEMORY nor the same: "
                "%.400s",
                what, one->name, (int)trick.fail_at, (int)count, conformance_words(&result));
    }
    host_result_finish(&good);
    host_result_finish(&result);
    return !conformance_failed(c);
}

void conformance_allocations(struct conformance *c)
{
    if (!conformance_load(c))
        return;
    overread_plugin failing = *c->plugin;

    trick.inner = c->plugin;
    failing.grade = failing_grade;
    failing.check_truth = failing_check_truth;
    failing.check_answer = failing_check_answer;
    for (size_t i = 0; i < c->case_count; i++)
        if (!fail_each(c, &failing, &c->cases[i], HOST_GRADE, "grade") ||
            !fail_each(c, &failing, &c->cases[i], HOST_CHECK_TRUTH, "check_truth") ||
            !fail_each(c, &failing, &c->cases[i], HOST_CHECK_ANSWER, "check_answer"))
            return;
}

/* --- Threads
 * ---------------------------------------------------------------------------------------------------- */

enum { THREADS = 8, THREAD_ROUNDS = 50, THREAD_NS = 200000000 };

struct lane {
    struct conformance *c;
    const struct host_result *first;
    pthread_t thread;
    pthread_barrier_t *start;
    struct host *host;
    struct conformance_random random;
    size_t wrong; /* case + 1; 0: none */
};

/* Lets another thread go on in the middle of a grade, so that even one processor interleaves them. */
static void *yielding_alloc(void *context, uint64_t size)
{
    sched_yield();
    return trick.host->alloc(context, size);
}

static enum overread_status yielding_grade(const overread_host *host, const overread_input *input,
                                           overread_grade *grade)
{
    overread_host yielding = *host;

    trick.host = host;
    yielding.alloc = yielding_alloc;
    return trick.inner->grade(&yielding, input, grade);
}

static void *run_lane(void *arg)
{
    struct lane *lane = arg;
    struct conformance own = *lane->c;
    overread_plugin yielding = *own.plugin;
    struct host_result result;

    own.host = lane->host;
    yielding.grade = yielding_grade;
    trick.inner = own.plugin;
    host_result_init(&result);
    pthread_barrier_wait(lane->start);
    /* Long enough to be interrupted anywhere, on a busy machine too. */
    uint64_t end = clock_monotonic_ns() + THREAD_NS;

    for (size_t n = 0; (n < THREAD_ROUNDS * own.case_count || clock_monotonic_ns() < end) && !lane->wrong;
         n++) {
        size_t i = conformance_below(&lane->random, own.case_count);

        conformance_call(&own, &yielding, HOST_GRADE, own.cases[i].text, &result);
        if (!conformance_same(&lane->first[i], &result))
            lane->wrong = i + 1;
    }
    host_result_finish(&result);
    return NULL;
}

/* A plugin that keeps no state cannot tell; one that does is seen here before a host that grades on threads
 * sees it.
 */
void conformance_threads(struct conformance *c)
{
    struct lane lanes[THREADS] = {{0}};
    pthread_barrier_t start;
    const struct host_result *first = conformance_load(c) ? conformance_grade_all(c, c->plugin) : NULL;

    if (!first)
        return;
    conformance_at(c, "grading in %d threads at once", THREADS);
    pthread_barrier_init(&start, NULL, THREADS);
    for (size_t t = 0; t < THREADS; t++) {
        lanes[t] = (struct lane){
            .c = c, .first = first, .start = &start, .host = host_create(&c->rules), .random = {c->seed + t}};
        if (!lanes[t].host || pthread_create(&lanes[t].thread, NULL, run_lane, &lanes[t]) != 0) {
            conformance_fail(c, "a thread could not be started");
            return; /* and the process ends, with those that wait */
        }
    }
    for (size_t t = 0; t < THREADS; t++) {
        pthread_join(lanes[t].thread, NULL);
        host_destroy(lanes[t].host);
        if (lanes[t].wrong)
            conformance_fail(c, "%s: other bytes when %d threads grade at once: it keeps state between calls",
                             c->cases[lanes[t].wrong - 1].name, THREADS);
    }
    pthread_barrier_destroy(&start);
}

/* --- What answers earn
 * ------------------------------------------------------------------------------------------ */

/* Grades the case with another answer. */
static bool grade_answer(struct conformance *c, const struct conformance_case *one, const json_t *answer,
                         struct host_result *result)
{
    struct buffer buffer;
    struct text part[PARTS] = {one->text[CONFIG], one->text[TRUTH], {"", 0}};

    buffer_init(&buffer, MANIFEST_MAX);
    part[ANSWER] = conformance_text(&buffer, answer);
    conformance_input(c, part);
    conformance_call(c, c->plugin, HOST_GRADE, part, result);
    buffer_finish(&buffer);
    if (result->status != HOST_OK)
        conformance_fail(c, "%s has no grade: %s", one->name, conformance_words(result));
    return result->status == HOST_OK;
}

static bool have_truth_as_answer(struct conformance *c)
{
    for (size_t i = 0; i < c->case_count; i++)
        if (c->cases[i].truth_as_answer)
            return true;
    conformance_skip(
        c, "no golden case holds truth_as_answer.json, what a reader would send who knows the truth");
    return false;
}

void conformance_truth_as_answer(struct conformance *c)
{
    struct host_result result;

    if (!have_truth_as_answer(c) || !conformance_load(c))
        return;
    host_result_init(&result);
    for (size_t i = 0; i < c->case_count; i++) {
        const struct conformance_case *one = &c->cases[i];
        struct error err = {0};

        if (!one->truth_as_answer)
            continue;
        conformance_at(c, "grading the truth of %s as an answer", one->name);
        if (!conformance_valid(c, ANSWER, one->truth_as_answer, &err))
            conformance_fail(c, "%s/truth_as_answer.json: %s %s", one->name, err.field, err.detail);
        else if (grade_answer(c, one, one->truth_as_answer, &result) &&
                 (result.points_milli != result.max_points_milli || !result.correct))
            conformance_fail(c, "%s: who sends the truth earns %.3f of %.3f points, %s", one->name,
                             (double)result.points_milli / 1000, (double)result.max_points_milli / 1000,
                             result.correct ? "correct" : "and is wrong");
    }
}

/* With nothing in the answer but what the schema insists on. */
void conformance_empty_answer(struct conformance *c)
{
    struct host_result empty, full;

    if (!have_truth_as_answer(c) || !conformance_load(c))
        return;
    host_result_init(&empty);
    host_result_init(&full);
    for (size_t i = 0; i < c->case_count; i++) {
        const struct conformance_case *one = &c->cases[i];

        if (!one->truth_as_answer)
            continue;
        json_t *answer = conformance_emptied(c, one->json[ANSWER]);

        conformance_at(c, "grading an empty answer to %s", one->name);
        if (grade_answer(c, one, one->truth_as_answer, &full) && grade_answer(c, one, answer, &empty) &&
            empty.points_milli > full.points_milli)
            conformance_fail(c, "%s: an empty answer earns %.3f points, the truth %.3f", one->name,
                             (double)empty.points_milli / 1000, (double)full.points_milli / 1000);
        json_decref(answer);
    }
}
