#include "base/config.h"

#include <errno.h>
#include <ini.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/text.h"

enum kind {
    KIND_TEXT,
    KIND_CONNINFO, /* text that may hold a password */
    KIND_SECRET,   /* text that is one */
    KIND_PATH,     /* relative to the INI file when it stands there */
    KIND_SWITCH,
    KIND_NUMBER,
    KIND_LEVEL,
};

struct key {
    const char *name;
    enum kind kind;
    size_t offset;
    const char *initial;
    int min, max; /* of a number */
    const char *help;
};

#define KEY(name, kind, initial, min, max, help)                                                             \
    {                                                                                                        \
#name, kind, offsetof(struct config, name), initial, min, max, help                                  \
    }

static const struct key keys[] = {
    KEY(database, KIND_CONNINFO, "", 0, 0, "libpq conninfo of the application role, which owns nothing"),
    KEY(database_admin, KIND_CONNINFO, "", 0, 0,
        "libpq conninfo of the owning role: migrate, tenant, library"),
    KEY(listen, KIND_TEXT, "127.0.0.1:8080", 0, 0, "host:port, or unix:/run/overread.sock"),
    KEY(tls_certificate, KIND_PATH, "", 0, 0, "PEM file; with tls_key or not at all"),
    KEY(tls_key, KIND_PATH, "", 0, 0, "PEM file; with tls_certificate or not at all"),
    KEY(http2, KIND_SWITCH, "off", 0, 0, "only behind a proxy that limits stream resets"),
    KEY(cookie_secure, KIND_SWITCH, "on", 0, 0, "off only for plain HTTP on loopback"),
    KEY(public_url, KIND_TEXT, "", 0, 0, "the origin that browsers see; empty: derived from listen"),
    KEY(cors_origins, KIND_TEXT, "", 0, 0,
        "origins of other sites whose pages may call with credentials, with blanks between; empty: none"),
    KEY(threads, KIND_NUMBER, "0", 0, 256, "event loops; 0: one a core"),
    KEY(connections_max, KIND_NUMBER, "2304", 1, 65536,
        "of clients; more than a front opens (2048), and times 2 MiB no more than there is memory"),
    KEY(database_read_connections, KIND_NUMBER, "2", 1, 64, "per event loop"),
    KEY(database_write_connections, KIND_NUMBER, "4", 1, 64, "per event loop"),
    KEY(database_queue, KIND_NUMBER, "1024", 1, 65536, "statements that may wait, per event loop and lane"),
    KEY(state_dir, KIND_PATH, "var", 0, 0, "images, by content hash"),
    KEY(plugin_dir, KIND_PATH, "", 0, 0, "<id>/manifest.json and <id>/<id>.so; empty: beside the program"),
    KEY(plugin_keys, KIND_PATH, "", 0, 0, "PEM file of Ed25519 public keys: only what one of them has signed is loaded"),
    KEY(allow_unsigned_plugins, KIND_SWITCH, "off", 0, 0, "serve without plugin_keys; for authors of plugins"),
    KEY(secret_key, KIND_PATH, "", 0, 0,
        "file of 64 hexadecimal digits a line: secrets at rest are sealed with the first key, and opened with any"),
    KEY(grader, KIND_PATH, "", 0, 0, "the program overread-grader; empty: beside the program"),
    KEY(grader_workers, KIND_NUMBER, "1", 1, 64, "per event loop and plugin"),
    KEY(body_limit, KIND_NUMBER, "1048576", 1024, 67108864, "bytes of a request's body"),
    KEY(request_timeout_ms, KIND_NUMBER, "10000", 100, 600000, "for a request's head and body to arrive"),
    KEY(stop_timeout_ms, KIND_NUMBER, "20000", 0, 600000, "for accepted requests to end when stopping"),
    KEY(smtp_url, KIND_TEXT, "", 0, 0,
        "smtp://host:port, which must offer STARTTLS unless it is this machine, or smtps://host:port; empty: mails wait"),
    KEY(smtp_user, KIND_TEXT, "", 0, 0, "empty: the mail server wants no password"),
    KEY(smtp_password, KIND_SECRET, "", 0, 0, "of smtp_user"),
    KEY(smtp_ca, KIND_PATH, "", 0, 0, "PEM file of who signs the mail server's certificate; empty: the system's"),
    KEY(mail_from, KIND_TEXT, "", 0, 0, "Overread <no-reply@example.org>; needed with smtp_url"),
    KEY(fetch_ca, KIND_PATH, "", 0, 0, "PEM file of who signs the certificates of other services; empty: the system's"),
    KEY(stripe_key, KIND_SECRET, "", 0, 0, "secret or restricted key of Stripe's API; empty: nothing is sold through Stripe"),
    KEY(stripe_url, KIND_TEXT, "https://api.stripe.com", 0, 0, "where Stripe's API is: https, or http on this machine"),
    KEY(stripe_webhook_secret, KIND_SECRET, "", 0, 0, "whsec_..., of Stripe's webhook endpoint; two, with a comma between, while it is changed"),
    KEY(stripe_tax, KIND_SWITCH, "on", 0, 0, "Stripe computes taxes (automatic_tax)"),
    KEY(invoice_days_max, KIND_NUMBER, "30", 1, 365, "days that who buys by invoice may take to pay; an operator's quote may give more"),
    KEY(fetch_loopback, KIND_SWITCH, "off", 0, 0, "sign-on services and webhooks may be on this machine, by http; to try things"),
    KEY(log_level, KIND_LEVEL, "info", 0, 0, "debug, info, warning or error"),
};
#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

