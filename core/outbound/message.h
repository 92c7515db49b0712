/* The head of a mail: RFC 5322, and RFC 2047 for what is not ASCII. Nothing that is put into it can begin a line. */
#ifndef OVERREAD_OUTBOUND_MESSAGE_H
#define OVERREAD_OUTBOUND_MESSAGE_H

#include <stdint.h>
#include "base/arena.h"
#include "base/error.h"
#include "base/text.h"

bool message_has_control(const char *s); /* CR and LF among them */

/* "Overread <no-reply@example.org>" or a bare address. */
struct mailbox {
    const char *name; /* "" when there is none */
    const char *address;
};
/* 0, or -1 with ERROR_INVALID "address_refused"; the words do not say the address. */
int mailbox_parse(struct arena *arena, const char *s, struct mailbox *ret, struct error *err);
/* ASCII, one @, no character that means something in a header or to a mail server, at most 254 long. */
bool mailbox_address_good(const char *address);
const char *mailbox_domain(const struct mailbox *mailbox);

/* "Subject: ...", folded; encoded words where it is not plain ASCII. NULL when the value has a control character in it. */
const char *message_header(struct arena *arena, const char *name, const char *value);
const char *message_mailbox_header(struct arena *arena, const char *name, const struct mailbox *mailbox);
const char *message_date_header(struct arena *arena, int64_t wall_ms);

#endif
