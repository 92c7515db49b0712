#include "lungrads.h"
#include <stddef.h>
#include <stdint.h>

#define SOURCE "Lung-RADS v2022 (ACR), "
#define RULING(category, words)                                                                              \
    (struct lung_ruling)                                                                                     \
    {                                                                                                        \
        category, SOURCE words                                                                               \
    }

static const char *const undefined_rule =
    SOURCE "has no row for this combination, or the row needs what was not given.";

static struct lung_ruling undefined(void)
{
    return (struct lung_ruling){LUNG_NOT_DEFINED, undefined_rule};
}

/* --- Volumes ----------------------------------------------------------------------------------------- */

/* In whole mm3, of a diameter in tenths of a millimetre. */
static int64_t sphere(int64_t diameter)
{
    const int64_t sixth_of_pi = 523598776, scale = INT64_C(1000000000000); /* 10^9 of it, and tenths cubed */
    return (diameter * diameter * diameter * sixth_of_pi + scale / 2) / scale;
}

int lung_diameter_of_volume(int mm3)
{
    int low = 0, high = 2001; /* sphere(low) <= mm3 < sphere(high), or as large as sizes get */
    while (mm3 > 0 && high - low > 1) {
        int middle = (low + high) / 2;
        if (sphere(middle) <= mm3)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* --- By size alone, as at the first detection -------------------------------------------------------- */

enum { JUXTAPLEURAL_AS_SOLID = 100 };

static struct lung_ruling solid_by_size(int mean)
{
    if (mean < 60)
        return RULING(LUNG_2, "solid nodule below 6 mm at baseline: 2.");
    if (mean < 80)
        return RULING(LUNG_3, "solid nodule of 6 to below 8 mm at baseline: 3.");
    if (mean < 150)
        return RULING(LUNG_4A, "solid nodule of 8 to below 15 mm at baseline: 4A.");
    return RULING(LUNG_4B, "solid nodule of 15 mm or more at baseline: 4B.");
}

static struct lung_ruling part_solid_by_size(int mean, int solid)
{
    if (mean < 60)
        return RULING(LUNG_2, "part-solid nodule below 6 mm in total at baseline: 2.");
    if (solid == LUNG_UNKNOWN)
        return undefined();
    if (solid < 60)
        return RULING(LUNG_3, "part-solid nodule of 6 mm or more with a solid component below 6 mm: 3.");
    if (solid < 80)
        return RULING(LUNG_4A,
                      "part-solid nodule of 6 mm or more with a solid component of 6 to below 8 mm: 4A.");
    return RULING(LUNG_4B, "part-solid nodule with a solid component of 8 mm or more: 4B.");
}

static struct lung_ruling ground_glass_by_size(int mean)
{
    if (mean < 300)
        return RULING(LUNG_2, "ground glass nodule below 30 mm at baseline, new or growing: 2.");
    return RULING(LUNG_3, "ground glass nodule of 30 mm or more at baseline or new: 3.");
}

static struct lung_ruling small_juxtapleural(void)
{
    return RULING(LUNG_2,
                  "juxtapleural nodule below 10 mm, solid, smooth, oval, lentiform or triangular: 2.");
}

static struct lung_ruling by_size(enum lung_type type, int mean, int solid)
{
    if (type == LUNG_PART_SOLID)
        return part_solid_by_size(mean, solid);
    if (type == LUNG_JUXTAPLEURAL && mean < JUXTAPLEURAL_AS_SOLID)
        return small_juxtapleural();
    return type == LUNG_GROUND_GLASS ? ground_glass_by_size(mean) : solid_by_size(mean);
}

/* Has the nodule crossed a size threshold since the prior examination? The category is that of its present
 * size. */
static bool reached(const struct lung_reading *reading, struct lung_ruling *ret)
{
    if (reading->prior_mean == LUNG_UNKNOWN)
        return false;
    struct lung_ruling now = by_size(reading->type, reading->mean, reading->solid);
    struct lung_ruling before = by_size(reading->type, reading->prior_mean, reading->prior_solid);
    if (now.category == LUNG_NOT_DEFINED || before.category == LUNG_NOT_DEFINED ||
        now.category <= before.category)
        return false;
    *ret = (struct lung_ruling){now.category,
                                SOURCE "size thresholds: a nodule that reaches a higher size category is "
                                       "reclassified by its size, growth or not."};
    return true;
}

/* The same where it decides: crossing a threshold is a reason for a higher category, or to keep the one that
 * the nodule had; never for a lower one. */
static bool crossed(const struct lung_reading *reading, struct lung_ruling *ret)
{
    struct lung_ruling ruling;
    if (!reached(reading, &ruling) || (int)ruling.category < reading->prior_category)
        return false;
    *ret = ruling;
    return true;
}

/* --- Stable or smaller at follow-up ------------------------------------------------------------------ */

static struct lung_ruling stepped_down(const struct lung_reading *reading, enum lung_category now)
{
    enum { MONTHS_AFTER_3 = 6, MONTHS_AFTER_4A = 3 };
    switch (reading->prior_category) {
    case LUNG_2:
        if (now != LUNG_2 && reading->prior_mean == LUNG_UNKNOWN)
            return undefined();
        return RULING(LUNG_2, "a category 2 nodule that is stable: 2.");
    case LUNG_3:
        if (reading->interval_months < MONTHS_AFTER_3)
            return undefined();
        return RULING(LUNG_2, "a category 3 lesion that is stable or smaller at the 6-month CT: 2.");
    case LUNG_4A:
        if (reading->interval_months < MONTHS_AFTER_4A)
            return undefined();
        return RULING(LUNG_3, "a category 4A lesion that is stable or smaller at the 3-month CT: 3.");
    case LUNG_NOT_DEFINED:
        return now == LUNG_2 ? RULING(LUNG_2, "a stable nodule below the size of category 3: 2.")
                             : undefined();
    default:
        return undefined();
    }
}

/* What histology proved, no size disproves. */
static bool proven_benign(const struct lung_reading *reading, struct lung_ruling *ret)
{
    *ret = RULING(LUNG_2, "a category 4B lesion proven benign after diagnostic work-up: 2.");
    return reading->proven_benign && reading->prior_category == LUNG_4B;
}

static struct lung_ruling stable(const struct lung_reading *reading)
{
    struct lung_ruling ruling;
    if (proven_benign(reading, &ruling) || crossed(reading, &ruling))
        return ruling;
    return stepped_down(reading, by_size(reading->type, reading->mean, reading->solid).category);
}

/* --- One function a type ----------------------------------------------------------------------------- */

static struct lung_ruling solid_ruling(const struct lung_reading *reading)
{
    int mean = reading->mean;
    switch (reading->status) {
    case LUNG_NEW:
        if (mean < 40)
            return RULING(LUNG_2, "new solid nodule below 4 mm: 2.");
        if (mean < 60)
            return RULING(LUNG_3, "new solid nodule of 4 to below 6 mm: 3.");
        if (mean < 80)
            return RULING(LUNG_4A, "new solid nodule of 6 to below 8 mm: 4A.");
        return RULING(LUNG_4B, "new solid nodule of 8 mm or more: 4B.");
    case LUNG_GROWING:
        if (mean < 80)
            return RULING(LUNG_4A, "growing solid nodule below 8 mm: 4A.");
        return RULING(LUNG_4B, "growing solid nodule of 8 mm or more: 4B.");
    case LUNG_SLOWLY_GROWING:
        return RULING(LUNG_4B, "solid or part-solid nodule that grows slowly over several examinations: 4B.");
    case LUNG_STABLE:
        return stable(reading);
    case LUNG_BASELINE:
        break;
    }
    return solid_by_size(mean);
}

static struct lung_ruling part_solid_follow_up(const struct lung_reading *reading)
{
    struct lung_ruling ruling;
    if (reading->solid_status == LUNG_SOLID_NEW || reading->solid_status == LUNG_SOLID_GROWING) {
        if (reading->solid == LUNG_UNKNOWN)
            return undefined();
        return reading->solid < 40
                   ? RULING(LUNG_4A,
                            "part-solid nodule with a new or growing solid component below 4 mm: 4A.")
                   : RULING(LUNG_4B,
                            "part-solid nodule with a new or growing solid component of 4 mm or more: 4B.");
    }
    if (reading->status == LUNG_SLOWLY_GROWING)
        return RULING(LUNG_4B, "solid or part-solid nodule that grows slowly over several examinations: 4B.");
    if (reading->status == LUNG_STABLE)
        return stable(reading);
    /* Growing, but not in its solid component: only the size thresholds speak of it. */
    if (reading->solid_status == LUNG_SOLID_UNCHANGED && crossed(reading, &ruling))
        return ruling;
    return undefined();
}

static struct lung_ruling part_solid_ruling(const struct lung_reading *reading)
{
    if (reading->status == LUNG_BASELINE)
        return part_solid_by_size(reading->mean, reading->solid);
    if (reading->status != LUNG_NEW)
        return part_solid_follow_up(reading);
    if (reading->mean < 60)
        return RULING(LUNG_3, "new part-solid nodule below 6 mm in total: 3.");
    if (reading->solid == LUNG_UNKNOWN)
        return undefined();
    return reading->solid < 40
               ? RULING(LUNG_4A, "part-solid nodule with a new or growing solid component below 4 mm: 4A.")
               : RULING(LUNG_4B,
                        "part-solid nodule with a new or growing solid component of 4 mm or more: 4B.");
}

static struct lung_ruling ground_glass_ruling(const struct lung_reading *reading)
{
    struct lung_ruling ruling;
    if (reading->status == LUNG_STABLE && reading->prior_category >= LUNG_4A)
        return proven_benign(reading, &ruling) ? ruling : undefined();
    if (reading->mean < 300 || reading->status == LUNG_BASELINE || reading->status == LUNG_NEW)
        return ground_glass_by_size(reading->mean);
    if (reading->status == LUNG_GROWING)
        return crossed(reading, &ruling) ? ruling : undefined();
    if (reached(reading, &ruling))
        return reading->status == LUNG_STABLE ? ruling : undefined();
    return RULING(LUNG_2, "ground glass nodule of 30 mm or more, stable or slowly growing: 2.");
}

static struct lung_ruling juxtapleural_ruling(const struct lung_reading *reading)
{
    bool first = reading->status == LUNG_BASELINE || reading->status == LUNG_NEW;
    bool kept = reading->status == LUNG_STABLE && reading->prior_category <= LUNG_2;
    if (reading->mean < JUXTAPLEURAL_AS_SOLID && (first || kept))
        return small_juxtapleural();
    return solid_ruling(reading);
}

static struct lung_ruling airway_ruling(const struct lung_reading *reading)
{
    bool first = reading->status == LUNG_BASELINE || reading->status == LUNG_NEW;
    if (reading->airway == LUNG_SUBSEGMENTAL)
        return first || reading->status == LUNG_STABLE
                   ? RULING(LUNG_2, "subsegmental airway nodule at baseline, new or stable: 2.")
                   : undefined();
    if (reading->airway != LUNG_SEGMENTAL_OR_PROXIMAL)
        return undefined();
    return first ? RULING(LUNG_4A, "airway nodule, segmental or more proximal, at baseline or new: 4A.")
                 : RULING(LUNG_4B, "airway nodule, segmental or more proximal, stable or growing: 4B.");
}

static struct lung_ruling cyst_follow_up(const struct lung_reading *reading)
{
    struct lung_ruling ruling;
    bool thick = reading->cyst == LUNG_CYST_THICK, multilocular = reading->cyst == LUNG_CYST_MULTILOCULAR;
    switch (reading->cyst_change) {
    case LUNG_CYST_LARGER:
        if (thick)
            return RULING(LUNG_3, "growing cystic component of a thick-walled cyst: 3.");
        if (multilocular)
            return RULING(LUNG_4B, "growing multilocular cyst: 4B.");
        break;
    case LUNG_CYST_WALL:
        if (thick)
            return RULING(LUNG_4B, "thick-walled cyst with growing wall thickness or nodularity: 4B.");
        break;
    case LUNG_CYST_BECAME_MULTILOCULAR:
        if (multilocular)
            return RULING(LUNG_4A, "thin- or thick-walled cyst that becomes multilocular: 4A.");
        break;
    case LUNG_CYST_MORE:
        if (multilocular)
            return RULING(LUNG_4B, "multilocular cyst with more loculation, or new or more opacity: 4B.");
        break;
    case LUNG_CYST_SAME:
        if ((thick || multilocular) && reading->status == LUNG_STABLE)
            return proven_benign(reading, &ruling) ? ruling : stepped_down(reading, LUNG_NOT_DEFINED);
        break;
    default:
        break;
    }
    return undefined();
}

static struct lung_ruling cyst_ruling(const struct lung_reading *reading)
{
    bool thick = reading->cyst == LUNG_CYST_THICK;
    if (reading->status != LUNG_BASELINE && reading->status != LUNG_NEW)
        return cyst_follow_up(reading);
    if (thick || (reading->cyst == LUNG_CYST_MULTILOCULAR && reading->status == LUNG_BASELINE))
        return RULING(LUNG_4A, "thick-walled cyst, or multilocular cyst at baseline: 4A.");
    if (reading->cyst == LUNG_CYST_THIN)
        return RULING(LUNG_NOT_DEFINED, "thin-walled unilocular cysts are benign and are not classified.");
    return undefined();
}

static struct lung_ruling without_features(const struct lung_reading *reading)
{
    switch (reading->type) {
    case LUNG_SOLID:
        return solid_ruling(reading);
    case LUNG_PART_SOLID:
        return part_solid_ruling(reading);
    case LUNG_GROUND_GLASS:
        return ground_glass_ruling(reading);
    case LUNG_JUXTAPLEURAL:
        return juxtapleural_ruling(reading);
    case LUNG_AIRWAY:
        return airway_ruling(reading);
    case LUNG_CYST:
        return cyst_ruling(reading);
    case LUNG_BENIGN:
        return RULING(LUNG_1, "complete, central, popcorn or ring calcification, or fat: 1.");
    }
    return undefined();
}

struct lung_ruling lung_category_of(const struct lung_reading *reading)
{
    struct lung_ruling ruling = without_features(reading);
    if (reading->suspicious && ruling.category >= LUNG_3)
        return RULING(LUNG_4X, "category 3 or 4 with additional features that raise the suspicion: 4X.");
    return ruling;
}

/* --- Growth and management --------------------------------------------------------------------------- */

const char *lung_growth_objection(const struct lung_reading *reading)
{
    enum { GROWTH = 15, WITHIN_MONTHS = 12 };
    bool measured =
        reading->type <= LUNG_JUXTAPLEURAL && reading->prior_mean != LUNG_UNKNOWN && !reading->by_volume;
    bool solid_grew = reading->type == LUNG_PART_SOLID && (reading->solid_status == LUNG_SOLID_NEW ||
                                                           reading->solid_status == LUNG_SOLID_GROWING);
    if (!measured || reading->interval_months < 0 || reading->interval_months > WITHIN_MONTHS)
        return NULL;
    bool grew = reading->mean - reading->prior_mean > GROWTH;
    if (reading->status == LUNG_GROWING && !grew && !solid_grew)
        return "the two diameters differ by 1.5 mm or less, which is not growth";
    if (grew && (reading->status == LUNG_STABLE || reading->status == LUNG_SLOWLY_GROWING))
        return "the diameter rose by more than 1.5 mm within 12 months, which is growth";
    if (reading->status == LUNG_BASELINE || reading->status == LUNG_NEW)
        return "a diameter at the prior examination is given, so the nodule was there before";
    return NULL;
}

bool lung_is_large_solid(const struct lung_reading *reading)
{
    int solid = reading->type == LUNG_PART_SOLID ? reading->solid : reading->mean;
    bool has_solid = reading->type == LUNG_SOLID || reading->type == LUNG_JUXTAPLEURAL ||
                     reading->type == LUNG_AIRWAY || reading->type == LUNG_PART_SOLID;
    return has_solid && solid >= 80;
}

bool lung_management_fits(enum lung_category category, bool large_solid, enum lung_management management)
{
    switch (category) {
    case LUNG_1:
    case LUNG_2:
        return management == LUNG_LDCT_12_MONTHS;
    case LUNG_3:
        return management == LUNG_LDCT_6_MONTHS;
    case LUNG_4A:
        return management == LUNG_LDCT_3_MONTHS || (large_solid && management == LUNG_PET_CT_OR_TISSUE);
    case LUNG_4B:
    case LUNG_4X:
        return management == LUNG_PET_CT_OR_TISSUE;
    case LUNG_INCOMPLETE:
        return management == LUNG_COMPLETE_EXAMINATION;
    case LUNG_NOT_DEFINED:
        break;
    }
    return false;
}

/* --- Words ------------------------------------------------------------------------------------------- */

const char *lung_category_text(int category)
{
    static const char *const words[] = {"-", "1", "2", "3", "4A", "4B", "4X", "0"};
    return words[category];
}

const char *lung_type_text(int type)
{
    static const char *const words[] = {
        "solid nodule",  "part-solid nodule",       "ground glass nodule",        "juxtapleural nodule",
        "airway nodule", "atypical pulmonary cyst", "nodule with benign features"};
    return words[type];
}

const char *lung_status_text(int status)
{
    static const char *const words[] = {"baseline", "new", "stable", "growing", "slowly growing"};
    return words[status];
}

const char *lung_management_text(int management)
{
    static const char *const words[] = {"LDCT in 12 months", "LDCT in 6 months", "LDCT in 3 months",
                                        "PET/CT or tissue sampling", "completing the examination"};
    return words[management];
}
