"""Whom a message goes to: groups, selectors and contacts, resolved on the client to an explicit list."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from countermark_client import Draft, testing
from countermark_client._addressing import contacts, is_open, resolve_names, select
from countermark_client.drafts import change_endpoint
from countermark_client.statements import sign_gathering
from countermark_protocol.documents import parse_document
from countermark_protocol.errors import MalformedError, NotFoundError, PolicyError, SignatureError
from countermark_protocol.identifiers import authority_of
from countermark_protocol.mandates import Term
from countermark_protocol.manifest import parse_manifest
from countermark_protocol.offices import Alternate, OfficeHours
from countermark_protocol.records import State
from support.cli import cli_for

POLICE, MOMBASA, BORDER = "ke.police.nairobi", "ke.customs.mombasa", "ke.border.malaba"
KAMPALA, BRUSSELS, LIEGE = "ug.customs.kampala", "be.contact.brussels", "be.contact.liege"
NCB, AUDITOR = "us.ncb.washington", "ke.auditor.office"
ALL = (POLICE, MOMBASA, BORDER, KAMPALA, BRUSSELS, LIEGE, NCB, AUDITOR)


@pytest.fixture
def world():
    return testing.world(*ALL)


@pytest.fixture
def police(world):
    client = world.client(POLICE)
    client.sync()
    return client


def notice(case="KE-1"):
    return testing.sample_notice(case)


def draft(*to, **kwargs):
    return Draft(type="lost-or-stolen-notice", content=notice(), to=list(to), **kwargs)


def addresses(found):
    return [one.address for one in found.recipients]


def change(world, address, **changed):
    """Its authority changes an endpoint's record."""
    made = change_endpoint(world.drafts, world.broker.state.directory, address, **changed)
    world.broker.post_statement(sign_gathering(made, [world.authority(authority_of(address))]))


# --- selectors -----------------------------------------------------------------------------------------


def test_a_selector_takes_whom_it_finds_and_names_whom_it_leaves_out(world, police):
    found = police.resolve(draft("ke.*.*"))
    assert addresses(found) == [BORDER, MOMBASA]
    [left] = found.left_out
    assert (left.address, left.by) == (AUDITOR, "ke.*.*")
    assert left.message
    assert found.dir_head == police.directory.head
    assert (found.size, found.dir_count) == (police.checkpoint.size, police.directory.count)
    assert all(
        police.directory.held(f"endpoint/{one.address}").index == one.index for one in found.recipients
    )
    sent = police.send("lost-or-stolen-notice", notice(), ["ke.*.*"])
    assert set(sent.recipients) == {BORDER, MOMBASA}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("*.customs.*", {MOMBASA, KAMPALA}),
        ("*.*.kampala", {KAMPALA}),
        ("be.contact.*", {BRUSSELS, LIEGE}),
        ("ke.police.*", None),
        ("xx.*.*", None),
    ],
)
def test_whom_selectors_find(police, selector, expected):
    if expected is None:
        # Nobody; oneself is not written to.
        with pytest.raises(NotFoundError) as caught:
            select(police.directory, selector, POLICE)
        assert caught.value.code == "nobody_selected"
    else:
        assert set(select(police.directory, selector, POLICE)) == expected


@pytest.mark.parametrize(
    "selector", ["*", "ke.*", "ke.*.*.*", "k*.police.x", "ke.postman.*", "ke.pol*.*", "*.*.Mombasa"]
)
def test_what_is_no_selector(police, selector):
    with pytest.raises(MalformedError) as caught:
        select(police.directory, selector, POLICE)
    assert caught.value.code == "not_a_selector"


def test_who_is_suspended_is_not_selected(world, police):
    world.suspend(MOMBASA)
    police.sync()
    assert set(select(police.directory, "*.customs.*", POLICE)) == {KAMPALA}


def test_who_was_named_is_reached_or_nothing_is_sent(world, police):
    world.suspend(MOMBASA)
    police.sync()
    with pytest.raises(PolicyError) as caught:
        police.send("lost-or-stolen-notice", notice(), ["ke.*.*", MOMBASA])
    assert [p["recipient"] for p in caught.value.facts["problems"]] == [MOMBASA]
    with pytest.raises(NotFoundError) as caught:
        police.send("lost-or-stolen-notice", notice(), ["ke.auditor.*"])
    assert caught.value.code == "nobody_selected"
    assert AUDITOR in caught.value.message


# --- groups --------------------------------------------------------------------------------------------


def test_a_change_of_a_group_changes_nothing_that_was_sent(world, police):
    world.group("ke/customs", [MOMBASA, KAMPALA])
    sent = police.send("lost-or-stolen-notice", notice(), ["group:ke/customs"])
    before = police.proof(sent)
    stored = parse_manifest(parse_document(police.profile.store.message(sent.message).document).claims)
    world.group("ke/customs", [KAMPALA, BRUSSELS])
    police.sync()
    assert addresses(police.resolve(draft("group:ke/customs"))) == [BRUSSELS, KAMPALA]
    assert {r.recipient for r in police.status(sent).recipients} == {MOMBASA, KAMPALA}
    assert police.proof(sent) == before
    # It names the statement that its members were taken from, not only the group.
    old, new = police.directory.history("group/ke/customs")
    assert stored.group.statement == old.statement != new.statement
    assert [m.message for m in world.client(MOMBASA).inbox()] == [sent.message]
    assert list(world.client(BRUSSELS).inbox()) == []


