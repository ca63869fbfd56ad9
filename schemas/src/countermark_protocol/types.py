"""The message types and what the broker must know of them; without pydantic, which the broker never loads.

`countermark_protocol.registry` holds the models of exactly these types and versions; a test compares them.

NOTE: a version number of a type is never reused, and what it means never changes once released.

Source: docs/spec/messages.md §7.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

from countermark_protocol.errors import UncheckableError


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """What is known of a message type without reading its content.

    Attributes:
        name: as in the manifest's ``type``.
        versions: all versions that exist, released numbers never reused.
        is_answer: its manifest must bear ``stage``, ``outcome`` and ``in_reply_to``; no other type may.
        visible_recipients: whether senders show the table of recipients to all of them, unless told otherwise.
        in_conversation: its manifest must bear ``in_reply_to``: it never begins a conversation. Answers always do.
        amends: its manifest must name one message of its sender in both ``supersedes`` and ``in_reply_to``: it says
            what becomes of that one.
    """

    name: str
    versions: frozenset[int]
    is_answer: bool = False
    visible_recipients: bool = False
    in_conversation: bool = False
    amends: bool = False


def _table(*infos: TypeInfo) -> Mapping[str, TypeInfo]:
    return MappingProxyType({info.name: info for info in infos})


#: What is said of an earlier message without taking its place.
CORRECTION: Final = "correction"
#: What takes a message back, so that nothing stands in its place.
WITHDRAWAL: Final = "withdrawal"
_ONE: Final = frozenset({1})
_TWO: Final = frozenset({1, 2})

#: Every message type, by name.
TYPES: Final[Mapping[str, TypeInfo]] = _table(
    TypeInfo("tracing-request", _TWO),
    TypeInfo("tracing-acknowledgement", _ONE, is_answer=True),
    TypeInfo("tracing-response", _ONE, is_answer=True),
    TypeInfo("tracing-clarification", _ONE, in_conversation=True),
    TypeInfo("confiscation-notice", _TWO),
    TypeInfo("found-or-surrendered-notice", _ONE),
    TypeInfo("destruction-notice", _TWO),
    TypeInfo("lost-or-stolen-notice", _TWO),
    TypeInfo("hit-notice", _ONE),
    TypeInfo("hit-confirmation", _ONE, is_answer=True),
    TypeInfo("trade-route-alert", _ONE),
    TypeInfo("marking-system-description", _ONE, visible_recipients=True),
    TypeInfo("assistance-request", _ONE),
    TypeInfo("assistance-offer", _ONE),
    TypeInfo("assistance-match", _ONE, visible_recipients=True),
    TypeInfo("national-report", _ONE),
    TypeInfo("contact-point-notice", _ONE, visible_recipients=True),
    TypeInfo("licence-verification-request", _ONE),
    TypeInfo("licence-verification-response", _ONE, is_answer=True),
    TypeInfo("transfer-refusal-notice", _ONE),
    TypeInfo("mutual-legal-assistance-request", _ONE),
    TypeInfo("mutual-legal-assistance-response", _ONE, is_answer=True),
    TypeInfo("release-consent-request", _ONE, in_conversation=True),
    TypeInfo("release-consent-decision", _ONE, is_answer=True),
    TypeInfo(CORRECTION, _ONE, amends=True),
    TypeInfo(WITHDRAWAL, _ONE, amends=True),
    TypeInfo("free-text", _ONE, in_conversation=True),
)


def known_types() -> tuple[tuple[str, int], ...]:
    """All (type, version) that can be validated, sorted."""
    return tuple(sorted((info.name, version) for info in TYPES.values() for version in info.versions))


def _meant(name: str) -> str:
    near = get_close_matches(name, TYPES, 1, 0.5)
    every = f"one of the {len(TYPES)} types that `countermark types` lists"
    return f"{every}; did you mean {near[0]}?" if near else every


def find_type(name: str, version: int) -> TypeInfo:
    """Look up a type and check that the version exists.

    Raises:
        UncheckableError: ``unknown_type``; facts: ``type``, ``version``, ``known`` (its versions known here).
    """
    info = TYPES.get(str(name))
    if info is None:
        raise UncheckableError(
            "unknown_type",
            f"message type {str(name)[:64]!r} is not known here: expected {_meant(str(name)[:64])}",
            type=str(name)[:64],
            version=version,
            known=[],
        )
    if type(version) is not int or version not in info.versions:
        known = sorted(info.versions)
        raise UncheckableError(
            "unknown_type",
            f"version {version} of {name} is not known here: expected one of {known}",
            type=name,
            version=version,
            known=known,
        )
    return info
