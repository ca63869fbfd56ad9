"""What comes in, and what goes out: forgery, hosts, sizes, headers, and who may see which page."""

import re
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from countermark_console.app import create_app
from countermark_console.errors import DeniedError
from countermark_console.security import decisions
from countermark_console.security.decisions import check_host, check_origin, local_path
from countermark_console.web import visitor as visitors
from support.console import ORIGIN, PASSWORD, Browser, open_console

#: Seen by whoever reaches the console: signing in, the first step of the set-up, language and colours.
PUBLIC = {
    ("GET", "/sign-in"),
    ("POST", "/sign-in"),
    ("GET", "/sign-in/code"),
    ("POST", "/sign-in/code"),
    ("GET", "/sign-in/second-factor"),
    ("POST", "/sign-in/second-factor"),
    ("POST", "/sign-in/provider"),
    ("GET", "/sign-in/provider/return"),
    ("POST", "/sign-out"),
    ("POST", "/preferences"),
    ("GET", "/setup"),
    ("POST", "/setup"),
}
PACKAGE = Path(visitors.__file__).parents[1]


def routes(app):
    found = [route for route in app.routes if isinstance(route, APIRoute)]
    if not found:  # newer releases keep the routers that were included
        found = [
            route
            for part in app.routes
            for route in getattr(getattr(part, "original_router", None), "routes", [])
        ]
    return [route for route in found if isinstance(route, APIRoute)]


def calls(dependant):
    for each in dependant.dependencies:
        yield each.call
        yield from calls(each)


def test_every_page_asks_who_one_is_unless_it_is_listed(console):
    listed = {
        (method, route.path): set(calls(route.dependant))
        for route in routes(create_app(console))
        for method in route.methods
    }
    assert len(listed) > 20
    open_ = {key for key, asked in listed.items() if visitors.signed_in not in asked}
    assert open_ == PUBLIC


def test_no_form_is_taken_without_its_token_or_from_elsewhere(browser):
    app = create_app(browser.console)
    browser.sign_in("ada")
    paths = [re.sub(r"\{\w+\}", "1", r.path) for r in routes(app) if "POST" in r.methods]
    assert len(paths) > 10
    for path in paths:
        for headers, fields in (
            ({"origin": ORIGIN}, {}),
            ({"origin": ORIGIN}, {"form_token": "0" * 64}),
            ({"origin": ORIGIN, "x-form-token": "0" * 64}, {}),
            ({"origin": "http://127.0.0.1:9999"}, {}),
            ({"origin": "null"}, {}),
            ({}, {}),
            ({"origin": ORIGIN, "sec-fetch-site": "cross-site"}, {}),
        ):
            answer = browser.request("POST", path, headers=headers, data=fields)
            assert answer.status_code == 403, (path, headers)
    assert {p.name: p.active for p in browser.console.people.all()} == {"ada": True, "otto": True}


def test_a_token_of_another_session_is_refused(browser):
    browser.sign_in("otto")
    browser.get("/account")
    stale = re.search(r'name="form_token" value="(\w+)"', browser.last.text)[1]
    browser.post("/sign-out")
    browser.sign_in("otto")
    answer = browser.request(
        "POST", "/account/other-sessions", headers={"origin": ORIGIN}, data={"form_token": stale}
    )
    assert answer.status_code == 403
    assert "too old" in answer.text


def test_the_token_may_come_in_a_header(browser):
    browser.sign_in("otto")
    token = re.search(r'name="form_token" value="(\w+)"', browser.last.text)[1]
    headers = {"origin": ORIGIN, "x-form-token": token}
    assert browser.request("POST", "/account/other-sessions", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "path", ["/sign-in", "/nowhere", "/static/console.css", "/static/nothing.css", "/people"]
)
def test_every_answer_bears_the_headers(browser, path):
    answer = browser.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    stored = "public" if path.startswith("/static/") else "no-store"
    assert stored in answer.headers["cache-control"]


