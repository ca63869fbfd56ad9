"""Evidence bears time stamps of authorities apart from the log: what they say, and what becomes of false ones."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from countermark_client._evidence_words import evidence_json, tell
from countermark_protocol.cosignature import CosignatureType, Cosigner, encode_cosigner_vkey
from countermark_protocol.encoding import parse_object
from countermark_protocol.errors import CountermarkError
from countermark_protocol.evidence import Earlier, Stamped, encode_evidence, parse_evidence
from countermark_protocol.evidence_checks import verify_evidence
from countermark_protocol.mandates import Witness
from countermark_protocol.timestamps import parse_tsa_roots
from countermark_protocol.tlog_witness import add_cosignatures
from support.evidence import consistency, draft_of, evidence_of, finished
from support.protocol_world import make_world
from support.tsa import Tsa
from support.world import KAMPALA, seed

WATCHER = Cosigner("w.example/w", CosignatureType.ED25519, seed("watcher"))


@pytest.fixture(scope="module")
def tsas():
    return Tsa("East Time"), Tsa("West Time", "rsa")


@pytest.fixture
def world():
    world = make_world()
    named = (Witness(WATCHER.key.name, (encode_cosigner_vkey(WATCHER.key),)),)
    world.put(world.governance(witnesses=named, witness_quorum=1))
    world.message_sent = world.send(recipients=(KAMPALA,))
    world.size = world.state.size
    world.at = world.now // 1000 + 7
    world.accept(KAMPALA, world.message_sent)
    return world


def note_of(world, size=None, off=0, by=(WATCHER,)):
    checkpoint = world.checkpoint(size or world.size)
    return add_cosignatures(checkpoint.raw, [w.cosign(checkpoint, world.at + off) for w in by])


def stamped(world, tsa, *, after=60, over=None, **options):
    """A stamp so many seconds after the witness."""
    note = note_of(world, **options)
    at = Earlier(note, consistency(world, options.get("size") or world.size, world.state.size))
    when = datetime.fromtimestamp(world.at, UTC) + timedelta(seconds=after)
    return Stamped(at, tsa.stamp(over or note, when))


def made(world, *stamps):
    return encode_evidence(finished(world, replace(draft_of(world, world.message_sent), stamps=stamps)))


def roots_of(*tsas):
    return parse_tsa_roots(b"".join(one.roots for one in tsas))


def refused(data, code, roots=()):
    with pytest.raises(CountermarkError) as caught:
        verify_evidence(data, tsa_roots=roots)
    assert caught.value.code == code, caught.value


def test_two_authorities_say_by_when_it_existed(world, tsas):
    proven = verify_evidence(
        made(world, stamped(world, tsas[0]), stamped(world, tsas[1], after=90)), tsa_roots=roots_of(*tsas)
    )
    assert [s.verified.latest // 1000 - world.at for s in proven.stamps] == [60, 90]
    assert {s.verified.authority for s in proven.stamps} == {"East Time", "West Time"}
    told = tell(proven)
    lines = [line for line in told.proven if line.startswith("It existed at the latest by 2026-")]
    assert ["according to East Time" in lines[0], "according to West Time" in lines[1]] == [True, True]
    assert told.doubts == ()
    assert any("were not revoked" in line for line in told.not_proven)
    shown = evidence_json(proven, told)
    assert shown["stamp_roots_given"]
    assert [s["existed_by"] // 1000 - world.at for s in shown["stamps"]] == [60, 90]


def test_the_bytes_are_the_same_again(world, tsas):
    data = made(world, stamped(world, tsas[0]))
    assert encode_evidence(parse_evidence(data)) == data
    assert list(parse_object(data)).index("stamps") == list(parse_object(data)).index("message") - 1


def test_without_stamps_it_is_said(world):
    data = evidence_of(world, world.message_sent)
    assert b'"stamps"' not in data
    told = tell(verify_evidence(data))
    assert any("there is no time stamp (RFC 3161) in this file" in line for line in told.not_proven)


def test_without_roots_none_counts_and_it_is_said(world, tsas):
    proven = verify_evidence(made(world, stamped(world, tsas[0])))
    told = tell(proven)
    assert not any("existed at the latest" in line for line in told.proven)
    (line,) = [line for line in told.not_proven if "no roots of their authorities were given" in line]
    assert "'East Time' on 2026-" in line
    assert evidence_json(proven, told)["stamps"][0]["verified"] is False


def test_a_root_that_is_not_given(world, tsas):
    proven = verify_evidence(made(world, *(stamped(world, t) for t in tsas)), tsa_roots=roots_of(tsas[1]))
    assert [s.verified is not None for s in proven.stamps] == [False, True]
    told = tell(proven)
    assert told.doubts == ()
    assert any(
        "the certificate of 'East Time' does not lead to the roots" in line for line in told.not_proven
    )


def test_what_fails_the_file(world, tsas):
    tsa, roots = tsas[0], roots_of(*tsas)
    good = stamped(world, tsa)
    refused(made(world, stamped(world, tsa, over=b"other bytes")), "stamp_imprint")
    flipped = bytearray(good.response)
    flipped[-1] ^= 1
    refused(made(world, replace(good, response=bytes(flipped))), "stamp_invalid", roots)
    refused(made(world, replace(good, response=good.response[:-1])), "bad_stamp")
    refused(made(world, replace(good, response=b"\x30\x05\x30\x03\x02\x01\x02")), "bad_stamp")
    other = Tsa("Of another use", critical=False)
    refused(made(world, stamped(world, other)), "stamp_invalid", roots_of(other))
    refused(made(world, stamped(world, tsa, by=())), "quorum_not_met")
    spoilt = replace(good, at=replace(good.at, consistency=(*good.at.consistency, bytes(32))))
    refused(made(world, spoilt), "consistency_path_length")


def test_a_tree_without_the_message(world, tsas):
    index = world.size - 1
    refused(made(world, stamped(world, tsas[0], size=index)), "beyond_checkpoint")


def test_clocks_that_were_wrong_are_doubts(world, tsas):
    roots = roots_of(tsas[0])
    early = verify_evidence(made(world, stamped(world, tsas[0], after=-61)), tsa_roots=roots)
    told = tell(early)
    assert any("one of their clocks was wrong" in line for line in told.doubts)
    assert not any("existed at the latest" in line for line in told.proven)
    assert (
        tell(verify_evidence(made(world, stamped(world, tsas[0], after=-60)), tsa_roots=roots)).doubts == ()
    )
    ahead = verify_evidence(made(world, stamped(world, tsas[0], off=-70, after=-70)), tsa_roots=roots)
    assert any("the log's clock was wrong" in line for line in tell(ahead).doubts)
