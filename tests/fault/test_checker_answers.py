"""The checker on answers and their order: what was published, told, released or refused, and when."""

from dataclasses import replace

import pytest

from countermark_protocol import decision
from countermark_protocol.accounts import Refusal, Verdict
from countermark_protocol.answers import Accepted, Problem, Release, parse_box_page
from countermark_protocol.boxes import Box
from countermark_protocol.checkpoint import sign_checkpoint
from countermark_protocol.encoding import encode_json, parse_object
from countermark_protocol.judging import CLOCK_TOLERANCE
from countermark_protocol.receipts import ReceiptStage
from countermark_protocol.records import Ground, RevocationRecord
from fault.findings import Wrong
from fault.history import Action, Intent
from fault.planted import anybody
from fault.story import Story
from support.world import KAMPALA, LYON, MOMBASA, NAIROBI, signer

DIGEST = b"d" * 32
STORE = "checkpoint/checkpoint"


@pytest.fixture
def story():
    return Story()


@pytest.fixture
def careless(monkeypatch):
    """A broker that looks at no message's times and at nobody's key."""
    monkeypatch.setattr(decision, "check_times", lambda *_: None)
    monkeypatch.setattr(decision, "authenticate", anybody)


# --- what was published ------------------------------------------------------------------------------


def test_the_store_holds_what_was_answered(story):
    script, before = story.script, story.world.checkpoint_bytes()
    script.add(Action.STORE, STORE, 200, before)
    script.send(story.world.compose())
    newest = story.world.checkpoint_bytes()
    behind = script.add(Action.STORE, STORE, 200, before)
    assert story.find() == {Wrong.CHECKPOINT}
    story.replace_call(behind, answer=newest)
    assert story.find() == set()


def test_an_answer_while_the_store_was_read_is_not_ahead_of_it(story):
    before = story.world.checkpoint_bytes()
    sent = story.script.send(story.world.compose())
    read = story.script.add(Action.STORE, STORE, 200, before)
    story.replace_call(read, began=sent.began)
    assert story.find() == set()


def test_the_store_goes_back(story):
    old = story.world.checkpoint_bytes()
    story.world.put(receipt := story.world.receipt(LYON, [story.broad]))
    story.script.add(Action.RECEIPT, "/v1/receipts", None, b"", body=receipt, by=LYON)
    story.script.add(Action.STORE, STORE, 200, story.world.checkpoint_bytes())
    assert story.find() == set()
    story.script.add(Action.STORE, STORE, 200, old)
    assert story.find() == {Wrong.CHECKPOINT}


@pytest.mark.parametrize(("second", "expected"), [("a", {Wrong.CHECKPOINT}), ("b", set())])
def test_a_node_goes_back(story, second, expected):
    old = story.world.checkpoint_bytes()
    call = story.script.send(story.world.compose())
    story.replace_call(call, node="a")
    story.script.add(Action.CHECKPOINT, "/v1/log/checkpoint", 200, old, node=second)
    assert story.find() == expected


@pytest.mark.parametrize("beyond", [False, True])
def test_checkpoint_of_another_tree(story, beyond):
    world = story.world
    size = world.state.size + 5 if beyond else world.state.size - 1
    raw = sign_checkpoint(world.origin, size, b"r" * 32, world.log_key.sign, world.log_key.public_key.raw)
    story.script.add(Action.CHECKPOINT, "/v1/log/checkpoint", 200, raw)
    assert story.find() == {Wrong.CHECKPOINT}


def test_checkpoint_that_nobody_signed(story):
    other = signer("another log")
    raw = sign_checkpoint(story.world.origin, 3, story.world.root(3), other.sign, other.public_key.raw)
    story.script.add(Action.CHECKPOINT, "/v1/log/checkpoint", 200, raw)
    assert story.find() == {Wrong.PROOF}


def test_consistency_that_is_none(story):
    answer = parse_object(story.path.answer)
    answer["path"][0] = "00" * 32
    story.replace_call(story.path, answer=encode_json(answer))
    assert story.find() == {Wrong.PROOF}


# --- times -------------------------------------------------------------------------------------------


def test_an_expired_message_is_logged(story, careless):
    now = story.world.now
    story.script.send(story.world.compose(sent_at=now - 2000, expires_at=now), intent=Intent.EXPIRED)
    assert story.find() == {Wrong.WRONGLY_ACCEPTED}


def test_a_message_of_the_future_is_logged(story, careless):
    late = story.world.compose(sent_at=story.world.now + CLOCK_TOLERANCE + 1)
    story.script.send(late, intent=Intent.FUTURE)
    assert story.find() == {Wrong.WRONGLY_ACCEPTED}


def test_what_times_allow_is_accepted_whatever_was_meant(story):
    story.script.send(story.world.compose(), intent=Intent.EXPIRED)
    assert story.find() == set()


