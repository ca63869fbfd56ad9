"""Webhooks: which URL of an endpoint is told of which boxes, and which looks are owed.

There is no queue. A look is owed where a box is longer than it was when it was last told (`webhook_boxes.told`), so
moves coalesce, and neither a crash nor a restored node loses one. A sender claims a row until a time; a sender that
dies is waited for no longer than that. Nothing here is logged, and nothing decides by it.

Source: docs/spec/api.md §6.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from countermark_broker.store.engine import Connection
from countermark_broker.store.reading import read_box_state
from countermark_broker.store.tables import box_heads, box_rows, entries, webhook_boxes, webhooks
from countermark_protocol.boxes import Box
from countermark_protocol.errors import ConflictError
from countermark_protocol.identifiers import Address
from countermark_protocol.leaf import parse_leaf
from countermark_protocol.webhooks import Webhook

MAX_WEBHOOKS: Final = 4
#: Told of nothing yet, not even that the box is empty.
_UNTOLD: Final = -1


# --- registering ---------------------------------------------------------------------------------------


def put_webhook(
    connection: Connection, endpoint: Address, url: str, boxes: Sequence[Box], now: int, salt: bytes
) -> None:
    """Register a URL, or set it anew: on, without failures, and owed a look at each of its boxes.

    Args:
        connection: in a writing transaction.
        endpoint: whose boxes.
        url: parsed before.
        boxes: to tell of.
        now: ms since 1970 by the database's clock.
        salt: 16 random bytes, from which the ids of looks come.

    Raises:
        ConflictError: ``too_many_webhooks``.
    """
    row = {
        "registered_at": now,
        "salt": salt,
        "enabled": 1,
        "failures": 0,
        "failing_since": None,
        "error": None,
        "succeeded_at": None,
        "next_try": now,
        "off_at": None,
        # Whoever is telling the old registration has lost its claim, and its outcome with it.
        "claim": None,
        "claimed_until": 0,
    }
    if not _update(connection, endpoint, url, row):
        count = select(func.count()).select_from(webhooks).where(webhooks.c.endpoint == endpoint)
        if connection.execute(count).scalar_one() >= MAX_WEBHOOKS:
            raise ConflictError(
                "too_many_webhooks", f"{endpoint} has {MAX_WEBHOOKS} webhooks already: remove one first"
            )
        try:
            with connection.begin_nested():
                connection.execute(insert(webhooks).values(endpoint=endpoint, url=url, **row))
        except IntegrityError:
            # Registered by another call of the same moment.
            _update(connection, endpoint, url, row)
    _delete_boxes(connection, endpoint, url)
    rows = [{"endpoint": endpoint, "url": url, "box": box.value, "told": _UNTOLD} for box in boxes]
    connection.execute(insert(webhook_boxes), rows)


def _update(connection: Connection, endpoint: Address, url: str, row: Mapping[str, Any]) -> bool:
    query = update(webhooks).where(webhooks.c.endpoint == endpoint, webhooks.c.url == url).values(**row)
    return connection.execute(query).rowcount > 0


def _delete_boxes(connection: Connection, endpoint: Address, url: str | None) -> None:
    query = delete(webhook_boxes).where(webhook_boxes.c.endpoint == endpoint)
    connection.execute(query if url is None else query.where(webhook_boxes.c.url == url))


def delete_webhooks(connection: Connection, endpoint: Address, url: str | None) -> None:
    """Remove one webhook of an endpoint, or all if `url` is None."""
    query = delete(webhooks).where(webhooks.c.endpoint == endpoint)
    connection.execute(query if url is None else query.where(webhooks.c.url == url))
    _delete_boxes(connection, endpoint, url)


def read_webhooks(connection: Connection, endpoint: Address) -> list[Webhook]:
    """An endpoint's webhooks, by URL."""
    found = select(webhook_boxes.c.url, webhook_boxes.c.box).where(webhook_boxes.c.endpoint == endpoint)
    boxes: dict[str, set[str]] = {}
    for row in connection.execute(found):
        boxes.setdefault(row.url, set()).add(row.box)
    query = select(webhooks).where(webhooks.c.endpoint == endpoint).order_by(webhooks.c.url)
    return [
        Webhook(
            url=row.url,
            boxes=tuple(box for box in Box if box.value in boxes.get(row.url, ())),
            on=bool(row.enabled),
            registered_at=row.registered_at,
            failures=row.failures,
            failing_since=row.failing_since,
            error=row.error,
            succeeded_at=row.succeeded_at,
            next_try=row.next_try,
            off_at=row.off_at,
        )
        for row in connection.execute(query)
    ]


