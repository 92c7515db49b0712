/* manifest.json as any author may write it: taken whole, or refused with the reason. */
#include <string.h>
#include "fuzz.h"
#include "grading/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_create();
    struct manifest manifest = {0};
    struct error err = {.kind = ERROR_NONE};

    if (manifest_parse(arena, (struct text){.p = (const char *)data, .len = size}, &manifest, &err) < 0) {
        must(err.kind == ERROR_INVALID && err.detail[0]);
    } else {
        must(manifest.id && manifest.version && manifest.title && manifest.rules_revision >= 1);
        must(manifest.memory_mb >= 1 && manifest.memory_mb <= 1024 && manifest.cpu_ms >= 1 &&
             manifest.wall_ms >= 10);
        for (size_t i = 1; i < manifest.code_count; i++)
            must(strcmp(manifest.codes[i - 1], manifest.codes[i]) < 0);
        for (size_t i = 0; i < 3; i++)
            must(manifest.schemas[i] != NULL);
    }
    arena_destroy(arena);
    return 0;
}
