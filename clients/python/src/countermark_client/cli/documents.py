"""`countermark document`: files that pass from hand to hand until all who must have signed them."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import click

from countermark_client._keystore import SIGNING_USES, Keystore, write_private
from countermark_client._profile import Profile
from countermark_client._trust import read_trust_file
from countermark_client.cli import _late
from countermark_client.cli.appointed import appointments
from countermark_client.cli.common import (
    FILE,
    KEY,
    NEW_FILE,
    Access,
    load_private,
    load_token_signer,
    now,
    with_home,
)
from countermark_client.cli.output import Result, command, safe, say
from countermark_client.drafts import check_complete, principal_of
from countermark_protocol.claims import DIRECTORY_KINDS, Claims, Kind, read_header
from countermark_protocol.directory import Directory
from countermark_protocol.documents import Purpose, Signature, UnverifiedDocument
from countermark_protocol.errors import CountermarkError, NotFoundError, SignatureError, TransportError
from countermark_protocol.gathering import (
    add_signature,
    finish_gathering,
    merge_gatherings,
    read_gathering,
)
from countermark_protocol.judging import resolve_signer
from countermark_protocol.keys import PublicKey, Signer, fingerprint
from countermark_protocol.records import DirectoryStatement, keys_in, parse_directory_statement


@click.group("document")
def document() -> None:
    """Show, sign, merge and publish directory statements passed on as files."""


_WHY = {
    Purpose.SIGN: "what is shown",
    Purpose.POSSESSION: "to prove that you hold it",
    Purpose.COUNTERSIGN: "to stand behind what is shown, as the administrator before",
}


class Described(NamedTuple):
    """What is told of a document: for people, and as JSON."""

    lines: list[str]
    members: dict[str, Any]


# --- describing ----------------------------------------------------------------------------------------


def statement_of(unverified: UnverifiedDocument) -> DirectoryStatement | None:
    """The directory statement that a document is, or None."""
    kind = read_header(Claims(unverified.claims, "payload")).kind
    return parse_directory_statement(unverified.claims) if kind in DIRECTORY_KINDS else None


def _key_of(signature: Signature, directory: Directory, named: tuple[PublicKey, ...]) -> PublicKey | None:
    return resolve_signer(directory, named, signature.key_id)


def _verdict(unverified: UnverifiedDocument, signature: Signature, key: PublicKey | None) -> str:
    if key is None:
        return "not checked: this key is not known here"
    try:
        signature.verify(unverified.payload, key)
    except SignatureError as error:
        return f"DOES NOT VERIFY: {error.message}"
    return "verified"


def _still_wanted(
    unverified: UnverifiedDocument, directory: Directory, kind: Kind
) -> CountermarkError | None:
    """Why the statement would not be accepted yet, or None if it would be."""
    try:
        if not unverified.signatures:
            raise SignatureError("too_few_signatures", "nobody has signed it yet")
        check_complete(Directory() if kind is Kind.FOUNDING else directory, unverified, now())
    except CountermarkError as error:
        return error
    return None


def describe(unverified: UnverifiedDocument, directory: Directory) -> Described:
    """Everything about a document that a signer should look at.

    Args:
        unverified: as read from the file.
        directory: as verified, or empty where there is no profile.
    """
    header = read_header(Claims(unverified.claims, "payload"))
    statement = statement_of(unverified)
    kind = str(unverified.claims["kind"])
    named = keys_in(statement.record) if statement is not None else ()
    mark = fingerprint(unverified.payload_hash)
    lines = [f"kind         {kind}"]
    if statement is not None:
        lines.append(f"subject      {statement.subject}")
    lines += [
        f"log          {header.log}",
        f"fingerprint  {mark}",
        f"payload hash {unverified.payload_hash.hex()}",
        "signatures",
    ]
    signatures: list[dict[str, str]] = []
    halves = {
        key.second.key_id: key.second
        for s in unverified.counted
        if (key := _key_of(s, directory, named)) is not None and key.second is not None
    }
    for s in unverified.signatures:
        verdict = _verdict(unverified, s, halves.get(s.key_id) or _key_of(s, directory, named))
        whose = ", ".join(directory.subjects_of_key(s.key_id))
        purpose = s.purpose.name.lower()
        signatures.append({"key_id": s.key_id.hex(), "purpose": purpose, "verdict": verdict, "key_of": whose})
        lines.append(f"  {s.key_id.hex()}  {purpose:<11} {verdict}{f' (key in {whose})' if whose else ''}")
    if not unverified.signatures:
        lines.append("  none yet")
    members: dict[str, Any] = {
        "kind": kind,
        "log": header.log,
        "fingerprint": mark,
        "payload_hash": unverified.payload_hash.hex(),
        "signatures": signatures,
        "payload": unverified.claims,
    }
    if statement is not None:
        members["subject"] = statement.subject
        # Without a directory only a founding, which brings its own keys, can be judged.
        if directory.count or header.kind is Kind.FOUNDING:
            told = _completeness(unverified, statement, directory)
            lines += told.lines
            members |= told.members
        else:
            lines.append("complete     not checked: without a profile the directory is not known")
    lines += [*(appointments(statement.record) if statement is not None else ()), "payload"]
    text = json.dumps(unverified.claims, indent=2, ensure_ascii=False)
    lines += [f"  {safe(line)}" for line in text.splitlines()]
    return Described(lines, members)


def _completeness(
    unverified: UnverifiedDocument, statement: DirectoryStatement, directory: Directory
) -> Described:
    principal = principal_of(directory, statement)
    signed = {s.key_id for s in unverified.signatures if s.purpose is Purpose.SIGN}
    lines: list[str] = []
    members: dict[str, Any] = {}
    if principal is not None:
        have = len(signed & principal.ids)
        lines.append(f"must sign    {principal.threshold} of {len(principal.keys)} keys; {have} have signed")
        missing = sorted(principal.ids - signed)
        if have < principal.threshold:
            lines += [f"  {k.hex()}  may still sign" for k in missing]
        members["principal"] = {
            "threshold": principal.threshold,
            "signed": have,
            "may_sign": [k.hex() for k in missing],
        }
    error = _still_wanted(unverified, directory, statement.header.kind)
    done = error is None
    lines.append(f"complete     {'yes' if error is None else f'no: {error.message} [{error.code}]'}")
    members["complete"] = done
    if error is not None:
        members["wanting"] = {"code": error.code, "message": error.message}
    return Described(lines, members)


def directory_here(access: Access) -> Directory:
    """The directory as it stands; as last verified where it cannot be read, empty without a profile."""
    if not (access.home / "profile.json").exists():
        return Directory()
    with access.client() as client:
        try:
            client.sync()
        except (TransportError, SignatureError) as error:
            say(f"warning: the directory could not be read: {error}")
        return client.directory


# --- commands ------------------------------------------------------------------------------------------


@document.command("show")
@click.argument("file", type=FILE)
@with_home
@command
def show(file: Path, access: Access) -> Result:
    """Show who signed FILE, what it says, and who must still sign.

    With a profile, signatures are checked against the directory; without one, against the keys in the
    document itself.

    Example:
      countermark document show authority.draft
    """
    described = describe(read_gathering(file.read_bytes()).document, directory_here(access))
    return Result(described.lines, **described.members)


def choose_signer(
    access: Access,
    key_file: Path | str | None,
    use: str | None,
    key_passphrase: Path | None,
    opened: Profile | None = None,
) -> Signer:
    """The one key to sign with: of a key file, in a token, or of the profile.

    Args:
        access: to the profile.
        key_file: to be used instead; or the URI of a key in a token.
        use: of the key, where there are several.
        key_passphrase: file with the key file's passphrase.
        opened: the profile, where it is open already.

    Raises:
        NotFoundError: ``no_such_key``: there is none for that use.
        click.UsageError: there are several, and `use` was not given.
    """
    if isinstance(key_file, str):
        return load_token_signer(key_file, key_passphrase)
    if key_file is not None:
        keystore: Keystore = load_private(key_file, key_passphrase or access.passphrase_file)
        found = [(u, s) for u in SIGNING_USES for s in keystore.signers(u)]
    else:
        with contextlib.nullcontext(opened) if opened is not None else access.profile() as profile:
            # The newest of each use: what came before it has been replaced.
            found = [(u, s) for u in SIGNING_USES for s in profile.keystore.signers(u)[:1]]
    if use is not None:
        found = [(u, s) for u, s in found if u == use]
    if not found:
        wanted = f"a signing key for '{use}'" if use else "a signing key"
        raise NotFoundError("no_such_key", f"{key_file or access.home} holds no {wanted.removeprefix('a ')}")
    if len(found) > 1:
        raise click.UsageError(f"which key? say --use {'|'.join(sorted({u for u, _ in found}))}")
    return found[0][1]


def confirm(question: str, *, assumed: bool) -> None:
    """Ask for consent on standard error, unless it was given on the command line.

    Raises:
        click.UsageError: not given, or nobody to ask.
    """
    if assumed:
        return
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort:
        raise click.UsageError("this needs your consent: look at what is shown, then give --yes") from None
    if not agreed:
        raise click.UsageError("nothing was done")


key_options = (
    click.option(
        "--key",
        "key_file",
        type=KEY,
        metavar="FILE|URI",
        help="Key file, or pkcs11: URI of a key in a token, to sign with; else a key of the profile.",
    ),
    click.option(
        "--key-passphrase-file", type=FILE, metavar="FILE", help="Its passphrase or PIN, if another one."
    ),
)


@document.command("sign")
@click.argument("file", type=FILE)
@key_options[0]
@key_options[1]
@click.option("--use", type=click.Choice(SIGNING_USES), help="Which key, where there are several.")
@click.option("--possession", is_flag=True, help="Prove that you hold a key which the document names as new.")
@click.option(
    "--countersign",
    is_flag=True,
    help="As the administrator before a reset, stand behind the keys of the one after it.",
)
@click.option("-o", "--out", type=NEW_FILE, help="File to write. [default: FILE itself]")
@click.option("--yes", is_flag=True, help="Do not ask: you have looked at the document.")
@with_home
@command
def sign(
    file: Path,
    key_file: Path | str | None,
    key_passphrase_file: Path | None,
    use: str | None,
    possession: bool,
    countersign: bool,
    out: Path | None,
    yes: bool,
    access: Access,
) -> Result:
    """Add one signature to FILE, after showing what it says.

    Examples:
      countermark document sign authority.draft --key kenya.key
      countermark document sign authority.draft --key mine.key --possession
      countermark document sign authority.draft --key 'pkcs11:token=kenya;object=authority-1?module-path=…'
    """
    if possession and countersign:
        raise click.UsageError("--possession and --countersign exclude each other")
    purpose = Purpose.POSSESSION if possession else Purpose.COUNTERSIGN if countersign else Purpose.SIGN
    data = file.read_bytes()
    unverified = read_gathering(data).document
    statement = statement_of(unverified)
    if statement is None:
        raise click.UsageError("only directory statements gather signatures; messages are signed when sent")
    described = describe(unverified, directory_here(access) if key_file is None else Directory())
    if not yes:
        say("\n".join(described.lines))
    signer = choose_signer(access, key_file, use, key_passphrase_file)
    own = signer.public_key.key_id
    if possession and own not in {k.key_id for k in keys_in(statement.record)}:
        raise SignatureError(
            "wrong_signer", f"key {own.hex()} is not named in this document: it has nothing to prove"
        )
    confirm(
        f"Sign with key {own.hex()[:16]} {_WHY[purpose]}?",
        assumed=yes,
    )
    signed = add_signature(data, signer, purpose)
    target = out or file
    write_private(target, signed)
    after = [s.key_id.hex() for s in read_gathering(signed).document.signatures]
    return Result(
        [
            f"signed: {target} ({len(after)} signature{'s' if len(after) > 1 else ''})",
            f"fingerprint: {fingerprint(unverified.payload_hash)}",
        ],
        file=str(target),
        key_id=own.hex(),
        purpose=purpose.name.lower(),
        signed_by=after,
        fingerprint=fingerprint(unverified.payload_hash),
    )


@document.command("merge")
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option("-o", "--out", type=NEW_FILE, required=True, help="File to write.")
@command
def merge(files: tuple[Path, ...], out: Path) -> Result:
    """Put the signatures of several copies of one document together.

    Example:
      countermark document merge from-ke.draft from-be.draft -o all.draft
    """
    if len(files) < 2:
        raise click.UsageError("expected at least two files to merge")
    merged = files[0].read_bytes()
    for other in files[1:]:
        merged = merge_gatherings(merged, other.read_bytes())
    signers = [s.key_id.hex() for s in read_gathering(merged).document.signatures]
    write_private(out, merged)
    return Result(
        [f"merged: {out} ({len(signers)} signatures)"],
        file=str(out),
        signed_by=signers,
    )


@document.command("publish")
@click.argument("file", type=FILE)
@click.option("--broker", help="URL of the broker, if there is no profile; needs --trust.")
@click.option("--trust", type=FILE, help="Trust file of the log, to check the broker's answer with.")
@with_home
@command
def publish(file: Path, broker: str | None, trust: Path | None, access: Access) -> Result:
    """Post FILE, once all who must have signed it; checks the proof that it is in the log.

    Anyone may publish a complete statement: it authenticates itself.

    Examples:
      countermark document publish authority.draft
      countermark document publish policy.draft --broker https://broker.example --trust founding.trust
    """
    data = finish_gathering(file.read_bytes())
    if (broker is None) != (trust is None):
        raise click.UsageError("--broker and --trust go together; without both the profile's are used")
    if broker is not None and trust is not None:
        index = _late.publish_with_trust(broker, read_trust_file(trust.read_bytes()), data, access.verify)
    else:
        with access.client() as client:
            client.sync()
            index = client.publish_statement(data)
    claims = read_gathering(data).document.claims
    return Result(
        [f"published: {claims['subject']} is entry {index} of the log"],
        subject=claims["subject"],
        index=index,
    )


@document.command("import")
@click.argument("file", type=FILE)
@with_home
@command
def import_revocation(file: Path, access: Access) -> Result:
    """Honour FILE, a signed revocation that came by another path than the log: by mail, on paper, by hand.

    From now on this profile seals nothing to the revoked key, and marks as doubtful what it signs. If the log
    does not show the revocation within a minute of reading it, an alarm is raised; `document publish` posts it.

    Examples:
      countermark document import revoked.draft
    """
    data = finish_gathering(file.read_bytes())
    with access.client() as client:
        client.import_revocation(data)
        alarms = client.alarms
    claims = read_gathering(data).document.claims
    return Result(
        [f"honoured: {claims['subject']}", *(f"alarm: {alarm}" for alarm in alarms)],
        subject=claims["subject"],
        alarms=list(alarms),
    )
