/* The golden cases of prostate MRI, worked out by hand. */
#include "golden.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

static const struct expectation expectations[] = {
    {"one_lesion_hit",
     9000,
     9000,
     true,
     {"lesion_found", "zone_right", "sector_right", "category_right", "rule_right"}},
    {"lesion_missed", 0, 9000, false, {"decision_missed_cancer", "lesion_missed", "not_characterised"}},
    {"decision_without_target",
     3000,
     9000,
     false,
     {"decision_right", "decision_without_target", "lesion_missed"}},
    {"false_positive_beside_hit", 7000, 9000, true, {"lesion_found", "false_positive"}},
    {"mislocalised", 4000, 9000, false, {"mislocalised", "not_characterised"}},
    {"wrong_zone",
     7500,
     9000,
     true,
     {"wrong_zone", "sector_wrong", "category_right", "right_category_wrong_rule"}},
    {"wrong_zone_with_the_right_scores", 6500, 9000, true, {"wrong_zone", "wrong_dominant_sequence"}},
    {"wrong_zone_with_wrong_scores", 6500, 9000, true, {"wrong_zone", "wrong_dominant_sequence"}},
    {"wrong_zone_and_the_dominant_sequence_inadequate",
     7500,
     9000,
     true,
     {"wrong_zone", "category_right", "category_not_defined"}},
    {"sector_partial", 8666, 9000, true, {"sector_partial"}},
    {"over_called", 8000, 9000, true, {"over_called", "rule_right"}},
    {"under_called_dismissed", 5500, 9000, false, {"lesion_dismissed", "under_called"}},
    {"wrong_dominant_sequence", 7500, 9000, true, {"wrong_dominant_sequence", "under_called"}},
    {"scores_inconsistent_with_category", 7500, 9000, true, {"category_rule_mismatch", "over_called"}},
    {"right_category_wrong_rule", 8500, 9000, true, {"category_right", "right_category_wrong_rule"}},
    {"right_category_by_another_row", 8750, 9000, true, {"category_right", "right_category_wrong_rule"}},
    {"tz_3_with_dwi_5_is_4", 9000, 9000, true, {"rule_right"}},
    {"tz_2_with_dwi_4_is_3", 9000, 9000, true, {"rule_right"}},
    {"tz_3_with_dwi_4_called_4", 7500, 9000, true, {"over_called", "wrong_dominant_sequence"}},
    {"pz_3_with_dce_positive_is_4", 9000, 9000, true, {"rule_right"}},
    {"biparametric_pz_3_stays_3", 9000, 9000, true, {"rule_right"}},
    {"inadequate_dwi", 9000, 9000, true, {"category_not_defined"}},
    {"no_cancer_normal", 6000, 6000, true, {"decision_right", "nothing_to_find"}},
    {"no_cancer_overcalled", 1000, 6000, false, {"decision_overcalled", "false_positive"}},
    {"no_cancer_equivocal_mark", 5000, 6000, true, {"false_positive"}},
    {"benign_finding_rated_as_the_expert", 6000, 6000, true, {"benign_finding"}},
    {"benign_finding_overcalled", 6000, 6000, true, {"over_called", "counts_as_correct"}},
    {"benign_finding_falsely_called", 5000, 6000, false, {"over_called", "counts_as_wrong"}},
    {"two_lesions", 14000, 15000, true, {"lesion_found", "under_called", "category_right"}},
    {"two_lesions_swapped", 14000, 15000, true, {"lesion_found", "under_called", "category_right"}},
    {"one_of_two_lesions", 8000, 15000, false, {"lesion_found", "lesion_missed"}},
    {"out_of_gland", 8000, 9000, true, {"out_of_gland"}},
    {"duplicate_marks", 9000, 9000, true, {"duplicate_mark"}},
    {"marks_everywhere", 0, 9000, false, {"lesion_found", "false_positive", "counts_as_wrong"}},
    {"stroma_judged_as_peripheral", 9000, 9000, true, {"rule_right"}},
    {"stroma_without_stated_origin", 7500, 9000, true, {"over_called", "wrong_dominant_sequence"}},
    {"central_zone", 9000, 9000, true, {"rule_right"}},
    {"outline_overlaps", 9000, 9000, true, {"lesion_found"}},
    {"outline_overlaps_too_little", 4000, 9000, false, {"mislocalised"}},
    {"point_outside_lesion", 4000, 9000, false, {"mislocalised"}},
    {"crescent_measured_from_its_target", 9000, 9000, true, {"lesion_found"}},
    {"everything_asked_and_right",
     13000,
     13000,
     true,
     {"management_right", "index_right", "size_right", "epe_right", "volume_right", "psa_density_right"}},
    {"everything_asked_half_right",
     10000,
     13000,
     true,
     {"management_wrong", "not_answered", "size_wrong", "epe_wrong", "volume_formula_mismatch",
      "probability_contradicts"}},
    {"index_and_invasion_wrong_beside_a_benign_mark",
     12000,
     13000,
     true,
     {"benign_mark", "index_wrong", "svi_wrong", "size_right", "epe_right"}},
    {"nothing_asked_only_commented", 9000, 9000, true, {"size_wrong", "epe_wrong", "management_wrong"}},
    {"significant_by_volume", 9000, 9000, true, {"lesion_found"}},
    {"mark_on_the_other_side",
     1000,
     9000,
     false,
     {"lesion_missed", "false_positive", "sector_contradicts_position"}},
    {"sector_of_the_other_side", 8500, 9000, true, {"sector_wrong", "sector_contradicts_position"}},
    {"sector_of_another_zone", 8500, 9000, true, {"sector_wrong", "sector_contradicts_position"}},
    {"sector_before_the_gland", 9000, 9000, true, {"sector_right", "sector_contradicts_position"}},
    {"large_by_the_own_size_but_scored_4", 7750, 9000, true, {"under_called", "score_contradicts_size"}},
    {"small_by_the_own_size_but_scored_5", 7750, 9000, true, {"over_called", "score_contradicts_size"}},
    {"upgraded_by_dce_and_not_by_size", 8000, 9000, true, {"over_called", "rule_right"}},
    {"upgraded_by_dwi_in_the_transition_zone", 8000, 9000, true, {"over_called", "rule_right"}},
    {"wrong_dominant_sequence_by_the_wrong_zone",
     6500,
     9000,
     true,
     {"wrong_zone", "sector_wrong", "under_called", "wrong_dominant_sequence"}},
    {"management_against_the_own_category",
     6000,
     10000,
     false,
     {"decision_missed_cancer", "decision_contradicts_category", "management_wrong",
      "management_contradicts_category"}},
    {"targeted_without_a_target", 6000, 7000, true, {"management_wrong", "management_without_target"}},
    {"inadequate_dwi_and_not_judged", 9000, 9000, true, {"category_not_judged", "category_not_defined"}},
    {"inadequate_dwi_scored_below_the_expert", 7500, 9000, true, {"under_called", "category_not_defined"}},
    {"inadequate_dwi_called_beyond_what_is_open", 7500, 9000, true, {"over_called", "category_not_defined"}},
    {"scored_5_on_t2w_without_dwi_and_small", 7750, 9000, true, {"over_called", "score_contradicts_size"}},
    {"fifteen_millimetres_as_shown", 8000, 9000, true, {"over_called", "rule_right", "size_right"}},
    {"small_by_the_own_size_but_perhaps_invasive",
     8000,
     9000,
     true,
     {"rule_right", "score_contradicts_size"}},
    {"large_in_the_transition_zone_but_dwi_4", 9000, 9000, true, {"rule_right", "score_contradicts_size"}},
    {"upgrade_by_dce_left_out", 7000, 9000, true, {"under_called", "category_rule_mismatch"}},
    {"no_side_without_a_gland", 6500, 8500, true, {"lesion_found", "false_positive"}},
    {"invisible_cancer_marked_as_the_expert", 3000, 3000, true, {"decision_right", "lesion_dismissed"}},
    {"inadequate_dwi_by_the_reader_only", 8000, 9000, true, {"under_called", "category_not_defined"}},
    {"central_zone_taken_for_peripheral", 8000, 9000, true, {"wrong_zone", "sector_wrong", "rule_right"}},
    {"stroma_taken_for_transition_zone", 8000, 9000, true, {"wrong_zone", "sector_wrong", "rule_right"}},
    {"invisible_cancer_left_alone", 3000, 3000, true, {"decision_right", "lesion_invisible"}},
    {"invisible_cancer_denied", 0, 3000, false, {"decision_missed_cancer", "lesion_invisible"}},
    {"invisible_cancer_beside_a_visible_one", 9000, 9000, true, {"lesion_found", "lesion_invisible"}},
    {"invisible_cancer_marked_beside_its_place", 3000, 3000, true, {"mislocalised"}},
    {"grade_group_unknown", 7000, 7000, true, {"lesion_found", "rule_right"}},
};

