"""A broker that lies: each lie is caught, by the right error, before anything of it is used."""

import json

import pytest

from countermark_client import Settings, testing
from countermark_client.statements import sign_gathering
from countermark_protocol.accounts import Verdict
from countermark_protocol.boxes import Box, BoxState
from countermark_protocol.checkpoint import sign_checkpoint
from countermark_protocol.documents import parse_document, sign_document
from countermark_protocol.encoding import encode_base64url, encode_json, parse_base64url, parse_object
from countermark_protocol.errors import (
    InconsistentLogError,
    NotFoundError,
    ProofError,
    SealError,
    SignatureError,
    UncheckableError,
)

KENYA, BELGIUM = "ke.police.nairobi", "be.contact.federal"


@pytest.fixture
def world():
    return testing.world(KENYA, BELGIUM)


@pytest.fixture
def kenya(world):
    client = world.client(KENYA)
    client.sync()
    return client


@pytest.fixture
def belgium(world):
    client = world.client(BELGIUM)
    client.sync()
    return client


def _lie(world, path, change):
    """Let the broker change its JSON answers to calls whose path ends so."""

    def intercept(request, answer):
        status, headers, body = answer
        if not request.path.endswith(path) or status >= 300:
            return answer
        value = json.loads(body)
        changed = change(value)
        return status, headers, encode_json(value if changed is None else changed)

    world.broker.intercept = intercept


def _flip(text):
    data = bytearray(parse_base64url(text, "x"))
    data[-1] ^= 1
    return encode_base64url(bytes(data))


def _flip_hex(text):
    return ("1" if text[0] == "0" else "0") + text[1:]


def _send(client):
    return client.send("tracing-request", testing.sample_request(), to=[BELGIUM])


# --- answers to a submission -------------------------------------------------------------------------


def _another_tree(world):
    def change(value):
        broker = world.broker
        value["checkpoint"] = sign_checkpoint(
            broker.origin,
            broker.state.size,
            b"\x07" * 32,
            broker._log_key.sign,
            broker._log_key.public_key.raw,
        ).decode()

    return change


def _other_key(world):
    stranger = testing.world().broker

    def change(value):
        broker = world.broker
        value["checkpoint"] = sign_checkpoint(
            broker.origin,
            broker.state.size,
            broker.state.roots[broker.state.size],
            stranger._log_key.sign,
            stranger._log_key.public_key.raw,
        ).decode()

    return change


def _drop_row(value):
    value["deliveries"]["rows"] = [r for r in value["deliveries"]["rows"] if r["endpoint"] != BELGIUM]


def _wrong_box(value):
    for row in value["deliveries"]["rows"]:
        if row["endpoint"] == BELGIUM:
            row["box"] = "urgent"


def _extra_row(value):
    value["deliveries"]["rows"].append({**value["deliveries"]["rows"][0], "endpoint": "be.police.x"})


def _other_tail(value):
    value["deliveries"]["tail"]["position"] += 1


def _altered_leaf(value):
    value["inclusion"]["leaf"] = _flip(value["inclusion"]["leaf"])


def _other_index(value):
    value["inclusion"]["index"] -= 1


def _other_path(value):
    value["inclusion"]["path"][0] = _flip_hex(value["inclusion"]["path"][0])


def _no_deliveries(value):
    del value["deliveries"]


@pytest.mark.parametrize(
    ("change", "error", "code"),
    [
        (_altered_leaf, ProofError, None),
        (_other_index, ProofError, None),
        (_other_path, ProofError, "inclusion_mismatch"),
        (_drop_row, ProofError, "deliveries_mismatch"),
        (_extra_row, ProofError, "deliveries_mismatch"),
        (_wrong_box, ProofError, "deliveries_mismatch"),
        (_no_deliveries, ProofError, "deliveries_mismatch"),
        (_other_tail, ProofError, "tail_mismatch"),
    ],
    ids=lambda v: getattr(v, "__name__", str(v)),
)
def test_a_proof_that_proves_something_else(world, kenya, change, error, code):
    _lie(world, "/v1/messages", change)
    with pytest.raises(error) as caught:
        _send(kenya)
    assert code is None or caught.value.code == code
    [item] = kenya.outbox()
    assert item.state == "waiting"  # not answered: an answer that proves nothing is none
    world.broker.intercept = None
    assert len(kenya.flush().logged) == 1


