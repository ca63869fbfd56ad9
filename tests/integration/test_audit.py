"""What the broker shows to whom: a test for each viewer, on both databases, of what it gets and of what it does not."""

import asyncio
import time

import pytest

from countermark_broker.config import load_settings
from countermark_broker.errors import UnavailableError
from countermark_broker.log.appender import Submitted
from countermark_broker.log.rebuild import Replayer
from countermark_broker.parts import build_parts
from countermark_broker.services.audit import read_audited_entries
from countermark_broker.services.node import Caller
from countermark_broker.store.reading import EntryRecord
from countermark_broker.store.scratch import scratch_database
from countermark_broker.store.writing import NOTHING
from countermark_protocol.accounts import Verdict
from countermark_protocol.acts import Scope
from countermark_protocol.answers import parse_accepted, parse_box_page
from countermark_protocol.audit_answers import parse_audited_entries
from countermark_protocol.boxes import Box
from countermark_protocol.checkpoint import parse_checkpoint
from countermark_protocol.claims import DIRECTORY_KINDS, Kind
from countermark_protocol.documents import parse_document
from countermark_protocol.encoding import parse_object
from countermark_protocol.identifiers import Address
from countermark_protocol.leaf import LEAF_BYTES, parse_leaf
from countermark_protocol.mandates import Oversight, Term
from countermark_protocol.records import State
from countermark_protocol.statements import kind_of, read_statement, verify_statement
from support.broker_fixtures import HttpBroker, found, keyring, write_home
from support.world import (
    ALWAYS,
    KAMPALA,
    KENYAN_AUDITOR,
    MOMBASA,
    NAIROBI,
    OVERSEER,
    USUAL,
    World,
    hash_of,
    now_ms,
)

UGANDAN_AUDITOR = Address("ug.auditor.office")
SECOND_OVERSEER = Address("xo-un.auditor.second")
ENDING, WITHDRAWN, SUSPENDED = (Address(f"ke.auditor.{n}") for n in ("ending", "withdrawn", "suspended"))
KENYAN = (NAIROBI, MOMBASA, KENYAN_AUDITOR, ENDING, WITHDRAWN, SUSPENDED)
AUDITORS = (*KENYAN[2:], UGANDAN_AUDITOR, OVERSEER, SECOND_OVERSEER)
#: Time enough for what must be logged before a term or a look-up ends.
SOON_MS = 4_000


@pytest.fixture(scope="module")
def audited(real_database, tmp_path_factory):
    """A broker with traffic: messages within Kenya, to and from it, and past it; one of them withdrawn."""
    world = World(
        endpoints=(*USUAL, *AUDITORS),
        oversight=(Oversight(OVERSEER, ALWAYS), Oversight(SECOND_OVERSEER, ALWAYS)),
    )
    settings = {"database_url": real_database} if real_database else {}
    home = write_home(world, tmp_path_factory.mktemp("audited") / "home", **settings)
    asyncio.run(found(world, home))
    broker = HttpBroker(world, home).start()
    client = broker.client()
    client.refresh()
    sent = [
        world.message(NAIROBI, [KAMPALA, MOMBASA]),
        world.message(KAMPALA, [NAIROBI]),
        world.message(KAMPALA, [USUAL[2]]),
        world.message(NAIROBI, [MOMBASA], recipients_visible=True),
    ]
    for sealed in sent:
        assert client.post_message(sealed).status_code == 201
    assert client.post_receipt(world.receipt(MOMBASA, [sent[0]]), MOMBASA).status_code == 201
    act(client, world.purge(NAIROBI, sent[3]), NAIROBI)
    client.sent = sent
    yield client
    client.close()
    broker.stop()


def act(client, data, by):
    answer = client.request("POST", "/v1/acts", data, by=by)
    assert answer.status_code == 201, answer.text
    return parse_accepted(answer.content).inclusion.index


def look_up(client, by, scope=Scope.NATIONAL, **more):
    """A logged look-up; its payload hash."""
    data = client.world.look_up(by, scope, **more)
    act(client, data, by)
    return hash_of(data)


def entries(client, named, by, first=0, limit=500):
    return client.request("GET", f"/v1/audit/{named.hex()}/entries?from={first}&limit={limit}", by=by)


def box_of(client, named, by, address=NAIROBI, box="sent", first=0):
    return client.request("GET", f"/v1/audit/{named.hex()}/boxes/{address}/{box}?from={first}", by=by)