def test_an_expired_one_is_refused_before_it_expired(story):
    now = story.world.now
    sealed = story.world.compose(sent_at=now - 2000, expires_at=now)
    call = story.script.refuse_message(sealed, Intent.EXPIRED)
    assert story.find() == set()
    later = story.world.compose(sent_at=now, expires_at=now + 1)
    request = later.payload_hash
    refusal = Refusal("expired", "too late", now, story.world.state.size)
    account = story.script.account(NAIROBI, request, Verdict.REFUSED, refusal=refusal)
    answer = encode_json(Problem(403, "expired", "too late", "a hint", account).to_json())
    story.replace_call(call, body=later.data, answer=answer)
    assert story.find() == {Wrong.WRONGLY_REFUSED}


@pytest.mark.parametrize("off", [-30_000, 30_000])
def test_a_leaf_that_is_not_of_the_time_of_its_call(story, off):
    now = story.world.now
    call = story.script.send(story.world.compose())
    story.replace_call(call, began_at=now + off, ended_at=now + off)
    assert story.find() == {Wrong.TIME}
    assert story.find(clock_moved=True) == set()


def test_a_refusal_that_is_not_of_the_time_of_its_call(story):
    refused = next(c for c in story.script.calls if c.intent is Intent.FORBIDDEN)
    story.replace_call(refused, began_at=story.world.now + 5000, ended_at=story.world.now + 5000)
    assert story.find() == {Wrong.TIME}


def test_a_defect(story):
    story.replace_call(story.page, status=500, answer=b"")
    assert story.find() == {Wrong.DEFECT}


# --- denials -----------------------------------------------------------------------------------------


def problem(code, account):
    status = 404 if code == "not_held" else 403
    return status, encode_json(Problem(status, code, "no", "a hint", account).to_json())


def test_denied_under_an_old_size_after_it_was_acknowledged(story):
    account = story.script.account(NAIROBI, DIGEST, Verdict.NOT_HELD)
    sealed = story.world.compose()
    target = f"/v1/statements/{sealed.payload_hash.hex()}"
    story.script.send(sealed)
    story.script.add(Action.PROOF, target, *problem("not_held", account), by=NAIROBI, digest=DIGEST)
    assert story.find() == {Wrong.ACCOUNT}


def test_an_end_of_a_box_that_was_known_to_go_on(story):
    end = story.end
    story.script.send(story.world.compose())
    position = story.world.state.boxes[KAMPALA, Box.ROUTINE].count - 1
    target = f"/v1/boxes/{KAMPALA}/routine?from={position}&limit=100&wait=0"
    story.script.add(Action.BOX, target, 200, end.answer, by=KAMPALA, digest=end.digest)
    assert story.find() == {Wrong.ACCOUNT}


def refused_request(story, by, rule):
    refusal = Refusal(rule, "no", story.world.now, story.world.state.size)
    return problem(rule, story.script.account(by, DIGEST, Verdict.REFUSED, refusal=refusal))


@pytest.mark.parametrize("action", [Action.STANZA, Action.CONTENT])
def test_withheld_from_who_has_signed(story, action):
    answer = refused_request(story, KAMPALA, "not_delivered")
    for sealed, expected in ((story.brief, set()), (story.second, {Wrong.WRONGLY_REFUSED})):
        target = f"/v1/messages/{sealed.payload_hash.hex()}/{action}"
        story.script.add(action, target, *answer, by=KAMPALA, digest=DIGEST)
        assert story.find() == expected


def test_content_withheld_from_its_sender(story):
    answer = refused_request(story, NAIROBI, "not_delivered")
    target = f"/v1/messages/{story.second.payload_hash.hex()}/content"
    story.script.add(Action.CONTENT, target, *answer, by=NAIROBI, digest=DIGEST)
    assert story.find() == {Wrong.WRONGLY_REFUSED}


def test_a_message_denied_to_its_receiver(story):
    account = story.script.account(KAMPALA, DIGEST, Verdict.NOT_HELD)
    target = f"/v1/messages/{story.brief.payload_hash.hex()}/stanza"
    story.script.add(Action.STANZA, target, *problem("not_held", account), by=KAMPALA, digest=DIGEST)
    assert story.find() == {Wrong.ACCOUNT}


def test_a_stranger_is_told_that_a_message_is_there(story):
    target = f"/v1/messages/{story.brief.payload_hash.hex()}/content"
    answer = refused_request(story, LYON, "not_delivered")
    story.script.add(Action.CONTENT, target, *answer, by=LYON, digest=DIGEST)
    assert story.find() == {Wrong.ACCOUNT}


