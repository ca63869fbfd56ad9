"""Sending the contents of a file, one or ten thousand, and telling what became of each.

Every row of many is sent under a reference made of the name of the run, what it is sent as and its content, and
the profile remembers it in the transaction that seals the row. To run the same file again is then to go on
where it stopped: what was sealed is not sealed a second time, whatever broke it off.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from countermark_client._models import Draft, Outcome
from countermark_client._references import Known, References
from countermark_client._store import OutboxState
from countermark_client.cli.addressing import left_out_json
from countermark_client.cli.content_files import Row
from countermark_client.cli.output import (
    REFUSED,
    Result,
    as_json,
    details_of,
    error_json,
    exit_code_of,
    hint_of,
    progress,
    say,
)
from countermark_protocol.encoding import labelled_hash
from countermark_protocol.errors import CountermarkError, TransportError

if TYPE_CHECKING:
    from countermark_client import Client

#: Rows that are told one by one; the rest is counted, and stands in full in the JSON form and the report.
MOST_ROWS: Final = 20

LOGGED: Final = "logged"
#: Sealed and written, not answered: `countermark flush` or the same command again sends it.
WAITING: Final = "waiting"
#: Not sent: refused by the broker or by the rules for senders, failed, or given up.
NOT_SENT: Final = "refused"
INVALID: Final = "invalid"
#: Not reached: the run broke off before.
NOT_SEALED: Final = "not_sealed"
_STATES: Final = (LOGGED, WAITING, NOT_SENT, INVALID, NOT_SEALED)


@dataclass
class _Told:
    """What became of the rows so far.

    Attributes:
        rows: (row, outcome or None) of those that were reached, and of those that are not valid.
        counts: by state.
        known: rows whose message was sealed by an earlier run.
        stopped: why the run broke off, or None.
    """

    rows: list[tuple[Row, str, Outcome | None]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    known: int = 0
    stopped: CountermarkError | None = None

    def add(self, row: Row, state: str, outcome: Outcome | None = None) -> None:
        """Take note of a row."""
        self.rows.append((row, state, outcome))
        self.counts[state] += 1


def with_references(drafts: Sequence[Draft], run: str, sent_as: str) -> list[Draft]:
    """Drafts under references of their own, by which a later run knows them again.

    Args:
        drafts: of one file.
        run: a name for the run; the same file under another name is sent once more.
        sent_as: everything said on the command line that becomes part of the messages.
    """
    seen: Counter[str] = Counter()
    out: list[Draft] = []
    for draft in drafts:
        content = json.dumps(draft.content, sort_keys=True)
        name = labelled_hash("bulk-row", run.encode(), sent_as.encode(), content.encode()).hex()
        # Rows that are the same are told apart by their order.
        out.append(replace(draft, reference=f"bulk:{name}:{seen[name]}"))
        seen[name] += 1
    return out


def refuse_invalid(rows: Sequence[Row]) -> Result | None:
    """The refusal of a file with rows that are not valid; None if all are."""
    bad = [row for row in rows if row.error is not None]
    if not bad:
        return None
    remark(f"error: nothing was sent: {len(bad)} of {len(rows)} contents are not valid [invalid_content]")
    for row in bad[:MOST_ROWS]:
        assert row.error is not None
        remark(
            f"row {row.number}{_line(row)}: {row.error.message}",
            *(details_of(row.error) if len(bad) <= 3 else ()),
        )
    if len(bad) > MOST_ROWS:
        remark(f"(and {len(bad) - MOST_ROWS} more)")
    remark("hint: mend these rows; `countermark type NAME` tells what a content holds")
    return Result(
        [],
        REFUSED,
        error={
            "code": "invalid_content",
            "message": f"nothing was sent: {len(bad)} of {len(rows)} contents are not valid",
            "hint": "mend these rows",
            "facts": {"rows": [_row_json(row, INVALID, None) for row in bad]},
        },
    )


def deliver(
    client: Client, rows: Sequence[Row], drafts: Sequence[Draft], message_type: str, report: Path | None
) -> Result:
    """Send the valid rows of a file and tell what became of each row.

    Args:
        client: of the sender.
        rows: all of them, in order.
        drafts: of the valid ones, in order.
        message_type: of all.
        report: file to write what became of each row to, one JSON object a line; or None.
    """
    told = _Told()
    references = References(client.profile.store)
    told.known = sum(references.find(draft.reference) is not None for draft in drafts)
    with _Report(report) as written, progress(f"sending {message_type}") as show:
        count = _Count(len(rows), show)
        client.watch.settled = count.more
        outcomes, left = client.send_bulk(drafts), iter(drafts)
        for row in rows:
            if row.error is not None:
                told.add(row, INVALID)
            else:
                draft = next(left)
                outcome = _next(outcomes, told) or _unfinished(
                    client, draft, references.find(draft.reference), told.stopped
                )
                told.add(row, NOT_SEALED if outcome is None else _state(client, outcome), outcome)
            written.add(_row_json(*told.rows[-1]))
            count.at_least(len(told.rows))
        if told.stopped is None:
            # What stopped the last portion is said after its outcomes.
            _next(outcomes, told)
    result = _result(told, rows, message_type)
    if written.failed is not None:
        # What was sent is told all the same.
        reason = f"the report {report} is not complete: {written.failed.strerror or written.failed}"
        remark(f"error: {reason}; --json tells the same, and so does the same command again")
        result["report_error"] = reason
        result.exit_code = result.exit_code or REFUSED
    return result


def _next(outcomes: Iterator[Outcome], told: _Told) -> Outcome | None:
    if told.stopped is not None:
        return None
    try:
        return next(outcomes, None)
    except CountermarkError as error:
        told.stopped = error
    except KeyboardInterrupt:
        told.stopped = CountermarkError("interrupted", "interrupted while sending")
    return None


def _unfinished(
    client: Client, draft: Draft, known: Known | None, stopped: CountermarkError | None
) -> Outcome | None:
    """What is known of a draft when the run broke off; None if it was not sealed."""
    if known is None:
        return None
    item = client.profile.store.outbox_item(known.payload)
    if item is None or item.state is OutboxState.LOGGED:
        return Outcome(draft, client.sent(known.payload), None, known.payload)
    return Outcome(draft, None, stopped, known.payload)


def _state(client: Client, outcome: Outcome) -> str:
    if outcome.sent is not None:
        return LOGGED
    item = client.profile.store.outbox_item(outcome.message) if outcome.message is not None else None
    return WAITING if item is not None and item.state is OutboxState.WAITING else NOT_SENT


class _Count:
    """How far a progress bar is: a portion is told when it ends, and moves with each of its verdicts before."""

    def __init__(self, total: int, show: Callable[[int, int], None]) -> None:
        self._done, self._total, self._show = 0, total, show
        show(0, total)

    def more(self, count: int) -> None:
        """So many more were answered."""
        self.at_least(self._done + count)

    def at_least(self, done: int) -> None:
        """So many are told."""
        self._done = min(self._total, max(self._done, done))
        self._show(self._done, self._total)


class _Report:
    """What became of each row, one JSON object a line, each on its way to the disk before the next is sent.

    Opening it may fail, before anything is sent. What fails later stops nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._file = path.open("w", encoding="ascii", buffering=1) if path is not None else None
        self.failed: OSError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._guarded(self._file.close)

    def add(self, members: dict[str, Any]) -> None:
        """Write one line."""
        file = self._file
        if file is not None and self.failed is None:
            self._guarded(lambda: file.write(json.dumps(members) + "\n"))

    def _guarded(self, act: Callable[[], object]) -> None:
        try:
            act()
        except OSError as error:
            self.failed = self.failed or error


