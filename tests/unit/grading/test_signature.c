#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "fixture.h"
#include "base/text.h"
#include "grading/signature.h"

static char ours[SHA256_HEX_SIZE], theirs[SHA256_HEX_SIZE];
static struct arena *arena;

static const char *in_folder(const char *name)
{
    return arena_printf(arena, "%s/%s", fixture_dir, name);
}

static void keygen(const char *name, char ret[SHA256_HEX_SIZE])
{
    struct error err = {0};

    assert_int_equal(signature_keygen(in_folder(arena_printf(arena, "%s.pem", name)),
                                      in_folder(arena_printf(arena, "%s.pub.pem", name)), ret, &err),
                     0);
}

static void sign(const char *key, const char *plugin)
{
    struct error err = {0};
    char by[SHA256_HEX_SIZE];
    const char *path;

    assert_int_equal(signature_sign(arena, in_folder(arena_printf(arena, "%s.pem", key)), in_folder(plugin), &path, by,
                                    &err),
                     0);
    assert_string_equal(path, in_folder(arena_printf(arena, "%s/%s.sig", plugin, plugin)));
    assert_string_equal(by, strcmp(key, "ours") == 0 ? ours : theirs);
}

static int open_folder(void **state)
{
    (void)state;
    fixture_open();
    arena = arena_create();
    keygen("ours", ours);
    keygen("theirs", theirs);
    fixture_plugin("trial");
    return 0;
}

static int close_folder(void **state)
{
    (void)state;
    fixture_close();
    arena = arena_destroy(arena);
    return 0;
}

static size_t read_bytes(const char *path, char *ret, size_t max)
{
    FILE *file = fopen(path, "re");

    assert_non_null(file);
    size_t len = fread(ret, 1, max, file);

    fclose(file);
    return len;
}

static void write_bytes(const char *path, const char *bytes, size_t len)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static int load(const char *keys, struct error *err)
{
    const struct grading_source source = {
        .dir = fixture_dir, .grader = fixture_grader(), .plugin_keys = keys ? in_folder(keys) : NULL};

    return grading_registry_load(&source, err);
}

static const struct grading_plugin *load_with(const char *keys)
{
    struct error err = {0};

    assert_int_equal(load(keys, &err), 0);
    return fixture_find("trial");
}

static void expect_untrusted(void)
{
    const struct grading_plugin *plugin = load_with("ours.pub.pem");

    assert_non_null(plugin->broken);
    assert_non_null(strstr(plugin->broken, "not signed by a trusted key"));
    assert_string_equal(plugin->signed_by, "");
}

static void what_a_trusted_key_has_signed_grades(void **state)
{
    (void)state;
    sign("ours", "trial");
    const struct grading_plugin *plugin = load_with("ours.pub.pem");

    assert_null(plugin->broken);
    assert_string_equal(plugin->signed_by, ours);
    struct fixture_call c = fixture_do("trial", "echo", NULL);

    assert_int_equal(c.result, 0);
    arena_destroy(c.arena);
}

static void a_file_of_the_library_is_signed_as_its_folder_is(void **state)
{
    struct error err = {0};
    char by[SHA256_HEX_SIZE];
    const char *path;

    (void)state;
    assert_int_equal(signature_sign(arena, in_folder("ours.pem"), in_folder("trial/trial.so"), &path, by, &err), 0);
    assert_null(load_with("ours.pub.pem")->broken);
}

/* One bit anywhere: at both ends of the file and in its middle. */
static void flip_and_expect_untrusted(const char *file)
{
    static char bytes[8 << 20];
    const char *path = in_folder(file);
    size_t len = read_bytes(path, bytes, sizeof(bytes));
    const size_t places[] = {0, len / 2, len - 1};

    for (size_t i = 0; i < 3; i++) {
        bytes[places[i]] ^= 1;
        write_bytes(path, bytes, len);
        expect_untrusted();
        bytes[places[i]] ^= 1;
    }
    write_bytes(path, bytes, len);
    assert_null(load_with("ours.pub.pem")->broken);
}

