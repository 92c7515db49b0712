/* overread-plugin-check: `overread plugin check FILE.so` runs it. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/crypto.h"
#include "grading/conformance.h"

static int usage(void)
{
    fputs("usage: overread plugin check FILE.so [--seed N] [--cases DIR]\n", stderr);
    return 2;
}

/* The input that a check failed with, for `overread plugin try`. */
static void save_input(const struct conformance *c)
{
    const char *base = getenv("TMPDIR");
    char *dir = arena_printf(c->arena, "%s/overread-plugin-check-XXXXXX", base && base[0] ? base : "/tmp");

    if (!c->page->has_input || !mkdtemp(dir))
        return;
    for (int p = 0; p < PARTS; p++) {
        FILE *file = fopen(arena_printf(c->arena, "%s/%s.json", dir, conformance_part_names[p]), "wxe");

        if (!file)
            return;
        fwrite(c->page->input[p], 1, c->page->len[p], file);
        fclose(file);
    }
    printf("    overread plugin try %s --config %s/config.json --truth %s/truth.json --answer %s/answer.json\n",
           c->library, dir, dir, dir);
}

static int run_all(struct conformance *c)
{
    int passed = 0, failed = 0;

    printf("%s %s, %d golden cases, seed %llu\n", c->manifest.id ? c->manifest.id : c->library,
           c->manifest.version ? c->manifest.version : "", (int)c->case_count, (unsigned long long)c->seed);
    for (const struct conformance_check *check = conformance_checks; check->name; check++) {
        fflush(stdout);
        switch (conformance_run_check(c, check)) {
        case CONFORMANCE_PASSED:
            printf("ok %s\n", check->name);
            passed++;
            break;
        case CONFORMANCE_SKIPPED:
            printf("skipped %s: %s\n", check->name, c->page->words);
            break;
        default:
            printf("FAILED %s: %s", check->name, c->page->words);
            printf(check->seeded ? " (again with --seed %llu)\n" : "\n", (unsigned long long)c->seed);
            save_input(c);
            failed++;
        }
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed ? 1 : 0;
}

static int parse(int argc, char **argv, struct conformance *c, const char **ret_cases, int *ret_mode)
{
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'},      {"cases", required_argument, NULL, 'c'},
        {"grader", required_argument, NULL, 'g'},    {"grades", no_argument, NULL, 'p'},
        {"grades-reversed", no_argument, NULL, 'r'}, {0},
    };
    int got;
    int64_t seed;

    while ((got = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (got) {
        case 's':
            if (text_to_int64(text_of(optarg), 0, INT64_MAX, &seed) < 0) {
                fputs("overread: --seed takes a whole number\n", stderr);
                return -1;
            }
            c->seed = (uint64_t)seed;
            break;
        case 'c':
            *ret_cases = optarg;
            break;
        case 'g':
            c->grader = optarg;
            break;
        case 'p':
        case 'r':
            *ret_mode = got;
            break;
        default:
            return -1;
        }
    return optind == argc - 1 ? 0 : -1;
}

int main(int argc, char **argv)
{
    static struct conformance c;
    struct error err = {0};
    const char *cases = NULL;
    uint32_t seed;
    int mode = 0;

    crypto_random(&seed, sizeof(seed));
    c.seed = seed;
    if (parse(argc, argv, &c, &cases, &mode) < 0)
        return usage();
    struct arena *arena = arena_create();
    int status = 1;

    if (conformance_open(&c, arena, argv[optind], cases, &err) < 0)
        fprintf(stderr, "overread: %s at %s: %s\n", err.code, err.field, err.detail);
    else if (mode)
        conformance_print_grades(&c, mode == 'r');
    else
        status = run_all(&c);
    arena_destroy(arena);
    return status;
}
