"""Acts on what is sealed and to whom: manifests, content, keys, recipients, receipts, stanzas."""

from __future__ import annotations

from dataclasses import replace

import pytest

from countermark_client import MemoryKeystore, make_key, testing
from countermark_client._open import open_received
from countermark_client._session import ProblemAnswer
from countermark_client._store import Direction
from countermark_client.statements import sign_gathering
from countermark_protocol.answers import BoxEntry, OwnRecipient, parse_problem
from countermark_protocol.boxes import Box, RowPath, row_path
from countermark_protocol.claims import Header, Kind
from countermark_protocol.documents import encode_document, make_signature, parse_document, sign_document
from countermark_protocol.encoding import encode_base64url, encode_json, parse_base64url
from countermark_protocol.gathering import read_gathering
from countermark_protocol.proof import OwnDelivery
from countermark_protocol.receipts import Receipt, ReceiptItem, ReceiptStage
from countermark_protocol.submission import encode_submission, parse_submission
from malicious_broker.evidence import pieced
from malicious_broker.kit import BELGIUM, KENYA, TANZANIA, malicious_world, send, unposted
from malicious_broker.verdicts import Act, silent


@pytest.fixture
def scene():
    world, broker = malicious_world(KENYA, BELGIUM, TANZANIA)
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    kenya.sync()
    belgium.sync()
    return world, broker, kenya, belgium


def _received(client):
    return [r.message for r in client.inbox()]


def test_the_honest_twin(scene):
    world, _, kenya, belgium = scene
    world.rotate_sealing_key(BELGIUM)
    kenya.sync()
    belgium = world.client(world.profile(BELGIUM))
    sent = send(kenya, BELGIUM, TANZANIA)
    for client in (belgium, world.client(TANZANIA)):
        [received] = client.inbox()
        assert received.message == sent.message
        received.accept()
        silent(client)
    assert len(kenya.notices()) == 4
    silent(kenya)


def test_altering_a_manifest_on_its_way(scene):
    world, broker, kenya, belgium = scene
    act = Act("altering a manifest", world)
    send(kenya)

    before = belgium.messages("in")
    broker.tamper("/routine", lambda value: value["entries"] and _spoil_signature(value["entries"][0]))
    act.raises(lambda: _received(belgium), "leaf_mismatch")
    assert belgium.messages("in") == before
    act.convinces_nobody(belgium)


def _spoil_signature(entry):
    document = bytearray(parse_base64url(entry["document"], "d", limit=10**6))
    document[-1] ^= 1
    entry["document"] = encode_base64url(bytes(document))


def test_altering_a_manifest_and_logging_it_so(scene):
    world, broker, kenya, belgium = scene
    act = Act("altering a manifest", world)
    body = unposted(broker, kenya)
    parsed = parse_submission(body)
    document = bytearray(parsed.document.data)
    document[-1] ^= 1
    altered = encode_submission(bytes(document), parsed.rows, parsed.stanzas, parsed.content)
    broker.append_without_deciding(bytes(document), submission=altered)
    act.raises(lambda: _received(belgium), "bad_signature")
    assert belgium.messages("in") == []
    act.convinces_nobody(belgium)


def _cut(document, *, without, beside=()):
    """A document without some of its signatures, and with others."""
    parsed = parse_document(document)
    return encode_document(
        parsed.payload, [*(s for s in parsed.signatures if s not in without(parsed)), *beside]
    )


def _stripped(document):
    return _cut(document, without=lambda d: set(d.signatures) - set(d.counted))


def _swapped(document):
    """The second half's signature by a key that the broker has made itself."""
    own = MemoryKeystore((make_key("instance", second=True),)).signer("instance")
    forged = make_signature(parse_document(document).payload, own.second)
    return _cut(document, without=lambda d: set(d.signatures) - set(d.counted), beside=[forged])


