/* Strings with a length, and a growing buffer with a maximum (curl's dynbuf is the model). */
#ifndef OVERREAD_BASE_TEXT_H
#define OVERREAD_BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    const char *p;
    size_t len;
};
#define TEXT(literal) ((struct text){(literal), sizeof(literal) - 1})

struct text text_of(const char *s); /* NULL gives the empty text */
bool text_is(struct text t, const char *s);
bool text_equal(struct text a, struct text b);
bool text_starts(struct text t, const char *prefix);

/* The one way in for integers from outside: the whole text, decimal, no blanks, within [min, max].
 * 0, or -EINVAL / -ERANGE with *ret untouched. */
int text_to_int64(struct text t, int64_t min, int64_t max, int64_t *ret);
/* Finite decimal number, C locale, the whole text. 0 or -EINVAL. */
int text_to_double(struct text t, double *ret);

/* How many bytes from p on, of len at most, are ASCII that a JSON string holds as it is: no '"', no '\\', nothing below a blank. */
size_t text_plain(const char *p, size_t len);
/* Bytes of the UTF-8 sequence (RFC 3629) at p, of which left >= 1 can be read; 0 when it is none. */
size_t text_utf8_sequence(const unsigned char *p, size_t left);

struct buffer {
    char *p; /* NUL-terminated once anything was appended */
    size_t len, cap, max;
    bool failed; /* something did not fit into max; contents are then to be thrown away */
};

void buffer_init(struct buffer *b, size_t max);
void buffer_finish(struct buffer *b);
void buffer_clear(struct buffer *b);
void buffer_add(struct buffer *b, const void *bytes, size_t len);
void buffer_puts(struct buffer *b, const char *s);
void buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A JSON string literal with its quotes (RFC 8259); bytes that are not UTF-8 become U+FFFD. */
void buffer_json_string(struct buffer *b, struct text t);

#endif
