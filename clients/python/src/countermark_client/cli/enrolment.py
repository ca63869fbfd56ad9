"""`countermark init` and `principal`: profiles made from a trust file, and the request that goes by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

import click

from countermark_client._invitations import check_told
from countermark_client._keystore import (
    ADMINISTRATOR,
    AUTHORITY,
    GOVERNOR,
    INSTANCE,
    SEALING,
    make_key,
    token_library,
    write_private,
)
from countermark_client._profile import Profile
from countermark_client._profile_files import check_broker_url
from countermark_client._trust import TrustFile, read_trust_file
from countermark_client.cli.common import (
    FILE,
    KEY,
    NEW_FILE,
    NO_PAIRS,
    Access,
    load_private,
    load_public_key,
    pin_for,
    token_option,
    with_home,
)
from countermark_client.cli.keys import key_json
from countermark_client.cli.output import Result, command
from countermark_client.statements import Drafts, sign_gathering
from countermark_protocol.encoding import encode_json
from countermark_protocol.gathering import read_gathering
from countermark_protocol.identifiers import authority_of, parse_address
from countermark_protocol.keyfile import StoredKey
from countermark_protocol.keys import PublicKey, fingerprint


class _Common(TypedDict):
    """What a new profile is made of, wherever its keys are."""

    address: str
    broker_url: str
    trust: bytes
    holder: str
    recovery: PublicKey | None


REQUEST_FILE = "endpoint.request"

_broker = click.option("--broker", required=True, help="URL of the broker, e.g. https://broker.example.")
_trust = click.option("--trust", type=FILE, required=True, help="Trust file of the log.")
_expected = click.option(
    "--fingerprint", "expected", help="Of the trust file, as told by voice; nothing is made if it differs."
)


def read_trust(path: Path, expected: str | None) -> TrustFile:
    """Read a trust file, and compare its fingerprint with the one told by voice, if it was given.

    Raises:
        SignatureError: ``other_fingerprint``.
        CountermarkError: as `read_trust_file`.
    """
    trust = read_trust_file(path.read_bytes())
    if expected is not None:
        check_told(trust.fingerprint, expected, f"the trust file {path}")
    return trust


def compare_lines(trust: TrustFile, expected: str | None) -> list[str]:
    """What log a profile is made for, and what is still to be compared by voice."""
    lines = [f"log            {trust.origin}", f"its trust file {trust.fingerprint}"]
    if expected is None:
        lines.append("compare this fingerprint by voice with somebody who knows the log, before you go on")
    return lines


# --- an endpoint ---------------------------------------------------------------------------------------


@click.command("init")
@click.option("--address", required=True, help="Of the endpoint, e.g. ke.police.nairobi.")
@click.option("--name", help="For people. [default: the address]")
@_broker
@_trust
@_expected
@click.option("--holder", default="default", show_default=True, help="Pseudonym of who uses this instance.")
@click.option(
    "--with-key",
    "key_files",
    type=FILE,
    multiple=True,
    help="Key file to take in instead of a fresh key of its use; may be repeated.",
)
@click.option(
    "--further-instance",
    is_flag=True,
    help="The endpoint is enrolled already: no administrator's key, no request. Needs --with-key sealing.key.",
)
@click.option("--second", is_flag=True, help="Pair the signing keys made here with ML-DSA-65 keys.")
@click.option(
    "--recovery-key", type=FILE, help="Public half of the recovery key that sealing keys are copied to."
)
@click.option(
    "-o", "--out", type=NEW_FILE, help=f"Where to write the request. [default: HOME/{REQUEST_FILE}]"
)
@token_option
@with_home
@command
def init(
    address: str,
    name: str | None,
    broker: str,
    trust: Path,
    expected: str | None,
    holder: str,
    key_files: tuple[Path, ...],
    further_instance: bool,
    second: bool,
    recovery_key: Path | None,
    out: Path | None,
    token: str | None,
    access: Access,
) -> Result:
    """Make a profile: fresh keys in an encrypted file, and the request to be enrolled.

    Nothing is sent: for who was given no invitation, but the trust file. Give the request to your authority, which
    approves it with `countermark approve`; then run `countermark enrol`.

    Examples:
      countermark init --address ke.police.nairobi --broker https://broker.example --trust founding.trust
      countermark init … --token 'pkcs11:token=kenya?module-path=/usr/lib/softhsm/libsofthsm2.so'
    """
    parsed = parse_address(address, "--address")
    trust_file = read_trust(trust, expected)
    if out is not None and out.exists():
        raise click.UsageError(f"{out} exists: choose another name")
    check_broker_url(broker)
    given: list[StoredKey] = [
        k for path in key_files for k in load_private(path, access.passphrase_file).stored
    ]
    if further_instance and not any(k.use == SEALING for k in given):
        raise click.UsageError(
            "a further instance needs the endpoint's sealing key: `countermark key export --use sealing`"
        )
    needed = (INSTANCE, SEALING) if further_instance else (ADMINISTRATOR, INSTANCE, SEALING)
    common: _Common = {
        "address": parsed,
        "broker_url": broker,
        "trust": trust_file.document.data,
        "holder": holder,
        "recovery": load_public_key(recovery_key) if recovery_key is not None else None,
    }
    if token is not None:
        if second:
            raise click.UsageError(NO_PAIRS)
        if any(k.use != SEALING for k in given):
            raise click.UsageError(
                "--token makes the signing keys itself: --with-key takes a sealing key alone"
            )
        profile = Profile.create_in_token(
            access.home,
            token=token,
            pin=pin_for(token, access.passphrase_file),
            uses=[use for use in needed if use != SEALING],
            sealing=given or None,
            **common,
        )
    else:
        made = [
            make_key(use, second=second and use != SEALING)
            for use in needed
            if not any(k.use == use for k in given)
        ]
        profile = Profile.create(
            access.home, passphrase=access.passphrase(new=True), keys=[*made, *given], **common
        )
    profile.close()
    keystore = profile.keystore
    keys = [key_json(use, public) for use, public in keystore.public_keys()]
    lines = [
        f"profile        {access.home} for {parsed}",
        *compare_lines(trust_file, expected),
        *(f"{k['use']:<14} {k['fingerprint']}" for k in keys),
    ]
    if further_instance:
        public = access.home / "instance.pub"
        public.write_bytes(encode_json(keystore.signer(INSTANCE).public_key.to_json()) + b"\n")
        return Result(
            [
                *lines,
                f"next: let the administrator certify {public}: `countermark draft keys --add-instance`",
            ],
            home=str(access.home),
            address=parsed,
            log=trust_file.origin,
            trust_fingerprint=trust_file.fingerprint,
            keys=keys,
            public_file=str(public),
        )
    administrators = keystore.signers(ADMINISTRATOR)
    request = sign_gathering(
        Drafts(trust_file.origin).endpoint(
            parsed, name=name or parsed, administrator=[s.public_key for s in administrators]
        ),
        possession=administrators,
    )
    target = out or access.home / REQUEST_FILE
    write_private(target, request)
    mark = fingerprint(read_gathering(request).document.payload_hash)
    return Result(
        [
            *lines,
            f"request        {target}",
            f"its fingerprint {mark}",
            f"next: give the request to authority '{authority_of(parsed)}', tell it this last fingerprint by voice,",
            "and run `countermark enrol` once it has approved",
        ],
        home=str(access.home),
        address=parsed,
        log=trust_file.origin,
        trust_fingerprint=trust_file.fingerprint,
        keys=keys,
        request=str(target),
        request_fingerprint=mark,
    )


# --- governors and authorities -------------------------------------------------------------------------


@click.group("principal")
def principal() -> None:
    """Profiles of governors and authorities: they sign directory statements and send no messages."""


@principal.command("init")
@_broker
@_trust
@_expected
@click.option(
    "--key",
    "key_file",
    type=KEY,
    required=True,
    metavar="FILE|URI",
    help="Key file of the governor or authority, or pkcs11: URI of its key in a token.",
)
@click.option(
    "--key-passphrase-file", type=FILE, metavar="FILE", help="Its passphrase or PIN, if another one."
)
@click.option(
    "--use",
    type=click.Choice((AUTHORITY, GOVERNOR, ADMINISTRATOR)),
    default=AUTHORITY,
    show_default=True,
    help="What a key in a token is for.",
)
@with_home
@command
def principal_init(
    broker: str,
    trust: Path,
    expected: str | None,
    key_file: Path | str,
    key_passphrase_file: Path | None,
    use: str,
    access: Access,
) -> Result:
    """Make a profile that reads the directory with a governor's or authority's key.

    The key is copied into the profile, encrypted; one in a token stays there.

    Examples:
      countermark principal init --broker https://broker.example --trust founding.trust --key kenya.key
      countermark principal init … --key 'pkcs11:token=kenya;object=authority-1?module-path=…'
    """
    trust_file = read_trust(trust, expected)
    if isinstance(key_file, str):
        profile = Profile.create_in_token(
            access.home,
            address=None,
            broker_url=broker,
            trust=trust_file.document.data,
            token=token_library().token_in(key_file),
            pin=pin_for(key_file, key_passphrase_file or access.passphrase_file),
            uses=(),
            named={use: key_file},
        )
    else:
        profile = Profile.create(
            access.home,
            address=None,
            broker_url=broker,
            trust=trust_file.document.data,
            passphrase=access.passphrase(new=True),
            keys=load_private(key_file, key_passphrase_file or access.passphrase_file).stored,
        )
    profile.close()
    keys = [key_json(use, public) for use, public in profile.keystore.public_keys()]
    return Result(
        [
            f"profile        {access.home}",
            *compare_lines(trust_file, expected),
            *(f"{k['use']:<14} {k['fingerprint']}" for k in keys),
        ],
        home=str(access.home),
        log=trust_file.origin,
        trust_fingerprint=trust_file.fingerprint,
        keys=keys,
    )
