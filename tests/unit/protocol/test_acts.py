"""Look-ups, disclosures and purges: their one form, and what the decision makes of them."""

import pytest

from countermark_protocol.acts import (
    ACT_KINDS,
    PurgeGround,
    Scope,
    parse_act,
    parse_disclosure,
    parse_look_up,
    parse_purge,
)
from countermark_protocol.boxes import Box
from countermark_protocol.claims import Kind
from countermark_protocol.deciding_acts import LONGEST_LOOK_UP, mandate_of
from countermark_protocol.documents import parse_document
from countermark_protocol.errors import (
    ConflictError,
    CountermarkError,
    MalformedError,
    NotFoundError,
    PolicyError,
    SignatureError,
)
from countermark_protocol.mandates import Oversight, Term
from countermark_protocol.records import State
from countermark_protocol.state import Needs, needs_of
from countermark_protocol.statements import (
    DisclosureStatement,
    LookUpStatement,
    PurgeStatement,
    act_of,
    header_of,
    purged_by,
    read_statement,
)
from support.protocol_world import NOW, make_world
from support.world import ALWAYS, BROKER, DAY, KAMPALA, KENYAN_AUDITOR, MOMBASA, NAIROBI, OVERSEER, handling

HOUR = 3_600_000


@pytest.fixture
def world():
    world = make_world()
    world.put(world.endpoint_statement(KENYAN_AUDITOR))
    world.put(world.keys_statement(KENYAN_AUDITOR))
    world.put(world.authority_statement("xo-un"))
    world.put(world.endpoint_statement(OVERSEER, audits=None))
    world.put(world.keys_statement(OVERSEER))
    world.put(world.governance(auditors=(Oversight(OVERSEER, Term(NOW, NOW + DAY)),)))
    return world


def look_up(world, author=KENYAN_AUDITOR, scope=Scope.NATIONAL, **changes):
    return world.look_up(author, scope, **{"until": world.now + HOUR} | changes)


def test_they_read_back(world):
    message = world.send()
    for data, shape, kind in [
        (look_up(world), LookUpStatement, Kind.LOOKUP),
        (world.disclosure(NAIROBI, message), DisclosureStatement, Kind.DISCLOSURE),
        (world.purge(NAIROBI, message), PurgeStatement, Kind.PURGE),
    ]:
        statement = world.statement(data)
        assert isinstance(statement, shape)
        assert header_of(statement).kind is kind
        assert kind in ACT_KINDS
        claims = parse_document(data).claims
        assert parse_act(claims) == act_of(statement)
        assert act_of(statement).to_json() == claims
        assert (purged_by(parse_document(data)) is None) == (kind is not Kind.PURGE)


@pytest.mark.parametrize(
    ("parse", "make"),
    [
        (parse_look_up, lambda w, m: look_up(w)),
        (parse_disclosure, lambda w, m: w.disclosure(NAIROBI, m)),
        (parse_purge, lambda w, m: w.purge(NAIROBI, m)),
    ],
)
def test_strict_forms(world, parse, make):
    claims = parse_document(make(world, world.send())).claims
    for name in claims:
        with pytest.raises(MalformedError):
            parse({k: v for k, v in claims.items() if k != name})
        for value in (None, -1, [], {}, "", True, "\x00"):
            with pytest.raises(MalformedError):
                parse(claims | {name: value})
    for bad in ({**claims, "more": 1}, claims | {"kind": "message"}):
        with pytest.raises(MalformedError):
            parse(bad)


def test_no_more_is_disclosed_than_there_is(world):
    claims = parse_document(world.disclosure(NAIROBI, world.send())).claims
    with pytest.raises(MalformedError) as caught:
        parse_disclosure(claims | {"disclosed": 3})
    assert caught.value.code == "bad_member"


# --- look-ups ----------------------------------------------------------------------------------------


def test_a_look_up_is_put_into_its_authors_sent(world):
    for data, author in (
        (look_up(world), KENYAN_AUDITOR),
        (look_up(world, OVERSEER, Scope.OVERSIGHT), OVERSEER),
    ):
        entry = world.put(data)
        assert [(p.row.endpoint, p.row.box) for p in entry.placed] == [(author, Box.SENT)]
        assert entry.leaf.kind == Kind.LOOKUP


@pytest.mark.parametrize(
    ("author", "scope"),
    [(NAIROBI, Scope.NATIONAL), (KENYAN_AUDITOR, Scope.OVERSIGHT), (OVERSEER, Scope.NATIONAL)],
)
def test_nobody_looks_without_that_mandate(world, author, scope):
    world.refuse(look_up(world, author, scope), PolicyError, "no_mandate")


def test_terms_begin_and_end(world):
    data = look_up(world, OVERSEER, Scope.OVERSIGHT)
    world.refuse(data, PolicyError, "no_mandate", time=NOW + DAY)
    term = mandate_of(world.state.directory, OVERSEER, Scope.OVERSIGHT, NOW)
    assert (term.since, term.until) == (NOW, NOW + DAY)
    with pytest.raises(PolicyError):
        mandate_of(world.state.directory, OVERSEER, Scope.OVERSIGHT, NOW - 1)


