"""`countermark hand-back` and `countermark audit hand-back`: for an operator who has lost the tail of the log.

Source: docs/operations/backup-and-restore.md §5; docs/spec/export.md §6.
"""

from __future__ import annotations

from pathlib import Path

import click

from countermark_client._hand_back import hand_back as write_held
from countermark_client.cli.common import NEW_FILE, Access, now, with_home
from countermark_client.cli.output import Result, command

since_option = click.option(
    "--since",
    "first",
    type=click.IntRange(min=0),
    required=True,
    metavar="INDEX",
    help="The first entry that the operator lacks: `countermark-broker recover` tells it.",
)
out_option = click.option("-o", "--out", type=NEW_FILE, required=True, metavar="FILE", help="File to write.")


@click.command("hand-back")
@since_option
@out_option
@with_home
@command
def hand_back(first: int, out: Path, access: Access) -> Result:
    """Write what this profile posted and received from entry INDEX on, for an operator who has lost it.

    The file holds signed statements, the stanzas and sealed contents of messages, proofs, and the directory: nothing
    that the broker did not have before, no key, and nothing that was opened. Nothing is sent.

    Examples:
      countermark hand-back --since 1841 -o nairobi.hand-back
    """
    with access.profile() as profile:
        done = write_held(profile, first, out, now())
    lines = [
        f"handed back  {done.statements} statements from entry {first} on, in {out}",
        f"copies       {done.copies} entries received, or of the directory",
    ]
    if done.pruned:
        lines.append(f"not kept     {done.pruned} more: they were proven too long ago")
    return Result(
        [*lines, f"digest       {done.digest.hex()}"],
        file=str(out),
        statements=done.statements,
        pruned=done.pruned,
        copies=done.copies,
        digest=done.digest.hex(),
    )
