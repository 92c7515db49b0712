#include "library/image_grants.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

struct grant {
    uint8_t key[SHA256_SIZE]; /* of who and what */
    uint64_t until_ns;
};

struct grants {
    struct db *db;
    unsigned long generation;
    struct grant slots[GRANT_SLOTS];
};

static _Thread_local struct grants *here;

static void revoked(void *arg, const char *payload)
{
    struct grants *grants = arg;
    (void)payload;
    grants->generation++;
    memset(grants->slots, 0, sizeof(grants->slots));
}

void image_grants_start(struct db *db)
{
    here = mem_alloc(sizeof(*here));
    here->db = db;
    db_listen(db, "overread_revoked", revoked, here);
}

void image_grants_stop(void)
{
    mem_free(here);
    here = NULL;
}

static struct grant *slot_of(const char *token_sha256, const char *case_id, const char *sha256, const char *kind,
                             uint8_t ret_key[SHA256_SIZE])
{
    /* Fixed lengths one behind the other: no two different quadruples give the same text. */
    char text[(SHA256_HEX_SIZE - 1) * 2 + (UUID_SIZE - 1) + 3];
    memcpy(text, token_sha256, SHA256_HEX_SIZE - 1);
    memcpy(text + 64, sha256, SHA256_HEX_SIZE - 1);
    memcpy(text + 128, case_id, UUID_SIZE - 1);
    memcpy(text + 164, kind, 3);
    crypto_sha256(text, sizeof(text), ret_key);
    uint32_t index;
    memcpy(&index, ret_key, sizeof(index));
    return &here->slots[index % GRANT_SLOTS];
}

bool image_grants_has(const char *token_sha256, const char *case_id, const char *sha256, const char *kind)
{
    uint8_t key[SHA256_SIZE];
    if (!here || !db_listening(here->db))
        return false;
    struct grant *slot = slot_of(token_sha256, case_id, sha256, kind, key);
    return slot->until_ns > clock_monotonic_ns() && memcmp(slot->key, key, sizeof(key)) == 0;
}

unsigned long image_grants_generation(void)
{
    return here ? here->generation : 0;
}

void image_grants_add(unsigned long generation, const char *token_sha256, const char *case_id, const char *sha256,
                      const char *kind)
{
    uint8_t key[SHA256_SIZE];
    if (!here || generation != here->generation || !db_listening(here->db))
        return;
    struct grant *slot = slot_of(token_sha256, case_id, sha256, kind, key);
    memcpy(slot->key, key, sizeof(key));
    slot->until_ns = clock_monotonic_ns() + (uint64_t)GRANT_SECONDS * 1000000000u;
}
