#include "sectors.h"
#include <stddef.h>
#include <string.h>

static const struct sector map[SECTOR_COUNT] = {
    {"PZa-R-base", "right anterior peripheral zone at the base", PIRADS_PZ, SECTOR_RIGHT},
    {"PZa-L-base", "left anterior peripheral zone at the base", PIRADS_PZ, SECTOR_LEFT},
    {"PZa-R-mid", "right anterior peripheral zone in the mid-gland", PIRADS_PZ, SECTOR_RIGHT},
    {"PZa-L-mid", "left anterior peripheral zone in the mid-gland", PIRADS_PZ, SECTOR_LEFT},
    {"PZa-R-apex", "right anterior peripheral zone at the apex", PIRADS_PZ, SECTOR_RIGHT},
    {"PZa-L-apex", "left anterior peripheral zone at the apex", PIRADS_PZ, SECTOR_LEFT},
    {"PZpl-R-base", "right posterolateral peripheral zone at the base", PIRADS_PZ, SECTOR_RIGHT},
    {"PZpl-L-base", "left posterolateral peripheral zone at the base", PIRADS_PZ, SECTOR_LEFT},
    {"PZpl-R-mid", "right posterolateral peripheral zone in the mid-gland", PIRADS_PZ, SECTOR_RIGHT},
    {"PZpl-L-mid", "left posterolateral peripheral zone in the mid-gland", PIRADS_PZ, SECTOR_LEFT},
    {"PZpl-R-apex", "right posterolateral peripheral zone at the apex", PIRADS_PZ, SECTOR_RIGHT},
    {"PZpl-L-apex", "left posterolateral peripheral zone at the apex", PIRADS_PZ, SECTOR_LEFT},
    {"PZpm-R-base", "right posteromedial peripheral zone at the base", PIRADS_PZ, SECTOR_RIGHT},
    {"PZpm-L-base", "left posteromedial peripheral zone at the base", PIRADS_PZ, SECTOR_LEFT},
    {"PZpm-R-mid", "right posteromedial peripheral zone in the mid-gland", PIRADS_PZ, SECTOR_RIGHT},
    {"PZpm-L-mid", "left posteromedial peripheral zone in the mid-gland", PIRADS_PZ, SECTOR_LEFT},
    {"PZpm-R-apex", "right posteromedial peripheral zone at the apex", PIRADS_PZ, SECTOR_RIGHT},
    {"PZpm-L-apex", "left posteromedial peripheral zone at the apex", PIRADS_PZ, SECTOR_LEFT},
    {"TZa-R-base", "right anterior transition zone at the base", PIRADS_TZ, SECTOR_RIGHT},
    {"TZa-L-base", "left anterior transition zone at the base", PIRADS_TZ, SECTOR_LEFT},
    {"TZa-R-mid", "right anterior transition zone in the mid-gland", PIRADS_TZ, SECTOR_RIGHT},
    {"TZa-L-mid", "left anterior transition zone in the mid-gland", PIRADS_TZ, SECTOR_LEFT},
    {"TZa-R-apex", "right anterior transition zone at the apex", PIRADS_TZ, SECTOR_RIGHT},
    {"TZa-L-apex", "left anterior transition zone at the apex", PIRADS_TZ, SECTOR_LEFT},
    {"TZp-R-base", "right posterior transition zone at the base", PIRADS_TZ, SECTOR_RIGHT},
    {"TZp-L-base", "left posterior transition zone at the base", PIRADS_TZ, SECTOR_LEFT},
    {"TZp-R-mid", "right posterior transition zone in the mid-gland", PIRADS_TZ, SECTOR_RIGHT},
    {"TZp-L-mid", "left posterior transition zone in the mid-gland", PIRADS_TZ, SECTOR_LEFT},
    {"TZp-R-apex", "right posterior transition zone at the apex", PIRADS_TZ, SECTOR_RIGHT},
    {"TZp-L-apex", "left posterior transition zone at the apex", PIRADS_TZ, SECTOR_LEFT},
    {"CZ-R-base", "right central zone at the base", PIRADS_CZ, SECTOR_RIGHT},
    {"CZ-L-base", "left central zone at the base", PIRADS_CZ, SECTOR_LEFT},
    {"AFS-R-base", "right anterior fibromuscular stroma at the base", PIRADS_AFS, SECTOR_RIGHT},
    {"AFS-L-base", "left anterior fibromuscular stroma at the base", PIRADS_AFS, SECTOR_LEFT},
    {"AFS-R-mid", "right anterior fibromuscular stroma in the mid-gland", PIRADS_AFS, SECTOR_RIGHT},
    {"AFS-L-mid", "left anterior fibromuscular stroma in the mid-gland", PIRADS_AFS, SECTOR_LEFT},
    {"AFS-R-apex", "right anterior fibromuscular stroma at the apex", PIRADS_AFS, SECTOR_RIGHT},
    {"AFS-L-apex", "left anterior fibromuscular stroma at the apex", PIRADS_AFS, SECTOR_LEFT},
    {"SV-R", "right seminal vesicle", -1, SECTOR_RIGHT},
    {"SV-L", "left seminal vesicle", -1, SECTOR_LEFT},
    {"US", "external urethral sphincter", -1, SECTOR_MIDLINE},
};

const struct sector *sector_at(int index)
{
    return index >= 0 && index < SECTOR_COUNT ? &map[index] : NULL;
}

int sector_find(const char *code)
{
    for (int i = 0; i < SECTOR_COUNT; i++) {
        if (strcmp(map[i].code, code) == 0)
            return i;
    }
    return -1;
}

int sector_first(sector_set set)
{
    return set ? __builtin_ctzll(set) : -1;
}

int sector_size(sector_set set)
{
    return __builtin_popcountll(set);
}
