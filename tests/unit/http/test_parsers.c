/* The pure parts: request targets, header fields, the router, the metrics' older format. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "http/fields.h"
#include "http/metrics.h"
#include "http/router.h"
#include "http/uri.h"

#define assert_text(t, literal) assert_true(text_is((t), (literal)))

static void a_path_is_split_and_decoded(void **state)
{
    struct arena *arena = arena_create();
    struct text segments[URI_SEGMENTS_MAX];

    (void)state;
    assert_int_equal(uri_path(arena, TEXT("/a/b%20c/%C3%A9+"), segments), 3);
    assert_text(segments[0], "a");
    assert_text(segments[1], "b c");
    assert_text(segments[2], "\xc3\xa9+");
    assert_int_equal(uri_path(arena, TEXT("/"), segments), 1);
    assert_int_equal(segments[0].len, 0);
    assert_int_equal(uri_path(arena, TEXT("/a/"), segments), 2);
    assert_int_equal(uri_path(arena, TEXT("/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17"), segments), -E2BIG);
    arena_destroy(arena);
}

static void what_does_not_decode_to_utf8_is_refused(void **state)
{
    static const char *const BAD[] = {"%",      "%1",        "%zz",          "%00",
                                      "%c0%af", "%ed%a0%80", "%f5%80%80%80", "%e2%82",
                                      "%80",    "\xff",      "%f0%80%80%80"};
    struct arena *arena = arena_create();
    struct text out;

    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
        assert_int_equal(uri_decode(arena, text_of(BAD[i]), true, &out), -EINVAL);
    assert_int_equal(uri_decode(arena, TEXT("%F0%9F%A9%BB%e2%82%ac"), true, &out), 0);
    assert_text(out, "\xf0\x9f\xa9\xbb\xe2\x82\xac");
    arena_destroy(arena);
}

static void a_query_is_split_before_it_is_decoded(void **state)
{
    struct arena *arena = arena_create();
    struct uri_pair pairs[URI_PAIRS_MAX];
    char many[256] = "";

    (void)state;
    assert_int_equal(uri_query(arena, TEXT("a=1%262&&b&c=x+y%2B&d=e=f"), pairs), 4);
    assert_text(pairs[0].name, "a");
    assert_text(pairs[0].value, "1&2");
    assert_text(pairs[1].name, "b");
    assert_int_equal(pairs[1].value.len, 0);
    assert_text(pairs[2].value, "x y+");
    assert_text(pairs[3].value, "e=f");
    assert_int_equal(uri_query(arena, TEXT(""), pairs), 0);
    assert_int_equal(uri_query(arena, TEXT("a=%ff"), pairs), -EINVAL);
    assert_int_equal(uri_query(arena, TEXT("%00=1"), pairs), -EINVAL);
    for (int i = 0; i < URI_PAIRS_MAX + 1; i++)
        memcpy(many + 2 * i, "a&", 3);
    assert_int_equal(uri_query(arena, text_of(many), pairs), -E2BIG);
    arena_destroy(arena);
}

static void a_target_is_taken_in_origin_and_absolute_form(void **state)
{
    struct text path, query;

    (void)state;
    assert_int_equal(uri_target(TEXT("/p?a?b"), &path, &query), 0);
    assert_text(path, "/p");
    assert_text(query, "a?b");
    assert_int_equal(uri_target(TEXT("http://host/p"), &path, &query), 0);
    assert_text(path, "/p");
    assert_int_equal(query.len, 0);
    assert_int_equal(uri_target(TEXT("http://host"), &path, &query), -EINVAL);
    assert_int_equal(uri_target(TEXT("host:80"), &path, &query), -EINVAL);
    assert_int_equal(uri_target(TEXT(""), &path, &query), -EINVAL);
}

static void an_entity_tag_is_found_in_a_list(void **state)
{
    (void)state;
    assert_true(field_etag_listed(TEXT("\"abc\""), TEXT("abc")));
    assert_true(field_etag_listed(TEXT("\"x\" , W/\"abc\""), TEXT("abc")));
    assert_true(field_etag_listed(TEXT("*"), TEXT("abc")));
    assert_false(field_etag_listed(TEXT("abc"), TEXT("abc")));
    assert_false(field_etag_listed(TEXT("\"abcd\""), TEXT("abc")));
    assert_false(field_etag_listed(TEXT(""), TEXT("abc")));
}

static void a_cookie_is_found_by_its_whole_name(void **state)
{
    struct text value;

    (void)state;
    assert_true(field_cookie(TEXT("a=1; session=x=y;b=2"), "session", &value));
    assert_text(value, "x=y");
    assert_true(field_cookie(TEXT("s=; s=2"), "s", &value));
    assert_int_equal(value.len, 0);
    assert_false(field_cookie(TEXT("xsession=1; session2=2"), "session", &value));
    assert_false(field_cookie(TEXT(""), "session", &value));
}

static void a_range_within_the_file_is_cut_to_it(void **state)
{
    uint64_t first = 0, len = 0;

    (void)state;
    assert_int_equal(field_range(TEXT("bytes=2-4"), 10, &first, &len), FIELD_RANGE_PART);
    assert_int_equal(first, 2);
    assert_int_equal(len, 3);
    assert_int_equal(field_range(TEXT("bytes=8-100"), 10, &first, &len), FIELD_RANGE_PART);
    assert_int_equal(len, 2);
    assert_int_equal(field_range(TEXT("bytes=3-"), 10, &first, &len), FIELD_RANGE_PART);
    assert_int_equal(len, 7);
    assert_int_equal(field_range(TEXT("bytes=-4"), 10, &first, &len), FIELD_RANGE_PART);
    assert_int_equal(first, 6);
    assert_int_equal(field_range(TEXT("bytes=-40"), 10, &first, &len), FIELD_RANGE_PART);
    assert_int_equal(first, 0);
    assert_int_equal(len, 10);
    assert_int_equal(field_range(TEXT("bytes=10-"), 10, &first, &len), FIELD_RANGE_UNSATISFIABLE);
    assert_int_equal(field_range(TEXT("bytes=-0"), 10, &first, &len), FIELD_RANGE_UNSATISFIABLE);
    assert_int_equal(field_range(TEXT("bytes=0-"), 0, &first, &len), FIELD_RANGE_UNSATISFIABLE);
}

static void a_range_that_is_not_understood_is_ignored(void **state)
{
    static const char *const IGNORED[] = {
        "bytes=",    "bytes=-",   "bytes=4-2", "bytes=0-1,3-4",
        "lines=0-1", "bytes=a-b", "bytes=1",   "bytes=99999999999999999999-",
        "",          "bytes=-1-2"};
    uint64_t first = 0, len = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(IGNORED) / sizeof(IGNORED[0]); i++)
        assert_int_equal(field_range(text_of(IGNORED[i]), 10, &first, &len), FIELD_RANGE_NONE);
}

static void a_trace_context_is_taken_only_when_well_formed(void **state)
{
    char trace[TRACE_ID_SIZE], span[SPAN_ID_SIZE], flags[3];

    (void)state;
    assert_true(field_traceparent(TEXT("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), trace,
                                  span, flags));
    assert_string_equal(trace, "0af7651916cd43dd8448eb211c80319c");
    assert_string_equal(span, "b7ad6b7169203331");
    assert_string_equal(flags, "01");
    assert_true(field_traceparent(TEXT("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-later"),
                                  trace, span, flags));
    assert_false(field_traceparent(TEXT("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x"), trace,
                                   span, flags));
    assert_false(field_traceparent(TEXT("00-00000000000000000000000000000000-b7ad6b7169203331-01"), trace,
                                   span, flags));
    assert_false(field_traceparent(TEXT("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"), trace,
                                   span, flags));
    assert_false(field_traceparent(TEXT("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), trace,
                                   span, flags));
    assert_false(field_traceparent(TEXT("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"), trace,
                                   span, flags));
    assert_false(field_traceparent(TEXT("00-0af7"), trace, span, flags));
}

static void the_last_element_of_a_list_is_trimmed(void **state)
{
    (void)state;
    assert_text(field_last(TEXT("1.1.1.1, 2.2.2.2 ")), "2.2.2.2");
    assert_text(field_last(TEXT("::1")), "::1");
    assert_int_equal(field_last(TEXT("")).len, 0);
    assert_int_equal(field_last(TEXT("1.1.1.1,")).len, 7);
}

static void a_media_type_is_compared_without_its_parameters(void **state)
{
    (void)state;
    assert_true(field_media_type_is(TEXT("Application/JSON; charset=utf-8"), "application/json"));
    assert_false(field_media_type_is(TEXT("application/jsonx"), "application/json"));
    assert_false(field_media_type_is(TEXT(""), "application/json"));
}

/* --- Router -------------------------------------------------------------------------------------------- */

