/* Overread grading plugin ABI 1.0
 *
 * A plugin is one shared library that compares a trainee's answer with a case's truth. It is a pure function of
 * (config, truth, answer): the same three give the same bytes, on every machine, for ever. It has no clock, no
 * environment, no files, no network, no threads and no identities; it runs in a worker process whose system calls
 * are filtered, and that is ended when it breaks a limit.
 *
 * The library exports one function, overread_plugin_entry, which returns a pointer to a constant overread_plugin.
 * Beside the library lies manifest.json: id, version, rules revision, limits, and the JSON Schemas (2020-12) of
 * config, truth and answer. What the plugin is handed has been parsed and is valid against these schemas.
 *
 * Threads: the host calls one plugin instance from one thread at a time; several workers may run it at once in
 * processes of their own. A plugin keeps no state between calls.
 * Memory: whatever a plugin returns is static or comes from host->alloc, an arena that the host frees after it has
 * read the result. alloc returns NULL when the plugin's memory limit is reached: return OVERREAD_NO_MEMORY then.
 * Numbers: JSON numbers arrive as double; integers up to 2^53 are exact. Results are fixed-point integers, so that
 * no formatting or rounding mode can change them. Do not build plugins with -ffast-math; use -ffp-contract=off.
 * Order: object members arrive sorted by name (bytewise), so a permutation of keys cannot matter.
 * Versioning: the first four members of overread_plugin never change. A host refuses another major and a higher
 * minor. A newer minor may append members; a host reads only what `size` covers.
 *
 * This header is C11 and C++11 clean and needs nothing but <stdint.h>. */
#ifndef OVERREAD_PLUGIN_H
#define OVERREAD_PLUGIN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define OVERREAD_ABI_MAGIC 0x4452564fu /* "OVRD" */
#define OVERREAD_ABI_MAJOR 1
#define OVERREAD_ABI_MINOR 0

#define OVERREAD_EXPORT __attribute__((visibility("default")))

/* --- Input: a parsed JSON value ------------------------------------------------------------------------------- */

enum overread_type {
    OVERREAD_NULL = 0,
    OVERREAD_BOOLEAN = 1,
    OVERREAD_NUMBER = 2,
    OVERREAD_STRING = 3,
    OVERREAD_ARRAY = 4,
    OVERREAD_OBJECT = 5
};

typedef struct overread_value overread_value;
typedef struct overread_member overread_member;

struct overread_value {
    uint32_t type;  /* enum overread_type */
    uint32_t count; /* bytes of a string without its NUL, items of an array, members of an object */
    union {
        int32_t boolean;                /* 0 or 1 */
        double number;                  /* finite */
        const char *string;             /* UTF-8, NUL-terminated, holds no other NUL */
        const overread_value *items;
        const overread_member *members; /* sorted by name, names unique */
    } as;
};

struct overread_member {
    const char *name;
    overread_value value;
};

typedef struct overread_input {
    uint32_t size;                /* sizeof(overread_input) of the host */
    const overread_value *config; /* never NULL; an object */
    const overread_value *truth;  /* NULL in check_answer */
    const overread_value *answer; /* NULL in check_truth */
} overread_input;

/* --- Host ------------------------------------------------------------------------------------------------------- */

typedef struct overread_host {
    uint32_t size;
    uint16_t abi_major, abi_minor;
    void *context;
    /* Zeroed memory, aligned for any type, freed by the host after the call; NULL when the limit is reached. */
    void *(*alloc)(void *context, uint64_t size);
    /* A line for the operator's log; never shown to a trainee. At most 1 KiB is kept. */
    void (*log)(void *context, const char *message);
} overread_host;

/* --- Output ----------------------------------------------------------------------------------------------------- */

/* The host checks what it is given, and takes a breach as a bug of the plugin: the answer stays ungraded, it is never
 * a score of 0. Every string is UTF-8 of less than 64 KiB; there are at most 50000 findings and 1000 metrics, and the
 * grade's JSON is at most 3 MiB. */