def count_webhooks(connection: Connection) -> tuple[int, int]:
    """How many webhooks are on, and how many off."""
    query = select(webhooks.c.enabled, func.count()).group_by(webhooks.c.enabled)
    found = {enabled: int(count) for enabled, count in connection.execute(query)}
    return found.get(1, 0), found.get(0, 0)


# --- telling -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Owed:
    """A box that is longer than it was told.

    Attributes:
        box: which.
        length: of the box, over what is published.
        moved_at: leaf time of its newest entry, ms since 1970; of the registration where it holds none.
    """

    box: Box
    length: int
    moved_at: int


@dataclass(frozen=True, slots=True)
class Errand:
    """A claimed webhook, and what it is to be told.

    Attributes:
        endpoint: whose it is.
        url: to call.
        salt: from which the ids of its looks come.
        claim: 16 random bytes, by which its outcome is recorded.
        owed: at least one.
    """

    endpoint: Address
    url: str
    salt: bytes
    claim: bytes
    owed: tuple[Owed, ...]


def _due(now: int, limit: int) -> Select[Any]:
    longer = (
        select(webhook_boxes.c.box)
        .outerjoin(
            box_heads,
            (box_heads.c.endpoint == webhook_boxes.c.endpoint) & (box_heads.c.box == webhook_boxes.c.box),
        )
        .where(
            webhook_boxes.c.endpoint == webhooks.c.endpoint,
            webhook_boxes.c.url == webhooks.c.url,
            webhook_boxes.c.told < func.coalesce(box_heads.c.length, 0),
        )
        .exists()
    )
    # Those that answer come before those that fail: a thousand dead receivers must not keep a live one waiting.
    return (
        select(webhooks)
        .where(webhooks.c.enabled == 1, webhooks.c.next_try <= now, webhooks.c.claimed_until <= now, longer)
        .order_by(webhooks.c.failures, webhooks.c.next_try)
        .limit(limit)
    )


def has_due(connection: Connection, now: int) -> bool:
    """Whether any webhook may be owed a look that nobody is giving it."""
    return connection.execute(_due(now, 1)).first() is not None


def claim_due(
    connection: Connection, now: int, until: int, claims: Sequence[bytes], below: int
) -> list[Errand]:
    """Claim webhooks that are owed looks.

    Args:
        connection: in a writing transaction.
        now: ms since 1970 by the database's clock.
        until: ms since 1970 at which the claims lapse.
        claims: fresh random bytes, one for each webhook that may be claimed.
        below: published size: what is not published is not told, since it cannot be read yet.
    """
    out = []
    for row, claim in zip(connection.execute(_due(now, len(claims))).all(), claims, strict=False):
        owed = _owed(connection, row, below)
        if not owed:
            continue
        mine = (webhooks.c.endpoint == row.endpoint, webhooks.c.url == row.url)
        # Since the row was read another node may have claimed it, or even told and settled it, or its endpoint may
        # have set it anew: each of these changes one of the three.
        taken = connection.execute(
            update(webhooks)
            .where(
                *mine,
                webhooks.c.claimed_until == row.claimed_until,
                webhooks.c.next_try == row.next_try,
                webhooks.c.salt == row.salt,
            )
            .values(claim=claim, claimed_until=until)
        )
        if taken.rowcount:
            out.append(Errand(Address(row.endpoint), row.url, row.salt, claim, owed))
    return out


def _owed(connection: Connection, row: Any, below: int) -> tuple[Owed, ...]:
    query = select(webhook_boxes.c.box, webhook_boxes.c.told).where(
        webhook_boxes.c.endpoint == row.endpoint, webhook_boxes.c.url == row.url
    )
    told = {Box(box): int(length) for box, length in connection.execute(query)}
    out = []
    # Urgent first.
    for box in sorted(told, key=lambda b: (b is not Box.URGENT, b.value)):
        length = read_box_state(connection, row.endpoint, box, below).count
        if length > told[box]:
            moved_at = _moved_at(connection, row.endpoint, box, length - 1) if length else row.registered_at
            out.append(Owed(box, length, moved_at))
    return tuple(out)