static void fiber_fn nothing(struct http_request *req)
{
    (void)req;
}

static const struct http_route ROUTES[] = {
    {"GET", "/", NULL, 0, nothing},
    {"GET", "/v1/cases", NULL, 0, nothing},
    {"GET", "/v1/cases/{case}", NULL, 0, nothing},
    {"GET", "/v1/cases/{case}/images/{instance}", NULL, 0, nothing},
    {"GET", "/v1/cases/mine/all", NULL, 0, nothing},
    {"PUT", "/v1/cases/{id}", NULL, 0, nothing},
    {NULL, NULL, NULL, 0, NULL},
};

static struct router_match look(const struct router *router, struct arena *arena, const char *method,
                                const char *path)
{
    struct text segments[URI_SEGMENTS_MAX];
    struct router_match match;
    int count = uri_path(arena, text_of(path), segments);

    assert_true(count > 0);
    router_find(router, text_of(method), segments, (unsigned)count, &match);
    return match;
}

static void a_route_is_found_with_its_parameters(void **state)
{
    const struct http_route *const tables[] = {ROUTES, NULL};
    struct error err = {0};
    struct arena *arena = arena_create();
    struct router *router = router_create(tables, &err);

    (void)state;
    assert_non_null(router);
    assert_ptr_equal(look(router, arena, "GET", "/").route, &ROUTES[0]);
    assert_ptr_equal(look(router, arena, "HEAD", "/v1/cases").route, &ROUTES[1]);
    struct router_match match = look(router, arena, "GET", "/v1/cases/c1/images/i%2F2");
    assert_ptr_equal(match.route, &ROUTES[3]);
    assert_text(router_param(&match, "case"), "c1");
    assert_text(router_param(&match, "instance"), "i/2");
    assert_int_equal(router_param(&match, "other").len, 0);
    match = look(router, arena, "PUT", "/v1/cases/c2");
    assert_ptr_equal(match.route, &ROUTES[5]);
    assert_text(router_param(&match, "id"), "c2");
    assert_string_equal(match.allow, "GET, HEAD, PUT");
    router_destroy(router);
    arena_destroy(arena);
}

