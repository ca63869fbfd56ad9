"""The agency's keys: made in the set-up, open in memory alone, closed by button and by themselves."""

import pytest
from click.testing import CliRunner

from countermark_client import read_trust_file, testing
from countermark_client.statements import sign_gathering
from countermark_console.cli import main
from countermark_console.clock import HOUR, MINUTE
from countermark_console.errors import LockedError
from countermark_console.network import Network
from countermark_console.setup.steps import Step, next_step
from countermark_console.vault import idle_too_long
from support.console import PASSWORD, Browser, Clock, open_console

PASSPHRASE = "copper lanterns over quiet harbours"


@pytest.fixture
def world():
    return testing.world("be.contact.federal")


@pytest.fixture
def browser(world, tmp_path):
    """Of a console on a fresh machine, beside a broker in memory."""
    clock = Clock()
    network = Network(transport=world.transport, clock=world.clock, sleep=world.clock.sleep)
    console = open_console(tmp_path / "home", clock, network=network)
    yield Browser(console, clock)
    console.close()


def first_account(browser):
    code = browser.console.setup_code.text
    browser.get("/", params={})
    assert browser.last.url.path == "/setup"
    person = {"full_name": "Ada", "name": "ada", "password": PASSWORD, "works": "yes"}
    browser.post("/setup", code="WRONG", **person)
    assert "That is not the code" in browser.last.text
    browser.post("/setup", code=code.lower(), **person)
    browser.sign_in("ada")


def by_hand(browser, world, told):
    browser.get("/setup/by-hand")
    browser.post(
        "/setup/by-hand",
        _files={"trust": ("founding.trust", world.trust)},
        address="be.police.brussels",
        broker=world.url,
        told=told,
    )


def make_keys(browser, **changed):
    fields = {"passphrase": PASSPHRASE, "again": PASSPHRASE, "endpoint_name": "Police, Brussels", **changed}
    browser.post("/setup/keys", **fields)


def test_set_up_by_hand_until_the_endpoint_sends(browser, world):
    first_account(browser)
    assert browser.get("/setup").url.path == "/setup/connection"
    by_hand(browser, world, "0000 0000")
    assert "another fingerprint" in browser.last.text
    by_hand(browser, world, read_trust_file(world.trust).fingerprint.upper())
    assert browser.last.url.path == "/setup/keys"
    make_keys(browser, passphrase="short", again="short")
    assert "Use at least 14 characters" in browser.last.text
    make_keys(browser, again="another")
    assert "Type the same passphrase twice" in browser.last.text
    make_keys(browser)
    assert browser.last.url.path == "/setup/waiting"
    assert browser.console.enrolling.fingerprint in browser.last.text

    # A restart in the middle goes on where it was, once the keys are open.
    browser.console.vault.lock()
    assert browser.get("/setup").url.path == "/keys/unlock"
    browser.post("/keys/unlock", passphrase="wrong", then="/setup")
    assert "does not open the keys" in browser.last.text
    browser.post("/keys/unlock", passphrase=PASSPHRASE, then="/setup")
    assert browser.last.url.path == "/setup/waiting"
    assert "Waiting for" in browser.get("/live/setup").text

    request = browser.get("/setup/request").content
    world.broker.post_statement(sign_gathering(request, [world.authority("be")]))
    answer = browser.get("/live/setup")
    assert (answer.status_code, answer.headers["hx-redirect"]) == (204, "/setup/done")
    assert "be.police.brussels" in browser.get("/setup/done").text
    client = browser.console.vault.client
    assert client.directory.endpoint("be.police.brussels").name == "Police, Brussels"
    done = [e.what for e in browser.console.log.entries()][::-1]
    assert [w for w in done if w in {"profile-made", "enrolment-requested", "unlock-failed", "enrolled"}] == [
        "profile-made",
        "enrolment-requested",
        "unlock-failed",
        "enrolled",
    ]


def test_an_invitation_that_is_none_is_told(browser, world):
    first_account(browser)
    browser.get("/setup/connection")
    browser.post("/setup/connection", link="nonsense")
    assert "Enter the link or the code" in browser.last.text
    browser.post("/setup/connection", link="K7QF-2MXA-9TBW")
    assert "With a code, enter the broker" in browser.last.text


