#include "billing/order_bodies.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "billing/billing_internal.h"
#include "identity/email.h"

enum { DAYS_UNTIL_DUE = 30, LINE_MAX = 200, CLOCKS_APART_S = 5 };

static int get_choice(const json_t *body, const char *name, bool required, const char *one, const char *other, const char **ret,
                      struct error *err)
{
    if (json_get_string(body, name, required, 1, 20, ret, err) < 0)
        return -1;
    if (*ret && strcmp(*ret, one) != 0 && strcmp(*ret, other) != 0) {
        char field[64];
        snprintf(field, sizeof(field), "/%s", name);
        return error_set(err, ERROR_UNPROCESSABLE, "unknown_value", field, "%s is %s or %s.", name, one, other);
    }
    return 0;
}

int order_from(const json_t *body, struct order *ret, struct error *err)
{
    ret->seats = 1;
    if (json_get_string(body, "plan", true, 1, 50, &ret->plan, err) < 0 ||
        get_choice(body, "period", true, "month", "year", &ret->period, err) < 0 ||
        json_get_string(body, "currency", true, 3, 3, &ret->currency, err) < 0)
        return -1;
    return json_get_int(body, "seats", false, 1, ORDER_SEATS_MAX, &ret->seats, err);
}

/* --- Terms of invoices ---------------------------------------------------------------------------------------------- */

static bool is_country(const char *s)
{
    return s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z' && !s[2];
}

static int address_from(const json_t *body, const json_t **ret, struct error *err)
{
    const char *text = NULL, *country = NULL;
    const json_t *address = json_object_get(body, "address");
    if (!address)
        return 0;
    if (!json_is_object(address))
        return error_set(err, ERROR_UNPROCESSABLE, "field_invalid", "/address", "address is an object.");
    if (json_object_only(address, err, "line1", "line2", "city", "state", "postal_code", "country", NULL) < 0 ||
        json_get_string(address, "line1", true, 1, LINE_MAX, &text, err) < 0 ||
        json_get_string(address, "line2", false, 1, LINE_MAX, &text, err) < 0 || json_get_string(address, "city", false, 1, LINE_MAX, &text, err) < 0 ||
        json_get_string(address, "state", false, 1, LINE_MAX, &text, err) < 0 ||
        json_get_string(address, "postal_code", false, 1, 20, &text, err) < 0 || json_get_string(address, "country", true, 2, 2, &country, err) < 0) {
        char inner[sizeof(err->field)];
        memcpy(inner, err->field, sizeof(inner));
        snprintf(err->field, sizeof(err->field), "/address%.200s", inner);
        return -1;
    }
    if (!is_country(country))
        return error_set(err, ERROR_UNPROCESSABLE, "field_invalid", "/address/country", "country is two capital letters of ISO 3166-1: GB.");
    *ret = address;
    return 0;
}

static bool is_control(const char *s)
{
    for (const unsigned char *p = (const unsigned char *)s; *p; p++)
        if (*p < 0x20 || *p == 0x7f || (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)) /* U+0080 to U+009F */
            return true;
    return false;
}

/* As it stands on invoices: without the blanks and line ends that come along when it is pasted. */
static int purchase_order_from(struct arena *arena, const json_t *body, const char **ret, struct error *err)
{
    static const char blanks[] = " \t\r\n";
    const char *given = NULL;
    if (json_get_string(body, "purchase_order", false, 1, ORDER_PURCHASE_MAX, &given, err) < 0)
        return -1;
    if (!given)
        return 0;
    given += strspn(given, blanks);
    size_t len = strlen(given);
    while (len && strchr(blanks, given[len - 1]))
        len--;
    *ret = arena_copy(arena, given, len);
    if (len == 0 || is_control(*ret))
        return error_set(err, ERROR_UNPROCESSABLE, "field_invalid", "/purchase_order", "purchase_order is a number in one line: PO-4711.");
    return 0;
}

static int days_from(const json_t *body, int64_t *ret, struct error *err)
{
    int most = billing_config()->invoice_days_max;
    if (json_get_int(body, "days_until_due", false, 1, INT32_MAX, ret, err) < 0)
        return -1;
    if (*ret > most)
        return error_set(err, ERROR_UNPROCESSABLE, "out_of_range", "/days_until_due",
                         "An invoice is due after %d days at most: ask for a quote if you need longer.", most);
    return 0;
}