static void a_literal_segment_goes_before_a_parameter_but_does_not_hide_it(void **state)
{
    const struct http_route *const tables[] = {ROUTES, NULL};
    struct arena *arena = arena_create();
    struct router *router = router_create(tables, NULL);

    (void)state;
    assert_ptr_equal(look(router, arena, "GET", "/v1/cases/mine/all").route, &ROUTES[4]);
    struct router_match match = look(router, arena, "GET", "/v1/cases/mine/images/1");
    assert_ptr_equal(match.route, &ROUTES[3]);
    assert_text(router_param(&match, "case"), "mine");
    router_destroy(router);
    arena_destroy(arena);
}

static void an_unknown_path_and_an_unknown_method_are_told_apart(void **state)
{
    const struct http_route *const tables[] = {ROUTES, NULL};
    struct arena *arena = arena_create();
    struct router *router = router_create(tables, NULL);

    (void)state;
    assert_null(look(router, arena, "GET", "/v1").allow);
    assert_null(look(router, arena, "GET", "/v1/cases/").allow);
    assert_null(look(router, arena, "GET", "/v1/cases/x/images").allow);
    struct router_match match = look(router, arena, "DELETE", "/v1/cases/x");
    assert_null(match.route);
    assert_string_equal(match.allow, "GET, HEAD, PUT");
    assert_null(look(router, arena, "get", "/v1/cases").route);
    router_destroy(router);
    arena_destroy(arena);
}

static void a_malformed_or_doubled_route_is_an_error_at_the_start(void **state)
{
    static const struct http_route DOUBLE[] = {{"GET", "/a/{x}", NULL, 0, nothing},
                                               {"GET", "/a/{y}", NULL, 0, nothing},
                                               {NULL, NULL, NULL, 0, NULL}};
    static const struct http_route METHOD[] = {{"BREW", "/a", NULL, 0, nothing}, {NULL, NULL, NULL, 0, NULL}};
    static const struct http_route PATH[] = {{"GET", "a", NULL, 0, nothing}, {NULL, NULL, NULL, 0, NULL}};
    const struct http_route *const bad[] = {DOUBLE, METHOD, PATH};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const struct http_route *const tables[] = {bad[i], NULL};
        struct error err = {0};
        assert_null(router_create(tables, &err));
        assert_string_equal(err.code, "bad_route");
    }
}

