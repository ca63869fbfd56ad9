"""`mirror`: keep and serve the leaves of logs, beside witnessing them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from countermark_protocol.checkpoint import parse_checkpoint
from countermark_protocol.cosignature import parse_cosigner_vkey
from countermark_protocol.encoding import encode_hex, malformed
from countermark_protocol.errors import NotFoundError
from countermark_protocol.tlog_witness import origin_hash
from countermark_witness.cli.common import home_option, passphrase_option
from countermark_witness.cli.looking import utc
from countermark_witness.cli.output import FAILED, Result, command
from countermark_witness.errors import WitnessError
from countermark_witness.home import (
    MIRROR_KEYS_FILE,
    MIRROR_STORE_FILE,
    MIRROR_VKEYS_FILE,
    STORE_FILE,
    VKEYS_FILE,
    read_passphrase,
    write_new,
)
from countermark_witness.keys import make_keys, vkeys_text
from countermark_witness.mirror_store import Kept, Lie, MirrorStore
from countermark_witness.store import Store

_DIRECTORY: Any = click.Path(path_type=Path, file_okay=False)
_FILE: Any = click.Path(path_type=Path, exists=True, dir_okay=False)
_SCHEMES: Final = ("https://", "http://")


@click.group("mirror")
def mirror() -> None:
    """Mirror logs: keep all their leaves, verified, and serve them to anybody. Off until `mirror init`."""


@contextmanager
def opened(home: Path) -> Iterator[MirrorStore]:
    """The mirror's store, closed at the end."""
    store = MirrorStore(home / MIRROR_STORE_FILE)
    try:
        yield store
    finally:
        store.close()


@mirror.command("init")
@home_option
@click.option(
    "--name",
    required=True,
    help="Name of the mirror, e.g. mirror.example.org/m1; for ever; not the witness's.",
)
@passphrase_option
@command
def init(home: Path, name: str, passphrase_file: Path | None) -> Result:
    """Make the mirror's own keys, apart from the witness's, and its empty store."""
    passphrase = read_passphrase(passphrase_file, os.environ)
    own = [parse_cosigner_vkey(line) for line in (home / VKEYS_FILE).read_text("utf-8").split()]
    logs = _witnessed(home)
    if name in {key.name for key in own} or name in logs:
        malformed(
            "mirror_name",
            "a mirror is another cosigner than the witness and the logs: give it a name of its own",
        )
    for file in (MIRROR_KEYS_FILE, MIRROR_VKEYS_FILE, MIRROR_STORE_FILE):
        if (home / file).exists():
            raise WitnessError("home_in_use", f"{home / file} exists: there is a mirror here")
    cosigners = make_keys(home / MIRROR_KEYS_FILE, name, passphrase)
    write_new(home / MIRROR_VKEYS_FILE, vkeys_text(cosigners))
    MirrorStore.create(home / MIRROR_STORE_FILE)
    vkeys = vkeys_text(cosigners).split()
    return Result(
        [
            f"keys:  {home / MIRROR_KEYS_FILE}",
            f"store: {home / MIRROR_STORE_FILE}",
            "verifier keys of the mirror, for whoever shall believe that it holds what it cosigns:",
            *vkeys,
            "next: `countermark-witness mirror add-log`, then start `countermark-witness serve` anew",
        ],
        name=name,
        vkeys=vkeys,
    )


@mirror.command("add-log")
@home_option
@click.argument("origin")
@click.argument("url")
@click.option(
    "--ca-file", type=_FILE, help="Certificates of the authority to trust for TLS; else the system's."
)
@command
def add_log(home: Path, origin: str, url: str, ca_file: Path | None) -> Result:
    """Mirror the log ORIGIN, which the witness knows, from URL: the prefix below which it serves its tiles.

    Of a log that is mirrored already: from another URL. Takes effect at once.

    Examples:
      countermark-witness mirror add-log log.example.org/1 https://broker.example.org/v1/log
    """
    if not url.startswith(_SCHEMES):
        malformed(
            "bad_log_url",
            "expected a URL that begins https:// (http:// within one machine or closed network)",
        )
    if origin not in _witnessed(home):
        raise NotFoundError("log_not_known", f"the witness knows no log {origin[:64]!r}: `add-log` first")
    with opened(home) as store:
        store.add_log(origin, url, str(ca_file.resolve()) if ca_file is not None else None)
    return Result(
        [f"mirrored: {origin}, from {url}", f"served below /mirror/{origin_hash(origin)}/"],
        origin=origin,
        url=url,
        served=f"/mirror/{origin_hash(origin)}/",
    )


@mirror.command("vkey")
@home_option
@command
def vkey(home: Path) -> Result:
    """Print the mirror's verifier keys, for policies."""
    vkeys = (home / MIRROR_VKEYS_FILE).read_text("utf-8").split()
    return Result(vkeys, vkeys=vkeys)


