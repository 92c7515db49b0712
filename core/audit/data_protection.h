/* Data protection: a person takes along what is held about them, and is forgotten (migrations/0015). */
#ifndef OVERREAD_AUDIT_DATA_PROTECTION_H
#define OVERREAD_AUDIT_DATA_PROTECTION_H

#include "base/config.h"
#include "db/db.h"
#include "http/http.h"
#include "jobs/jobs.h"
#include "jobs/thread_pool.h"

extern const struct http_route data_protection_routes[];
extern const struct db_statement data_protection_statements[];
/* Writes an export that was asked for; removes the files that nobody may fetch any more. */
extern const struct job_kind data_protection_export_job, data_protection_sweep_job;

/* Once, before the server starts. Exports are files in <state_dir>/exports, which nodes share as they share images; they are
 * compressed on threads of the pool. */
void data_protection_init(const struct config *config, struct thread_pool *files);
/* Where an export lies. In the arena. */
const char *data_protection_path(struct arena *arena, const char *export_id);

/* --- For the command line --------------------------------------------------------------------------------------- */

/* A ZIP of JSON files at `path`: what POST /v1/me/export gives. 0, or -1 with "person_not_found" or what the disk says. */
int data_protection_export(struct db_session *admin, struct arena *arena, const char *email, const char *path, struct error *err);
/* Puts a pseudonym in the person's place. *ret_person: whose id stays, for the ledger. */
int data_protection_erase(struct db_session *admin, struct arena *arena, const char *email, const char **ret_person,
                          struct error *err);
/* The ledger of erasures, a line of JSON each, oldest first. */
int data_protection_ledger(struct db_session *admin, struct arena *arena, void (*write)(void *arg, struct text line), void *arg,
                           struct error *err);
/* Erases again what a line of the ledger tells, after a backup was restored. *ret: there was something to erase. */
int data_protection_replay(struct db_session *admin, struct arena *arena, struct text line, bool *ret, struct error *err);

#endif
