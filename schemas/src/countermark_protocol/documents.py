"""Signed documents: a payload in its exact bytes, and the signatures over it.

Layout: version ‖ payload ‖ signatures, ordered by key id, no key twice, each (algorithm, key id, purpose,
raw signature). What is signed is the signing input of a detached JWS whose header is rebuilt from these
three, so no header is ever parsed, yet any JOSE tool can check the export.

Reading goes in two steps of different type: `parse_document` gives an `UnverifiedDocument`;
`verify_document` checks *every* signature and gives a `Document`. Whether the keys were entitled to sign
is decided elsewhere (directory.py, decision.py): key ids bind keys, so that step needs no key material.

Source: docs/spec/documents.md; RFC 7515 App. F; RFC 8725.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final

from countermark_protocol.encoding import (
    JsonObject,
    Reader,
    Writer,
    encode_base64url,
    labelled_hash,
    malformed,
    parse_object,
)
from countermark_protocol.errors import SignatureError, UncheckableError
from countermark_protocol.identifiers import KeyId
from countermark_protocol.keys import (
    ALGORITHM_NAMES,
    SEALING_ALGORITHMS,
    Algorithm,
    PublicKey,
    Signer,
    parse_algorithm,
)
from countermark_protocol.signers import PairSigner

DOCUMENT_VERSION: Final = 1
#: A manifest needs about 2 kB, a directory record of a large agency 64 kB; leaves room, bounds work.
MAX_PAYLOAD_BYTES: Final = 256 * 1024
MAX_SIGNATURES: Final = 64
MAX_SIGNATURE_BYTES: Final = 8192


class Purpose(IntEnum):
    """Why a key signed. NOTE: numbers are wire format: never reuse, never renumber."""

    SIGN = 1
    POSSESSION = 2
    COUNTERSIGN = 3
    RELEASE = 4
    BEHALF = 5


_PURPOSES: Final = {int(p): p for p in Purpose}
_TYP: Final = {p: f"countermark/1/{p.name.lower()}" for p in Purpose}


@dataclass(frozen=True, slots=True, order=True)
class Signature:
    """One signature of a document, not verified by being here.

    Attributes:
        key_id: 32 bytes; documents order their signatures by it.
        algorithm: must be the algorithm of that key.
        purpose: why the key signed.
        raw: the signature itself.
    """

    key_id: KeyId
    algorithm: Algorithm
    purpose: Purpose
    raw: bytes

    def verify(self, payload: bytes, key: PublicKey) -> None:
        """Check this signature over `payload` under `key`.

        Raises:
            SignatureError: another key or algorithm, or it does not verify.
        """
        if key.key_id != self.key_id or key.algorithm is not self.algorithm:
            raise SignatureError(
                "wrong_algorithm", f"key {self.key_id.hex()} does not use {self.algorithm.name}"
            )
        key.verify(signing_input(payload, self.algorithm, self.key_id, self.purpose), self.raw)


@dataclass(frozen=True, slots=True)
class UnverifiedDocument:
    """A well-formed signed document whose signatures nobody has checked yet."""

    data: bytes
    payload: bytes
    claims: JsonObject
    signatures: tuple[Signature, ...]

    @property
    def counted(self) -> tuple[Signature, ...]:
        """Its signatures without those of second halves: a pair counts as one."""
        return tuple(s for s in self.signatures if s.algorithm is not Algorithm.ML_DSA_65)

    @property
    def payload_hash(self) -> bytes:
        """What other documents refer to: 32 bytes."""
        return payload_hash(self.payload)


@dataclass(frozen=True, slots=True)
class Document:
    """A signed document all of whose signatures verify under the keys they name.

    Attributes:
        data: the whole document in its exact bytes.
        payload: the exact payload bytes.
        claims: the parsed payload.
        signers: (purpose, key id) of every key that signed; a pair, both of whose halves did, is there once.
        payload_hash: 32 bytes; what payloads of other documents refer to.
        statement_hash: 32 bytes, hash of the whole document; what leaves, boxes and the directory hold.
    """

    data: bytes
    payload: bytes
    claims: JsonObject
    signers: tuple[tuple[Purpose, KeyId], ...]
    payload_hash: bytes
    statement_hash: bytes

    def keys_for(self, purpose: Purpose) -> frozenset[KeyId]:
        """Ids of the keys that signed for `purpose`."""
        return frozenset(key_id for p, key_id in self.signers if p is purpose)


def payload_hash(payload: bytes) -> bytes:
    """Hash of a payload's exact bytes, 32 bytes."""
    return labelled_hash("payload", payload)