def _logged_altered(broker, kenya, change):
    """Log a message of a paired key whose document was changed."""
    kenya.renew_keys(second=True)
    parsed = parse_submission(unposted(broker, kenya))
    assert len(parsed.document.signatures) == 2
    altered = change(parsed.document.data)
    submission = encode_submission(altered, parsed.rows, parsed.stanzas, parsed.content)
    broker.append_without_deciding(altered, submission=submission)


def test_stripping_half_of_a_pair(scene):
    world, broker, kenya, belgium = scene
    act = Act("stripping or swapping half of a pair", world)
    _logged_altered(broker, kenya, _stripped)
    act.raises(lambda: _received(belgium), "half_a_pair")
    assert belgium.messages("in") == []
    act.convinces_nobody(belgium)


def test_swapping_half_of_a_pair(scene):
    world, broker, kenya, belgium = scene
    act = Act("stripping or swapping half of a pair", world)
    _logged_altered(broker, kenya, _swapped)
    act.raises(lambda: _received(belgium), "second_unasked")
    assert belgium.messages("in") == []
    act.convinces_nobody(belgium)


def test_stripping_half_of_a_pair_on_its_way(scene):
    world, broker, kenya, belgium = scene
    kenya.renew_keys(second=True)
    act = Act("stripping or swapping half of a pair", world)
    send(kenya)

    def strip(value):
        for entry in value["entries"]:
            data = parse_base64url(entry["document"], "d", limit=10**6)
            entry["document"] = encode_base64url(_stripped(data))
        return bool(value["entries"])

    broker.tamper("/routine", strip)
    act.raises(lambda: _received(belgium), "leaf_mismatch")
    act.convinces_nobody(belgium)


def test_a_pair_whose_halves_are_both_there_is_read(scene):
    """The honest twin."""
    _, _, kenya, belgium = scene
    kenya.renew_keys(second=True)
    sent = send(kenya)
    assert _received(belgium) == [sent.message]
    silent(kenya, belgium)


def test_half_of_an_administrators_pair_certifies_nothing(scene):
    world, broker, kenya, _ = scene
    pair = MemoryKeystore((make_key("administrator", second=True),)).signer("administrator")
    draft = world.drafts.endpoint(BELGIUM, name="Contact", administrator=[pair.public_key])
    broker.post_statement(sign_gathering(draft, [world.authority("be")], [pair]))
    kenya.sync()
    before = kenya.directory.keys(BELGIUM).sealing
    act = Act("substituting a recipient's key", world)
    thief = testing.world(BELGIUM).keystore(BELGIUM)
    draft = world.drafts.keys(
        BELGIUM,
        signing=[(thief.signer("instance").public_key, "one")],
        sealing=thief.sealing_key().public_key,
        sealing_from=world.clock() + 10 * 86_400_000,
    )
    # By the first half alone, as who could break Ed25519 would sign it.
    forged = sign_document(read_gathering(draft).document.payload, [pair.first], [thief.signer("instance")])
    broker.append_without_deciding(forged)
    error = act.raises(kenya.sync, "decision_against_rules")
    assert error.facts["rule"] == "half_a_pair"
    assert kenya.directory.keys(BELGIUM).sealing == before
    act.kept_convinces(kenya)


def test_altering_content(scene):
    world, broker, kenya, belgium = scene
    act = Act("altering content", world)
    send(kenya)

    def intercept(request, answer):
        if not request.path.endswith("/content"):
            return answer
        return answer[0], answer[1], answer[2][:-1] + bytes([answer[2][-1] ^ 1])

    broker.intercept = intercept
    act.raises(lambda: _received(belgium), "content_swapped")
    assert belgium.rejected == ()
    act.convinces_nobody(belgium)


