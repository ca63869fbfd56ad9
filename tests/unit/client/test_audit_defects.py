"""Every planted defect gives exactly its finding, with the bytes that show it, and nothing that merely follows."""

from dataclasses import replace

import pytest

from countermark_client.audit._findings import Check, evidence_of
from countermark_client.audit._mirror import Mirror
from countermark_protocol.accounts import StatedBox
from countermark_protocol.boxes import Box, BoxState
from countermark_protocol.claims import Kind, Seen
from countermark_protocol.documents import Purpose, encode_document, make_signature
from countermark_protocol.handling import Classification
from countermark_protocol.identifiers import Role
from countermark_protocol.leaf import parse_leaf
from countermark_protocol.policy import Side
from countermark_protocol.receipts import ReceiptStage
from countermark_protocol.records import InstanceKey
from countermark_protocol.signers import MlDsa65Signer, PairSigner
from countermark_protocol.submission import encode_submission, parse_submission
from countermark_protocol.succession import Predecessor, next_origin
from countermark_protocol.tiles import encode_bundle, parse_bundle
from support.audited import MemoryLog, audited_world, rebuilt
from support.world import (
    BRUSSELS,
    KAMPALA,
    KENYAN_AUDITOR,
    MOMBASA,
    NAIROBI,
    OVERSEER,
    TABLE,
    handling,
    seed,
    signer,
)

AUDITORS = (OVERSEER, KENYAN_AUDITOR)


@pytest.fixture
def world():
    world = audited_world()
    world.first = world.send(NAIROBI, [KAMPALA])
    return world


def go_on(world, *, seeing=True):
    """What an honest broker logs behind a defect: it must not be blamed for it.

    Where a leaf is changed afterwards, nobody has seen the tree with it.
    """
    for _ in range(2):
        world.accept(KAMPALA, world.send(NAIROBI, [KAMPALA]))
        world.accept(MOMBASA, world.send(KAMPALA, [MOMBASA]))
    world.put(world.keys_statement(BRUSSELS))
    world.send(NAIROBI, [KAMPALA], **({"seen": world.seen()} if seeing else {}))


def found_by(log, mirror=None):
    """(check, index) of all that a synchronisation finds; verifying the mirror must find the same."""
    mirror = mirror or Mirror(None)
    done = log.sync(mirror)
    found = [(f.check, f.index) for f in done.open]
    assert done.found == done.open
    for finding in done.open:
        evidence = evidence_of(mirror, finding.number)
        assert evidence, finding
        assert all(isinstance(data, bytes) for data in evidence.values())
        assert finding.expected
        assert finding.got
    again = log.sync(mirror)
    assert again.found == ()
    assert [(f.check, f.index) for f in again.open] == found
    return found


def logged(log, mirror=None):
    """As `found_by`, of what the log itself shows for good: a mirror of it shows the same when verified."""
    mirror = mirror or Mirror(None)
    found = found_by(log, mirror)
    assert [(f.check, f.index) for f in log.verify(mirror).found] == found
    return found


# --- what the log itself shows ---


@pytest.mark.parametrize("auditor", AUDITORS)
def test_a_signature_that_does_not_verify(world, auditor):
    data = bytearray(world.receipt(KAMPALA, [world.first]))
    data[-1] ^= 1
    entry = world.force(bytes(data))
    go_on(world)
    assert logged(MemoryLog(world, auditor)) == [(Check.SIGNATURE, entry.index)]


@pytest.mark.parametrize("auditor", AUDITORS)
def test_a_signature_by_another_key(world, auditor):
    entry = world.force(world.receipt(KAMPALA, [world.first], signer=world.agencies[BRUSSELS].instance))
    world.put(world.receipt(KAMPALA, [world.first], ReceiptStage.ACCEPTED))
    go_on(world)
    assert logged(MemoryLog(world, auditor)) == [(Check.SIGNER, entry.index)]


@pytest.mark.parametrize("auditor", AUDITORS)
def test_a_signature_by_a_key_that_nobody_named(world, auditor):
    entry = world.force(world.receipt(KAMPALA, [world.first], signer=signer("nobody")))
    go_on(world)
    assert logged(MemoryLog(world, auditor)) == [(Check.SIGNER, entry.index)]


@pytest.mark.parametrize("auditor", AUDITORS)
def test_a_message_that_the_policy_denies(world, auditor):
    entry = world.force(world.compose(BRUSSELS, [NAIROBI]))
    go_on(world)
    assert logged(MemoryLog(world, auditor)) == [(Check.DECISION, entry.index)]
    assert "policy_denied" in _only(world, auditor).expected


