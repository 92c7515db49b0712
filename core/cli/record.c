#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "audit/audit.h"

enum { ANCHORS_MAX = 100000, LINE_MAX = 1 << 20 };

struct anchors {
    struct audit_anchor *items;
    size_t count;
};

/* Lines of "slug number hash", as `audit verify` prints them. */
static int read_anchors(struct arena *arena, const char *path, struct anchors *ret, struct error *err)
{
    char line[256];
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set(err, ERROR_NOT_FOUND, "no_such_file", NULL, "%s cannot be opened.", path);
    ret->items = arena_alloc(arena, ANCHORS_MAX * sizeof(*ret->items));
    int rc = 0;
    while (rc == 0 && fgets(line, sizeof(line), file)) {
        char *copy = arena_strdup(arena, line), *hash;
        size_t slug_len = strcspn(copy, " \n");
        char *number = copy + slug_len + (copy[slug_len] == ' ');
        size_t number_len = strcspn(number, " \n");
        struct audit_anchor *a = &ret->items[ret->count];
        hash = number + number_len + (number[number_len] == ' ');
        copy[slug_len] = number[number_len] = '\0';
        hash[strcspn(hash, "\r\n")] = '\0';
        *a = (struct audit_anchor){.name = copy, .hash = hash};
        if (text_to_int64(text_of(number), 0, INT64_MAX, &a->number) < 0 || strlen(hash) != SHA256_HEX_SIZE - 1 ||
            ++ret->count == ANCHORS_MAX)
            rc = error_set(err, ERROR_INVALID, "bad_heads", NULL, "%s: a line is not: slug, number, hash.", path);
    }
    fclose(file);
    return rc;
}

static void print_end(void *arg, const char *slug, const struct audit_chain *end)
{
    (void)arg;
    printf("%s %lld %s\n", slug, (long long)end->number, end->hash);
}

/* Whose record this is: said by its first entry, and then by each. */
static const char *tenant_of(struct arena *arena, const char *line, struct error *err)
{
    json_t *json;
    const char *tenant = NULL;
    if (json_parse(arena, text_of(line), &json, err) == 0)
        tenant = json_string_value(json_object_get(json_object_get(json, "entry"), "tenant"));
    if (!tenant)
        error_set(err, ERROR_INVALID, "no_record", NULL, "The first line is no line of an exported record.");
    return tenant;
}

/* Kept under the tenant's id (as this prints it) or, when it is said, under its slug (as the verifier of a database does). */
static int anchors_hold(const struct anchors *kept, const char *tenant, const char *slug, const struct audit_chain *chain, bool at_end,
                        struct error *err)
{
    if (audit_anchors_hold(kept->items, kept->count, tenant, chain, at_end, err) < 0)
        return -1;
    return slug ? audit_anchors_hold(kept->items, kept->count, slug, chain, at_end, err) : 0;
}

/* An export, without any database. */
static int verify_file(struct cli *cli, const char *path, const struct anchors *kept, const char *slug, struct error *err)
{
    struct audit_chain chain;
    const char *tenant = NULL;
    char *line = arena_alloc(cli->arena, LINE_MAX);
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set(err, ERROR_NOT_FOUND, "no_such_file", NULL, "%s cannot be opened.", path);
    int rc = 0;
    while (rc == 0 && fgets(line, LINE_MAX, file)) {
        line[strcspn(line, "\n")] = '\0';
        if (!tenant) {
            if (!(tenant = tenant_of(cli->arena, line, err))) {
                rc = -1;
                break;
            }
            audit_chain_begin(&chain, tenant);
        }
        rc = audit_chain_add(&chain, tenant, text_of(line), err);
        if (rc == 0)
            rc = anchors_hold(kept, tenant, slug, &chain, false, err);
    }
    fclose(file);
    if (rc == 0 && !tenant)
        rc = error_set(err, ERROR_INVALID, "no_record", NULL, "%s is empty.", path);
    if (rc == 0)
        rc = anchors_hold(kept, tenant, slug, &chain, true, err);
    if (rc == 0)
        print_end(NULL, tenant, &chain);
    return rc;
}

static int verify(struct cli *cli, int argc, char **argv)
{
    const char *tenant = NULL, *heads = NULL, *file = NULL;
    struct anchors anchors = {0};
    struct error err = {0};
    const struct cli_option options[] = {
        {.name = "tenant", .value = &tenant}, {.name = "heads", .value = &heads}, {.name = "file", .value = &file}, {0}};
    if (cli_options(argc, argv, options) != argc)
        return 2;
    if (heads && read_anchors(cli->arena, heads, &anchors, &err) < 0)
        return cli_fail(&err);
    if (file)
        return verify_file(cli, file, &anchors, tenant, &err) < 0 ? cli_fail(&err) : 0;
    struct db_session *admin = cli_admin(cli, &err);
    int rc = admin ? audit_verify(admin, cli->arena, tenant, anchors.items, anchors.count, print_end, NULL, &err) : -1;
    return cli_close(admin, rc, &err);
}

static void print_line(void *arg, struct text line)
{
    (void)arg;
    printf("%.*s\n", (int)line.len, line.p);
}

static int export(struct cli *cli, int argc, char **argv)
{
    const char *tenant = NULL;
    struct error err = {0};
    const struct cli_option options[] = {{.name = "tenant", .value = &tenant, .required = true}, {0}};
    if (cli_options(argc, argv, options) != argc)
        return 2;
    struct db_session *admin = cli_admin(cli, &err);
    int rc = admin ? audit_export(admin, cli->arena, tenant, print_line, NULL, &err) : -1;
    return cli_close(admin, rc, &err);
}

const struct cli_command cli_record_commands[] = {
    {"audit verify", "[--file EXPORT] [--tenant SLUG] [--heads FILE]  is the record what was written", verify},
    {"audit export", "--tenant SLUG                a tenant's whole record, a line an entry", export},
    {0},
};
