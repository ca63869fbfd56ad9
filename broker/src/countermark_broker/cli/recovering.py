"""`recover`: a lost tail, from what an auditor's mirror and the senders hand back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from countermark_broker.cli.common import home_option
from countermark_broker.cli.keeping import FILE, with_node
from countermark_broker.cli.output import FAILED, FATAL, Result, command
from countermark_broker.config import load_passphrase, load_settings
from countermark_broker.services.elsewhere import Heard
from countermark_broker.services.keyring import add_entry_key
from countermark_broker.services.recovery import Recovered, recover_tail
from countermark_protocol.appending import entry_key_id


@click.command("recover")
@home_option
@click.option(
    "--tail",
    "tails",
    type=FILE,
    multiple=True,
    help="What a mirror or a sender handed back; give each with an option of its own.",
)
@click.option(
    "--leaves",
    "mirrors",
    metavar="URL",
    multiple=True,
    help="A mirror of this log, e.g. a witness's: its leaves tell what is missing, and prove what is handed back. "
    "Beside those of the setting `mirrors`.",
)
@click.option("--check", is_flag=True, help="Only say what would be done; nothing is written.")
@click.option(
    "--without-contents",
    "without",
    is_flag=True,
    help="Write the entries although stanzas and contents are missing that nobody has any more.",
)
@command
def recover(
    home: Path, tails: tuple[Path, ...], mirrors: tuple[str, ...], check: bool, without: bool
) -> Result:
    """Put lost entries together from hand-backs, byte for byte. Restore the newest backup first, stop all nodes.

    Asks the log's witnesses, and its mirrors for leaves. Without --tail it tells what is missing, and what to ask for.
    """
    done = with_node(
        home, lambda node: recover_tail(node, tails, mirrors=mirrors, check=check, without=without)
    )
    lines = _lines(done, check=check)
    exit_code = FAILED if done.missing else 0
    if not done.whole or (done.missing and not without):
        exit_code = FATAL
    return Result(
        [
            *(_heard(one) for one in done.heard),
            *lines,
            *(one.message for one in done.missing),
            *(
                [f"missing entries: {ranges(done.lacking)} ({len(done.lacking)} in all)"]
                if done.lacking
                else []
            ),
        ],
        exit_code,
        size=done.size,
        added=done.added,
        brought=done.brought,
        published=done.published,
        written=done.written,
        missing=[
            {"index": one.index, "kind": one.kind, "time": one.time, "message": one.message}
            for one in done.missing
        ],
        lacking=list(done.lacking),
        proven=done.proven,
        heard=[
            {
                "source": one.source,
                "size": one.checkpoint.size if one.checkpoint is not None else None,
                "problem": one.problem,
            }
            for one in done.heard
        ],
    )


def _heard(one: Heard) -> str:
    if one.checkpoint is None:
        return f"{one.source}: {one.problem}"
    return f"{one.source}: knows {one.checkpoint.size} entries" + (f"; {one.problem}" if one.problem else "")


def ranges(indexes: Sequence[int]) -> str:
    """Ascending indexes in few words, such as ``3, 7-9``."""
    out: list[tuple[int, int]] = []
    for index in indexes:
        if out and out[-1][1] == index - 1:
            out[-1] = out[-1][0], index
        else:
            out.append((index, index))
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in out)


@click.group("entry-key")
def entry_key() -> None:
    """The key from which this broker makes secrets of entries: what is logged with it comes back from its parties."""


@entry_key.command("new")
@home_option
@command
def new_entry_key(home: Path) -> Result:
    """Add an entry key to the key file of a home that has none; copy the file's key to no other log.

    Every node of this log must have the same: copy the key file, or give each node's home the same keys.
    """
    settings = load_settings(home)
    key = add_entry_key(settings.keys, load_passphrase(settings))
    return Result(
        [
            f"entry key {entry_key_id(key)} in {settings.keys}",
            "next: give every node the same, back the key file up apart from the database, and restart all nodes",
        ],
        entry_key=entry_key_id(key),
    )


def _lines(done: Recovered, *, check: bool) -> list[str]:
    if not done.whole or done.lacking:
        return [
            f"the database holds {done.size} entries, {done.published} were published: nothing was written",
            *([f"the leaves of {done.proven} more are proven"] if done.proven else []),
            (
                f"hint: ask an oversight auditor for `countermark audit hand-back --from {done.size}`, and every "
                f"endpoint for `countermark hand-back --since {done.size}`; `--leaves URL` takes leaves from a mirror"
            ),
        ]
    lines = [f"all {done.size} entries that were published are proven, {done.added} of them from the files"]
    if done.brought:
        lines.append(f"stanzas or contents of {done.brought} messages are brought back")
    if done.written:
        return [*lines, "written: the broker may be started"]
    if done.missing:
        return [
            *lines,
            "nothing was written: something is missing beside entries",
            "hint: ask those that are named; `--without-contents` gives it up, for good unless it is found later",
        ]
    return [*lines, "nothing was written: this was a check"] if check else lines
