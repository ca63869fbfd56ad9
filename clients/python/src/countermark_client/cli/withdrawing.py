"""`countermark withdraw` and `recall`: an originator has the content of its messages deleted."""

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


@click.command("recall")
@click.argument("message_hash", metavar="HASH")
@click.option("--yes", is_flag=True, help="Do not ask: you know that it cannot be undone.")
@with_home
@command
def recall(message_hash: str, yes: bool, access: Access) -> Result:
    """Call back a message that went to a wrong recipient, and name who has collected it already.

    It is withdrawn, for all its recipients and for good: who had not signed for it by then never reads it. Who had
    keeps what it opened, and is named, so that you can ask it to delete that. Send it anew to the right ones.

    Example:
      countermark recall 4be1c0ffee
    """
    with access.client() as client:
        message = message_of(client, message_hash)
        for one in client.status(message).recipients:
            say(f"recalling {short(message)} from {one.recipient}: {one.stage}")
        confirm("Recall it from all of them?", assumed=yes)
        done = client.recall(message)
    lines = [
        f"{short(message)}: {ground_in_words(done.purged.ground)}, entry {done.purged.index}, {utc(done.purged.time)}",
        *(
            f"HAS IT       {r.recipient}, signed for {utc(r.delivered_at)} ({r.stage})"
            for r in done.collected
        ),
        *(f"never got it {r.recipient}" for r in done.prevented),
    ]
    if done.collected:
        lines.append("next: ask those who have it to delete it, by telephone or by a message of its own")
    return Result(
        lines,
        message=message.hex(),
        purged=purged_json(done.purged),
        collected=[
            {"recipient": r.recipient, "stage": r.stage, "delivered_at": r.delivered_at}
            for r in done.collected
        ],
        prevented=[r.recipient for r in done.prevented],
    )
