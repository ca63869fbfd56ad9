"""`succession`: a log that cannot go on is closed by its governors, and goes on under the next name."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Final

import click

from countermark_broker.cli.common import home_option
from countermark_broker.cli.keeping import FILE, with_node
from countermark_broker.cli.moving import home_keys
from countermark_broker.cli.output import FAILED, Result, command
from countermark_broker.config import CONFIG_FILE, load_settings
from countermark_broker.errors import ConfigurationError
from countermark_broker.parts import build_parts
from countermark_broker.services.succession import adopt_succession, draft_succession, read_succession

_SETTING: Final = r'\s*(?:{0}|"{0}"|\'{0}\')\s*='


@click.group("succession")
def succession_group() -> None:
    """Close a log whose lost tail is nowhere, and open the log that goes on from what is left.

    First restore the newest backup and try `recover`: what anybody still has is not lost.
    """


@succession_group.command("draft")
@home_option
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.option("--ground", help="Why the log cannot go on; stated in the successor.")
@command
def draft(home: Path, out: Path, ground: str | None) -> Result:
    """Write what the governors sign: that the next log begins with exactly the entries of this database."""
    settings = load_settings(home)
    made = with_node(home, lambda node: draft_succession(node, home_keys(home, settings), ground))
    out.write_bytes(made.data)
    lost = made.published - made.size
    return Result(
        [
            f"draft: {out}",
            f"'{made.origin}' would begin with {made.size} entries; {lost} that were published would be lost for good",
            "next: a quorum of governors signs it with `countermark document sign FILE --key KEYFILE`",
        ],
        draft=str(out),
        origin=made.origin,
        size=made.size,
        published=made.published,
        lost=lost,
    )


@succession_group.command("adopt")
@home_option
@click.option("--governance", type=FILE, required=True, help="The draft, signed by a quorum of governors.")
@click.option(
    "--checkpoint-store",
    "store",
    required=True,
    help="Where the new log's checkpoints go: a directory that does not exist yet, or postgresql+psycopg://…",
)
@click.option(
    "--holder", default="node-1", show_default=True, help="Pseudonym of this node in the broker's keys."
)
@command
def adopt(home: Path, governance: Path, store: str, holder: str) -> Result:
    """Log the governors' statement as the first entry of the new log, and set this home up to serve it.

    Stop all nodes before. The old checkpoint store stays as it is: keep it, it proves what was lost.
    """
    signed = governance.read_bytes()
    origin, _ = read_succession(signed)
    old = load_settings(home)
    if old.checkpoint_store == store and old.origin != origin:
        raise ConfigurationError(
            "store_not_apart", "the new log needs a checkpoint store of its own: name one that is not in use"
        )
    settings = old.model_copy(update={"origin": origin, "checkpoint_store": store})
    keys = home_keys(home, settings)
    parts = build_parts(settings, keys)

    async def run() -> int:
        try:
            return await adopt_succession(parts.node, parts.appender, signed, keys, holder)
        finally:
            parts.node.verifier.close()
            await parts.node.database.close()
            await asyncio.to_thread(parts.node.store.close)

    size = asyncio.run(run())
    _write_settings(home, {"origin": origin, "checkpoint_store": store})
    now = load_settings(home)
    lines = [f"'{origin}' goes on at size {size}"]
    if (now.origin, now.checkpoint_store) != (origin, store):
        return Result(
            [
                *lines,
                "but the environment still names the old log or its store",
                f"hint: set 'origin' to {origin} and 'checkpoint_store' to {store} there, then start the nodes",
            ],
            FAILED,
            origin=origin,
            size=size,
        )
    return Result(
        [*lines, "start the nodes; others need the same 'origin' and 'checkpoint_store'"],
        origin=origin,
        size=size,
    )


def _write_settings(home: Path, values: dict[str, str]) -> None:
    """Replace settings in the file of a home, each of which is one line of text."""
    path = home / CONFIG_FILE
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not any(re.match(_SETTING.format(name), line) for name in values)]
    # Before everything else: what follows a table's head would belong to it.
    text = [f'{name} = "{value}"' for name, value in values.items()]
    path.write_text("\n".join([*text, *kept]) + "\n", encoding="utf-8")
