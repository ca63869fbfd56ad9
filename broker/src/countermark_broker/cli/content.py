"""`content`: where pieces and large contents lie, moving them, and mending of what a crash has left."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from countermark_broker.cli.common import home_option
from countermark_broker.cli.keeping import progress, with_node
from countermark_broker.cli.output import FAILED, Result, command
from countermark_broker.services.content_check import Mended, mend_content
from countermark_broker.services.content_move import Moved, move_content
from countermark_broker.services.node import Node
from countermark_broker.store.engine import Connection
from countermark_broker.store.pieces import count_doomed, count_places


@click.group("content")
def content() -> None:
    """Where pieces of attachments and large contents lie: show it, move them, mend what a crash has left."""


@content.command("show")
@home_option
@command
def show(home: Path) -> Result:
    """Say how much lies where, and how much is still to be deleted."""

    async def run(node: Node) -> tuple[dict[str, tuple[int, int]], int, str]:
        def look(connection: Connection) -> tuple[dict[str, tuple[int, int]], int]:
            return count_places(connection), count_doomed(connection)

        return *await node.database.read(look), node.content.fresh

    places, doomed, fresh = with_node(home, run)
    lines = [f"{place}: {count} pieces, {size} bytes" for place, (count, size) in sorted(places.items())]
    return Result(
        [*lines, f"{doomed} blobs are to be deleted", f"new ones go to: {fresh}"],
        places={place: {"pieces": count, "bytes": size} for place, (count, size) in places.items()},
        to_be_deleted=doomed,
        fresh=fresh,
    )


@content.command("move")
@home_option
@click.option(
    "--to", "place", type=click.Choice(["database", "folder", "s3"]), required=True, help="Where to."
)
@command
def move(home: Path, place: str) -> Result:
    """Move pieces and large contents from wherever they lie. Nodes may run, if all of them know both places.

    Stopped at any moment nothing is lost: run it again, and it goes on.
    """

    async def run(node: Node) -> Moved:
        await asyncio.to_thread(node.content.open)
        return await asyncio.to_thread(move_content, node, place, progress)

    moved = with_node(home, run)
    lines = [f"moved {moved.pieces} pieces and {moved.contents} contents, {moved.size} bytes, to {place}"]
    if moved.lost:
        lines.append(f"{moved.lost} pieces are missing or damaged where they lie: run `fsck`")
    return Result(
        lines,
        FAILED if moved.lost else 0,
        pieces=moved.pieces,
        contents=moved.contents,
        bytes=moved.size,
        lost=moved.lost,
    )


@content.command("mend")
@home_option
@command
def mend(home: Path) -> Result:
    """Delete what no row names, and drop pieces that are lost, so that they can be uploaded again. Nodes may run."""

    async def run(node: Node) -> Mended:
        await asyncio.to_thread(node.content.open)
        return await asyncio.to_thread(mend_content, node)

    mended = with_node(home, run)
    lines = [
        f"{mended.adopted} pieces that were missing have been found again",
        f"deleted {mended.deleted} blobs that were to be deleted, and {mended.orphans} that no row named",
        f"dropped {mended.unnamed} pieces that belonged to nothing, and {mended.lost} that were lost or damaged",
    ]
    if mended.lost:
        lines.append("run `fsck`: it names the messages that they are missing from, and the way out")
    return Result(
        lines,
        FAILED if mended.lost else 0,
        deleted=mended.deleted,
        adopted=mended.adopted,
        orphans=mended.orphans,
        unnamed=mended.unnamed,
        lost=mended.lost,
    )
