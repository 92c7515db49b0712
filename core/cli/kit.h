/* The plugin author's commands: new, check, try. */
#ifndef OVERREAD_CLI_KIT_H
#define OVERREAD_CLI_KIT_H

#include <jansson.h>
#include "cli/cli.h"

/* `overread plugin try FILE.so --truth T`: the operand comes before the options, or after them. The operand,
 * or NULL after a message. */
const char *kit_options(int argc, char **argv, const struct cli_option *options);

int kit_new(struct cli *cli, int argc, char **argv);
int kit_try(struct cli *cli, int argc, char **argv);
/* A grade's JSON as words on stdout. */
void kit_print_grade(const json_t *grade);

#endif