def test_the_set_up_is_the_administrators_and_its_first_step_is_done_once(browser):
    first_account(browser)
    browser.console.people.add("ada", "otto", "Otto", {"drafts"}, password=PASSWORD)
    browser.post("/sign-out")
    code = browser.console.setup_code.text
    browser.get("/sign-in")
    browser.post("/setup", code=code, full_name="Eve", name="eve", password=PASSWORD)
    assert {p.name for p in browser.console.people.all()} == {"ada", "otto"}
    browser.sign_in("otto")
    for path in ("/setup/connection", "/setup/keys", "/setup/waiting", "/setup/request", "/setup/done"):
        assert browser.get(path).status_code == 403, path


@pytest.fixture
def open_vault(browser, world):
    first_account(browser)
    by_hand(browser, world, read_trust_file(world.trust).fingerprint)
    make_keys(browser)
    return browser.console.vault


def test_keys_are_closed_by_button_and_what_works_with_them_is_told_first(browser, open_vault):
    told = []
    open_vault.on_change(lambda client: told.append(client is not None and not client._http.is_closed))
    browser.get("/keys")
    assert "be.police.brussels" in browser.last.text
    browser.post("/keys/lock")
    assert told == [True, False]
    with pytest.raises(LockedError):
        _ = open_vault.client
    assert "be.police.brussels" not in browser.get("/keys").text
    browser.get("/keys/unlock")
    browser.post("/keys/unlock", passphrase=PASSPHRASE)
    assert told == [True, False, True]


def test_keys_are_closed_when_nobody_works(browser, open_vault):
    for _ in range(5):
        browser.clock.pass_(29 * MINUTE)
        browser.get("/")
        browser.console.tick()
        assert open_vault.state == "open"
    for _ in range(6):
        browser.clock.pass_(10 * MINUTE)
        browser.get("/live/setup")  # a page that was left open
    browser.console.tick()
    assert open_vault.state == "locked"
    assert browser.console.log.entries()[0].detail == "idle"


def test_wrong_passphrases_are_counted(browser, open_vault):
    open_vault.lock()
    statuses = []
    for _ in range(6):
        browser.get("/keys/unlock")
        browser.post("/keys/unlock", passphrase="wrong")
        statuses.append(browser.last.status_code)
    assert statuses == [401] * 5 + [429]


def test_who_only_audits_does_not_unlock(browser, open_vault):
    browser.console.people.add("ada", "olga", "Olga", {"auditor"}, password=PASSWORD)
    open_vault.lock()
    browser.post("/sign-out")
    browser.sign_in("olga")
    assert "Ask a colleague" in browser.get("/keys/unlock").text
    browser.post("/keys/unlock", passphrase=PASSPHRASE)
    assert (browser.last.status_code, open_vault.state) == (403, "locked")


def test_decisions():
    assert not idle_too_long(0, HOUR - 1, 60)
    assert idle_too_long(0, HOUR, 60)
    assert not idle_too_long(0, 1000 * HOUR, 0)
    facts = {"people": False, "connection": False, "profile": False, "unlocked": False, "enrolled": False}
    order = []
    for fact in ("", "people", "connection", "profile", "unlocked", "enrolled"):
        facts |= {fact: True} if fact else {}
        order.append(next_step(**facts))
    assert order == list(Step)


def test_accounts_by_command(tmp_path):
    (tmp_path / "password").write_text(PASSWORD + "\n")
    home = str(tmp_path / "home")
    arguments = ["people", "add", "j.mwangi", "--full-name", "Jane", "--home", home, "--role"]
    password = ["--password-file", str(tmp_path / "password")]
    made = CliRunner().invoke(main, [*arguments, "drafts", *password])
    assert (made.exit_code, made.output) == (0, "added: j.mwangi, drafts\n")
    again = CliRunner().invoke(main, [*arguments, "drafts", *password])
    assert (again.exit_code, "name_taken" in again.output) == (1, True)
    wrong = CliRunner().invoke(main, [*arguments, "king", *password])
    assert (wrong.exit_code, "no_such_role" in wrong.output) == (1, True)
