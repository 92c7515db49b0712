/* The words of mails: core/outbound/templates, embedded. */
#ifndef OVERREAD_OUTBOUND_TEMPLATES_H
#define OVERREAD_OUTBOUND_TEMPLATES_H

#include "base/json.h"

struct template {
    const char *name;
    const char *page; /* where its {link} leads: "verify"; NULL: it has none */
    const char *text; /* subject, empty line, text */
    const char *html;
};
extern const struct template templates[]; /* ended by a NULL name */
const struct template *template_named(const char *name); /* NULL: there is none */

struct template_filled {
    const char *subject;
    struct text text, html; /* lines end with CR LF */
};
/* Values: an object of strings. All in the arena. 0, or -1 with ERROR_INVALID "template_value_missing" (the field names it)
 * or "template_value_refused": not a string, longer than 2000 bytes, or with a control character in it. */
int template_fill(struct arena *arena, const struct template *template, const json_t *values, struct template_filled *ret,
                  struct error *err);

#endif
