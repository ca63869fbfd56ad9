"""What commands print, and how they end.

Rules: results on standard output, everything else (prompts, progress, warnings, errors) on standard error;
``error:`` says what is wrong, ``hint:`` what to do. With ``--json`` exactly one JSON object stands on
standard output, whatever happens; only commands that follow a box print one object a line instead.

What others wrote is shown without the control characters it may hold: a message must not be able to
rewrite the terminal of who reads it.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import click

from countermark_client.cli import _late
from countermark_protocol.errors import CountermarkError, InconsistentLogError, TransportError

REFUSED: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
MISBEHAVIOUR: Final = 4

EXIT_CODES: Final = """\
Exit codes:
  0  done
  1  refused or failed
  2  wrong usage
  3  broker unreachable; what was sealed is kept in the outbox
  4  evidence of misbehaviour or an alarm found, or not cleared yet"""

#: Hints for the command line, where the error's own is for programmers.
_HINTS: Final = {
    "already_logged": "`countermark status HASH` tells how far it is; a message is corrected by `send --supersedes`",
    "ambiguous_hash": "`countermark list --json` gives hashes in full",
    "ambiguous_in_mirror": "`countermark audit search --json` gives hashes in full",
    "attachment_unopenable": "`countermark reject HASH --reason REASON --details TEXT` tells its sender",
    "audit_extra_missing": "text, CSV and JSON need nothing more",
    "draft_files_needed": "`--files FOLDER` says where they are",
    "draft_piece_missing": "it lies beside the draft as FILE.files; `--files FOLDER` says where else",
    "bad_audience": "give --for auditor, --for public, or the code of who will read it",
    "bad_cell": "`countermark type NAME` tells which values a member takes",
    "bad_columns": "see docs/spec/mapping.md for `import`, docs/howto/send-and-receive.md for `send`",
    "bad_mapping": "see docs/spec/mapping.md for `import`, docs/howto/send-and-receive.md for `send`",
    "bad_path": "`countermark type NAME` lists every member by its path",
    "bad_place": "`countermark type NAME` lists every member by its path",
    "bad_threshold": "say --threshold or --quorum with the keys that you add or remove",
    "file_exists": "choose another place; `countermark fetch` takes --overwrite",
    "image_unreadable": "`--attach FILE,as-is` sends it with all that it tells",
    "interrupted": "`countermark outbox` and `countermark list --sent` tell what was sealed and sent",
    "invalid_content": "`countermark type NAME` tells what a content holds",
    "keys_stand": "make this profile anew with `countermark init --further-instance` if it is to be one more",
    "look_up_over": "`countermark audit look-up --scope … --ground …` states a new one; then run this again",
    "no_witnesses": "leave out --wait witnessed; governors name witnesses in the log's record",
    "not_witnessed_yet": "nothing is lost; ask again later, or tell the broker's operator",
    "no_consent": "ask for it: `countermark answer HASH release-consent-request …`; silence is no consent",
    "no_pointer": "`countermark trace show HASH` tells what was answered",
    "h3_not_read": "`countermark show HASH` shows them; then `countermark accept HASH --handling-read`",
    "invalid_item": "`countermark type tracing-request` tells what its items hold",
    "item_not_named": "name it with --item",
    "not_a_trace": "`countermark trace list` lists the conversations that hold a tracing request",
    "trace_not_named": "`countermark trace show HASH` tells who was asked; name one with --requested",
    "trace_refused": "`countermark trace show HASH` tells where the trace stands",
    "no_look_up": "`countermark audit look-up --scope … --ground …` states one; then run this again",
    "no_mirror": "`countermark audit look-up` makes it, and `countermark audit sync` fills it",
    "not_a_request": "`countermark document show FILE` tells what it is",
    "no_invitation": "ask your authority for a new one: `countermark invite ADDRESS`",
    "no_request": "`countermark invite` lists open invitations and what waits",
    "not_enrolled": "give the request to your authority; once it has run `countermark approve`, try again",
    "not_in_mirror": "`countermark audit search` lists what it holds; `countermark audit sync` brings it up to date",
    "not_given_up": "`countermark outbox give-up HASH --reason …` first, if it shall never be sent",
    "not_in_outbox": "`countermark outbox --all` lists every statement that this profile has made",
    "not_logged": "send it with `countermark flush`, then try again",
    "other_fingerprint": "ask again, by voice; if it stays so, somebody has put another file in its place",
    "unknown_webhook": "`countermark webhook show` lists the webhooks of this endpoint",
    "webhook_not_answered": "see docs/howto/webhooks.md on what each error means; the broker goes on trying",
    "unknown_type": "`countermark types` lists the types and versions known here",
    "already_enrolled": "`countermark draft endpoint ADDRESS` changes what stands of it",
    "no_such_alarm": "`countermark alarms` lists them",
    "keys_elsewhere": "see docs/howto/renew-keys.md on keys in tokens",
    "key_over": "`countermark key renew` makes another and has it certified",
    "reset_delay": "draft it again, or let the administrator before run `document sign --countersign`",
    "already_signed": "pass the file on to who has not signed yet: `countermark document show FILE`",
    "broker_unreachable": "check the broker's URL and state; what waits is sent by `countermark flush`",
    "bundle_not_awaited": "run `countermark bundle export` again and have that carried",
    "bundle_replayed": "`countermark bundle carry --again` makes what was lost on its way back once more",
    "cut_off": "what is sealed waits, and what is asked for comes back, with `countermark bundle export`",
    "entries_to_adopt": "if all of them are yours, the same command with --adopt; else revoke the key",
    "period_not_covered": "`countermark audit look-up` and `countermark audit sync` first; or give --partial",
    "restored_unchecked": "`countermark backup compare` first, or without a line `countermark bundle export`",
    "given_up": "`countermark outbox renew HASH` makes it anew, under a new id",
    "halted": "look at it with `countermark evidence`, show it to the governors, then `evidence --resume`",
    "missing_possession": "let the holder of that key run `countermark document sign FILE --key … --possession`",
    "never_sent_again": "`countermark outbox renew HASH` makes it anew, under a new id",
    "no_such_key": "see which keys there are with `countermark whoami`",
    "no_such_code": "`countermark codes show LIST` lists its codes; `codes find` takes any part of a word",
    "no_such_list": "`countermark codes list` lists them",
    "no_such_record": "give what is missing as an option; `countermark directory` lists what there is",
    "no_key_file": "make one with `countermark key new`",
    "no_profile": "make one with `countermark init`, or name another with --home or COUNTERMARK_HOME",
    "not_opened": "run `countermark inbox` first: it signs for the message and opens it",
    "other_payload": "merge copies of one file only; `countermark document show` tells what each holds",
    "profile_in_use": "wait until it ends, or make a profile of its own with `countermark init --further-instance`",
    "profile_exists": "choose another folder with --home",
    "recipients_refused": "do what it says of each, or send to the others by naming each with --leave-out",
    "not_addressed": "`countermark resolve NAME...` shows whom names lead to",
    "review_refused": "mend the content: these rules bind senders, whatever the policy table allows",
    "sealing_key_changed": "`countermark outbox renew HASH` seals the same content to the new key, under a new id",
    "small_threshold": "give --threshold 3 or more",
    "stale_checkpoint": "nothing was sealed; try again once the broker answers",
    "stale_statement": "draft it again: `countermark draft …` takes what stands now as its base",
    "too_few_signatures": "pass the file on to who must sign too: `countermark document sign FILE`",
    "unknown_message": "`countermark list` shows the messages that this profile holds",
    "wrong_passphrase": "type it again, or check COUNTERMARK_PASSPHRASE and --passphrase-file",
}
_ABOVE_ASCII_CONTROLS: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_MOST_DETAILS: Final = 20

F = TypeVar("F", bound=Callable[..., Any])


# --- text ----------------------------------------------------------------------------------------------


def safe(text: object, *, lines: bool = False) -> str:
    """Text without characters that steer a terminal or turn its direction; they are shown as escapes.

    Args:
        text: anything.
        lines: keep line feeds.
    """
    return "".join(
        c if (lines and c == "\n") or unicodedata.category(c) not in _ABOVE_ASCII_CONTROLS else _escape(c)
        for c in str(text)
    )


def _escape(c: str) -> str:
    return f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}"


def utc(milliseconds: int | None) -> str:
    """A time (ms since 1970) for people, in UTC; a dash if there is none."""
    if milliseconds is None:
        return "-"
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def short(digest: bytes) -> str:
    """The first 16 hexadecimal digits: enough to name a message or key to a command."""
    return digest.hex()[:16]


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> _late.Table:
    """A plain table; cells are made safe."""
    out = _late.Table(*headers, box=None, pad_edge=False, header_style="bold", show_edge=False)
    for row in rows:
        out.add_row(*(_late.Text(safe(cell)) for cell in row))
    return out


# --- results -------------------------------------------------------------------------------------------


class Result(dict[str, Any]):
    """What a command found.

    Args:
        shown: lines and tables for people.
        exit_code: how the command ends.
        members: for ``--json``.
    """

    def __init__(self, shown: Sequence[str | _late.Table], exit_code: int = 0, **members: Any) -> None:
        super().__init__(members)
        self.shown = shown
        self.exit_code = exit_code


def exit_code_of(error: CountermarkError) -> int:
    """How a command ends that met this error."""
    if isinstance(error, InconsistentLogError) or error.code == "halted":
        return MISBEHAVIOUR
    # A checkpoint is too old only because the broker could not be asked for a newer one.
    if isinstance(error, TransportError) or error.code == "stale_checkpoint":
        return UNREACHABLE
    return REFUSED


def error_json(error: CountermarkError) -> dict[str, Any]:
    """The JSON form of an error: code, message, hint, facts."""
    facts = {k: v for k, v in error.facts.items() if isinstance(v, str | int | list | dict)}
    return {"code": error.code, "message": error.message, "hint": hint_of(error), "facts": facts}


def hint_of(error: CountermarkError) -> str:
    """What a user of the command line can do about an error."""
    return _HINTS.get(error.code, error.hint)


def details_of(error: CountermarkError) -> list[str]:
    """Every violation or problem that an error lists, one line each."""
    out = [
        *(
            f"  {v['field'] or 'top'}: expected {v['expected']}, got {v['got']}"
            for v in error.facts.get("violations", ())
        ),
        *(f"  {f['field'] or 'top'}: {f['text']}" for f in error.facts.get("findings", ())),
    ]
    hidden = len(out) - _MOST_DETAILS
    shown = [*out[:_MOST_DETAILS], f"  (and {hidden} more)"] if hidden > 0 else out
    return [*_problems_of(error), *shown]


def _problems_of(error: CountermarkError) -> list[str]:
    """Everything that stands against any recipient, however many: nobody may be missed for a list cut short."""
    if error.code != "recipients_refused":
        return []
    out = [f"  {p['recipient']}: {p['message']}; {p['remedy']}" for p in error.facts["problems"]]
    leave_out, others = error.facts.get("leave_out"), error.facts.get("others")
    if leave_out and others:
        named = " ".join(f"--leave-out {address}" for address in leave_out)
        out.append(f"  to send it to the other {others} all the same: {named}")
    return out


def as_json() -> bool:
    """Whether the running command prints JSON."""
    context = click.get_current_context(silent=True)
    return bool(context and context.meta.get("countermark.json"))


def say(text: str) -> None:
    """A remark to people, on standard error."""
    click.echo(safe(text, lines=True), err=True)


def command(function: F) -> F:
    """Give a command ``--json``, and print its `Result` or its error."""

    @click.option("--json", "json_wanted", is_flag=True, help="Print one JSON object instead of text.")
    @functools.wraps(function)
    def wrapped(*args: Any, json_wanted: bool, **kwargs: Any) -> None:
        click.get_current_context().meta["countermark.json"] = json_wanted
        try:
            result = function(*args, **kwargs)
        except CountermarkError as error:
            _fail(error)
        except OSError as error:
            name = f"{error.filename}: " if error.filename else ""
            _fail(
                CountermarkError("file", f"{name}{error.strerror or error}"),
                "check the path and its permissions",
            )
        if isinstance(result, Result):
            _print(result, json_wanted=json_wanted)
            if result.exit_code:
                raise click.exceptions.Exit(result.exit_code)

    wrapped.__doc__ = _with_examples(function.__doc__ or "")
    return wrapped  # type: ignore[return-value]


def _with_examples(doc: str) -> str:
    """A docstring whose paragraphs with indented lines click leaves as they stand (its mark is U+0008)."""
    paragraphs = inspect.cleandoc(doc).split("\n\n")
    return "\n\n".join(f"\b\n{p}" if "\n  " in p else p for p in paragraphs)


def print_line(members: dict[str, Any]) -> None:
    """One JSON object on one line, ASCII only, so that no control character reaches a terminal."""
    click.echo(json.dumps(members))


def _print(result: Result, *, json_wanted: bool) -> None:
    if json_wanted:
        print_line(result)
        return
    for one in result.shown:
        show(one)


def show(one: str | _late.Table) -> None:
    """Print a line or table for people."""
    if isinstance(one, str):
        click.echo(safe(one, lines=True))
        return
    # Where nobody looks at it, nothing is cut to a width.
    console = _late.Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 400)
    with console.capture() as captured:
        console.print(one)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _fail(error: CountermarkError, hint: str | None = None) -> None:
    if as_json():
        print_line({"error": {**error_json(error), "hint": hint or hint_of(error)}})
    else:
        say(f"error: {error.message} [{error.code}]")
        for line in details_of(error):
            say(line)
        say(f"hint: {hint or hint_of(error)}")
    raise click.exceptions.Exit(exit_code_of(error))


# --- progress ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, only where that is a terminal.

    Yields:
        A function to call with (done, in all).
    """
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    bar = _late.Progress(
        _late.TextColumn("{task.description}"),
        _late.BarColumn(),
        _late.MofNCompleteColumn(),
        _late.TimeRemainingColumn(),
        console=_late.Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