# --- telling -------------------------------------------------------------------------------------------


def remark(*lines: str) -> None:
    """Remarks on standard error; the JSON form holds the same."""
    if not as_json():
        for line in lines:
            say(line)


def _line(row: Row) -> str:
    return f" (line {row.line})" if row.line != row.number else ""


def _row_json(row: Row, state: str, outcome: Outcome | None) -> dict[str, Any]:
    out: dict[str, Any] = {"row": row.number, "line": row.line, "state": state}
    if outcome is not None and outcome.message is not None:
        out["message"] = outcome.message.hex()
    if outcome is not None and outcome.sent is not None:
        sent = outcome.sent
        out |= {
            "id": sent.id,
            "recipients": list(sent.recipients),
            "conversation": sent.conversation.hex(),
            "index": sent.index,
            "time": sent.time,
        }
        if sent.left_out:
            out["left_out"] = [left_out_json(one) for one in sent.left_out]
    error = row.error or (outcome.error if outcome is not None else None)
    if error is not None:
        out["error"] = error_json(error)
    return out


def _row_lines(row: Row, state: str, outcome: Outcome | None, *, many: bool) -> list[str]:
    which = f"row {row.number}{_line(row)}: " if many else ""
    if outcome is not None and outcome.sent is not None:
        to = outcome.sent.recipients or outcome.draft.to  # of one adopted after a restore they are not known
        whom = to[0] if len(to) == 1 else f"{len(to)} recipients"
        left = len(outcome.sent.left_out)
        without = f" ({left} left out, as recorded)" if left else ""
        return [f"{which}logged as entry {outcome.sent.index}, to {whom}{without}: {outcome.sent.hash}"]
    error = row.error or (outcome.error if outcome is not None else None)
    assert error is not None
    word = "not valid" if state == INVALID else "error"
    return [f"{which}{word}: {error.message} [{error.code}]", *details_of(error)]