def test_nobody_but_its_owner_changes_a_group(world):
    world.group("ke/customs", [MOMBASA])
    size = world.broker.state.size
    taken = world.drafts.group("ke/customs", title="Ours now", members=[KAMPALA])
    with pytest.raises(SignatureError) as caught:
        world.broker.post_statement(sign_gathering(taken, [world.authority("ug")]))
    assert caught.value.code == "wrong_signer"
    assert world.broker.state.size == size


def test_a_group_stands_alone(police, world):
    world.group("ke/customs", [MOMBASA])
    police.sync()
    for to, more in ((["group:ke/customs", KAMPALA], {}), (["group:ke/customs"], {"alternates": True})):
        with pytest.raises(MalformedError) as caught:
            police.resolve(draft(*to, **more))
        assert caught.value.code in {"mixed_recipients", "alternates_of_group"}


# --- the contact of the country of manufacture ---------------------------------------------------------


def request(*countries):
    made = testing.sample_request()
    made["items"] = [
        testing.sample_item(str(n)) | ({"countryOfManufacture": c} if c else {})
        for n, c in enumerate(countries, 1)
    ]
    return made


def test_a_trace_goes_to_the_contacts_of_the_country_of_manufacture(police):
    found = police.resolve(Draft(type="tracing-request", content=request("BE", None), to=["contact:made-in"]))
    assert addresses(found) == [BRUSSELS, LIEGE]
    assert addresses(police.resolve(draft("contact:be"))) == [BRUSSELS, LIEGE]


@pytest.mark.parametrize(
    ("countries", "code"),
    [
        ((None,), "no_country_of_manufacture"),
        (("BE", "US"), "several_countries"),
        (("SU",), "no_contact"),
        (("US",), "no_contact"),
    ],
)
def test_where_there_is_no_one_country_to_ask(police, countries, code):
    with pytest.raises((MalformedError, NotFoundError)) as caught:
        police.resolve(Draft(type="tracing-request", content=request(*countries), to=["contact:made-in"]))
    assert caught.value.code == code


def test_what_is_told_where_a_country_has_no_contact(police):
    with pytest.raises(NotFoundError, match=NCB):
        contacts(police.directory, "US")
    with pytest.raises(NotFoundError, match="successor"):
        contacts(police.directory, "SU")
    with pytest.raises(MalformedError):
        contacts(police.directory, "Belgium")


# --- closed offices ------------------------------------------------------------------------------------

WEEKDAYS = OfficeHours("Europe/Brussels", (1, 2, 3, 4, 5), "09:00", "17:00")


def ms(*moment):
    return int(datetime(*moment, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        # A Friday in winter: local time is an hour ahead; in summer two.
        ((2026, 1, 16, 7, 59), False),
        ((2026, 1, 16, 8, 0), True),
        ((2026, 1, 16, 15, 59), True),
        ((2026, 1, 16, 16, 0), False),
        ((2026, 7, 17, 7, 0), True),
        ((2026, 1, 17, 10, 0), False),
    ],
)
def test_hours_are_those_of_the_place(moment, expected):
    assert is_open(WEEKDAYS, ms(*moment)) is expected


def test_a_zone_that_is_not_known_tells_nothing():
    assert is_open(replace(WEEKDAYS, zone="Atlantis/Capital"), ms(2026, 1, 16, 12)) is None


def closed(world):
    """Brussels is closed at this moment; on duty is Liège today, somebody else tomorrow, and one always."""
    now = world.clock()
    today = datetime.fromtimestamp(now / 1000, UTC).isoweekday()
    day = 86_400_000
    roster = (
        Alternate(LIEGE, Term(now - day, now + day)),
        Alternate("be.ncb.brussels", Term(now + day, now + 2 * day)),
        Alternate("be.police.nowhere"),
    )
    hours = OfficeHours("UTC", (today % 7 + 1,), "08:00", "17:00")
    change(world, BRUSSELS, alternates=roster, office_hours=hours)


def test_a_closed_office_is_said_and_nothing_is_redirected(world, police):
    closed(world)
    found = police.resolve(draft(BRUSSELS))
    [one] = found.recipients
    # Who is on duty and cannot receive is not suggested.
    assert (one.address, one.is_open, one.alternates) == (BRUSSELS, False, (LIEGE,))
    sent = police.send("lost-or-stolen-notice", notice(), [BRUSSELS])
    assert sent.recipients == (BRUSSELS,)
    both = police.send("lost-or-stolen-notice", notice("KE-2"), [BRUSSELS], alternates=True)
    assert set(both.recipients) == {BRUSSELS, LIEGE}
    assert addresses(police.resolve(draft(BRUSSELS, alternates=True))) == [BRUSSELS, LIEGE]


