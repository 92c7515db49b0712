#include "billing/plans.h"

#include <stdio.h>
#include <string.h>

#include "arena_testing.h"

#define PRICE "{\"period\":\"month\",\"currency\":\"gbp\",\"amount\":1999}"
#define REST "\"description\":\"Reads.\",\"audience\":\"individual\",\"modalities\":null"
#define PLAN(id, prices) "{\"id\":\"" id "\",\"title\":\"Solo\"," REST ",\"prices\":[" prices "]}"

static struct plans parse(struct fixture *f, const char *text)
{
    struct plans plans;
    if (plans_parse(f->arena, text_of(text), &plans, &f->err) < 0)
        fail_msg("%s at %s: %s", text, f->err.field, f->err.detail);
    return plans;
}

static void assert_refused(struct fixture *f, const char *text, const char *field)
{
    struct plans plans;
    f->err = (struct error){0};
    if (plans_parse(f->arena, text_of(text), &plans, &f->err) == 0)
        fail_msg("taken: %s", text);
    if (strcmp(f->err.field, field) != 0)
        fail_msg("%s: at \"%s\", not \"%s\": %s", text, f->err.field, field, f->err.detail);
    assert_true(strlen(f->err.detail) > 0);
}

/* --- The file --------------------------------------------------------------------------------------------------------- */

static void test_a_plan_is_taken_with_all_that_it_says(void **state)
{
    struct plans plans = parse(*state, "{\"plans\":[{\"id\":\"trust-prostate\",\"title\":\"Trust\",\"description\":\"Seats.\","
                                       "\"audience\":\"organisation\",\"modalities\":[\"prostate_mri\",\"lung_ct\"],\"trial_days\":30,"
                                       "\"trial_with_card\":false,\"grace_days\":7,\"prices\":[" PRICE ","
                                       "{\"period\":\"year\",\"currency\":\"jpy\",\"amount\":30000}]}]}");
    const struct plan *plan = &plans.items[0];
    assert_int_equal(plans.count, 1);
    assert_string_equal(plan->id, "trust-prostate");
    assert_string_equal(plan->audience, "organisation");
    assert_int_equal(json_array_size(plan->modalities), 2);
    assert_int_equal(plan->trial_days, 30);
    assert_false(plan->trial_with_card);
    assert_int_equal(plan->grace_days, 7);
    assert_int_equal(plan->price_count, 2);
    assert_string_equal(plan->prices[1].currency, "jpy");
    assert_int_equal(plan->prices[1].amount, 30000);
}

static void test_what_is_left_out_is_no_trial_a_card_for_it_and_two_weeks_of_grace(void **state)
{
    struct plans plans = parse(*state, "{\"plans\":[" PLAN("solo", "") "]}");
    assert_true(json_is_null(plans.items[0].modalities));
    assert_int_equal(plans.items[0].trial_days, 0);
    assert_true(plans.items[0].trial_with_card);
    assert_int_equal(plans.items[0].grace_days, 14);
    assert_int_equal(plans.items[0].price_count, 0);
}

static void test_a_file_without_plans_sells_nothing(void **state)
{
    assert_int_equal(parse(*state, "{\"plans\":[]}").count, 0);
}