def _result(told: _Told, rows: Sequence[Row], message_type: str) -> Result:
    many = len(rows) > 1
    logged = [one for one in told.rows if one[1] == LOGGED]
    wrong = [one for one in told.rows if one[1] in {NOT_SENT, INVALID}]
    lines = [line for one in logged[:MOST_ROWS] for line in _row_lines(*one, many=many)]
    for one in wrong[:MOST_ROWS]:
        remark(*_row_lines(*one, many=many))
    if len(wrong) > MOST_ROWS:
        remark(f"(and {len(wrong) - MOST_ROWS} more; --json and --report name all)")
    if not many and wrong:
        error = wrong[0][0].error or (wrong[0][2].error if wrong[0][2] is not None else None)
        assert error is not None
        remark(f"hint: {hint_of(error)}")
    if many:
        if len(logged) > MOST_ROWS:
            lines.append(f"(and {len(logged) - MOST_ROWS} more; --json names all)")
        lines.append(_summary(told, len(rows)))
        if told.known == len(rows):
            remark(
                "hint: all of them were sent by an earlier run; to send them once more, name this one with --run"
            )
    members: dict[str, Any] = {
        "type": message_type,
        **{state: told.counts[state] for state in _STATES},
        "sealed_before": told.known,
        "messages": [_row_json(*one) for one in told.rows],
    }
    if told.stopped is None:
        return Result(lines, REFUSED if wrong else 0, **members)
    _remark_stopped(told, told.stopped)
    members |= {"error": error_json(told.stopped), "kept_in_outbox": _waiting(told)}
    return Result(lines, exit_code_of(told.stopped), **members)


def _waiting(told: _Told) -> list[str]:
    return [
        o.message.hex() for _, s, o in told.rows if s == WAITING and o is not None and o.message is not None
    ]


def _summary(told: _Told, total: int) -> str:
    parts = [f"{told.counts[LOGGED]} of {total} logged"]
    parts += [f"{told.counts[state]} {text}" for state, text in (
        (WAITING, "waiting in the outbox"), (INVALID, "not valid"), (NOT_SEALED, "not sealed"),
    ) if told.counts[state]]  # fmt: skip
    parts.append(f"{told.counts[NOT_SENT]} refused")
    if told.known:
        parts.append(f"{told.known} of them sealed by an earlier run")
    return ", ".join(parts)


def _remark_stopped(told: _Told, stopped: CountermarkError) -> None:
    remark(f"error: {stopped.message} [{stopped.code}]")
    waiting = _waiting(told)
    if waiting:
        shown = ", ".join(waiting[:3]) + (f" and {len(waiting) - 3} more" if len(waiting) > 3 else "")
        remark(f"hint: sealed and kept in the outbox: {shown}; `countermark flush` sends it")
    elif not isinstance(stopped, TransportError) or not told.counts[NOT_SEALED]:
        remark(f"hint: {hint_of(stopped)}")
    if told.counts[NOT_SEALED]:
        first = next(row for row, state, _ in told.rows if state == NOT_SEALED)
        remark(
            f"hint: from row {first.number} on nothing is sealed yet; the same command goes on where it stopped, and "
            "sends nothing twice"
        )
