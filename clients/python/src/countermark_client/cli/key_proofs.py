"""`countermark key-proof`: one endpoint's keys in one file, for who does not read the whole directory."""

from __future__ import annotations

from pathlib import Path

import click

from countermark_client._words import span
from countermark_client.cli.common import FILE, NEW_FILE, Access, now, with_home, write_new
from countermark_client.cli.output import Result, command, utc
from countermark_protocol.identifiers import parse_address
from countermark_protocol.key_proof import MAX_KEY_PROOF_BYTES, VerifiedKeys, verify_key_proof


@click.group("key-proof")
def key_proof() -> None:
    """Prove in one file which keys an endpoint has, by paths in the trie, and verify such files."""


@key_proof.command("make")
@click.argument("address")
@click.option("-o", "--out", type=NEW_FILE, required=True, help="File to write, such as nairobi.key-proof.")
@with_home
@command
def make(address: str, out: Path, access: Access) -> Result:
    """Prove the keys of the endpoint ADDRESS, or that it has none, under a fresh checkpoint.

    Example:
      countermark key-proof make ke.police.nairobi -o nairobi.key-proof
    """
    parsed = parse_address(address)
    with access.client() as client:
        data = client.prove_keys(parsed)
    write_new(out, data)
    return Result([f"written: {out} ({len(data)} bytes)"], file=str(out), address=parsed, bytes=len(data))


@key_proof.command("fetch")
@click.argument("address")
@click.option("-o", "--out", type=NEW_FILE, help="File to write it to, such as nairobi.key-proof.")
@with_home
@command
def fetch(address: str, out: Path | None, access: Access) -> Result:
    """Ask the broker for the keys of the endpoint ADDRESS, and accept them by a path in the trie.

    Nothing else of the directory is read. The checkpoint must be fresh, and continue the newest that this profile has
    seen; that the endpoint has no keys is proven too.

    Example:
      countermark key-proof fetch ke.police.nairobi
    """
    parsed = parse_address(address)
    with access.client() as client:
        trust = client.profile.trust.document.payload_hash.hex()
        data = client.fetch_key_proof(parsed)
    told = _told(verify_key_proof(data, trust), now())
    if out is not None:
        write_new(out, data)
        told.shown = [f"written: {out} ({len(data)} bytes)", *told.shown]
    return told


@key_proof.command("verify")
@click.argument("file", type=FILE)
@click.option("--fingerprint", "expected", help="Of the log's trust file, as told by voice.")
@click.option(
    "--max-age",
    type=click.IntRange(1, 1440),
    default=15,
    show_default=True,
    help="Minutes; one under an older checkpoint is refused.",
)
@command
def verify(file: Path, expected: str | None, max_age: int) -> Result:
    """Verify a key proof FILE without a network and without a profile.

    Example:
      countermark key-proof verify nairobi.key-proof --fingerprint '91c2 …'
    """
    with file.open("rb") as opened:
        proven = verify_key_proof(opened.read(MAX_KEY_PROOF_BYTES + 1), expected)
    at = now()
    proven.check_age(at, max_age * 60_000)
    return _told(proven, at)


def _told(proven: VerifiedKeys, at: int) -> Result:
    """What a key proof proves, for people and programs."""
    record = proven.keys
    lines = [
        f"log          {proven.log}, {proven.checkpoint.size} entries, at most {span(proven.age(at))} old",
        f"trust file   {proven.fingerprint}" + ("" if proven.compared else " (compare it by voice)"),
        f"endpoint     {proven.address}",
    ]
    keys = []
    if record is None:
        lines.append("keys         none that stand")
    else:
        lines.append(f"keys         entry {proven.index}, {utc(proven.time)}")
        listed = [(k.holder, k.key, k.until) for k in record.signing]
        if record.sealing is not None:
            listed.append(("sealing", record.sealing, record.sealing_until))
        for what, public, until in listed:
            revoked = public.key_id in proven.revoked
            keys.append({"use": what, "key_id": public.key_id.hex(), "until": until, "revoked": revoked})
            state = "REVOKED" if revoked else f"until {utc(until)}" if until is not None else "no end"
            lines.append(f"  {public.key_id.hex()}  {what}: {state}")
        if record.sealing_from > at:
            lines.append(f"  the sealing key counts from {utc(record.sealing_from)} only")
    sealing = proven.directory.sealing_key(proven.address, at) if record is not None else None
    return Result(
        lines,
        log=proven.log,
        fingerprint=proven.fingerprint,
        fingerprint_compared=proven.compared,
        address=proven.address,
        size=proven.checkpoint.size,
        age=proven.age(at),
        index=proven.index,
        keys=keys,
        seal_to=sealing.key_id.hex() if sealing is not None else None,
    )
