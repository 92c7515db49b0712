#include "birads.h"
#include <stddef.h>

static const struct {
    int rank;
    enum birads_action action;
    const char *words, *consequence;
} categories[] = {
    {4, BIRADS_RECALL, "BI-RADS 0 (incomplete)", "further imaging is needed before a final assessment"},
    {0, BIRADS_ROUTINE, "BI-RADS 1 (negative)", "the next round of screening follows"},
    {1, BIRADS_ROUTINE, "BI-RADS 2 (benign)", "the next round of screening follows"},
    {2, BIRADS_FOLLOW_UP, "BI-RADS 3 (probably benign)", "a short-interval follow-up follows"},
    {5, BIRADS_RECALL, "BI-RADS 4 (suspicious)", "tissue diagnosis follows"},
    {6, BIRADS_RECALL, "BI-RADS 5 (highly suggestive of malignancy)", "tissue diagnosis follows"},
    {3, BIRADS_TREATMENT, "BI-RADS 6 (known, biopsy-proven malignancy)",
     "the treatment already planned follows"},
};

static bool known(int category)
{
    return category >= BIRADS_MIN && category <= BIRADS_MAX;
}

int birads_rank(int category)
{
    return known(category) ? categories[category].rank : -1;
}

enum birads_action birads_action(int category, bool recalls_3)
{
    if (!known(category))
        return BIRADS_ROUTINE;
    return category == 3 && recalls_3 ? BIRADS_RECALL : categories[category].action;
}

const char *birads_words(int category)
{
    return known(category) ? categories[category].words : "no category";
}

const char *birads_consequence(int category)
{
    return known(category) ? categories[category].consequence : NULL;
}
