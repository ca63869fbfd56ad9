"""What was published: nothing that was answered is ahead of the checkpoint store, and nothing published goes back.

An answer may name a checkpoint only once the store holds it, or one that follows it: else a broker that dies could
come back, or be restored, without what it had answered, and nobody would notice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from countermark_protocol.checkpoint import parse_checkpoint
from countermark_protocol.documents import parse_document
from countermark_protocol.encoding import parse_base64url, parse_object
from countermark_protocol.errors import CountermarkError
from fault.findings import Findings, Wrong
from fault.history import Action, Call

#: Answers that are not JSON, and say nothing of the log's size.
_WITHOUT = frozenset({Action.CONTENT, Action.STANZA})
_MAX_ACCOUNT = 1 << 20


def check_published(calls: Iterable[Call], found: Findings) -> None:
    """Hold all sizes that were ever shown against the store's, and each node's against its earlier ones."""
    shown = [(call, size) for call in calls if (size := _size(call)) is not None]
    store = [(call, size) for call, size in shown if call.action is Action.STORE]
    _check_order(shown, store, "the checkpoint store", found)
    by_node: dict[str, list[tuple[Call, int]]] = defaultdict(list)
    for call, size in shown:
        if call.node:
            by_node[call.node].append((call, size))
    for node, answers in by_node.items():
        _check_order(answers, answers, node, found)


def _check_order(
    earlier: list[tuple[Call, int]], later: list[tuple[Call, int]], where: str, found: Findings
) -> None:
    """No later one begins, after an earlier one has ended, with a smaller size."""
    ended = sorted(earlier, key=lambda one: one[0].ended)
    largest: tuple[Call, int] | None = None
    at = 0
    for call, size in sorted(later, key=lambda one: one[0].began):
        while at < len(ended) and ended[at][0].ended < call.began:
            if largest is None or ended[at][1] > largest[1]:
                largest = ended[at]
            at += 1
        if largest is not None and size < largest[1]:
            found.add(
                Wrong.CHECKPOINT,
                f"{where} was at size {size} in {call.name}, after {largest[0].name} had shown size {largest[1]}",
            )


def _size(call: Call) -> int | None:
    """The size that an answer shows; None if it shows none, or is not what it should be: others find that."""
    if call.status is None or call.status >= 500 or call.action in _WITHOUT:
        return None
    try:
        if call.status < 400 and call.action in {Action.CHECKPOINT, Action.STORE}:
            return parse_checkpoint(call.answer).size
        return _size_in(call, parse_object(call.answer))
    except (CountermarkError, KeyError, TypeError, ValueError):
        return None


def _size_in(call: Call, answer: dict[str, Any]) -> int | None:
    if call.status is not None and call.status >= 400:
        if "account" not in answer:
            return None
        account = parse_document(parse_base64url(answer["account"], "account", limit=_MAX_ACCOUNT))
        return int(account.claims["seen"]["size"])
    if call.action is Action.CONSISTENCY:
        return int(answer["to"])
    if call.action is Action.INCLUSION:
        return int(answer["size"])
    return parse_checkpoint(answer["checkpoint"].encode()).size