def test_a_checkpoint_by_another_key(world, kenya):
    _lie(world, "/v1/messages", _other_key(world))
    with pytest.raises(SignatureError) as caught:
        _send(kenya)
    assert caught.value.code == "signature_missing"


def test_a_forked_checkpoint_is_kept_as_evidence_and_stops_sending(world, kenya):
    before = kenya.checkpoint
    _lie(world, "/v1/messages", _another_tree(world))
    with pytest.raises(InconsistentLogError) as caught:
        _send(kenya)
    assert caught.value.code == "checkpoint_fork"
    assert caught.value.evidence[0] == before.raw
    assert kenya.profile.evidence[0].pieces == caught.value.evidence
    world.broker.intercept = None
    for attempt in (lambda: _send(kenya), kenya.flush):
        with pytest.raises(UncheckableError) as halted:
            attempt()
        assert halted.value.code == "halted"
    # Another client over the same profile knows it too; only people may clear it.
    with pytest.raises(UncheckableError):
        _send(world.client(kenya.profile))
    kenya.clear_halt()
    assert len(kenya.flush().logged) == 1


def test_two_roots_of_one_size(world, kenya):
    broker = world.broker

    def change(value):
        value["checkpoint"] = sign_checkpoint(
            broker.origin,
            kenya.checkpoint.size,
            b"\x05" * 32,
            broker._log_key.sign,
            broker._log_key.public_key.raw,
        ).decode()

    _lie(world, "/v1/directory", change)
    with pytest.raises(InconsistentLogError) as caught:
        kenya.sync()
    assert caught.value.code == "checkpoint_fork"


def test_a_path_spoilt_once_is_asked_for_again(world, kenya):
    for number in range(5):
        world.enrol(f"tz.police.n{number}")
    spoilt = []

    def change(value):
        if not spoilt and value["path"]:
            spoilt.append(1)
            value["path"][0] = _flip_hex(value["path"][0])

    _lie(world, "/v1/log/consistency", change)
    kenya.sync()
    assert spoilt
    assert kenya.halted is None


def test_a_refusal_without_account_proves_nothing(world, kenya):
    _send(kenya)
    world.suspend(BELGIUM)

    def intercept(_request, answer):
        status, headers, body = answer
        value = json.loads(body)
        value.pop("account", None)
        return status, headers, encode_json(value)

    world.broker.intercept = intercept
    with pytest.raises(ProofError) as caught:
        _send(kenya)
    assert caught.value.code == "refusal_unproven"
    assert kenya.outbox()[-1].state == "waiting"


def test_a_refusal_with_the_account_of_another_request(world, kenya):
    _send(kenya)
    kept = []
    _lie(world, "/routine", lambda value: kept.append(value["account"]))
    list(kenya.inbox())
    world.suspend(BELGIUM)

    def intercept(request, answer):
        status, headers, body = answer
        if request.path != "/v1/messages":
            return answer
        return status, headers, encode_json({**json.loads(body), "account": kept[0]})

    world.broker.intercept = intercept
    with pytest.raises(SignatureError) as caught:
        _send(kenya)
    assert caught.value.code == "wrong_request"
    assert kenya.outbox()[-1].state == "waiting"


def test_a_refusal_by_another_rule_than_the_account_states(world, kenya):
    _send(kenya)
    world.suspend(BELGIUM)

    def intercept(request, answer):
        status, headers, body = answer
        if request.path != "/v1/messages":
            return answer
        return status, headers, encode_json({**json.loads(body), "code": "policy_denied"})

    world.broker.intercept = intercept
    with pytest.raises(ProofError) as caught:
        _send(kenya)
    assert caught.value.code == "refusal_unproven"


