/* Time-based one-time passwords (RFC 6238 over RFC 4226): SHA-1, 30 seconds, 6 digits, which is what authenticator apps do
 * without being asked. Pure. */
#ifndef OVERREAD_IDENTITY_TOTP_H
#define OVERREAD_IDENTITY_TOTP_H

#include <stdint.h>

#include "base/arena.h"
#include "base/text.h"

#define TOTP_SEED_SIZE 20 /* bytes: as long as the hash (RFC 4226, section 4, R6) */
#define TOTP_STEP_SECONDS 30
#define TOTP_DRIFT 1 /* steps that a clock may be off, either way */

/* The code of one step: 0..999999. */
uint32_t totp_code(struct text seed, int64_t step);
/* The step whose code this is, of those around `now` (seconds since 1970) that come behind `behind`; -1: none. `code` is six
 * digits; blanks between them are passed over. */
int64_t totp_step_of(struct text seed, struct text code, int64_t now, int64_t behind);

/* RFC 4648, section 6, without padding. ret holds (len * 8 + 4) / 5 + 1 bytes. */
void base32_encode(const void *bytes, size_t len, char *ret);
/* otpauth://totp/Overread:{account}?secret=...&issuer=Overread, as authenticator apps read it. */
const char *totp_uri(struct arena *arena, const char *account, const char *secret);
/* The text as a QR code: an SVG image of its own, dark on light with the quiet zone. NULL when it is too long for one. */
const char *qr_svg(struct arena *arena, const char *text);

#endif
