"""`recover`: a lost tail, from what an auditor's mirror and the senders hand back."""

from __future__ import annotations

from pathlib import Path

import click

from countermark_broker.cli.common import home_option
from countermark_broker.cli.keeping import FILE, with_node
from countermark_broker.cli.output import FAILED, FATAL, Result, command
from countermark_broker.services.recovery import Recovered, recover_tail


@click.command("recover")
@home_option
@click.option(
    "--tail",
    "tails",
    type=FILE,
    multiple=True,
    help="What a mirror or a sender handed back; give each with an option of its own.",
)
@click.option("--check", is_flag=True, help="Only say what would be done; nothing is written.")
@click.option(
    "--without-contents",
    "without",
    is_flag=True,
    help="Write the entries although stanzas and contents are missing that nobody has any more.",
)
@command
def recover(home: Path, tails: tuple[Path, ...], check: bool, without: bool) -> Result:
    """Put lost entries together from hand-backs, byte for byte. Restore the newest backup first, stop all nodes.

    Without --tail it tells what is missing, and what to ask for.
    """
    done = with_node(home, lambda node: recover_tail(node, tails, check=check, without=without))
    lines = _lines(done, check=check)
    exit_code = FAILED if done.missing else 0
    if not done.whole or (done.missing and not without):
        exit_code = FATAL
    return Result(
        [*lines, *(one.message for one in done.missing)],
        exit_code,
        size=done.size,
        added=done.added,
        brought=done.brought,
        published=done.published,
        written=done.written,
        missing=[{"index": one.index, "message": one.message} for one in done.missing],
    )


def _lines(done: Recovered, *, check: bool) -> list[str]:
    if not done.whole:
        return [
            f"the database holds {done.size} entries, {done.published} were published: nothing was written",
            (
                f"hint: ask an oversight auditor for `countermark audit hand-back --from {done.size}`, and every "
                f"sender for `countermark hand-back --since {done.size}`"
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
