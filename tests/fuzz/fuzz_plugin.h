/* The plugin that fuzz_plugin.c is linked with, and what fuzz_mutate.c has to know of it. */
#ifndef OVERREAD_TESTS_FUZZ_PLUGIN_H
#define OVERREAD_TESTS_FUZZ_PLUGIN_H

#include <overread/plugin.h>
#include "base/arena.h"
#include "grading/grading.h"
#include "grading/host.h"
#include "grading/manifest.h"

struct plugin_under_test {
    struct arena *arena;
    struct manifest manifest;
    struct host_rules rules;
    struct host *host;
};
/* Read at the first call. */
struct plugin_under_test *plugin_under_test(void);

#endif
