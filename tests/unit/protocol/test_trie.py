"""The directory's trie: presence and absence by one path."""

from dataclasses import replace

import pytest

from countermark_protocol.encoding import labelled_hash
from countermark_protocol.errors import ProofError
from countermark_protocol.keys import sha256
from countermark_protocol.trie import EMPTY, Trie, TrieProof, TrieRecord, _bit, _key, trie_of, verify_subject
from support.world import seed


def record(number, index=None):
    return TrieRecord(f"endpoint/ke.police.p{number}", index or number, 1000 + number, seed(f"s{number}"))


RECORDS = [record(n) for n in range(40)]
TRIE = trie_of(RECORDS)


def refused(*args):
    with pytest.raises(ProofError) as caught:
        verify_subject(*args)
    assert caught.value.code == "bad_trie_path"


def naive(records, depth=0):
    """The head by the definition, not by insertion."""
    if not records:
        return EMPTY
    if len(records) == 1:
        return records[0].digest()
    sides = [[r for r in records if _bit(_key(r.subject), depth) == side] for side in (0, 1)]
    return labelled_hash("dir-node", naive(sides[0], depth + 1), naive(sides[1], depth + 1))


def test_hashes_are_those_of_the_spec():
    one = record(1)
    assert one.digest() == labelled_hash(
        "dir-record", one.subject.encode(), (1).to_bytes(8, "big"), (1001).to_bytes(8, "big"), one.statement
    )
    assert Trie().head == EMPTY == bytes(32)
    assert trie_of([one]).head == one.digest()
    assert _key("log") == int.from_bytes(sha256(b"log"), "big")
    for count in (2, 3, 17, 40):
        assert trie_of(RECORDS[:count]).head == naive(RECORDS[:count])


def test_order_of_insertion_does_not_matter_and_old_tries_stand():
    before = TRIE.head
    assert trie_of(RECORDS[::-1]).head == before
    newer = TRIE.with_record(record(7, index=99))
    assert newer.head == naive([*RECORDS[:7], record(7, index=99), *RECORDS[8:]])
    assert TRIE.head == before != newer.head


def test_presence():
    for one in RECORDS:
        assert verify_subject(TRIE.head, one.subject, TRIE.prove(one.subject)) == one


def test_absence():
    for number in range(40, 140):
        subject = f"endpoint/ke.police.p{number}"
        assert verify_subject(TRIE.head, subject, TRIE.prove(subject)) is None
    # Both forms occur: an empty place, and a place where another record stands.
    ends = {TRIE.prove(f"endpoint/ke.police.p{n}").record is None for n in range(40, 140)}
    assert ends == {True, False}
    assert verify_subject(EMPTY, "log", TrieProof((), None)) is None


def test_presence_cannot_be_denied():
    subject = RECORDS[3].subject
    honest = TRIE.prove(subject)
    refused(TRIE.head, subject, replace(honest, record=None))
    refused(TRIE.head, subject, TrieProof((), None))
    for other in RECORDS:
        if other.subject != subject:
            refused(TRIE.head, subject, TRIE.prove(other.subject))
            refused(TRIE.head, subject, replace(honest, record=other))


def test_no_record_can_be_made_up():
    absent = "endpoint/ke.police.p77"
    path = TRIE.prove(absent)
    refused(TRIE.head, absent, replace(path, record=TrieRecord(absent, 1, 1, bytes(32))))
    shown = TRIE.prove(RECORDS[3].subject)
    assert shown.record is not None
    for changes in ({"index": 4}, {"time": 0}, {"statement": bytes(32)}):
        refused(TRIE.head, RECORDS[3].subject, replace(shown, record=replace(shown.record, **changes)))


def test_paths_of_another_form():
    subject = RECORDS[3].subject
    honest = TRIE.prove(subject)
    refused(TRIE.head, subject, replace(honest, siblings=honest.siblings[:-1]))
    refused(TRIE.head, subject, replace(honest, siblings=(*honest.siblings, EMPTY)))
    refused(TRIE.head, subject, replace(honest, siblings=(b"", *honest.siblings[1:])))
    refused(TRIE.head, subject, replace(honest, siblings=(EMPTY,) * 257))
    refused(bytes(32), subject, honest)
    refused(trie_of(RECORDS[:3]).head, subject, honest)


@pytest.mark.parametrize("changes", [{"index": -1}, {"index": 2**64}, {"time": -1}, {"time": 2**64}])
def test_numbers_that_no_leaf_holds(changes):
    subject = RECORDS[3].subject
    honest = TRIE.prove(subject)
    assert honest.record is not None
    refused(TRIE.head, subject, replace(honest, record=replace(honest.record, **changes)))
