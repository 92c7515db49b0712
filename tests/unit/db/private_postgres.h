/* A PostgreSQL of this test alone: made with initdb in a temporary folder, reached over a Unix socket there,
 * gone with the test. As root it runs as an ordinary user, for PostgreSQL refuses root. */
#ifndef OVERREAD_TESTS_PRIVATE_POSTGRES_H
#define OVERREAD_TESTS_PRIVATE_POSTGRES_H

/* Exit status 77 (meson: skipped) when no PostgreSQL is installed; anything else that fails ends the test.
 * Once. */
void postgres_start(void);
void postgres_stop(void);    /* fast: sessions are ended, everything is durable */
void postgres_restart(void); /* after a stop, with the same data */
/* "host=... dbname=... user=..."; lives as long as the test. */
const char *postgres_conninfo(const char *database, const char *user);

#endif
