#include "billing/invoices.h"

#include <string.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "billing/stripe.h"

enum { PAGE = 20, DAY_S = 86400 };

/* Stripe's seconds as RFC 3339, or null. */
static json_t *moment(const json_t *object, const char *name)
{
    const json_t *seconds = json_object_get(object, name);
    char text[CLOCK_TEXT_SIZE];
    if (!json_is_integer(seconds))
        return json_null();
    clock_text(json_integer_value(seconds) * 1000, text);
    return json_string(text);
}

static json_t *shown(const json_t *invoice)
{
    static const char *const same[] = {"id", "number", "status", "currency", "subtotal", "total", "amount_due", "amount_paid",
                                       "amount_remaining", "hosted_invoice_url", "invoice_pdf", "collection_method", "custom_fields"};
    json_t *ret = json_object();
    for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++) {
        json_t *value = json_object_get(invoice, same[i]);
        json_object_set(ret, same[i], value ? value : json_null());
    }
    json_object_set_new(ret, "created_at", moment(invoice, "created"));
    json_object_set_new(ret, "due_at", moment(invoice, "due_date"));
    json_object_set_new(ret, "period_start", moment(invoice, "period_start"));
    json_object_set_new(ret, "period_end", moment(invoice, "period_end"));
    return ret;
}

int fiber_fn invoices_list(struct arena *arena, const char *customer, const char *after, struct text *ret, struct error *err)
{
    struct stripe_reply reply;
    json_t *invoice, *items = json_array();
    const char *last = NULL;
    size_t i;
    const char *path = arena_printf(arena, "/v1/invoices?limit=%d&customer=%s%s%s", PAGE, stripe_escape(arena, customer),
                                    after ? "&starting_after=" : "", after ? stripe_escape(arena, after) : "");
    stripe_call(arena, &(struct stripe_request){.method = "GET", .path = path}, &reply);
    json_array_foreach(json_object_get(reply.object, "data"), i, invoice)
    {
        json_array_append_new(items, shown(invoice));
        last = stripe_string(invoice, "id");
    }
    json_t *page = json_pack("{s:o,s:s?}", "items", items, "next", json_is_true(json_object_get(reply.object, "has_more")) ? last : NULL);
    *ret = json_render(arena, page);
    json_decref(page);
    if (reply.outcome == STRIPE_DONE)
        return 0;
    if (reply.outcome == STRIPE_MISSING || reply.outcome == STRIPE_REFUSED)
        return after ? error_set(err, ERROR_UNPROCESSABLE, "bad_cursor", "after", "after takes what `next` of a page gave.")
                     : stripe_error(&reply, err);
    return stripe_error(&reply, err);
}

/* The day on which an invoice is due is the payer's to its end, wherever that is. */
int fiber_fn invoices_overdue(struct arena *arena, const char *customer, bool *ret, struct error *err)
{
    struct stripe_reply reply;
    const char *path = arena_printf(arena, "/v1/invoices?limit=1&status=open&customer=%s&due_date[lt]=%lld", stripe_escape(arena, customer),
                                    (long long)(clock_wall_ms() / 1000 - DAY_S));
    stripe_call(arena, &(struct stripe_request){.method = "GET", .path = path}, &reply);
    /* Such a customer is deleted there. Anything else that is refused says nothing of what is owed. */
    bool nobody = reply.outcome == STRIPE_MISSING || (reply.outcome == STRIPE_REFUSED && strcmp(reply.code, "resource_missing") == 0);
    *ret = json_array_size(json_object_get(reply.object, "data")) > 0;
    return reply.outcome == STRIPE_DONE || nobody ? 0 : stripe_error(&reply, err);
}

int fiber_fn invoices_portal(struct arena *arena, const char *customer, const char *return_url, struct text *ret, struct error *err)
{
    struct stripe_reply reply;
    struct buffer form;
    const char *body;
    char key[UUID_SIZE];
    uuid_v7(key);
    buffer_init(&form, STRIPE_FORM_MAX);
    stripe_form(&form, "customer", customer);
    stripe_form(&form, "return_url", return_url);
    if (stripe_form_end(arena, &form, &body, err) < 0)
        return -1;
    stripe_call(arena, &(struct stripe_request){.method = "POST", .path = "/v1/billing_portal/sessions", .body = body, .key = key}, &reply);
    if (reply.outcome != STRIPE_DONE)
        return stripe_error(&reply, err);
    json_t *page = json_pack("{s:s?}", "url", stripe_string(reply.object, "url"));
    *ret = json_render(arena, page);
    json_decref(page);
    return 0;
}
