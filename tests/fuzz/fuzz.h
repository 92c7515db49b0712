/* A harness is one of these. libFuzzer drives it (ops/fuzz), or replay_main.c, which any compiler builds and
 * which runs what the fuzzer once found worth keeping. */
#ifndef OVERREAD_TESTS_FUZZ_H
#define OVERREAD_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold for every input; a fuzzer takes the abort as its finding. */
static inline void must(bool holds)
{
    if (!holds)
        abort();
}

#endif
