"""A broker that logs what it must not: its own log convicts it, and the evidence is kept."""

import pytest

from countermark_client import testing
from countermark_client.statements import sign_gathering
from countermark_client.testing import TestBroker
from countermark_protocol import appending
from countermark_protocol.accounts import Verdict
from countermark_protocol.boxes import Box, BoxState
from countermark_protocol.claims import Seen
from countermark_protocol.decision import Decision
from countermark_protocol.directory import Directory
from countermark_protocol.documents import parse_document
from countermark_protocol.encoding import encode_base64url, encode_json, parse_base64url, parse_object
from countermark_protocol.errors import InconsistentLogError, ProofError, SignatureError
from countermark_protocol.gathering import read_gathering, start_gathering
from countermark_protocol.leaf import Leaf, parse_leaf
from countermark_protocol.receipts import ReceiptItem, ReceiptStage
from countermark_protocol.records import parse_directory_statement
from countermark_protocol.statements import ReceiptStatement, verify_statement

KENYA, BELGIUM = "ke.police.nairobi", "be.contact.federal"


@pytest.fixture
def world():
    return testing.world(KENYA, BELGIUM)


def _send(client):
    return client.send("tracing-request", testing.sample_request(), to=[BELGIUM])


def _decide(monkeypatch, change):
    real = appending.decide
    monkeypatch.setattr(
        appending, "decide", lambda state, statement, time: change(real, state, statement, time)
    )


def test_a_message_in_the_wrong_box(world, monkeypatch):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)

    def into_urgent(real, state, statement, time):
        decision = real(state, statement, time)
        return Decision(((BELGIUM, Box.URGENT), (KENYA, Box.SENT)), decision.messages)

    with monkeypatch.context() as patch:
        _decide(patch, into_urgent)
        with pytest.raises(ProofError) as mismatch:
            _send(kenya)
    assert mismatch.value.code == "deliveries_mismatch"
    with pytest.raises(InconsistentLogError) as caught:
        list(belgium.inbox())
    assert caught.value.code == "wrong_box"
    leaf, document, _ = caught.value.evidence
    assert parse_leaf(leaf).statement == world.broker.entries[-1].leaf.statement
    assert document == world.broker.entries[-1].document.data


def test_a_message_signed_by_a_revoked_key(world, monkeypatch):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    kenya.sync()
    held = world.broker.state.directory

    def blind(real, state, statement, time):
        revocation = held.revocation
        held.revocation = lambda _key, _at=None: None
        try:
            return real(state, statement, time)
        finally:
            held.revocation = revocation

    world.revoke_instance(KENYA)
    with monkeypatch.context() as patch:
        _decide(patch, blind)
        with pytest.raises(InconsistentLogError) as caught:
            _send(kenya)
    assert caught.value.code == "signer_did_not_count"
    with pytest.raises(InconsistentLogError) as caught:
        list(belgium.inbox())
    assert caught.value.code == "signer_did_not_count"
    assert belgium.halted is not None


def test_a_back_dated_message(world, monkeypatch):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    kenya.sync()
    monkeypatch.setattr(type(kenya._core.log), "seen", property(lambda _self: Seen(10_000, b"\x01" * 32)))
    with monkeypatch.context() as patch:
        patch.setattr("countermark_protocol.decision._check_seen", lambda *_: None)
        with pytest.raises(InconsistentLogError) as caught:
            _send(kenya)
        assert caught.value.code == "back_dated"
        with pytest.raises(InconsistentLogError) as caught:
            list(belgium.inbox())
        assert caught.value.code == "decided_wrongly"


def test_a_receipt_that_moves_nothing(world, monkeypatch):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    sent = _send(kenya)
    [received] = belgium.inbox()
    received.accept()

    def accept_again(real, state, statement, time):
        if isinstance(statement, ReceiptStatement):
            return Decision(((KENYA, Box.NOTICES), (BELGIUM, Box.SENT)))
        return real(state, statement, time)

    with monkeypatch.context() as patch:
        _decide(patch, accept_again)
        belgium._run(
            belgium._core.sender.post_receipt(KENYA, ReceiptStage.ACCEPTED, [ReceiptItem(sent.message, True)])
        )
    with pytest.raises(InconsistentLogError) as caught:
        kenya.notices()
    assert caught.value.code == "decided_wrongly"


def test_a_box_that_is_told_anew(world):
    kenya = world.client(KENYA)
    _send(kenya)
    _send(kenya)
    world.broker.state.boxes[KENYA, Box.SENT] = BoxState()
    with pytest.raises(InconsistentLogError) as caught:
        _send(kenya)
    assert caught.value.code == "box_rewritten"


def test_a_box_that_is_told_anew_behind_a_gap(world):
    kenya = world.client(KENYA)
    two = world.client(world.profile(KENYA, keystore=world.add_instance(KENYA)))
    first = _send(two)
    _send(kenya)  # position 1, while this instance has not read position 0
    state = BoxState().after(first.index, world.broker.entries[first.index].leaf.statement)
    world.broker.state.boxes[KENYA, Box.SENT] = state
    third = world.client(world.profile(KENYA, keystore=world.add_instance(KENYA, "three")))
    last = _send(third)
    world.broker._boxes[KENYA, Box.SENT] = [first.index, last.index]
    with pytest.raises(InconsistentLogError) as caught:
        kenya.sync_sent()
    assert caught.value.code == "box_rewritten"