def test_a_refused_message_that_shows_up_in_the_log(world, kenya):
    _send(kenya)
    world.suspend(BELGIUM)
    with pytest.raises(Exception, match="unknown_recipient"):
        _send(kenya)
    body = kenya.outbox()[-1].body
    # The broker lets the endpoint back in and slips the refused bytes into the log.
    assert world.broker.state.directory.endpoint(BELGIUM) is None
    record = world.broker.state.directory.held(f"endpoint/{BELGIUM}").record
    draft = world.drafts.endpoint(BELGIUM, name=record.name, administrator=record.administrator.keys)
    world.broker.post_statement(sign_gathering(draft, [world.authority("be")]))
    exchange = next(r for r in reversed(world.broker.requests) if r.body == body)
    assert world.broker.handle(exchange)[0] == 201
    with pytest.raises(InconsistentLogError) as caught:
        kenya.sync_sent()
    assert caught.value.code == "refused_but_logged"
    assert kenya.halted is not None


def test_an_entry_signed_by_ones_own_key_that_one_did_not_make(world, kenya):
    thief = world.client(world.profile(KENYA))  # the same keys, another store
    _send(thief)
    with pytest.raises(InconsistentLogError) as caught:
        kenya.sync_sent()
    assert caught.value.code == "unknown_sent_entry"
    assert len(caught.value.evidence) == 2


# --- boxes -------------------------------------------------------------------------------------------


def _entry(change):
    def apply(value):
        if value["entries"]:
            change(value["entries"])

    return apply


def _gap(entries):
    del entries[0]


def _swap(entries):
    entries[0], entries[1] = entries[1], entries[0]


def _page_row_box(entries):
    entries[0]["delivery"]["row"]["box"] = "urgent"


def _page_tail(entries):
    entries[0]["delivery"]["tail"]["position"] = 1


def _page_leaf(entries):
    entries[0]["inclusion"]["leaf"] = _flip(entries[0]["inclusion"]["leaf"])


def _no_recipient(entries):
    del entries[0]["recipient"]


def _others_recipient(entries):
    entries[0]["recipient"]["row"]["endpoint"] = "be.police.x"


def _altered_stanza_hash(entries):
    entries[0]["recipient"]["row"]["stanza"] = "00" * 32


def _spliced_recipient(entries):
    entries[0]["recipient"] = entries[1]["recipient"]


def _other_document(entries):
    entries[0]["document"] = entries[1]["document"]


def _table_unasked(entries):
    entries[0]["recipients"] = [entries[0]["recipient"]["row"]]


def _altered_signature(entries):
    entries[0]["document"] = _flip(entries[0]["document"])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_gap, "box_gap"),
        (_swap, "box_gap"),
        (_page_row_box, "row_mismatch"),
        (_page_tail, "tail_mismatch"),
        (_page_leaf, "inclusion_mismatch"),
        (_no_recipient, "recipient_not_listed"),
        (_others_recipient, "recipient_not_listed"),
        (_altered_stanza_hash, "recipient_not_listed"),
        (_spliced_recipient, "recipient_not_listed"),
        (_other_document, "leaf_mismatch"),
        (_table_unasked, "recipients_mismatch"),
        (_altered_signature, "leaf_mismatch"),
    ],
    ids=lambda v: getattr(v, "__name__", str(v)),
)
def test_a_page_that_is_not_the_box(world, kenya, belgium, change, code):
    sent = [_send(kenya) for _ in range(3)]
    _lie(world, "/routine", _entry(change))
    with pytest.raises(ProofError) as caught:
        list(belgium.inbox())
    assert caught.value.code == code
    assert belgium.messages() == []  # nothing of the page was kept
    assert not any(r.path == "/v1/receipts" for r in world.broker.requests)  # and nothing signed for
    world.broker.intercept = None
    assert [r.message for r in belgium.inbox()] == [s.message for s in sent]


