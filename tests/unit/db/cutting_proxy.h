/* Stands between the tested connections and the private PostgreSQL, and ends a connection in the middle of an answer,
 * after as many bytes as the test says. */
#ifndef OVERREAD_TESTS_DB_CUTTING_PROXY_H
#define OVERREAD_TESTS_DB_CUTTING_PROXY_H

#include <stdbool.h>
#include <stddef.h>

/* upstream: the folder of the real server's socket. The folder of its own, for host=. */
const char *cutting_proxy_start(const char *upstream);
/* It also listens on 127.0.0.1. */
int cutting_proxy_port(void);
void cutting_proxy_stop(void);
/* From now on the answers on the next connection that is answered pass for so many bytes; then it ends. With a SQLSTATE it
 * ends behind the last whole message before that place, and a FATAL error that has it. Only that one connection. */
void cutting_proxy_arm(size_t bytes, const char *sqlstate);
/* Was there enough to cut? */
bool cutting_proxy_has_cut(void);

#endif
