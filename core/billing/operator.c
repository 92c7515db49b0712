#include "billing/operator.h"

#include <string.h>

#include "billing/operator_sql.h"

enum { SEATS_MAX = 100000, AMOUNT_MAX = 99999999, DUE_MAX = 365, VALID_MAX = 365 };

static int number(const char *text, int64_t min, int64_t max, const char *name, struct error *err)
{
    int64_t n;
    if (!text || text_to_int64(text_of(text), min, max, &n) == 0)
        return 0;
    return error_set(err, ERROR_INVALID, "out_of_range", name, "This is a whole number from %lld to %lld.", (long long)min, (long long)max);
}

static int uuid(const char *text, const char *name, struct error *err)
{
    return uuid_valid(text_of(text)) ? 0 : error_set(err, ERROR_INVALID, "bad_value", name, "%.100s is no id.", text);
}

static int lines(struct db_session *admin, struct arena *arena, const struct db_statement *statement, const char *const params[],
                 struct buffer *out, struct error *err)
{
    const struct db_result *res;
    if (db_session_run(admin, arena, statement, params, &res, err) < 0)
        return -1;
    for (int i = 0; i < db_rows(res); i++)
        buffer_printf(out, "%s\n", db_string(res, i, 0));
    return out->failed ? error_set(err, ERROR_TOO_LARGE, "list_too_large", NULL, "The list does not fit.") : 0;
}

/* --- Grants and quotes ------------------------------------------------------------------------------------------------ */

int operator_grant(struct db_session *admin, struct arena *arena, const struct operator_grant *grant, const char **ret_id, struct error *err)
{
    const struct db_result *res;
    const char *seats = grant->seats && strcmp(grant->seats, "unlimited") == 0 ? NULL : grant->seats;
    const char *const params[] = {grant->tenant, grant->modalities, seats, grant->from, grant->until, grant->reason};
    if (number(seats, 0, SEATS_MAX, "seats", err) < 0 || db_session_run(admin, arena, sql_operator_grant, params, &res, err) < 0)
        return -1;
    *ret_id = db_string(res, 0, 0);
    return 0;
}

int operator_grant_end(struct db_session *admin, struct arena *arena, const char *tenant, const char *grant, const char *reason,
                       struct error *err)
{
    const struct db_result *res;
    if (uuid(grant, "grant", err) < 0 ||
        db_session_run(admin, arena, sql_operator_grant_end, (const char *const[]){tenant, grant, reason}, &res, err) < 0)
        return -1;
    if (!db_bool(res, 0, 0))
        return error_set(err, ERROR_NOT_FOUND, "grant_not_found", "grant", "The tenant %s has no such grant, or it has ended.", tenant);
    return 0;
}

int operator_quote(struct db_session *admin, struct arena *arena, const struct operator_quote *quote, const char **ret_id, struct error *err)
{
    char id[UUID_SIZE];
    uuid_v7(id);
    const char *const params[] = {id,           quote->tenant, quote->plan,           quote->period,     quote->currency,
                                  quote->seats, quote->amount, quote->days_until_due, quote->valid_days, quote->note};
    if (number(quote->seats, 1, SEATS_MAX, "seats", err) < 0 || number(quote->amount, 0, AMOUNT_MAX, "amount", err) < 0 ||
        number(quote->days_until_due, 1, DUE_MAX, "days-until-due", err) < 0 ||
        number(quote->valid_days, 1, VALID_MAX, "valid-days", err) < 0 ||
        db_session_run(admin, arena, sql_operator_quote, params, NULL, err) < 0)
        return -1;
    *ret_id = arena_strdup(arena, id);
    return 0;
}

int operator_quote_withdraw(struct db_session *admin, struct arena *arena, const char *tenant, const char *quote, struct error *err)
{
    if (uuid(quote, "quote", err) < 0)
        return -1;
    return db_session_run(admin, arena, sql_operator_quote_withdraw, (const char *const[]){tenant, quote}, NULL, err);
}

/* --- Lists -------------------------------------------------------------------------------------------------------------- */

int operator_plans(struct db_session *admin, struct arena *arena, struct buffer *out, struct error *err)
{
    return lines(admin, arena, sql_operator_plans, NULL, out, err);
}

/* A slug that nobody has is an error also where the list would be empty. */
static int lines_of(struct db_session *admin, struct arena *arena, const struct db_statement *statement, const char *tenant,
                    struct buffer *out, struct error *err)
{
    const char *const params[] = {tenant};
    if (tenant && db_session_run(admin, arena, sql_operator_tenant_by_slug, params, NULL, err) < 0)
        return -1;
    return lines(admin, arena, statement, params, out, err);
}

int operator_subscriptions(struct db_session *admin, struct arena *arena, const char *tenant, struct buffer *out, struct error *err)
{
    return lines_of(admin, arena, sql_operator_subscriptions, tenant, out, err);
}

int operator_quotes(struct db_session *admin, struct arena *arena, const char *tenant, struct buffer *out, struct error *err)
{
    return lines_of(admin, arena, sql_operator_quotes, tenant, out, err);
}

int operator_stuck(struct db_session *admin, struct arena *arena, struct buffer *out, struct error *err)
{
    return lines(admin, arena, sql_operator_stuck, NULL, out, err);
}

/* --- Trying again ------------------------------------------------------------------------------------------------------- */

int operator_retry(struct db_session *admin, struct arena *arena, const char *id, int64_t *ret, struct error *err)
{
    const struct db_result *res;
    if (db_session_run(admin, arena, sql_operator_retry, (const char *const[]){id}, &res, err) < 0)
        return -1;
    *ret = db_int(res, 0, 0);
    return id && *ret == 0 ? error_set(err, ERROR_NOT_FOUND, "not_stuck", NULL, "Nothing that is stuck has the id %.300s.", id) : 0;
}

int operator_sync(struct db_session *admin, struct arena *arena, struct error *err)
{
    return db_session_run(admin, arena, sql_operator_sync, NULL, NULL, err);
}
