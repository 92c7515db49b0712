#include "audit/chain.h"

#include <stdio.h>
#include <string.h>

void audit_chain_begin(struct audit_chain *chain, const char *tenant_id)
{
    chain->number = 0;
    crypto_sha256_hex(tenant_id, strlen(tenant_id), chain->hash);
}

/* Moves *at behind `word`, which must stand there. */
static bool eat(struct text *at, const char *word)
{
    size_t len = strlen(word);
    if (at->len < len || memcmp(at->p, word, len) != 0)
        return false;
    *at = (struct text){at->p + len, at->len - len};
    return true;
}

static bool eat_hash(struct text *at, char ret[SHA256_HEX_SIZE])
{
    if (at->len < SHA256_HEX_SIZE - 1)
        return false;
    memcpy(ret, at->p, SHA256_HEX_SIZE - 1);
    ret[SHA256_HEX_SIZE - 1] = '\0';
    *at = (struct text){at->p + SHA256_HEX_SIZE - 1, at->len - (SHA256_HEX_SIZE - 1)};
    return strspn(ret, "0123456789abcdef") == SHA256_HEX_SIZE - 1;
}

static void link_hash(const char *previous, struct text entry, char ret[SHA256_HEX_SIZE])
{
    struct buffer bytes;
    uint8_t raw[SHA256_SIZE];
    hex_decode(text_of(previous), raw, sizeof(raw)); /* eat_hash has looked */
    buffer_init(&bytes, SHA256_SIZE + entry.len + 1);
    buffer_add(&bytes, raw, sizeof(raw));
    buffer_add(&bytes, entry.p, entry.len);
    crypto_sha256_hex(bytes.p, bytes.len, ret);
    buffer_finish(&bytes);
}

static int broken(struct error *err, int64_t number, const char *what)
{
    return error_set(err, ERROR_CONFLICT, "record_broken", NULL, "Entry %lld: %s.", (long long)number, what);
}

int audit_chain_add(struct audit_chain *chain, const char *tenant_id, struct text line, struct error *err)
{
    char number[32], begins[128], previous[SHA256_HEX_SIZE], hash[SHA256_HEX_SIZE], computed[SHA256_HEX_SIZE];
    int64_t next = chain->number + 1;
    snprintf(number, sizeof(number), "%lld", (long long)next);
    snprintf(begins, sizeof(begins), "{\"number\" : %s, \"tenant\" : \"%s\", ", number, tenant_id);
    if (!eat(&line, "{\"number\":") || !eat(&line, number) || !eat(&line, ",\"previous\":\""))
        return broken(err, next, "the line that stands here has another number: something is missing, or was moved");
    if (!eat_hash(&line, previous) || !eat(&line, "\",\"hash\":\"") || !eat_hash(&line, hash) || !eat(&line, "\",\"entry\":") ||
        line.len < 3 || line.p[line.len - 1] != '}')
        return broken(err, next, "this is no line of a record");
    struct text entry = {line.p, line.len - 1};
    if (strcmp(previous, chain->hash) != 0)
        return broken(err, next, "it does not follow the entry before it");
    struct text inside = entry;
    if (!eat(&inside, begins))
        return broken(err, next, "the entry is of another place or tenant");
    link_hash(previous, entry, computed);
    if (strcmp(hash, computed) != 0)
        return broken(err, next, "the entry is not what was written");
    chain->number = next;
    memcpy(chain->hash, hash, sizeof(hash));
    return 0;
}
