"""`countermark outbox` and `flush`: what waits to be sent, what was refused or given up, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from countermark_client._store import OutboxItem, OutboxState
from countermark_client.cli.attaching import transfers
from countermark_client.cli.common import Access, message_of, pause, with_home
from countermark_client.cli.delivering import MOST_ROWS
from countermark_client.cli.output import REFUSED, Result, command, say, short, table, utc
from countermark_protocol.documents import parse_document
from countermark_protocol.encoding import parse_digest
from countermark_protocol.errors import NotFoundError, TransportError
from countermark_protocol.manifest import parse_manifest
from countermark_protocol.submission import parse_submission

if TYPE_CHECKING:
    from countermark_client import Client

#: Seconds between two tries of `flush --follow` while the broker is away: doubled up to the second.
_FIRST_PAUSE: Final = 5.0
_LONGEST_PAUSE: Final = 300.0


def _item_json(item: OutboxItem) -> dict[str, Any]:
    out: dict[str, Any] = {
        "statement": item.payload.hex(),
        "kind": item.kind,
        "state": item.state.value,
        "created": item.created,
        "tries": item.tries,
        "last_try": item.tried,
        "index": item.index,
        "time": item.time,
    }
    if item.code is not None:
        out["error"] = {"code": item.code, "message": item.error}
    if item.renewed_as is not None:
        out["renewed_as"] = item.renewed_as.hex()
    return out


def _what(client: Client, item: OutboxItem) -> str:
    if item.kind == "message":
        stored = client.profile.store.message(item.payload)
        return (
            parse_manifest(parse_document(stored.document).claims).type if stored is not None else "message"
        )
    if not item.body:
        return "receipt"
    return f"receipt {parse_document(item.body).claims.get('stage')}"


def _statement_of(client: Client, text: str) -> bytes:
    """The statement that a user names: a message, or a receipt of the outbox."""
    store = client.profile.store
    if len(text) == 64:
        return parse_digest(text, "HASH")
    found = {item.payload for item in store.outbox() if item.payload.hex().startswith(text)}
    return found.pop() if len(found) == 1 else message_of(client, text)


def _problem(item: OutboxItem) -> str:
    problem = f"{item.error} [{item.code}]" if item.code else ""
    return f"{problem}; made anew as {short(item.renewed_as)}" if item.renewed_as is not None else problem


@click.group("outbox", invoke_without_command=True)
@click.option("--all", "show_all", is_flag=True, help="Those that are in the log too.")
@with_home
@command
@click.pass_context
def outbox(context: click.Context, show_all: bool, access: Access) -> Result | None:
    """List what waits to be sent, and what was refused, failed or was given up.

    Examples:
      countermark outbox
      countermark outbox show 4be1c0ff
      countermark outbox retry 4be1c0ff
      countermark outbox give-up 4be1c0ff --reason 'told them by telephone'
      countermark outbox renew 4be1c0ff
    """
    if context.invoked_subcommand is not None:
        return None
    return _list(access, show_all=show_all)


def _list(access: Access, *, show_all: bool) -> Result:
    with access.client() as client:
        counts = client.profile.store.outbox_counts()
        wanted = [s for s in OutboxState if show_all or s is not OutboxState.LOGGED]
        chosen = client.profile.store.outbox(*wanted)
        rows = [
            (
                short(i.payload),
                _what(client, i),
                i.state.value.replace("_", " "),
                utc(i.created),
                i.tries,
                "-" if i.index is None else i.index,
                _problem(i),
            )
            for i in chosen
        ]
    shown: list[Any] = [
        ", ".join(f"{count} {state.value.replace('_', ' ')}" for state, count in counts.items())
    ]
    if rows:
        shown.append(table(("STATEMENT", "WHAT", "STATE", "MADE", "TRIES", "ENTRY", "PROBLEM"), rows))
    return Result(
        shown, counts={s.value: n for s, n in counts.items()}, items=[_item_json(i) for i in chosen]
    )


@outbox.command("list")
@click.option("--all", "show_all", is_flag=True, help="Those that are in the log too.")
@with_home
@command
def list_outbox(show_all: bool, access: Access) -> Result:
    """List what waits to be sent, and what was refused, failed or was given up."""
    return _list(access, show_all=show_all)


@outbox.command("show")
@click.argument("statement", metavar="HASH")
@with_home
@command
def show_item(statement: str, access: Access) -> Result:
    """Show one statement of the outbox: how often it was tried, and what came of it."""
    with access.client() as client:
        payload = _statement_of(client, statement)
        item = client.profile.store.outbox_item(payload)
        if item is None:
            raise NotFoundError("not_in_outbox", "this profile has made no statement of that hash")
        what = _what(client, item)
    lines = [
        f"statement    {item.payload.hex()}",
        f"what         {what}",
        f"state        {item.state.value.replace('_', ' ')}",
        f"made         {utc(item.created)}",
        f"tries        {item.tries}" + (f", the last {utc(item.tried)}" if item.tried is not None else ""),
    ]
    if item.index is not None:
        lines.append(f"entry        {item.index}, logged {utc(item.time)}")
    if item.body and item.kind == "message":
        rows = parse_submission(item.body).rows
        lines.append(f"recipients   {', '.join(row.endpoint for row in rows)}")
    if item.proven is not None:
        kept = "kept" if item.body else "pruned: manifest, content and proof are kept"
        lines.append(f"proven       {utc(item.proven)}; bytes {kept}")
    if item.error is not None:
        word = "reason" if item.state is OutboxState.GIVEN_UP else "problem"
        lines.append(f"{word:<13}{item.error} [{item.code}]")
    if item.account is not None:
        lines.append("account      kept: the broker signed that it refuses this, so it is never sent again")
    if item.renewed_as is not None:
        lines.append(f"made anew    {item.renewed_as.hex()}")
    return Result(lines, **_item_json(item), what=what, account_kept=item.account is not None)


@outbox.command("retry")
@click.argument("statement", metavar="HASH")
@with_home
@command
def retry(statement: str, access: Access) -> Result:
    """Send one statement that waits or failed, now; and what waits before it, for the order is kept."""
    with access.client() as client:
        payload = _statement_of(client, statement)
        client.retry(payload)
        item = client.profile.store.outbox_item(payload)
        assert item is not None
    return Result([f"logged as entry {item.index}: {item.payload.hex()}"], **_item_json(item))


@outbox.command("upload")
@click.argument("message_hash", metavar="HASH")
@with_home
@command
def upload(message_hash: str, access: Access) -> Result:
    """Upload what the broker has lost of the files of a message, sent or fetched; for when its operator asks.

    Example:
      countermark outbox upload 4be1c0ffee
    """
    with access.client() as client, transfers(client):
        message = message_of(client, message_hash)
        count = client.give_back_attachments(message)
    return Result([f"uploaded: {count} pieces that it lacked"], message=message.hex(), uploaded=count)


@outbox.command("give-up")
@click.argument("statement", metavar="HASH")
@click.option("--reason", required=True, help="Why; kept with it.")
@with_home
@command
def give_up(statement: str, reason: str, access: Access) -> Result:
    """Never send a statement again.

    One that was handed in before may be in the log though its answer was lost: the broker is asked, and what
    is in the log cannot be given up.
    """
    if not reason.strip():
        raise click.UsageError("--reason must say why")
    with access.client() as client:
        payload = _statement_of(client, statement)
        certain = client.give_up(payload, reason)
    if not certain:
        say(
            "warning: it was handed in before and the broker is away: if it turns out to be in the log, it counts as "
            "logged"
        )
    return Result([f"given up: {payload.hex()}"], statement=payload.hex(), reason=reason, certain=certain)


@outbox.command("renew")
@click.argument("message_hash", metavar="HASH", required=False)
@click.option("--all-held-back", is_flag=True, help="All whose recipients got a new sealing key meanwhile.")
@with_home
@command
def renew(message_hash: str | None, all_held_back: bool, access: Access) -> Result:
    """Make a message anew that will never be sent as it is: same content, same recipients, a new id.

    For one that was refused or given up, or held back because a recipient's sealing key changed while it waited.
    """
    if (message_hash is None) != all_held_back:
        raise click.UsageError("give one HASH, or --all-held-back")
    with access.client() as client:
        if message_hash is not None:
            chosen = [_statement_of(client, message_hash)]
        else:
            failed = client.profile.store.outbox(OutboxState.FAILED)
            chosen = [i.payload for i in failed if i.code == "sealing_key_changed"]
        made = [client.renew(payload) for payload in chosen]
    lines = [f"logged as entry {sent.index}: {sent.hash}" for sent in made]
    told: list[dict[str, Any]] = [{"message": sent.hash, "id": sent.id, "index": sent.index} for sent in made]
    if all_held_back:
        return Result([*lines, f"{len(made)} made anew"], messages=told)
    return Result(lines, **told[0])


@click.command("flush")
@click.option("--follow", is_flag=True, help="Go on until nothing waits: try again while the broker is away.")
@with_home
@command
def flush(follow: bool, access: Access) -> Result:
    """Send what the outbox holds: the same bytes again, after a crash or when the broker is back."""
    with access.client() as client:
        wait = _FIRST_PAUSE
        while True:
            try:
                with transfers(client):
                    report = client.flush()
                break
            except TransportError as error:
                if not follow:
                    raise
                say(f"the broker is away, trying again in {wait:.0f} s: {error}")
                pause(wait)
                wait = min(wait * 2, _LONGEST_PAUSE)
    refused, failed = report.refused, report.failed
    lines = [f"{len(report.logged)} logged, {len(refused)} refused, {len(failed)} failed"]
    lines += [f"{short(i.payload)}: {i.error} [{i.code}]" for i in (*refused, *failed)[:MOST_ROWS]]
    return Result(
        lines,
        REFUSED if refused or failed else 0,
        logged=[_item_json(i) for i in report.logged],
        refused=[_item_json(i) for i in refused],
        failed=[_item_json(i) for i in failed],
    )