def statement_hash(data: bytes) -> bytes:
    """Hash of a whole signed document, 32 bytes."""
    return labelled_hash("statement", data)


def signing_input(payload: bytes, algorithm: Algorithm, key_id: bytes, purpose: Purpose) -> bytes:
    """The exact bytes that are signed: BASE64URL(header) ‖ "." ‖ BASE64URL(payload) (RFC 7515 §5.1).

    The header is exactly ``{"alg":…,"kid":…,"typ":…}`` in this order, without white space.
    """
    return f"{_protected(algorithm, key_id, purpose)}.{encode_base64url(payload)}".encode("ascii")


@lru_cache(maxsize=4096)
def _protected(algorithm: Algorithm, key_id: bytes, purpose: Purpose) -> str:
    # One for each key and purpose, whatever is signed.
    header = f'{{"alg":"{ALGORITHM_NAMES[algorithm]}","kid":"{key_id.hex()}","typ":"{_TYP[purpose]}"}}'
    return encode_base64url(header.encode("ascii"))


def encode_document(payload: bytes, signatures: Iterable[Signature]) -> bytes:
    """Encode payload and signatures (any order; a key twice is a `ValueError`)."""
    ordered = sorted(signatures)
    if len({s.key_id for s in ordered}) != len(ordered):
        msg = "a key signed twice"
        raise ValueError(msg)
    out = Writer().uint(DOCUMENT_VERSION, 1).sized(payload, 4).uint(len(ordered), 1)
    for s in ordered:
        out.uint(int(s.algorithm), 2).fixed(s.key_id, 32).uint(int(s.purpose), 1).sized(s.raw, 2)
    return out.done()


def make_signature(payload: bytes, signer: Signer, purpose: Purpose = Purpose.SIGN) -> Signature:
    """Sign `payload` with one key."""
    key = signer.public_key
    raw = signer.sign(signing_input(payload, key.algorithm, key.key_id, purpose))
    return Signature(key.key_id, key.algorithm, purpose, raw)


def make_signatures(payload: bytes, signer: Signer, purpose: Purpose = Purpose.SIGN) -> tuple[Signature, ...]:
    """Sign `payload` with one key, or with both halves of a pair."""
    if isinstance(signer, PairSigner):
        return make_signature(payload, signer.first, purpose), make_signature(payload, signer.second, purpose)
    return (make_signature(payload, signer, purpose),)


def sign_document(payload: bytes, signers: Iterable[Signer], possession: Iterable[Signer] = ()) -> bytes:
    """Sign `payload` with `signers`, and with `possession` to prove holding new keys; the whole document."""
    signatures = [made for s in signers for made in make_signatures(payload, s)]
    signatures += [made for s in possession for made in make_signatures(payload, s, Purpose.POSSESSION)]
    return encode_document(payload, signatures)


def parse_document(data: bytes) -> UnverifiedDocument:
    """Parse a signed document; there is exactly one encoding of each.

    Raises:
        MalformedError: anything but that encoding.
        UncheckableError: an algorithm reserved for later versions.
    """
    document = parse_gathering(data)
    if not document.signatures:
        malformed("signature_count", f"expected 1 to {MAX_SIGNATURES} signatures, got 0")
    return document