def test_other_names_for_this_machine_are_refused(browser):
    for host in ("evil.example", "127.0.0.1:9999", "127.0.0.1.evil.example:8440", ""):
        answer = browser.get("/sign-in", headers={"host": host})
        assert (answer.status_code, answer.text.startswith("This console")) == (403, True)
        assert answer.headers["content-security-policy"]
    assert browser.get("/sign-in", headers={"host": "localhost:8440"}).status_code == 200


def test_large_bodies_are_not_read(browser):
    browser.get("/sign-in")
    browser.post("/sign-in", name="ada", password="x" * (1 << 20))
    assert browser.last.status_code == 413

    async def endless():
        for _ in range(40):
            yield b"a" * (1 << 16)

    answer = browser.request(
        "POST",
        "/sign-in",
        content=endless(),
        headers={"origin": ORIGIN, "content-type": "application/x-www-form-urlencoded"},
    )
    assert answer.status_code == 413


def test_decisions():
    origins = {"http://127.0.0.1:8440"}
    check_host("127.0.0.1:8440", origins)
    check_origin("GET", None, "cross-site", origins)
    check_origin("POST", "http://127.0.0.1:8440", None, origins)
    with pytest.raises(DeniedError):
        check_origin("POST", None, None, origins)
    with pytest.raises(DeniedError):
        check_host("", origins)
    for safe in ("/", "/people?a=b", "/cases/7#x"):
        assert local_path(safe) == safe
    for elsewhere in (
        "//evil",
        "/\\evil",
        "https://evil/",
        "javascript:x",
        "",
        "people",
        "/a\nb",
        "/\t/evil",
        "\\\\evil",
    ):
        assert local_path(elsewhere) == "/"


def test_over_tls_cookies_and_headers_say_so(tmp_path, console_clock):
    opened = open_console(tmp_path / "tls", console_clock, public_url="https://console.example")
    opened.people.add("console", "ada", "Ada", {"administrator"}, password=PASSWORD)
    browser = Browser(opened, console_clock)
    browser.headers = {"host": "console.example"}
    answer = browser.get("/sign-in")
    assert "strict-transport-security" in answer.headers
    assert answer.headers["set-cookie"].startswith("__Host-countermark-form=")
    assert "Secure" in answer.headers["set-cookie"]
    opened.close()


def test_failures_are_pages_in_plain_words_and_show_no_trace(browser, monkeypatch):
    assert "There is no such page" in browser.get("/nowhere").text
    browser.sign_in("otto")
    forbidden = browser.get("/people")
    assert (forbidden.status_code, "You may not do that" in forbidden.text) == (403, True)
    monkeypatch.setattr(browser.console.people, "codes_left", lambda _person: 1 // 0)
    broken = browser.get("/account")
    assert (broken.status_code, "Something went wrong here" in broken.text) == (500, True)
    assert "ZeroDivision" not in broken.text
    assert broken.headers["content-security-policy"] == decisions.CONTENT_SECURITY_POLICY


def test_templates_have_nothing_inline_and_nothing_from_elsewhere():
    files = [*PACKAGE.glob("templates/**/*.html")]
    assert len(files) > 15
    for path in files:
        text = path.read_text("utf-8")
        assert not re.search(r"\sstyle=|\son\w+=|javascript:|<style|<script(?![^>]*\ssrc=)", text), path
        assert not re.search(r"(src|href|action)=\"(https?:)?//", text), path
    for path in PACKAGE.glob("static/*"):
        if path.suffix in {".css", ".js"}:
            assert not re.search(
                r"url\(\s*['\"]?(https?:)?//|from ['\"]https?:|import\(", path.read_text()
            ), path


def test_what_was_vendored_holds_nothing_reserved():
    folder = PACKAGE / "static" / "vendor"
    for path in folder.rglob("*"):
        if path.suffix in {".css", ".js"}:
            text = path.read_text("utf-8")
            assert not re.search(
                "crown|crest|gds.transport|@font-face|sourceMappingURL", text, re.IGNORECASE
            ), path
    assert {p.suffix for p in folder.rglob("*") if p.is_file()} == {".css", ".js", ""}
    assert all((part / "LICENSE").is_file() for part in folder.iterdir())
