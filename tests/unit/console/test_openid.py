"""Signing in at an OpenID Connect provider, over HTTP; tokens that prove nothing are refused."""

import base64
import html
import json
import re

import pytest
from joserfc.jwk import ECKey, OctKey

from countermark_console.errors import SignInError
from countermark_console.people.id_tokens import account_name
from countermark_console.people.roles import Role
from support.console import Browser, Clock, open_console
from support.openid import Provider

CLIENT = "countermark-console"


@pytest.fixture
def provider():
    made = Provider(CLIENT)
    yield made
    made.close()


@pytest.fixture
def browser(provider, tmp_path):
    clock = Clock()
    provider.now = clock.now // 1000
    console = open_console(tmp_path / "home", clock, oidc_issuer=provider.issuer, oidc_client_id=CLIENT)
    console.people.add("console", "ada", "Ada Admin", {Role.ADMINISTRATOR}, external="person-1")
    yield Browser(console, clock)
    console.close()


def go_to_provider(browser, then="/"):
    browser.get("/sign-in", params={"then": then})
    assert "your organisation&#39;s sign-in service" in browser.last.text
    browser.post("/sign-in/provider", then=then)
    return html.unescape(re.search(r'content="0;url=([^"]+)"', browser.last.text)[1])


def test_who_has_an_account_signs_in_and_goes_on(browser, provider):
    url = go_to_provider(browser, "/people")
    back = browser.get(provider.authorize(url).replace("http://127.0.0.1:8440", ""))
    assert 'content="0;url=/people"' in back.text
    assert browser.get("/people").status_code == 200
    assert browser.console.log.entries()[0].what == "sign-in"
    flow = next(h for h in back.headers.get_list("set-cookie") if "-session=" in h)
    assert "SameSite=strict" in flow


def test_who_has_no_account_does_not(browser, provider):
    provider.claims = {"sub": "person-2"}
    answer = browser.get(provider.authorize(go_to_provider(browser)))
    assert (answer.status_code, "you have no account at this console" in answer.text) == (403, True)
    assert browser.get("/people").url.path == "/sign-in"


def test_who_is_suspended_does_not(browser, provider):
    console = browser.console
    console.people.add("console", "eve", "Eve", {Role.ADMINISTRATOR}, external="person-2")
    [ada] = [p for p in console.people.all() if p.name == "ada"]
    console.people.set_roles("eve", ada, {Role.DRAFTS}, active=False)
    assert browser.get(provider.authorize(go_to_provider(browser))).status_code == 403


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "another-client"},
        {"aud": None},
        {"aud": [CLIENT, "another"]},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"nonce": "another"},
        {"nonce": None},
        {"exp": 1_700_000_000},
        {"exp": None},
        {"iat": 1_799_990_000},
        {"iat": None},
        {"sub": None},
    ],
    ids=str,
)
def test_a_token_for_another_or_from_another_or_too_late_is_refused(browser, provider, claims):
    provider.claims = claims
    answer = browser.get(provider.authorize(go_to_provider(browser)))
    assert (answer.status_code, "bad_id_token" in answer.text) == (403, True)
    assert browser.get("/").url.path == "/sign-in"


def test_a_token_by_another_key_or_algorithm_is_refused(browser, provider):
    published = provider.published
    provider.key = ECKey.generate_key("P-256", {"kid": "one"})
    assert "bad_id_token" in browser.get(provider.authorize(go_to_provider(browser))).text
    # A MAC, by what everybody knows: the oldest trick.
    known = base64.urlsafe_b64encode(published.as_pem(private=False)[30:]).rstrip(b"=").decode()
    provider.key = OctKey.import_key({"kty": "oct", "k": known, "kid": "one"})
    provider.header = {"alg": "HS256", "kid": "one"}
    assert "bad_id_token" in browser.get(provider.authorize(go_to_provider(browser))).text


def test_a_token_without_signature_is_refused(browser, provider, monkeypatch):
    honest = provider.exchange

    def unsigned(form):
        answer = honest(form)
        header = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).rstrip(b"=").decode()
        answer["id_token"] = f"{header}.{answer['id_token'].split('.')[1]}."
        return answer

    monkeypatch.setattr(provider, "exchange", unsigned)
    assert "bad_id_token" in browser.get(provider.authorize(go_to_provider(browser))).text


def test_an_answer_counts_once_in_its_own_browser_in_time(browser, provider):
    back = provider.authorize(go_to_provider(browser))
    other = Browser(browser.console, browser.clock)
    assert "no_such_sign_in" in other.get(back).text
    assert "no_such_sign_in" in browser.get(re.sub(r"state=[^&]+", "state=x", back)).text
    assert "no_such_sign_in" in browser.get(back).text  # a wrong answer ends it, too
    late = provider.authorize(go_to_provider(browser))
    browser.clock.pass_(600_000)
    assert "no_such_sign_in" in browser.get(late).text


def test_an_answer_of_another_issuer_is_refused(browser, provider):
    back = provider.authorize(go_to_provider(browser))
    assert "provider_refused" in browser.get(re.sub(r"iss=[^&]+", "iss=https://evil.example", back)).text


def test_a_provider_that_is_away_or_another_is_told(browser, provider):
    browser.get("/sign-in")
    provider.issuer = "https://evil.example"
    browser.post("/sign-in/provider")
    assert "provider_away" in browser.last.text
    provider.close()
    browser.get("/sign-in")
    browser.post("/sign-in/provider")
    assert "provider_away" in browser.last.text


def test_an_address_counts_only_where_the_provider_has_verified_it():
    assert account_name({"email": "a@b", "email_verified": True}, "email") == "a@b"
    assert account_name({"sub": "x"}, "sub") == "x"
    for claims in ({"email": "a@b"}, {"email": "a@b", "email_verified": "true"}, {}):
        with pytest.raises(SignInError):
            account_name(claims, "email")