def refused(client, answer, code, status=403):
    assert answer.status_code == status, answer.text
    account = client.verify_account_of(client.problem(answer, code).account, client.last_digest)
    assert (account.verdict, account.refusal.rule) == (Verdict.REFUSED, code)
    return account


def wait_until(time_ms):
    time.sleep(max(0, time_ms - now_ms()) / 1000 + 0.1)


# --- outsider, participant ---


def test_an_outsider_gets_leaves_and_checkpoints_and_no_statement(audited):
    named = look_up(audited, OVERSEER, Scope.OVERSIGHT)
    assert len(audited.request("GET", "/v1/log/leaves?from=0&limit=10000").content) % LEAF_BYTES == 0
    assert audited.request("GET", "/v1/log/checkpoint").status_code == 200
    for answer in (entries(audited, named, None), box_of(audited, named, None)):
        assert answer.status_code in {400, 401}
        assert parse_object(answer.content).get("account") is None
    stranger = audited.world.agency("ke.police.stranger").instance
    audited.problem(entries(audited, named, stranger), "unknown_key")


def test_a_participant_gets_its_own_boxes_and_no_look_up(audited):
    audited.verified_box(NAIROBI, Box.SENT)
    for scope in Scope:
        data = audited.world.look_up(NAIROBI, scope)
        audited.problem(audited.request("POST", "/v1/acts", data, by=NAIROBI), "no_mandate")
        # It is logged nowhere, so nothing is shown under it; nor under another's.
        for named in (hash_of(data), look_up(audited, OVERSEER, Scope.OVERSIGHT, ground=scope.value)):
            refused(audited, entries(audited, named, NAIROBI), "no_such_look_up", 404)
            refused(audited, box_of(audited, named, NAIROBI), "no_such_look_up", 404)
    # Nor under what is logged and is no look-up.
    refused(audited, entries(audited, audited.sent[0].payload_hash, NAIROBI), "no_such_look_up", 404)


# --- national auditor ---


def test_a_national_auditor_sees_every_box_of_its_state_as_its_owner_does(audited):
    named = look_up(audited, KENYAN_AUDITOR)
    seen = 0
    for owner in KENYAN:
        for box in Box:
            answer = box_of(audited, named, KENYAN_AUDITOR, owner, box.value)
            assert answer.status_code == 200, answer.text
            shown, owned = parse_box_page(answer.content), audited.box(owner, box)
            assert [e.document for e in shown.entries] == [e.document for e in owned.entries]
            assert [e.delivery.tail for e in shown.entries] == [e.delivery.tail for e in owned.entries]
            assert [(e.recipient, e.recipients) for e in shown.entries] == [
                (e.recipient, e.recipients) for e in owned.entries
            ]
            seen += len(shown.entries)
    assert seen > 6


def test_the_end_of_a_box_states_all_boxes_of_the_state(audited):
    named = look_up(audited, KENYAN_AUDITOR, ground="ends")
    answer = box_of(audited, named, KENYAN_AUDITOR, first=10_000)
    page = parse_box_page(answer.content)
    account = audited.verify_account_of(page.account, audited.last_digest)
    assert account.verdict is Verdict.END_OF_BOX
    assert account.caller == KENYAN_AUDITOR
    assert account.seen.size == parse_checkpoint(page.checkpoint).size
    expected = {(owner, box) for owner in KENYAN for box in Box}
    assert {(b.endpoint, b.box) for b in account.boxes} == expected
    for stated in account.boxes:
        if stated.endpoint in {NAIROBI, MOMBASA}:
            _, state, _ = audited.verified_box(stated.endpoint, stated.box)
            assert stated.state == state


def test_more_boxes_than_an_account_holds_are_said_to_be(audited, monkeypatch):
    monkeypatch.setattr("countermark_protocol.audit_access.MOST_ENDPOINTS", len(KENYAN) - 1)
    named = look_up(audited, KENYAN_AUDITOR, ground="many")
    refused(audited, box_of(audited, named, KENYAN_AUDITOR, first=10_000), "mandate_too_large")
    assert box_of(audited, named, KENYAN_AUDITOR).status_code == 200


