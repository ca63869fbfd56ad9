"""`init`, `found` and `fingerprint`: how a log begins."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from countermark_broker.cli.common import home_option
from countermark_broker.cli.output import Result, command
from countermark_broker.config import (
    CONFIG_FILE,
    PASSPHRASE_VARIABLE,
    Settings,
    check_environment,
    load_passphrase,
    load_settings,
)
from countermark_broker.errors import ConfigurationError
from countermark_broker.parts import build_parts
from countermark_broker.services.founding import Appointed, complete_founding, draft_founding, found_log
from countermark_broker.services.keyring import (
    ADMINISTRATOR,
    ENTRIES,
    LOG,
    NODE,
    Keyring,
    load_keyring,
    load_keys,
    load_log_key,
    make_keys,
    write_keys,
)
from countermark_broker.store.migrate import find_migrations
from countermark_broker.tokens import load_token_key, make_token_key
from countermark_protocol.appointing import (
    WITNESS_FORM,
    change_witnesses,
    make_oversight,
    parse_appointed_witness,
    parse_term_of,
)
from countermark_protocol.encoding import parse_json
from countermark_protocol.gathering import read_gathering
from countermark_protocol.httpsig import RequestFacts, SignatureParams, signature_base
from countermark_protocol.identifiers import Role, parse_address, parse_origin, role_of
from countermark_protocol.keys import ALGORITHM_NAMES, Algorithm, PublicKey, fingerprint, parse_pair_json

DRAFT = "founding.draft"
TRUST_FILE = "founding.trust"
ADMINISTRATOR_KEYS = Path("keys") / "administrator.keys"

_FILE: Any = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command("init")
@home_option
@click.option("--origin", required=True, help="Name of the log, e.g. log.example.org/countermark/1.")
@click.option("--broker-address", required=True, help="Address of the broker, e.g. xo-example.broker.main.")
@click.option(
    "--authority-host", "hosts", multiple=True, required=True, help="Public host:port; may be repeated."
)
@click.option(
    "--governor",
    "governor_files",
    multiple=True,
    required=True,
    type=_FILE,
    help='A governor\'s public key, a file {"alg": …, "pub": …} or a list of such; may be repeated.',
)
@click.option(
    "--quorum", type=click.IntRange(1, 32), required=True, help="Governors who must sign later statements."
)
@click.option(
    "--grace-minutes",
    type=click.FloatRange(0, 10_080),
    default=15,
    show_default=True,
    help="Until an uncollected message gets its notice.",
)
@click.option(
    "--reset-hours",
    type=click.FloatRange(0, 720),
    default=24,
    show_default=True,
    help="Until a sealing key set after a reset is used.",
)
@click.option(
    "--witness", "witnesses", metavar=WITNESS_FORM, multiple=True, help="A witness; may be repeated."
)
@click.option(
    "--witness-quorum", type=click.IntRange(1, 32), help="How many witnesses make a checkpoint witnessed."
)
@click.option("--auditor", "auditors", metavar="ADDRESS", multiple=True, help="An oversight auditor.")
@click.option("--since", metavar="TIME", help="When the term of each --auditor begins, e.g. 2026-12-01.")
@click.option("--until", metavar="TIME", help="… and ends, e.g. 2027-12-01.")
@click.option("--passphrase-file", type=_FILE, help=f"Else the variable {PASSPHRASE_VARIABLE} is used.")
@click.option("--log-key", default="", help="pkcs11: URI of the log key, if it lies in a token (Ed25519).")
@click.option("--node-key", default="", help="pkcs11: URI of this node's key, if it lies in a token.")
@command
def init(
    home: Path,
    origin: str,
    broker_address: str,
    hosts: tuple[str, ...],
    governor_files: tuple[Path, ...],
    quorum: int,
    grace_minutes: float,
    reset_hours: float,
    witnesses: tuple[str, ...],
    witness_quorum: int | None,
    auditors: tuple[str, ...],
    since: str | None,
    until: str | None,
    passphrase_file: Path | None,
    log_key: str,
    node_key: str,
) -> Result:
    """Make the broker's keys, its settings and the draft of the founding.

    Every governor signs the draft (`countermark document sign FILE --key KEYFILE`); then run `found`.
    """
    check_environment(os.environ)
    name, address = parse_origin(origin, "--origin"), parse_address(broker_address, "--broker-address")
    if role_of(address) is not Role.BROKER:
        raise ConfigurationError(
            "bad_configuration", "--broker-address: expected an address with the role 'broker'"
        )
    for host in hosts:
        signature_base(RequestFacts("GET", host, "/", "", None), SignatureParams(0, bytes(32), bytes(16)))
    governors = _governors(governor_files)
    if quorum > len(governors):
        raise ConfigurationError(
            "bad_configuration", f"--quorum: expected at most {len(governors)}, the governors"
        )
    appointed = _appointments(witnesses, witness_quorum, auditors, since, until)
    passphrase = read_passphrase(passphrase_file)
    with_keys = choose_keys(log_key, node_key)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (home / CONFIG_FILE).exists():
        raise ConfigurationError("home_in_use", f"{home / CONFIG_FILE} exists: choose another home directory")
    make_home_keys(home, with_keys, passphrase)
    write_settings(home, name, hosts, passphrase_file, {"log_key": log_key, "node_key": node_key})
    draft = draft_founding(
        name,
        address,
        all_keys(home, load_settings(home), passphrase),
        governors,
        quorum,
        undelivered_grace_ms=round(grace_minutes * 60_000),
        reset_delay_ms=round(reset_hours * 3_600_000),
        appointed=appointed,
    )
    (home / DRAFT).write_bytes(draft)
    mark = fingerprint(read_gathering(draft).document.payload_hash)
    return Result(
        [
            f"founding draft: {home / DRAFT}",
            f"fingerprint:    {mark}",
            (
                "next: every governor signs the draft with `countermark document sign FILE --key KEYFILE`, then run "
                f"`countermark-broker found --home {home} --founding FILE`"
            ),
            f"keep {home / ADMINISTRATOR_KEYS} elsewhere once the log is founded",
        ],
        draft=str(home / DRAFT),
        fingerprint=mark,
    )


def choose_keys(log_key: str, node_key: str) -> tuple[str, ...]:
    """The uses of the keys that a new key file must hold; keys named in tokens must be there and fit."""
    in_tokens = {
        LOG: load_log_key(log_key) if log_key else None,
        NODE: load_token_key(node_key) if node_key else None,
    }
    in_file = tuple(use for use, signer in in_tokens.items() if signer is None)
    return (*in_file, ENTRIES) if in_file else ()


def make_home_keys(home: Path, in_file: tuple[str, ...], passphrase: str) -> None:
    """Make a new home's key files."""
    if in_file:
        write_keys(home / "keys" / "broker.keys", make_keys(in_file), passphrase)
    write_keys(home / ADMINISTRATOR_KEYS, make_keys((ADMINISTRATOR,)), passphrase)