static json_t *expected_of(const char *name)
{
    json_t *path = json_sprintf("%s/prostate_mri/golden/%s/expected.json", PLUGIN_SOURCE_DIR, name);
    json_t *expected = json_load_file(json_string_value(path), 0, NULL);
    json_decref(path);
    assert_non_null(expected);
    return expected;
}

static void check_verdict(const char *name, const json_t *finding)
{
    const char *verdict = json_string_value(json_object_get(finding, "verdict"));
    const char *code = json_string_value(json_object_get(finding, "code"));
    bool earns = json_number_value(json_object_get(finding, "points")) > 0;
    if (strcmp(verdict, "partial") == 0 && !earns)
        fail_msg("%s: %s is called partly right for no points", name, code);
    if (strcmp(verdict, "miss") == 0 && earns)
        fail_msg("%s: %s is called wrong for points", name, code);
}

static void what_is_partly_right_earns_something_and_what_is_wrong_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(expectations) / sizeof(expectations[0]); i++) {
        json_t *expected = expected_of(expectations[i].name), *finding;
        size_t k;
        json_array_foreach(json_object_get(expected, "findings"), k, finding)
            check_verdict(expectations[i].name, finding);
        json_decref(expected);
    }
}

/* Does a finding of the golden case say so? */
static void says(const char *name, const char *code, const char *member, const char *words, bool wanted)
{
    json_t *expected = expected_of(name), *finding;
    bool said = false, seen = false;
    size_t k;
    json_array_foreach(json_object_get(expected, "findings"), k, finding)
    {
        if (strcmp(json_string_value(json_object_get(finding, "code")), code) != 0)
            continue;
        const char *text = json_string_value(json_object_get(finding, member));
        seen = true;
        said |= text && strstr(text, words);
    }
    if (!seen || said != wanted)
        fail_msg("%s: %s of %s does%s say \"%s\"", name, member, code, wanted ? " not" : "", words);
    json_decref(expected);
}