def test_an_open_office_needs_nobody_to_stand_in(world, police):
    change(
        world,
        BRUSSELS,
        alternates=[Alternate(LIEGE)],
        office_hours=OfficeHours("UTC", (1, 2, 3, 4, 5, 6, 7), "00:00", "24:00"),
    )
    found = police.resolve(draft(BRUSSELS, alternates=True))
    assert (addresses(found), found.recipients[0].is_open) == ([BRUSSELS], True)
    # What else its authority changes leaves both as they are, until it says otherwise.
    change(world, BRUSSELS, name="Brussels")
    police.sync()
    assert police.directory.endpoint(BRUSSELS).alternates == (Alternate(LIEGE),)
    change(world, BRUSSELS, alternates=[], no_office_hours=True)
    police.sync()
    record = police.directory.endpoint(BRUSSELS)
    assert (record.alternates, record.office_hours) == ((), None)


def test_who_stands_in_for_a_suspended_endpoint_is_told(world, police):
    change(world, BRUSSELS, alternates=[Alternate(LIEGE)])
    change(world, BRUSSELS, state=State.SUSPENDED)
    police.sync()
    with pytest.raises(PolicyError, match=f"{LIEGE} stands in for it"):
        police.send("lost-or-stolen-notice", notice(), [BRUSSELS])


def test_resolving_names_asks_nobody(police):
    requests = len(police._core.session.store.outbox())
    named = resolve_names(police.directory, [KAMPALA], POLICE, {}, alternates=False, time=0)
    assert (named.chosen, named.selected, named.group) == ({KAMPALA: KAMPALA}, frozenset(), None)
    assert len(police._core.session.store.outbox()) == requests
    with pytest.raises(TypeError):
        resolve_names(police.directory, KAMPALA, POLICE, {}, alternates=False, time=0)


# --- the command line ----------------------------------------------------------------------------------


@pytest.fixture
def cli(world, tmp_path):
    world.profile(POLICE, folder=tmp_path / POLICE).close()
    return cli_for(world, tmp_path)


def test_the_list_is_shown_before_it_is_sent_to(world, cli):
    file = cli.file("n.json", notice())
    told = cli.run("send", "lost-or-stolen-notice", "--to", "ke.*.*", "--file", file, home=POLICE)
    assert told.stderr.index(BORDER) < told.stderr.index("left out") < told.stderr.index(AUDITOR)
    done = cli.json("send", "lost-or-stolen-notice", "--to", "ke.*.*", "--file", file, home=POLICE)
    [resolved] = done["resolved"]
    assert [r["address"] for r in resolved["recipients"]] == [BORDER, MOMBASA]
    assert resolved["left_out"][0]["address"] == AUDITOR
    assert "resolved" not in cli.json(
        "send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", file, home=POLICE
    )
    wrong = cli.json("send", "lost-or-stolen-notice", "--to", "xx.*.*", "--file", file, home=POLICE, code=1)
    assert wrong["messages"][0]["error"]["code"] == "nobody_selected"


def test_a_closed_office_is_noted(world, cli):
    closed(world)
    file = cli.file("n.json", notice())
    args = ("send", "lost-or-stolen-notice", "--to", BRUSSELS, "--file", file)
    cli.run("whoami", home=POLICE)
    assert f"closed now; {LIEGE} stands in (--alternates)" in cli.run(*args, home=POLICE).stderr
    done = cli.json(*args, "--alternates", home=POLICE)
    assert [r["address"] for r in done["resolved"][0]["recipients"]] == [BRUSSELS, LIEGE]


def test_rows_of_many_are_known_again_though_the_list_has_changed(world, cli):
    file = cli.file("n.jsonl", "\n".join(json.dumps(notice(f"KE-{n}")) for n in range(2)))
    args = ("send", "lost-or-stolen-notice", "--to", "*.customs.*", "--file", file)
    first = cli.json(*args, home=POLICE)
    world.enrol("tz.customs.dar")
    again = cli.json(*args, home=POLICE)
    assert [m["message"] for m in again["messages"]] == [m["message"] for m in first["messages"]]


def test_resolve_and_contact(world, cli):
    world.group("ke/customs", [MOMBASA, KAMPALA])
    found = cli.json("resolve", "group:ke/customs", home=POLICE)
    assert ([r["address"] for r in found["recipients"]], found["group"]) == ([MOMBASA, KAMPALA], "ke/customs")
    found = cli.json("resolve", "ke.*.*", "contact:BE", home=POLICE)
    assert {r["address"]: r["by"] for r in found["recipients"]}[LIEGE] == "contact:BE"
    closed(world)
    told = cli.run("contact", "--made-in", "be", home=POLICE).stdout
    assert "closed now" in told
    [brussels, _] = cli.json("contact", "--made-in", "BE", home=POLICE)["contacts"]
    assert (brussels["open"], brussels["alternates"]) == (False, [LIEGE])
    assert brussels["office_hours"]["zone"] == "UTC"
    assert cli.json("contact", "--made-in", "FR", home=POLICE, code=1)["error"]["code"] == "no_contact"
