#include "identity/email.h"

#include <idn2.h>
#include <stdbool.h>
#include <string.h>

enum { LOCAL_MAX = 64, DOMAIN_MAX = 253, LABEL_MAX = 63 };

#define LETTERS_DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

static int bad_email(const char *field, const char *why, struct error *err)
{
    return error_set(err, ERROR_UNPROCESSABLE, "bad_email", field, "This is not an e-mail address: %s.", why);
}

/* RFC 5321, dot-string: atoms with single dots between. */
static bool is_local(const char *local, size_t len)
{
    if (len < 1 || len > LOCAL_MAX || local[0] == '.' || local[len - 1] == '.' || strstr(local, "..") != NULL)
        return false;
    return strspn(local, LETTERS_DIGITS "!#$%&'*+-/=?^_`{|}~.") == len;
}

/* Letters, digits and hyphens within labels; at least two labels. */
static bool is_domain(const char *domain)
{
    size_t len = strlen(domain);
    if (len > DOMAIN_MAX || !strchr(domain, '.'))
        return false;
    for (const char *label = domain;; label++) {
        size_t n = strspn(label, LETTERS_DIGITS "-");
        if (n < 1 || n > LABEL_MAX || label[0] == '-' || label[n - 1] == '-')
            return false;
        label += n;
        if (!*label)
            return true;
        if (*label != '.')
            return false;
    }
}

int email_normal(struct arena *arena, const char *address, const char **ret, const char *field, struct error *err)
{
    const char *at = strrchr(address, '@');
    char *ascii = NULL;
    if (!at || strlen(address) > EMAIL_MAX)
        return bad_email(field, at ? "it is too long" : "it has no @", err);
    const char *local = arena_copy(arena, address, (size_t)(at - address));
    if (!is_local(local, strlen(local)))
        return bad_email(field, "what stands before the @ has other characters than letters, digits and +-_. and the like", err);
    if (idn2_to_ascii_8z(at + 1, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
        return bad_email(field, "its domain is none", err);
    const char *domain = arena_strdup(arena, ascii);
    idn2_free(ascii);
    if (!is_domain(domain))
        return bad_email(field, "its domain is none", err);
    const char *normal = arena_printf(arena, "%s@%s", local, domain);
    if (strlen(normal) > EMAIL_MAX)
        return bad_email(field, "it is too long", err);
    *ret = normal;
    return 0;
}