/* Where a value came from, for errors and for what its relative paths are relative to. */
struct source {
    const char *file; /* NULL: the environment, or a default */
    int line;
    const char *variable;
};

struct reading {
    FILE *stream;
    const char *file;
    int line;
    bool continued; /* the line starts with a blank: it carries on the value before it */
    int bad_line;   /* first line that failed; 0: none */
    struct error *err;
    const char *values[KEY_COUNT];
    int lines[KEY_COUNT];
};

/* The values live as long as the process; a second config_load (only tests do that) adds to them. */
static struct arena *strings;

static const char **text_slot(struct config *config, const struct key *key)
{
    return (const char **)(void *)((char *)config + key->offset);
}

static const char *text_value(const struct config *config, const struct key *key)
{
    return *(const char *const *)(const void *)((const char *)config + key->offset);
}

/* --- Values ---------------------------------------------------------------------------------- */

static int refuse(struct error *err, const struct source *source, const struct key *key, const char *want)
{
    if (source->file)
        return error_set(err, ERROR_INVALID, "config_invalid", key->name, "%s, line %d: %s must be %s",
                         source->file, source->line, key->name, want);
    return error_set(err, ERROR_INVALID, "config_invalid", key->name, "%s must be %s", source->variable,
                     want);
}

static int parse_switch(const char *value, bool *ret)
{
    static const char *const words[2][4] = {{"off", "false", "no", "0"}, {"on", "true", "yes", "1"}};
    for (int on = 0; on < 2; on++) {
        for (int i = 0; i < 4; i++) {
            if (strcmp(value, words[on][i]) == 0) {
                *ret = on;
                return 0;
            }
        }
    }
    return -EINVAL;
}

static bool is_level(const char *value)
{
    return strcmp(value, "debug") == 0 || strcmp(value, "info") == 0 || strcmp(value, "warning") == 0 ||
           strcmp(value, "error") == 0;
}

static const char *resolve(const struct source *source, const char *value)
{
    const char *slash = source->file ? strrchr(source->file, '/') : NULL;
    if (!slash || value[0] == '/' || value[0] == '\0')
        return value;
    return arena_printf(strings, "%.*s/%s", (int)(slash - source->file), source->file, value);
}

static int set_value(struct config *config, const struct key *key, const char *value,
                     const struct source *source, struct error *err)
{
    char *slot = (char *)config + key->offset;
    switch (key->kind) {
    case KIND_SWITCH:
        if (parse_switch(value, (bool *)(void *)slot) < 0)
            return refuse(err, source, key, "on or off");
        return 0;
    case KIND_NUMBER: {
        int64_t number;
        char want[64];
        snprintf(want, sizeof(want), "a whole number from %d to %d", key->min, key->max);
        if (text_to_int64(text_of(value), key->min, key->max, &number) < 0)
            return refuse(err, source, key, want);
        *(int *)(void *)slot = (int)number;
        return 0;
    }
    case KIND_LEVEL:
        if (!is_level(value))
            return refuse(err, source, key, key->help);
        *text_slot(config, key) = value;
        return 0;
    case KIND_PATH:
        *text_slot(config, key) = resolve(source, value);
        return 0;
    case KIND_TEXT:
    case KIND_CONNINFO:
    case KIND_SECRET:
        *text_slot(config, key) = value;
        return 0;
    }
    return 0;
}