/* --- Metrics ------------------------------------------------------------------------------------------- */

static void the_older_format_names_a_counters_family_with_total(void **state)
{
    struct buffer out;

    (void)state;
    buffer_init(&out, 4096);
    metrics_downgrade(TEXT("# TYPE a counter\n# UNIT a seconds\n# HELP a Of a.\na_total{x=\"1\"} 2\n"
                           "# TYPE b gauge\n# HELP b Of b.\nb 3\n# EOF\n"),
                      &out);
    assert_string_equal(out.p, "# TYPE a_total counter\n# HELP a_total Of a.\na_total{x=\"1\"} 2\n"
                               "# TYPE b gauge\n# HELP b Of b.\nb 3\n");
    buffer_finish(&out);
}

static void the_counters_of_all_loops_are_summed(void **state)
{
    const struct http_route *const tables[] = {ROUTES, NULL};
    struct router *router = router_create(tables, NULL);
    struct metrics a, b;
    const struct metrics *const loops[] = {&a, &b};
    struct buffer out;

    (void)state;
    metrics_init(&a, router_count(router));
    metrics_init(&b, router_count(router));
    buffer_init(&out, 65536);
    metrics_count(&a, 1, 200, 1000);
    metrics_count(&b, 1, 201, 2000000);
    metrics_count(&b, 1, 404, 6000000000U);
    metrics_count(&a, router_count(router), 404, 1000);
    metrics_count(&a, 2, 499, 1000);
    metrics_render(router, loops, 2, &out);
    assert_non_null(strstr(out.p, "requests_total{method=\"GET\",route=\"/v1/cases\",status=\"2xx\"} 2\n"));
    assert_non_null(strstr(out.p, "requests_total{method=\"GET\",route=\"/v1/cases\",status=\"4xx\"} 1\n"));
    assert_non_null(strstr(out.p, "requests_total{method=\"\",route=\"\",status=\"4xx\"} 1\n"));
    assert_non_null(strstr(out.p, "route=\"/v1/cases/{case}\",status=\"gone\"} 1\n"));
    assert_non_null(strstr(out.p, "_bucket{method=\"GET\",route=\"/v1/cases\",le=\"0.001\"} 1\n"));
    assert_non_null(strstr(out.p, "_bucket{method=\"GET\",route=\"/v1/cases\",le=\"5.0\"} 2\n"));
    assert_non_null(strstr(out.p, "_bucket{method=\"GET\",route=\"/v1/cases\",le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(out.p, "_count{method=\"GET\",route=\"/v1/cases\"} 3\n"));
    buffer_finish(&out);
    metrics_finish(&a);
    metrics_finish(&b);
    router_destroy(router);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_is_split_and_decoded),
        cmocka_unit_test(what_does_not_decode_to_utf8_is_refused),
        cmocka_unit_test(a_query_is_split_before_it_is_decoded),
        cmocka_unit_test(a_target_is_taken_in_origin_and_absolute_form),
        cmocka_unit_test(an_entity_tag_is_found_in_a_list),
        cmocka_unit_test(a_cookie_is_found_by_its_whole_name),
        cmocka_unit_test(a_range_within_the_file_is_cut_to_it),
        cmocka_unit_test(a_range_that_is_not_understood_is_ignored),
        cmocka_unit_test(a_trace_context_is_taken_only_when_well_formed),
        cmocka_unit_test(the_last_element_of_a_list_is_trimmed),
        cmocka_unit_test(a_media_type_is_compared_without_its_parameters),
        cmocka_unit_test(a_route_is_found_with_its_parameters),
        cmocka_unit_test(a_literal_segment_goes_before_a_parameter_but_does_not_hide_it),
        cmocka_unit_test(an_unknown_path_and_an_unknown_method_are_told_apart),
        cmocka_unit_test(a_malformed_or_doubled_route_is_an_error_at_the_start),
        cmocka_unit_test(the_older_format_names_a_counters_family_with_total),
        cmocka_unit_test(the_counters_of_all_loops_are_summed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
