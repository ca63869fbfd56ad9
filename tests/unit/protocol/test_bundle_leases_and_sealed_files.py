"""Bundles, leases and sealed files as bytes: one encoding each, and only our own errors come out of anything else."""

import contextlib
import functools
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countermark_protocol import keyfile
from countermark_protocol.boxes import Box
from countermark_protocol.bundle import (
    MAGIC,
    BundleManifest,
    Course,
    Cursors,
    Item,
    encode_bundle,
    encode_items,
    item_size,
    items_digest,
    parse_bundle,
    parse_bundle_manifest,
)
from countermark_protocol.claims import Seen
from countermark_protocol.documents import sign_document
from countermark_protocol.encoding import encode_json, parse_json
from countermark_protocol.errors import (
    CountermarkError,
    MalformedError,
    ProofError,
    SealError,
    UncheckableError,
)
from countermark_protocol.identifiers import Address, KeyId, Origin
from countermark_protocol.leases import (
    Granted,
    Lease,
    LeaseRequest,
    parse_granted,
    parse_lease_request,
    parse_leases,
)
from countermark_protocol.sealed_file import open_file, seal_file
from countermark_protocol.signers import Ed25519Signer

SIGNER = Ed25519Signer(bytes(range(32)))
ITEMS = (Item("/v1/messages", 0, b"one"), Item("/v1/receipts", 0, b""), Item("/v1/messages", 0, b"three" * 9))
_DERIVE_ONCE = functools.lru_cache(maxsize=64)(keyfile._derive)


def manifest(items=ITEMS, course=Course.OUT, **changes):
    framed = encode_items(items)
    values = {
        "log": Origin("log.example.org/1"),
        "endpoint": Address("ke.police.nairobi"),
        "course": course,
        "seen": Seen(3, bytes(32)),
        "checked_at": 1,
        "made_at": 2,
        "cursors": Cursors(4, tuple((box, 5) for box in Box), 100),
        "wanted": (bytes(32),) if course is Course.OUT else (),
        "answers": None if course is Course.OUT else bytes(32),
        "items": len(items),
        "size": len(framed),
        "digest": items_digest(framed),
    }
    return BundleManifest(**(values | changes))


def build(items=ITEMS, framed=None, **changes):
    document = sign_document(encode_json(manifest(items, **changes).to_json()), [SIGNER])
    return encode_bundle(document, encode_items(items) if framed is None else framed)


@pytest.mark.parametrize("course", list(Course))
def test_a_bundle_is_read_as_it_was_written(course):
    parsed = parse_bundle(build(course=course))
    assert parsed.items == ITEMS
    assert parsed.manifest == manifest(course=course)
    assert sum(map(item_size, ITEMS)) == parsed.manifest.size


@pytest.mark.parametrize(
    ("data", "code", "kind"),
    [
        (b"", "bundle_truncated", ProofError),
        (b"PK\x03\x04 something", "not_a_bundle", MalformedError),
        (MAGIC[:-1] + b"2" + bytes(99), "unknown_version", UncheckableError),
        (MAGIC + b"\xff\xff\xff\xff" + bytes(9), "not_a_bundle", MalformedError),
        (build(items=()) + b"x", "bundle_altered", ProofError),
        (build(framed=encode_items(ITEMS[:2])), "bundle_truncated", ProofError),
        (build(framed=encode_items(ITEMS[::-1])), "bundle_altered", ProofError),
        (build(framed=encode_items(ITEMS)[16 + 12 :]), "bundle_reordered", ProofError),
        (build(size=1), "bundle_altered", ProofError),
        (build(digest=bytes(32)), "bundle_altered", ProofError),
        (build(items=(Item("é", 0, b""),)), "bundle_altered", ProofError),
        (build(items=(Item("x" * 301, 0, b""),)), "bundle_altered", ProofError),
    ],
)
def test_other_bytes_are_refused_with_their_own_code(data, code, kind):
    with pytest.raises(kind) as caught:
        parse_bundle(data)
    assert caught.value.code == code


def test_every_bit_of_a_bundle_counts():
    good = build()
    for at in range(len(good)):
        altered = bytearray(good)
        altered[at] ^= 0x10
        try:
            parsed = parse_bundle(bytes(altered))
        except CountermarkError:
            continue
        # What is left unharmed in form is the signed part, and its signature no longer verifies.
        assert parsed.document.data != parse_bundle(good).document.data