/* --- The file -------------------------------------------------------------------------------- */

static void fail_line(struct reading *reading, const char *field, const char *what, const char *detail)
{
    if (reading->bad_line)
        return;
    reading->bad_line = reading->line;
    error_set(reading->err, ERROR_INVALID, "config_invalid", field, "%s, line %d: %s%s", reading->file,
              reading->line, what, detail);
}

/* fgets for inih, which cannot tell its handler where it is, and would cut a long line in two silently. */
static char *read_line(char *line, int size, void *arg)
{
    struct reading *reading = arg;
    if (reading->bad_line || !fgets(line, size, reading->stream))
        return NULL;
    reading->line++;
    reading->continued = line[0] == ' ' || line[0] == '\t';
    if (strlen(line) == (size_t)size - 1 && line[size - 2] != '\n' && !feof(reading->stream)) {
        fail_line(reading, NULL, "is too long; carry the value on in lines that start with a blank", "");
        return NULL;
    }
    return line;
}

/* Returns what inih wants: 1, the line was good. Our own failures end the reading by read_line instead. */
static int take_pair(void *arg, const char *section, const char *name, const char *value)
{
    struct reading *reading = arg;
    if (section[0] != '\0' && strcmp(section, "overread") != 0) {
        fail_line(reading, NULL, "there is no such section: ", section);
        return 1;
    }
    size_t i = 0;
    while (i < KEY_COUNT && strcmp(keys[i].name, name) != 0)
        i++;
    if (i == KEY_COUNT) {
        fail_line(reading, name, "there is no such key: ", name);
    } else if (!reading->values[i]) {
        reading->values[i] = arena_strdup(strings, value);
        reading->lines[i] = reading->line;
    } else if (reading->continued) {
        reading->values[i] = arena_printf(strings, "%s %s", reading->values[i], value);
    } else {
        fail_line(reading, name, "this key was given before: ", name);
    }
    return 1;
}

static int read_file(struct reading *reading)
{
    reading->stream = fopen(reading->file, "re");
    if (!reading->stream)
        return error_set(reading->err, ERROR_INVALID, "config_unreadable", NULL, "%s: %s", reading->file,
                         strerrordesc_np(errno));
    int syntax = ini_parse_stream(read_line, reading, take_pair, reading);
    bool unreadable = ferror(reading->stream) != 0;
    fclose(reading->stream);
    if (unreadable)
        return error_set(reading->err, ERROR_INVALID, "config_unreadable", NULL, "%s: cannot be read",
                         reading->file);
    if (syntax != 0 && (reading->bad_line == 0 || syntax < reading->bad_line))
        return error_set(reading->err, ERROR_INVALID, "config_invalid", NULL,
                         "%s, line %d: neither a comment nor \"key = value\"", reading->file, syntax);
    return reading->bad_line ? -1 : 0;
}

/* --- Where the parts of the program lie ------------------------------------------------------ */

/* Directory of the running binary, or "." where /proc is not mounted. */
static const char *binary_dir(void)
{
    char path[4096];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path));
    if (len <= 0 || len == (ssize_t)sizeof(path))
        return ".";
    while (len > 1 && path[len - 1] != '/')
        len--;
    return arena_copy(strings, path, (size_t)(len > 1 ? len - 1 : len));
}

/* The first of the places below the binary's directory that is there, else the first of all. In a build tree
 * the binary may lie in core/cli, two levels down; elsewhere that place would lead out of the installation.
 */