@pytest.mark.parametrize("auditor", AUDITORS)
def test_an_expired_message(world, auditor):
    entry = world.force(world.compose(NAIROBI, [KAMPALA], sent_at=world.now - 10, expires_at=world.now))
    go_on(world)
    assert logged(MemoryLog(world, auditor)) == [(Check.DECISION, entry.index)]
    assert "expired" in _only(world, auditor).expected


@pytest.mark.parametrize("auditor", AUDITORS)
def test_a_receipt_by_a_stranger(world, auditor):
    entry = world.force(world.receipt(MOMBASA, [world.first]))
    go_on(world)
    assert logged(MemoryLog(world, auditor)) == [(Check.DECISION, entry.index)]
    assert "unknown_message" in _only(world, auditor).expected


@pytest.mark.parametrize("auditor", AUDITORS)
def test_an_undelivered_notice_before_its_time(world, auditor):
    entry = world.force(world.undelivered(world.first, KAMPALA))
    go_on(world)
    assert logged(MemoryLog(world, auditor)) == [(Check.DECISION, entry.index)]


@pytest.mark.parametrize("auditor", AUDITORS)
def test_a_statement_that_has_seen_more_than_there_was(world, auditor):
    entry = world.force(world.compose(NAIROBI, [KAMPALA], seen=Seen(world.state.size + 1, bytes(32))))
    go_on(world)
    assert logged(MemoryLog(world, auditor)) == [(Check.BACK_DATED, entry.index)]


@pytest.mark.parametrize("auditor", AUDITORS)
def test_a_statement_that_has_seen_another_log(world, auditor):
    entry = world.force(world.compose(NAIROBI, [KAMPALA], seen=Seen(world.state.size, bytes(32))))
    go_on(world)
    assert logged(MemoryLog(world, auditor)) == [(Check.SEEN, entry.index)]


@pytest.mark.parametrize("auditor", AUDITORS)
def test_a_payload_that_is_logged_twice(world, auditor):
    entry = world.force(world.first)
    go_on(world)
    assert logged(MemoryLog(world, auditor)) == [(Check.TWICE, entry.index)]


@pytest.mark.parametrize("auditor", AUDITORS)
def test_a_directory_statement_by_the_wrong_authority(world, auditor):
    record = world.held(f"endpoint/{NAIROBI}")
    entry = world.force(world.directory_statement(Kind.ENDPOINT, NAIROBI, record, [world.authority("ug")]))
    go_on(world)
    assert logged(MemoryLog(world, auditor)) == [(Check.SIGNER, entry.index)]


@pytest.mark.parametrize("auditor", AUDITORS)
def test_a_directory_head_that_moves_for_one_leaf(world, auditor):
    go_on(world, seeing=False)
    index = world.entries[-3].index
    log = MemoryLog(world, auditor)
    rebuilt(log, index, dir_head=bytes(31) + b"x")
    assert found_by(log) == [(Check.HEAD_MOVED, index)]


@pytest.mark.parametrize("auditor", AUDITORS)
def test_a_directory_head_that_stays_moved(world, auditor):
    go_on(world, seeing=False)
    log = MemoryLog(world, auditor)
    for index in range(log.size - 4, log.size):
        rebuilt(log, index, dir_head=bytes(31) + b"x")
    moved = log.size - 4
    # The directory statement behind it makes the head move on: from where it never was.
    assert next(f[1] for f in found_by(log)) == moved


@pytest.mark.parametrize("auditor", AUDITORS)
def test_a_time_that_goes_back(world, auditor):
    world.now += 1000
    go_on(world, seeing=False)
    log = MemoryLog(world, auditor)
    index = log.size - 3
    rebuilt(log, index, time=parse_leaf(log.leaves[index]).time - 1)
    assert found_by(log) == [(Check.TIME, index)]


def test_a_delivery_to_another_position(world):
    go_on(world, seeing=False)
    log = MemoryLog(world)
    index = next(e.index for e in world.entries if len(e.placed) == 2 and e.index > log.size - 9)
    rebuilt(log, index, delivery=bytes(31) + b"x")
    assert found_by(log) == [(Check.DELIVERIES, index)]


# --- what is shown ---


def test_an_altered_document(world):
    go_on(world)
    log = MemoryLog(world)
    index = log.size - 4

    def spoil(shown, leaf):
        data = shown.document
        return (
            (replace(shown, document=data[:-1] + bytes([data[-1] ^ 1])), leaf)
            if shown.index == index
            else (shown, leaf)
        )

    log.spoil_entry = spoil
    mirror = Mirror(None)
    assert found_by(log, mirror) == [(Check.DOCUMENT, index)]
    # It stands still there; once the document is shown, it goes on.
    log.spoil_entry = MemoryLog(world).spoil_entry
    done = log.sync(mirror)
    assert (done.verified, done.found, len(done.open)) == (log.size, (), 1)
    assert log.verify(mirror).found == ()


