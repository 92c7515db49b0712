/* A list of people as CSV (RFC 4180), for inviting them. Pure. */
#ifndef OVERREAD_TENANCY_INVITATIONS_CSV_H
#define OVERREAD_TENANCY_INVITATIONS_CSV_H

#include "base/json.h"

enum { INVITATIONS_ROWS_MAX = 2000 };

/* The first line names the columns, in any order and case: email, and if wanted name, roles (one or more, with a comma,
 * semicolon or blank between; none or no column: trainee) and cohort (name or id). A byte order mark is skipped, empty lines
 * too; blanks around fields without quotes go. *ret, in the arena: [{"email", "name", "roles": [...], "cohort"}, ...].
 * 0, or -1 with ERROR_UNPROCESSABLE and field "row N" (1: the first below the columns' names): malformed_csv, not_utf8,
 * unknown_column, column_missing, too_many_rows. Nothing is taken of a file that is not in order. */
int invitations_from_csv(struct arena *arena, struct text csv, json_t **ret, struct error *err);

#endif