def _governors(files: tuple[Path, ...]) -> list[PublicKey]:
    out: list[PublicKey] = []
    for path in files:
        value = parse_json(path.read_bytes(), f"governor file {path.name}")
        values = value if isinstance(value, list) else [value]
        out += [parse_pair_json(v, f"key in {path.name}") for v in values]
    if len({k.key_id for k in out}) != len(out):
        raise ConfigurationError("bad_configuration", "--governor: a key stands twice")
    return out


def _appointments(
    witnesses: tuple[str, ...],
    quorum: int | None,
    auditors: tuple[str, ...],
    since: str | None,
    until: str | None,
) -> Appointed:
    """What the founding says of witnesses and auditors."""
    if not (bool(auditors) == (since is not None) == (until is not None)):
        raise ConfigurationError("bad_configuration", "--auditor, --since and --until go together")
    term = parse_term_of(since, until) if since and until else None
    named, needed = change_witnesses((), 0, [parse_appointed_witness(w) for w in witnesses], (), quorum)
    return Appointed(named, needed, tuple(make_oversight(a, term) for a in auditors) if term else ())


def read_passphrase(path: Path | None) -> str:
    """The passphrase for key files that are about to be made."""
    text = (
        path.read_text(encoding="utf-8").rstrip("\r\n") if path else os.environ.get(PASSPHRASE_VARIABLE, "")
    )
    if not text:
        raise ConfigurationError("no_passphrase", f"give --passphrase-file, or set {PASSPHRASE_VARIABLE}")
    return text