def test_an_entry_that_is_not_shown(world):
    go_on(world)
    log = MemoryLog(world)
    index = log.size - 4
    log.spoil_entry = lambda shown, leaf: None if shown.index == index else (shown, leaf)
    mirror = Mirror(None)
    assert found_by(log, mirror) == [(Check.MISSING, index)]
    assert log.sync(mirror).verified == index
    assert log.verify(mirror).found == ()


def test_an_entry_with_another_leaf(world):
    go_on(world)
    log = MemoryLog(world)
    index = log.size - 4
    log.spoil_entry = lambda shown, leaf: (shown, log.leaves[0] if shown.index == index else leaf)
    assert found_by(log) == [(Check.LEAF, index)]


def test_recipient_rows_that_are_not_the_manifests(world):
    index = world.entries[-1].index
    go_on(world)
    log = MemoryLog(world)
    log.spoil_entry = lambda s, leaf: (replace(s, rows=()) if s.index == index else s, leaf)
    assert found_by(log) == [(Check.ROW, index)]


def test_a_secret_that_is_not_the_entrys(world):
    index = world.entries[-1].index
    go_on(world)
    log = MemoryLog(world)
    log.spoil_entry = lambda s, leaf: (replace(s, secret=bytes(32)) if s.index == index else s, leaf)
    assert found_by(log) == [(Check.DELIVERIES, index)]


@pytest.mark.parametrize("auditor", AUDITORS)
def test_leaves_that_are_swapped_as_they_are_served(world, auditor):
    go_on(world)
    log = MemoryLog(world, auditor)

    def swap(path, data):
        if not path.startswith("tile/entries/"):
            return data
        leaves = list(parse_bundle(data, log.size))
        leaves[3], leaves[4] = leaves[4], leaves[3]
        return encode_bundle(leaves)

    log.spoil_tile = swap
    assert found_by(log) == [(Check.TILE, None)]


def test_documents_whose_leaves_are_swapped_in_the_tree(world):
    go_on(world)
    log = MemoryLog(world)
    index = log.size - 4
    log.leaves[index], log.leaves[index + 1] = log.leaves[index + 1], log.leaves[index]
    assert found_by(log) == [(Check.DOCUMENT, index)]


@pytest.mark.parametrize("auditor", AUDITORS)
def test_a_history_that_is_rewritten(world, auditor):
    mirror = Mirror(None)
    log = MemoryLog(world, auditor)
    assert found_by(log, mirror) == []
    go_on(world)
    other = MemoryLog(world, auditor)
    rebuilt(other, 20, statement=bytes(32))
    assert found_by(other, mirror) == [(Check.FORK, None)]


@pytest.mark.parametrize("auditor", AUDITORS)
def test_a_checkpoint_that_the_log_has_not_signed(world, auditor):
    log = MemoryLog(world, auditor)
    note = log.checkpoint()
    log.checkpoint = lambda: note[:-6] + b"AAAA=\n"
    assert found_by(log) == [(Check.CHECKPOINT, None)]


# --- boxes ---


def boxes_of(world, spoil):
    go_on(world)
    log = MemoryLog(world, KENYAN_AUDITOR)
    log.spoil_box = lambda e, b, p: spoil(p) if (e, b) == (NAIROBI, Box.SENT) else p
    return log


def test_a_reordered_box(world):
    log = boxes_of(world, lambda p: [p[1], p[0], *p[2:]])
    mirror = Mirror(None)
    [(check, _)] = found_by(log, mirror)
    assert check is Check.BOX
    log.spoil_box = lambda _e, _b, p: p
    done = log.sync(mirror)
    assert (done.verified, done.found) == (log.size, ())
    assert log.verify(mirror).found == ()


def test_a_box_with_a_hole(world):
    [(check, _)] = found_by(boxes_of(world, lambda p: [p[0], *p[2:]]))
    assert check is Check.BOX


def test_a_box_that_ends_before_its_end(world):
    assert found_by(boxes_of(world, lambda p: p[:-1])) == [(Check.CONTRADICTED, None)]


def test_an_account_that_states_another_head(world):
    go_on(world)
    log = MemoryLog(world, KENYAN_AUDITOR)

    def spoil(account):
        boxes = [
            StatedBox(b.endpoint, b.box, BoxState(b.state.count, bytes(31) + b"x"))
            if (b.endpoint, b.box) == (NAIROBI, Box.SENT)
            else b
            for b in account.boxes
        ]
        return replace(account, boxes=tuple(boxes))

    log.spoil_account = spoil
    assert found_by(log) == [(Check.CONTRADICTED, None)]


