"""`countermark withdraw`: an originator has the content of its messages deleted."""

from __future__ import annotations

import click

from countermark_client.cli.common import Access, message_of, with_home
from countermark_client.cli.documents import confirm
from countermark_client.cli.output import Result, command, say, short, utc
from countermark_client.cli.reading import ground_in_words, purged_json


@click.command("withdraw")
@click.argument("hashes", metavar="HASH...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask: you know that it cannot be undone.")
@with_home
@command
def withdraw(hashes: tuple[str, ...], yes: bool, access: Access) -> Result:
    """Withdraw sent messages: the log states it, and the broker deletes their content for good.

    Whoever has not opened a message cannot any more. Who has keeps what it opened: to make it act on something else,
    send a correction with `send --supersedes`. Manifest, receipts and proofs stay, and so does your own copy.

    Examples:
      countermark withdraw 4be1c0ffee
      countermark withdraw 4be1c0ffee 90ab12cd34 --yes --json
    """
    with access.client() as client:
        messages = [message_of(client, h) for h in hashes]
        for message in messages:
            say(f"withdrawing {short(message)}: its content is deleted at the broker, for good")
        confirm("Withdraw?", assumed=yes)
        done = [(message, client.withdraw(message)) for message in messages]
    return Result(
        [
            f"{short(message)}: {ground_in_words(purged.ground)}, entry {purged.index}, logged {utc(purged.time)}"
            for message, purged in done
        ],
        messages=[{"message": message.hex(), "purged": purged_json(purged)} for message, purged in done],
    )