static const char *find_part(const char *const places[], int mode)
{
    const char *dir = binary_dir();
    size_t len = strlen(dir);
    bool build_tree = len > 9 && strcmp(dir + len - 9, "/core/cli") == 0;
    for (int i = 0; places[i]; i++) {
        if (strncmp(places[i], "../../", 6) == 0 && !build_tree)
            continue;
        const char *path = arena_printf(strings, "%s/%s", dir, places[i]);
        if (access(path, mode) == 0)
            return path;
    }
    return arena_printf(strings, "%s/%s", dir, places[0]);
}

static void derive(struct config *config)
{
    static const char *const plugins[] = {"../lib/overread/plugins", "plugins", "../../plugins", NULL};
    static const char *const graders[] = {"overread-grader", "../libexec/overread-grader",
                                          "../../core/grading/overread-grader", NULL};
    if (config->plugin_dir[0] == '\0')
        config->plugin_dir = find_part(plugins, X_OK);
    if (config->grader[0] == '\0')
        config->grader = find_part(graders, X_OK);
}

/* --- Origins --------------------------------------------------------------------------------- */

/* The next of a list; empty behind the last. */
static struct text next_origin(const char **rest)
{
    const char *origin = *rest + strspn(*rest, " \t,");
    *rest = origin + strcspn(origin, " \t,");
    return (struct text){origin, (size_t)(*rest - origin)};
}

/* As browsers write it, for it is compared to the byte. A page that came over plain HTTP may be anybody's. */
static bool is_origin(struct text origin)
{
    static const char *const starts[] = {"https://", "http://localhost", "http://127.0.0.1"};
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        if (!text_starts(origin, starts[i]))
            continue;
        const char *host = origin.p + strlen("https://") - (i > 0), *rest = origin.p + strlen(starts[i]);
        size_t left = origin.len - (size_t)(rest - origin.p);
        if (i > 0 && left > 0 && *rest != ':')
            return false;
        size_t len = origin.len - (size_t)(host - origin.p);
        return len > 0 && *host != ':' && strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789.-:[]") >= len;
    }
    return false;
}

bool config_lists_origin(const struct config *config, struct text origin)
{
    const char *rest = config->cors_origins ? config->cors_origins : "";
    struct text listed;
    while ((listed = next_origin(&rest)).len > 0)
        if (text_equal(listed, origin))
            return true;
    return false;
}

/* --- Loading --------------------------------------------------------------------------------- */

static int check(const struct config *config, struct error *err)
{
    if ((config->tls_certificate[0] == '\0') != (config->tls_key[0] == '\0'))
        return error_set(err, ERROR_INVALID, "config_invalid",
                         config->tls_key[0] ? "tls_certificate" : "tls_key",
                         "tls_certificate and tls_key are given together or not at all");
    struct text url = text_of(config->public_url);
    size_t scheme = text_starts(url, "https://") ? 8 : text_starts(url, "http://") ? 7 : 0;
    if (url.len > 0 && (scheme == 0 || url.len == scheme || strchr(url.p + scheme, '/')))
        return error_set(err, ERROR_INVALID, "config_invalid", "public_url",
                         "public_url must be an origin such as https://reads.example.org, without a path");
    const char *rest = config->cors_origins;
    struct text origin;
    while ((origin = next_origin(&rest)).len > 0)
        if (!is_origin(origin))
            return error_set(err, ERROR_INVALID, "config_invalid", "cors_origins",
                             "cors_origins must be origins such as https://app.example.org, in lower case, without a "
                             "path, and https unless on localhost");
    return 0;
}

static int load_key(struct config *config, const struct reading *reading, size_t i, struct error *err)
{
    const struct key *key = &keys[i];
    char variable[64] = "OVERREAD_";
    size_t len = strlen(variable);
    for (const char *c = key->name; *c && len + 1 < sizeof(variable); c++)
        variable[len++] = (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    variable[len] = '\0';

    const struct source initial = {.variable = key->name};
    const struct source from_file = {.file = reading->file, .line = reading->lines[i]};
    const struct source from_variable = {.variable = variable};
    if (set_value(config, key, key->initial, &initial, err) < 0)
        return -1;
    if (reading->values[i] && set_value(config, key, reading->values[i], &from_file, err) < 0)
        return -1;
    const char *value = getenv(variable); /* NOLINT(concurrency-mt-unsafe): before any thread starts */
    return value ? set_value(config, key, arena_strdup(strings, value), &from_variable, err) : 0;
}

int config_load(const char *path, struct config *ret, struct error *err)
{
    if (!strings)
        strings = arena_create();
    struct reading reading = {.err = err};
    if (path) {
        reading.file = arena_strdup(strings, path);
        if (read_file(&reading) < 0)
            return -1;
    }
    struct config config = {0};
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (load_key(&config, &reading, i, err) < 0)
            return -1;
    if (check(&config, err) < 0)
        return -1;
    derive(&config);
    *ret = config;
    return 0;
}

/* --- Printing -------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_secret(const char *name, size_t len)
{
    static const char word[] = "password"; /* also sslpassword */
    const size_t n = sizeof(word) - 1;
    return len >= n && strncmp(name + len - n, word, n) == 0;
}

