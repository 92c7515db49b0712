#include "tenancy/invitations_csv.h"

#include <csv.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

enum column { EMAIL, NAME, ROLES, COHORT, COLUMNS };
static const char *const column_names[COLUMNS] = {"email", "name", "roles", "cohort"};

struct reading {
    json_t *rows, *row; /* row: the one being read, borrowed from rows */
    enum column columns[COLUMNS];
    size_t columns_count, field; /* field: of the line being read */
    size_t line;                 /* 0: the columns' names */
    bool failed;
    struct error *err;
};

static void fail(struct reading *r, const char *code, const char *detail)
{
    char place[32];
    if (r->failed)
        return;
    r->failed = true;
    snprintf(place, sizeof(place), "row %zu", r->line);
    error_set(r->err, ERROR_UNPROCESSABLE, code, r->line ? place : "columns", "%s", detail);
}

static void take_column(struct reading *r, struct text name)
{
    for (enum column c = EMAIL; c < COLUMNS; c++) {
        if (strlen(column_names[c]) != name.len || strncasecmp(column_names[c], name.p, name.len) != 0)
            continue;
        for (size_t i = 0; i < r->columns_count; i++)
            if (r->columns[i] == c) {
                fail(r, "malformed_csv", "A column stands there twice.");
                return;
            }
        r->columns[r->columns_count++] = c;
        return;
    }
    fail(r, "unknown_column", "The first line names the columns: email, and of name, roles, cohort what is wanted; with commas between.");
}

/* "trainee; expert" */
static json_t *roles_of(struct text words)
{
    json_t *roles = json_array();
    size_t begin = 0;
    for (size_t i = 0; i <= words.len; i++) {
        if (i < words.len && !strchr(",; ", words.p[i]))
            continue;
        if (i > begin)
            json_array_append_new(roles, json_stringn(words.p + begin, i - begin));
        begin = i + 1;
    }
    return roles;
}

static void take_field(void *bytes, size_t len, void *arg)
{
    struct reading *r = arg;
    struct text field = {len ? bytes : "", len};
    if (r->failed)
        return;
    if (r->line == 0) {
        take_column(r, field);
        return;
    }
    if (r->field == 0) {
        if (r->line > INVITATIONS_ROWS_MAX) {
            fail(r, "too_many_rows", "A list has at most 2000 rows.");
            return;
        }
        r->row = json_object();
        json_array_append_new(r->rows, r->row);
    }
    if (r->field == r->columns_count) {
        fail(r, "malformed_csv", "There are more fields than columns.");
        return;
    }
    enum column column = r->columns[r->field++];
    json_t *value = column == ROLES ? (len ? roles_of(field) : NULL) : json_stringn(field.p, len);
    if (value)
        json_object_set_new(r->row, column_names[column], value);
}

static void end_line(int end, void *arg)
{
    struct reading *r = arg;
    (void)end;
    if (r->failed)
        return;
    if (r->line > 0 && r->field < r->columns_count) {
        fail(r, "malformed_csv", "There are fewer fields than columns.");
        return;
    }
    if (r->line > 0 && !json_object_get(r->row, "roles"))
        json_object_set_new(r->row, "roles", json_pack("[s]", "trainee"));
    if (r->line == 0) {
        bool email = false;
        for (size_t i = 0; i < r->columns_count; i++)
            email |= r->columns[i] == EMAIL;
        if (!email)
            fail(r, "column_missing", "There is no column email.");
    }
    r->field = 0;
    r->line++;
}

static void release(void *arg)
{
    json_decref(arg);
}

/* jansson refuses to make a string of what is not UTF-8: the one decoder for what comes in. */
static bool is_utf8(struct text t)
{
    json_t *string = json_stringn(t.p, t.len);
    json_decref(string);
    return string != NULL;
}

int invitations_from_csv(struct arena *arena, struct text csv, json_t **ret, struct error *err)
{
    struct csv_parser parser;
    struct reading r = {.rows = json_array(), .err = err};
    arena_defer(arena, release, r.rows);
    if (csv.len >= 3 && memcmp(csv.p, "\xef\xbb\xbf", 3) == 0)
        csv = (struct text){csv.p + 3, csv.len - 3};
    if (csv.len > 0 && (memchr(csv.p, '\0', csv.len) || !is_utf8(csv)))
        return error_set(err, ERROR_UNPROCESSABLE, "not_utf8", NULL, "The list must be text in UTF-8.");
    csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI);
    csv_set_realloc_func(&parser, mem_resize);
    csv_set_free_func(&parser, mem_free);
    if ((csv.len > 0 && csv_parse(&parser, csv.p, csv.len, take_field, end_line, &r) != csv.len) ||
        csv_fini(&parser, take_field, end_line, &r) != 0)
        fail(&r, "malformed_csv", "Quotes stand around a whole field, and twice within one.");
    csv_free(&parser);
    if (!r.failed && json_array_size(r.rows) == 0)
        fail(&r, "malformed_csv", "There is nobody in the list.");
    *ret = r.rows;
    return r.failed ? -1 : 0;
}
