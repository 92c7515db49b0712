"""The plain pages that mail links lead to, as they are served; how they are used stands in tests/browser."""
import re

import pytest
from support.reads import assert_problem

PAGES = ["/sign-in", "/sign-up", "/verify", "/forgot", "/reset", "/invitation", "/join", "/account"]
CSP = "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize("page", PAGES)
def test_checklist_browser_csp_of_a_page_lets_load_what_is_our_own_and_no_inline_code(client, page):
    reply = client().get(page)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.headers["content-security-policy"] == CSP
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|{", reply.text)
    for form in re.findall(r"<form[^>]*>", reply.text):
        assert 'method="post"' in form  # before the script is there, too, a password never becomes part of an address


@pytest.mark.parametrize("page", PAGES)
def test_all_that_a_page_names_is_there(client, page):
    http = client()
    for address in re.findall(r'(?:src|href)="(/[^"?]*)', http.get(page).text):
        assert http.get(address).status_code == 200, address


@pytest.mark.parametrize("path", ["/sign-in", "/portal/portal.css", "/portal/portal.js"])
def test_a_file_is_kept_and_asked_after(client, path):
    first = client().get(path)
    assert first.headers["cache-control"] == "no-cache"
    again = client().get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_page_that_has_not_changed_keeps_its_own_csp(client):
    again = client().get("/sign-in", headers={"If-None-Match": client().get("/sign-in").headers["etag"]})
    assert again.status_code == 304
    assert "content-security-policy" not in again.headers  # a browser would put it in the place of the page's


def test_home_leads_to_the_account(client):
    reply = client().get("/")
    assert (reply.status_code, reply.headers["location"]) == (303, "/account")


def test_an_unknown_file_is_not_found(client):
    for name in ("nothing.js", "portal.c", "..%2Fportal.css"):
        assert_problem(client().get(f"/portal/{name}"), 404)
