#include "library/demo.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/process.h"
#include "base/crypto.h"
#include "grading/grading.h"

enum { CASES = 24, SEEDS = 12 };

/* --- Phantoms --------------------------------------------------------------------------------- */

static void at_least_a_third_of_the_cases_is_without_significant_cancer(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        int without = 0;
        for (int number = 1; number <= CASES; number++) {
            struct phantom p;
            phantom_make(seed, number, &p);
            without += !p.cspca;
        }
        assert_in_range(without, CASES / 3, CASES * 2 / 3);
    }
}

static void the_first_six_cases_are_of_both_kinds(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        int without = 0;
        for (int number = 1; number <= 6; number++) {
            struct phantom p;
            phantom_make(seed, number, &p);
            without += !p.cspca;
        }
        assert_in_range(without, 1, 5);
    }
}

/* PI-RADS v2.1 as its two tables, not as the generator goes about it. */
static int category(const struct phantom_lesion *lesion)
{
    if (lesion->zone == PHANTOM_PZ)
        return lesion->dwi == 3 && lesion->dce ? 4 : lesion->dwi;
    if (lesion->t2w == 2)
        return lesion->dwi >= 4 ? 3 : 2;
    return lesion->t2w == 3 && lesion->dwi == 5 ? 4 : lesion->t2w;
}

static void check_lesion(const struct phantom *p, const struct phantom_lesion *lesion)
{
    double at[3], depth = 0, longest = 0;
    for (int i = 0; i < 3; i++) {
        at[i] = (lesion->body.centre[i] - p->gland.centre[i]) / p->gland.semi_axes[i];
        depth += at[i] * at[i];
        if (lesion->body.semi_axes[i] * 2 > longest)
            longest = lesion->body.semi_axes[i] * 2;
    }
    assert_true(depth < 1);
    assert_int_equal(category(lesion), lesion->pirads);
    assert_int_equal(longest >= 15, lesion->t2w == 5 || lesion->dwi == 5);
    assert_int_equal(p->cspca, lesion->isup >= 2);
    const char *dash = strchr(lesion->sector, '-');
    assert_int_equal(strncmp(lesion->sector, lesion->zone == PHANTOM_PZ ? "PZ" : "TZ", 2), 0);
    assert_int_equal(dash[1], at[0] > 0 ? 'L' : 'R');
    assert_string_equal(dash + 3, at[2] > 1.0 / 3 ? "base" : at[2] < -1.0 / 3 ? "apex" : "mid");
}

static void lesions_follow_the_pirads_tables_and_lie_in_their_sectors(void **state)
{
    (void)state;
    int of_zone[2] = {0}, twos = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        for (int number = 1; number <= CASES; number++) {
            struct phantom p;
            phantom_make(seed, number, &p);
            assert_true(!p.cspca || p.count > 0);
            assert_in_range(p.difficulty, 1, 5);
            twos += p.count == 2;
            for (int i = 0; i < p.count; i++) {
                check_lesion(&p, &p.lesion[i]);
                of_zone[p.lesion[i].zone]++;
            }
        }
    }
    assert_true(of_zone[PHANTOM_PZ] > of_zone[PHANTOM_TZ] && of_zone[PHANTOM_TZ] > 0 && twos > 0);
}

static void a_lesion_is_dark_on_t2w_and_adc_and_bright_on_high_b(void **state)
{
    (void)state;
    int seen = 0;
    for (int number = 1; number <= CASES; number++) {
        struct phantom p, healthy;
        phantom_make(5, number, &p);
        if (!p.cspca || p.lesion[0].pirads < 4 || p.row[0] < 1 || p.column[1] < 1)
            continue;
        healthy = p;
        healthy.count = 0;
        for (enum phantom_series series = PHANTOM_T2W; series < PHANTOM_SERIES; series++) {
            static uint16_t ill[PHANTOM_SIDE_MAX * PHANTOM_SIDE_MAX],
                well[PHANTOM_SIDE_MAX * PHANTOM_SIDE_MAX];
            struct phantom_grid grid = phantom_grid(series);
            const double *at = p.lesion[0].body.centre;
            double first[3];
            phantom_position(&p, series, 0, first);
            int slice = (int)((at[2] - first[2]) / PHANTOM_SLICE_MM + 0.5);
            int i = (int)((at[0] - first[0]) / grid.spacing_mm + 0.5),
                j = (int)((at[1] - first[1]) / grid.spacing_mm + 0.5);
            phantom_render(&p, series, slice, ill);
            phantom_render(&healthy, series, slice, well);
            int change = ill[j * grid.side + i] - well[j * grid.side + i];
            assert_true(series == PHANTOM_HBV ? change > 20 : change < -50);
        }
        seen++;
    }
    assert_true(seen > 2);
}

/* --- Truth and config, as the plugin judges them ---------------------------------------------- */

