"""`countermark key`: private keys in encrypted files, and their public halves."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from countermark_client._keystore import (
    ADMINISTRATOR,
    AUTHORITY,
    GOVERNOR,
    INSTANCE,
    RECOVERY,
    SEALING,
    SIGNING_USES,
    GrowingKeystore,
    Keystore,
    MemoryKeystore,
    make_key,
    save_key_file,
    token_library,
)
from countermark_client.cli.common import (
    FILE,
    KEY,
    NEW_FILE,
    NO_PAIRS,
    Access,
    load_private,
    load_token_signer,
    parse_time,
    passphrase_for,
    passphrase_option,
    pin_for,
    with_home,
    write_new,
    write_public,
)
from countermark_client.cli.documents import choose_signer
from countermark_client.cli.key_check import check
from countermark_client.cli.output import Result, command, utc
from countermark_client.cli.recovering import recover, recovery_key
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import NotFoundError
from countermark_protocol.keys import (
    ALGORITHM_NAMES,
    SEALING_ALGORITHMS,
    SIGNATURE_ALGORITHMS,
    Algorithm,
    PublicKey,
    fingerprint,
)

_BY_NAME = {name: algorithm for algorithm, name in ALGORITHM_NAMES.items()}


def _names(algorithms: Iterable[Algorithm]) -> click.Choice[str]:
    return click.Choice([ALGORITHM_NAMES[algorithm] for algorithm in sorted(algorithms)])


_ALGORITHMS = _names(SIGNATURE_ALGORITHMS | SEALING_ALGORITHMS)
_USES = click.Choice([GOVERNOR, AUTHORITY, ADMINISTRATOR, INSTANCE, SEALING])


@click.group("key")
def key() -> None:
    """Make keys and look at them. Private keys never leave their encrypted file."""


def key_json(use: str, public: PublicKey) -> dict[str, Any]:
    """What is told of a key."""
    return {
        "use": use,
        **public.to_json(),
        "key_id": public.key_id.hex(),
        "fingerprint": fingerprint(public.key_id),
    }


def key_lines(use: str, public: PublicKey) -> list[str]:
    """What is told of a key, for people."""
    return [
        f"{use}: {ALGORITHM_NAMES[public.algorithm]}{' and ML-DSA-65' if public.second is not None else ''}",
        f"  key id       {public.key_id.hex()}",
        f"  fingerprint  {fingerprint(public.key_id)}",
    ]


key.add_command(recovery_key)
key.add_command(recover)


@key.command("new")
@click.option("--use", type=_USES, required=True, help="What the key is for.")
@click.option(
    "--alg",
    type=_ALGORITHMS,
    default=None,
    help=f"Of the key. [default: Ed25519; of a sealing key {ALGORITHM_NAMES[Algorithm.XWING]}]",
)
@click.option(
    "--second", is_flag=True, help="Pair a signing key with an ML-DSA-65 key: both sign, and count as one."
)
@click.option(
    "--token", metavar="URI", help="pkcs11: URI of the new key: it is made in that token and never leaves it."
)
@click.option(
    "--out",
    type=NEW_FILE,
    required=True,
    help="Key file to write; its public half goes to FILE.pub. With --token: the public half alone.",
)
@passphrase_option
@command
def new(
    use: str, alg: str | None, second: bool, token: str | None, out: Path, passphrase_file: Path | None
) -> Result:
    """Make a key: an encrypted file, and its public half beside it; or a key in a token.

    Examples:
      countermark key new --use governor --out kenya.key
      (give kenya.key.pub away; kenya.key stays with you)
      countermark key new --use authority --token 'pkcs11:token=kenya;object=authority-1?module-path=…' --out kenya.pub
    """
    algorithm = _BY_NAME[alg] if alg is not None else None
    fitting = SEALING_ALGORITHMS if use == SEALING else SIGNATURE_ALGORITHMS
    if algorithm is not None and algorithm not in fitting:
        names = " or ".join(ALGORITHM_NAMES[a] for a in sorted(fitting))
        raise click.UsageError(f"a key of use '{use}' is {names}: got --alg {alg}")
    if second and use == SEALING:
        raise click.UsageError("--second pairs signing keys: a sealing key is a hybrid already")
    if token is not None:
        if second:
            raise click.UsageError(NO_PAIRS)
        return _new_in_token(use, algorithm, token, out, passphrase_file)
    public_path = out.with_name(out.name + ".pub")
    for path in (out, public_path):
        if path.exists():
            raise click.UsageError(f"{path} exists: choose another name")
    passphrase = passphrase_for(f"the key file {out}", passphrase_file, new=True)
    keystore = MemoryKeystore((make_key(use, algorithm, second=second),))
    save_key_file(out, keystore, passphrase)
    [(_, public)] = keystore.public_keys()
    write_public(public_path, encode_json(public.to_json()) + b"\n")
    return Result(
        [*key_lines(use, public), f"private, encrypted: {out}", f"public:             {public_path}"],
        **key_json(use, public),
        file=str(out),
        public_file=str(public_path),
    )


def _new_in_token(
    use: str, algorithm: Algorithm | None, token: str, out: Path, pin_file: Path | None
) -> Result:
    if use == SEALING:
        raise click.UsageError(
            "no token holds sealing keys: `countermark key add` wraps one by a profile's token"
        )
    if out.exists():
        raise click.UsageError(f"{out} exists: choose another name")
    # A signature algorithm that most tokens have, and a P-256 key is what the rest of the world's PKI signs with.
    signer = token_library().make_signer(token, pin_for(token, pin_file), algorithm or Algorithm.ES256)
    public = signer.public_key
    write_public(out, encode_json(public.to_json()) + b"\n")
    return Result(
        [*key_lines(use, public), f"private, in:  {token}", f"public:       {out}"],
        **key_json(use, public),
        token=token,
        public_file=str(out),
    )


@key.command("show")
@click.argument("file", type=KEY, metavar="FILE|URI")
@passphrase_option
@command
def show(file: Path | str, passphrase_file: Path | None) -> Result:
    """Show the public halves of the keys in FILE, or of the key in a token that a pkcs11: URI names."""
    found: tuple[tuple[str, PublicKey], ...]
    if isinstance(file, str):
        found = (("token", load_token_signer(file, passphrase_file).public_key),)
    else:
        found = load_private(file, passphrase_file).public_keys()
    return Result(
        [line for use, public in found for line in key_lines(use, public)],
        keys=[key_json(use, public) for use, public in found],
    )


@key.command("add")
@click.argument("file", type=KEY, metavar="FILE|URI")
@click.option("--key-passphrase-file", type=FILE, metavar="FILE", help="Passphrase of FILE, if another one.")
@click.option("--use", type=click.Choice(SIGNING_USES), help="What the key that a URI names is for.")
@with_home
@command
def add(file: Path | str, key_passphrase_file: Path | None, use: str | None, access: Access) -> Result:
    """Take the keys of FILE into the profile, or a key of its token that a pkcs11: URI names.

    A sealing key becomes the current one; the one before it is kept, for what was sealed to it. In a profile whose keys
    are in a token it is wrapped by a key of the token.

    Example, a new sealing key with thirty days of overlap:
      countermark key new --use sealing --out new.key
      countermark key add new.key
      countermark draft keys ke.police.nairobi --sealing new.key.pub --overlap-days 30 -o keys.draft
      countermark document sign keys.draft --use administrator
      countermark document publish keys.draft
    """
    if isinstance(file, str) != (use is not None):
        raise click.UsageError("--use goes with a key's URI: FILE says itself what its keys are for")
    with access.profile() as profile:
        held = {public.key_id for _, public in profile.keystore.public_keys()}
        added: list[tuple[str, PublicKey]] = []
        if isinstance(file, str):
            profile.name_key(str(use), file)
            added = [(u, k) for u, k in profile.keystore.public_keys() if k.key_id not in held]
            return _added(added, "the profile holds this key already")
        keystore = load_private(file, key_passphrase_file or _passphrase_file(access, profile.keystore))
        if any(stored.use == RECOVERY for stored in keystore.stored):
            raise click.UsageError(
                "a recovery key lies in a safe, never in a profile: `countermark key recover`"
            )
        passphrase = access.passphrase()
        for stored in keystore.stored:
            [(use, public)] = MemoryKeystore((stored,)).public_keys()
            if public.key_id not in held:
                profile.add_key(stored, passphrase)
                added.append((use, public))
    return _added(added, "the profile holds all keys of this file already")


def _added(added: list[tuple[str, PublicKey]], none: str) -> Result:
    return Result(
        [line for use, public in added for line in key_lines(use, public)] or [none],
        added=[key_json(use, public) for use, public in added],
    )


def _passphrase_file(access: Access, keystore: Keystore) -> Path | None:
    """The profile's passphrase file for a key file too; never the PIN of its token."""
    return None if isinstance(keystore, GrowingKeystore) else access.passphrase_file


