/* A plugin folder made for one test program, and fibers that grade at the same time. */
#ifndef TESTS_GRADING_FIXTURE_H
#define TESTS_GRADING_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/loop.h"
#include "grading/grading.h"

extern char fixture_dir[]; /* the plugin folder, empty after fixture_open */
void fixture_open(void);
void fixture_close(void);
/* Writes <dir>/<id>/manifest.json: the given text, or the trial manifest with this id when NULL. */
void fixture_manifest(const char *id, const char *manifest);
/* Copies the built plugin `from` to <dir>/<id>/<id>.so. */
void fixture_library(const char *id, const char *from);
void fixture_plugin(const char *id); /* both, of one name */
const char *fixture_grader(void);
/* Registers what lies in fixture_dir, unsigned; and looks one up, which is held until fixture_close. */
int fixture_load(struct error *err);
const struct grading_plugin *fixture_find(const char *id);

struct fixture_call {
    const struct grading_plugin *plugin;
    char answer[400];
    bool (*gone)(void *arg);
    struct arena *arena;
    struct grading_grade grade;
    struct error err;
    int result;
    bool done;
};
/* Grades all at once on a loop of its own, and gives the counters of it. */
struct grading_counters fixture_grade(struct fixture_call *calls, size_t count, int workers);
/* As well, on a loop that grades already. */
void fixture_grade_here(struct loop *loop, struct fixture_call *calls, size_t count);
/* One call with {"do": word}; result and err tell what became of it. The caller destroys its arena. */
struct fixture_call fixture_do(const char *plugin, const char *word, struct grading_counters *ret);

#endif
