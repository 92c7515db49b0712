#include "outbound/templates.h"

#include <string.h>

#include "outbound/message.h"

/* One line a mail: its name, and the page that its link leads to. */
#define TEMPLATES(T)                                                                                                   \
    T(account, "verify")                                                                                               \
    T(account_exists, NULL)                                                                                            \
    T(password_reset, "reset")                                                                                         \
    T(password_changed, NULL)                                                                                          \
    T(email_change, "verify")                                                                                          \
    T(email_changed_notice, NULL)                                                                                      \
    T(invitation, "invitation")                                                                                        \
    T(invitation_existing, "invitation")                                                                               \
    T(join, "join")                                                                                                    \
    T(second_factor_changed, NULL)                                                                                     \
    T(member_removed, NULL)                                                                                            \
    T(payment_late, NULL)                                                                                              \
    T(webhook_disabled, NULL)

/* Made by embed_sql.py, each in a file of its own; meson.build names the same mails, or the linker says what is missing. */
#define DECLARE(name, page) extern const char mail_##name##_txt[], mail_##name##_html[];
TEMPLATES(DECLARE)
extern const char mail_layout_txt[], mail_layout_html[];

#define ROW(name, page) {#name, page, mail_##name##_txt, mail_##name##_html},
const struct template templates[] = {TEMPLATES(ROW){0}};

enum { VALUE_MAX = 2000, MAIL_MAX = 256 * 1024 };

const struct template *template_named(const char *name)
{
    for (const struct template *t = templates; t->name; t++)
        if (strcmp(t->name, name) == 0)
            return t;
    return NULL;
}

enum form { FORM_PLAIN, FORM_HTML };

/* One text that is being filled: with values, and in a layout with {subject} and {body} that are ready already. */
struct filling {
    const json_t *values;
    const char *subject, *body;
    enum form form;
    struct buffer out;
};

static void add_html(struct buffer *out, const char *s)
{
    for (; *s; s++) {
        switch (*s) {
        case '&': buffer_puts(out, "&amp;"); break;
        case '<': buffer_puts(out, "&lt;"); break;
        case '>': buffer_puts(out, "&gt;"); break;
        case '"': buffer_puts(out, "&quot;"); break;
        case '\'': buffer_puts(out, "&#39;"); break;
        default: buffer_add(out, s, 1); break;
        }
    }
}

static int add_value(struct filling *f, const char *name, size_t len, struct error *err)
{
    const json_t *json = json_object_getn(f->values, name, len);
    const char *value = json_string_value(json);
    if (!json)
        return error_set(err, ERROR_INVALID, "template_value_missing", NULL, "The mail needs a value {%.*s}.", (int)len, name);
    if (!value || json_string_length(json) > VALUE_MAX || message_has_control(value))
        return error_set(err, ERROR_INVALID, "template_value_refused", NULL,
                         "The mail's value {%.*s} is no text, is too long, or has a control character in it.", (int)len, name);
    if (f->form == FORM_HTML)
        add_html(&f->out, value);
    else
        buffer_puts(&f->out, value);
    return 0;
}

static bool is_name(const char *name, size_t len, const char *word)
{
    return strlen(word) == len && memcmp(name, word, len) == 0;
}

static int add_placeholder(struct filling *f, const char *name, size_t len, struct error *err)
{
    if (f->body && is_name(name, len, "body"))
        buffer_puts(&f->out, f->body);
    else if (f->subject && is_name(name, len, "subject"))
        add_html(&f->out, f->subject);
    else
        return add_value(f, name, len, err);
    return 0;
}

/* No template has a brace that is not a placeholder's. */
static int fill(struct filling *f, const char *source, size_t len, struct error *err)
{
    const char *end = source + len;
    while (source < end) {
        const char *open = memchr(source, '{', (size_t)(end - source));
        const char *close = open ? memchr(open, '}', (size_t)(end - open)) : NULL;
        buffer_add(&f->out, source, (size_t)((open ? open : end) - source));
        if (!open)
            break;
        if (!close)
            return error_set(err, ERROR_INTERNAL, "template_broken", NULL, "A brace is not closed.");
        if (add_placeholder(f, open + 1, (size_t)(close - open - 1), err) < 0)
            return -1;
        source = close + 1;
    }
    if (f->out.failed)
        return error_set(err, ERROR_INVALID, "mail_too_large", NULL, "The mail is too large.");
    return 0;
}

/* Into the arena. `crlf`: mail's line ends. */
static int fill_text(struct arena *arena, struct filling *f, const char *source, size_t len, bool crlf, struct text *ret,
                     struct error *err)
{
    struct buffer *out = &f->out, lines;
    buffer_init(out, MAIL_MAX);
    buffer_init(&lines, 2 * MAIL_MAX);
    int rc = fill(f, source, len, err);
    for (size_t i = 0; rc == 0 && i < out->len; i++) {
        if (crlf && out->p[i] == '\n')
            buffer_puts(&lines, "\r");
        buffer_add(&lines, out->p + i, 1);
    }
    if (rc == 0)
        *ret = (struct text){arena_copy(arena, lines.p ? lines.p : "", lines.len), lines.len};
    buffer_finish(&lines);
    buffer_finish(out);
    return rc;
}

static int fill_layout(struct arena *arena, const struct filling *values, const char *source, const char *layout,
                       const char *subject, struct text *ret, struct error *err)
{
    struct filling body = *values, whole = *values;
    struct text filled;
    if (fill_text(arena, &body, source, strlen(source), false, &filled, err) < 0)
        return -1;
    whole.subject = subject;
    whole.body = filled.p;
    return fill_text(arena, &whole, layout, strlen(layout), true, ret, err);
}

int template_fill(struct arena *arena, const struct template *template, const json_t *values, struct template_filled *ret,
                  struct error *err)
{
    const struct filling plain = {.values = values, .form = FORM_PLAIN}, html = {.values = values, .form = FORM_HTML};
    struct filling first = plain;
    struct text subject, text, page;
    size_t subject_len = strcspn(template->text, "\n");
    const char *body = template->text + subject_len + strspn(template->text + subject_len, "\n");
    if (fill_text(arena, &first, template->text, subject_len, false, &subject, err) < 0 ||
        fill_layout(arena, &plain, body, mail_layout_txt, subject.p, &text, err) < 0 ||
        fill_layout(arena, &html, template->html, mail_layout_html, subject.p, &page, err) < 0)
        return -1;
    *ret = (struct template_filled){subject.p, text, page};
    return 0;
}
