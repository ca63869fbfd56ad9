"""`countermark fetch`: files that came with a message, out of the broker into a folder."""

from __future__ import annotations

from pathlib import Path

import click

from countermark_client.cli.attaching import fetched_json, fetched_lines, transfers
from countermark_client.cli.common import Access, with_home
from countermark_client.cli.output import Result, command
from countermark_client.cli.sending import find_item


@click.command("fetch")
@click.argument("message_hash", metavar="HASH")
@click.option("--attachment", "numbers", type=click.IntRange(0), multiple=True, help="Those alone; from 0.")
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path(),
    show_default="here",
    help="Folder to write them into.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@with_home
@command
def fetch(
    message_hash: str, numbers: tuple[int, ...], folder: Path, overwrite: bool, access: Access
) -> Result:
    """Fetch the files that go with the message HASH: each checked, opened and written whole, or not at all.

    What came before a line broke is not fetched again. A file gets the name that its sender gave it, which is a name in
    the folder and never a path; `countermark show HASH` lists them.

    Examples:
      countermark fetch 4be1c0ffee
      countermark fetch 4be1c0ffee --attachment 0 --attachment 2 --to evidence/
    """
    with access.client() as client:
        message = find_item(client, message_hash).message
        with transfers(client):
            if numbers:
                done = tuple(
                    client.fetch_attachment(message, number, folder, overwrite=overwrite)
                    for number in numbers
                )
            else:
                done = client.fetch_attachments(message, folder, overwrite=overwrite)
    return Result(
        [line for one in done for line in fetched_lines(one)] or ["the message has no attachments"],
        message=message.hex(),
        fetched=[fetched_json(one) for one in done],
    )
