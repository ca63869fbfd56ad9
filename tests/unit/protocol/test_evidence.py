"""Evidence of a message: what it proves, and that nothing in it can be left out, added or exchanged."""

from dataclasses import replace

import pytest

from countermark_protocol.claims import Kind
from countermark_protocol.cosignature import CosignatureType, Cosigner, encode_cosigner_vkey
from countermark_protocol.documents import parse_document
from countermark_protocol.errors import CountermarkError
from countermark_protocol.evidence import encode_evidence, parse_evidence
from countermark_protocol.evidence_checks import verify_evidence
from countermark_protocol.evidence_entries import PurgeShown, ReceiptShown, UndeliveredShown
from countermark_protocol.mandates import Witness
from countermark_protocol.parts import split_content
from countermark_protocol.records import Ground, RevocationRecord
from countermark_protocol.tlog_witness import add_cosignatures
from support.evidence import about, disclose, draft_of, entry_of, evidence_of, finished, logged
from support.protocol_world import make_world
from support.world import BROKER, DAY, KAMPALA, LYON, MOMBASA, NAIROBI, seed, signer

CONTENT = {"note": "an exercise", "items": [{"serial": str(i)} for i in range(5)]}


@pytest.fixture
def world():
    return make_world()


@pytest.fixture
def message(world):
    sealed = world.send(recipients=(KAMPALA, LYON), content=CONTENT)
    world.accept(KAMPALA, sealed)
    return sealed


def refused(data, *codes):
    with pytest.raises(CountermarkError) as caught:
        verify_evidence(data)
    assert caught.value.code in codes, caught.value


def changed(data, **changes):
    return encode_evidence(replace(parse_evidence(data), **changes))


# --- what it proves ---


def test_a_senders_evidence_proves_author_time_recipients_and_receipts(world, message):
    data = evidence_of(world, message)
    assert data == evidence_of(world, message)
    proven = verify_evidence(data, verify_evidence(data).fingerprint)
    assert proven.compared
    assert proven.message.payload == message.payload_hash
    assert proven.message.signed.author == NAIROBI
    assert proven.message.signed.key_id == world.agencies[NAIROBI].instance.public_key.key_id
    assert not proven.message.signed.in_doubt
    assert proven.message.all_shown
    assert {row.endpoint for row in proven.message.rows} == {KAMPALA, LYON}
    assert (KAMPALA, message.box) in proven.message.boxes
    assert [(e.receipt.author, e.receipt.stage.value) for e in proven.entries] == [
        (KAMPALA, "delivered"),
        (KAMPALA, "accepted"),
    ]
    assert proven.witnessing.named == 0


def test_a_recipients_evidence_shows_its_own_row_alone(world, message):
    size = world.state.size
    world.send()
    proven = verify_evidence(evidence_of(world, message, recipient=LYON, earlier=size))
    assert [row.endpoint for row in proven.message.rows] == [LYON]
    assert not proven.message.all_shown
    assert proven.message.boxes == ((LYON, message.box),)
    assert proven.earlier == size
    assert proven.checkpoint.size == size + 1


def test_what_happened_later_is_told_and_does_not_touch_what_was_signed_before(world, message):
    world.now += DAY
    world.put(world.revocation(*revocation(world, NAIROBI)))
    world.put(world.keys_statement(KAMPALA))
    proven = verify_evidence(evidence_of(world, message))
    revoked = proven.message.signed.revoked
    assert (revoked.ground, revoked.compromised_at) == (Ground.LOSS, None)
    assert revoked.index == world.state.size - 2
    assert not proven.message.signed.in_doubt


def revocation(world, address, compromised_at=None):
    key = world.agencies[address].instance
    record = RevocationRecord(key.public_key.key_id, Ground.LOSS, compromised_at)
    return key, record, [world.agencies[address].administrator]


@pytest.mark.parametrize(("before", "doubt"), [(1, True), (0, True), (-1, False)])
def test_a_date_of_compromise_not_after_the_leaf_puts_the_signature_in_doubt(world, message, before, doubt):
    at = world.now - before
    world.now += DAY
    world.put(world.revocation(*revocation(world, NAIROBI, at)))
    proven = verify_evidence(evidence_of(world, message))
    assert proven.message.signed.in_doubt is doubt
    assert proven.message.signed.verdict.fallen is None
    assert not any(e.signed.in_doubt for e in proven.entries)


def test_an_administrator_compromised_before_it_vouched_puts_the_signature_in_doubt(world, message):
    agency = world.agencies[NAIROBI]
    key = agency.administrator
    record = RevocationRecord(key.public_key.key_id, Ground.COMPROMISE, world.now - 1)
    world.now += DAY
    world.put(world.revocation(key, record, [world.authority("ke")]))
    signed = verify_evidence(evidence_of(world, message)).message.signed
    assert signed.revoked is None
    assert signed.verdict.fallen == f"keys/{NAIROBI}"
    assert signed.in_doubt


