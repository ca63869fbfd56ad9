"""What the commands that draft have in common: the directory is read first, and the draft is written and shown."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from countermark_client.cli.common import NEW_FILE, Access, write_new
from countermark_client.cli.documents import describe
from countermark_client.cli.output import Result
from countermark_protocol.gathering import read_gathering

if TYPE_CHECKING:
    from countermark_client import Client
    from countermark_client.statements import Drafts

_GROUND: Final = "countermark.ground"
F = TypeVar("F", bound=Callable[..., Any])


def out_option(function: F) -> F:
    """Give a command ``--out``, and ``--because``, which `drafts_of` takes up."""

    def keep(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
        context.meta[_GROUND] = value

    function = click.option(
        "--because",
        metavar="TEXT",
        callback=keep,
        expose_value=False,
        help="The ground, in words: it stands in the log beside who signed and when.",
    )(function)
    return click.option("-o", "--out", type=NEW_FILE, required=True, help="File to write.")(function)


def drafts_of(client: Client) -> Drafts:
    """Drafts from the directory as read, with the ground that was given."""
    return client.drafts.because(click.get_current_context().meta.get(_GROUND))


@contextlib.contextmanager
def synced(access: Access) -> Iterator[Client]:
    """A client that has read the directory."""
    with access.client() as client:
        client.sync()
        yield client


def written(data: bytes, out: Path, client: Client) -> Result:
    """Write a draft, and show it."""
    write_new(out, data)
    described = describe(read_gathering(data).document, client.directory)
    return Result(
        [*described.lines, f"written: {out}", "next: `countermark document sign` by all who must sign it"],
        file=str(out),
        **described.members,
    )