static void a_changed_library_is_not_loaded(void **state)
{
    (void)state;
    sign("ours", "trial");
    flip_and_expect_untrusted("trial/trial.so");
}

static void a_changed_signature_is_none(void **state)
{
    (void)state;
    sign("ours", "trial");
    flip_and_expect_untrusted("trial/trial.sig");
}

static void a_manifest_that_means_the_same_in_other_bytes_is_not_loaded(void **state)
{
    char bytes[4096];

    (void)state;
    sign("ours", "trial");
    size_t len = read_bytes(in_folder("trial/manifest.json"), bytes, sizeof(bytes) - 1);

    bytes[len++] = '\n';
    write_bytes(in_folder("trial/manifest.json"), bytes, len);
    expect_untrusted();
}

static void a_key_that_is_not_trusted_signs_in_vain(void **state)
{
    (void)state;
    sign("theirs", "trial");
    expect_untrusted();
}

static void a_signature_of_another_plugin_by_the_same_key_is_none(void **state)
{
    char bytes[SIGNATURE_SIZE + 1];

    (void)state;
    fixture_plugin("crashes_at_load");
    sign("ours", "trial");
    sign("ours", "crashes_at_load");
    assert_int_equal(read_bytes(in_folder("crashes_at_load/crashes_at_load.sig"), bytes, sizeof(bytes)), SIGNATURE_SIZE);
    write_bytes(in_folder("trial/trial.sig"), bytes, SIGNATURE_SIZE);
    expect_untrusted();
    assert_null(fixture_find("crashes_at_load")->broken);
}

static void a_signature_without_its_whole_length_is_none(void **state)
{
    char bytes[SIGNATURE_SIZE + 1] = {0};

    (void)state;
    expect_untrusted();
    sign("ours", "trial");
    assert_int_equal(read_bytes(in_folder("trial/trial.sig"), bytes, sizeof(bytes)), SIGNATURE_SIZE);
    const size_t lengths[] = {0, 1, SIGNATURE_SIZE - 1, SIGNATURE_SIZE + 1};

    for (size_t i = 0; i < 4; i++) {
        write_bytes(in_folder("trial/trial.sig"), bytes, lengths[i]);
        expect_untrusted();
    }
}

/* Writes `name` out of two files, one of which may be NULL, the second cut to a length. */
static void join(const char *name, const char *first, const char *second, size_t cut)
{
    char bytes[4096];
    size_t len = first ? read_bytes(in_folder(first), bytes, 2048) : 0;
    size_t more = second ? read_bytes(in_folder(second), bytes + len, 2048) : 0;

    write_bytes(in_folder(name), bytes, len + (more < cut ? more : cut));
}

static void each_of_two_keys_is_trusted(void **state)
{
    (void)state;
    join("both.pem", "ours.pub.pem", "theirs.pub.pem", SIZE_MAX);
    sign("ours", "trial");
    assert_string_equal(load_with("both.pem")->signed_by, ours);
    sign("theirs", "trial");
    assert_string_equal(load_with("both.pem")->signed_by, theirs);
}

static void expect_bad_keys(const char *keys, const char *word)
{
    struct error err = {0};

    assert_int_equal(load(keys, &err), -1);
    assert_string_equal(err.code, "plugin_keys");
    if (!strstr(err.detail, word))
        fail_msg("\"%s\" does not say \"%s\"", err.detail, word);
}

static void a_key_file_that_holds_anything_but_whole_public_keys_is_refused(void **state)
{
    static const char other[] = "-----BEGIN PUBLIC KEY-----\n"
                                "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n"
                                "6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n"
                                "-----END PUBLIC KEY-----\n";

    (void)state;
    sign("ours", "trial");
    expect_bad_keys("not_there.pem", "No such file");
    write_bytes(in_folder("empty.pem"), "", 0);
    expect_bad_keys("empty.pem", "no public key");
    join("private.pem", "ours.pub.pem", "ours.pem", SIZE_MAX);
    expect_bad_keys("private.pem", "something else");
    join("cut.pem", "ours.pub.pem", "theirs.pub.pem", 80);
    expect_bad_keys("cut.pem", "not whole PEM");
    write_bytes(in_folder("p256.pem"), other, sizeof(other) - 1);
    expect_bad_keys("p256.pem", "not Ed25519");
}

