"""Searching a mirror by what manifests, receipts and notices say; content is in none of them.

Pages go by log index, so a page stays the same whatever `sync` adds behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from countermark_client._database import Database
from countermark_client.review._scope import Period, Traffic, everything
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import NotFoundError

SIDES: Final = ("either", "sender", "recipient")
OUTCOMES: Final = ("success", "partial", "none", "refused")
DELIVERIES: Final = ("open", "delivered", "accepted", "rejected", "undelivered")
MOST: Final = 1000
_LEAST_PREFIX: Final = 8

_COLUMNS: Final = (
    "payload",
    "idx",
    "time",
    "id",
    "sender",
    "type",
    "version",
    "conversation",
    "in_reply_to",
    "supersedes",
    "group_name",
    "recipients",
    "sent_at",
    "expires_at",
    "reply_by",
    "urgency",
    "tlp",
    "classification",
    "codes",
    "originator_control",
    "purpose",
    "retention_until",
    "releasable_to",
    "exercise",
    "size",
    "stage",
    "success",
    "partial",
    "none",
    "refused",
    "purged_idx",
    "purged_at",
    "purge_ground",
)
_TRUE_OR_FALSE: Final = frozenset({"originator_control", "exercise"})


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for; None for anything.

    Attributes:
        traffic: real or drill; there is no default.
        period: of the message's leaf.
        party: address that sent or received it.
        country: code of the authority of who sent or received it.
        role: of who sent or received it.
        side: which of the two: `SIDES`. What is asked of a party must hold for one and the same.
        type: of the message.
        conversation: payload hash of its first message.
        stage: of an answer.
        delivery: how far a recipient is (the one asked for, on that side): `DELIVERIES`.
        outcome: an answer that counts at least one of it: `OUTCOMES`.
        tlp, classification, urgency: as in the manifest.
    """

    traffic: Traffic
    period: Period = everything()  # noqa: RUF009  a constant
    party: str | None = None
    country: str | None = None
    role: str | None = None
    side: str = "either"
    type: str | None = None
    conversation: bytes | None = None
    stage: str | None = None
    delivery: str | None = None
    outcome: str | None = None
    tlp: str | None = None
    classification: str | None = None
    urgency: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A message with how far it is.

    Attributes:
        message: its columns in the mirror, by name.
        recipients: those known, each with its columns in `deliveries`.
    """

    message: dict[str, Any]
    recipients: tuple[dict[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """For ``--json``: hashes in hexadecimal."""
        members = {n: v.hex() if isinstance(v, bytes) else v for n, v in self.message.items()}
        # `payload` is what people call the message by.
        members["message"] = members.pop("payload")
        return {**members, "delivery": list(self.recipients)}


@dataclass(frozen=True, slots=True)
class Page:
    """Some of what was found.

    Attributes:
        messages: by log index.
        after: give this to have the next page; None at the end.
    """

    messages: tuple[Found, ...]
    after: int | None


def search(database: Database, query: Query, *, after: int = -1, limit: int = 50) -> Page:
    """Look for messages.

    Args:
        database: of the mirror.
        query: what for.
        after: log index behind which to go on.
        limit: how many at most, 1 to `MOST`.

    Raises:
        StorageError: ``storage_failed``.
        MalformedError: ``bad_limit``.
    """
    if not 1 <= limit <= MOST:
        malformed("bad_limit", f"expected 1 to {MOST} messages a page, got {limit}")
    where, values = _conditions(query)
    rows = list(
        database.execute(
            f"SELECT {', '.join('m.' + c for c in _COLUMNS)} FROM messages m "  # noqa: S608  names of our own
            f"WHERE m.idx > ? AND {where} ORDER BY m.idx LIMIT ?",
            (after, *values, limit + 1),
        )
    )
    found = [dict(zip(_COLUMNS, row, strict=True)) for row in rows[:limit]]
    for message in found:
        message.update({name: bool(message[name]) for name in _TRUE_OR_FALSE})
    recipients = _recipients(database, [m["payload"] for m in found])
    messages = tuple(Found(m, tuple(recipients.get(m["payload"], ()))) for m in found)
    return Page(messages, found[-1]["idx"] if len(rows) > limit else None)


def _conditions(query: Query) -> tuple[str, list[Any]]:
    conditions, values = [query.traffic.condition, "m.time >= ?"], [query.period.begin]
    if query.period.end is not None:
        conditions.append("m.time < ?")
        values.append(query.period.end)
    out: list[Any] = list(values)
    for column in ("type", "conversation", "stage", "tlp", "classification", "urgency"):
        value = getattr(query, column)
        if value is not None:
            conditions.append(f"m.{column} = ?")
            out.append(value)
    if query.outcome is not None:
        conditions.append(f"m.{OUTCOMES[OUTCOMES.index(query.outcome)]} > 0")
    who, more = _of_party(query)
    if who:
        conditions.append(who)
        out += more
    return " AND ".join(conditions), out


def _of_party(query: Query) -> tuple[str, list[Any]]:
    """The condition on who sent or received it, and how far recipients are."""
    tests = [
        (test, value)
        for test, value in (
            ("{who} = ?", query.party),
            ("{of}.authority = ?", query.country),
            ("{who} GLOB ?", None if query.role is None else f"*.{query.role}.*"),
        )
        if value is not None
    ]
    values: list[Any] = [value for _, value in tests]
    sender = " AND ".join(test.format(who="m.sender", of="m") for test, _ in tests)
    received = [test.format(who="d.recipient", of="d") for test, _ in tests]
    far = []
    if query.delivery == "undelivered":
        far = ["d.undelivered_idx IS NOT NULL"]
    elif query.delivery is not None:
        far = [f"d.stage = '{DELIVERIES[DELIVERIES.index(query.delivery)]}'"]

    def recipient(conditions: list[str]) -> str:
        condition = " AND ".join(["d.message = m.payload", *conditions])
        return f"EXISTS (SELECT 1 FROM deliveries d WHERE {condition})"  # noqa: S608  names of our own

    if not tests:
        return (recipient(far), []) if far else ("", [])
    if query.side == "sender":
        return (f"{sender} AND {recipient(far)}" if far else sender), values
    if query.side == "recipient":
        return recipient([*received, *far]), values
    sent = f"{sender} AND {recipient(far)}" if far else sender
    return f"(({sent}) OR {recipient([*received, *far])})", values * 2


def _recipients(database: Database, messages: list[bytes]) -> dict[bytes, list[dict[str, Any]]]:
    out: dict[bytes, list[dict[str, Any]]] = {}
    names = ("recipient", "stage", "delivered_at", "settled_at", "reason", "undelivered_at")
    for message, *values in database.execute(
        f"SELECT message, {', '.join(names)} FROM deliveries "  # noqa: S608  names of our own
        f"WHERE message IN ({', '.join('?' * len(messages))}) ORDER BY message, recipient",
        messages,
    ):
        out.setdefault(message, []).append(dict(zip(names, values, strict=True)))
    return out


def find_message(database: Database, text: str) -> bytes:
    """The message that a person names: its hash, or at least eight digits that only one begins with.

    Raises:
        MalformedError: ``not_hex``.
        NotFoundError: ``not_in_mirror``, ``ambiguous_in_mirror``.
    """
    if not _LEAST_PREFIX <= len(text) <= 64 or not all(c in "0123456789abcdef" for c in text):
        malformed(
            "not_hex", f"HASH must be 64 lower-case hexadecimal digits, or the first {_LEAST_PREFIX} or more"
        )
    even = bytes.fromhex(text[: len(text) // 2 * 2])
    rows = database.execute(
        "SELECT payload FROM messages WHERE payload >= ? AND payload <= ?",
        (even, even + b"\xff" * (33 - len(even))),
    )
    found = [bytes(payload) for (payload,) in rows if payload.hex().startswith(text)]
    if not found:
        raise NotFoundError("not_in_mirror", f"this mirror holds no message that begins with {text}")
    if len(found) > 1:
        raise NotFoundError(
            "ambiguous_in_mirror", f"{len(found)} messages begin with {text}: give more of its digits"
        )
    return found[0]


def conversation_of(database: Database, message: bytes) -> bytes:
    """The conversation that a message of the mirror belongs to."""
    [found] = database.execute(
        "SELECT conversation FROM messages WHERE payload = ?", (message,)
    ).fetchone() or (message,)
    return bytes(found)