def test_mandates_are_withdrawn(world):
    before = world.state.size - 1
    world.put(world.governance(auditors=()))
    world.put(world.endpoint_statement(KENYAN_AUDITOR, audits=None))
    world.refuse(look_up(world, OVERSEER, Scope.OVERSIGHT), PolicyError, "no_mandate")
    world.refuse(look_up(world), PolicyError, "no_mandate")
    # What was looked up before stays right.
    assert mandate_of(world.state.directory, KENYAN_AUDITOR, Scope.NATIONAL, NOW, before) == ALWAYS


def test_a_suspended_auditor_does_not_look(world):
    world.put(world.endpoint_statement(KENYAN_AUDITOR, state=State.SUSPENDED))
    world.refuse(look_up(world), SignatureError, "wrong_signer")
    with pytest.raises(PolicyError):
        mandate_of(world.state.directory, KENYAN_AUDITOR, Scope.NATIONAL, NOW)


@pytest.mark.parametrize("until", [NOW - 1, NOW, NOW + LONGEST_LOOK_UP + 1])
def test_a_look_up_ends_within_a_day(world, until):
    world.refuse(look_up(world, until=until), PolicyError, "look_up_too_long", time=NOW)


def test_the_longest_look_up(world):
    world.put(look_up(world, until=world.state.time + LONGEST_LOOK_UP))


def test_only_the_auditor_signs_its_look_up(world):
    forged = look_up(world, signer=world.agencies[NAIROBI].instance)
    world.refuse(forged, SignatureError, "wrong_signer")


# --- disclosures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("party", [NAIROBI, KAMPALA])
def test_parties_disclose(world, party):
    entry = world.put(world.disclosure(party, world.send(NAIROBI, [KAMPALA])))
    assert [(p.row.endpoint, p.row.box) for p in entry.placed] == [(party, Box.SENT)]


def test_strangers_disclose_nothing(world):
    message = world.send(NAIROBI, [KAMPALA])
    world.refuse(world.disclosure(MOMBASA, message), NotFoundError, "unknown_message")
    world.refuse(world.disclosure(NAIROBI, bytes(32)), NotFoundError, "unknown_message")


# --- purges ------------------------------------------------------------------------------------------


def kept_until(world, time):
    return world.send(NAIROBI, [KAMPALA], handling=handling(retention_until=time))


def test_the_originator_withdraws(world):
    message = world.send(NAIROBI, [KAMPALA])
    entry = world.put(world.purge(NAIROBI, message))
    assert [(p.row.endpoint, p.row.box) for p in entry.placed] == [(NAIROBI, Box.SENT)]
    assert entry.decision.purged.payload_hash == message.payload_hash
    assert world.state.purges[message.payload_hash] == entry.index


def test_retention_ends(world):
    message = kept_until(world, NOW + DAY)
    data = world.purge(BROKER, message, PurgeGround.RETENTION_ENDED)
    world.refuse(data, PolicyError, "retention_running", time=NOW + DAY - 1)
    entry = world.put(data, time=NOW + DAY)
    told = {(p.row.endpoint, p.row.box) for p in entry.placed}
    assert told == {(NAIROBI, Box.NOTICES), (BROKER, Box.SENT)}


@pytest.mark.parametrize(
    ("author", "ground", "code"),
    [
        (KAMPALA, PurgeGround.WITHDRAWN, "not_originator"),
        (NAIROBI, PurgeGround.RETENTION_ENDED, "purge_ground"),
        (BROKER, PurgeGround.WITHDRAWN, "purge_ground"),
    ],
)
def test_whose_ground_it_is(world, author, ground, code):
    message = kept_until(world, NOW)
    world.refuse(world.purge(author, message, ground), PolicyError, code)


def test_nothing_is_purged_twice(world):
    message = kept_until(world, NOW)
    world.put(world.purge(NAIROBI, message))
    again = world.purge(BROKER, message, PurgeGround.RETENTION_ENDED)
    error = world.refuse(again, ConflictError, "already_purged")
    assert error.facts["standing"] == world.state.size - 1


def test_a_purge_names_a_logged_message(world):
    receipt = world.receipt(KAMPALA, [world.send()])
    entry = world.put(receipt)
    for named in (bytes(32), entry.document.payload_hash):
        data = world.purge(NAIROBI, named)
        world.refuse(data, NotFoundError, "unknown_message")
    other = world.send()
    document = world.verify(world.purge(NAIROBI, world.send()))
    for subject in (None, parse_document(other.document)):
        with pytest.raises(NotFoundError):
            read_statement(document, subject=subject)


def test_needs_name_what_decisions_look_up(world):
    message = world.send()
    for data in (look_up(world), world.disclosure(NAIROBI, message), world.purge(NAIROBI, message)):
        statement = world.statement(data)
        needs = Needs()
        needs_of(statement, needs)
        author = act_of(statement).author
        assert (author, Box.SENT) in needs.boxes
        if not isinstance(statement, LookUpStatement):
            assert needs.messages == {message.payload_hash}
        assert needs.purges == ({message.payload_hash} if isinstance(statement, PurgeStatement) else set())


def test_other_statements_name_no_purge(world):
    assert purged_by(parse_document(world.send().document)) is None
    with pytest.raises(CountermarkError):
        parse_act(parse_document(world.send().document).claims)