def test_a_gap_of_other_instances_closes_by_reading(world):
    kenya = world.client(KENYA)
    two = world.client(world.profile(KENYA, keystore=world.add_instance(KENYA)))
    for client in (two, kenya, two, kenya):
        _send(client)
    assert kenya.sync_sent() == 4
    assert two.sync_sent() == 3
    _send(kenya)
    assert kenya.sync_sent() == 0
    assert len(kenya.messages("out")) == 5


# --- directory ---------------------------------------------------------------------------------------


def _change_page(world, change):
    def intercept(request, answer):
        status, headers, body = answer
        if request.path != "/v1/directory":
            return answer
        value = parse_object(body)
        change(value)
        return status, headers, encode_json(value)

    world.broker.intercept = intercept


def test_a_directory_leaf_of_another_statement(world):
    belgium = world.client(BELGIUM)

    def change(value):
        leaf = bytearray(parse_base64url(value["statements"][2]["leaf"], "leaf"))
        leaf[60] ^= 1
        value["statements"][2]["leaf"] = encode_base64url(bytes(leaf))

    _change_page(world, change)
    with pytest.raises(ProofError) as caught:
        belgium.sync()
    assert caught.value.code == "leaf_mismatch"


def test_a_last_leaf_that_is_not_in_the_tree(world):
    belgium = world.client(BELGIUM)

    def change(value):
        value["last"]["path"][0] = "00" * 32

    _change_page(world, change)
    with pytest.raises(ProofError) as caught:
        belgium.sync()
    assert caught.value.code == "inclusion_mismatch"
    assert belgium.directory.count == 0


def test_another_time_for_a_statement_long_replaced_is_found_in_the_whole_log(world):
    world.clock.advance(minutes=5)
    world.add_instance(KENYA)
    world.clock.advance(minutes=5)
    world.add_instance(KENYA, "three")
    belgium = world.client(BELGIUM)

    def change(value):
        """Tell another time for the first of the two, which the last directory head no longer covers."""
        told, directory = value["statements"], Directory()
        for number, one in enumerate(told):
            leaf = parse_leaf(parse_base64url(one["leaf"], "leaf"))
            document = verify_statement(
                directory, parse_document(parse_base64url(one["document"], "d", 10**6))
            )
            time = leaf.time + (60_000 if number == len(told) - 2 else 0)
            directory.apply(parse_directory_statement(document.claims), document, one["index"], time)
            changed = Leaf(leaf.kind, time, leaf.dir_count, directory.head, leaf.statement, leaf.delivery)
            one["leaf"] = encode_base64url(changed.encode())

    _change_page(world, change)
    belgium.sync()  # nothing in this page contradicts itself
    with pytest.raises(InconsistentLogError) as caught:
        belgium.verify_log()
    assert caught.value.code == "directory_head_mismatch"


# --- accounts and the whole log ----------------------------------------------------------------------


def test_an_account_to_somebody_else(world):
    belgium = world.client(BELGIUM)
    make = world.broker._account
    world.broker._account = lambda _who, *rest: make(KENYA, *rest)
    with pytest.raises(SignatureError) as caught:
        list(belgium.inbox())
    assert caught.value.code == "wrong_caller"


def test_a_refusal_must_be_one(world):
    kenya = world.client(KENYA)
    _send(kenya)
    world.suspend(BELGIUM)
    make = world.broker._account
    world.broker._account = lambda who, request, _verdict, _refusal: make(
        who, request, Verdict.NOT_HELD, None
    )
    with pytest.raises(ProofError) as caught:
        _send(kenya)
    assert caught.value.code == "refusal_unproven"
    assert kenya.outbox()[-1].state == "waiting"


def test_time_that_goes_back(world):
    kenya = world.client(KENYA)
    _send(kenya)
    world.clock.advance(minutes=-10)
    world.broker.state.time = 0
    _send(kenya)
    with pytest.raises(InconsistentLogError) as caught:
        kenya.verify_log()
    assert caught.value.code == "time_went_back"


@pytest.mark.parametrize(("honest", "code"), [(True, "account_other_root"), (False, "checkpoint_fork")])
def test_a_log_restored_from_an_old_copy_is_a_fork(world, monkeypatch, honest, code):
    if not honest:  # a broker that does not even look at what the sender has seen
        monkeypatch.setattr("countermark_protocol.decision._check_seen", lambda *_: None)
    kenya = world.client(KENYA)
    kenya.sync()
    documents = [e.document.data for e in world.broker.entries]
    other = TestBroker(
        founding=documents[0],
        log_key=world._log_key,
        node_key=world.broker._node_key,
        clock=world.clock,
        authority="broker.test",
    )
    # The copy lacks the last statement, and logs another one in its place.
    for document in documents[1:-1]:
        other.post_statement(document)
    keys = world.keystore(BELGIUM)
    draft = world.drafts.keys(
        BELGIUM,
        signing=[(keys.signer("instance").public_key, "other")],
        sealing=keys.sealing_key().public_key,
    )
    payload = parse_object(read_gathering(draft).document.payload)
    payload.pop("prev", None)
    payload["seen"] = Seen(0, other.state.roots[0]).to_json()
    data = sign_gathering(
        start_gathering(encode_json(payload)), [keys.signer("administrator")], [keys.signer("instance")]
    )
    other.post_statement(data)
    assert other.state.size == world.broker.state.size
    world.transport.broker = other
    with pytest.raises(InconsistentLogError) as caught:
        _send(kenya)
    assert caught.value.code == code
    assert kenya.halted is not None