@mirror.command("show")
@home_option
@click.option(
    "--evidence",
    "folder",
    type=_DIRECTORY,
    help="Write what lying logs served, each with the checkpoint that it does not lead to, into this folder.",
)
@command
def show(home: Path, folder: Path | None) -> Result:
    """Show how far each log is mirrored, and what logs served that is not under their roots."""
    with opened(home) as store:
        logs, lies = store.logs(), store.evidence()
    if folder is not None:
        for lie in lies:
            _write(folder, lie)
    lines = [line for log in logs for line in _lines(home, log)] or ["no log is mirrored"]
    lines += [f"evidence {lie.number}: {lie.origin}, {utc(lie.time)}: {lie.reason}" for lie in lies]
    lines += [] if lies else ["no evidence"]
    if lies and folder is None:
        lines.append("`--evidence FOLDER` writes the bytes out")
    return Result(lines, logs=[_json(log) for log in logs], evidence=[_lie_json(lie) for lie in lies])


@mirror.command("check")
@home_option
@command
def check(home: Path) -> Result:
    """Read all that is kept and compare every entry and hash, up to the mirror checkpoint's root.

    Ends with code 1 if the disk lost or changed anything. The witness may go on serving meanwhile.
    """
    lines: list[str] = []
    members: list[dict[str, Any]] = []
    with opened(home) as store:
        for log in store.logs():
            problem = _check(store, log)
            lines.append(f"{log.origin}: {log.held} leaves held, {problem or 'all as they were kept'}")
            members.append({"origin": log.origin, "held": log.held, "problem": problem})
    failed = any(member["problem"] for member in members)
    if failed:
        lines.append(
            "hint: stop the witness, then `mirror empty` sets this copy aside and has all fetched anew"
        )
    return Result(lines or ["no log is mirrored"], FAILED if failed else 0, logs=members)


@mirror.command("empty")
@home_option
@command
def empty(home: Path) -> Result:
    """Set what is kept aside, and begin anew with the same logs and keys. Stop the witness first.

    Nothing is deleted: what a log has lost may be nowhere else.
    """
    path = home / MIRROR_STORE_FILE
    logs: list[Kept] = []
    # Of a file that cannot be read at all, the logs are to be added again.
    with contextlib.suppress(WitnessError), opened(home) as store:
        logs = store.logs()
    aside = next(p for n in range(1, 10_000) if not (p := path.with_name(f"{path.name}.{n}")).exists())
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    MirrorStore.create(path)
    with opened(home) as store:
        for log in logs:
            store.add_log(log.origin, log.url, log.ca_file)
    return Result(
        [f"set aside: {aside}", f"to be fetched anew: {len(logs)} logs"],
        aside=str(aside),
        logs=[log.origin for log in logs],
    )


def _check(store: MirrorStore, log: Kept) -> str | None:
    try:
        store.check(log.origin, log.held)
        if log.note is not None and store.root(log.origin, log.size) != parse_checkpoint(log.note).root:
            return f"the first {log.size} do not give the root of the mirror checkpoint"
    except WitnessError as error:
        return error.message
    return None


def _witnessed(home: Path) -> set[str]:
    store = Store(home / STORE_FILE)
    try:
        with store.transaction() as transaction:
            return {log.origin for log in transaction.logs()}
    finally:
        store.close()


def _lines(home: Path, log: Kept) -> list[str]:
    store = Store(home / STORE_FILE)
    try:
        state = store.log(log.origin)
    finally:
        store.close()
    cosigned = state.held.size if state is not None and state.held is not None else 0
    return [
        f"{log.origin}: mirrored and served up to size {log.size}; {log.held} leaves held, {cosigned} witnessed",
        f"  from {log.url}, served below /mirror/{origin_hash(log.origin)}/",
    ]


def _json(log: Kept) -> dict[str, Any]:
    return {
        "origin": log.origin,
        "url": log.url,
        "held": log.held,
        "size": log.size,
        "root": encode_hex(parse_checkpoint(log.note).root) if log.note is not None else None,
    }


def _lie_json(lie: Lie) -> dict[str, Any]:
    return {
        "number": lie.number,
        "origin": lie.origin,
        "reason": lie.reason,
        "time": lie.time,
        "checkpoint": lie.checkpoint.decode("utf-8"),
        "served": {path: len(data) for path, data in lie.served.items()},
    }


def _write(folder: Path, lie: Lie) -> None:
    place = folder / f"{lie.number}"
    place.mkdir(parents=True, exist_ok=True)
    pieces = {"checkpoint": lie.checkpoint} | {p.replace("/", "-"): data for p, data in lie.served.items()}
    for name, data in pieces.items():
        (place / name).write_bytes(data)
