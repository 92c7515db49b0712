/* Verifying an audit record, from the database or from an export, without trusting either. Pure. */
#ifndef OVERREAD_AUDIT_CHAIN_H
#define OVERREAD_AUDIT_CHAIN_H

#include "base/crypto.h"
#include "base/error.h"
#include "base/text.h"

/* A line: {"number":N,"previous":HEX,"hash":HEX,"entry":{...}}, exactly so. hash = SHA-256 of previous (32 bytes) followed
 * by the entry's bytes as they stand in the line; the entry holds its number again, and its tenant. The first previous is
 * the SHA-256 of the tenant's id in text. */
struct audit_chain {
    int64_t number; /* last that was verified */
    char hash[SHA256_HEX_SIZE];
};

/* At the beginning of the tenant's record. */
void audit_chain_begin(struct audit_chain *chain, const char *tenant_id);
/* The next line. -1 with ERROR_CONFLICT and code "record_broken": what does not fit, at which number. */
int audit_chain_add(struct audit_chain *chain, const char *tenant_id, struct text line, struct error *err);

#endif
