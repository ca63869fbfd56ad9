"""`countermark invite`, `enrol`, `approve`: how an endpoint comes to stand in the directory, in three steps.

By hand as well: `init` writes a request, `approve FILE` signs and publishes it, `enrol` finishes.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from countermark_client._invitations import PendingEnrolment, check_told
from countermark_client._invited import Link, parse_link
from countermark_client._keystore import (
    ADMINISTRATOR,
    AUTHORITY,
    INSTANCE,
    SEALING,
    make_key,
    write_private,
)
from countermark_client._profile import Profile
from countermark_client.cli import _late
from countermark_client.cli.common import (
    FILE,
    NEW_FILE,
    NO_PAIRS,
    Access,
    environment,
    load_public_key,
    now,
    pin_for,
    token_option,
    with_home,
)
from countermark_client.cli.documents import choose_signer, confirm, key_options
from countermark_client.cli.enrolment import compare_lines
from countermark_client.cli.output import Result, command, say, table, utc
from countermark_client.drafts import check_complete, check_signatures
from countermark_client.statements import sign_gathering
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import ConflictError, NotFoundError, SignatureError
from countermark_protocol.gathering import read_gathering
from countermark_protocol.identifiers import authority_of
from countermark_protocol.invitations import MAX_DAYS, parse_code, show_code
from countermark_protocol.keys import PublicKey, Signer, fingerprint
from countermark_protocol.records import EndpointRecord, KeysRecord, parse_directory_statement

if TYPE_CHECKING:
    from countermark_client import Client

# --- step 1: the authority invites ---------------------------------------------------------------------


@click.command("invite")
@click.argument("address", required=False)
@click.option(
    "--days", type=click.IntRange(1, MAX_DAYS), default=7, show_default=True, help="How long it lives."
)
@click.option("--withdraw", "withdrawn", metavar="CODE", help="Take an invitation back, and what came on it.")
@click.option("--qr/--no-qr", default=True, help="Whether to draw the link as a QR code.")
@with_home
@command
def invite(address: str | None, days: int, withdrawn: str | None, qr: bool, access: Access) -> Result:
    """Invite the endpoint ADDRESS of this authority: a code by which it finds its invitation.

    The code is a locator, not a secret: it gives nobody any right. Without ADDRESS, open invitations are listed.

    Examples:
      countermark invite ke.police.nairobi --days 3
      countermark invite
      countermark invite --withdraw K7QF-2MXA-9TBW
    """
    if (address is not None) and (withdrawn is not None):
        raise click.UsageError("ADDRESS and --withdraw exclude each other")
    with access.client() as client:
        if withdrawn is not None:
            client.withdraw_invitation(withdrawn)
            return Result([f"withdrawn: {show_code(parse_code(withdrawn))}"], code=parse_code(withdrawn))
        if address is None:
            return _open(client)
        made = client.invite(address, days)
        link = Link(made.code, client.profile.broker_url, client.profile.trust.fingerprint)
    lines: list[str | _late.Table] = [
        f"invited        {made.address}",
        f"code           {show_code(made.code)}",
        f"link           {link}",
        f"until          {utc(made.expires)}",
    ]
    if qr:
        lines.append(_late.draw_qr(str(link)))
    lines.append(
        "next: give it code and broker's URL, or the link, in any way you like; it runs `countermark enrol`"
    )
    return Result(lines, address=made.address, code=made.code, link=str(link), expires=made.expires)


def _open(client: Client) -> Result:
    found = client.invitations()
    states = [
        *((p, "invited") for p in found.open),
        *((w.pending, "waits for `countermark approve`") for w in found.waiting),
        *((p, f"UNUSABLE: {e.message}") for p, e in found.unusable),
    ]
    rows = [(p.address, show_code(p.code), utc(p.expires), state) for p, state in states]
    return Result(
        [table(("ADDRESS", "CODE", "UNTIL", "STATE"), rows)] if rows else ["no open invitations"],
        open=[{"address": p.address, "code": p.code, "expires": p.expires} for p in found.open],
        waiting=[waiting_json(w) for w in found.waiting],
        unusable=[{"address": p.address, "code": p.code, "error": e.code} for p, e in found.unusable],
    )


def waiting_json(found: PendingEnrolment) -> dict[str, object]:
    """A request that waits."""
    return {
        "address": found.pending.address,
        "name": found.enrolment.record.name,
        "code": found.pending.code,
        "fingerprint": found.fingerprint,
        "signed": found.signed,
        "threshold": found.threshold,
        "expires": found.pending.expires,
    }


# --- step 2: the endpoint makes its keys ---------------------------------------------------------------


@click.command("enrol")
@click.argument("invitation", metavar="[CODE|LINK]", required=False)
@click.option("--broker", help="URL of the broker, where a code is given and no link.")
@click.option("--name", help="For people. [default: the address]")
@click.option("--holder", default="default", show_default=True, help="Pseudonym of who uses this instance.")
@click.option(
    "--fingerprint", "expected", help="Of the trust file, where you were told it; a link holds it already."
)
@click.option("--second", is_flag=True, help="Pair the signing keys made here with ML-DSA-65 keys.")
@click.option(
    "--recovery-key", type=FILE, help="Public half of the recovery key that sealing keys are copied to."
)
@click.option(
    "--wait",
    "minutes",
    type=click.IntRange(0, 24 * 60),
    default=0,
    metavar="MINUTES",
    help="Wait so long for the authority's approval. [default: do not wait]",
)
@token_option
@with_home
@command
def enrol(
    invitation: str | None,
    broker: str | None,
    name: str | None,
    holder: str,
    expected: str | None,
    second: bool,
    recovery_key: Path | None,
    minutes: int,
    token: str | None,
    access: Access,
) -> Result:
    """Enrol by an invitation: make keys here, hand in the request, show its fingerprint.

    Tell your authority the fingerprint by voice. Run this again without arguments to wait for the approval, or to
    finish what went to the authority by hand. Keys never leave this machine.

    Examples:
      countermark enrol K7QF-2MXA-9TBW --broker https://broker.example --wait 10
      countermark enrol LINK --token 'pkcs11:token=kenya?module-path=/usr/lib/softhsm/libsofthsm2.so'
      countermark enrol
    """
    if invitation is None:
        return _finish(access, minutes)
    link = parse_link(invitation)
    authority: str | None = None
    if not (access.home / "profile.json").exists():
        verify = access.verify
        invited, trust = _late.fetch_invitation(
            link, broker, transport=environment().transport, verify=verify
        )
        if expected is not None:
            check_told(trust.fingerprint, expected, "the trust file that the broker gives")
        recovery = load_public_key(recovery_key) if recovery_key is not None else None
        url = broker or link.broker or ""
        data = trust.document.data
        _make(access, invited.address, url, data, holder, recovery, token, second=second)
        authority = invited.authority
    with access.client() as client:
        # Also of a profile made before, whose request was not handed in, or not answered: the same keys again.
        profile = client.profile
        address = profile.endpoint
        for told in (link.fingerprint, expected):
            if told is not None:
                check_told(profile.trust.fingerprint, told, f"the trust file of the profile {access.home}")
        mark = client.request_enrolment(link.code, name)
        lines = [
            f"profile        {access.home} for {address}",
            f"authority      {authority or authority_of(address)}",
            *compare_lines(profile.trust, profile.trust.fingerprint),
            f"fingerprint    {mark}",
            f"next: tell '{authority_of(address)}' this last fingerprint by voice; it runs `approve`",
        ]
        done = False
        if minutes:
            say("\n".join(lines))
            done = client.wait_enrolled(timedelta(minutes=minutes))
            lines = [_state(address, done=done)]
    return Result(
        lines,
        home=str(access.home),
        address=address,
        log=profile.log,
        trust_fingerprint=profile.trust.fingerprint,
        fingerprint=mark,
        enrolled=done,
    )


def _make(
    access: Access,
    address: str,
    broker: str,
    trust: bytes,
    holder: str,
    recovery: PublicKey | None,
    token: str | None,
    *,
    second: bool,
) -> None:
    if token is not None:
        if second:
            raise click.UsageError(NO_PAIRS)
        Profile.create_in_token(
            access.home,
            address=address,
            broker_url=broker,
            trust=trust,
            token=token,
            pin=pin_for(token, access.passphrase_file),
            holder=holder,
            uses=(ADMINISTRATOR, INSTANCE),
            recovery=recovery,
        ).close()
        return
    keys = [make_key(use, second=second and use != SEALING) for use in (ADMINISTRATOR, INSTANCE, SEALING)]
    Profile.create(
        access.home,
        address=address,
        broker_url=broker,
        trust=trust,
        passphrase=access.passphrase(new=True),
        holder=holder,
        keys=keys,
        recovery=recovery,
    ).close()


def _state(address: str, *, done: bool) -> str:
    if done:
        return f"enrolled: {address} can send and receive"
    return "not approved yet: run `countermark enrol --wait 10` to go on waiting"


def _finish(access: Access, minutes: int) -> Result:
    """Wait for the approval; where the request went by hand, publish the keys."""
    with access.client() as client:
        profile = client.profile
        address = profile.endpoint
        administrator = profile.keystore.signer(ADMINISTRATOR)
        if minutes and client.wait_enrolled(timedelta(minutes=minutes)):
            return Result([_state(address, done=True)], address=address, index=None)
        try:
            client.sync()
        except SignatureError as error:
            raise NotFoundError(
                "not_enrolled",
                f"the log knows no key of this profile: authority '{authority_of(address)}' has not approved "
                f"{address} yet ({error.code})",
            ) from error
        instance = profile.keystore.signer(INSTANCE)
        if client.directory.listed_instance(address, instance.public_key.key_id) is not None:
            return Result(
                [f"{address} is enrolled already: this instance's key counts"], address=address, index=None
            )
        held = client.directory.held(f"keys/{address}")
        if held is not None and isinstance(held.record, KeysRecord):
            raise ConflictError(
                "keys_stand",
                f"{address} has keys already, and this instance's is not among them: "
                "let its administrator add it with `countermark draft keys --add-instance`",
            )
        draft = client.drafts.keys(
            address,
            signing=[(instance.public_key, profile.holder)],
            sealing=profile.keystore.sealing_key().public_key,
        )
        index = client.publish_statement(sign_gathering(draft, [administrator], [instance]))
        client.sync()
    return Result(
        [
            f"enrolled: {address} can send and receive (entry {index})",
            f"keep the administrator's key elsewhere too: `countermark key export --use {ADMINISTRATOR}`",
        ],
        address=address,
        index=index,
        instance_key=instance.public_key.key_id.hex(),
    )


# --- step 3: the authority compares and approves -------------------------------------------------------


@click.command("approve")
@click.argument("request", metavar="[FILE|CODE]", required=False)
@key_options[0]
@key_options[1]
@click.option("--fingerprint", "expected", help="Of the request, as its applicant told you by voice.")
@click.option("--yes", is_flag=True, help="Do not ask: you have compared the fingerprint.")
@click.option("-o", "--out", type=NEW_FILE, help="Where to write it, if more of your keys must sign.")
@with_home
@command
def approve(
    request: str | None,
    key_file: Path | str | None,
    key_passphrase_file: Path | None,
    expected: str | None,
    yes: bool,
    out: Path | None,
    access: Access,
) -> Result:
    """Approve an endpoint's request: compare its fingerprint, sign, publish.

    Requests that came on invitations wait at the broker, one that came by hand is a FILE. Whoever holds the keys in
    it will be the endpoint: approve only what its applicant has told you by voice. Where several of the authority's
    keys must sign, each of their holders runs this, and the last one publishes.

    Examples:
      countermark approve
      countermark approve K7QF-2MXA-9TBW
      countermark approve --fingerprint '91c2 …'
      countermark approve nairobi.request --fingerprint '91c2 …'
    """
    signing = _Signing(key_file, key_passphrase_file, expected, yes)
    if request is not None and Path(request).is_file():
        return _approve_file(access, Path(request), signing, out)
    if out is not None:
        raise click.UsageError("--out goes with a request's FILE")
    with access.client() as client:
        found = _chosen(client, request, expected)
        if isinstance(found, Result):
            return found
        if expected is None:
            _ask(found.pending.address, found.enrolment.record.name, found.fingerprint, assumed=yes)
        signer = signing.signer(access, client)
        done = client.approve_enrolment(found, expected or found.fingerprint, signer)
    if done.index is None:
        lines = [
            f"signed, not published: {done.wanting} more of the authority's keys must sign",
            "next: its other signers run `countermark approve` too",
        ]
    else:
        lines = [
            f"enrolled: {done.address} (entries {done.index} and {done.keys_index}); it is ready to send and receive"
        ]
    return Result(
        lines,
        address=done.address,
        fingerprint=done.fingerprint,
        published=done.index is not None,
        index=done.index,
        wanting=done.wanting,
    )


class _Signing(NamedTuple):
    """How a request is approved: by which key, and what was told of it."""

    key_file: Path | str | None
    key_passphrase_file: Path | None
    expected: str | None
    yes: bool

    def signer(self, access: Access, client: Client) -> Signer:
        return choose_signer(access, self.key_file, AUTHORITY, self.key_passphrase_file, client.profile)


def _ask(address: str, name: str, mark: str, *, assumed: bool) -> None:
    say(f"address        {address}\nname           {name}\nfingerprint    {mark}")
    confirm("Has the applicant told you this fingerprint, by voice? Enrol it?", assumed=assumed)


def _chosen(client: Client, code: str | None, expected: str | None) -> PendingEnrolment | Result:
    """The request that is meant; a list, where that is not said."""
    invited = client.invitations()
    if code is not None:
        wanted = parse_code(code)
        error = next((e for p, e in invited.unusable if p.code == wanted), None)
        if error is not None:
            raise error
        found = [w for w in invited.waiting if w.pending.code == wanted]
        if not found:
            raise NotFoundError("no_request", f"no request waits on the invitation {show_code(wanted)}")
        return found[0]
    if expected is not None:
        told = "".join(expected.lower().split())
        found = [w for w in invited.waiting if "".join(w.fingerprint.split()) == told]
        if not found:
            raise SignatureError(
                "other_fingerprint",
                f"none of the {len(invited.waiting)} requests that wait has the fingerprint that you were told",
            )
        return found[0]
    if len(invited.waiting) == 1:
        return invited.waiting[0]
    rows = [
        (w.pending.address, show_code(w.pending.code), w.fingerprint, f"{w.signed} of {w.threshold}")
        for w in invited.waiting
    ]
    for pending, error in invited.unusable:
        say(f"warning: the request of {pending.address} is of no use: {error}")
    return Result(
        [table(("ADDRESS", "CODE", "FINGERPRINT", "SIGNED"), rows), "next: `countermark approve CODE`"]
        if rows
        else ["no request waits"],
        waiting=[waiting_json(w) for w in invited.waiting],
    )


def _approve_file(access: Access, request: Path, signing: _Signing, out: Path | None) -> Result:
    data = request.read_bytes()
    unverified = read_gathering(data).document
    statement = parse_directory_statement(unverified.claims)
    record = statement.record
    if not isinstance(record, EndpointRecord):
        malformed(
            "not_a_request", f"{request} is a statement of '{statement.subject}', not an endpoint's request"
        )
    mark = fingerprint(unverified.payload_hash)
    with access.client() as client:
        client.sync()
        if statement.header.log != client.profile.log:
            raise SignatureError("wrong_log", f"the request is for the log '{statement.header.log}'")
        check_signatures(client.directory, unverified)
        if signing.expected is not None:
            check_told(mark, signing.expected, f"the request {request}")
        else:
            _ask(record.address, record.name, mark, assumed=signing.yes)
        signer = signing.signer(access, client)
        signed = sign_gathering(data, [signer])
        try:
            check_complete(client.directory, read_gathering(signed).document, now())
        except SignatureError as error:
            if error.code != "too_few_signatures":
                raise
            target = out or request
            write_private(target, signed)
            return Result(
                [
                    f"signed, not published: {error.message}",
                    f"next: pass {target} on to the authority's other signers, who run the same command",
                ],
                address=record.address,
                fingerprint=mark,
                published=False,
                file=str(target),
            )
        index = client.publish_statement(signed)
    return Result(
        [f"enrolled: {record.address} (entry {index}); it now runs `countermark enrol`"],
        address=record.address,
        fingerprint=mark,
        published=True,
        index=index,
    )