def test_ones_own_box_is_refused(story):
    answer = refused_request(story, KAMPALA, "not_own_box")
    for owner, expected in ((LYON, set()), (KAMPALA, {Wrong.WRONGLY_REFUSED})):
        target = f"/v1/boxes/{owner}/routine?from=0&limit=5&wait=0"
        story.script.add(Action.BOX, target, *answer, by=KAMPALA, digest=DIGEST)
        assert story.find() == expected


# --- releases, others' boxes, rows -------------------------------------------------------------------


@pytest.mark.parametrize("action", [Action.STANZA, Action.CONTENT])
def test_released_to_who_signed_afterwards(story, action):
    sealed = story.broad
    stanza = sealed.stanzas[[row.endpoint for row in sealed.rows].index(LYON)]
    release = encode_json({"releases": [Release(sealed.payload_hash, stanza).to_json()]})
    answer = release if action is Action.STANZA else sealed.content
    target = f"/v1/messages/{sealed.payload_hash.hex()}/{action}"
    sooner = story.script.add(action, target, 200, answer, by=LYON)
    story.script.receipt(story.world.receipt(LYON, [sealed]), LYON, [sealed])
    assert story.find() == {Wrong.RECEIPT}
    story.script.calls.remove(sooner)
    story.script.add(action, target, 200, answer, by=LYON)
    assert story.find() == set()


def test_content_of_another_message(story):
    target = f"/v1/messages/{story.second.payload_hash.hex()}/content"
    story.script.add(Action.CONTENT, target, 200, story.first.content, by=KAMPALA)
    assert story.find() == {Wrong.LOST}


def test_another_ones_box_is_served(story):
    story.replace_call(story.page, by=LYON)
    assert story.find() == {Wrong.WRONGLY_ACCEPTED}


@pytest.mark.parametrize("what", ["row", "path", "missing", "shown"])
def test_a_row_that_is_not_the_receivers(story, what):
    page = parse_box_page(story.page.answer)
    at = next(i for i, e in enumerate(page.entries) if e.document == story.broad.document)
    entry = page.entries[at]
    other = next(row for row in story.broad.rows if row.endpoint != KAMPALA)
    changed = {
        "row": {"recipient": replace(entry.recipient, row=other)},
        "path": {"recipient": replace(entry.recipient, at=replace(entry.recipient.at, path=(b"p" * 32,)))},
        "missing": {"recipient": None},
        "shown": {"recipients": story.broad.rows},
    }[what]
    entries = (*page.entries[:at], replace(entry, **changed), *page.entries[at + 1 :])
    story.replace_call(story.page, answer=encode_json(replace(page, entries=entries).to_json()))
    assert story.find() == {Wrong.PROOF}


# --- whose keys, whose receipts ----------------------------------------------------------------------


def test_signed_by_another_endpoint(story, careless):
    story.script.send(story.world.compose(signer=signer(f"instance {LYON}")))
    assert story.find() == {Wrong.PHANTOM}


def test_signed_after_its_key_was_revoked(story, careless):
    world, key = story.world, story.world.agencies[NAIROBI].instance
    data = world.revocation(key, RevocationRecord(key.public_key.key_id, Ground.REPLACED, None), [key])
    entry = world.put(data)
    answer = Accepted(world.checkpoint_bytes(), world.inclusion(entry.index)).to_json()
    story.script.add(Action.STATEMENT, "/v1/statements", 201, encode_json(answer), body=data)
    assert story.find() == set()
    story.script.send(world.compose(), intent=Intent.REVOKED)
    assert story.find() == {Wrong.WRONGLY_ACCEPTED, Wrong.REFUSAL_STORED}


def test_an_undue_receipt_is_acknowledged(story):
    receipt = story.world.receipt(KAMPALA, [story.second], ReceiptStage.ACCEPTED)
    call = story.script.receipt(receipt, KAMPALA)
    story.replace_call(call, intent=Intent.UNDUE)
    assert story.find() == {Wrong.WRONGLY_ACCEPTED, Wrong.REFUSAL_STORED}


def test_an_undue_receipt_is_refused(story):
    receipt = story.world.receipt(MOMBASA, [story.second])
    story.script.refused(receipt, receipt, MOMBASA, Intent.UNDUE, Action.RECEIPT, by=MOMBASA)
    assert story.find() == set()


def test_the_id_of_what_was_refused_is_taken(story):
    good = story.world.compose(id=story.forbidden.manifest.id)
    refusal = Refusal("id_reused", "used", story.world.now, story.world.state.size)
    account = story.script.account(NAIROBI, good.payload_hash, Verdict.REFUSED, refusal=refusal)
    answer = encode_json(Problem(409, "id_reused", "used", "a hint", account).to_json())
    story.script.add(Action.MESSAGE, "/v1/messages", 409, answer, body=good.data)
    assert story.find() == {Wrong.WRONGLY_REFUSED}