@key.command("renew")
@click.option(
    "--instance/--no-instance", default=True, show_default=True, help="Renew this profile's instance key."
)
@click.option("--sealing", is_flag=True, help="Renew the endpoint's sealing key too.")
@click.option("--alg", type=_names(SIGNATURE_ALGORITHMS), help="Of the new instance key. [default: as now]")
@click.option(
    "--sealing-alg", type=_names(SEALING_ALGORITHMS), help="Of the new sealing key. [default: as now]"
)
@click.option(
    "--second/--no-second",
    default=None,
    help="Pair the new instance key with an ML-DSA-65 key. [default: as now]",
)
@click.option("--until", metavar="TIME", help="When the new keys count no more. [default: in a year]")
@click.option(
    "--key",
    "key_file",
    type=KEY,
    metavar="FILE|URI",
    help="Key file of the administrator, or pkcs11: URI of its key in a token; else the profile's own key.",
)
@click.option("--key-passphrase-file", type=FILE, metavar="FILE", help="Its passphrase, if another one.")
@click.option(
    "--request",
    type=NEW_FILE,
    help="Write the statement here, for the administrator to sign and publish elsewhere.",
)
@with_home
@command
def renew(
    instance: bool,
    sealing: bool,
    alg: str | None,
    sealing_alg: str | None,
    second: bool | None,
    until: str | None,
    key_file: Path | str | None,
    key_passphrase_file: Path | None,
    request: Path | None,
    access: Access,
) -> Result:
    """Make new keys, have them certified, and let the old ones overlap for thirty days.

    `inbox --follow` and `work` do this by themselves a month before keys end, where the profile holds the
    administrator's key. A sealing key is the whole endpoint's: give it to the other instances with `key export`.

    Examples:
      countermark key renew
      countermark key renew --sealing --key administrator.key
      countermark key renew --alg ES256 --until 2028-01-01
      countermark key renew --sealing --sealing-alg ML-KEM-1024+P-384
      countermark key renew --request renewal.draft
    """
    if not (instance or sealing):
        raise click.UsageError("nothing to renew: say --sealing, or leave --no-instance out")
    if sealing_alg is not None and not sealing:
        raise click.UsageError(
            "--sealing-alg says of which algorithm the new sealing key is: say --sealing too"
        )
    if request is not None and (request.exists() or key_file is not None):
        raise click.UsageError("--request writes a new file, and goes without --key")
    administrator = None
    if key_file is not None:
        administrator = choose_signer(access, key_file, ADMINISTRATOR, key_passphrase_file)
    with access.client() as client:
        renewed = client.renew_keys(
            instance=instance,
            sealing=sealing,
            algorithm=_BY_NAME[alg] if alg is not None else None,
            sealing_algorithm=_BY_NAME[sealing_alg] if sealing_alg is not None else None,
            second=second,
            until=parse_time(until, "--until") if until is not None else None,
            administrator=administrator,
            request=request is not None,
        )
    made = [(INSTANCE, renewed.instance)] if renewed.instance is not None else []
    made += [(SEALING, renewed.sealing)] if renewed.sealing is not None else []
    lines = [line for use, public in made for line in key_lines(use, public)]
    if request is not None and renewed.draft is not None:
        write_new(request, renewed.draft)
        lines.append(
            f"next: the administrator runs `countermark document sign {request}`, then `document publish`"
        )
    else:
        lines.append(f"renewed until {utc(renewed.until)} (entry {renewed.index})")
    return Result(
        lines,
        keys=[key_json(use, public) for use, public in made],
        until=renewed.until,
        index=renewed.index,
        request=str(request) if request is not None else None,
    )


