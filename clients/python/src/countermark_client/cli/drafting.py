"""`countermark draft`: directory statements as files that gather signatures.

Every command reads the directory first, so that the draft follows what stands.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import click

from countermark_client.cli.common import (
    FILE,
    Access,
    key_id_of,
    load_public_key,
    now,
    parse_time,
    with_home,
)
from countermark_client.cli.drafted import drafts_of, out_option, synced, written
from countermark_client.cli.governing import governance
from countermark_client.cli.output import Result, command
from countermark_client.cli.policies import read_table
from countermark_client.drafts import (
    change_authority,
    change_endpoint,
    change_group,
    change_keys,
)
from countermark_protocol.appointing import parse_term_of
from countermark_protocol.certificates import KeyCertificates
from countermark_protocol.default_policy import DEFAULT_POLICY
from countermark_protocol.identifiers import Role, parse_address
from countermark_protocol.offices import Alternate, OfficeHours, parse_office_hours
from countermark_protocol.records import Ground, InstanceKey, State
from countermark_protocol.resets import beginning_for

_DAY_MS: Final = 86_400_000
_ROLES = click.Choice([r.value for r in Role if r is not Role.BROKER])


@click.group("draft")
def draft() -> None:
    """Draft directory statements; then sign, pass on, publish.

    Who must sign what: governance, policy and authority the quorum of governors; endpoint and group the
    authority; keys the endpoint's administrator; revocation the key itself, its administrator, its authority
    or the governors. Every new signing key also proves possession (`document sign --possession`).
    """


def _state(suspend: bool, resume: bool) -> State | None:
    if suspend and resume:
        raise click.UsageError("--suspend and --resume exclude each other")
    return State.SUSPENDED if suspend else State.ACTIVE if resume else None


def with_certificates(function: Any) -> Any:
    """Give a command the option of certificates."""
    return click.option(
        "--certificate",
        "certificates",
        type=FILE,
        multiple=True,
        help="Certificate (PEM) of an existing PKI for one of the keys, with those above it; may be repeated.",
    )(function)


def _chains(files: tuple[Path, ...]) -> list[KeyCertificates]:
    # Loads what reads X.509, which few drafts need.
    from countermark_protocol.certificate_paths import parse_chain  # noqa: PLC0415

    return [parse_chain(file.read_bytes()) for file in files]


def _state_options(function: Any) -> Any:
    function = click.option("--resume", is_flag=True, help="Put it in force again.")(function)
    return click.option("--suspend", is_flag=True, help="Put it out of force.")(function)


@draft.command("policy")
@click.option("--default", "use_default", is_flag=True, help="The table of docs/spec/policy.md §4.")
@click.option(
    "--file", type=FILE, help="A table of your own, as `countermark policy show` writes it; try it first."
)
@out_option
@with_home
@command
def policy(use_default: bool, file: Path | None, out: Path, access: Access) -> Result:
    """Draft the policy table: who may send what to whom. What no rule allows is refused.

    Examples:
      countermark draft policy --default -o policy.draft
      countermark draft policy --file table.json -o policy.draft
    """
    if use_default == (file is not None):
        raise click.UsageError("say either --default or --file")
    table = DEFAULT_POLICY
    if file is not None:
        table = read_table(file)
    with synced(access) as client:
        return written(drafts_of(client).policy(table), out, client)


@draft.command("authority")
@click.argument("code")
@click.option("--name", help="For people, e.g. 'Kenya National Focal Point'.")
@click.option("--key", "keys", type=FILE, multiple=True, help=".pub file of a key to add; may be repeated.")
@click.option("--remove-key", "removed", multiple=True, help="Key id or .pub file of a key to remove.")
@click.option("--threshold", type=click.IntRange(1, 32), help="How many of its keys must sign. [default: 1]")
@click.option(
    "--role", "roles", type=_ROLES, multiple=True, help="It may enrol; may be repeated; all of them."
)
@with_certificates
@_state_options
@out_option
@with_home
@command
def authority(
    code: str,
    name: str | None,
    keys: tuple[Path, ...],
    removed: tuple[str, ...],
    threshold: int | None,
    roles: tuple[str, ...],
    certificates: tuple[Path, ...],
    suspend: bool,
    resume: bool,
    out: Path,
    access: Access,
) -> Result:
    """Admit the authority CODE, or change what stands of it.

    Examples:
      countermark draft authority ke --name 'Kenya' --key ke.key.pub --role police --role customs -o ke.draft
      countermark draft authority ke --suspend -o ke.draft
    """
    with synced(access) as client:
        data = change_authority(
            drafts_of(client),
            client.directory,
            code,
            name=name,
            add_keys=[load_public_key(k) for k in keys],
            remove_keys=[key_id_of(k) for k in removed],
            threshold=threshold,
            roles=roles or None,
            state=_state(suspend, resume),
            certificates=_chains(certificates),
        )
        return written(data, out, client)


@draft.command("endpoint")
@click.argument("address")
@click.option("--name", help="For people.")
@click.option("--key", "keys", type=FILE, multiple=True, help=".pub file of an administrator's key to add.")
@click.option("--remove-key", "removed", multiple=True, help="Key id or .pub file of a key to remove.")
@click.option("--threshold", type=click.IntRange(1, 32), help="How many of them must sign. [default: 1]")
@click.option(
    "--audits-since", metavar="TIME", help="An auditor: it audits its authority's endpoints from then on."
)
@click.option("--audits-until", metavar="TIME", help="… and before then, e.g. 2027-12-31.")
@click.option("--withdraw-audits", is_flag=True, help="It audits them no more.")
@click.option(
    "--two-persons/--one-person",
    default=None,
    help="Whether a second person must sign all that it sends. [default: as it stands]",
)
@click.option(
    "--alternate",
    "alternates",
    metavar="ADDRESS[@SINCE..UNTIL]",
    multiple=True,
    help="Stands in for it, always or in that time; may be repeated: all of them, a duty roster.",
)
@click.option("--no-alternates", is_flag=True, help="Nobody stands in for it any more.")
@click.option(
    "--office-hours",
    metavar="HOURS",
    help="When somebody is there: days, hours and time zone, e.g. '1-5 08:00-17:00 Africa/Nairobi'; 1 is Monday.",
)
@click.option("--no-office-hours", is_flag=True, help="Say nothing of when somebody is there.")
@with_certificates
@_state_options
@out_option
@with_home
@command
def endpoint(
    address: str,
    name: str | None,
    keys: tuple[Path, ...],
    removed: tuple[str, ...],
    threshold: int | None,
    audits_since: str | None,
    audits_until: str | None,
    withdraw_audits: bool,
    alternates: tuple[str, ...],
    no_alternates: bool,
    office_hours: str | None,
    no_office_hours: bool,
    two_persons: bool | None,
    certificates: tuple[Path, ...],
    suspend: bool,
    resume: bool,
    out: Path,
    access: Access,
) -> Result:
    """Enrol the endpoint ADDRESS, or change what stands of it.

    A new endpoint is enrolled more easily by `countermark invite` here and `countermark enrol` there.

    Examples:
      countermark draft endpoint ke.police.nairobi --suspend -o nairobi.draft
      countermark draft endpoint ke.auditor.office --audits-since 2026-12-01 --audits-until 2027-12-01 -o office.draft
    """
    if (audits_since is None) != (audits_until is None):
        raise click.UsageError("--audits-since and --audits-until go together")
    if withdraw_audits and audits_since is not None:
        raise click.UsageError("--withdraw-audits and a term exclude each other")
    if alternates and no_alternates:
        raise click.UsageError("--alternate and --no-alternates exclude each other")
    if office_hours and no_office_hours:
        raise click.UsageError("--office-hours and --no-office-hours exclude each other")
    standing_in = [_alternate(a) for a in alternates]
    audits = parse_term_of(audits_since, audits_until) if audits_since and audits_until else None
    with synced(access) as client:
        data = change_endpoint(
            drafts_of(client),
            client.directory,
            address,
            name=name,
            add_keys=[load_public_key(k) for k in keys],
            remove_keys=[key_id_of(k) for k in removed],
            threshold=threshold,
            state=_state(suspend, resume),
            audits=audits,
            withdraw_audits=withdraw_audits,
            alternates=standing_in if standing_in or no_alternates else None,
            office_hours=_hours(office_hours) if office_hours else None,
            no_office_hours=no_office_hours,
            two_persons=two_persons,
            certificates=_chains(certificates),
        )
        return written(data, out, client)


def _alternate(text: str) -> Alternate:
    address, at, term = text.partition("@")
    if not at:
        return Alternate(parse_address(address, "--alternate"))
    since, dots, until = term.partition("..")
    if not dots:
        raise click.BadParameter("--alternate: expected ADDRESS or ADDRESS@SINCE..UNTIL")
    return Alternate(parse_address(address, "--alternate"), parse_term_of(since, until))


def _hours(text: str) -> OfficeHours:
    found = re.fullmatch(r"([1-7](?:[-,][1-7])*) (\d\d:\d\d)-(\d\d:\d\d) (\S+)", text.strip())
    if found is None:
        raise click.BadParameter("--office-hours: expected e.g. '1-5 08:00-17:00 Africa/Nairobi'")
    days: set[int] = set()
    for part in found[1].split(","):
        first, _, last = part.partition("-")
        days |= set(range(int(first), int(last or first) + 1))
    value = {"zone": found[4], "days": sorted(days), "opens": found[2], "closes": found[3]}
    return parse_office_hours(value, "--office-hours")


@draft.command("keys")
@click.argument("address")
@click.option(
    "--restate",
    is_flag=True,
    help="State them anew without a change: where they stand no more after a theft.",
)
@click.option("--add-instance", type=FILE, help=".pub file of a further instance's key.")
@click.option("--holder", default="default", show_default=True, help="Pseudonym of who holds it.")
@click.option("--remove-instance", "removed", multiple=True, help="Key id or .pub file; may be repeated.")
@click.option("--sealing", type=FILE, help=".pub file of a new sealing key.")
@click.option(
    "--overlap-days",
    type=click.IntRange(0, 92),
    help="Days for which messages to the sealing key before it are still accepted; 0 if that key is lost.",
)
@click.option(
    "--until",
    metavar="TIME",
    help="When the new keys, or those of --end-instance, count no more, e.g. 2027-12-31. [default: no end]",
)
@click.option(
    "--end-instance",
    "ending",
    multiple=True,
    help="Key id or .pub file that ends at --until; may be repeated.",
)
@click.option(
    "--countersigned",
    is_flag=True,
    help="After a reset: the administrator before will countersign, so that the sealing key need not wait.",
)
@with_certificates
@out_option
@with_home
@command
def keys(
    address: str,
    restate: bool,
    add_instance: Path | None,
    holder: str,
    removed: tuple[str, ...],
    sealing: Path | None,
    overlap_days: int | None,
    until: str | None,
    ending: tuple[str, ...],
    countersigned: bool,
    certificates: tuple[Path, ...],
    out: Path,
    access: Access,
) -> Result:
    """Change the keys of the endpoint ADDRESS: its instances, its sealing key.

    After a reset of the administrator by its authority a new sealing key waits as long as the log says, unless
    --countersigned: then the administrator before also signs, by `document sign --countersign`.

    Examples:
      countermark draft keys ke.police.nairobi --add-instance desk-2.key.pub --holder desk-2 -o keys.draft
      countermark draft keys ke.police.nairobi --sealing new.key.pub --overlap-days 30 -o keys.draft
    """
    if restate == bool(add_instance or removed or sealing or ending or certificates):
        raise click.UsageError(
            "nothing to change: say --add-instance, --remove-instance, --end-instance, --sealing or --certificate; "
            "or --restate alone"
        )
    if (sealing is None) != (overlap_days is None):
        raise click.UsageError("--sealing and --overlap-days go together")
    if ending and until is None:
        raise click.UsageError("--end-instance needs --until")
    end = int(parse_time(until, "--until").timestamp() * 1000) if until is not None else None
    with synced(access) as client:
        begins = 0
        if sealing is not None and not countersigned:
            begins = beginning_for(client.directory, parse_address(address), now())
        data = change_keys(
            drafts_of(client),
            client.directory,
            address,
            add=[InstanceKey(load_public_key(add_instance), holder, end)] if add_instance else [],
            remove=[key_id_of(k) for k in removed],
            ends={key_id_of(k): end for k in ending} if end is not None else None,
            sealing=load_public_key(sealing) if sealing else None,
            overlap_until=max(begins, now()) + overlap_days * _DAY_MS if overlap_days else 0,
            sealing_from=begins,
            sealing_until=end if sealing else None,
            now=now(),
            certificates=_chains(certificates),
        )
        return written(data, out, client)


@draft.command("group")
@click.argument("name")
@click.option("--title", help="For people.")
@click.option("--add", multiple=True, help="Address of a new member; may be repeated.")
@click.option("--remove", multiple=True, help="Address of a member to remove; may be repeated.")
@_state_options
@out_option
@with_home
@command
def group(
    name: str,
    title: str | None,
    add: tuple[str, ...],
    remove: tuple[str, ...],
    suspend: bool,
    resume: bool,
    out: Path,
    access: Access,
) -> Result:
    """Make the group NAME (<owner>/<name>), or change it.

    Example:
      countermark draft group xo-eac/customs --title 'Customs of the EAC' --add ke.customs.mombasa -o group.draft
    """
    with synced(access) as client:
        data = change_group(
            drafts_of(client),
            client.directory,
            name,
            title=title,
            add=add,
            remove=remove,
            state=_state(suspend, resume),
        )
        return written(data, out, client)


@draft.command("revocation")
@click.argument("key")
@click.option("--ground", type=click.Choice([g.value for g in Ground]), required=True, help="Why.")
@click.option(
    "--compromised-at", help="Since when its signatures are not to be trusted, e.g. 2026-12-01T09:00Z."
)
@out_option
@with_home
@command
def revocation(key: str, ground: str, compromised_at: str | None, out: Path, access: Access) -> Result:
    """Revoke KEY (key id, or .pub file) for good, from the moment this is in the log.

    Example:
      countermark draft revocation desk-2.key.pub --ground loss -o revocation.draft
    """
    since = int(parse_time(compromised_at, "--compromised-at").timestamp() * 1000) if compromised_at else None
    with synced(access) as client:
        data = drafts_of(client).revocation(key_id_of(key), ground=ground, compromised_at=since)
        return written(data, out, client)


draft.add_command(governance)