async def test_a_page_that_is_not_the_box_async(world, kenya):
    for _ in range(2):
        _send(kenya)
    async with world.async_client(BELGIUM) as belgium:
        _lie(world, "/routine", _entry(_gap))
        with pytest.raises(ProofError) as caught:
            [one async for one in belgium.inbox()]
        assert caught.value.code == "box_gap"


def test_a_false_end_of_box_is_contradicted_by_what_was_proven(world, kenya, belgium):
    for _ in range(3):
        _send(kenya)
    list(belgium.inbox())
    kept = world.broker.state.boxes[BELGIUM, Box.ROUTINE]
    world.broker.state.boxes[BELGIUM, Box.ROUTINE] = BoxState(1, b"\x01" * 32)
    with pytest.raises(InconsistentLogError) as caught:
        list(belgium.inbox())
    assert caught.value.code == "account_contradicted"
    assert belgium.halted is not None
    world.broker.state.boxes[BELGIUM, Box.ROUTINE] = kept


def test_an_end_of_box_that_hides_what_it_counts(world, kenya, belgium):
    _send(kenya)
    real = world.broker._boxes
    world.broker._boxes = {}
    with pytest.raises(InconsistentLogError) as caught:
        list(belgium.inbox())
    assert caught.value.code == "account_contradicted"
    world.broker._boxes = real


def test_an_account_that_says_something_else(world, belgium):
    make = world.broker._account
    world.broker._account = lambda who, request, _verdict, refusal: make(
        who, request, Verdict.NOT_HELD, refusal
    )
    with pytest.raises(ProofError) as caught:
        list(belgium.inbox())
    assert caught.value.code == "wrong_verdict"


def test_an_account_by_a_key_that_is_no_node(world, belgium):
    stranger = world.keystore(KENYA).signer("instance")
    make = world.broker._account

    def forged(*args):
        return sign_document(parse_document(make(*args)).payload, [stranger])

    world.broker._account = forged
    with pytest.raises(SignatureError) as caught:
        list(belgium.inbox())
    assert caught.value.code == "wrong_signer"


def test_an_old_account_is_no_answer_to_a_new_request(world, belgium):
    kept = []

    def change(value):
        kept.append(value["account"])
        value["account"] = kept[0]

    _lie(world, "/urgent", change)
    list(belgium.inbox())
    with pytest.raises(SignatureError) as caught:
        list(belgium.inbox())
    assert caught.value.code == "wrong_request"


# --- what is sealed ----------------------------------------------------------------------------------


def test_the_stanza_of_another_message(world, kenya, belgium):
    for _ in range(2):
        _send(kenya)

    def change(value):
        one, two = value["releases"]
        one["stanza"], two["stanza"] = two["stanza"], one["stanza"]

    _lie(world, "/v1/receipts", change)
    with pytest.raises(ProofError) as caught:
        list(belgium.inbox())
    assert caught.value.code == "stanza_mismatch"
    world.broker.intercept = None
    assert len(list(belgium.inbox())) == 2


def test_a_stanza_is_missing_and_then_denied_without_an_account(world, kenya, belgium):
    _send(kenya)

    def intercept(request, answer):
        if request.path == "/v1/receipts":
            members = parse_object(answer[2], "answer")
            return answer[0], answer[1], encode_json({k: v for k, v in members.items() if k != "releases"})
        if request.path.endswith("/stanza"):
            return world.broker._problem(404, NotFoundError("purged", "it is deleted"))
        return answer

    world.broker.intercept = intercept
    with pytest.raises(ProofError) as caught:
        list(belgium.inbox())
    assert caught.value.code == "refusal_unproven"
    world.broker.intercept = None
    assert len(list(belgium.inbox())) == 1


def test_a_stanza_is_released_that_was_not_signed_for(world, kenya, belgium):
    _send(kenya)
    _lie(world, "/v1/receipts", lambda value: value["releases"].append(value["releases"][0]))
    with pytest.raises(ProofError) as caught:
        list(belgium.inbox())
    assert caught.value.code == "releases_mismatch"


