#include "outbound/message.h"

#include <string.h>
#include <time.h>

#include <openssl/evp.h>

/* A line that holds an encoded word is at most 76 long: "Subject: =?UTF-8?B?" + 48 + "?=". */
enum { WORD_BYTES = 36, LINE_MAX_PLAIN = 76, ADDRESS_MAX = 254, LOCAL_MAX = 64 };

bool message_has_control(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return true;
    return false;
}

/* "=?" must not look like the beginning of an encoded word that we did not write. */
static bool is_plain(const char *s)
{
    for (const char *c = s; *c; c++)
        if ((unsigned char)*c > 0x7e)
            return false;
    return !strstr(s, "=?");
}

/* At most max bytes, and no character cut in two. */
static size_t whole_characters(const char *s, size_t max)
{
    size_t len = strnlen(s, max + 1);
    if (len <= max)
        return len;
    len = max;
    while (len > 1 && ((unsigned char)s[len] & 0xc0) == 0x80)
        len--;
    return len;
}

static void add_encoded(struct buffer *out, const char *s)
{
    unsigned char base64[WORD_BYTES / 3 * 4 + 1];
    for (bool first = true; *s; first = false) {
        size_t n = whole_characters(s, WORD_BYTES);
        EVP_EncodeBlock(base64, (const unsigned char *)s, (int)n);
        buffer_printf(out, "%s=?UTF-8?B?%s?=", first ? "" : "\r\n ", (const char *)base64);
        s += n;
    }
}

/* Folded before a blank, where RFC 5322 lets a line end. */
static void add_folded(struct buffer *out, size_t column, const char *s)
{
    while (*s) {
        size_t n = 1 + strcspn(s + 1, " ");
        if (column + n > LINE_MAX_PLAIN && *s == ' ' && strspn(s, " ") < strlen(s)) {
            buffer_puts(out, "\r\n");
            column = 0;
        }
        buffer_add(out, s, n);
        column += n;
        s += n;
    }
}

static const char *taken(struct arena *arena, struct buffer *b)
{
    const char *s = b->failed ? NULL : arena_copy(arena, b->p, b->len);
    buffer_finish(b);
    return s;
}

const char *message_header(struct arena *arena, const char *name, const char *value)
{
    struct buffer out;
    if (message_has_control(value))
        return NULL;
    buffer_init(&out, 65536);
    buffer_printf(&out, "%s: ", name);
    if (is_plain(value))
        add_folded(&out, out.len, value);
    else
        add_encoded(&out, value);
    return taken(arena, &out);
}

static void add_name(struct buffer *out, const char *name)
{
    if (!is_plain(name)) {
        add_encoded(out, name);
        return;
    }
    buffer_puts(out, "\"");
    for (; *name; name++) {
        if (*name == '"' || *name == '\\')
            buffer_puts(out, "\\");
        buffer_add(out, name, 1);
    }
    buffer_puts(out, "\"");
}

const char *message_mailbox_header(struct arena *arena, const char *name, const struct mailbox *mailbox)
{
    struct buffer out;
    if (message_has_control(mailbox->name) || !mailbox_address_good(mailbox->address))
        return NULL;
    buffer_init(&out, 65536);
    buffer_printf(&out, "%s: ", name);
    if (mailbox->name[0])
        add_name(&out, mailbox->name);
    buffer_printf(&out, mailbox->name[0] ? "\r\n <%s>" : "<%s>", mailbox->address);
    return taken(arena, &out);
}

const char *message_date_header(struct arena *arena, int64_t wall_ms)
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm t;
    gmtime_r(&seconds, &t);
    return arena_printf(arena, "Date: %s, %02d %s %d %02d:%02d:%02d +0000", days[t.tm_wday], t.tm_mday, months[t.tm_mon],
                        t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

bool mailbox_address_good(const char *address)
{
    const char *at = strchr(address, '@');
    size_t len = strlen(address);
    if (!at || at == address || !at[1] || strchr(at + 1, '@') || len > ADDRESS_MAX || at - address > LOCAL_MAX)
        return false;
    for (const char *c = address; *c; c++)
        if (*c <= ' ' || *c > '~' || strchr("<>()[]\\,;:\"", *c))
            return false;
    return true;
}

const char *mailbox_domain(const struct mailbox *mailbox)
{
    return strchr(mailbox->address, '@') + 1;
}

int mailbox_parse(struct arena *arena, const char *s, struct mailbox *ret, struct error *err)
{
    const char *open = strrchr(s, '<');
    size_t len = strlen(s), name_len = open ? (size_t)(open - s) : 0;
    struct mailbox mailbox = {"", s};
    if (open) {
        while (name_len && s[name_len - 1] == ' ')
            name_len--;
        mailbox.name = arena_copy(arena, s, name_len);
        mailbox.address = arena_copy(arena, open + 1, len - (size_t)(open - s) - 1 - (s[len - 1] == '>'));
    }
    if ((open && s[len - 1] != '>') || message_has_control(s) || !mailbox_address_good(mailbox.address))
        return error_set(err, ERROR_INVALID, "address_refused", NULL, "This is not an address that mail can be sent to.");
    *ret = mailbox;
    return 0;
}
