/* What the schemas cannot refuse and lung_ct does, with the place of the offence. */
#include "support.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define IMAGE                                                                                                \
    "\"match\":{\"mode\":\"inside\"},\"image\":{\"bounds_lps_mm\":[[-180,180],[-150,150],[-150,150]]}"
static const char config[] = "{" IMAGE ",\"lungs\":[{\"centre\":[75,0,0],\"semi_axes\":[65,100,140]}]}";
static const char follow_up[] = "{" IMAGE ",\"prior\":{\"interval_months\":12}}";

/* A solid nodule; `more` replaces what stands after the place. */
#define NODULE(id, at, more) "{\"id\":\"" id "\",\"centre\":" at "," more "}"
#define SOLID_9 "\"type\":\"solid\",\"status\":\"baseline\",\"mean_diameter_mm\":9,\"category\":\"4A\""
#define CASE(nodules, category, management)                                                                  \
    "{\"nodules\":[" nodules "],\"category\":\"" category "\",\"management\":\"" management "\"}"

struct offence {
    const char *config, *input, *pointer, *words; /* pointer NULL: nothing to refuse */
};

static void try(const struct offence *offence, enum host_op op)
{
    bench_check(op, offence->config, offence->input, offence->pointer, offence->words);
}

static void an_incoherent_truth_is_refused_at_its_place(void **state)
{
    static const struct offence offences[] = {
        {config, CASE(NODULE("A", "[70,0,0]", SOLID_9), "4A", "ldct_3_months"), NULL, NULL},
        {config, CASE("", "1", "ldct_12_months"), NULL, NULL},
        {config, CASE("", "0", "complete_examination"), NULL, NULL},
        {config, CASE("", "2", "ldct_12_months"), "/category", "most suspicious"},
        {config, CASE("", "1", "ldct_6_months"), "/management", "does not follow"},
        {config, CASE(NODULE("A", "[70,0,0]", SOLID_9), "4B", "pet_ct_or_tissue"), "/category",
         "most suspicious"},
        {config, CASE(NODULE("A", "[70,0,200]", SOLID_9), "4A", "ldct_3_months"), "/nodules/0/centre",
         "image"},
        {config, CASE(NODULE("A", "[-70,0,0]", SOLID_9), "4A", "ldct_3_months"), "/nodules/0/centre",
         "lungs"},
        {config,
         CASE(NODULE("A", "[70,0,0]", SOLID_9) "," NODULE("A", "[70,0,50]", SOLID_9), "4A", "ldct_3_months"),
         "/nodules/1/id", "already"},
        {config,
         CASE(NODULE(
                  "A", "[70,0,0]",
                  "\"type\":\"solid\",\"status\":\"baseline\",\"mean_diameter_mm\":7.9,\"category\":\"4A\""),
              "4A", "ldct_3_months"),
         "/nodules/0/category", "type, size and status"},
        {config,
         CASE(
             NODULE("A", "[70,0,0]",
                    "\"type\":\"part_solid\",\"status\":\"baseline\",\"mean_diameter_mm\":7,\"solid_mm\":7.5,"
                    "\"category\":\"4A\""),
             "4A", "ldct_3_months"),
         "/nodules/0/solid_mm", "larger"},
        {config,
         CASE(NODULE("A", "[70,0,0]", SOLID_9 ",\"long_mm\":12,\"short_mm\":8"), "4A", "ldct_3_months"),
         "/nodules/0/mean_diameter_mm", "long and the short"},
        {config,
         CASE(NODULE("A", "[70,0,0]", SOLID_9 ",\"long_mm\":8,\"short_mm\":10"), "4A", "ldct_3_months"),
         "/nodules/0/mean_diameter_mm", "longer than"},
        {follow_up, CASE(NODULE("A", "[70,0,0]", SOLID_9), "4A", "ldct_3_months"), "/nodules/0/status",
         "prior examination"},
        {config,
         CASE(NODULE("A", "[70,0,0]",
                     "\"type\":\"solid\",\"status\":\"new\",\"mean_diameter_mm\":9,\"category\":\"4B\""),
              "4B", "pet_ct_or_tissue"),
         "/nodules/0/status", "Without a prior"},
        {follow_up,
         CASE(NODULE("A", "[70,0,0]",
                     "\"type\":\"solid\",\"status\":\"growing\",\"mean_diameter_mm\":9,"
                     "\"prior_diameter_mm\":7.5,\"category\":\"4B\""),
              "4B", "pet_ct_or_tissue"),
         "/nodules/0/status", "contradicts"},
        {"{\"match\":{\"mode\":\"inside\"},\"image\":{\"bounds_lps_mm\":[[10,-10],[-150,150],[-150,150]]}}",
         CASE("", "1", "ldct_12_months"), "", "lower to the higher"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(offences) / sizeof(offences[0]); i++)
        try(&offences[i], HOST_CHECK_TRUTH);
}

#define VOLUME(mm3, category)                                                                                \
    "\"type\":\"solid\",\"status\":\"baseline\",\"volume_mm3\":" mm3 ",\"category\":\"" category "\""

static void a_volume_gives_the_category_and_is_no_second_size(void **state)
{
    static const struct offence truths[] = {
        {config, CASE(NODULE("A", "[70,0,0]", VOLUME("268", "4A")), "4A", "ldct_3_months"), NULL, NULL},
        {config, CASE(NODULE("A", "[70,0,0]", VOLUME("267", "3")), "3", "ldct_6_months"), NULL, NULL},
        {config, CASE(NODULE("A", "[70,0,0]", VOLUME("267", "4A")), "4A", "ldct_3_months"),
         "/nodules/0/category", "type, size and status"},
        {config,
         CASE(NODULE("A", "[70,0,0]", VOLUME("268", "4A") ",\"long_mm\":12,\"short_mm\":8"), "4A",
              "ldct_3_months"),
         NULL, NULL},
        {config, CASE(NODULE("A", "[70,0,0]", SOLID_9 ",\"volume_mm3\":382"), "4A", "ldct_3_months"),
         "/nodules/0/volume_mm3", "not both"},
    };
    static const struct offence answer = {
        config, CASE("{\"position\":[70,0,0]," SOLID_9 ",\"volume_mm3\":382}", "4A", "ldct_3_months"),
        "/nodules/0/volume_mm3", "not both"};
    (void)state;
    for (size_t i = 0; i < sizeof(truths) / sizeof(truths[0]); i++)
        try(&truths[i], HOST_CHECK_TRUTH);
    try(&answer, HOST_CHECK_ANSWER);
}

#define MARK(at, more) "{\"position\":" at "," more "}"

static void an_impossible_answer_is_refused_at_its_place(void **state)
{
    static const struct offence offences[] = {
        {config, CASE(MARK("[70,0,0]", SOLID_9), "4A", "ldct_3_months"), NULL, NULL},
        /* wrong, but a reader may say it: that is for the grade */
        {config, CASE(MARK("[-70,0,0]", SOLID_9), "1", "ldct_6_months"), NULL, NULL},
        {config, CASE(MARK("[70,0,151]", SOLID_9), "4A", "ldct_3_months"), "/nodules/0/position", "image"},
        {config, CASE(MARK("[70,0,0]", SOLID_9) "," MARK("[70.3,0,0]", SOLID_9), "4A", "ldct_3_months"),
         "/nodules/1/position", "/nodules/0"},
        {config, CASE(MARK("[70,0,0]", SOLID_9 ",\"solid_mm\":9.1"), "4A", "ldct_3_months"),
         "/nodules/0/solid_mm", "larger"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(offences) / sizeof(offences[0]); i++)
        try(&offences[i], HOST_CHECK_ANSWER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_incoherent_truth_is_refused_at_its_place),
        cmocka_unit_test(a_volume_gives_the_category_and_is_no_second_size),
        cmocka_unit_test(an_impossible_answer_is_refused_at_its_place),
    };
    return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}
