"""What commands that look at the directory have in common: it is read first, or its age is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from countermark_client._words import span
from countermark_client.cli.output import say
from countermark_protocol.errors import TransportError

if TYPE_CHECKING:
    from countermark_client import Client

offline_option = click.option("--offline", is_flag=True, help="As verified before; do not ask the broker.")


def directory_age(client: Client) -> str:
    """How old what is known of the directory is, for people."""
    age = client.checkpoint_age
    return span(age) if age is not None else "never"


def read_directory(client: Client, *, offline: bool) -> None:
    """Read what is new; where the broker is away, what was verified before is shown, and how old that is."""
    if offline:
        if client.checkpoint is not None:
            say(f"note: this is the directory as verified {directory_age(client)} ago")
        return
    try:
        client.sync()
    except TransportError as error:
        if client.checkpoint is None:
            raise
        say(f"warning: {error}; this is the directory as verified {directory_age(client)} ago")
