"""`export`, `import` and `log-key`: how a log moves to another operator, and how its key changes."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from countermark_broker.cli.common import home_option
from countermark_broker.cli.founding import (
    ADMINISTRATOR_KEYS,
    TRUST_FILE,
    choose_keys,
    make_home_keys,
    read_passphrase,
    write_settings,
)
from countermark_broker.cli.keeping import FILE, finding_lines, finding_members, progress, with_node
from countermark_broker.cli.output import FAILED, Result, command
from countermark_broker.config import CONFIG_FILE, Settings, load_passphrase, load_settings
from countermark_broker.errors import ConfigurationError
from countermark_broker.log.archive import open_archive
from countermark_broker.parts import build_parts
from countermark_broker.services.backup import Restored, create_backup
from countermark_broker.services.export import adopt_log_key, draft_log_key, import_log
from countermark_broker.services.keyring import Keyring, add_log_key, load_keyring, load_keys
from countermark_broker.services.node import Node
from countermark_broker.store.migrate import find_migrations, migrate
from countermark_protocol.documents import parse_document
from countermark_protocol.keys import fingerprint

GOVERNANCE_DRAFT = "log-key.draft"
#: The line of the settings, in every way that TOML lets somebody write it.
_READ_ONLY: Final = re.compile(r"""\s*(read_only|"read_only"|'read_only')\s*=\s*true\s*(#.*)?$""")


@click.command("export")
@home_option
@click.option("--to", "path", type=click.Path(path_type=Path), required=True, help="File to write.")
@command
def export(home: Path, path: Path) -> Result:
    """Write the published log into a file for another operator, who imports it. Nodes may run.

    It holds every signed statement, the sealed contents and the secrets of entries, but no private key.
    """
    made = with_node(home, lambda node: create_backup(node, path, progress))
    return Result(
        [
            f"exported {made.size} entries of {made.log} to {path}",
            f"digest:      {made.digest.hex()}",
            *finding_lines(made.findings),
        ],
        FAILED if made.findings else 0,
        file=str(path),
        size=made.size,
        digest=made.digest.hex(),
        findings=finding_members(made.findings),
    )


@click.command("import")
@home_option
@click.argument("file", type=FILE)
@click.option(
    "--authority-host", "hosts", multiple=True, help="Public host:port of this operator, for a new home."
)
@click.option("--passphrase-file", type=FILE, help="For the keys of a new home.")
@click.option("--log-key", default="", help="pkcs11: URI of this operator's log key, if it lies in a token.")
@click.option("--node-key", default="", help="pkcs11: URI of this node's key, if it lies in a token.")
@command
def import_(
    home: Path,
    file: Path,
    hosts: tuple[str, ...],
    passphrase_file: Path | None,
    log_key: str,
    node_key: str,
) -> Result:
    """Replay another operator's export into a home of one's own, and serve it read-only from there.

    A new home gets keys of its own and the draft by which the governors can name them (see `log-key adopt`). A
    newer export is imported onto the older one.
    """
    if not (home / CONFIG_FILE).exists():
        if not hosts:
            raise ConfigurationError("bad_configuration", "a new home needs --authority-host")
        passphrase, in_file = read_passphrase(passphrase_file), choose_keys(log_key, node_key)
        with open_archive(file) as archive:
            origin = archive.header.log
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_home_keys(home, in_file, passphrase)
        more = {"read_only": True, "log_key": log_key, "node_key": node_key}
        write_settings(home, origin, hosts, passphrase_file, more)
        # From the environment, since the file does not name it yet: `serve` may run without that, and must not take
        # the empty database that is the default.
        if database_url := load_settings(home).database_url:
            write_settings(home, origin, hosts, passphrase_file, more | {"database_url": database_url})
            (home / CONFIG_FILE).chmod(0o600)
    settings = load_settings(home)

    async def run(node: Node) -> tuple[Restored, bytes]:
        migrate(node.database, find_migrations(settings.migrations))
        restored = await import_log(node, file, progress)
        return restored, await draft_log_key(node, home_keys(home, settings))

    restored, draft = with_node(home, run, migrated=False)
    (home / GOVERNANCE_DRAFT).write_bytes(draft)
    with open_archive(file) as archive:
        founding = next(archive.entries()).record.document
    (home / TRUST_FILE).write_bytes(founding)
    mark = fingerprint(parse_document(founding).payload_hash)
    return Result(
        [
            f"imported {restored.size} entries, {restored.added} of them now",
            f"fingerprint: {mark} (compare it with the trust file by voice before anybody relies on this copy)",
            "next: `countermark-broker serve` serves it read-only",
            (
                f"to go on with the log: the governors sign {home / GOVERNANCE_DRAFT}, then run "
                "`countermark-broker log-key adopt`"
            ),
            *finding_lines(restored.findings),
        ],
        FAILED if restored.findings else 0,
        size=restored.size,
        added=restored.added,
        fingerprint=mark,
        draft=str(home / GOVERNANCE_DRAFT),
        findings=finding_members(restored.findings),
    )


def home_keys(home: Path, settings: Settings) -> Keyring:
    """The keys of a home, with the administrator keys beside them if they are there."""
    keys = load_keyring(settings)
    path = home / ADMINISTRATOR_KEYS
    if not path.exists():
        return keys
    return replace(keys, administrator=load_keys(path, load_passphrase(settings)).administrator)


@click.group("log-key")
def log_key_group() -> None:
    """Change the log's key: make one, let the governors name it, go on with it."""


@log_key_group.command("new")
@home_option
@command
def new(home: Path) -> Result:
    """Add a fresh log key to the key file; in a token, use `token-key` and the setting log_key instead.

    Where the key file is lost, a fresh one is made, with a node key. `log-key adopt` lists that key, for which the
    administrator's keys must lie in the home.
    """
    settings = load_settings(home)
    fresh = not settings.keys.exists()
    public = add_log_key(settings.keys, load_passphrase(settings))
    return Result(
        [
            f"new log key {public.key_id.hex()}",
            *(
                [f"{settings.keys} was not there: it is a fresh one, with a node key of its own"]
                if fresh
                else ()
            ),
            "next: `countermark-broker log-key draft`, and restart all nodes",
        ],
        key=public.to_json(),
        key_id=public.key_id.hex(),
    )


@log_key_group.command("draft")
@home_option
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write.")
@command
def draft(home: Path, out: Path) -> Result:
    """Write the statement by which the governors name this broker's new log key; they sign it."""
    settings = load_settings(home)
    data = with_node(home, lambda node: draft_log_key(node, home_keys(home, settings)))
    out.write_bytes(data)
    return Result(
        [
            f"draft: {out}",
            "next: a quorum of governors signs it with `countermark document sign FILE --key KEYFILE`",
        ],
        draft=str(out),
    )


@log_key_group.command("adopt")
@home_option
@click.option("--governance", type=FILE, required=True, help="The draft, signed by a quorum of governors.")
@click.option(
    "--holder", default="node-1", show_default=True, help="Pseudonym of this node in the broker's keys."
)
@command
def adopt(home: Path, governance: Path, holder: str) -> Result:
    """Log the governors' statement: from the next entry on, this broker's new key signs the log.

    Every node must hold the new key before. A read-only home appends from then on.
    """
    settings = load_settings(home)
    keys = home_keys(home, settings)
    parts, signed = build_parts(settings, keys), governance.read_bytes()

    async def run() -> int:
        try:
            return await adopt_log_key(parts.node, parts.appender, signed, keys, holder)
        finally:
            parts.node.verifier.close()
            await parts.node.database.close()
            await asyncio.to_thread(parts.node.store.close)

    size = asyncio.run(run())
    lines = [f"the log goes on with the new key at size {size}; start the nodes"]
    path = home / CONFIG_FILE
    kept = [line for line in path.read_text(encoding="utf-8").splitlines() if not _READ_ONLY.match(line)]
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")
    still = load_settings(home).read_only
    if still:
        lines = [
            f"the log goes on with the new key at size {size}, but this node is still told to be read-only",
            f"hint: take 'read_only' out of the environment and of {path}, then start the nodes",
        ]
    return Result(lines, FAILED if still else 0, size=size, read_only=still)
