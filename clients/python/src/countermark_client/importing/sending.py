"""Sending imported notices: each once, however often an import breaks off and is run again.

A record is known again by the reference made of its key, which the profile keeps in the transaction that seals its
notice. What was sealed is not sealed a second time; a record that now says something else is told, and not sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Final

from countermark_client._models import Draft, Outcome
from countermark_client._references import References
from countermark_client._store import OutboxState
from countermark_client.importing.records import ImportedNotice
from countermark_protocol.errors import ConflictError, CountermarkError

if TYPE_CHECKING:
    from countermark_client import Client

#: Notices that are looked at together; no more of a large file is held in memory.
_PORTION: Final = 200


class ImportState(StrEnum):
    """What became of the rows of one notice."""

    SENT = "sent"
    SENT_BEFORE = "sent_before"
    CHANGED = "changed"
    UNREADABLE = "unreadable"
    WAITING = "waiting"
    REFUSED = "refused"
    NOT_REACHED = "not_reached"


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    """What became of one notice.

    Attributes:
        notice: as read.
        state: what became of it.
        outcome: of sending, if it was tried.
        error: why it was not sent, or not again.
    """

    notice: ImportedNotice
    state: ImportState
    outcome: Outcome | None
    error: CountermarkError | None


def send_notices(
    client: Client, notices: Iterable[ImportedNotice], draft_of: Callable[[ImportedNotice], Draft]
) -> Iterator[ImportOutcome]:
    """Send notices in their order, in portions; what cannot be sent does not stop what follows.

    Args:
        client: of the sender.
        notices: as read; those with problems are passed on as unreadable.
        draft_of: the draft of a notice with content, under its reference.

    Yields:
        What became of each, in order. After the broker went away the rest is not reached: run it again.
    """
    left = iter(notices)
    stopped: CountermarkError | None = None
    while portion := list(islice(left, _PORTION)):
        if stopped is not None:
            yield from (ImportOutcome(each, ImportState.NOT_REACHED, None, stopped) for each in portion)
            continue
        for each in _send_portion(client, portion, draft_of):
            if each.state in {ImportState.NOT_REACHED, ImportState.WAITING}:
                stopped = each.error
            yield each


def _send_portion(
    client: Client, portion: list[ImportedNotice], draft_of: Callable[[ImportedNotice], Draft]
) -> Iterator[ImportOutcome]:
    references = References(client.profile.store)
    drafts: dict[str, Draft] = {}
    before: set[str] = set()
    changed: dict[str, CountermarkError] = {}
    for notice in portion:
        if notice.content is None:
            continue
        draft = draft_of(notice)
        known = references.find(draft.reference)
        if known is not None:
            try:
                known.check(draft)
            except ConflictError as error:
                changed[notice.reference] = error
                continue
            before.add(notice.reference)
        drafts[notice.reference] = draft
    outcomes = client.send_bulk(list(drafts.values()))
    stopped: CountermarkError | None = None
    for notice in portion:
        if notice.content is None:
            yield ImportOutcome(notice, ImportState.UNREADABLE, None, None)
        elif notice.reference in changed:
            yield ImportOutcome(notice, ImportState.CHANGED, None, changed[notice.reference])
        else:
            outcome: Outcome | None = None
            if stopped is None:
                try:
                    outcome = next(outcomes, None)
                except CountermarkError as error:
                    stopped = error
            if outcome is None:
                yield ImportOutcome(notice, ImportState.NOT_REACHED, None, stopped)
            else:
                yield _told(client, notice, outcome, known=notice.reference in before)


def _told(client: Client, notice: ImportedNotice, outcome: Outcome, *, known: bool) -> ImportOutcome:
    if outcome.sent is not None:
        state = ImportState.SENT_BEFORE if known else ImportState.SENT
        return ImportOutcome(notice, state, outcome, None)
    item = client.profile.store.outbox_item(outcome.message) if outcome.message is not None else None
    waits = item is not None and item.state is OutboxState.WAITING
    return ImportOutcome(
        notice, ImportState.WAITING if waits else ImportState.REFUSED, outcome, outcome.error
    )
