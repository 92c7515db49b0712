/* Subcommands: parse, call, print. No rules. */
#ifndef OVERREAD_CLI_H
#define OVERREAD_CLI_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/config.h"
#include "base/error.h"
#include "db/db.h"
#include "http/http.h"

struct cli {
    const struct config *config;
    struct arena *arena;
};

/* "tenant create": words that select the command, then its options. Exit status 0, 1 (it failed, reason on stderr)
 * or 2 (the command line is wrong). */
struct cli_command {
    const char *words;
    const char *usage;
    int (*run)(struct cli *cli, int argc, char **argv); /* argv[0] is the last word */
};

extern const struct cli_command cli_operator_commands[], cli_server_commands[], cli_tool_commands[],
    cli_kit_commands[], cli_platform_commands[], cli_plugin_commands[], cli_record_commands[], cli_personal_commands[], cli_regrade_commands[],
    cli_billing_commands[];

/* --name VALUE options into *value, flags (value NULL) into *flag; the operands' index is returned, or -1 after a
 * message. The table ends with a NULL name. */
struct cli_option {
    const char *name;
    const char **value;
    bool *flag;
    bool required;
};
int cli_options(int argc, char **argv, const struct cli_option *options);

int cli_fail(const struct error *err); /* prints it; returns 1 */
/* As the owning role; NULL when there is no database. */
struct db_session *cli_admin(struct cli *cli, struct error *err);
/* The last thing a command does: closes what is open, prints the error when rc < 0, returns the exit status. */
int cli_close(struct db_session *admin, int rc, const struct error *err);
/* A whole file, or standard input for "-"; no more than fits into *out. */
int cli_read_file(const char *path, struct buffer *out, struct error *err);
int cli_load_plugins(struct cli *cli, struct error *err);
/* The plugins of plugin_dir as a server would take them. 0, or 1 when one is broken or none would be served. */
int cli_print_plugins(struct cli *cli);

/* All rooms' routes and statements, NULL-ended. */
extern const struct http_route *const cli_routes[];
extern const struct db_statement *const cli_statements[];

#endif
