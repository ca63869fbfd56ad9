"""`init` and `add-log`: a witness's keys, and the logs that it knows."""

from __future__ import annotations

import os
from pathlib import Path

import click

from countermark_protocol.cosignature import parse_cosigner_vkey
from countermark_protocol.encoding import malformed
from countermark_protocol.note import NoteKey, parse_vkey
from countermark_witness.cli.common import home_option, passphrase_option
from countermark_witness.cli.output import Result, command
from countermark_witness.home import KEYS_FILE, STORE_FILE, VKEYS_FILE, make_home, read_passphrase, write_new
from countermark_witness.keys import make_keys, vkeys_text
from countermark_witness.store import Store


@click.command("init")
@home_option
@click.option("--name", required=True, help="Name of the witness, e.g. witness.example.org/w1; for ever.")
@passphrase_option
@command
def init(home: Path, name: str, passphrase_file: Path | None) -> Result:
    """Make the witness's keys, an Ed25519 and an ML-DSA-44 one, and its empty store."""
    passphrase = read_passphrase(passphrase_file, os.environ)
    make_home(home)
    cosigners = make_keys(home / KEYS_FILE, name, passphrase)
    write_new(home / VKEYS_FILE, vkeys_text(cosigners))
    Store.create(home / STORE_FILE)
    vkeys = vkeys_text(cosigners).split()
    return Result(
        [
            f"keys:  {home / KEYS_FILE}",
            f"store: {home / STORE_FILE}",
            "verifier keys, for whoever shall believe this witness:",
            *vkeys,
            "next: `countermark-witness add-log`, then `countermark-witness serve`",
        ],
        name=name,
        vkeys=vkeys,
    )


@click.command("add-log")
@home_option
@click.argument("origin")
@click.argument("vkey")
@click.option(
    "--from-size",
    type=click.IntRange(1, 2**63 - 1),
    help="Replace the log's key from this size on: of checkpoints with so many leaves or more.",
)
@command
def add_log(home: Path, origin: str, vkey: str, from_size: int | None) -> Result:
    """Know a log by its ORIGIN and its verifier key VKEY, or give a known log its next key."""
    key = parse_vkey(vkey)
    if key.name != origin:
        malformed(
            "bad_key_name", f"expected a key called as the log is, {origin[:64]!r}, got {key.name[:64]!r}"
        )
    _check_apart(home, key)
    store = Store(home / STORE_FILE)
    try:
        with store.transaction() as transaction:
            if from_size is None:
                transaction.add_log(key)
            else:
                transaction.add_key(key, from_size)
    finally:
        store.close()
    when = f" from size {from_size} on" if from_size else ""
    return Result([f"known: {origin}, key {key.key_id.hex()}{when}"], origin=origin, from_size=from_size or 0)


def _check_apart(home: Path, key: NoteKey) -> None:
    for line in (home / VKEYS_FILE).read_text("utf-8").split():
        own = parse_cosigner_vkey(line)
        if own.name == key.name or own.raw == key.public_key.raw:
            malformed("witness_is_log", "the log has this witness's own name or key")
