#include "pirads.h"
#include <stddef.h>

#define SOURCE "PI-RADS v2.1 (Turkbey 2019), "
#define PZ SOURCE "peripheral zone, DWI dominant: "
#define TZ SOURCE "transition zone, T2W dominant: "
#define NO_DWI SOURCE "DWI inadequate, so T2W decides: "

/* One line per row of the tables. The index is the row's number. */
static const struct pirads_ruling rows[] = {
    [1] = {1, 1, PZ "DWI 1 gives category 1."},
    [2] = {2, 2, PZ "DWI 2 gives category 2."},
    [3] = {3, 3, PZ "DWI 3 with DCE not positive gives category 3."},
    [4] = {4, 4, PZ "DWI 3 with DCE positive is upgraded to category 4."},
    [5] = {4, 5, PZ "DWI 4 gives category 4."},
    [6] = {5, 6, PZ "DWI 5 gives category 5."},
    [7] = {1, 7, TZ "T2W 1 gives category 1."},
    [8] = {2, 8, TZ "T2W 2 with DWI 3 or less gives category 2."},
    [9] = {3, 9, TZ "T2W 2 with DWI 4 or 5 is upgraded to category 3."},
    [10] = {3, 10, TZ "T2W 3 with DWI 4 or less gives category 3."},
    [11] = {4, 11, TZ "T2W 3 with DWI 5 is upgraded to category 4."},
    [12] = {4, 12, TZ "T2W 4 gives category 4."},
    [13] = {5, 13, TZ "T2W 5 gives category 5."},
    [14] = {1, 14, NO_DWI "T2W 1 gives category 1."},
    [15] = {2, 15, NO_DWI "T2W 2 gives category 2."},
    [16] = {3, 16, NO_DWI "T2W 3 with DCE not positive gives category 3."},
    [17] = {4, 17, NO_DWI "T2W 4 gives category 4."},
    [18] = {5, 18, NO_DWI "T2W 5 gives category 5."},
    [19] = {0, 19, SOURCE "DWI inadequate and DCE positive with T2W 3: the category is not defined."},
    [20] = {0, 20, SOURCE "the dominant sequence, T2W, is inadequate: the category is not defined."},
    [21] = {0, 21, SOURCE "T2W and DWI are both inadequate: the category is not defined."},
};

static int row_without_dwi(int t2w, enum pirads_dce dce)
{
    if (t2w == PIRADS_SCORE_X)
        return 21;
    if (t2w == 3)
        return dce == PIRADS_DCE_POSITIVE ? 19 : 16;
    return 13 + t2w;
}

static int row_peripheral(int dwi, enum pirads_dce dce)
{
    if (dwi < 3)
        return dwi;
    if (dwi == 3)
        return dce == PIRADS_DCE_POSITIVE ? 4 : 3;
    return dwi + 1;
}

static int row_transition(int t2w, int dwi)
{
    switch (t2w) {
    case PIRADS_SCORE_X:
        return 20;
    case 1:
        return 7;
    case 2:
        return dwi <= 3 ? 8 : 9;
    case 3:
        return dwi <= 4 ? 10 : 11;
    case 4:
        return 12;
    default:
        return 13;
    }
}

struct pirads_ruling pirads_category(enum pirads_zone basis, struct pirads_scores scores)
{
    bool transition = basis == PIRADS_TZ;
    /* T2W 1, 4 and 5 need no DWI in the transition zone, but the source differs, so the row does too. */
    if (scores.dwi == PIRADS_SCORE_X)
        return rows[row_without_dwi(scores.t2w, scores.dce)];
    return rows[transition ? row_transition(scores.t2w, scores.dwi) : row_peripheral(scores.dwi, scores.dce)];
}

enum pirads_zone pirads_default_basis(enum pirads_zone zone)
{
    return zone == PIRADS_TZ || zone == PIRADS_AFS ? PIRADS_TZ : PIRADS_PZ;
}

bool pirads_t2w_decides(enum pirads_zone basis, struct pirads_scores scores)
{
    return basis == PIRADS_TZ || scores.dwi == PIRADS_SCORE_X;
}

int pirads_deciding_score(enum pirads_zone basis, struct pirads_scores scores)
{
    return pirads_t2w_decides(basis, scores) ? scores.t2w : scores.dwi;
}

const char *pirads_upgrade(int row)
{
    switch (row) {
    case 4:
        return "DWI 3, upgraded since DCE is positive";
    case 9:
        return "T2W 2, upgraded since DWI is 4 or 5";
    case 11:
        return "T2W 3, upgraded since DWI is 5";
    default:
        return NULL;
    }
}

const char *pirads_score_against_size(enum pirads_zone basis, struct pirads_scores scores, bool small,
                                      bool large, int *ret_score)
{
    int deciding = pirads_deciding_score(basis, scores);
    *ret_score = deciding;
    if ((deciding == 5 && small) || (deciding == 4 && large))
        return pirads_t2w_decides(basis, scores) ? "T2W" : "DWI";
    *ret_score = scores.dwi;
    bool upgrades = basis == PIRADS_TZ && scores.t2w == 3; /* there DWI 5, and not 4 */
    return upgrades && ((scores.dwi == 5 && small) || (scores.dwi == 4 && large)) ? "DWI" : NULL;
}

const char *pirads_dominant_sequence(enum pirads_zone basis)
{
    return basis == PIRADS_TZ ? "T2W" : "DWI";
}

const char *pirads_zone_code(enum pirads_zone zone)
{
    static const char *const codes[] = {"PZ", "TZ", "CZ", "AFS"};
    return codes[zone];
}

const char *pirads_zone_name(enum pirads_zone zone)
{
    static const char *const names[] = {"peripheral zone", "transition zone", "central zone",
                                        "anterior fibromuscular stroma"};
    return names[zone];
}

const char *pirads_score_text(int score)
{
    static const char *const texts[] = {"X", "1", "2", "3", "4", "5"};
    return texts[score];
}

const char *pirads_dce_text(enum pirads_dce dce)
{
    static const char *const texts[] = {"-", "+", "not done"};
    return texts[dce];
}