def write_settings(
    home: Path, origin: str, hosts: tuple[str, ...], passphrase_file: Path | None, more: dict[str, Any]
) -> None:
    """Write a new home's settings; of `more` only what is not empty."""
    # TOML's basic strings are JSON's, so json.dumps writes them.
    lines = [
        "# Settings of this broker; docs/operations/running-a-broker.md §3 lists them all.",
        f"origin = {json.dumps(origin)}",
        f"authorities = {json.dumps(list(hosts))}",
        "# Keep the checkpoint store out of the database's backup, best on another disk.",
        'checkpoint_store = "checkpoint"',
    ]
    if passphrase_file is not None:
        lines.append(f"passphrase_file = {json.dumps(str(passphrase_file.absolute()))}")
    lines += [f"{setting} = {json.dumps(value)}" for setting, value in more.items() if value]
    (home / CONFIG_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def all_keys(home: Path, settings: Settings, passphrase: str) -> Keyring:
    """The keys that a node serves with, and the administrator's in its home."""
    administrator = load_keys(home / ADMINISTRATOR_KEYS, passphrase)
    return replace(load_keyring(settings, passphrase), administrator=administrator.administrator)


@click.command("found")
@home_option
@click.option("--founding", type=_FILE, required=True, help="The draft, signed by every governor.")
@click.option(
    "--holder", default="node-1", show_default=True, help="Pseudonym of this node in the broker's keys."
)
@command
def found(home: Path, founding: Path, holder: str) -> Result:
    """Found the log: checkpoint store, database, founding, the broker's keys. May be repeated after a crash."""
    settings = load_settings(home)
    keys = all_keys(home, settings, load_passphrase(settings))
    document = complete_founding(founding.read_bytes(), keys)
    parts = build_parts(settings, keys)

    async def run() -> int:
        try:
            migrations = find_migrations(settings.migrations)
            await found_log(parts.node, parts.appender, migrations, document, keys, holder)
            return parts.node.publisher.published.size
        finally:
            await parts.node.database.close()
            await asyncio.to_thread(parts.node.store.close)

    size = asyncio.run(run())
    (home / TRUST_FILE).write_bytes(document.data)
    mark = fingerprint(document.payload_hash)
    return Result(
        [
            f"founded {settings.origin} with {size} entries",
            f"trust file:  {home / TRUST_FILE} (give it to everybody)",
            f"fingerprint: {mark} (compare it by voice)",
        ],
        origin=settings.origin,
        size=size,
        trust_file=str(home / TRUST_FILE),
        fingerprint=mark,
    )


@click.command("fingerprint")
@click.argument("file", type=_FILE)
@command
def show_fingerprint(file: Path) -> Result:
    """Show the fingerprint of a founding (draft or trust file), and who has signed it."""
    document = read_gathering(file.read_bytes()).document
    mark = fingerprint(document.payload_hash)
    signers = [{"key": s.key_id.hex(), "purpose": s.purpose.name.lower()} for s in document.signatures]
    lines = [f"fingerprint: {mark}", *(f"signed: {s['key']} ({s['purpose']})" for s in signers)]
    return Result(lines, fingerprint=mark, payload_hash=document.payload_hash.hex(), signatures=signers)


@click.command("token-key")
@click.argument("uri")
@click.option(
    "--algorithm",
    type=click.Choice([ALGORITHM_NAMES[a] for a in (Algorithm.ED25519, Algorithm.ES256)]),
    default=ALGORITHM_NAMES[Algorithm.ED25519],
    show_default=True,
    help="A log key must be Ed25519.",
)
@command
def token_key(uri: str, algorithm: str) -> Result:
    """Make a key in a PKCS#11 token, named by a pkcs11: URI, and show its public half."""
    chosen = next(a for a, name in ALGORITHM_NAMES.items() if name == algorithm)
    public = make_token_key(uri, chosen).public_key
    return Result([json.dumps(public.to_json())], key=public.to_json(), key_id=public.key_id.hex())