def test_a_change_of_governance_and_log_key_is_followed_from_the_founding(world, message):
    size = world.state.size
    old = world.log_key
    world.log_key = signer("the next log key")
    world.put(
        world.record_statement(Kind.GOVERNANCE, "", world.log_record(), world.governors[:2], [world.log_key])
    )
    world.send()
    proven = verify_evidence(evidence_of(world, message))
    assert proven.checkpoint.size == size + 2
    # The earlier checkpoint was signed by the log key of its time.
    new, world.log_key = world.log_key, old
    earlier = world.checkpoint_bytes(size)
    world.log_key = new
    draft = draft_of(world, message, earlier=size)
    draft = replace(draft, earlier=replace(draft.earlier, checkpoint=earlier))
    data = encode_evidence(finished(world, draft))
    assert verify_evidence(data).earlier == size
    by_new_key = replace(draft.earlier, checkpoint=world.checkpoint_bytes(size))
    refused(changed(data, earlier=by_new_key), "signature_missing")


def test_undelivered_notice_and_purge_are_part_of_it(world, message):
    world.now += 40 * DAY
    world.put(world.undelivered(message, LYON))
    world.put(world.purge(NAIROBI, message))
    proven = verify_evidence(evidence_of(world, message))
    assert [type(e) for e in proven.entries] == [ReceiptShown, ReceiptShown, UndeliveredShown, PurgeShown]
    assert proven.entries[2].signed.author == BROKER
    assert proven.entries[3].signed.author == NAIROBI


def test_disclosed_parts_and_the_act_about_them(world, message):
    parts = split_content(CONTENT)
    disclosed = disclose(world, message, parts, {"/items/3", "/note"})
    by_recipient = disclose(world, message, parts, {"/items/1"}, author=KAMPALA)
    proven = verify_evidence(evidence_of(world, message, disclosed=[disclosed, by_recipient]))
    first, second = proven.disclosures
    assert dict(first.shown.opened) == {"/note": "an exercise", "/items/3": {"serial": "3"}}
    assert first.shown.closed == ("/items/0", "/items/1", "/items/2", "/items/4")
    assert (first.act.author, second.act.author) == (NAIROBI, KAMPALA)
    assert first.act.to == "High Court of Kenya, Nairobi"


def test_cosignatures_of_the_witnesses_that_the_record_names(world, message):
    cosigners = [
        Cosigner(f"witness.example/{i}", kind, seed(f"witness {i}"))
        for i, kind in enumerate((CosignatureType.ED25519, CosignatureType.ML_DSA_44))
    ]
    witnesses = tuple(
        Witness(f"Witness {i}", (encode_cosigner_vkey(c.key),)) for i, c in enumerate(cosigners)
    )
    world.put(world.governance(witnesses=witnesses, witness_quorum=2))
    checkpoint = world.checkpoint()
    lines = [c.cosign(checkpoint, 1_790_000_000 + i) for i, c in enumerate(cosigners)]
    one = evidence_of(world, message, checkpoint=add_cosignatures(checkpoint.raw, lines[:1]))
    told = verify_evidence(one).witnessing
    assert (told.named, told.quorum, dict(told.times), told.existed_by) == (
        2,
        2,
        {"Witness 0": 1_790_000_000},
        None,
    )
    both = evidence_of(world, message, checkpoint=add_cosignatures(checkpoint.raw, lines))
    assert verify_evidence(both).witnessing.existed_by == 1_790_000_001
    raw = lines[0].signature
    spoilt = replace(lines[0], signature=raw[:-1] + bytes([raw[-1] ^ 1]))
    refused(changed(both, checkpoint=add_cosignatures(checkpoint.raw, [spoilt])), "bad_signature")


# --- what is refused ---


def test_another_log_with_the_same_name_has_another_fingerprint(world, message):
    with pytest.raises(CountermarkError) as caught:
        verify_evidence(evidence_of(world, message), "0000 " * 8)
    assert caught.value.code == "other_fingerprint"


def test_nothing_that_is_asked_for_can_be_left_out(world, message):
    world.put(world.revocation(*revocation(world, NAIROBI)))
    data = evidence_of(world, message)
    evidence = parse_evidence(data)
    for i in range(len(evidence.facts)):
        refused(
            changed(data, facts=evidence.facts[:i] + evidence.facts[i + 1 :]),
            "evidence_incomplete",
            "wrong_signer",
        )
    for i in range(len(evidence.statements)):
        rest = evidence.statements[:i] + evidence.statements[i + 1 :]
        refused(changed(data, statements=rest), "evidence_incomplete", "unknown_key")
    refused(changed(data, leaves=()), "evidence_incomplete")