def test_a_national_auditor_sees_no_other_state_and_not_the_whole_log(audited):
    for auditor, foreign in ((KENYAN_AUDITOR, KAMPALA), (UGANDAN_AUDITOR, NAIROBI)):
        named = look_up(audited, auditor, ground="abroad")
        account = refused(audited, box_of(audited, named, auditor, foreign), "outside_mandate")
        assert {b.endpoint for b in account.boxes} == {auditor}
        refused(audited, box_of(audited, named, auditor, "ke.police.nobody"), "outside_mandate")
        refused(audited, entries(audited, named, auditor), "other_scope")
        overseeing = audited.world.look_up(auditor, Scope.OVERSIGHT)
        audited.problem(audited.request("POST", "/v1/acts", overseeing, by=auditor), "no_mandate")
    assert box_of(audited, named, UGANDAN_AUDITOR, KAMPALA, "routine").status_code == 200


def test_no_auditor_sees_stanza_content_or_the_purge_as_a_party_does(audited):
    for auditor in (KENYAN_AUDITOR, OVERSEER):
        for sealed in audited.sent:
            for what in ("stanza", "content", "purge"):
                answer = audited.request(
                    "GET", f"/v1/messages/{sealed.payload_hash.hex()}/{what}", by=auditor
                )
                audited.problem(answer, "not_held")
    # But that it was purged stands in the box of who withdrew it.
    named = look_up(audited, KENYAN_AUDITOR, ground="purges")
    page = parse_box_page(box_of(audited, named, KENYAN_AUDITOR).content)
    kinds = [kind_of(parse_document(e.document).claims) for e in page.entries]
    assert kinds.count(Kind.PURGE) == 1
    assert audited.sent[3].document in [e.document for e in page.entries]


def test_an_auditor_uses_no_look_up_of_another(audited):
    named = look_up(audited, KENYAN_AUDITOR, ground="mine")
    for other in (UGANDAN_AUDITOR, WITHDRAWN, OVERSEER):
        refused(audited, box_of(audited, named, other), "no_such_look_up", 404)
        refused(audited, entries(audited, named, other), "no_such_look_up", 404)


def test_a_look_up_ends(audited):
    until = now_ms() + SOON_MS
    named = look_up(audited, KENYAN_AUDITOR, until=until)
    if now_ms() < until - 500:
        assert box_of(audited, named, KENYAN_AUDITOR).status_code == 200
    wait_until(until)
    refused(audited, box_of(audited, named, KENYAN_AUDITOR), "look_up_over")
    # A wrong scope is not what it is refused for then.
    refused(audited, entries(audited, named, KENYAN_AUDITOR), "look_up_over")


def test_a_term_ends(audited):
    until = now_ms() + SOON_MS
    statement = audited.world.endpoint_statement(ENDING, audits=Term(0, until))
    assert audited.post_statement(statement).status_code == 201
    named = look_up(audited, ENDING)
    wait_until(until)
    refused(audited, box_of(audited, named, ENDING), "look_up_over")
    again = audited.world.look_up(ENDING, ground="again")
    audited.problem(audited.request("POST", "/v1/acts", again, by=ENDING), "no_mandate")


def test_a_withdrawn_mandate_shows_nothing_more(audited):
    named = look_up(audited, WITHDRAWN)
    assert box_of(audited, named, WITHDRAWN).status_code == 200
    statement = audited.world.endpoint_statement(WITHDRAWN, audits=None)
    assert audited.post_statement(statement).status_code == 201
    refused(audited, box_of(audited, named, WITHDRAWN), "look_up_over")


def test_a_suspended_auditor_is_nobody_and_its_boxes_are_still_audited(audited):
    named = look_up(audited, SUSPENDED)
    statement = audited.world.endpoint_statement(SUSPENDED, State.SUSPENDED)
    assert audited.post_statement(statement).status_code == 201
    audited.problem(box_of(audited, named, SUSPENDED), "not_an_instance")
    other = look_up(audited, KENYAN_AUDITOR, ground="suspended")
    page = parse_box_page(box_of(audited, other, KENYAN_AUDITOR, SUSPENDED).content)
    assert [hash_of(e.document) for e in page.entries] == [named]


# --- oversight auditor ---