static void test_each_fault_is_named_by_its_pointer(void **state)
{
#define WITH(members) "{\"plans\":[" PLAN("a", "") ",{" members "}]}"
#define PRICED(price) "{\"plans\":[" PLAN("a", PRICE "," price) "]}"
    static const struct {
        const char *text, *field;
    } faults[] = {
        {"[]", ""},
        {"{}", "/plans"},
        {"{\"plans\":{}}", "/plans"},
        {"{\"plans\":[7]}", "/plans/0"},
        {"{\"plans\":[],\"currency\":\"gbp\"}", "/currency"},
        {"{\"plans\":[" PLAN("a", "") "," PLAN("a", "") "]}", "/plans/1/id"},
        {"{\"plans\":[" PLAN("A", "") "]}", "/plans/0/id"},
        {"{\"plans\":[" PLAN("-a", "") "]}", "/plans/0/id"},
        {"{\"plans\":[" PLAN("a-", "") "]}", "/plans/0/id"},
        {"{\"plans\":[" PLAN("", "") "]}", "/plans/0/id"},
        {"{\"plans\":[" PLAN("aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeee1", "") "]}", "/plans/0/id"},
        {WITH("\"title\":\"T\"," REST ",\"prices\":[]"), "/plans/1/id"},
        {WITH("\"id\":\"b\"," REST ",\"prices\":[]"), "/plans/1/title"},
        {WITH("\"id\":\"b\",\"title\":\"\"," REST ",\"prices\":[]"), "/plans/1/title"},
        {WITH("\"id\":\"b\",\"title\":\"T\"," REST), "/plans/1/prices"},
        {WITH("\"id\":\"b\",\"title\":\"T\"," REST ",\"prices\":{}"), "/plans/1/prices"},
        {WITH("\"id\":\"b\",\"title\":\"T\"," REST ",\"prices\":[],\"trial\":7"), "/plans/1/trial"},
        {WITH("\"id\":\"b\",\"title\":\"T\"," REST ",\"prices\":[],\"trial_days\":366"), "/plans/1/trial_days"},
        {WITH("\"id\":\"b\",\"title\":\"T\"," REST ",\"prices\":[],\"trial_days\":\"7\""), "/plans/1/trial_days"},
        {WITH("\"id\":\"b\",\"title\":\"T\"," REST ",\"prices\":[],\"grace_days\":91"), "/plans/1/grace_days"},
        {WITH("\"id\":\"b\",\"title\":\"T\"," REST ",\"prices\":[],\"trial_with_card\":1"), "/plans/1/trial_with_card"},
        {WITH("\"id\":\"b\",\"title\":\"T\",\"description\":\"D\",\"audience\":\"trust\",\"modalities\":null,\"prices\":[]"),
         "/plans/1/audience"},
        {WITH("\"id\":\"b\",\"title\":\"T\",\"description\":\"D\",\"audience\":\"individual\",\"prices\":[]"), "/plans/1/modalities"},
        {WITH("\"id\":\"b\",\"title\":\"T\",\"description\":\"D\",\"audience\":\"individual\",\"modalities\":[],\"prices\":[]"),
         "/plans/1/modalities"},
        {WITH("\"id\":\"b\",\"title\":\"T\",\"description\":\"D\",\"audience\":\"individual\",\"modalities\":[\"a\",\"B\"],\"prices\":[]"),
         "/plans/1/modalities/1"},
        {WITH("\"id\":\"b\",\"title\":\"T\",\"description\":\"D\",\"audience\":\"individual\",\"modalities\":[\"a\",\"a\"],\"prices\":[]"),
         "/plans/1/modalities/1"},
        {WITH("\"id\":\"b\",\"title\":\"T\",\"description\":\"D\",\"audience\":\"individual\",\"modalities\":[null],\"prices\":[]"),
         "/plans/1/modalities/0"},
        {PRICED("[]"), "/plans/0/prices/1"},
        {PRICED(PRICE), "/plans/0/prices/1"},
        {PRICED("{\"period\":\"week\",\"currency\":\"gbp\",\"amount\":1}"), "/plans/0/prices/1/period"},
        {PRICED("{\"period\":\"year\",\"currency\":\"GBP\",\"amount\":1}"), "/plans/0/prices/1/currency"},
        {PRICED("{\"period\":\"year\",\"currency\":\"gb\",\"amount\":1}"), "/plans/0/prices/1/currency"},
        {PRICED("{\"period\":\"year\",\"currency\":\"g1p\",\"amount\":1}"), "/plans/0/prices/1/currency"},
        {PRICED("{\"period\":\"year\",\"currency\":\"gbp\",\"amount\":-1}"), "/plans/0/prices/1/amount"},
        {PRICED("{\"period\":\"year\",\"currency\":\"gbp\",\"amount\":19.99}"), "/plans/0/prices/1/amount"},
        {PRICED("{\"period\":\"year\",\"currency\":\"gbp\",\"amount\":100000000}"), "/plans/0/prices/1/amount"},
        {PRICED("{\"period\":\"year\",\"currency\":\"gbp\"}"), "/plans/0/prices/1/amount"},
        {PRICED("{\"period\":\"year\",\"currency\":\"gbp\",\"amount\":1,\"seats\":5}"), "/plans/0/prices/1/seats"},
    };
    for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++)
        assert_refused(*state, faults[i].text, faults[i].field);
}