static void without_keys_unsigned_plugins_have_to_be_allowed_by_name(void **state)
{
    struct error err = {0};

    (void)state;
    assert_int_equal(load(NULL, &err), -1);
    assert_string_equal(err.code, "plugins_unsigned");
    assert_int_equal(fixture_load(&err), 0);
    assert_null(fixture_find("trial")->broken);
}

static void to_allow_unsigned_ones_says_nothing_beside_keys(void **state)
{
    struct error err = {0};
    const struct grading_source source = {.dir = fixture_dir,
                                          .grader = fixture_grader(),
                                          .plugin_keys = in_folder("ours.pub.pem"),
                                          .allow_unsigned = true};

    (void)state;
    assert_int_equal(grading_registry_load(&source, &err), 0);
    assert_non_null(fixture_find("trial")->broken);
}

static void a_key_that_is_there_is_never_overwritten(void **state)
{
    struct error err = {0};
    struct stat st;
    char fingerprint[SHA256_HEX_SIZE];

    (void)state;
    assert_int_equal(
        signature_keygen(in_folder("ours.pem"), in_folder("new.pub.pem"), fingerprint, &err), -1);
    assert_int_equal(signature_keygen(in_folder("new.pem"), in_folder("ours.pub.pem"), fingerprint, &err), -1);
    assert_int_equal(access(in_folder("new.pem"), F_OK), -1); /* no half of a pair is left */
    assert_int_equal(stat(in_folder("ours.pem"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    sign("ours", "trial");
    assert_null(load_with("ours.pub.pem")->broken);
}

static void what_cannot_be_signed_leaves_no_signature(void **state)
{
    struct error err = {0};
    char by[SHA256_HEX_SIZE];
    const char *path;

    (void)state;
    assert_int_equal(signature_sign(arena, in_folder("ours.pub.pem"), in_folder("trial"), &path, by, &err), -1);
    assert_string_equal(err.code, "bad_key");
    fixture_manifest("trial", "{");
    assert_int_equal(signature_sign(arena, in_folder("ours.pem"), in_folder("trial"), &path, by, &err), -1);
    assert_string_equal(err.code, "bad_manifest");
    assert_int_equal(signature_sign(arena, in_folder("ours.pem"), in_folder("nowhere"), &path, by, &err), -1);
    assert_int_equal(access(in_folder("trial/trial.sig"), F_OK), -1);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, open_folder, close_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(what_a_trusted_key_has_signed_grades),
        IN_FOLDER(a_file_of_the_library_is_signed_as_its_folder_is),
        IN_FOLDER(a_changed_library_is_not_loaded),
        IN_FOLDER(a_changed_signature_is_none),
        IN_FOLDER(a_manifest_that_means_the_same_in_other_bytes_is_not_loaded),
        IN_FOLDER(a_key_that_is_not_trusted_signs_in_vain),
        IN_FOLDER(a_signature_of_another_plugin_by_the_same_key_is_none),
        IN_FOLDER(a_signature_without_its_whole_length_is_none),
        IN_FOLDER(each_of_two_keys_is_trusted),
        IN_FOLDER(a_key_file_that_holds_anything_but_whole_public_keys_is_refused),
        IN_FOLDER(without_keys_unsigned_plugins_have_to_be_allowed_by_name),
        IN_FOLDER(to_allow_unsigned_ones_says_nothing_beside_keys),
        IN_FOLDER(a_key_that_is_there_is_never_overwritten),
        IN_FOLDER(what_cannot_be_signed_leaves_no_signature),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
