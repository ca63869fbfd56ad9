"""Names that travel: addresses, authority codes, group names, message ids, log origins, key ids.

Each `parse_*` takes anything a JSON document may hold and returns the typed name, or raises
`MalformedError`. There is one spelling of every name; nothing is folded or trimmed.

Source: docs/spec/encoding.md §5.
"""

from __future__ import annotations

import re
import uuid
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, NewType

from countermark_protocol.encoding import malformed

#: Who vouches: ISO 3166-1 alpha-2 in lower case, or ``xo-<name>`` for an organisation.
AuthorityCode = NewType("AuthorityCode", str)
#: ``<authority>.<role>.<name>``, e.g. ``ke.police.nairobi``.
Address = NewType("Address", str)
#: ``<authority>/<name>``, e.g. ``xo-eac/customs``.
GroupName = NewType("GroupName", str)
#: UUIDv7 in its canonical text form.
MessageId = NewType("MessageId", str)
#: Name of a log, the first line of its checkpoints.
Origin = NewType("Origin", str)
#: 32 bytes, hash of algorithm and public key.
KeyId = NewType("KeyId", bytes)


class Role(StrEnum):
    """What an endpoint is; the second part of its address."""

    POLICE = "police"
    CUSTOMS = "customs"
    BORDER = "border"
    LICENSING = "licensing"
    INTELLIGENCE = "intelligence"
    JUDICIAL = "judicial"
    MILITARY = "military"
    CONTACT = "contact"
    NCB = "ncb"
    ORGANISATION = "organisation"
    DONOR = "donor"
    SECRETARIAT = "secretariat"
    AUDITOR = "auditor"
    BROKER = "broker"


_NAME = r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?"
_CODE = rf"(?:[a-z]{{2}}|xo-{_NAME})"
_CODE_RE = re.compile(rf"{_CODE}\Z")
_ADDRESS_RE = re.compile(rf"({_CODE})\.([a-z]+)\.({_NAME})\Z")
_GROUP_RE = re.compile(rf"({_CODE})/({_NAME})\Z")
_ORIGIN_RE = re.compile(r"[a-z0-9][a-z0-9.-]{0,98}(?:/[a-z0-9][a-z0-9.-]{0,48}){0,3}\Z")
_UUID7_RE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")
_ROLES: Final = {role.value: role for role in Role}

#: The few names of a network come again with every message, so whether one is well formed is kept. Only short
#: ones are: nobody can fill memory with what they make up.
_KEPT: Final = 4096
#: No address or origin is longer.
_MAX_LENGTH: Final = 256


def parse_authority_code(text: Any, what: str = "authority") -> AuthorityCode:
    """Parse an authority's code."""
    if not isinstance(text, str) or not _CODE_RE.match(text):
        malformed("not_an_authority", f"{what} must be a country code such as 'ke' or 'xo-<organisation>'")
    return AuthorityCode(text)


def parse_address(text: Any, what: str = "address") -> Address:
    """Parse an endpoint's address; its role must be one of `Role`."""
    if not isinstance(text, str) or len(text) > _MAX_LENGTH or not _is_address(text):
        malformed("not_an_address", f"{what} must be <authority>.<role>.<name>, e.g. 'ke.police.nairobi'")
    return Address(text)


@lru_cache(maxsize=_KEPT)
def _is_address(text: str) -> bool:
    match = _ADDRESS_RE.match(text)
    return match is not None and match[2] in _ROLES


@lru_cache(maxsize=_KEPT)
def authority_of(address: str) -> AuthorityCode:
    """The code of the authority that vouches for `address` (already parsed)."""
    return AuthorityCode(address.split(".", 1)[0])


@lru_cache(maxsize=_KEPT)
def role_of(address: str) -> Role:
    """The role in `address` (already parsed)."""
    return _ROLES[address.split(".", 2)[1]]


def parse_group_name(text: Any, what: str = "group") -> GroupName:
    """Parse a group's name, which begins with its owner's code."""
    match = _GROUP_RE.match(text) if isinstance(text, str) else None
    if not match:
        malformed("not_a_group", f"{what} must be <authority>/<name>, e.g. 'xo-eac/customs'")
    return GroupName(match[0])


def owner_of_group(name: str) -> AuthorityCode:
    """The code of the authority that owns group `name` (already parsed)."""
    return AuthorityCode(name.split("/", 1)[0])


def parse_message_id(text: Any, what: str = "id") -> MessageId:
    """Parse a message id: UUIDv7 (RFC 9562 §5.7) in lower case."""
    if not isinstance(text, str) or not _UUID7_RE.match(text):
        malformed("not_a_message_id", f"{what} must be a UUID of version 7 in lower case")
    return MessageId(text)


def make_message_id(milliseconds: int, random: bytes) -> MessageId:
    """Build a UUIDv7 from a time (ms since 1970) and 10 random bytes (RFC 9562 §5.7)."""
    if len(random) != 10:
        msg = "expected 10 random bytes"
        raise ValueError(msg)
    value = bytearray(milliseconds.to_bytes(6, "big") + random)
    value[6] = 0x70 | (value[6] & 0x0F)
    value[8] = 0x80 | (value[8] & 0x3F)
    return MessageId(str(uuid.UUID(bytes=bytes(value))))


def parse_origin(text: Any, what: str = "log") -> Origin:
    """Parse a log's origin: a schema-less URL in lower case (C2SP tlog-checkpoint)."""
    if not isinstance(text, str) or len(text) > _MAX_LENGTH or not _is_origin(text):
        malformed("not_an_origin", f"{what} must be a log's name such as 'log.example.org/countermark/1'")
    return Origin(text)


@lru_cache(maxsize=_KEPT)
def _is_origin(text: str) -> bool:
    return _ORIGIN_RE.match(text) is not None