key.add_command(check)


@key.command("export")
@click.option("--use", type=_USES, required=True, help="Which keys.")
@click.option("--out", type=NEW_FILE, required=True, help="Key file to write, encrypted.")
@click.option("--out-passphrase-file", type=FILE, metavar="FILE", help="Passphrase to encrypt it with.")
@with_home
@command
def export(use: str, out: Path, out_passphrase_file: Path | None, access: Access) -> Result:
    """Copy keys of the profile into an encrypted key file: a backup, or for a further instance.

    Example:
      countermark key export --use sealing --out sealing.key
    """
    if out.exists():
        raise click.UsageError(f"{out} exists: choose another name")
    with access.profile() as profile:
        keystore = profile.keystore
        stored = tuple(k for k in keystore.stored if k.use == use)
    if not stored:
        inside = ": keys never leave a token" if isinstance(keystore, GrowingKeystore) else ""
        raise NotFoundError("no_such_key", f"this profile has no key for '{use}' to give away{inside}")
    chosen = MemoryKeystore(stored)
    save_key_file(
        out,
        chosen,
        passphrase_for(
            f"the key file {out}", out_passphrase_file or _passphrase_file(access, keystore), new=True
        ),
    )
    found = chosen.public_keys()
    return Result(
        [*(line for u, public in found for line in key_lines(u, public)), f"written: {out}"],
        keys=[key_json(u, public) for u, public in found],
        file=str(out),
    )
