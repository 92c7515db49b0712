#include "testing.h"

#include <errno.h>

#include "base/clock.h"
#include "base/crypto.h"

static void hashes_agree_with_published_vectors(void **state)
{
    (void)state;
    char hex[SHA256_HEX_SIZE];
    crypto_sha256_hex("abc", 3, hex); /* FIPS 180-2, appendix B.1 */
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    crypto_sha256_hex("", 0, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

    uint8_t mac[SHA256_SIZE];
    crypto_hmac_sha256(TEXT("Jefe"), TEXT("what do ya want for nothing?"), mac); /* RFC 4231, case 2 */
    hex_encode(mac, sizeof(mac), hex);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    crypto_hmac_sha256(text_of(NULL), text_of(NULL), mac);
    hex_encode(mac, sizeof(mac), hex);
    assert_string_equal(hex, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void a_file_is_hashed_from_its_beginning_and_its_offset_stays(void **state)
{
    (void)state;
    int fd = memfd_create("hash", MFD_CLOEXEC);
    static char bytes[100000];
    memset(bytes, 'a', sizeof(bytes));
    assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
    lseek(fd, 17, SEEK_SET);
    char of_file[SHA256_HEX_SIZE], of_bytes[SHA256_HEX_SIZE];
    assert_int_equal(crypto_sha256_fd(fd, of_file), 0);
    crypto_sha256_hex(bytes, sizeof(bytes), of_bytes);
    assert_string_equal(of_file, of_bytes);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 17);
    close(fd);
    assert_int_equal(crypto_sha256_fd(-1, of_file), -EBADF);
}

static void base64url_goes_there_and_back(void **state)
{
    (void)state;
    static const char *const vectors[][2] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff", "-_8"}};
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        char encoded[16], decoded[8];
        base64url_encode(vectors[i][0], strlen(vectors[i][0]), encoded);
        assert_string_equal(encoded, vectors[i][1]);
        int len = base64url_decode(text_of(encoded), decoded, sizeof(decoded));
        assert_int_equal(len, strlen(vectors[i][0]));
        assert_memory_equal(decoded, vectors[i][0], (size_t)len);
    }
}

static void base64_is_padded(void **state)
{
    (void)state;
    /* RFC 4648, section 10. */
    static const char *const vectors[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"\xfb\xff", "+/8="}};
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        char encoded[16];
        base64_encode(vectors[i][0], strlen(vectors[i][0]), encoded);
        assert_string_equal(encoded, vectors[i][1]);
    }
}

