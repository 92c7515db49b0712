/* Tenants and their members. */
#ifndef OVERREAD_TENANCY_H
#define OVERREAD_TENANCY_H

#include "db/db.h"
#include "http/http.h"

extern const struct http_route tenancy_routes[];
extern const struct db_statement tenancy_statements[];

struct tenant_new {
    const char *kind;         /* "organisation" or "individual" */
    const char *slug, *name;
    const char *access_until; /* RFC 3339 or "infinity"; NULL: as it is, at first without end */
    const char *session_idle, *session_absolute; /* PostgreSQL intervals; NULL: the defaults */
};
/* Creates the tenant, or updates the one with this slug. *ret_id belongs to the arena. */
int tenancy_create(struct db_session *admin, struct arena *arena, const struct tenant_new *tenant, const char **ret_id,
                   struct error *err);
/* roles: comma-separated. Adds the membership, revives it, or replaces its roles. */
int tenancy_join(struct db_session *admin, struct arena *arena, const char *tenant_slug, const char *person_id,
                 const char *roles, struct error *err);
/* How many seats the tenant has bought: a number, or "unlimited". Never fewer than are taken. */
enum { TENANCY_SEATS_MAX = 1000000 };
int tenancy_seats(struct db_session *admin, struct arena *arena, const char *tenant_slug, const char *seats, struct error *err);
/* Suspends (or lets in again) a tenant: its sessions are refused at once, nothing is deleted. */
int tenancy_suspend(struct db_session *admin, struct arena *arena, const char *tenant_slug, bool suspended,
                    struct error *err);

#endif
