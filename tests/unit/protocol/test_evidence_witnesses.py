"""Evidence shows the oldest checkpoint with the message that a quorum of witnesses cosigned, and by when."""

from dataclasses import replace

import pytest

from countermark_client._evidence_words import evidence_json, tell
from countermark_protocol.cosignature import CosignatureType, Cosigner, encode_cosigner_vkey
from countermark_protocol.encoding import parse_object
from countermark_protocol.errors import CountermarkError
from countermark_protocol.evidence import Earlier, encode_evidence, parse_evidence
from countermark_protocol.evidence_checks import verify_evidence
from countermark_protocol.mandates import Witness
from countermark_protocol.tlog_witness import add_cosignatures
from support.evidence import consistency, draft_of, evidence_of, finished
from support.protocol_world import make_world
from support.world import KAMPALA, seed

KINDS = (CosignatureType.ED25519, CosignatureType.ML_DSA_44, CosignatureType.ML_DSA_44)
WATCHERS = [Cosigner(f"w{i}.example/w", kind, seed(f"watcher {i}")) for i, kind in enumerate(KINDS)]
LATER = Cosigner("later.example/w", CosignatureType.ML_DSA_44, seed("later"))


def name(world, cosigners, quorum):
    """Let the governors name witnesses."""
    named = tuple(Witness(c.key.name, (encode_cosigner_vkey(c.key),)) for c in cosigners)
    world.put(world.governance(witnesses=named, witness_quorum=quorum))


@pytest.fixture
def world():
    world = make_world()
    name(world, WATCHERS, 2)
    world.message_sent = world.send(recipients=(KAMPALA,))
    world.size = world.state.size
    world.at = world.now // 1000 + 7
    world.accept(KAMPALA, world.message_sent)
    return world


def witnessed(world, by=WATCHERS[:2], size=None, off=0):
    size = size or world.size
    checkpoint = world.checkpoint(size)
    lines = [c.cosign(checkpoint, world.at + off + i) for i, c in enumerate(by)]
    return Earlier(add_cosignatures(checkpoint.raw, lines), consistency(world, size, world.state.size))


def made(world, **options):
    draft = replace(draft_of(world, world.message_sent), witnessed=witnessed(world, **options))
    return encode_evidence(finished(world, draft))


def refused(data, code):
    with pytest.raises(CountermarkError) as caught:
        verify_evidence(data)
    assert caught.value.code == code, caught.value


def changed(data, **changes):
    return encode_evidence(replace(parse_evidence(data), **changes))


def test_who_had_seen_the_message_and_by_when(world):
    proven = verify_evidence(made(world))
    first = proven.first_witnessed
    assert (first.size, first.named, first.quorum, first.existed_by) == (world.size, 3, 2, world.at + 1)
    assert first.witnesses == tuple(w.key.name for w in WATCHERS[:2])
    assert not first.ahead
    assert proven.witnessing.existed_by is None
    told = tell(proven)
    assert any(line.startswith("Witnessed by 2 of 3 by 2026-") for line in told.proven)
    assert any(f"after its first {world.size} entries" in line for line in told.not_proven)
    assert told.doubts == ()
    assert evidence_json(proven, told)["first_witnessed"]["existed_by"] == world.at + 1


def test_the_bytes_are_the_same_again(world):
    draft = finished(world, replace(draft_of(world, world.message_sent), witnessed=witnessed(world)))
    data = encode_evidence(draft)
    assert data == encode_evidence(draft)
    assert list(parse_object(data)).index("witnessed") == list(parse_object(data)).index("message") - 1
    assert encode_evidence(parse_evidence(data)) == data


def test_without_one_it_is_said(world):
    proven = verify_evidence(evidence_of(world, world.message_sent))
    assert proven.first_witnessed is None
    told = tell(proven)
    assert not any("Witnessed by" in line for line in told.proven)
    assert any("0 of the 2 that are needed cosigned this tree" in line for line in told.not_proven)
    assert evidence_json(proven, told)["first_witnessed"] is None


def test_the_witnesses_are_those_named_at_its_size(world):
    name(world, [LATER], 1)
    data = made(world)
    assert verify_evidence(data).first_witnessed.named == 3
    assert verify_evidence(data).witnessing.named == 1
    refused(changed(data, witnessed=witnessed(world, [LATER])), "quorum_not_met")
    after = witnessed(world, [LATER], size=world.state.size)
    assert verify_evidence(changed(data, witnessed=after)).first_witnessed.quorum == 1


def test_a_record_that_stood_between_message_and_now_is_shown(world):
    name(world, [LATER], 1)
    shown = witnessed(world, [LATER], size=world.state.size)
    name(world, WATCHERS, 2)
    world.send()
    shown = replace(shown, consistency=consistency(world, world.size + 3, world.state.size))
    draft = replace(draft_of(world, world.message_sent), witnessed=shown)
    first = verify_evidence(encode_evidence(finished(world, draft))).first_witnessed
    assert (first.named, first.witnesses) == (1, (LATER.key.name,))


def test_less_than_a_quorum_fails_the_file(world):
    data = made(world)
    refused(changed(data, witnessed=witnessed(world, WATCHERS[:1])), "quorum_not_met")
    refused(changed(data, witnessed=witnessed(world, [])), "quorum_not_met")
    refused(changed(data, witnessed=witnessed(world, [WATCHERS[0], LATER])), "quorum_not_met")
    note = witnessed(world).checkpoint
    spoilt = note[:-3] + (b"A" if note[-3:-2] != b"A" else b"B") + note[-2:]
    with pytest.raises(CountermarkError):
        verify_evidence(changed(data, witnessed=replace(witnessed(world), checkpoint=spoilt)))


def test_it_has_the_message_and_the_newest_continues_it(world):
    data = made(world)
    refused(changed(data, witnessed=witnessed(world, size=world.size - 1)), "beyond_checkpoint")
    refused(changed(data, witnessed=replace(witnessed(world), consistency=())), "consistency_path_length")


def test_a_log_that_names_no_witnesses_has_none():
    world = make_world()
    world.message_sent = world.send(recipients=(KAMPALA,))
    world.size, world.at = world.state.size, world.now // 1000
    refused(made(world), "quorum_not_met")


@pytest.mark.parametrize(("off", "doubt"), [(-68, False), (-69, True)])
def test_a_time_that_witnesses_contradict_is_a_doubt(world, off, doubt):
    proven = verify_evidence(made(world, off=off))
    assert proven.first_witnessed.ahead is doubt
    assert len(tell(proven).doubts) == doubt
