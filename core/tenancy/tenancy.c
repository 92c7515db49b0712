#include "tenancy/tenancy.h"

#include <string.h>

#include "tenancy/members_sql.h"
#include "tenancy/tenancy_sql.h"

int tenancy_create(struct db_session *admin, struct arena *arena, const struct tenant_new *tenant, const char **ret_id,
                   struct error *err)
{
    char id[UUID_SIZE];
    const struct db_result *res;
    uuid_v7(id);
    const char *const params[] = {id, tenant->kind, tenant->slug, tenant->name, tenant->access_until,
                                  tenant->session_idle, tenant->session_absolute};
    if (db_session_run(admin, arena, sql_tenant_upsert, params, &res, err) < 0)
        return -1;
    if (db_is_null(res, 0, 0))
        return error_set(err, ERROR_CONFLICT, "kind_differs", "kind", "The tenant %s exists, and is of another kind.",
                         tenant->slug);
    *ret_id = db_string(res, 0, 0);
    return db_session_run(admin, arena, sql_tenant_audit, (const char *const[]){*ret_id, "tenant.saved", *ret_id}, &res,
                          err);
}

static int no_such_tenant(const char *slug, struct error *err)
{
    return error_set(err, ERROR_NOT_FOUND, "tenant_not_found", "tenant", "There is no tenant with the slug %s.", slug);
}

int tenancy_join(struct db_session *admin, struct arena *arena, const char *tenant_slug, const char *person_id,
                 const char *roles, struct error *err)
{
    const struct db_result *res;
    return db_session_run(admin, arena, sql_member_put, (const char *const[]){tenant_slug, person_id, roles}, &res, err);
}

int tenancy_seats(struct db_session *admin, struct arena *arena, const char *tenant_slug, const char *seats, struct error *err)
{
    const struct db_result *res;
    int64_t count;
    if (strcmp(seats, "unlimited") == 0)
        seats = NULL;
    else if (text_to_int64(text_of(seats), 0, TENANCY_SEATS_MAX, &count) < 0)
        return error_set(err, ERROR_INVALID, "out_of_range", "seats", "Seats are a number up to %d, or: unlimited.",
                         TENANCY_SEATS_MAX);
    if (db_session_run(admin, arena, sql_tenant_seats, (const char *const[]){tenant_slug, seats}, &res, err) < 0)
        return -1;
    return db_rows(res) ? 0 : no_such_tenant(tenant_slug, err);
}

int tenancy_suspend(struct db_session *admin, struct arena *arena, const char *tenant_slug, bool suspended,
                    struct error *err)
{
    const struct db_result *res;
    if (db_session_run(admin, arena, sql_tenant_suspend, (const char *const[]){tenant_slug, suspended ? "true" : "false"},
                       &res, err) < 0)
        return -1;
    return db_rows(res) ? 0 : no_such_tenant(tenant_slug, err);
}