static void a_mark_is_named_by_its_position_and_not_by_the_stated_sector(void **state)
{
    (void)state;
    says("mark_on_the_other_side", "false_positive", "text", "on the patient's right (L -13", true);
    says("mark_on_the_other_side", "false_positive", "text", "left posterolateral", false);
    says("mark_on_the_other_side", "sector_contradicts_position", "look_again", "left and right", true);
}

static void the_rule_between_two_categories_is_the_one_that_applies(void **state)
{
    (void)state;
    says("over_called", "over_called", "text", "15 mm or more", true);
    says("upgraded_by_dce_and_not_by_size", "over_called", "text", "15 mm", false);
    says("upgraded_by_dce_and_not_by_size", "over_called", "text", "DCE is positive", true);
    says("upgraded_by_dwi_in_the_transition_zone", "over_called", "text", "15 mm", false);
    says("upgraded_by_dwi_in_the_transition_zone", "over_called", "text", "DWI is 5", true);
}

static void no_biopsy_is_not_promised_below_3(void **state)
{
    (void)state;
    says("under_called_dismissed", "lesion_dismissed", "text", "no targeted biopsy", true);
    says("under_called_dismissed", "lesion_dismissed", "text", "0.15", true);
    says("under_called_dismissed", "under_called", "text", "no targeted biopsy", true);
}

static void each_zone_is_told_from_its_own_neighbours(void **state)
{
    (void)state;
    says("wrong_zone", "wrong_zone", "look_again", "surgical capsule", true);
    says("central_zone_taken_for_peripheral", "wrong_zone", "look_again", "ejaculatory ducts", true);
    says("stroma_taken_for_transition_zone", "wrong_zone", "look_again", "anterior stroma", true);
    says("out_of_gland", "out_of_gland", "look_again", "Follow the capsule", true);
}

static void what_is_measured_from_a_target_is_not_said_to_be_from_the_centre(void **state)
{
    (void)state;
    says("crescent_measured_from_its_target", "lesion_found", "text", "from its target point", true);
    says("crescent_measured_from_its_target", "lesion_found", "rule", "target point", true);
    says("one_lesion_hit", "lesion_found", "text", "from its centre", true);
}

static void a_read_is_compared_with_itself_in_its_management(void **state)
{
    (void)state;
    says("management_against_the_own_category", "management_wrong", "text",
         "Your highest category is PI-RADS 4", true);
    says("management_against_the_own_category", "management_wrong", "text", "0.20 ng/ml/ml", true);
    says("management_against_the_own_category", "management_wrong", "rule", "PI-RADS v2.1", true);
}

static void what_is_not_defined_is_either_forgiven_or_not_said_to_be(void **state)
{
    (void)state;
    says("inadequate_dwi_and_not_judged", "category_not_defined", "text", "not held against you", true);
    says("inadequate_dwi_by_the_reader_only", "category_not_defined", "text", "not held against you", false);
}