def test_substituting_a_recipients_key(scene):
    world, broker, kenya, _ = scene
    act = Act("substituting a recipient's key", world)
    thief = testing.world(BELGIUM).keystore(BELGIUM)  # the same address in a world of the broker's own
    draft = world.drafts.keys(
        BELGIUM,
        signing=[(thief.signer("instance").public_key, "one")],
        sealing=thief.sealing_key().public_key,
    )
    forged = sign_document(
        read_gathering(draft).document.payload, [broker._node_key], [thief.signer("instance")]
    )
    before = kenya.directory.keys(BELGIUM).sealing
    broker.append_without_deciding(forged)
    error = act.raises(kenya.sync, "decision_against_rules")
    assert error.facts["rule"] == "wrong_signer"
    assert kenya.directory.keys(BELGIUM).sealing == before
    act.raises_halted(lambda: send(kenya))
    act.kept_convinces(kenya)


def test_a_key_changed_by_who_may_change_it(scene):
    """The honest twin, in the same shape: leaf, document and both proofs of a rotation."""
    world, broker, kenya, _ = scene
    act = Act("substituting a recipient's key", world)
    world.rotate_sealing_key(BELGIUM)
    true = broker.entries[-1]
    kenya.sync()
    silent(kenya)
    pieces = (true.leaf.encode(), true.document.data, broker.proof(true.index), broker.proof(true.index - 1))
    act.refuses(pieced(kenya, "decision_against_rules", pieces))


def test_adding_a_recipient_to_the_rows(scene):
    world, broker, kenya, _ = scene
    act = Act("adding a recipient", world)
    tanzania = world.client(TANZANIA)
    body = unposted(broker, kenya)
    document = parse_submission(body).document.data
    rows = ((BELGIUM, Box.ROUTINE), (TANZANIA, Box.ROUTINE), (KENYA, Box.SENT))
    entry = broker.append_without_deciding(document, submission=body, deliveries=rows)
    act.raises(kenya.flush, "deliveries_mismatch")
    # Whoever was added finds no row of its own that the sender signed.
    honest, own = broker._entry, parse_submission(body).rows[0]
    broker._entry = lambda index, address, box: honest_entry(honest, index, address, box, own, entry)
    act.raises(lambda: _received(tanzania), "recipient_not_listed")
    assert tanzania.messages("in") == []
    act.convinces_nobody(kenya, tanzania)


def honest_entry(honest, index, address, box, own, entry):
    """An entry of a box, shown with the recipient's row of somebody else."""
    if address != TANZANIA:
        return honest(index, address, box)
    placed = next(p for p in entry.placed if p.row.endpoint == address)
    rows = [p.row for p in entry.placed]
    return BoxEntry(
        inclusion=honest.__self__._inclusion(index),
        delivery=OwnDelivery(placed.row, placed.tail, row_path(rows, placed.row)),
        document=entry.document.data,
        recipient=OwnRecipient(replace(own, endpoint=address), RowPath(0, 1, ())),
    )


def _forged_receipt(world, broker, sent, signer):
    receipt = Receipt(
        header=Header(Kind.RECEIPT, broker.origin, broker._seen()),
        author=BELGIUM,
        sender=KENYA,
        stage=ReceiptStage.DELIVERED,
        made_at=world.clock(),
        items=(ReceiptItem(sent.message),),
    )
    return sign_document(encode_json(receipt.to_json()), [signer])


def test_forging_a_receipt(scene):
    world, broker, kenya, _ = scene
    act = Act("forging a receipt", world)
    sent = send(kenya)
    broker.append_without_deciding(_forged_receipt(world, broker, sent, broker._node_key))
    act.raises(kenya.notices, "signer_did_not_count")
    assert [str(r.stage) for r in kenya.status(sent).recipients] == ["open"]
    act.kept_convinces(kenya, _receipt_twin(world, broker, kenya))


def _receipt_twin(world, broker, kenya):
    """The honest twin in the same shape: a receipt by the recipient's own instance."""
    other_world, other = malicious_world(KENYA, BELGIUM)
    sender, reader = other_world.client(KENYA), other_world.client(BELGIUM)
    send(sender)
    _received(reader)
    sender.notices()
    silent(sender, reader)
    true = other.entries[-1]
    proof = other.proof(true.index)
    return pieced(sender, "signer_did_not_count", (true.leaf.encode(), true.document.data, proof))