@given(st.binary(max_size=400), st.integers(0, 400))
def test_anything_gives_only_our_errors(junk, at):
    good = build()
    for data in (junk, MAGIC + junk, good[:at] + junk + good[at:], good[:at] + junk):
        with contextlib.suppress(CountermarkError):
            assert parse_bundle(data).items == ITEMS


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "message"},
        {"course": "sideways"},
        {"wanted": None},
        {"answers": "00" * 32},
        {"items": -1},
        {"items": 100_001},
        {"cursors": {"directory": 0, "boxes": {"sent": 0}, "page": 100}},
        {
            "cursors": {
                "directory": 0,
                "boxes": dict.fromkeys(("sent", "urgent", "routine", "notices"), 0),
                "page": 501,
            }
        },
        {"more": 1},
    ],
)
def test_a_manifest_has_exactly_its_members(change):
    with pytest.raises(MalformedError):
        parse_bundle_manifest(parse_json(encode_json(manifest().to_json() | change)))


# --- leases ------------------------------------------------------------------------------------------


def test_leases_are_read_as_they_were_written():
    asked = LeaseRequest(Box.URGENT, (3, 1, 2), 60)
    assert parse_lease_request(encode_json(asked.to_json())) == asked
    granted = Granted((1, 3), 1000)
    assert parse_granted(encode_json(granted.to_json()), asked) == granted
    leases = (Lease(1, KeyId(bytes(32)), 5), Lease(2, KeyId(b"\1" * 32), 6))
    assert parse_leases(encode_json({"leases": [one.to_json() for one in leases]})) == leases


@pytest.mark.parametrize(
    "change",
    [
        {"box": "sent"},
        {"box": None},
        {"positions": []},
        {"positions": [1, 1]},
        {"positions": [-1]},
        {"positions": [True]},
        {"positions": list(range(257))},
        {"seconds": 3601},
        {"seconds": -1},
        {"more": 1},
    ],
)
def test_a_lease_request_out_of_bounds(change):
    asked = LeaseRequest(Box.ROUTINE, (0,), 60).to_json()
    with pytest.raises(MalformedError):
        parse_lease_request(encode_json(asked | change))


@pytest.mark.parametrize("granted", [[4], [0, 0], ["0"], None])
def test_only_what_was_asked_for_is_granted(granted):
    with pytest.raises(MalformedError):
        parse_granted(encode_json({"granted": granted, "until": 1}), LeaseRequest(Box.ROUTINE, (0,), 60))


# --- sealed files ------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _fast():
    with mock.patch.object(keyfile, "_derive", _DERIVE_ONCE):
        yield


def seal(plain, passphrase="right"):
    return b"".join(seal_file(passphrase, bytes(16), bytes(24), [plain]))


@pytest.mark.parametrize("size", [0, 1, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 100_000])
@pytest.mark.parametrize("step", [1, 7, 4096, 1 << 20])
def test_a_sealed_file_opens_whatever_its_pieces(size, step):
    plain = bytes(i % 251 for i in range(size))
    sealed = seal(plain)
    if len(sealed) // step > 2000:
        step = 997
    pieces = (sealed[i : i + step] for i in range(0, len(sealed), step))
    assert b"".join(open_file("right", pieces)) == plain


@pytest.mark.parametrize(
    ("data", "code", "kind"),
    [
        (b"", "not_a_sealed_file", MalformedError),
        (b"cmseal01" + bytes(15), "not_a_sealed_file", MalformedError),
        (b"SQLite format 3\0" + bytes(99), "not_a_sealed_file", MalformedError),
        (b"cmseal02" + bytes(99), "unknown_version", UncheckableError),
        (b"cmseal01" + bytes(16), "truncated_ciphertext", SealError),
        (b"cmseal01" + bytes(99), "wrong_passphrase", SealError),
        (seal(b"x" * 99, "wrong"), "wrong_passphrase", SealError),
        (seal(b"x" * 99)[:-1], "altered_ciphertext", SealError),
        (seal(b"x" * 99) + b"x", "altered_ciphertext", SealError),
    ],
)
def test_a_file_that_does_not_open(data, code, kind):
    with pytest.raises(kind) as caught:
        list(open_file("right", [data]))
    assert caught.value.code == code


def test_every_bit_of_a_sealed_file_counts():
    good = seal(b"secret" * 5)
    with mock.patch.object(
        keyfile, "_derive", lambda passphrase, salt: (passphrase.encode() + salt).ljust(32)[:32]
    ):
        good = seal(b"secret" * 5)
        for at in range(len(good)):
            altered = bytearray(good)
            altered[at] ^= 1
            with pytest.raises(CountermarkError):
                list(open_file("right", [bytes(altered)]))


def test_sealing_needs_a_passphrase_and_a_salt():
    for passphrase, salt in (("", bytes(16)), ("right", bytes(15))):
        with pytest.raises(ValueError, match="a passphrase and 16 bytes of salt"):
            seal_file(passphrase, salt, bytes(24), [b""])
