/* Which addresses somebody else's input may lead us to: those of the public internet. */
#ifndef OVERREAD_OUTBOUND_ADDRESS_H
#define OVERREAD_OUTBOUND_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

/* Not private, loopback, link-local, shared (CGNAT), multicast, documentation, reserved; an IPv4 address within an IPv6 one
 * (mapped, NAT64, 6to4) is judged as what it is. Families other than these two are not public. */
bool address_is_public(const struct sockaddr *address);
bool address_is_loopback(const struct sockaddr *address);

#endif