def test_an_oversight_auditor_gets_every_entry_and_replays_the_log(audited):
    named = look_up(audited, OVERSEER, Scope.OVERSIGHT, ground="replay")
    shown, first = [], 0
    while True:
        page = parse_audited_entries(entries(audited, named, OVERSEER, first, 7).content)
        size = audited.checkpoint_of(page.checkpoint).size
        if not page.entries:
            break
        assert len(page.entries) <= 7
        assert page.entries[0].index == first
        shown += page.entries
        first += len(page.entries)
    assert first == size
    leaves = audited.request("GET", f"/v1/log/leaves?from=0&limit={size}").content
    assert b"".join(e.leaf for e in shown) == leaves
    records = []
    for entry in shown:
        document, leaf = parse_document(entry.document), parse_leaf(entry.leaf)
        directory = kind_of(document.claims) in DIRECTORY_KINDS
        assert (entry.recipients is not None) == (leaf.kind == Kind.MESSAGE)
        records.append(
            EntryRecord(
                entry.index,
                entry.leaf,
                entry.document,
                entry.secret,
                entry.recipients or (),
                leaf.kind,
                document.payload_hash,
                leaf.dir_count - 1 if directory else None,
            )
        )
    # Every decision again, from nothing: the same leaves, the same root.
    with scratch_database() as connection:
        replayer = Replayer(connection, whole=False)
        replayer.add((record, NOTHING) for record in records)
        assert replayer.root(size) == audited.checkpoint_of(page.checkpoint).root


def test_an_oversight_auditor_reads_no_box(audited):
    named = look_up(audited, OVERSEER, Scope.OVERSIGHT, ground="boxes")
    refused(audited, box_of(audited, named, OVERSEER), "other_scope")
    # Its own authority has appointed it too, for its own endpoints: nothing of Kenya's is among them.
    national = look_up(audited, OVERSEER)
    refused(audited, box_of(audited, national, OVERSEER), "outside_mandate")
    assert box_of(audited, national, OVERSEER, OVERSEER).status_code == 200


def test_a_dismissed_overseer_sees_nothing_more(audited):
    named = look_up(audited, SECOND_OVERSEER, Scope.OVERSIGHT)
    assert entries(audited, named, SECOND_OVERSEER).status_code == 200
    statement = audited.world.governance(auditors=(Oversight(OVERSEER, ALWAYS),))
    assert audited.post_statement(statement).status_code == 201
    refused(audited, entries(audited, named, SECOND_OVERSEER), "look_up_over")


def test_paths_and_pages_have_one_form(audited):
    named = look_up(audited, OVERSEER, Scope.OVERSIGHT, ground="forms")
    beyond = parse_audited_entries(entries(audited, named, OVERSEER, 10**9).content)
    assert beyond.entries == ()
    for target in (
        f"/v1/audit/{named.hex().upper()}/entries",
        f"/v1/audit/{named.hex()[2:]}/entries",
        f"/v1/audit/{named.hex()}/entries?limit=501",
        f"/v1/audit/{named.hex()}/entries?from=-1",
        f"/v1/audit/{named.hex()}/boxes/{NAIROBI}/drafts",
        f"/v1/audit/{named.hex()}/boxes/Nairobi/sent",
    ):
        assert audited.request("GET", target, by=OVERSEER).status_code == 400, target
    text = audited.request("GET", "/metrics").text
    assert 'countermark_audited_entries_total{scope="oversight"}' in text


# --- not published ---


class _Broken:
    """A checkpoint store that fails while it is told to."""

    on = False

    def reach(self, name):
        if self.on and name == "before_sign":
            raise OSError


async def test_nothing_is_shown_under_a_look_up_that_is_not_published(tmp_path):
    world = World(endpoints=(*USUAL, OVERSEER), oversight=(Oversight(OVERSEER, ALWAYS),))
    home = write_home(world, tmp_path / "home")
    await found(world, home)
    faults = _Broken()
    parts = build_parts(load_settings(home, {}), keyring(world), faults=faults)
    node = parts.node
    try:
        before = await node.publisher.advance()
        data = world.look_up(OVERSEER, Scope.OVERSIGHT)
        document = verify_statement(await node.newest_directory(), parse_document(data))
        parts.appender.commit([Submitted(read_statement(document), NOTHING)])
        faults.on = True
        caller = Caller(OVERSEER, bytes(32))
        with pytest.raises(UnavailableError):
            await read_audited_entries(node, caller, hash_of(data), 0, 100)
        assert node.publisher.published.size == before.size
        faults.on = False
        page = await read_audited_entries(node, caller, hash_of(data), 0, 100)
        assert page.entries[-1].document == data
        assert parse_checkpoint(page.checkpoint).size == before.size + 1
    finally:
        node.verifier.close()
        await node.database.close()