static struct text part_of(struct arena *arena, void (*words)(const struct phantom *, struct buffer *),
                           const struct phantom *p, const char *member, json_t **ret)
{
    struct buffer b;
    json_t *whole;
    struct error err = {0};
    buffer_init(&b, 1 << 20);
    words(p, &b);
    assert_false(b.failed);
    assert_int_equal(json_parse(arena, (struct text){b.p, b.len}, &whole, &err), 0);
    buffer_finish(&b);
    *ret = json_object_get(whole, member);
    return json_render(arena, *ret);
}

/* The answer of somebody who knows. */
static struct text knowing_answer(struct arena *arena, const struct phantom *p)
{
    struct buffer b;
    buffer_init(&b, 1 << 16);
    buffer_printf(&b, "{\"cspca\":%s,\"lesions\":[", p->cspca ? "true" : "false");
    for (int i = 0; i < p->count; i++) {
        const struct phantom_lesion *lesion = &p->lesion[i];
        const double *at = lesion->body.centre;
        buffer_printf(
            &b,
            "%s{\"position\":[%.1f,%.1f,%.1f],\"zone\":\"%s\",\"sectors\":[\"%s\"],\"t2w\":%d,\"dwi\":%d,",
            i ? "," : "", at[0], at[1], at[2], lesion->zone == PHANTOM_PZ ? "PZ" : "TZ", lesion->sector,
            lesion->t2w, lesion->dwi);
        buffer_printf(&b, "\"dce\":\"%s\",\"pirads\":%d}", lesion->dce ? "+" : "-", lesion->pirads);
    }
    buffer_puts(&b, "]}");
    struct text ret = {arena_printf(arena, "%s", b.p), b.len};
    buffer_finish(&b);
    return ret;
}

struct judged {
    const struct grading_plugin *plugin;
    uint64_t seed;
    bool done;
};

static void judge_one(const struct judged *j, int number)
{
    struct arena *arena = arena_create();
    struct error err = {0};
    struct phantom p;
    json_t *config, *truth;
    struct grading_grade grade;
    phantom_make(j->seed, number, &p);
    struct grading_input input = {.config = part_of(arena, demo_manifest, &p, "config", &config),
                                  .truth = part_of(arena, demo_truth, &p, "truth", &truth)};
    if (grading_validate(j->plugin, GRADING_CONFIG, config, "", &err) < 0 ||
        grading_validate(j->plugin, GRADING_TRUTH, truth, "", &err) < 0 ||
        grading_check(j->plugin, &input, "", &err) < 0)
        fail_msg("seed %d, case %d: %s %s", (int)j->seed, number, err.field, err.detail);
    input.answer = knowing_answer(arena, &p);
    assert_int_equal(grading_grade(arena, j->plugin, &input, &grade, &err), 0);
    assert_true(grade.correct);
    assert_int_equal(grade.points_milli, grade.max_points_milli);
    arena_destroy(arena);
}

static void judge(void *arg)
{
    struct judged *j = arg;
    for (j->seed = 0; j->seed < SEEDS; j->seed++)
        for (int number = 1; number <= CASES; number++)
            judge_one(j, number);
    j->done = true;
}

static void the_plugin_accepts_each_truth_and_gives_it_full_marks(void **state)
{
    (void)state;
    struct error err = {0};
    const struct grading_source source = {
        .dir = getenv("TEST_PLUGIN_DIR"), .grader = getenv("TEST_GRADER"), .allow_unsigned = true};
    assert_int_equal(grading_registry_load(&source, &err), 0);
    struct arena *arena = arena_create();
    struct judged judged = {.plugin = grading_plugin(arena, "prostate_mri")};
    assert_non_null(judged.plugin);
    assert_null(judged.plugin->broken);
    struct loop *loop = loop_create();
    struct grading *grading = grading_create(loop, 1);
    fiber_spawn(judge, &judged);
    while (!judged.done)
        loop_turn(loop, 1000);
    grading_destroy(grading);
    loop_destroy(loop);
    arena_destroy(arena);
    grading_registry_unload();
}

/* --- Folders ---------------------------------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* Both walks hash names and bytes of all regular files, in an order that does not depend on the directory's.
 */
static uint8_t sum[SHA256_SIZE];
static int files;
static size_t root_length;

static int add_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)ftw;
    if (type != FTW_F)
        return 0;
    char *bytes = test_malloc((size_t)st->st_size + strlen(path));
    size_t name = strlen(path + root_length);
    memcpy(bytes, path + root_length, name);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fread(bytes + name, 1, (size_t)st->st_size, file), st->st_size);
    fclose(file);
    uint8_t hash[SHA256_SIZE];
    crypto_sha256(bytes, name + (size_t)st->st_size, hash);
    for (int i = 0; i < SHA256_SIZE; i++)
        sum[i] ^= hash[i];
    files++;
    test_free(bytes);
    return 0;
}