def test_swapped_content_is_the_brokers_fault_and_rejects_nothing(world, kenya, belgium):
    sent, other = _send(kenya), _send(kenya)
    contents = world.broker._submissions

    def intercept(request, answer):
        if request.path.endswith("/content"):
            return 200, {}, contents[other.message].content if sent.hash in request.path else answer[2]
        return answer

    world.broker.intercept = intercept
    with pytest.raises(SealError) as caught:
        list(belgium.inbox())
    assert caught.value.code == "content_swapped"
    assert belgium.rejected == ()
    world.broker.intercept = None
    assert [r.message for r in belgium.inbox()] == [sent.message, other.message]


# --- directory ---------------------------------------------------------------------------------------


def test_a_hidden_directory_statement(world, belgium):
    world.revoke_instance(KENYA)

    def hide(value):
        value["statements"] = []
        value["complete"] = True

    _lie(world, "/v1/directory", hide)
    with pytest.raises(InconsistentLogError) as caught:
        belgium.sync()
    assert caught.value.code == "directory_head_mismatch"
    assert belgium.halted is not None


def test_a_forged_directory_statement(world, belgium):
    world.enrol("tz.police.dodoma")

    def forge(value):
        value["statements"][-1]["document"] = _flip(value["statements"][-1]["document"])

    _lie(world, "/v1/directory", forge)
    before = belgium.directory.count
    with pytest.raises(SignatureError):
        belgium.sync()
    assert belgium.directory.count == before  # what was half folded is dropped
    world.broker.intercept = None
    belgium.sync()
    assert belgium.directory.count == before + 3


def test_another_founding(world):
    other = testing.world(BELGIUM)
    client = other.client(other.profile(BELGIUM))
    client.profile.trust = world.profile(BELGIUM).trust
    with pytest.raises(InconsistentLogError) as caught:
        client.sync()
    assert caught.value.code == "other_founding"


def test_an_unknown_kind_of_leaf_stops_sending(world, belgium):
    kenya = world.client(KENYA, settings=Settings(sync_interval=0))
    kenya.sync()
    world.clock.advance(seconds=1)

    def unknown(value):
        leaf = bytearray(parse_base64url(value["last"]["leaf"], "leaf"))
        leaf[1:3] = (99).to_bytes(2, "big")
        value["last"]["leaf"] = encode_base64url(bytes(leaf))

    _lie(world, "/v1/directory", unknown)
    with pytest.raises(UncheckableError) as caught:
        _send(kenya)
    assert caught.value.code == "unknown_kind"
    world.broker.intercept = None
    with pytest.raises(UncheckableError) as halted:
        _send(kenya)
    assert halted.value.code == "halted"
    assert len(kenya.outbox()) == 0


# --- the whole log -----------------------------------------------------------------------------------


def test_leaves_that_are_not_those_of_the_root(world, kenya):
    _send(kenya)

    def intercept(request, answer):
        status, headers, body = answer
        if request.path == "/v1/log/leaves":
            changed = bytearray(body)
            changed[-1] ^= 1
            return status, headers, bytes(changed)
        return answer

    world.broker.intercept = intercept
    with pytest.raises(InconsistentLogError) as caught:
        kenya.verify_log()
    assert caught.value.code == "root_mismatch"


def test_a_leaf_at_an_own_place_that_is_another(world, kenya):
    sent = _send(kenya)

    def intercept(request, answer):
        status, headers, body = answer
        if request.path == "/v1/log/leaves":
            changed = bytearray(body)
            changed[sent.index * 115 + 60] ^= 1
            return status, headers, bytes(changed)
        return answer

    world.broker.intercept = intercept
    with pytest.raises(InconsistentLogError) as caught:
        kenya.verify_log()
    assert caught.value.code == "leaf_changed"


def test_progress_is_told(world, kenya):
    told = []
    report = kenya.verify_log(lambda done, whole: told.append((done, whole)))
    assert told == [(report.size, report.size)]
    assert report.kinds[1] == 1
