"""Random histories of the directory: every fold is the same fold, and every proof holds for its own head alone."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countermark_protocol.claims import Kind
from countermark_protocol.directory import Directory
from countermark_protocol.documents import parse_document
from countermark_protocol.errors import CountermarkError, ProofError
from countermark_protocol.identifiers import Role
from countermark_protocol.judging import judge_statement
from countermark_protocol.records import Ground, GroupRecord, RevocationRecord, State
from countermark_protocol.statements import verify_statement
from countermark_protocol.trie import trie_of, verify_subject
from support.examples import tried
from support.protocol_world import make_world
from support.world import KAMPALA, LYON, MOMBASA, NAIROBI

ADDRESSES = (NAIROBI, KAMPALA, LYON, MOMBASA)
CODES = ("ke", "ug", "be", "xo-interpol")

statements = st.one_of(
    st.tuples(st.just("authority"), st.sampled_from(CODES), st.sampled_from(list(State))),
    st.tuples(st.just("endpoint"), st.sampled_from(ADDRESSES), st.sampled_from(list(State))),
    st.tuples(st.just("new endpoint"), st.sampled_from(CODES), st.integers(0, 30)),
    st.tuples(st.just("keys"), st.sampled_from(ADDRESSES), st.integers(1, 3)),
    st.tuples(st.just("group"), st.sampled_from(CODES), st.integers(0, 4)),
    st.tuples(st.just("revoke"), st.sampled_from(ADDRESSES), st.integers(-5, 5)),
    st.tuples(st.just("policy"), st.just(""), st.just(0)),
)


def make(world, what, whom, detail):
    """A statement as its principal would sign it now; it may well be refused."""
    if what == "authority":
        return world.authority_statement(whom, state=detail)
    if what == "endpoint":
        return world.endpoint_statement(whom, detail)
    if what == "new endpoint":
        return world.endpoint_statement(f"{whom}.{Role.POLICE}.p{detail}")
    if what == "keys":
        return world.keys_statement(whom, reads={"tracing-request": tuple(range(1, detail + 1))})
    if what == "group":
        record = GroupRecord(f"{whom}/g{detail}", "G", ADDRESSES[:detail], State.ACTIVE)
        return world.directory_statement(Kind.GROUP, record.name, record, [world.authority(whom)])
    if what == "revoke":
        key = world.agencies[whom].instance
        record = RevocationRecord(key.public_key.key_id, Ground.COMPROMISE, world.now + detail * 1000)
        return world.revocation(key, record, [world.agencies[whom].administrator])
    return world.policy_statement()


def grow(history):
    world = make_world()
    start = len(world.entries)
    heads = [e.leaf.dir_head for e in world.entries]
    for step in history:
        world.now += 1
        try:
            world.put(make(world, *step))
        except CountermarkError:
            continue
        heads.append(world.entries[-1].leaf.dir_head)
    return world, start, heads


@given(st.lists(statements, max_size=14))
@tried(40)
def test_every_fold_is_the_same(history):
    world, _, heads = grow(history)
    live = world.state.directory
    fold = Directory()
    for number, entry in enumerate(world.entries):
        document = verify_statement(fold, parse_document(entry.document.data))
        statement = judge_statement(fold, document, entry.leaf.time)
        expected = fold.head_with(statement, document, entry.index, entry.leaf.time)
        fold.apply(statement, document, entry.index, entry.leaf.time)
        assert fold.head == expected == heads[number] == entry.leaf.dir_head
        assert fold.count == entry.leaf.dir_count
    assert (fold.head, fold.count) == (live.head, live.count)
    assert fold._history == live._history
    # The past can be asked at any time, and answers as it did then.
    for at in range(len(world.entries)):
        for address in ADDRESSES:
            key = world.agencies[address].instance.public_key.key_id
            then = Directory()
            for entry in world.entries[: at + 1]:
                then.apply(entry.decision.directory, entry.document, entry.index, entry.leaf.time)
            assert live.keys(address, at) == then.keys(address)
            assert live.instance(address, key, at, time=0) == then.instance(address, key, time=0)
        if at > len(world.entries) // 2:
            break


@given(st.lists(statements, max_size=20), st.randoms(use_true_random=False))
@tried(40)
def test_proofs_hold_for_their_own_head_alone(history, rng):
    world, _, heads = grow(history)
    live = world.state.directory
    newest = {s: live.held(s) for s in live.subjects("")}
    absent = [f"endpoint/be.police.absent{n}" for n in range(5)] + ["revoked/" + "00" * 32]
    records = [live._trie.prove(s).record for s in newest]
    rng.shuffle(records)
    assert trie_of(records).head == live.head
    for subject in [*newest, *absent]:
        proof = live.prove(subject)
        shown = verify_subject(live.head, subject, proof)
        if subject in newest:
            held = newest[subject]
            assert (shown.index, shown.time, shown.statement) == (held.index, held.time, held.statement)
        else:
            assert shown is None
    for older in random.Random(len(heads)).sample(heads[:-1], 5):
        for subject in list(newest)[:4] + absent[:2]:
            with pytest.raises(ProofError):
                verify_subject(older, subject, live.prove(subject))
