"""Signed notes: a text under signature lines, the form of every checkpoint; and the keys that verify them.

Anyone may add a signature line to a note, or strip one. So nothing follows from a line until the key it
names is known and has verified it; lines by other keys are kept, unverified.

Source: C2SP signed-note; docs/spec/log.md.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Any, Final

from countermark_protocol.encoding import malformed, parse_hex
from countermark_protocol.errors import SignatureError, UncheckableError
from countermark_protocol.keys import Algorithm, PublicKey, parse_public_key

#: Room for 100 signatures of 5 kB each, the largest post-quantum ones (signed-note, "Format").
MAX_NOTE_BYTES: Final = 1_000_000
#: Bounds the work per note; the specification asks for at least 16.
MAX_NOTE_SIGNATURES: Final = 100
KEY_ID_BYTES: Final = 4
#: Signature type of a plain Ed25519 note signature (signed-note, "Signature types").
ED25519_NOTE_TYPE: Final = 1
#: Numbers in C2SP texts fit a signed 64-bit integer.
MAX_DECIMAL: Final = 2**63 - 1

_SIGNATURE_PREFIX: Final = "\N{EM DASH} "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
# What a key name may not hold, beside Unicode spaces; lone surrogates have no UTF-8.
_NOT_IN_NAME = re.compile(r"[\x00-\x20+\ud800-\udfff]")
_DECIMAL = re.compile(r"(?:0|[1-9][0-9]{0,18})\Z")


# --- the notation of C2SP texts ----------------------------------------------------------------------


def encode_base64(data: bytes) -> str:
    """Standard base64 with padding (RFC 4648 §4), the form of all C2SP texts."""
    return base64.b64encode(data).decode("ascii")


def parse_base64(text: str, what: str) -> bytes:
    """Parse standard base64 with padding; each byte string has one spelling.

    Raises:
        MalformedError: ``not_base64``.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        malformed("not_base64", f"{what} must be standard base64 with padding")
    if encode_base64(data) != text:
        malformed("not_base64", f"{what} has non-zero trailing bits or wrong padding")
    return data


def parse_decimal(text: str, what: str) -> int:
    """Parse an ASCII decimal without leading zeros, 0 to 2**63 - 1.

    Raises:
        MalformedError: ``not_decimal``.
    """
    if not _DECIMAL.match(text) or int(text) > MAX_DECIMAL:
        malformed("not_decimal", f"{what} must be a decimal number below 2^63 without leading zeros")
    return int(text)