def test_an_entry_in_a_box_where_it_does_not_belong(world):
    """A message that went to Nairobi by its urgency stands in another of its boxes."""
    sealed = world.compose(KAMPALA, [NAIROBI])
    entry = world.force(sealed, boxes={Box.ROUTINE: Box.URGENT})
    go_on(world)
    log = MemoryLog(world, KENYAN_AUDITOR)
    assert {c for c, _ in found_by(log)} <= {Check.PLACE, Check.DELIVERIES}
    assert found_by(MemoryLog(world)) == [(Check.DELIVERIES, entry.index)]


# --- helpers ---


def _only(world, auditor):
    mirror = Mirror(None)
    [finding] = MemoryLog(world, auditor).sync(mirror).open
    return finding


# --- further signatures ---


def signed_also(sealed, key, purpose):
    """The same message with a further signature."""
    s = parse_submission(sealed.data)
    further = make_signature(s.document.payload, key, purpose)
    document = encode_document(s.document.payload, [*s.document.signatures, further])
    data = encode_submission(document, s.rows, s.stanzas, s.content)
    return replace(sealed, data=data, document=document)


@pytest.mark.parametrize("auditor", AUDITORS)
def test_a_message_that_two_persons_had_to_sign(world, auditor):
    secret = handling(classification=Classification.CONFIDENTIAL)
    entry = world.force(world.compose(NAIROBI, [KAMPALA], handling=secret))
    go_on(world)
    assert logged(MemoryLog(world, auditor)) == [(Check.DECISION, entry.index)]
    assert "release_required" in _only(world, auditor).expected


@pytest.mark.parametrize("auditor", AUDITORS)
def test_a_name_that_was_used_without_its_owner(world, auditor):
    entry = world.force(world.compose(BRUSSELS, [KAMPALA], extra={"on_behalf_of": NAIROBI}))
    go_on(world)
    [(check, index)] = logged(MemoryLog(world, auditor))
    assert index == entry.index
    assert check in {Check.SIGNER, Check.SIGNATURE, Check.DECISION}


@pytest.mark.parametrize("auditor", AUDITORS)
def test_both_names_of_a_message_on_behalf_are_in_order(world, auditor):
    rule = replace(
        next(r for r in TABLE.rules if r.id == "seizure"),
        id="for-kenya",
        sender=Side(frozenset({Role.LICENSING}), frozenset()),
        on_behalf_of=Side(frozenset(), frozenset({"ke"})),
    )
    world.put(world.policy_statement(replace(TABLE, rules=(*TABLE.rules, rule))))
    sealed = world.compose(BRUSSELS, [KAMPALA], extra={"on_behalf_of": NAIROBI})
    entry = world.put(signed_also(sealed, world.agencies[NAIROBI].instance, Purpose.BEHALF))
    assert (NAIROBI, Box.NOTICES) in entry.decision.deliveries
    go_on(world)
    assert logged(MemoryLog(world, auditor)) == []


# --- pairs ---


@pytest.fixture
def paired(world):
    """Kampala signs with a pair from here on."""
    pair = PairSigner(signer("pair of Kampala"), MlDsa65Signer(seed("second of Kampala")))
    agency = world.agencies[KAMPALA]
    record = replace(world.state.directory.keys(KAMPALA), signing=(InstanceKey(pair.public_key, "worker-2"),))
    world.put(
        world.directory_statement(Kind.KEYS, KAMPALA, record, [agency.administrator], possession=[pair])
    )
    return pair


@pytest.mark.parametrize("auditor", AUDITORS)
def test_whole_pairs_are_replayed_and_nothing_is_found(world, paired, auditor):
    world.put(world.receipt(KAMPALA, [world.first], signer=paired))
    world.send(KAMPALA, [MOMBASA], signer=paired)
    assert logged(MemoryLog(world, auditor)) == []


@pytest.mark.parametrize("auditor", AUDITORS)
@pytest.mark.parametrize("half", ["first", "another second"])
def test_half_of_a_pair(world, paired, auditor, half):
    other = PairSigner(paired.first, MlDsa65Signer(seed("another second")))
    entry = world.force(
        world.receipt(KAMPALA, [world.first], signer=paired.first if half == "first" else other)
    )
    assert logged(MemoryLog(world, auditor)) == [(Check.SIGNATURE, entry.index)]


@pytest.mark.parametrize("honest", [True, False])
def test_a_succession_with_another_root_than_its_leaves_give(world, honest):
    index = world.state.size
    root = world.state.frontier.root() if honest else bytes(32)
    record = world.log_record(predecessor=Predecessor(world.state.origin, index, root))
    following = next_origin(world.state.origin)
    data = world.record_statement(
        Kind.GOVERNANCE, "", record, world.governors[: world.quorum], (), origin=following
    )
    world.force(data)
    world.origin = following
    done = MemoryLog(world).sync(Mirror(None))
    found = [(f.check, f.index) for f in done.open]
    assert found == ([] if honest else [(Check.DECISION, index)])
