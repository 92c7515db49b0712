/* From what a plugin returned to the grade's JSON; refuses nonsense. Private to the host side. */
#ifndef OVERREAD_GRADING_HOST_GRADE_H
#define OVERREAD_GRADING_HOST_GRADE_H

#include <stdbool.h>
#include <overread/plugin.h>
#include "base/text.h"
#include "grading/host.h"

/* {"points":1.500,"max_points":2.000,"correct":true,"findings":[{"code","verdict","points","max_points",
 * "answer_pointer","truth_pointer","text","rule","look_again"}],"metrics":{name: 1.000000 or null},
 * "undefined":{name: reason}}. Fixed-point integers are written digit by digit, so the bytes depend on
 * nothing else. NULL, or which rule of the ABI the plugin broke (static words). */
const char *host_write_grade(struct buffer *out, const struct host_rules *rules, const overread_input *input,
                             const overread_grade *grade);

bool host_utf8(const char *s);                 /* whether it is UTF-8 (RFC 3629) */
bool host_pointer_syntax(const char *pointer); /* whether it is a JSON pointer (RFC 6901) in UTF-8 */
/* Whether it leads to a value of the tree. */
bool host_pointer_resolves(const char *pointer, const overread_value *tree);

#endif