static void base64url_that_is_not_canonical_is_refused(void **state)
{
    (void)state;
    char out[8];
    static const char *const bad[] = {"A", "Zg==", "Zm+v", "Zm/v", "Zm 9", "Zh", "Zm9"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(base64url_decode(text_of(bad[i]), out, sizeof(out)), -EINVAL);
    assert_int_equal(base64url_decode(TEXT("Zm9v"), out, 2), -ENOSPC);
    assert_int_equal(base64url_decode(TEXT("Zm9v"), out, 3), 3);
}

static void uuids_are_of_version_7_unique_and_in_order(void **state)
{
    (void)state;
    char before[UUID_SIZE] = "", id[UUID_SIZE];
    int64_t started = clock_wall_ms();
    for (int i = 0; i < 2000; i++) {
        uuid_v7(id);
        assert_true(uuid_valid(text_of(id)));
        assert_int_equal(id[14], '7');
        assert_non_null(strchr("89ab", id[19]));
        assert_true(strcmp(id, before) != 0);
        /* Time in units of 1/4096 ms goes up or stays. */
        assert_true(strncmp(id, before, 18) >= 0);
        memcpy(before, id, sizeof(id));
    }
    long long ms = 0;
    for (int i = 0; i < 13; i++)
        if (id[i] != '-')
            ms = ms * 16 + (strchr("0123456789abcdef", id[i]) - "0123456789abcdef");
    assert_in_range(ms, started, clock_wall_ms());
}

static void only_the_long_form_is_a_uuid(void **state)
{
    (void)state;
    assert_true(uuid_valid(TEXT("01890a5d-AC96-774b-bcce-b302099a8057")));
    assert_false(uuid_valid(TEXT("01890a5dac96774bbcceb302099a8057")));
    assert_false(uuid_valid(TEXT("{01890a5d-ac96-774b-bcce-b302099a8057}")));
    assert_false(uuid_valid(TEXT("01890a5d-ac96-774b-bcce-b302099a805g")));
    assert_false(uuid_valid(TEXT("01890a5d-ac96-774b-bcceb-302099a8057")));
    assert_false(uuid_valid(text_of("")));
}

static void random_bytes_differ_and_equality_looks_at_all(void **state)
{
    (void)state;
    uint8_t a[32], b[32];
    crypto_random(a, sizeof(a));
    crypto_random(b, sizeof(b));
    assert_false(crypto_equal(a, b, sizeof(a)));
    memcpy(b, a, sizeof(a));
    assert_true(crypto_equal(a, b, sizeof(a)));
    b[31] ^= 1;
    assert_false(crypto_equal(a, b, sizeof(a)));
}

/* Test case 14 of McGrew and Viega, "The Galois/Counter Mode of Operation": key, nonce and one block of zeros. */
static void sealed_text_of_others_is_opened(void **state)
{
    uint8_t key[CRYPTO_KEY_SIZE] = {0}, sealed[12 + 16 + 16] = {0}, plain[16];
    (void)state;
    assert_int_equal(hex_decode(text_of("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"), sealed + 12, 32), 32);
    assert_int_equal(crypto_open(key, text_of(""), (struct text){(char *)sealed, sizeof(sealed)}, plain), 16);
    for (int i = 0; i < 16; i++)
        assert_int_equal(plain[i], 0);
}

static void what_is_sealed_opens_with_its_key_and_context_only_and_not_when_a_bit_was_changed(void **state)
{
    const struct text plain = text_of("a seed"), context = text_of("totp:one");
    uint8_t key[CRYPTO_KEY_SIZE], sealed[6 + CRYPTO_SEAL_EXTRA], again[6 + CRYPTO_SEAL_EXTRA], opened[sizeof(sealed)];
    struct text all = {(char *)sealed, sizeof(sealed)};
    (void)state;
    crypto_random(key, sizeof(key));
    crypto_seal(key, context, plain, sealed);
    crypto_seal(key, context, plain, again);
    assert_memory_not_equal(sealed, again, sizeof(sealed));
    assert_int_equal(crypto_open(key, context, all, opened), 6);
    assert_memory_equal(opened, "a seed", 6);
    assert_int_equal(crypto_open(key, text_of("totp:two"), all, opened), -EBADMSG);
    for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(crypto_open(key, context, all, opened), -EBADMSG);
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t len = 0; len < sizeof(sealed); len++)
        assert_int_equal(crypto_open(key, context, (struct text){all.p, len}, opened), -EBADMSG);
    key[31] ^= 1;
    assert_int_equal(crypto_open(key, context, all, opened), -EBADMSG);
}

static void times_are_written_as_rfc_3339(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } times[] = {{0, "1970-01-01T00:00:00.000Z"},
                 {1795521600000, "2026-11-24T12:00:00.000Z"},
                 {951782400007, "2000-02-29T00:00:00.007Z"},
                 {-1, "1969-12-31T23:59:59.999Z"},
                 {INT64_MAX, "9999-12-31T23:59:59.999Z"},
                 {INT64_MIN, "0000-01-01T00:00:00.000Z"}};
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        char text[CLOCK_TEXT_SIZE];
        clock_text(times[i].ms, text);
        assert_string_equal(text, times[i].text);
    }
    uint64_t then = clock_monotonic_ns();
    assert_true(clock_monotonic_ns() >= then);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_agree_with_published_vectors),
        cmocka_unit_test(a_file_is_hashed_from_its_beginning_and_its_offset_stays),
        cmocka_unit_test(base64url_goes_there_and_back),
        cmocka_unit_test(base64_is_padded),
        cmocka_unit_test(base64url_that_is_not_canonical_is_refused),
        cmocka_unit_test(uuids_are_of_version_7_unique_and_in_order),
        cmocka_unit_test(only_the_long_form_is_a_uuid),
        cmocka_unit_test(random_bytes_differ_and_equality_looks_at_all),
        cmocka_unit_test(sealed_text_of_others_is_opened),
        cmocka_unit_test(what_is_sealed_opens_with_its_key_and_context_only_and_not_when_a_bit_was_changed),
        cmocka_unit_test(times_are_written_as_rfc_3339),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
