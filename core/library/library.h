/* Case library: modalities, immutable case versions, images. Truth never leaves through this room. */
#ifndef OVERREAD_LIBRARY_H
#define OVERREAD_LIBRARY_H

#include "base/config.h"
#include "db/db.h"
#include "http/http.h"

extern const struct http_route library_routes[];
extern const struct db_statement library_statements[];

void library_init(const struct config *config);
/* Per loop: remembers for a moment who may fetch which image, and forgets it at once when a session, a membership,
 * a tenant or a case changes on any node. */
void library_loop_start(struct db *db);
void library_loop_stop(void);

/* --- For the command line ---------------------------------------------------------------------------------------- */

/* Checks and takes in one case folder (CASE_FOLDER.md): manifest, truth against the plugin's schemas and its own
 * check, images prepared into <state_dir>/images. Nothing is written to the database unless everything is good.
 * *ret is a JSON line {"case","slug","version","changed","state"}. */
int library_import(struct db_session *admin, struct arena *arena, const char *directory, bool publish, struct text *ret,
                   struct error *err);
/* state: "published" or "withdrawn" (reason for people who look for it). */
int library_set_state(struct db_session *admin, struct arena *arena, const char *slug, const char *state,
                      const char *reason, struct error *err);
/* A sample is free for everyone who has signed in, subscription or not. */
int library_set_sample(struct db_session *admin, struct arena *arena, const char *slug, bool sample, struct error *err);
/* One JSON line a case. */
int library_list(struct db_session *admin, struct arena *arena, struct buffer *out, struct error *err);

#endif