def parse_gathering(data: bytes) -> UnverifiedDocument:
    """Parse a document that may still lack signatures, even all of them (gathering.py).

    Raises:
        MalformedError: anything but its one encoding.
        UncheckableError: an algorithm reserved for later versions.
    """
    reader = Reader(data, "signed document")
    version = reader.uint(1, "version")
    if version != DOCUMENT_VERSION:
        raise UncheckableError(
            "unknown_version", f"signed document has version {version}, expected {DOCUMENT_VERSION}"
        )
    payload = reader.sized(4, MAX_PAYLOAD_BYTES, "payload")
    count = reader.uint(1, "signature count")
    if count > MAX_SIGNATURES:
        malformed("signature_count", f"expected 1 to {MAX_SIGNATURES} signatures, got {count}")
    signatures: list[Signature] = []
    for _ in range(count):
        algorithm = parse_algorithm(reader.uint(2, "algorithm"))
        if algorithm in SEALING_ALGORITHMS:
            malformed("unknown_algorithm", f"algorithm {int(algorithm)} makes no signatures")
        key_id = KeyId(reader.fixed(32, "key id"))
        number = reader.uint(1, "purpose")
        purpose = _PURPOSES.get(number)
        if purpose is None:
            malformed("unknown_purpose", f"signature purpose {number} is not on the closed list")
        raw = reader.sized(2, MAX_SIGNATURE_BYTES, "signature")
        if signatures and not signatures[-1].key_id < key_id:
            malformed("signature_order", "signatures must be ordered by key id, no key twice")
        signatures.append(Signature(key_id, algorithm, purpose, raw))
    reader.end()
    return UnverifiedDocument(data, payload, parse_object(payload), tuple(signatures))


def keys_of_signatures(
    unverified: UnverifiedDocument,
    resolve: Callable[[KeyId], PublicKey | None],
    beside: frozenset[Purpose] = frozenset(),
) -> list[tuple[Signature, PublicKey]]:
    """Each signature with its key; of pairs both halves must be there, for the same purpose.

    Args:
        unverified: from `parse_document`.
        resolve: as for `verify_document`; a paired key comes with its second half.
        beside: as for `verify_document`.

    Raises:
        SignatureError: ``unknown_key``; ``half_a_pair``; ``second_unasked``: a second half without its first.

    Does not prove: that any of them verifies.
    """
    found: list[tuple[Signature, PublicKey]] = []
    owed: dict[tuple[Purpose, KeyId], PublicKey] = {}
    for s in unverified.counted:
        key = resolve(s.key_id)
        if key is None and s.purpose in beside:
            continue
        if key is None:
            raise SignatureError("unknown_key", f"signed by key {s.key_id.hex()}, which is not known here")
        found.append((s, key))
        if key.second is not None:
            owed[s.purpose, key.second.key_id] = key.second
    for s in unverified.signatures:
        if s.algorithm is not Algorithm.ML_DSA_65:
            continue
        second = owed.pop((s.purpose, s.key_id), None)
        if second is not None:
            found.append((s, second))
        elif s.purpose not in beside:
            raise SignatureError(
                "second_unasked",
                f"signed by key {s.key_id.hex()}, which is no second half of a key that signed",
            )
    if owed:
        raise SignatureError(
            "half_a_pair",
            f"expected the signature of key {min(owed)[1].hex()} too: it is paired with a key that signed",
        )
    return found


def verify_document(
    unverified: UnverifiedDocument,
    resolve: Callable[[KeyId], PublicKey | None],
    beside: frozenset[Purpose] = frozenset(),
) -> Document:
    """Check every signature of a document.

    Args:
        unverified: from `parse_document`.
        resolve: gives the public key of a key id, or None. It need not be trusted: the id binds the key.
        beside: purposes that nothing here rests on: by an unknown key such a signature is left out, as if absent.

    Raises:
        SignatureError: a key is unknown, is not the one its id names, half of a pair is missing, or a signature does
            not verify.

    Does not prove: that the keys were entitled to sign this (see directory.py and decision.py).
    """
    verified: list[tuple[Purpose, KeyId]] = []
    for s, key in keys_of_signatures(unverified, resolve, beside):
        s.verify(unverified.payload, key)
        if key.is_signing:
            verified.append((s.purpose, s.key_id))
    return Document(
        data=unverified.data,
        payload=unverified.payload,
        claims=unverified.claims,
        signers=tuple(verified),
        payload_hash=unverified.payload_hash,
        statement_hash=statement_hash(unverified.data),
    )


def export_jws(unverified: UnverifiedDocument) -> list[JsonObject]:
    """Each signature as a flattened JWS (RFC 7515 §7.2.2), for any JOSE tool."""
    out: list[JsonObject] = []
    for s in unverified.signatures:
        protected, _, payload = (
            signing_input(unverified.payload, s.algorithm, s.key_id, s.purpose).decode("ascii").partition(".")
        )
        out.append({"protected": protected, "payload": payload, "signature": encode_base64url(s.raw)})
    return out