static void hash_tree(const char *path, uint8_t ret[SHA256_SIZE])
{
    memset(sum, 0, sizeof(sum));
    files = 0;
    root_length = strlen(path);
    assert_int_equal(nftw(path, add_entry, 8, FTW_PHYS), 0);
    memcpy(ret, sum, sizeof(sum));
}

static void the_same_seed_gives_the_same_bytes_and_another_seed_others(void **state)
{
    const char *dir = *state;
    char path[3][128];
    uint8_t hash[3][SHA256_SIZE];
    static const uint64_t seeds[] = {11, 11, 12};
    struct error err = {0};
    for (int i = 0; i < 3; i++) {
        snprintf(path[i], sizeof(path[i]), "%s/%d", dir, i);
        assert_int_equal(demo_generate(path[i], seeds[i], i == 2 ? 1 : 2, &err), 0);
        hash_tree(path[i], hash[i]);
        assert_int_equal(files, (i == 2 ? 1 : 2) * (PHANTOM_SERIES * PHANTOM_SLICES + 2));
    }
    assert_memory_equal(hash[0], hash[1], SHA256_SIZE);
    assert_memory_not_equal(hash[0], hash[2], SHA256_SIZE);
    /* Over what is there already: the same again. */
    assert_int_equal(demo_generate(path[1], 11, 2, &err), 0);
    hash_tree(path[1], hash[1]);
    assert_memory_equal(hash[0], hash[1], SHA256_SIZE);
}

/* dciodvfy tells on stderr, of which process_run keeps nothing when all is well: hence the shell. */
static void each_series_is_a_valid_mr_image_and_says_that_it_is_synthetic(void **state)
{
    const char *dir = *state;
    char root[128];
    struct error err = {0};
    snprintf(root, sizeof(root), "%s/valid", dir);
    assert_int_equal(demo_generate(root, 3, 1, &err), 0);
    for (enum phantom_series series = PHANTOM_T2W; series < PHANTOM_SERIES; series++) {
        char path[256];
        struct buffer said;
        snprintf(path, sizeof(path), "%s/demo-prostate-001/%s/06.dcm", root, demo_directory(series));
        const char *const verify[] = {"sh", "-c", "exec dciodvfy \"$0\" 2>&1", path, NULL};
        buffer_init(&said, 1 << 16);
        assert_int_equal(process_run(verify, NULL, &said, &err), 0);
        assert_non_null(strstr(said.p, "MRImage"));
        assert_null(strstr(said.p, "Error"));
        buffer_clear(&said);
        const char *const dump[] = {"dcmdump", path, NULL};
        assert_int_equal(process_run(dump, NULL, &said, &err), 0);
        assert_non_null(strstr(said.p, "PatientIdentityRemoved"));
        assert_non_null(strstr(said.p, "SYNTHETIC PHANTOM - NOT A PATIENT"));
        buffer_finish(&said);
    }
}

static void a_count_out_of_range_or_a_directory_that_cannot_be_made_is_refused(void **state)
{
    const char *dir = *state;
    char path[128];
    struct error err = {0};
    snprintf(path, sizeof(path), "%s/none/below", dir);
    assert_int_equal(demo_generate(path, 1, 1, &err), -1);
    assert_string_equal(err.code, "demo_not_written");
    assert_int_equal(demo_generate(dir, 1, 0, &err), -1);
    assert_string_equal(err.code, "bad_count");
    assert_int_equal(demo_generate(dir, 1, PHANTOM_NUMBER_MAX + 1, &err), -1);
}

static int open_dir(void **state)
{
    char *dir = test_malloc(64);
    snprintf(dir, 64, "/tmp/overread-demo-test-XXXXXX");
    *state = dir;
    return mkdtemp(dir) ? 0 : -1;
}

static int close_dir(void **state)
{
    nftw(*state, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    test_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_least_a_third_of_the_cases_is_without_significant_cancer),
        cmocka_unit_test(the_first_six_cases_are_of_both_kinds),
        cmocka_unit_test(lesions_follow_the_pirads_tables_and_lie_in_their_sectors),
        cmocka_unit_test(a_lesion_is_dark_on_t2w_and_adc_and_bright_on_high_b),
        cmocka_unit_test(the_plugin_accepts_each_truth_and_gives_it_full_marks),
        cmocka_unit_test_setup_teardown(the_same_seed_gives_the_same_bytes_and_another_seed_others, open_dir,
                                        close_dir),
        cmocka_unit_test_setup_teardown(each_series_is_a_valid_mr_image_and_says_that_it_is_synthetic,
                                        open_dir, close_dir),
        cmocka_unit_test_setup_teardown(a_count_out_of_range_or_a_directory_that_cannot_be_made_is_refused,
                                        open_dir, close_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