def test_the_stanza_of_another_message(scene):
    world, broker, kenya, belgium = scene
    act = Act("releasing the stanza of another message", world)
    send(kenya)
    send(kenya)

    def change(value):
        one, two = value["releases"]
        one["stanza"], two["stanza"] = two["stanza"], one["stanza"]

    broker.tamper("/v1/receipts", change)
    act.raises(lambda: _received(belgium), "stanza_mismatch")
    act.convinces_nobody(belgium)


def test_a_stanza_without_a_receipt(scene):
    """Recipient and broker in collusion: it reads, and the log holds no receipt of it."""
    world, broker, kenya, belgium = scene
    act = Act("releasing a stanza without a logged receipt", world)
    sent = send(kenya)
    belgium._run(belgium._core.boxes.read_all(Box.ROUTINE))
    store = belgium.profile.store
    content = broker._submissions[sent.message].content
    store.set_sealed(sent.message, stanza=broker._stanza(sent.message, BELGIUM), content=content)
    opened = open_received(belgium._core.session, store.message(sent.message, Direction.IN)).content
    assert opened.national_case_ref == "CASE-1"
    assert not any(r.path == "/v1/receipts" for r in broker.requests)
    other = world.client(world.profile(BELGIUM, keystore=world.add_instance(BELGIUM)))
    act.nobody_notices(kenya.notices, kenya.sync_sent, kenya.verify_log, other.sync_sent, other.verify_log)
    silent(kenya, belgium, other)
    assert [str(r.stage) for r in kenya.status(sent).recipients] == ["open"]
    act.convinces_nobody(kenya, belgium, other)


def test_replaying_a_submission_to_learn_its_recipients(scene):
    """A recipient has the manifest and its own row; neither brings it the rows of the others."""
    world, broker, kenya, belgium = scene
    act = Act("replaying an old submission to learn its recipients", world)
    sent = send(kenya, BELGIUM, TANZANIA)
    _received(belgium)
    known = broker._submissions[sent.message]
    own = next(i for i, row in enumerate(known.rows) if row.endpoint == BELGIUM)
    partly = encode_submission(
        belgium.profile.store.message(sent.message).document,
        known.rows[own : own + 1],
        known.stanzas[own : own + 1],
        known.content,
    )
    for method, path, body, code in (
        ("POST", "/v1/messages", partly, "recipients_root_mismatch"),
        ("GET", f"/v1/statements/{sent.hash}", None, "not_held"),
    ):
        status, answer = _call(belgium, method, path, body)
        assert status >= 400
        assert parse_problem(answer).code == code
        assert TANZANIA.encode() not in answer
        act.found((code,))
    # The whole of it, as only its sender has it, is answered with the same leaf.
    item = kenya.outbox()[-1]
    assert _call(kenya, "POST", "/v1/messages", item.body)[0] == 200
    assert broker.state.size == sent.index + 2  # it and Belgium's receipt
    silent(kenya, belgium)
    act.convinces_nobody(kenya, belgium)


def _call(client, method, path, body):
    """Status and body of one signed call."""
    session = client._core.session
    signer = client.profile.keystore.signer("instance")
    try:
        response, _ = client._run(session.call(method, path, body=body, signer=signer))
    except ProblemAnswer as answer:
        return answer.problem.status, encode_json(answer.problem.to_json())
    return response.status, response.body


def test_suppressing_a_receipt(scene):
    world, broker, kenya, belgium = scene
    act = Act("suppressing a receipt", world)
    sent = send(kenya)
    broker.dropped = ("/v1/receipts",)
    act.raises(lambda: _received(belgium), "broker_unreachable")
    assert [item.kind for item in belgium.outbox()] == ["receipt"]
    assert [item.state.value for item in belgium.outbox()] == ["waiting"]
    act.nobody_notices(kenya.notices)
    assert [str(r.stage) for r in kenya.status(sent).recipients] == ["open"]
    assert parse_document(belgium.outbox()[0].body).claims["kind"] == "receipt"
    act.convinces_nobody(kenya, belgium)
