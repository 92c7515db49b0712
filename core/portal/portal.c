#include "portal/portal.h"

#include <string.h>

/* Path, title, and the page's body in pages/ and script in assets/, by name. */
#define PAGES(P)                                                                                                       \
    P("/sign-in", "Sign in", sign_in, "sign_in")                                                                       \
    P("/sign-up", "Sign up", sign_up, "link")                                                                          \
    P("/verify", "Confirm your address", verify, "link")                                                               \
    P("/forgot", "Forgotten password", forgot, "link")                                                                 \
    P("/reset", "Choose a new password", reset, "link")                                                                \
    P("/invitation", "Invitation", invitation, "invitation")                                                           \
    P("/join", "Join", invitation, "invitation")                                                                       \
    P("/account", "Your account", account, "account")

#define SCRIPT "text/javascript; charset=utf-8"
#define ASSETS(A)                                                                                                      \
    A("portal.css", "text/css; charset=utf-8", portal_css)                                                             \
    A("icon.svg", "image/svg+xml", icon_svg)                                                                           \
    A("portal.js", SCRIPT, portal_js)                                                                                  \
    A("security_key.js", SCRIPT, security_key_js)                                                                      \
    A("sign_in.js", SCRIPT, sign_in_js)                                                                                \
    A("link.js", SCRIPT, link_js)                                                                                      \
    A("invitation.js", SCRIPT, invitation_js)                                                                          \
    A("account.js", SCRIPT, account_js)

/* Made by embed_sql.py; meson.build names the same files, or the linker says what is missing. */
extern const char portal_page_layout[];
#define DECLARE_PAGE(path, title, body, script) extern const char portal_page_##body[];
PAGES(DECLARE_PAGE)
#define DECLARE_ASSET(name, type, bytes) extern const char portal_asset_##bytes[];
ASSETS(DECLARE_ASSET)

static const struct page {
    const char *path, *title, *body, *script;
} pages[] = {
#define PAGE_ROW(path, title, body, script) {path, title, portal_page_##body, script},
    PAGES(PAGE_ROW)
};

static const struct asset {
    const char *name, *type, *bytes;
} assets[] = {
#define ASSET_ROW(name, type, bytes) {name, type, portal_asset_##bytes},
    ASSETS(ASSET_ROW)
};

enum { PAGE_MAX = 256 * 1024 };

/* The layout has no brace that is not a placeholder's. */
static void fill_layout(struct buffer *out, const struct page *page)
{
    const struct {
        const char *name, *value;
    } values[] = {{"{title}", page->title}, {"{main}", page->body}, {"{script}", page->script}};
    const char *rest = portal_page_layout;
    for (const char *open; (open = strchr(rest, '{')); rest = strchr(open, '}') + 1) {
        buffer_add(out, rest, (size_t)(open - rest));
        for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
            if (text_starts(text_of(open), values[i].name))
                buffer_puts(out, values[i].value);
    }
    buffer_puts(out, rest);
}

/* A new version counts at once: browsers keep what they have, and ask whether it is still good. */
static void reply_file(struct http_request *req, const char *type, struct text bytes)
{
    http_header_add(req, "cache-control", "no-cache");
    http_reply_etag(req, type, bytes);
}

static void page_get(struct http_request *req)
{
    const char *path = http_route(req)->path;
    const struct page *page = pages;
    struct buffer out;
    while (strcmp(page->path, path) != 0)
        page++;
    buffer_init(&out, PAGE_MAX);
    fill_layout(&out, page);
    reply_file(req, "text/html; charset=utf-8", (struct text){out.p, out.len});
    buffer_finish(&out);
}

static void asset_get(struct http_request *req)
{
    struct text name = http_path_param(req, "asset");
    struct error err = {0};
    for (size_t i = 0; i < sizeof(assets) / sizeof(assets[0]); i++)
        if (text_is(name, assets[i].name)) {
            reply_file(req, assets[i].type, text_of(assets[i].bytes));
            return;
        }
    error_set(&err, ERROR_NOT_FOUND, "asset_not_found", NULL, "The pages have no such file.");
    http_reply_error(req, &err);
}

static void home_get(struct http_request *req)
{
    http_reply_redirect(req, 303, "/account");
}

const struct http_route portal_routes[] = {
#define PAGE_ROUTE(path, title, body, script) {"GET", path, NULL, 0, page_get},
    PAGES(PAGE_ROUTE)
    {"GET", "/", NULL, 0, home_get},
    {"GET", "/portal/{asset}", NULL, 0, asset_get},
    {0},
};