enum overread_status {
    OVERREAD_OK = 0,
    OVERREAD_REFUSED = 1,   /* check_*: the input is not coherent; *problem says where and why */
    OVERREAD_NO_MEMORY = 2,
    OVERREAD_BUG = 3        /* the plugin found itself in a state that its author holds impossible */
};

enum overread_verdict {
    OVERREAD_HIT = 1,            /* a true lesion was marked, or a question answered rightly */
    OVERREAD_MISS = 2,           /* a true lesion was not marked */
    OVERREAD_FALSE_POSITIVE = 3, /* a mark where there is nothing */
    OVERREAD_PARTIAL = 4,        /* partly right: found but wrongly characterised */
    OVERREAD_NOTE = 5            /* worth knowing, changes no points */
};

typedef struct overread_finding {
    uint32_t verdict;          /* enum overread_verdict */
    int32_t points_milli;      /* earned by this finding, thousandths of a point; may be negative */
    int32_t max_points_milli;  /* what it could have earned */
    uint32_t reserved;         /* 0 */
    const char *code;          /* one of the manifest's finding codes: "lesion_missed" */
    const char *answer_pointer; /* JSON pointer to a value that is in the answer, or NULL: "/lesions/0" */
    const char *truth_pointer;  /* JSON pointer to a value that is in the truth, or NULL */
    const char *text;          /* what a trainee reads: one to three sentences, UTF-8 */
    const char *rule;          /* the rule that decided, with its source: "PI-RADS v2.1, PZ: DWI 4 gives 4" */
    const char *look_again;    /* what to look at again, or NULL */
} overread_finding;

typedef struct overread_metric {
    const char *name;     /* "distance_mm": a-z, 0-9, _; each name once */
    int64_t value_micro;  /* millionths */
    uint32_t defined;     /* 0: undefined for this case; `reason` says why */
    uint32_t reserved;    /* 0 */
    const char *reason;   /* NULL when defined */
} overread_metric;

typedef struct overread_grade {
    uint32_t size; /* sizeof(overread_grade) of the host; set by it */
    uint32_t correct; /* 1: counts as correct in percent correct; 0: not */
    int64_t points_milli, max_points_milli; /* 0 <= points <= max */
    uint32_t finding_count, metric_count;
    const overread_finding *findings; /* in an order that does not depend on the answer's order */
    const overread_metric *metrics;
} overread_grade;

typedef struct overread_problem {
    uint32_t size;       /* set by the host */
    const char *pointer; /* JSON pointer into what was checked (truth or answer); "" for the whole */
    const char *text;    /* one sentence */
} overread_problem;

/* --- Plugin ------------------------------------------------------------------------------------------------------ */

typedef struct overread_plugin {
    uint32_t magic;               /* OVERREAD_ABI_MAGIC */
    uint32_t size;                /* sizeof(overread_plugin) of the plugin */
    uint16_t abi_major, abi_minor;
    uint32_t rules_revision;      /* raised when the same input may be graded differently than before */
    const char *id, *version;     /* the manifest's */

    /* Is this truth coherent with this config? At authoring time; input->answer is NULL. */
    enum overread_status (*check_truth)(const overread_host *host, const overread_input *input,
                                        overread_problem *problem);
    /* Can this answer be meant for this case? Before it is stored; input->truth is NULL. Say what the schema cannot:
     * a position outside the image. Whatever passes here must be gradable. */
    enum overread_status (*check_answer)(const overread_host *host, const overread_input *input,
                                         overread_problem *problem);
    /* Grades. Must take any schema-valid answer, checked or not. */
    enum overread_status (*grade)(const overread_host *host, const overread_input *input, overread_grade *grade);
} overread_plugin;

OVERREAD_EXPORT const overread_plugin *overread_plugin_entry(void);
typedef const overread_plugin *(*overread_plugin_entry_fn)(void);
#define OVERREAD_PLUGIN_ENTRY "overread_plugin_entry"

#ifdef __cplusplus
}
#endif

#endif