def test_a_later_revocation_cannot_be_hidden_by_an_older_head(world, message):
    before = parse_evidence(evidence_of(world, message))
    world.put(world.revocation(*revocation(world, NAIROBI)))
    data = evidence_of(world, message)
    evidence = parse_evidence(data)
    subject = f"revoked/{world.agencies[NAIROBI].instance.public_key.key_id.hex()}"
    old = [f for f in before.facts if f.subject == subject]
    kept = tuple(f for f in evidence.facts if f.subject != subject)
    leaves = {i.index: i for i in evidence.leaves}
    leaves |= {f.at: world.inclusion(f.at) for f in old}
    refused(changed(data, facts=(*kept, *old), leaves=tuple(leaves.values())), "evidence_incomplete")
    refused(
        changed(data, facts=(*kept, *(replace(f, at=world.state.size - 1) for f in old))), "bad_trie_path"
    )


def test_what_is_of_another_message_is_refused(world, message):
    other = world.send(content=CONTENT)
    world.accept(KAMPALA, other)
    data = evidence_of(world, message)
    receipts = tuple(logged(world, e) for e in about(world, other))
    refused(changed(data, entries=receipts), "other_message", "evidence_incomplete")
    finished_draft = replace(draft_of(world, message), entries=receipts)
    with pytest.raises(CountermarkError) as caught:
        finished(world, finished_draft)
    assert caught.value.code == "other_message"
    disclosed = disclose(world, other, split_content(CONTENT), {"/note"})
    with pytest.raises(CountermarkError) as caught:
        evidence_of(world, message, disclosed=[disclosed])
    assert caught.value.code == "disclosure_other_message"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"digest": bytes(32)}, "disclosure_not_logged"),
        ({"disclosed": 2}, "disclosure_counts"),
    ],
)
def test_an_act_about_another_disclosure_is_refused(world, message, changes, code):
    disclosed = disclose(world, message, split_content(CONTENT), {"/note"}, **changes)
    with pytest.raises(CountermarkError) as caught:
        evidence_of(world, message, disclosed=[disclosed])
    assert caught.value.code == code


def test_rows_leaves_and_checkpoints_must_belong_together(world, message):
    size = world.state.size
    world.send()
    data = evidence_of(world, message, earlier=size)
    evidence = parse_evidence(data)
    rows = evidence.recipients
    refused(changed(data, recipients=rows[:1]), "recipients_mismatch")
    refused(changed(data, recipients=rows[::-1]), "rows_order")
    refused(changed(data, deliveries=evidence.deliveries[:-1]), "deliveries_mismatch")
    refused(changed(data, entries=evidence.entries[::-1]), "evidence_order")
    refused(changed(data, entries=evidence.entries * 2), "evidence_order")
    refused(changed(data, checkpoint=world.checkpoint_bytes(size)), "inclusion_mismatch", "inclusion_path_length", "beyond_checkpoint")  # fmt: skip
    refused(changed(data, earlier=replace(evidence.earlier, consistency=())), "consistency_path_length")
    refused(changed(data, earlier=replace(evidence.earlier, checkpoint=world.checkpoint_bytes(5))), "beyond_checkpoint")  # fmt: skip
    moved = replace(evidence.message, inclusion=replace(evidence.message.inclusion, index=3))
    refused(changed(data, message=moved), "inclusion_mismatch", "inclusion_path_length")
    refused(
        changed(data, message=evidence.entries[0]), "unknown_kind", "evidence_order", "evidence_incomplete"
    )
    refused(changed(data, founding=evidence.message.document), "not_a_trust_file")


def test_another_founding_of_that_name_is_refused(world, message):
    data = evidence_of(world, message)
    stranger = make_world()
    stranger.governors = [signer(f"stranger {i}") for i in range(3)]
    refused(changed(data, founding=stranger.founding()), "other_founding")


def test_a_message_by_a_key_that_did_not_count_makes_no_evidence(world):
    sealed = world.send(MOMBASA, (KAMPALA,))
    stolen = world.resigned(sealed, world.agencies[LYON].instance)
    draft = replace(
        draft_of(world, sealed),
        message=replace(logged(world, entry_of(world, sealed.document)), document=stolen.document),
    )
    with pytest.raises(CountermarkError) as caught:
        finished(world, draft)
    assert caught.value.code == "signer_did_not_count"


def test_what_is_no_evidence_is_told_apart(world, message):
    data = evidence_of(world, message)
    refused(b"{}", "not_evidence")
    refused(data.replace(b"countermark-evidence-1", b"countermark-bundle-1"), "not_evidence")
    refused(data.replace(b"countermark-evidence-1", b"countermark-evidence-2"), "unknown_version")
    refused(data[:-1], "not_json")
    refused(data[:-1] + b',"more":1}', "unknown_member")
    refused(b" " * (64 * 1024 * 1024 + 1), "oversized_evidence")
    assert parse_document(parse_evidence(data).message.document).payload_hash == message.payload_hash
