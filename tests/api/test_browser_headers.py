"""What browsers are told with every reply, and which other sites' pages may call."""
import pytest
from support.server import Server

LISTED, UNLISTED = "https://app.example.org", "https://evil.example"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}


@pytest.fixture(scope="module")
def public(pg, _server):
    """A server that is reached by https, as a front says it, and that another site's pages may call."""
    pg.ensure_running()
    server = Server(pg, state_dir=_server.config["state_dir"], threads=1, public_url="https://reads.example.org",
                    cors_origins=f"https://first.example.org {LISTED}")
    try:
        yield server.start()
    finally:
        server.destroy()


@pytest.fixture
def replies(server, tenant, client, demo_cases):
    """One of each sort: public, private, revalidated, refused, not there, malformed before any handler."""
    me = client(tenant("trainee")["trainee"])
    return [client().get("/healthz"), me.get("/v1/session"), me.get("/v1/cases"), client().get("/v1/cases"),
            me.get("/v1/nowhere"), me.patch("/v1/cases"), me.post("/v1/reads", content=b"{")]


def all_have(replies, name, value):
    assert {reply.headers.get(name) for reply in replies} == {value}


def test_checklist_browser_csp_of_data_lets_nothing_load(replies):
    all_have(replies, "content-security-policy", "default-src 'none'; frame-ancestors 'none'")


def test_checklist_browser_types_are_not_guessed(replies):
    all_have(replies, "x-content-type-options", "nosniff")


def test_checklist_browser_other_sites_cannot_embed_a_reply(replies):
    all_have(replies, "cross-origin-resource-policy", "same-origin")


def test_checklist_browser_other_sites_keep_no_handle_on_a_window(replies):
    all_have(replies, "cross-origin-opener-policy", "same-origin")


def test_checklist_browser_no_address_is_told_to_other_sites(replies):
    all_have(replies, "referrer-policy", "no-referrer")


def test_checklist_browser_private_replies_are_never_kept_unasked(replies):
    for reply in replies:
        assert reply.headers["cache-control"] in ("no-store", "private, no-cache"), reply.url
        assert ("etag" in reply.headers) == (reply.headers["cache-control"] == "private, no-cache")


def test_checklist_browser_hsts_where_the_public_url_is_https(public, client):
    with public.client() as me:
        for path in ("/healthz", "/v1/cases", "/nowhere"):
            assert me.get(path).headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    assert "strict-transport-security" not in client().get("/healthz").headers


def cors_fields(reply):
    return {name for name in reply.headers if name.startswith("access-control-")}


def test_checklist_browser_cors_is_nobodys_by_default(client):
    for origin in (LISTED, "null", "*"):
        assert cors_fields(client().get("/v1/cases", headers={"Origin": origin})) == set()
        assert cors_fields(client().options("/v1/reads", headers={"Origin": origin, **PREFLIGHT})) == set()


def test_checklist_browser_cors_names_a_listed_origin_and_never_everybody(public):
    with public.client() as me:
        for path in ("/healthz", "/v1/cases", "/nowhere"):
            reply = me.get(path, headers={"Origin": LISTED})
            assert reply.headers["access-control-allow-origin"] == LISTED
            assert reply.headers["access-control-allow-credentials"] == "true"
            assert {"x-request-id", "ratelimit", "retry-after"} <= set(reply.headers["access-control-expose-headers"].split(", "))
            assert "Origin" in reply.headers["vary"]


@pytest.mark.parametrize("origin", [UNLISTED, "null", "*", "", LISTED.upper(), LISTED + ".evil.example", LISTED[:-1],
                                    LISTED + ":8443", LISTED.replace("https", "http"), f"{LISTED} {UNLISTED}",
                                    f"https://first.example.org {LISTED}"])
def test_checklist_browser_cors_gives_an_unlisted_origin_nothing(public, origin):
    with public.client() as me:
        for reply in (me.get("/healthz", headers={"Origin": origin}),
                      me.options("/v1/reads", headers={"Origin": origin, **PREFLIGHT})):
            assert cors_fields(reply) == set()
            assert "Origin" in reply.headers["vary"], "what is kept for one origin is not for another"


def test_checklist_browser_cors_preflight_is_answered_without_credentials(public):
    with public.client() as me:
        reply = me.options("/v1/reads", headers={"Origin": LISTED, **PREFLIGHT})
    assert reply.status_code == 204
    assert reply.headers["access-control-allow-origin"] == LISTED
    assert set(reply.headers["access-control-allow-methods"].split(", ")) >= {"GET", "POST"}
    assert {"authorization", "content-type", "idempotency-key", "x-overread"} <= \
        set(reply.headers["access-control-allow-headers"].split(", "))
    assert "*" not in reply.headers["access-control-allow-headers"]
    assert int(reply.headers["access-control-max-age"]) <= 3600
