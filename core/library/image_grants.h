/* Who may fetch which image, remembered per event loop so that a scroll through a series does not ask the database
 * for every slice. A grant lives GRANT_SECONDS at the most. It is forgotten on every node as soon as the notification
 * arrives that a session, membership, person, tenant or case has changed (NOTIFY overread_revoked, milliseconds); while this loop cannot hear notifications,
 * nothing is remembered at all. */
#ifndef OVERREAD_LIBRARY_IMAGE_GRANTS_H
#define OVERREAD_LIBRARY_IMAGE_GRANTS_H

#include <stdbool.h>
#include "db/db.h"

enum { GRANT_SECONDS = 5, GRANT_SLOTS = 16384 };

void image_grants_start(struct db *db); /* this thread's table */
void image_grants_stop(void);

bool image_grants_has(const char *token_sha256, const char *case_id, const char *sha256, const char *kind);
/* Taken before the database is asked: a grant that a revocation overtook is not added. */
unsigned long image_grants_generation(void);
void image_grants_add(unsigned long generation, const char *token_sha256, const char *case_id, const char *sha256,
                      const char *kind);

#endif
