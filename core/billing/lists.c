#include "billing/lists.h"

#include <string.h>

static int form_unknown(struct error *err, const char *what)
{
    return error_set(err, ERROR_UNAVAILABLE, "form_unknown", NULL, "Stripe's list %s.", what);
}

/* 1: go on; 0: enough. */
static int fiber_fn go_through(const struct list *list, struct arena *arena, const json_t *data, char last[static STRIPE_ID_MAX + 1],
                               struct error *err)
{
    for (size_t i = 0; i < json_array_size(data); i++) {
        json_t *item = json_array_get(data, i);
        const char *id = stripe_string(item, "id");
        if (!id || !id[0] || strlen(id) > STRIPE_ID_MAX)
            return form_unknown(err, "has an item without a good id");
        int rc = list->each(list->arg, arena, item, err);
        if (rc != 0)
            return rc < 0 ? -1 : 0;
        memcpy(last, id, strlen(id) + 1);
    }
    return 1;
}

/* A page that says nothing of what follows is no end: what is behind it would be lost unseen. */
static int fiber_fn read_page(const struct list *list, struct arena *arena, char last[static STRIPE_ID_MAX + 1], struct error *err)
{
    struct stripe_reply reply;
    const char *from = last[0] ? arena_printf(arena, "%s&starting_after=%s", list->path, stripe_escape(arena, last)) : list->path;
    stripe_call(arena, &(struct stripe_request){.method = "GET", .path = from, .once = list->once}, &reply);
    if (reply.outcome != STRIPE_DONE)
        return stripe_error(&reply, err);
    const json_t *data = json_object_get(reply.object, "data"), *more = json_object_get(reply.object, "has_more");
    if (!json_is_array(data) || !json_is_boolean(more) || (json_is_true(more) && json_array_size(data) == 0))
        return form_unknown(err, "has no end that can be told");
    int rc = go_through(list, arena, data, last, err);
    return rc == 1 ? json_is_true(more) : rc;
}

int fiber_fn list_page(const struct list *list, char after[static STRIPE_ID_MAX + 1], struct error *err)
{
    struct arena *arena = arena_create();
    char last[STRIPE_ID_MAX + 1];
    memcpy(last, after, sizeof(last));
    int rc = read_page(list, arena, last, err);
    if (rc >= 0)
        memcpy(after, last, sizeof(last));
    arena_destroy(arena);
    return rc;
}