static void test_a_long_list_is_refused(void **state)
{
    struct buffer text;
    buffer_init(&text, 1 << 20);
    buffer_puts(&text, "{\"plans\":[");
    for (int i = 0; i <= PLANS_MAX; i++)
        buffer_printf(&text, "%s{\"id\":\"p%d\",\"title\":\"Solo\"," REST ",\"prices\":[]}", i ? "," : "", i);
    buffer_puts(&text, "]}");
    assert_refused(*state, text.p, "/plans");
    buffer_finish(&text);
}

/* --- What has to be done ------------------------------------------------------------------------------------------------ */

#define PRODUCT "{\"id\":\"overread_solo\",\"active\":true,\"name\":\"Solo\",\"description\":\"Reads.\",\"metadata\":{\"overread_plan\":\"solo\"}}"
#define AT_STRIPE(id, amount, active, key, tax)                                                                                    \
    "{\"id\":\"" id "\",\"active\":" active ",\"currency\":\"gbp\",\"unit_amount\":" amount ",\"tax_behavior\":\"" tax "\",\"lookup_key\":" key \
    ",\"metadata\":{\"overread_plan\":\"solo\"},\"recurring\":{\"interval\":\"month\",\"interval_count\":1}}"
#define KEY "\"overread:solo:month:gbp\""
#define KNOWN(prices)                                                                                                              \
    "{\"plan\":\"solo\",\"title\":\"Solo\",\"description\":\"Reads.\",\"audience\":\"individual\",\"modalities\":null,\"trial_days\":0," \
    "\"trial_with_card\":true,\"grace_days\":14,\"product\":\"overread_solo\",\"on_sale\":true,\"place\":0,\"prices\":[" prices "]}"
#define SOLD(id, amount, on_sale) \
    "{\"price\":\"" id "\",\"period\":\"month\",\"currency\":\"gbp\",\"amount\":" amount ",\"on_sale\":" on_sale "}"

/* All lines in one text. file, known, product: NULL for what is not there. */
static const char *compare(struct fixture *f, const char *file, const char *known, const char *product, const char *prices,
                           struct plan_steps *ret)
{
    static char lines[4096];
    struct plans plans = {0};
    if (file)
        plans = parse(f, file);
    if (plan_compare(f->arena, file ? &plans.items[0] : NULL, known ? json_in(f->arena, known) : NULL, product ? json_in(f->arena, product) : NULL,
                     json_in(f->arena, prices), ret, &f->err) < 0)
        return f->err.field;
    lines[0] = '\0';
    for (size_t i = 0; i < ret->count; i++)
        snprintf(lines + strlen(lines), sizeof(lines) - strlen(lines), "%s\n", ret->items[i].line);
    return lines;
}

#define SOLO "{\"plans\":[" PLAN("solo", PRICE) "]}"

static void test_a_new_plan_is_made_at_stripe_before_the_database_sells_it(void **state)
{
    struct plan_steps steps;
    assert_string_equal(compare(*state, SOLO, NULL, NULL, "[]", &steps),
                        "+ product overread_solo \"Solo\"\n+ price solo month gbp 1999\n+ plan solo\n");
    assert_string_equal(steps.items[0].body, "id=overread_solo&name=Solo&description=Reads.&metadata[overread_plan]=solo");
    assert_string_equal(steps.items[1].body,
                        "product=overread_solo&currency=gbp&unit_amount=1999&recurring[interval]=month&tax_behavior=exclusive&"
                        "lookup_key=overread%3Asolo%3Amonth%3Agbp&transfer_lookup_key=true&metadata[overread_plan]=solo");
}

static void test_where_all_agree_nothing_is_done(void **state)
{
    struct plan_steps steps;
    assert_string_equal(compare(*state, SOLO, KNOWN(SOLD("price_1", "1999", "true")), PRODUCT,
                                "[" AT_STRIPE("price_1", "1999", "true", KEY, "exclusive") "]", &steps), "");
}

static void test_another_amount_is_a_new_price_and_the_old_one_ends_last(void **state)
{
    struct plan_steps steps;
    assert_string_equal(compare(*state, SOLO, KNOWN(SOLD("price_0", "1499", "true")), PRODUCT,
                                "[" AT_STRIPE("price_0", "1499", "true", KEY, "exclusive") "]", &steps),
                        "+ price solo month gbp 1999\n~ plan solo: prices\n- price solo month gbp 1499 (price_0)\n");
}

