"""The few encodings everything is built from: labelled hashes, framed bytes, strict JSON, strict text.

Source: docs/spec/encoding.md.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, NewType, NoReturn

from countermark_protocol.errors import MalformedError

#: A JSON object as parsed by `parse_json`: unique member names, no floats, no U+0000, no surrogates.
JsonObject = dict[str, Any]

#: 32 bytes of SHA-256.
Digest = NewType("Digest", bytes)

DIGEST_BYTES = 32
MAX_JSON_DEPTH = 24
#: Integers beyond this are not the same number in every JSON library (RFC 8259 §6).
MAX_JSON_INTEGER = 2**53 - 1

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*\Z")


def malformed(code: str, message: str, **facts: Any) -> NoReturn:
    """Raise `MalformedError`; reads well inside expressions."""
    raise MalformedError(code, message, **facts)


# --- labelled hashes ---------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _start(label: str) -> bytes:
    name = f"countermark/1/{label}".encode("ascii")
    return len(name).to_bytes(1, "big") + name


#: The u64 lengths of short fields, of which nearly everything is made: to look one up takes a seventh of the time
#: that making it anew takes, and the broker makes some thirty for a message.
_LENGTHS: Final = tuple(size.to_bytes(8, "big") for size in range(256))


def _prefixed(label: str, fields: Iterable[bytes]) -> bytes:
    parts = [_start(label)]
    for field in fields:
        size = len(field)
        parts.append(_LENGTHS[size] if size < 256 else size.to_bytes(8, "big"))
        parts.append(field)
    return b"".join(parts)


def labelled_hash(label: str, *fields: bytes) -> bytes:
    """SHA-256 over a label of its own and length-prefixed fields.

    Args:
        label: what is hashed, without the common prefix; no label is used for two things.
        fields: any number of byte strings; integers are big-endian in their stated width.

    Returns:
        32 bytes: SHA-256(u8 length ‖ "countermark/1/" label ‖ (u64 length ‖ field)*).

    Source: docs/spec/encoding.md §2.
    """
    return hashlib.sha256(_prefixed(label, fields)).digest()


def labelled_hash_of_large(label: str, field: bytes | memoryview) -> bytes:
    """`labelled_hash` of one field, without a copy of it; 32 bytes."""
    digest = hashlib.sha256(_start(label) + len(field).to_bytes(8, "big"))
    digest.update(field)
    return digest.digest()


def labelled_hmac(label: str, key: bytes, *fields: bytes) -> bytes:
    """HMAC-SHA-256 under `key` over the same framing as `labelled_hash`; 32 bytes."""
    return hmac.digest(key, _prefixed(label, fields), "sha256")


def labelled_bytes(label: str, *fields: bytes) -> bytes:
    """The framing of `labelled_hash` itself, for contexts that take bytes (HPKE ``info``, AAD)."""
    return _prefixed(label, fields)


# --- framed binary -----------------------------------------------------------------------------------


class Writer:
    """Builds a framed binary record: fixed-width big-endian integers and length-prefixed bytes."""

    def __init__(self) -> None:
        self._out: list[bytes] = []

    def uint(self, value: int, width: int) -> Writer:
        """Append `value` as `width` big-endian bytes."""
        self._out.append(value.to_bytes(width, "big"))
        return self

    def fixed(self, value: bytes, size: int) -> Writer:
        """Append exactly `size` bytes."""
        if len(value) != size:
            msg = f"expected {size} bytes, got {len(value)}"
            raise ValueError(msg)
        self._out.append(value)
        return self

    def sized(self, value: bytes, width: int) -> Writer:
        """Append a `width`-byte length and the bytes."""
        return self.uint(len(value), width).fixed(value, len(value))

    def done(self) -> bytes:
        """The record."""
        return b"".join(self._out)


class Reader:
    """Reads a framed binary record strictly; every failure is a `MalformedError` naming `what`."""

    __slots__ = ("_at", "_data", "_size", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._size = len(data)
        self._at = 0
        self._what = what

    def fixed(self, size: int, field: str) -> bytes:
        """Read exactly `size` bytes."""
        at = self._at
        end = at + size
        if end > self._size:
            malformed(
                "truncated",
                f"{self._what} ends inside {field}: expected {size} bytes, got {self._size - at}",
            )
        self._at = end
        return self._data[at:end]

    def uint(self, width: int, field: str) -> int:
        """Read a big-endian integer of `width` bytes."""
        return int.from_bytes(self.fixed(width, field), "big")

    def sized(self, width: int, limit: int, field: str) -> bytes:
        """Read a `width`-byte length, at most `limit`, and that many bytes."""
        size = int.from_bytes(self.fixed(width, field), "big")
        if size > limit:
            malformed(
                "oversized_field",
                f"{field} of {self._what} is too large: expected at most {limit} bytes, got {size}",
            )
        return self.fixed(size, field)

    def end(self) -> None:
        """Refuse bytes left over."""
        left = self._size - self._at
        if left:
            malformed("trailing_bytes", f"{self._what} goes on for {left} bytes after its end")


# --- JSON --------------------------------------------------------------------------------------------


def _object(pairs: list[tuple[str, Any]]) -> JsonObject:
    members = dict(pairs)
    if len(members) != len(pairs):
        [(name, _)] = Counter(name for name, _ in pairs).most_common(1)
        malformed("duplicate_member", f"JSON object has the member {name[:64]!r} twice")
    return members


def _integer(digits: str) -> int:
    if len(digits) < 16 and digits != "-0":  # nearly all: within the range whatever the digits
        return int(digits)
    if len(digits) > 17 or abs(int(digits)) > MAX_JSON_INTEGER or digits == "-0":
        malformed("number_out_of_range", "JSON integer is outside ±(2^53 - 1)")
    return int(digits)


def _no_float(_: str) -> NoReturn:
    malformed("number_not_integer", "JSON number has a fraction or exponent: write decimals as strings")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_no_float, parse_constant=_no_float, parse_int=_integer
)


def _check_depth(value: Any) -> None:
    stack = [(value, 1)]
    while stack:
        node, depth = stack.pop()
        if depth > MAX_JSON_DEPTH:
            malformed("nested_too_deep", f"JSON is nested deeper than {MAX_JSON_DEPTH} levels")
        if isinstance(node, dict):
            stack.extend((child, depth + 1) for child in node.values())
        elif isinstance(node, list):
            stack.extend((child, depth + 1) for child in node)


def parse_json(data: bytes, what: str = "payload") -> Any:
    """Parse strict JSON: UTF-8 without BOM, no duplicate members, integers only, no U+0000, no surrogates.

    Args:
        data: the bytes, kept and hashed as they are by the caller; never re-serialised.
        what: name of the thing, for the error message.

    Raises:
        MalformedError: anything else; never another exception.

    Source: RFC 8259, RFC 7493 (I-JSON); docs/spec/encoding.md §4.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        malformed("not_utf8", f"{what} is not UTF-8 at byte {error.start}")
    try:
        value, end = _DECODER.raw_decode(text, _skip_space(text, 0))
    except RecursionError:
        malformed("nested_too_deep", f"{what} is nested deeper than {MAX_JSON_DEPTH} levels")
    except ValueError as error:  # JSONDecodeError; its text could quote the input, so it is not passed on
        position = getattr(error, "pos", 0)
        malformed("not_json", f"{what} is not JSON at character {position}")
    if end != len(text) and _skip_space(text, end) != len(text):
        malformed("trailing_bytes", f"{what} goes on after the JSON value ends")
    # A value stands one level below the brackets around it: with fewer of them than levels, none is too deep.
    if data.count(b"{") + data.count(b"[") >= MAX_JSON_DEPTH:
        _check_depth(value)
    # Escapes can smuggle in what UTF-8 itself forbids; only text with a backslash can hold them.
    if "\\u" in text or "\x00" in text:
        _check_strings(value, what)
    return value


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\n\r":
        at += 1
    return at