int invoice_terms_from(struct arena *arena, const json_t *body, struct order *order, struct error *err)
{
    int most = billing_config()->invoice_days_max;
    order->days_until_due = most < DAYS_UNTIL_DUE ? most : DAYS_UNTIL_DUE;
    if (purchase_order_from(arena, body, &order->purchase_order, err) < 0 || days_from(body, &order->days_until_due, err) < 0)
        return -1;
    return address_from(body, &order->address, err);
}

/* --- Changes -------------------------------------------------------------------------------------------------------- */

/* What a preview reckoned with. A moment to come, or one long past, would be another price than what is bought is worth;
 * the clock of the server that gave the preview may be a little ahead of this one's. */
static int proration_date_from(const json_t *body, int64_t *ret, struct error *err)
{
    int64_t now = clock_wall_ms() / 1000;
    if (json_get_int(body, "proration_date", false, 1, INT32_MAX, ret, err) < 0)
        return -1;
    if (*ret && (*ret > now + CLOCKS_APART_S || *ret < now - ORDER_PREVIEW_S))
        return error_set(err, ERROR_UNPROCESSABLE, "out_of_range", "/proration_date",
                         "proration_date is as a preview gave it, and good for an hour: ask for another preview.");
    return 0;
}

static int one_change(const json_t *body, const struct change *c, bool preview, struct error *err)
{
    bool items = c->seats >= 0 || c->plan || c->period, invoices = c->purchase_order || c->days_until_due;
    if (c->proration_date && !items)
        return error_set(err, ERROR_UNPROCESSABLE, "one_change", "/proration_date", "proration_date goes with seats, plan or period.");
    if ((items || invoices) == (json_object_get(body, "cancel_at_period_end") != NULL))
        return error_set(err, ERROR_UNPROCESSABLE, "one_change", preview ? "/seats" : "/cancel_at_period_end",
                         preview ? "Say what is to change: seats, plan or period."
                                 : "Say either what is to change (seats, plan, period, purchase_order, days_until_due), or cancel_at_period_end.");
    return 0;
}

int change_from(struct arena *arena, const json_t *body, bool preview, struct change *ret, struct error *err)
{
    bool cancel = false;
    *ret = (struct change){.seats = -1, .cancel = -1};
    if ((preview ? json_object_only(body, err, "seats", "plan", "period", "proration_date", NULL)
                 : json_object_only(body, err, "seats", "plan", "period", "proration_date", "purchase_order", "days_until_due",
                                    "cancel_at_period_end", NULL)) < 0 ||
        json_get_int(body, "seats", false, 1, ORDER_SEATS_MAX, &ret->seats, err) < 0 ||
        json_get_string(body, "plan", false, 1, 50, &ret->plan, err) < 0 ||
        get_choice(body, "period", false, "month", "year", &ret->period, err) < 0 ||
        proration_date_from(body, &ret->proration_date, err) < 0 || purchase_order_from(arena, body, &ret->purchase_order, err) < 0 ||
        days_from(body, &ret->days_until_due, err) < 0 || json_get_bool(body, "cancel_at_period_end", false, &cancel, err) < 0)
        return -1;
    if (json_object_get(body, "cancel_at_period_end"))
        ret->cancel = cancel;
    return one_change(body, ret, preview, err);
}

int customer_change_from(struct arena *arena, const json_t *body, struct customer_change *ret, struct error *err)
{
    *ret = (struct customer_change){0};
    if (json_object_only(body, err, "email", "address", NULL) < 0 || json_get_string(body, "email", false, 1, EMAIL_MAX, &ret->email, err) < 0 ||
        (ret->email && email_normal(arena, ret->email, &ret->email, "/email", err) < 0) || address_from(body, &ret->address, err) < 0)
        return -1;
    if (!ret->email && !ret->address)
        return error_set(err, ERROR_UNPROCESSABLE, "field_missing", "/email", "Say what is to change: email or address.");
    return 0;
}
