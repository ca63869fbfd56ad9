"""`countermark key recovery-key` and `key recover`: sealing keys that outlive the disk they lie on."""

from __future__ import annotations

from pathlib import Path

import click

from countermark_client._keystore import (
    RECOVERY,
    SEALING,
    MemoryKeystore,
    load_key_file,
    make_key,
    save_key_file,
)
from countermark_client._recovery import set_recovery_key
from countermark_client.cli import _late
from countermark_client.cli.common import (
    FILE,
    NEW_FILE,
    Access,
    load_public_key,
    passphrase_for,
    passphrase_option,
    with_home,
    write_public,
)
from countermark_client.cli.output import Result, command
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import NotFoundError
from countermark_protocol.keyfile import StoredKey
from countermark_protocol.keys import Algorithm, fingerprint
from countermark_protocol.recovery import parse_paper, show_paper
from countermark_protocol.sealing import SealingKey


@click.group("recovery-key")
def recovery_key() -> None:
    """Keep sealing keys from being lost with a disk: copies that only a key in a safe opens."""


@recovery_key.command("new")
@click.option(
    "--out", type=NEW_FILE, required=True, help="Key file to write; its public half goes to FILE.pub."
)
@click.option("--paper", is_flag=True, help="Show the private key too, once, as letters and as a QR code.")
@passphrase_option
@command
def new(out: Path, paper: bool, passphrase_file: Path | None) -> Result:
    """Make a recovery key: an encrypted file for the safe, and its public half.

    Make it on a machine without a line. With --paper it is also shown as 14 groups of letters, to be printed or
    written down: whoever has them can read what is sealed to the endpoint.

    Example:
      countermark key recovery-key new --out recovery.key --paper
    """
    public_path = out.with_name(out.name + ".pub")
    for path in (out, public_path):
        if path.exists():
            raise click.UsageError(f"{path} exists: choose another name")
    passphrase = passphrase_for(f"the key file {out}", passphrase_file, new=True)
    made = make_key(SEALING)
    stored = StoredKey(RECOVERY, made.algorithm, made.private)
    public = SealingKey(made.private, made.algorithm).public_key
    save_key_file(out, MemoryKeystore((stored,)), passphrase)
    write_public(public_path, encode_json(public.to_json()) + b"\n")
    text = show_paper(made.private) if paper else None
    return Result(
        [
            f"recovery key        {public.key_id.hex()}",
            f"fingerprint         {fingerprint(public.key_id)}",
            f"private, encrypted  {out}",
            f"public              {public_path}",
            *((text, *_late.draw_qr(text).splitlines()) if text is not None else ()),
            f"next: put {out} away, and give {public_path} to the endpoint: `countermark key recovery-key set`",
        ],
        key_id=public.key_id.hex(),
        fingerprint=fingerprint(public.key_id),
        file=str(out),
        public_file=str(public_path),
        paper=text,
    )


@recovery_key.command("set")
@click.argument("public", type=FILE)
@with_home
@command
def set_key(public: Path, access: Access) -> Result:
    """Have the sealing keys of this profile copied to the recovery key PUBLIC, now and whenever there is a new one.

    Keep the files that it names on another machine too. They are no secret; only the recovery key opens them.

    Example:
      countermark key recovery-key set recovery.key.pub
    """
    key = load_public_key(public)
    with access.profile() as profile:
        copies = set_recovery_key(access.home, key, profile.log, profile.endpoint, profile.keystore.stored)
    return Result(
        [
            f"recovery key  {fingerprint(key.key_id)}",
            *(f"copy          {path}" for path in copies),
            "next: keep these files on another machine too; every `backup` holds them",
        ],
        key_id=key.key_id.hex(),
        copies=[str(path) for path in copies],
    )


@click.command("recover")
@click.argument("copies", metavar="COPY...", type=FILE, nargs=-1, required=True)
@click.option("--key", "key_file", type=FILE, help="Key file of the recovery key.")
@click.option("--key-passphrase-file", type=FILE, metavar="FILE", help="Its passphrase, if another one.")
@click.option("--paper", is_flag=True, help="Type the recovery key from paper instead.")
@with_home
@command
def recover(
    copies: tuple[Path, ...],
    key_file: Path | None,
    key_passphrase_file: Path | None,
    paper: bool,
    access: Access,
) -> Result:
    """Take the sealing keys in COPY files back into the profile, by the recovery key.

    A key is taken only if the directory, read and verified, has named it for this endpoint. All copies are opened
    before any is kept.

    Examples:
      countermark key recover 91c2*.json --key recovery.key
      countermark key recover 91c2*.json --paper
    """
    if paper == (key_file is not None):
        raise click.UsageError("say either --key or --paper")
    recovery = (
        _from_file(key_file, key_passphrase_file or access.passphrase_file) if key_file else _from_paper()
    )
    with access.client() as client:
        client.sync()
        found = client.recover_keys([path.read_bytes() for path in copies], recovery, access.passphrase())
    return Result(
        [f"recovered  {public.key_id.hex()} ({use})" for use, public in found]
        or ["the profile holds these keys already"],
        recovered=[{"use": use, "key_id": public.key_id.hex()} for use, public in found],
    )


def _from_file(path: Path, passphrase_file: Path | None) -> SealingKey:
    keystore = load_key_file(path, passphrase_for(f"the key file {path}", passphrase_file))
    for stored in keystore.stored:
        if stored.use == RECOVERY:
            return SealingKey(stored.private, stored.algorithm)
    raise NotFoundError("no_such_key", f"{path.name} holds no recovery key")


def _from_paper() -> SealingKey:
    typed = click.prompt("recovery key, 14 groups of four", hide_input=True, err=True)
    return SealingKey(parse_paper(typed), Algorithm.XWING)
