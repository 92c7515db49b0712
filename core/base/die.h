/* The end of the process for what cannot be carried on from: no memory, no randomness, a broken contract
 * between our own functions. Allocates nothing, so that it works when nothing else does. */
#ifndef OVERREAD_BASE_DIE_H
#define OVERREAD_BASE_DIE_H

/* Writes one JSON line on stderr and aborts. what and detail are our own words: they are not escaped. */
_Noreturn void die(const char *what, const char *detail);
/* The same, with the words of an errno value as detail. */
_Noreturn void die_errno(const char *what, int number);

#endif
