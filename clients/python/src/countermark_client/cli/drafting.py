"""`countermark draft`: directory statements as files that gather signatures.

Every command reads the directory first, so that the draft follows what stands.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from countermark_client._sync import Client
from countermark_client.cli.common import (
    FILE,
    NEW_FILE,
    Access,
    key_id_of,
    load_public_key,
    now,
    parse_time,
    with_home,
    write_new,
)
from countermark_client.cli.documents import describe
from countermark_client.cli.output import Result, command
from countermark_client.drafts import (
    change_authority,
    change_endpoint,
    change_governance,
    change_group,
    change_keys,
)
from countermark_protocol.claims import Claims
from countermark_protocol.default_policy import DEFAULT_POLICY
from countermark_protocol.encoding import parse_object
from countermark_protocol.gathering import read_gathering
from countermark_protocol.identifiers import Role
from countermark_protocol.policy import parse_policy
from countermark_protocol.records import Ground, State

_DAY_MS: Final = 86_400_000
_ROLES = click.Choice([r.value for r in Role if r is not Role.BROKER])
_out = click.option("-o", "--out", type=NEW_FILE, required=True, help="File to write.")


@click.group("draft")
def draft() -> None:
    """Draft directory statements; then sign, pass on, publish.

    Who must sign what: governance, policy and authority the quorum of governors; endpoint and group the
    authority; keys the endpoint's administrator; revocation the key itself, its administrator, its authority
    or the governors. Every new signing key also proves possession (`document sign --possession`).
    """


@contextlib.contextmanager
def _synced(access: Access) -> Iterator[Client]:
    with access.client() as client:
        client.sync()
        yield client


def _written(data: bytes, out: Path, client: Client) -> Result:
    write_new(out, data)
    described = describe(read_gathering(data).document, client.directory)
    return Result(
        [*described.lines, f"written: {out}", "next: `countermark document sign` by all who must sign it"],
        file=str(out),
        **described.members,
    )


def _state(suspend: bool, resume: bool) -> State | None:
    if suspend and resume:
        raise click.UsageError("--suspend and --resume exclude each other")
    return State.SUSPENDED if suspend else State.ACTIVE if resume else None


def _state_options(function: Any) -> Any:
    function = click.option("--resume", is_flag=True, help="Put it in force again.")(function)
    return click.option("--suspend", is_flag=True, help="Put it out of force.")(function)


@draft.command("policy")
@click.option("--default", "use_default", is_flag=True, help="The table of docs/spec/policy.md §4.")
@click.option("--file", type=FILE, help='A table of your own: {"semantics": 1, "rules": […]}.')
@_out
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
        claims = Claims(parse_object(file.read_bytes(), file.name), "policy")
        table = parse_policy(claims)
        claims.done()
    with _synced(access) as client:
        return _written(client.drafts.policy(table), out, client)


@draft.command("authority")
@click.argument("code")
@click.option("--name", help="For people, e.g. 'Kenya National Focal Point'.")
@click.option("--key", "keys", type=FILE, multiple=True, help=".pub file of a key to add; may be repeated.")
@click.option("--remove-key", "removed", multiple=True, help="Key id or .pub file of a key to remove.")
@click.option("--threshold", type=click.IntRange(1, 32), help="How many of its keys must sign. [default: 1]")
@click.option(
    "--role", "roles", type=_ROLES, multiple=True, help="It may enrol; may be repeated; all of them."
)
@_state_options
@_out
@with_home
@command
def authority(
    code: str,
    name: str | None,
    keys: tuple[Path, ...],
    removed: tuple[str, ...],
    threshold: int | None,
    roles: tuple[str, ...],
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
    with _synced(access) as client:
        data = change_authority(
            client.drafts,
            client.directory,
            code,
            name=name,
            add_keys=[load_public_key(k) for k in keys],
            remove_keys=[key_id_of(k) for k in removed],
            threshold=threshold,
            roles=roles or None,
            state=_state(suspend, resume),
        )
        return _written(data, out, client)


@draft.command("endpoint")
@click.argument("address")
@click.option("--name", help="For people.")
@click.option("--key", "keys", type=FILE, multiple=True, help=".pub file of an administrator's key to add.")
@click.option("--remove-key", "removed", multiple=True, help="Key id or .pub file of a key to remove.")
@click.option("--threshold", type=click.IntRange(1, 32), help="How many of them must sign. [default: 1]")
@_state_options
@_out
@with_home
@command
def endpoint(
    address: str,
    name: str | None,
    keys: tuple[Path, ...],
    removed: tuple[str, ...],
    threshold: int | None,
    suspend: bool,
    resume: bool,
    out: Path,
    access: Access,
) -> Result:
    """Enrol the endpoint ADDRESS, or change what stands of it.

    A new endpoint is enrolled more easily by `countermark init` there and `countermark enrol approve` here.

    Example:
      countermark draft endpoint ke.police.nairobi --suspend -o nairobi.draft
    """
    with _synced(access) as client:
        data = change_endpoint(
            client.drafts,
            client.directory,
            address,
            name=name,
            add_keys=[load_public_key(k) for k in keys],
            remove_keys=[key_id_of(k) for k in removed],
            threshold=threshold,
            state=_state(suspend, resume),
        )
        return _written(data, out, client)


@draft.command("keys")
@click.argument("address")
@click.option("--add-instance", type=FILE, help=".pub file of a further instance's key.")
@click.option("--holder", default="default", show_default=True, help="Pseudonym of who holds it.")
@click.option("--remove-instance", "removed", multiple=True, help="Key id or .pub file; may be repeated.")
@click.option("--sealing", type=FILE, help=".pub file of a new sealing key.")
@click.option(
    "--overlap-days",
    type=click.IntRange(0, 92),
    help="Days for which messages to the sealing key before it are still accepted; 0 if that key is lost.",
)
@_out
@with_home
@command
def keys(
    address: str,
    add_instance: Path | None,
    holder: str,
    removed: tuple[str, ...],
    sealing: Path | None,
    overlap_days: int | None,
    out: Path,
    access: Access,
) -> Result:
    """Change the keys of the endpoint ADDRESS: its instances, its sealing key.

    Examples:
      countermark draft keys ke.police.nairobi --add-instance desk-2.key.pub --holder desk-2 -o keys.draft
      countermark draft keys ke.police.nairobi --sealing new.key.pub --overlap-days 30 -o keys.draft
    """
    if not (add_instance or removed or sealing):
        raise click.UsageError("nothing to change: say --add-instance, --remove-instance or --sealing")
    if (sealing is None) != (overlap_days is None):
        raise click.UsageError("--sealing and --overlap-days go together")
    with _synced(access) as client:
        data = change_keys(
            client.drafts,
            client.directory,
            address,
            add=[(load_public_key(add_instance), holder)] if add_instance else [],
            remove=[key_id_of(k) for k in removed],
            sealing=load_public_key(sealing) if sealing else None,
            overlap_until=now() + overlap_days * _DAY_MS if overlap_days else 0,
        )
        return _written(data, out, client)


@draft.command("group")
@click.argument("name")
@click.option("--title", help="For people.")
@click.option("--add", multiple=True, help="Address of a new member; may be repeated.")
@click.option("--remove", multiple=True, help="Address of a member to remove; may be repeated.")
@_state_options
@_out
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
    with _synced(access) as client:
        data = change_group(
            client.drafts,
            client.directory,
            name,
            title=title,
            add=add,
            remove=remove,
            state=_state(suspend, resume),
        )
        return _written(data, out, client)


@draft.command("revocation")
@click.argument("key")
@click.option("--ground", type=click.Choice([g.value for g in Ground]), required=True, help="Why.")
@click.option(
    "--compromised-at", help="Since when its signatures are not to be trusted, e.g. 2026-12-01T09:00Z."
)
@_out
@with_home
@command
def revocation(key: str, ground: str, compromised_at: str | None, out: Path, access: Access) -> Result:
    """Revoke KEY (key id, or .pub file) for good, from the moment this is in the log.

    Example:
      countermark draft revocation desk-2.key.pub --ground loss -o revocation.draft
    """
    since = int(parse_time(compromised_at, "--compromised-at").timestamp() * 1000) if compromised_at else None
    with _synced(access) as client:
        data = client.drafts.revocation(key_id_of(key), ground=ground, compromised_at=since)
        return _written(data, out, client)


@draft.command("governance")
@click.option("--add-governor", "add", type=FILE, multiple=True, help=".pub file; may be repeated.")
@click.option("--remove-governor", "remove", multiple=True, help="Key id or .pub file; may be repeated.")
@click.option("--quorum", type=click.IntRange(1, 32), help="How many governors must sign.")
@click.option("--log-key", type=FILE, help=".pub file of a new log key (Ed25519).")
@click.option("--add-administrator", "add_admin", type=FILE, multiple=True, help="Of the broker: .pub file.")
@click.option("--remove-administrator", "remove_admin", multiple=True, help="Key id or .pub file.")
@click.option("--grace-minutes", type=click.IntRange(0, 10_080), help="Until an undelivered notice.")
@click.option("--reset-hours", type=click.IntRange(0, 720), help="Until a reset sealing key is used.")
@_out
@with_home
@command
def governance(
    add: tuple[Path, ...],
    remove: tuple[str, ...],
    quorum: int | None,
    log_key: Path | None,
    add_admin: tuple[Path, ...],
    remove_admin: tuple[str, ...],
    grace_minutes: int | None,
    reset_hours: int | None,
    out: Path,
    access: Access,
) -> Result:
    """Change the log's own record: governors and quorum, log key, the broker's administrator, periods.

    Example:
      countermark draft governance --add-governor tz.key.pub --quorum 3 -o governance.draft
    """
    with _synced(access) as client:
        data = change_governance(
            client.drafts,
            client.directory,
            add_governors=[load_public_key(k) for k in add],
            remove_governors=[key_id_of(k) for k in remove],
            quorum=quorum,
            log_key=load_public_key(log_key) if log_key else None,
            add_administrators=[load_public_key(k) for k in add_admin],
            remove_administrators=[key_id_of(k) for k in remove_admin],
            undelivered_grace=grace_minutes * 60_000 if grace_minutes is not None else None,
            reset_delay=reset_hours * 3_600_000 if reset_hours is not None else None,
        )
        return _written(data, out, client)