def _check_strings(value: Any, what: str) -> None:
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            stack.extend(node.keys())
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, str) and any(c == "\x00" or "\ud800" <= c <= "\udfff" for c in node):
            malformed("forbidden_character", f"{what} holds U+0000 or a lone surrogate")


def parse_object(data: bytes, what: str = "payload") -> JsonObject:
    """Parse strict JSON whose top level must be an object."""
    value = parse_json(data, what)
    if not isinstance(value, dict):
        malformed("not_an_object", f"{what} must be a JSON object, got {type(value).__name__}")
    return value


#: Made once. What is written are trees built by a `to_json`, so no value can hold itself.
_ENCODER: Final = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, separators=(",", ":"), allow_nan=False
)


def encode_json(value: Any) -> bytes:
    """Compact UTF-8 JSON, member order kept: the form this software writes (any form is read)."""
    return _ENCODER.encode(value).encode("utf-8")


# --- text forms of bytes -----------------------------------------------------------------------------


def encode_hex(data: bytes) -> str:
    """Lower-case hexadecimal: the text form of every digest and key id."""
    return data.hex()


def parse_hex(text: Any, size: int, what: str) -> bytes:
    """Parse lower-case hexadecimal of exactly `size` bytes."""
    if isinstance(text, str) and 0 < len(text) == 2 * size:
        try:
            data = bytes.fromhex(text)
        except ValueError:
            data = b""
        if data.hex() == text:  # `fromhex` takes capitals and spaces too
            return data
    malformed("not_hex", f"{what} must be {2 * size} lower-case hexadecimal digits")


def parse_digest(text: Any, what: str) -> bytes:
    """Parse a 32-byte digest in lower-case hexadecimal."""
    return parse_hex(text, DIGEST_BYTES, what)


def encode_base64url(data: bytes) -> str:
    """Base64url without padding (RFC 4648 §5): the text form of keys, signatures and ciphertext."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def parse_base64url(text: Any, what: str, limit: int = 2**20) -> bytes:
    """Parse unpadded base64url; refuses padding, other characters and non-zero trailing bits."""
    if not isinstance(text, str) or len(text) > limit or len(text) % 4 == 1 or not _BASE64URL.match(text):
        malformed("not_base64url", f"{what} must be unpadded base64url of at most {limit} characters")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode_base64url(data) != text:
        malformed("not_base64url", f"{what} has non-zero trailing bits")
    return data
