/* plugins/PLUGIN/golden/<case>/{config,truth,answer,expected}.json. expected.json holds every byte of the
 * grade; the table of expectations holds what was worked out by hand, so that a rewritten expectation cannot
 * hide a wrong rule. OVERREAD_GOLDEN_WRITE=1 rewrites expected.json after a change that is meant: read the
 * difference before committing. */
#ifndef OVERREAD_TESTS_PLUGINS_GOLDEN_H
#define OVERREAD_TESTS_PLUGINS_GOLDEN_H

#include <stdbool.h>
#include <stddef.h>

enum { GOLDEN_CODES = 6 };

struct expectation {
    const char *name;
    int points, max_points; /* thousandths */
    bool correct;
    const char *codes[GOLDEN_CODES]; /* among the findings */
};

/* Runs the golden cases of PLUGIN as a cmocka group; returns the number of failed tests, for main. */
int golden_run(const struct expectation *expectations, size_t count);

#endif