def _moved_at(connection: Connection, endpoint: str, box: Box, position: int) -> int:
    query = (
        select(entries.c.leaf)
        .join(box_rows, box_rows.c.entry == entries.c.entry)
        .where(box_rows.c.endpoint == endpoint, box_rows.c.box == box.value, box_rows.c.position == position)
    )
    return parse_leaf(connection.execute(query).scalar_one()).time


@dataclass(frozen=True, slots=True)
class Failure:
    """How telling failed.

    Attributes:
        error: code, docs/spec/api.md §6.
        gone: whether the receiver said that it is there no more.
        retry_after: ms that it asks to wait, or None.
    """

    error: str
    gone: bool = False
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to go on with a webhook that fails, and how often.

    Attributes:
        schedule: ms to wait after the first failure, the second, and so on; the last again and again.
        give_up: ms of failure after which it is switched off.
        pause: ms between two errands to a webhook that answers.
        spread: factor on every wait after a failure, so that what failed together is not tried together.
    """

    schedule: tuple[int, ...]
    give_up: int
    pause: int
    spread: float


def settle(
    connection: Connection,
    errand: Errand,
    told: Mapping[Box, int],
    failure: Failure | None,
    now: int,
    patience: Patience,
) -> bool:
    """Record how an errand went, and give up its claim; whether the webhook was switched off by it.

    Args:
        connection: in a writing transaction.
        errand: claimed by `claim_due`; if its claim has passed to another, nothing is recorded.
        told: boxes that were told, and the length each had then.
        failure: what ended it early, or None.
        now: ms since 1970 by the database's clock.
        patience: with failures.
    """
    mine = _claimed(errand)
    row = connection.execute(select(webhooks).where(*mine).with_for_update()).one_or_none()
    if row is None:
        return False
    _record_told(connection, errand, told)
    values: dict[str, Any] = {"claim": None, "claimed_until": 0, "next_try": now + patience.pause}
    failures, since = row.failures, row.failing_since
    if told:
        # It answers, so it is tried again soon; but one that refuses a box of its own day after day fails.
        failures = 0
        values["succeeded_at"] = now
    if failure is None:
        since = None
    off = False
    if failure is not None:
        failures, since = failures + 1, now if since is None else since
        wait = int(patience.schedule[min(failures, len(patience.schedule)) - 1] * patience.spread)
        values["next_try"] = now + max(wait, failure.retry_after or 0)
        off = failure.gone or now - since >= patience.give_up
        if off:
            values |= {"enabled": 0, "off_at": now}
    values |= {
        "failures": failures,
        "failing_since": since,
        "error": failure.error if failure is not None else None,
    }
    connection.execute(update(webhooks).where(*mine).values(**values))
    return off


def _claimed(errand: Errand) -> tuple[ColumnElement[bool], ...]:
    """The row of an errand, as long as its claim has not passed to another."""
    return (
        webhooks.c.endpoint == errand.endpoint,
        webhooks.c.url == errand.url,
        webhooks.c.claim == errand.claim,
    )


def _record_told(connection: Connection, errand: Errand, told: Mapping[Box, int]) -> None:
    for box, length in told.items():
        connection.execute(
            update(webhook_boxes)
            .where(
                webhook_boxes.c.endpoint == errand.endpoint,
                webhook_boxes.c.url == errand.url,
                webhook_boxes.c.box == box.value,
            )
            .values(told=length)
        )


def postpone(connection: Connection, errand: Errand, told: Mapping[Box, int], until: int) -> None:
    """Give up the claim of an errand that this node had no room for; nothing counts against the webhook.

    Args:
        connection: in a writing transaction.
        errand: as for `settle`.
        told: as for `settle`.
        until: ms since 1970 at which it is due again.
    """
    given_up = connection.execute(
        update(webhooks).where(*_claimed(errand)).values(claim=None, claimed_until=0, next_try=until)
    )
    if given_up.rowcount:
        _record_told(connection, errand, told)


def release(connection: Connection, claims: Iterable[bytes]) -> None:
    """Give up claims without an outcome: their sender is stopping."""
    connection.execute(
        update(webhooks).where(webhooks.c.claim.in_(list(claims))).values(claim=None, claimed_until=0)
    )
