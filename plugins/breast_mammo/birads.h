/* The assessment categories of the ACR BI-RADS Atlas, 5th edition (2013), mammography: their order and what
 * follows from them. */
#ifndef BREAST_MAMMO_BIRADS_H
#define BREAST_MAMMO_BIRADS_H

#include <stdbool.h>

enum { BIRADS_MIN = 0, BIRADS_MAX = 6 };

/* The order in which the Atlas takes the more abnormal one for an overall assessment: 1, 2, 3, 6, 0, 4, 5.
 * 0 for category 1 up to 6 for category 5; -1 for what is no category. */
int birads_rank(int category);

enum birads_action { BIRADS_ROUTINE, BIRADS_FOLLOW_UP, BIRADS_TREATMENT, BIRADS_RECALL };
/* Categories 0, 4 and 5 recall a woman from screening; 3 does where the programme says so. */
enum birads_action birads_action(int category, bool recalls_3);

/* "BI-RADS 4 (suspicious)" */
const char *birads_words(int category);
/* "biopsy should be considered" */
const char *birads_consequence(int category);

#endif
