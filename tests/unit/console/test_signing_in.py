"""Signing in: password, second factor, waits after failures, sessions that end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from countermark_console.clock import DAY, HOUR, MINUTE
from countermark_console.errors import InputError, TooManyError
from countermark_console.people import passwords, second_factor
from countermark_console.people.attempts import LONGEST_WAIT, wait_until
from countermark_console.people.roles import Role
from countermark_console.people.sessions import Stage, ended, form_token
from countermark_console.store.tables import people, sessions
from support.console import PASSWORD
from support.examples import tried


def sessions_of(console):
    with console.database.read() as connection:
        return connection.execute(select(sessions)).all()


def test_sign_in_with_a_new_second_factor_and_then_with_its_code(browser):
    assert browser.sign_in("ada").status_code == 200
    assert "Sign out" in browser.last.text
    browser.post("/sign-out")
    assert browser.last.url.path == "/sign-in"
    assert "Sign out" in browser.sign_in("ada").text
    assert [e.what for e in browser.console.log.entries()][:3] == ["sign-in", "sign-out", "sign-in"]


def test_nothing_is_seen_half_way(browser):
    browser.get("/sign-in")
    browser.post("/sign-in", name="ada", password=PASSWORD)
    assert browser.get("/people").url.path == "/sign-in/second-factor"
    assert browser.get("/sign-in/code").url.path == "/sign-in/second-factor"


def test_after_sign_in_one_is_where_one_wanted_to_go_but_never_elsewhere(browser):
    browser.sign_in("ada")
    browser.post("/sign-out")
    assert browser.get("/people").url.params["then"] == "/people"
    for target, path in (("/people", "/people"), ("//evil.example/", "/"), ("https://evil.example/", "/")):
        browser.clock.pass_(MINUTE)
        browser.get("/sign-in", params={"then": target})
        browser.post("/sign-in", name="ada", password=PASSWORD, then=target)
        browser.post("/sign-in/code", code=code_of(browser, "ada"), then=target)
        assert browser.last.url.path == path
        browser.post("/sign-out")


def code_of(browser, name):
    return second_factor.code_now(browser.secrets[name], browser.clock.now)


def test_the_answer_does_not_tell_which_names_exist(browser):
    answers = []
    for name in ("ada", "nobody", "ada' OR 1=1 --"):
        browser.get("/sign-in")
        browser.post("/sign-in", name=name, password="wrong")
        shown = browser.last.text.replace(browser.last.request.url.path, "")
        answers.append((browser.last.status_code, "Name or password is not right" in shown))
    assert answers == [(401, True)] * 3


def test_an_unknown_name_costs_the_same_work(monkeypatch):
    verified = []
    monkeypatch.setattr(
        passwords._hasher().__class__, "verify", lambda _self, kept, _given: verified.append(kept) or True
    )
    assert not passwords.password_matches(None, "x")
    assert passwords.password_matches("kept", "x")
    assert verified[0].startswith("$argon2id$")


def test_after_five_failures_one_waits_whoever_one_says_to_be(browser):
    for name in ("ada", "nobody"):
        for _ in range(5):
            browser.get("/sign-in")
            browser.post("/sign-in", name=name, password="wrong")
        browser.get("/sign-in")
        browser.post("/sign-in", name=name, password=PASSWORD)
        assert browser.last.status_code == 429
        assert int(browser.last.headers["retry-after"]) == 5
        assert "Try again in 5 seconds" in browser.last.text
    browser.clock.pass_(6_000)
    browser.sign_in("ada")


def test_one_source_cannot_try_many_accounts(console):
    for number in range(20):
        with pytest.raises(InputError):
            console.people.check_password(f"name-{number}", "wrong", "192.0.2.1")
    with pytest.raises(TooManyError):
        console.people.check_password("another", "wrong", "192.0.2.1")
    with pytest.raises(InputError):
        console.people.check_password("another", "wrong", "192.0.2.2")


@tried(100)
@given(st.integers(0, 60), st.integers(1, 20))
def test_waits_grow_and_end(failures, free):
    wait = wait_until(failures, 0, free)
    assert (wait == 0) is (failures < free)
    assert wait <= wait_until(failures + 1, 0, free) <= LONGEST_WAIT


def test_a_code_is_good_for_once(browser):
    browser.sign_in("ada")
    used = code_of(browser, "ada")
    browser.post("/sign-out")
    browser.get("/sign-in")
    browser.post("/sign-in", name="ada", password=PASSWORD)
    browser.post("/sign-in/code", code=used)
    assert browser.last.status_code == 401
    browser.clock.pass_(MINUTE)
    browser.post("/sign-in/code", code=code_of(browser, "ada"))
    assert browser.last.url.path == "/"


def test_codes_of_neighbouring_steps_are_taken_and_no_others():
    secret, now = second_factor.fresh_secret(), 1_800_000_000_000
    step = now // 30_000
    for away, taken in ((-2, False), (-1, True), (0, True), (1, True), (2, False)):
        code = second_factor.code_now(secret, now + away * 30_000)
        found = second_factor.matching_step(secret, code, now, 0)
        assert found == (step + away if taken else None)
    assert second_factor.matching_step(secret, second_factor.code_now(secret, now), now, step) is None
    for typed in ("", "abcdef", "12345", "\uff11\uff12\uff13\uff14\uff15\uff16"):
        assert second_factor.matching_step(secret, typed, now, 0) is None


def test_a_recovery_code_signs_in_once(browser):
    browser.get("/sign-in")
    browser.post("/sign-in", name="ada", password=PASSWORD)
    person = next(p for p in browser.console.people.all() if p.name == "ada")
    secret = bytes.fromhex(browser.console.facts.get(f"new-totp/{person.id}"))
    browser.post("/sign-in/second-factor", code=second_factor.code_now(secret, browser.clock.now))
    assert "Keep these recovery codes" in browser.last.text
    code = browser.last.text.split("<li>")[1].split("<")[0]
    browser.get("/account")
    for status in (200, 401):
        browser.post("/sign-out")
        browser.get("/sign-in")
        browser.post("/sign-in", name="ada", password=PASSWORD)
        browser.post("/sign-in/code", code=code.lower().replace("-", " "))
        assert browser.last.status_code == status
    assert browser.console.people.codes_left(person) == 9
    assert "recovery-code-used" in {e.what for e in browser.console.log.entries()}


def test_wrong_codes_are_counted(browser):
    browser.sign_in("ada")
    browser.post("/sign-out")
    browser.get("/sign-in")
    browser.post("/sign-in", name="ada", password=PASSWORD)
    statuses = []
    for _ in range(6):
        browser.get("/sign-in/code")
        browser.post("/sign-in/code", code="000000")
        statuses.append(browser.last.status_code)
    assert statuses == [401] * 5 + [429]


def test_a_session_ends_when_idle_and_in_any_case(browser):
    browser.sign_in("ada")
    for _ in range(20):  # half an hour idle at most, ten hours in all
        browser.clock.pass_(29 * MINUTE)
        assert browser.get("/").url.path == "/"
    browser.clock.pass_(30 * MINUTE)
    assert browser.get("/").url.path == "/sign-in"
    browser.sign_in("ada")
    browser.clock.pass_(30 * MINUTE)
    assert browser.get("/").url.path == "/sign-in"
    browser.clock.pass_(DAY)
    browser.console.tick()
    assert sessions_of(browser.console) == []


def test_what_a_page_asks_by_itself_keeps_nobody_awake(browser):
    browser.sign_in("ada")
    for _ in range(4):
        browser.clock.pass_(9 * MINUTE)
        browser.get("/live/setup")
    assert browser.get("/").url.path == "/sign-in"


@pytest.mark.parametrize("stage", list(Stage))
def test_when_a_session_ends(stage):
    def over(created, seen, now):
        return ended(created, seen, now, stage=stage, idle_ms=HOUR, absolute_ms=2 * HOUR)

    assert not over(0, 0, 10 * MINUTE - 1)
    assert over(0, 0, 10 * MINUTE) is (stage is not Stage.COMPLETE)
    assert over(0, 0, HOUR)
    assert over(0, 2 * HOUR - 1, 2 * HOUR)


def test_a_session_ends_with_roles_and_password(browser):
    console = browser.console
    otto = next(p for p in console.people.all() if p.name == "otto")
    for change in (
        lambda: console.people.set_roles("ada", otto, {Role.RELEASES}, active=True),
        lambda: console.people.set_password("otto", otto, "new words for an old door"),
    ):
        browser.sign_in("otto")
        change()
        assert browser.get("/account").url.path == "/sign-in"
    console.people.set_roles("ada", otto, {Role.RELEASES}, active=False)
    browser.get("/sign-in")
    browser.post("/sign-in", name="otto", password="new words for an old door")
    assert browser.last.status_code == 401


def test_the_store_holds_neither_sessions_nor_passwords_as_they_are(browser):
    browser.sign_in("ada")
    token = next(c.value for c in browser.cookies.jar if c.name.endswith("-session"))
    [row] = sessions_of(browser.console)
    assert token.encode() not in bytes(row.hash)
    with browser.console.database.read() as connection:
        for person in connection.execute(select(people)):
            assert person.password.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert form_token(token) not in str(row)


def test_the_cookie_is_of_no_use_to_scripts_and_other_sites(browser):
    browser.get("/sign-in")
    browser.post("/sign-in", name="ada", password=PASSWORD)
    cookie = browser.last.history[0].headers["set-cookie"]
    assert {part.strip().lower() for part in cookie.split(";")[1:]} == {
        "httponly",
        "path=/",
        "samesite=strict",
    }


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short", "short_password"),
        ("x" * 201, "long_password"),
        ("password-123456789", "common_password"),
        ("otto is the best", "common_password"),
        ("aaaaaaaaaaaaaaaa", "common_password"),
    ],
)
def test_weak_passwords_are_not_set(password, code):
    with pytest.raises(InputError) as refused:
        passwords.check_new_password(password, "otto")
    assert refused.value.code == code


def test_somebody_stays_administrator(browser):
    ada = next(p for p in browser.console.people.all() if p.name == "ada")
    for roles, active in (({Role.DRAFTS}, True), ({Role.ADMINISTRATOR}, False)):
        with pytest.raises(InputError) as refused:
            browser.console.people.set_roles("ada", ada, roles, active=active)
        assert refused.value.code == "last_administrator"


def test_an_administrator_adds_somebody_who_then_signs_in(browser):
    browser.sign_in("ada")
    browser.get("/people/add")
    browser.post("/people/add", name="Zoë", full_name="Zoë", roles="drafts", password=PASSWORD)
    assert "Use 2 to 64 small letters" in browser.last.text
    browser.post("/people/add", name="zoe", full_name="Zoë <b>Z</b>", roles="drafts", password=PASSWORD)
    assert browser.last.url.path == "/people"
    assert "Zoë &lt;b&gt;Z&lt;/b&gt; can sign in now" in browser.last.text
    assert "can sign in now" not in browser.get("/people").text
    browser.post("/sign-out")
    browser.sign_in("zoe")
    assert browser.get("/people").status_code == 403


def test_a_password_set_by_another_takes_the_second_factor_along(browser):
    browser.sign_in("otto")
    browser.post("/sign-out")
    browser.sign_in("ada")
    otto = next(p for p in browser.console.people.all() if p.name == "otto")
    browser.get(f"/people/{otto.id}")
    browser.post(f"/people/{otto.id}/password", password="other words for one door")
    browser.post("/sign-out")
    browser.get("/sign-in")
    browser.post("/sign-in", name="otto", password="other words for one door")
    assert browser.last.url.path == "/sign-in/second-factor"


def test_the_own_password_is_changed_with_the_present_one(browser):
    browser.sign_in("otto")
    browser.get("/account")
    new = "other words for one door"
    browser.post("/account/password", current="wrong", password=new, again=new)
    assert "That is not your present password" in browser.last.text
    browser.post("/account/password", current=PASSWORD, password=new, again="another")
    assert "Type the same password twice" in browser.last.text
    browser.post("/account/password", current=PASSWORD, password=new, again=new)
    assert "Your password is changed" in browser.last.text
    browser.post("/account/recovery-codes", code="000000")
    assert browser.last.status_code == 400
    browser.clock.pass_(MINUTE)
    browser.post("/account/recovery-codes", code=code_of(browser, "otto"))
    assert "Keep these recovery codes" in browser.last.text
