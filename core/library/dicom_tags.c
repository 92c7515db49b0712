#include "library/dicom_tags.h"

#include <stdio.h>
#include <string.h>

enum { OUTPUT_MAX = 64 << 10 };

const struct process_limits dicom_tool_limits = {
    .cpu_seconds = 60, .memory_bytes = 4ull << 30, .file_bytes = 1ull << 30, .wall_ms = 120000};

/* One line of `dcmdump +p`: "(0028,0010) US 384   # ..." or "(0020,0032) DS [1\2\3]   # ...". A tag within a sequence
 * has its sequence before it and so does not begin with ours. */
static bool value_of(struct text output, const char *tag, struct text *ret)
{
    const char *p = output.p, *end = output.p + output.len;
    while (p < end) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        struct text line = {p, (size_t)((eol ? eol : end) - p)};
        if (line.len > 15 && text_starts(line, tag) && line.p[11] == ' ') {
            const char *from = line.p + 15, *to = memchr(from, '#', (size_t)(line.p + line.len - from));
            if (!to)
                to = line.p + line.len;
            while (to > from && to[-1] == ' ')
                to--;
            if (to > from + 1 && from[0] == '[' && to[-1] == ']')
                from++, to--;
            *ret = (struct text){from, (size_t)(to - from)};
            return true;
        }
        if (!eol)
            return false;
        p = eol + 1;
    }
    return false;
}

static int64_t integer(struct text output, const char *tag, int64_t otherwise)
{
    struct text value;
    int64_t number;
    if (!value_of(output, tag, &value))
        return otherwise;
    while (value.len && value.p[value.len - 1] == ' ')
        value.len--;
    return text_to_int64(value, 0, INT32_MAX, &number) < 0 ? otherwise : number;
}

/* Backslash-separated decimal strings (DS); a leading '+' and blanks are allowed there. */
static bool decimals(struct text output, const char *tag, double *ret, int count)
{
    struct text value;
    if (!value_of(output, tag, &value))
        return false;
    for (int i = 0; i < count; i++) {
        const char *cut = memchr(value.p, '\\', value.len);
        struct text one = {value.p, cut ? (size_t)(cut - value.p) : value.len};
        value = cut ? (struct text){cut + 1, value.len - one.len - 1} : (struct text){value.p + value.len, 0};
        while (one.len && (one.p[0] == ' ' || one.p[0] == '+'))
            one.p++, one.len--;
        while (one.len && one.p[one.len - 1] == ' ')
            one.len--;
        char digits[32];
        if (one.len == 0 || one.len > sizeof(digits) - 2)
            return false;
        /* DS allows "-.5" and "1."; JSON's grammar, which text_to_double reads, wants digits on both sides. */
        size_t len = 0;
        for (size_t k = 0; k < one.len && len < sizeof(digits) - 2; k++) {
            bool digit_before = k > 0 && one.p[k - 1] >= '0' && one.p[k - 1] <= '9';
            bool digit_after = k + 1 < one.len && one.p[k + 1] >= '0' && one.p[k + 1] <= '9';
            if (one.p[k] == '.' && !digit_before)
                digits[len++] = '0';
            digits[len++] = one.p[k];
            if (one.p[k] == '.' && !digit_after)
                digits[len++] = '0';
        }
        if (text_to_double((struct text){digits, len}, &ret[i]) < 0)
            return false;
    }
    return true;
}

static bool is(struct text output, const char *tag, const char *wanted)
{
    struct text value;
    return value_of(output, tag, &value) && text_is(value, wanted);
}

static void string(struct text output, const char *tag, char ret[65])
{
    struct text value = {0};
    if (value_of(output, tag, &value))
        snprintf(ret, 65, "%.*s", (int)(value.len > 64 ? 64 : value.len), value.p);
    else
        ret[0] = '\0';
}

int dicom_tags_read(const char *path, struct dicom_tags *ret, struct error *err)
{
    static const char *const wanted[] = {"0002,0010", "0008,0018", "0012,0062", "0020,000e", "0020,0013", "0020,0032", "0020,0037",
                                         "0028,0008", "0028,0010", "0028,0011", "0028,0030", "0028,0301", "0028,1050"};
    enum { WANTED = sizeof(wanted) / sizeof(*wanted) };
    const char *argv[8 + 2 * WANTED] = {"dcmdump", "-q", "-M", "-Un", "+L", "+p"};
    int argc = 6;
    for (int i = 0; i < WANTED; i++) {
        argv[argc++] = "+P";
        argv[argc++] = wanted[i];
    }
    argv[argc++] = path;
    struct buffer out;
    buffer_init(&out, OUTPUT_MAX);
    struct error tool = {0};
    if (process_run(argv, &dicom_tool_limits, &out, &tool) < 0 || out.failed) {
        buffer_finish(&out);
        if (tool.kind == ERROR_INTERNAL) {
            *err = tool;
            return -1;
        }
        return error_set(err, ERROR_UNPROCESSABLE, "not_dicom", NULL, "This is not a whole DICOM file: %s",
                         tool.detail[0] ? tool.detail : "too many attributes");
    }
    struct text text = {out.p, out.len};
    *ret = (struct dicom_tags){
        .rows = integer(text, "(0028,0010)", 0),
        .columns = integer(text, "(0028,0011)", 0),
        .frames = integer(text, "(0028,0008)", 1),
        .number = integer(text, "(0020,0013)", 0),
        .identity_removed = is(text, "(0012,0062)", "YES"),
        .burned_in = is(text, "(0028,0301)", "YES"),
        .no_burned_in = is(text, "(0028,0301)", "NO"),
    };
    struct text window;
    ret->has_window = value_of(text, "(0028,1050)", &window);
    ret->placed = decimals(text, "(0020,0032)", ret->position, 3) && decimals(text, "(0020,0037)", ret->orientation, 6) &&
                  decimals(text, "(0028,0030)", ret->spacing, 2);
    if (ret->frames < 1)
        ret->frames = 1;
    string(text, "(0002,0010)", ret->transfer_syntax);
    string(text, "(0008,0018)", ret->sop_instance);
    string(text, "(0020,000e)", ret->series_instance);
    buffer_finish(&out);
    return 0;
}
