"""`countermark policy`: what the table says, what would happen by it, and what another would change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from countermark_client.cli.common import FILE, FOLDER, Access, now, with_home
from countermark_client.cli.drafted import synced
from countermark_client.cli.output import REFUSED, Result, command, short, table
from countermark_protocol.claims import Claims
from countermark_protocol.default_policy import DEFAULT_POLICY
from countermark_protocol.encoding import parse_object
from countermark_protocol.explaining import Explanation, explain, try_policy
from countermark_protocol.handling import Classification, Tlp
from countermark_protocol.identifiers import parse_address, parse_authority_code
from countermark_protocol.policy import Policy, PolicyFacts
from countermark_protocol.policy_form import parse_policy

if TYPE_CHECKING:
    from countermark_client import Client

_DAY_MS: Final = 86_400_000


def read_table(file: Path) -> Policy:
    """A policy table from a file.

    Raises:
        MalformedError: not one.
    """
    claims = Claims(parse_object(file.read_bytes(), file.name), "policy")
    found = parse_policy(claims)
    claims.done()
    return found


@click.group("policy")
def policy() -> None:
    """Look at the policy: the table, what would happen by it, and what another would change."""


@policy.command("show")
@click.option(
    "--default",
    "use_default",
    is_flag=True,
    help="The table of docs/spec/policy.md §4, not the one in force.",
)
@with_home
@command
def show(use_default: bool, access: Access) -> Result:
    """Show the table as JSON: each rule with who enforces it and where it comes from.

    Example:
      countermark policy show > table.json
    """
    found = DEFAULT_POLICY
    if not use_default:
        with synced(access) as client:
            found = client.directory.policy()
    record = found.to_json()
    return Result([json.dumps(record, ensure_ascii=False, indent=2)], **record)


def _own_demand(client: Client, *parties: str | None) -> str | None:
    for party in parties:
        record = client.directory.endpoint(parse_address(party)) if party is not None else None
        if record is not None and record.two_persons:
            return f"{party}, of all that it sends"
    return None


def _lines(told: Explanation) -> list[str]:
    lines = [f"to           {told.recipient}"]
    if told.rule is not None:
        lines.append(f"rule         {told.rule.id}" + (f": {told.rule.basis}" if told.rule.basis else ""))
        if told.rule.enforced_by:
            lines.append(f"enforced by  {', '.join(told.rule.enforced_by)}")
    if told.two_persons is not None:
        lines.append(f"two persons  must sign: demanded by {told.two_persons}")
    lines.append("ALLOWED" if told.allowed else f"DENIED [{told.code}]: {told.text}")
    for name, reasons in told.near:
        lines.append(f"  not by '{name}': {'; '.join(reasons)}")
    duties = [f"duty         {duty.text} ({', '.join(duty.enforced_by)})" for duty in told.duties]
    return lines + duties


@policy.command("explain")
@click.option("--from", "sender", required=True, metavar="ADDRESS", help="Who would send.")
@click.option("--to", "to", required=True, multiple=True, metavar="ADDRESS", help="To whom; may be repeated.")
@click.option("--type", "type_", required=True, help="Of which type.")
@click.option(
    "--classification",
    type=click.Choice([c.value for c in Classification]),
    default="RESTRICTED",
    show_default=True,
    help="Protection level.",
)
@click.option(
    "--tlp",
    type=click.Choice([t.value for t in Tlp]),
    default="AMBER",
    show_default=True,
    help="Who may see it.",
)
@click.option("--recipients", type=click.IntRange(1, 1000), help="How many in all. [default: as named]")
@click.option("--exercise", is_flag=True, help="Drill traffic.")
@click.option("--group", is_flag=True, help="As members of a named group.")
@click.option(
    "--reply-to-sender", "replied_to", metavar="ADDRESS", help="It answers a message of this endpoint."
)
@click.option(
    "--party", "parties", multiple=True, metavar="ADDRESS", help="Party to its conversation; may be repeated."
)
@click.option("--on-behalf-of", metavar="ADDRESS", help="In whose name it would be sent.")
@click.option("--releasable-to", multiple=True, metavar="CODE", help="As the handling says; may be repeated.")
@click.option("--released", is_flag=True, help="Two persons sign.")
@click.option("--file", type=FILE, help="By this table, not by the one in force.")
@click.option("--default", "use_default", is_flag=True, help="By the default table.")
@with_home
@command
def explain_(
    sender: str,
    to: tuple[str, ...],
    type_: str,
    classification: str,
    tlp: str,
    recipients: int | None,
    exercise: bool,
    group: bool,
    replied_to: str | None,
    parties: tuple[str, ...],
    on_behalf_of: str | None,
    releasable_to: tuple[str, ...],
    released: bool,
    file: Path | None,
    use_default: bool,
    access: Access,
) -> Result:
    """Say what would happen to a message that nobody has written, and by which rule.

    Examples:
      countermark policy explain --from ke.police.nairobi --to be.contact.federal --type tracing-request
      countermark policy explain --from ke.judicial.court --to be.judicial.court --type mutual-legal-assistance-request
    """
    facts = PolicyFacts(
        sender=parse_address(sender),
        type=type_,
        recipients=recipients or len(to),
        classification=Classification(classification),
        exercise=exercise,
        replied_to=parse_address(replied_to) if replied_to else None,
        parties=frozenset(map(parse_address, parties)),
        tlp=Tlp(tlp),
        to_group=group,
        on_behalf_of=parse_address(on_behalf_of) if on_behalf_of else None,
        time=now(),
    )
    demand = None
    if file is not None or use_default:
        found = read_table(file) if file is not None else DEFAULT_POLICY
    else:
        with synced(access) as client:
            found = client.directory.policy()
            demand = _own_demand(client, sender, on_behalf_of)
    told = [
        explain(
            found,
            facts,
            parse_address(one),
            released=released,
            releasable_to=tuple(map(parse_authority_code, releasable_to)),
            own_demand=demand,
        )
        for one in to
    ]
    allowed = all(one.allowed for one in told)
    lines = [line for one in told for line in _lines(one)]
    return Result(lines, 0 if allowed else REFUSED, allowed=allowed, answers=[one.to_json() for one in told])


explain_.name = "explain"


@policy.command("try")
@click.argument("file", type=FILE)
@click.option("--days", type=click.IntRange(1, 3660), default=30, show_default=True, help="How far back.")
@click.option(
    "--mirror",
    type=FOLDER,
    metavar="DIR",
    help="Ask about the messages of the mirror there, not of the profile.",
)
@with_home
@command
def try_(file: Path, days: int, mirror: Path | None, access: Access) -> Result:
    """Try the table FILE against the messages of the last days, before it takes effect.

    Each is decided once more, by the table in force and by FILE, as if it were sent now; shown is where the two differ.
    Only manifests are read. Ends with exit code 1 if anything would be refused that is allowed now.

    Examples:
      countermark policy try table.json --days 90
      countermark policy try table.json --days 30 --mirror mirror
    """
    from countermark_client._policy_trial import held_by_mirror, held_by_profile  # noqa: PLC0415

    proposed, at = read_table(file), now()
    since = at - days * _DAY_MS
    with synced(access) as client:
        standing = client.directory.policy()
        if mirror is None:
            profile = client.profile
            asked = list(held_by_profile(profile.store, profile.endpoint, since, at))
        else:
            from countermark_client.cli.mirrors import opened, path_of  # noqa: PLC0415

            with opened(path_of(mirror, access)) as found:
                asked = list(held_by_mirror(found, since, at))
    changes = list(try_policy(standing, proposed, asked, at))
    closed = [c for c in changes if c.before is None]
    rows = [
        (
            short(c.past.message),
            c.past.index if c.past.index is not None else "-",
            c.past.facts.sender,
            c.recipient,
            c.past.facts.type,
            c.before or "allowed",
            c.after or f"allowed by {c.rule}",
        )
        for c in changes
    ]
    asked_of = len({one.message for one in asked})
    lines: list[Any] = [
        f"{asked_of} messages of {days} days asked about, at {len(asked)} recipients: {len(changes)} would change"
    ]
    if rows:
        lines.append(table(("MESSAGE", "ENTRY", "FROM", "TO", "TYPE", "NOW", "THEN"), rows))
    members: dict[str, Any] = {
        "messages": asked_of,
        "recipients": len(asked),
        "changes": [
            {
                "message": c.past.message.hex(),
                "index": c.past.index,
                "from": c.past.facts.sender,
                "to": c.recipient,
                "type": c.past.facts.type,
                "before": c.before,
                "after": c.after,
                "text": c.text,
                "rule": c.rule,
            }
            for c in changes
        ],
    }
    return Result(lines, REFUSED if closed else 0, **members)