/* Past one value of "name = value" pairs: bare or quoted, a backslash taking the next character with it. */
static const char *skip_value(const char *s)
{
    bool quoted = *s == '\'';
    if (quoted)
        s++;
    while (*s && (quoted ? *s != '\'' : !is_blank(*s))) {
        if (*s == '\\' && s[1])
            s++;
        s++;
    }
    return quoted && *s ? s + 1 : s;
}

static void mask_pairs(struct buffer *out, const char *s)
{
    while (*s) {
        const char *start = s;
        while (is_blank(*s))
            s++;
        const char *name = s;
        while (*s && *s != '=' && !is_blank(*s))
            s++;
        size_t len = (size_t)(s - name);
        while (is_blank(*s))
            s++;
        if (*s == '=')
            s++;
        while (is_blank(*s))
            s++;
        const char *value = s;
        s = skip_value(s);
        bool secret = is_secret(name, len);
        buffer_add(out, start, (size_t)((secret ? value : s) - start));
        if (secret)
            buffer_puts(out, "***");
    }
}

/* scheme://user:password@host/name?name=value&... */
static void mask_url(struct buffer *out, const char *s)
{
    const char *authority = strstr(s, "://") + 3;
    size_t len = strcspn(authority, "/?");
    const char *at = memrchr(authority, '@', len);
    const char *colon = at ? memchr(authority, ':', (size_t)(at - authority)) : NULL;
    if (colon) {
        buffer_add(out, s, (size_t)(colon + 1 - s));
        buffer_puts(out, "***");
        s = at;
    }
    const char *query = authority + len + strcspn(authority + len, "?");
    buffer_add(out, s, (size_t)(query - s));
    while (*query) {
        const char *name = query + 1;
        size_t pair = strcspn(name, "&");
        size_t name_len = strcspn(name, "=&");
        bool secret = is_secret(name, name_len);
        buffer_add(out, query, 1 + (secret ? name_len : pair));
        if (secret)
            buffer_puts(out, "=***");
        query = name + pair;
    }
}

static void render_value(struct buffer *out, const struct config *config, const struct key *key)
{
    const char *slot = (const char *)config + key->offset;
    switch (key->kind) {
    case KIND_SWITCH:
        buffer_puts(out, *(const bool *)(const void *)slot ? "on" : "off");
        return;
    case KIND_NUMBER:
        buffer_printf(out, "%d", *(const int *)(const void *)slot);
        return;
    case KIND_SECRET:
        buffer_puts(out, text_value(config, key)[0] ? "***" : "");
        return;
    case KIND_CONNINFO: {
        const char *value = text_value(config, key);
        bool url = text_starts(text_of(value), "postgresql://") || text_starts(text_of(value), "postgres://");
        (url ? mask_url : mask_pairs)(out, value);
        return;
    }
    case KIND_TEXT:
    case KIND_PATH:
    case KIND_LEVEL:
        buffer_puts(out, text_value(config, key));
        return;
    }
}

void config_print(const struct config *config)
{
    struct buffer out;
    buffer_init(&out, (size_t)1024 * 1024);
    for (size_t i = 0; i < KEY_COUNT; i++) {
        buffer_printf(&out, "; %s\n%s = ", keys[i].help, keys[i].name);
        render_value(&out, config, &keys[i]);
        buffer_puts(&out, "\n");
    }
    fputs(out.p, stdout);
    buffer_finish(&out);
}