# --- signed notes ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line, unverified.

    Attributes:
        name: of the key.
        key_id: 4 bytes; with the name it tells which key and algorithm.
        signature: raw, at least one byte; its form depends on the key.
    """

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class UnverifiedNote:
    """A text with signature lines, none of them verified.

    Attributes:
        text: what is signed, with its final newline.
        signatures: 1 to 100, as they stand; a line may stand twice.
    """

    text: bytes
    signatures: tuple[NoteSignature, ...]


def is_key_name(name: str) -> bool:
    """Whether a text can be the name of a key: not empty, no Unicode space, no ``+``."""
    return bool(name) and not _NOT_IN_NAME.search(name) and not any(c.isspace() for c in name)


def parse_note(data: bytes) -> UnverifiedNote:
    """Parse a signed note, strictly.

    Raises:
        MalformedError: anything the specification does not allow, base64 in another than its one spelling,
            more than 100 signatures, or more than 1,000,000 bytes.

    Source: C2SP signed-note, "Format".
    """
    if len(data) > MAX_NOTE_BYTES:
        malformed("note_too_large", f"expected a note of at most {MAX_NOTE_BYTES} bytes, got {len(data)}")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError as error:
        malformed("not_utf8", f"note is not UTF-8 at byte {error.start}")
    if _CONTROL.search(whole):
        malformed("forbidden_character", "note holds a control character other than newline")
    # The *last* empty line separates, since the text may hold empty lines itself.
    text, gap, block = whole.rpartition("\n\n")
    if not gap or not block.endswith("\n"):
        malformed("note_unsigned", "note does not end with an empty line and signature lines")
    return UnverifiedNote(f"{text}\n".encode(), parse_signature_lines(block))


def parse_signature_lines(block: str) -> tuple[NoteSignature, ...]:
    """Parse signature lines, each with its newline; at least one.

    Raises:
        MalformedError: ``note_signature_count``: more than 100; ``bad_signature_line``, ``bad_key_name``,
            ``not_base64``: one is not a signature line.

    Source: C2SP signed-note, "Format".
    """
    lines = block.removesuffix("\n").split("\n")
    if len(lines) > MAX_NOTE_SIGNATURES:
        malformed(
            "note_signature_count",
            f"expected at most {MAX_NOTE_SIGNATURES} signatures on a note, got {len(lines)}",
        )
    return tuple(_parse_signature_line(line) for line in lines)


def encode_signature_line(signature: NoteSignature) -> str:
    """Encode one signature line with its newline."""
    return f"{_SIGNATURE_PREFIX}{signature.name} {encode_base64(signature.key_id + signature.signature)}\n"


def _parse_signature_line(line: str) -> NoteSignature:
    if not line.startswith(_SIGNATURE_PREFIX):
        malformed("bad_signature_line", "signature lines of a note begin with an em dash and a space")
    name, _, encoded = line.removeprefix(_SIGNATURE_PREFIX).partition(" ")
    if not is_key_name(name):
        malformed("bad_key_name", "the key name in a signature line is empty or holds a space or '+'")
    value = parse_base64(encoded, "signature line")
    if len(value) <= KEY_ID_BYTES:
        malformed(
            "bad_signature_line",
            f"expected a key id and a signature, more than {KEY_ID_BYTES} bytes, got {len(value)}",
        )
    return NoteSignature(name, value[:KEY_ID_BYTES], value[KEY_ID_BYTES:])


def encode_note(note: UnverifiedNote) -> bytes:
    """Encode a note, the inverse of `parse_note`; also to add signature lines to a parsed one.

    Raises:
        MalformedError: it would not be a note; see `parse_note`.
        ValueError: it would be another note: the text lacks its final newline, or a key id is not 4 bytes.
    """
    lines = [encode_signature_line(s).encode() for s in note.signatures]
    data = b"".join((note.text, b"\n", *lines))
    if parse_note(data) != note:
        msg = "the note's text must end with a newline, and its key ids have 4 bytes"
        raise ValueError(msg)
    return data


# --- note keys ---------------------------------------------------------------------------------------


def note_key_id(name: str, signature_type: int, public_key: bytes) -> bytes:
    """Key id of a note key, 4 bytes: SHA-256(name ‖ newline ‖ type ‖ public key), cut.

    Source: C2SP signed-note, "Signatures".
    """
    joined = name.encode() + b"\n" + bytes([signature_type]) + public_key
    return hashlib.sha256(joined).digest()[:KEY_ID_BYTES]


@dataclass(frozen=True, slots=True)
class NoteKey:
    """An Ed25519 key that verifies notes under a name.

    Attributes:
        name: e.g. the log's origin; not empty, without spaces and '+'.
        public_key: checked by `keys.parse_public_key`.

    Raises:
        MalformedError: ``bad_key_name``.
        ValueError: the key is not an Ed25519 one.
    """

    name: str
    public_key: PublicKey

    def __post_init__(self) -> None:
        if not is_key_name(self.name):
            malformed("bad_key_name", "the name of a note key must not be empty or hold a space or '+'")
        if self.public_key.algorithm is not Algorithm.ED25519:
            msg = "expected an Ed25519 key"
            raise ValueError(msg)

    @property
    def key_id(self) -> bytes:
        """4 bytes; see `note_key_id`."""
        return note_key_id(self.name, ED25519_NOTE_TYPE, self.public_key.raw)

    def matches(self, signature: NoteSignature) -> bool:
        """Whether a signature line claims to be by this key."""
        return signature.name == self.name and signature.key_id == self.key_id


@dataclass(frozen=True, slots=True)
class VkeyParts:
    """What a verifier key says, of whatever signature type; neither key nor key id is checked.

    Attributes:
        name: of the key, in its form.
        key_id: as claimed, 4 bytes.
        signature_type: 0 to 255; says what `public_key` is.
        public_key: raw, any size.
    """

    name: str
    key_id: bytes
    signature_type: int
    public_key: bytes

    def check_key_id(self) -> None:
        """Check that the key id is that of name, type and public key.

        Raises:
            MalformedError: ``bad_vkey``.
        """
        if self.key_id != note_key_id(self.name, self.signature_type, self.public_key):
            malformed("bad_vkey", "the key id in the verifier key is not that of its name and public key")


def format_vkey(name: str, signature_type: int, public_key: bytes) -> str:
    """Write a verifier key: name + key id + base64(type ‖ public key). Source: C2SP signed-note."""
    key_id = note_key_id(name, signature_type, public_key)
    return f"{name}+{key_id.hex()}+{encode_base64(bytes([signature_type]) + public_key)}"


def parse_vkey_parts(text: Any) -> VkeyParts:
    """Parse the form of a verifier key of any signature type.

    Raises:
        MalformedError: ``bad_vkey``, ``bad_key_name``, ``not_hex``, ``not_base64``.

    Source: C2SP signed-note, "Verifier keys".
    """
    if not isinstance(text, str) or text.count("+") < 2:
        malformed("bad_vkey", "expected a verifier key: <name>+<key id>+<base64 of type and public key>")
    name, key_id, encoded = text.split("+", 2)
    if not is_key_name(name):
        malformed("bad_key_name", "the name in a verifier key is empty or holds a space")
    claimed = parse_hex(key_id, KEY_ID_BYTES, "key id in a verifier key")
    material = parse_base64(encoded, "verifier key")
    if not material:
        malformed("bad_vkey", "the verifier key holds no public key")
    return VkeyParts(name, claimed, material[0], material[1:])


def encode_vkey(key: NoteKey) -> str:
    """Encode the verifier key (vkey) of an Ed25519 note key. Source: C2SP signed-note."""
    return format_vkey(key.name, ED25519_NOTE_TYPE, key.public_key.raw)


def parse_vkey(text: Any) -> NoteKey:
    """Parse an Ed25519 verifier key (vkey), the inverse of `encode_vkey`.

    Raises:
        MalformedError: not a vkey, not a valid public key, or the key id is not that of name and key.
        UncheckableError: ``note_key_type``: a vkey of another signature type.

    Source: C2SP signed-note, "Verifier keys".
    """
    parts = parse_vkey_parts(text)
    if parts.signature_type != ED25519_NOTE_TYPE:
        raise UncheckableError(
            "note_key_type", f"expected signature type 1 (Ed25519), got {parts.signature_type}"
        )
    key = NoteKey(parts.name, parse_public_key(Algorithm.ED25519, parts.public_key))
    parts.check_key_id()
    return key


def verify_note(note: UnverifiedNote, key: NoteKey) -> None:
    """Check that `key` signed the note's text. Lines by other keys are ignored.

    Raises:
        SignatureError: ``signature_missing``: no line is by this key; ``bad_signature``,
            ``signature_size``: a line says so and does not verify, which voids the whole note.

    Source: C2SP signed-note, "Signatures".
    """
    lines = [s for s in note.signatures if key.matches(s)]
    if not lines:
        raise SignatureError(
            "signature_missing", f"the note bears no signature by the key {key.name[:64]!r} expected"
        )
    for line in lines:
        key.public_key.verify(note.text, line.signature)