static void no_finding(const char *name, const char *code)
{
    json_t *expected = expected_of(name), *finding;
    size_t k;
    json_array_foreach(json_object_get(expected, "findings"), k, finding)
    {
        if (strcmp(json_string_value(json_object_get(finding, "code")), code) == 0)
            fail_msg("%s has a finding %s", name, code);
    }
    json_decref(expected);
}

static void who_judges_by_the_wrong_zone_is_told_what_the_true_one_gives(void **state)
{
    (void)state;
    says("wrong_zone_with_the_right_scores", "wrong_dominant_sequence", "text", "give 4 there, as the expert",
         true);
    says("wrong_zone_with_wrong_scores", "wrong_dominant_sequence", "text",
         "give 3 there; the expert called 4", true);
    says("wrong_zone_and_the_dominant_sequence_inadequate", "category_not_defined", "text",
         "where DWI is dominant", true);
}

static void a_cancer_that_mri_does_not_show_is_told_without_contradiction(void **state)
{
    (void)state;
    says("invisible_cancer_denied", "decision_missed_cancer", "text", "the decision is about the patient",
         true);
    says("invisible_cancer_denied", "decision_missed_cancer", "look_again", "high-b DWI", false);
    says("invisible_cancer_denied", "decision_missed_cancer", "look_again", "PSA density", true);
    says("invisible_cancer_denied", "lesion_invisible", "look_again", "PSA density", true);
    says("invisible_cancer_marked_as_the_expert", "lesion_dismissed", "text", "neither for nor against",
         true);
    says("invisible_cancer_marked_beside_its_place", "mislocalised", "look_again", "PSA density", true);
    no_finding("invisible_cancer_marked_as_the_expert", "lesion_found");
    no_finding("invisible_cancer_left_alone", "decision_without_target");
}

static void a_right_denial_beside_a_benign_4_is_no_contradiction(void **state)
{
    (void)state;
    no_finding("benign_finding_overcalled", "decision_contradicts_category");
    no_finding("benign_finding_rated_as_the_expert", "decision_contradicts_category");
    says("benign_finding_falsely_called", "decision_contradicts_category", "look_again", "is likely", false);
}

static void the_sequence_that_decided_is_the_one_to_look_at_again(void **state)
{
    (void)state;
    says("scored_5_on_t2w_without_dwi_and_small", "score_contradicts_size", "look_again", "on T2W once more",
         true);
    says("scored_5_on_t2w_without_dwi_and_small", "over_called", "look_again", "axial T2W series first",
         true);
    says("small_by_the_own_size_but_scored_5", "score_contradicts_size", "look_again", "on ADC once more",
         true);
}

static void what_the_reader_did_not_do_is_not_said_of_him(void **state)
{
    (void)state;
    says("upgrade_by_dce_left_out", "under_called", "text", "upgraded", false);
    no_finding("fifteen_millimetres_as_shown", "score_contradicts_size");
    says("no_side_without_a_gland", "false_positive", "text", "near L -15, P 8, S 4 mm", true);
    says("no_side_without_a_gland", "false_positive", "text", "patient's", false);
    says("no_side_without_a_gland", "lesion_found", "text", "left", false);
}

int main(void)
{
    const struct CMUnitTest words[] = {
        cmocka_unit_test(what_is_partly_right_earns_something_and_what_is_wrong_nothing),
        cmocka_unit_test(a_mark_is_named_by_its_position_and_not_by_the_stated_sector),
        cmocka_unit_test(the_rule_between_two_categories_is_the_one_that_applies),
        cmocka_unit_test(no_biopsy_is_not_promised_below_3),
        cmocka_unit_test(each_zone_is_told_from_its_own_neighbours),
        cmocka_unit_test(what_is_measured_from_a_target_is_not_said_to_be_from_the_centre),
        cmocka_unit_test(a_read_is_compared_with_itself_in_its_management),
        cmocka_unit_test(what_is_not_defined_is_either_forgiven_or_not_said_to_be),
        cmocka_unit_test(who_judges_by_the_wrong_zone_is_told_what_the_true_one_gives),
        cmocka_unit_test(a_cancer_that_mri_does_not_show_is_told_without_contradiction),
        cmocka_unit_test(a_right_denial_beside_a_benign_4_is_no_contradiction),
        cmocka_unit_test(the_sequence_that_decided_is_the_one_to_look_at_again),
        cmocka_unit_test(what_the_reader_did_not_do_is_not_said_of_him),
    };
    int failed = golden_run(expectations, sizeof(expectations) / sizeof(expectations[0]));
    return failed + cmocka_run_group_tests(words, NULL, NULL);
}