static void test_an_amount_of_before_is_put_on_sale_again_rather_than_made_twice(void **state)
{
    struct plan_steps steps;
    assert_string_equal(compare(*state, SOLO, KNOWN(SOLD("price_0", "1499", "true") "," SOLD("price_1", "1999", "false")), PRODUCT,
                                "[" AT_STRIPE("price_0", "1499", "true", KEY, "exclusive") ","
                                AT_STRIPE("price_1", "1999", "false", "null", "exclusive") "]", &steps),
                        "~ price solo month gbp 1999 (price_1): active \"false\" -> \"true\", lookup key none -> \"overread:solo:month:gbp\"\n"
                        "~ plan solo: prices\n- price solo month gbp 1499 (price_0)\n");
}

static void test_a_price_whose_tax_is_said_otherwise_is_not_the_one(void **state)
{
    struct plan_steps steps;
    assert_string_equal(compare(*state, SOLO, NULL, PRODUCT, "[" AT_STRIPE("price_1", "1999", "true", KEY, "inclusive") "]", &steps),
                        "+ price solo month gbp 1999\n+ plan solo\n- price solo month gbp 1999 (price_1)\n");
}

static void test_prices_that_plan_apply_has_not_made_are_left_alone(void **state)
{
    struct plan_steps steps;
    static const char quoted[] = "{\"id\":\"price_q\",\"active\":true,\"currency\":\"gbp\",\"unit_amount\":900,\"lookup_key\":null,\"metadata\":{},"
                                 "\"recurring\":{\"interval\":\"year\",\"interval_count\":1}}";
    char prices[1024];
    snprintf(prices, sizeof(prices), "[%s,%s]", quoted, AT_STRIPE("price_1", "1999", "true", KEY, "exclusive"));
    assert_string_equal(compare(*state, SOLO, KNOWN(SOLD("price_1", "1999", "true")), PRODUCT, prices, &steps), "");
}

static void test_what_is_no_longer_in_the_file_is_taken_off_sale_here_first(void **state)
{
    struct plan_steps steps;
    assert_string_equal(compare(*state, NULL, KNOWN(SOLD("price_1", "1999", "true")), PRODUCT,
                                "[" AT_STRIPE("price_1", "1999", "true", KEY, "exclusive") "]", &steps),
                        "- plan solo\n- price solo month gbp 1999 (price_1)\n- product overread_solo\n");
}

static void test_words_that_changed_are_changed_at_stripe_and_here(void **state)
{
    struct plan_steps steps;
    assert_string_equal(compare(*state, "{\"plans\":[{\"id\":\"solo\",\"title\":\"Solo \\\"II\\\"\"," REST ",\"trial_days\":7,\"prices\":[]}]}",
                                KNOWN(""), PRODUCT, "[]", &steps),
                        "~ product overread_solo: name \"Solo\" -> \"Solo \\\"II\\\"\"\n"
                        "~ plan solo: title \"Solo\" -> \"Solo \\\"II\\\"\", trial_days 0 -> 7\n");
    assert_string_equal(steps.items[0].body, "name=Solo%20%22II%22");
}

static void test_whom_a_plan_is_for_stays(void **state)
{
    struct plan_steps steps;
    assert_string_equal(compare(*state, "{\"plans\":[{\"id\":\"solo\",\"title\":\"Solo\",\"description\":\"Reads.\",\"audience\":\"organisation\","
                                        "\"modalities\":null,\"prices\":[]}]}", KNOWN(""), PRODUCT, "[]", &steps), "/plans/0/audience");
}

#define TEST(name) fixture_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_plan_is_taken_with_all_that_it_says),
        TEST(test_what_is_left_out_is_no_trial_a_card_for_it_and_two_weeks_of_grace),
        TEST(test_a_file_without_plans_sells_nothing),
        TEST(test_each_fault_is_named_by_its_pointer),
        TEST(test_a_long_list_is_refused),
        TEST(test_a_new_plan_is_made_at_stripe_before_the_database_sells_it),
        TEST(test_where_all_agree_nothing_is_done),
        TEST(test_another_amount_is_a_new_price_and_the_old_one_ends_last),
        TEST(test_an_amount_of_before_is_put_on_sale_again_rather_than_made_twice),
        TEST(test_a_price_whose_tax_is_said_otherwise_is_not_the_one),
        TEST(test_prices_that_plan_apply_has_not_made_are_left_alone),
        TEST(test_what_is_no_longer_in_the_file_is_taken_off_sale_here_first),
        TEST(test_words_that_changed_are_changed_at_stripe_and_here),
        TEST(test_whom_a_plan_is_for_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
