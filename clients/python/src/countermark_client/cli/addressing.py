"""`countermark resolve` and `contact`, and what `send` shows before it sends: whom a name leads to."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from countermark_client._addressing import (
    GROUP_PREFIX,
    MADE_IN,
    Addressee,
    LeftOut,
    Resolution,
    addressee,
    contacts,
    office_of,
    resolve_names,
)
from countermark_client._models import Draft
from countermark_client.cli.common import Access, now, with_home
from countermark_client.cli.documents import confirm
from countermark_client.cli.output import Result, command, say, table
from countermark_protocol.errors import CountermarkError
from countermark_protocol.identifiers import Address
from countermark_protocol.offices import OfficeHours
from countermark_protocol.records import EndpointRecord
from countermark_protocol.types import TYPES
from countermark_protocol.visibility import is_visible

if TYPE_CHECKING:
    from countermark_client import Client


def _office(one: Addressee) -> str:
    if one.is_open is None:
        return ""
    standing_in = f"; {', '.join(one.alternates)} stands in" if one.alternates else ""
    return "open" if one.is_open else f"closed now{standing_in}"


def addressee_json(one: Addressee) -> dict[str, Any]:
    """A recipient, and how it became one."""
    return {
        "address": one.address,
        "by": one.by,
        "name": one.name,
        "index": one.index,
        "open": one.is_open,
        "alternates": list(one.alternates),
    }


def left_out_json(one: LeftOut) -> dict[str, Any]:
    """Who does not get a message, and why."""
    return {"address": one.address, "by": one.by, "code": one.code, "message": one.message}


def resolution_json(found: Resolution) -> dict[str, Any]:
    """An explicit list, and what it was made from."""
    return {
        "recipients": [addressee_json(one) for one in found.recipients],
        "left_out": [left_out_json(one) for one in found.left_out],
        "problems": [one.to_json() for one in found.problems],
        "group": found.group.name if found.group is not None else None,
        "size": found.size,
        "dir_count": found.dir_count,
        "dir_head": found.dir_head.hex(),
    }


def _told(found: Resolution) -> list[str]:
    lines = [
        f"{len(found.recipients)} recipients, by the directory as proven at {found.size} entries of the log",
        *(f"  {one.address}  {one.name}  {_office(one)}".rstrip() for one in found.recipients),
    ]
    if found.left_out:
        lines += [
            f"{len(found.left_out)} left out",
            *(f"  {one.address}: {one.message}" for one in found.left_out),
        ]
    return lines


# --- before sending ------------------------------------------------------------------------------------


def is_name(name: str) -> bool:
    """Whether a recipient is given by something else than its address."""
    return name.startswith(GROUP_PREFIX) or "*" in name or ":" in name


def settle(client: Client, drafts: Sequence[Draft], *, assumed: bool) -> tuple[list[Draft], list[Resolution]]:
    """Resolve the recipients of drafts with one and the same list of names, and show whom that gives.

    A draft whose names lead nowhere stays as it is: sending it tells why.

    Args:
        client: of the sender.
        drafts: about to be sent.
        assumed: whether nobody is to be asked.

    Returns:
        The drafts, to explicit lists where that may be; and what was resolved, every list once.
    """
    if not drafts:
        return [], []
    if not drafts[0].alternates and not any(is_name(name) for name in drafts[0].to):
        _suggest(client, drafts[0].to)
        return list(drafts), []
    shown: dict[tuple[Address, ...], Resolution] = {}
    settled: list[Draft] = []
    each = any(name == MADE_IN for name in drafts[0].to)
    resolved: Resolution | None = None
    for draft in drafts:
        if each or resolved is None:
            try:
                resolved = client.resolve(draft)
            except CountermarkError:
                settled.append(draft)
                continue
        addresses = tuple(one.address for one in resolved.recipients)
        shown.setdefault(addresses, resolved)
        # A group's own statement stands in the message; and under a reference it is the names that are known again.
        named = resolved.group is not None or draft.reference is not None
        left_out = tuple(one.address for one in resolved.left_out)
        explicit = replace(draft, to=(*addresses, *left_out), alternates=False, leave_out=left_out)
        settled.append(draft if named else explicit)
    for found in shown.values():
        say("\n".join([*_told(found), *_seen_by_recipients(drafts[0], found)]))
    # What stands against recipients is told by sending, which then sends nothing: there is nothing to ask.
    stopped = any(found.problems for found in shown.values())
    if shown and not stopped and sys.stdin.isatty():
        confirm("Send to these?", assumed=assumed)
    return settled, list(shown.values())


def _seen_by_recipients(draft: Draft, found: Resolution) -> list[str]:
    """What recipients will learn of each other."""
    if len(found.recipients) < 2 or draft.type not in TYPES:
        return []
    if is_visible(draft.type, draft.visible):
        return ["recipients see each other (--hidden hides the list)"]
    if found.group is not None:
        return [
            f"recipients are told the group {found.group.name} and can look up its members: name addresses to hide them"
        ]
    return ["recipients do not see each other (--visible shows the list)"]


def _suggest(client: Client, to: Sequence[str]) -> None:
    """Say which offices are closed, and who stands in. Nothing is redirected."""
    for name in to:
        open_, alternates = office_of(client.directory, Address(name), now())
        if open_ is False:
            hint = f"; {', '.join(alternates)} stands in (--alternates)" if alternates else ""
            say(f"note: the office of {name} is closed now{hint}")


# --- commands ------------------------------------------------------------------------------------------


@click.command("resolve")
@click.argument("to", nargs=-1, required=True, metavar="NAME...")
@click.option("--alternates", is_flag=True, help="With those who stand in for offices that are closed now.")
@with_home
@command
def resolve(to: tuple[str, ...], alternates: bool, access: Access) -> Result:
    """Show whom names lead to: addresses, selectors, a group, or contact:COUNTRY. Nothing is sent.

    The list is made here, from the verified directory. Policy and message types may leave out more: `send` shows that.

    Examples:
      countermark resolve 'ke.*.*'
      countermark resolve group:xo-eac/customs
      countermark resolve contact:BE '*.ncb.*' --alternates
    """
    with access.client() as client:
        client.sync()
        directory, own = client.directory, client.profile.address
        named = resolve_names(directory, to, own or Address(""), {}, alternates=alternates, time=now())
        found = [addressee(directory, a, by, now()) for a, by in named.chosen.items()]
        receives = {a: directory.keys(a) is not None for a in named.chosen}
        checkpoint = client.checkpoint
        assert checkpoint is not None
        rows = (
            (one.address, one.name, "yes" if receives[one.address] else "NO", one.by, one.index, _office(one))
            for one in found
        )
        return Result(
            [
                table(("ADDRESS", "NAME", "CAN RECEIVE", "BY", "ENTRY", "OFFICE"), rows),
                f"proven at {checkpoint.size} entries: directory {directory.count}, root {directory.head.hex()}",
            ],
            recipients=[addressee_json(one) | {"can_receive": receives[one.address]} for one in found],
            group=named.group.name if named.group is not None else None,
            size=checkpoint.size,
            dir_count=directory.count,
            dir_head=directory.head.hex(),
        )


def _hours(hours: OfficeHours | None) -> str:
    if hours is None:
        return "not said"
    days = ",".join(map(str, hours.days))
    return f"{days} {hours.opens}-{hours.closes} {hours.zone}"


@click.command("contact")
@click.option("--made-in", "country", required=True, metavar="COUNTRY", help="ISO 3166-1 alpha-2, e.g. BE.")
@with_home
@command
def contact(country: str, access: Access) -> Result:
    """Show whom to ask about a weapon made in a COUNTRY: its points of contact, and whether somebody is there.

    Example:
      countermark contact --made-in BE
    """
    with access.client() as client:
        client.sync()
        directory = client.directory
        found = [addressee(directory, a, f"contact:{country}", now()) for a in contacts(directory, country)]
        hours: dict[Address, OfficeHours | None] = {}
        for one in found:
            record = directory.endpoint(one.address)
            hours[one.address] = record.office_hours if isinstance(record, EndpointRecord) else None
        receives = {one.address: directory.keys(one.address) is not None for one in found}
    rows = (
        (
            one.address,
            one.name,
            "yes" if receives[one.address] else "NO",
            _hours(hours[one.address]),
            _office(one),
        )
        for one in found
    )
    return Result(
        [table(("ADDRESS", "NAME", "CAN RECEIVE", "OFFICE HOURS", "NOW"), rows)],
        country=country.upper(),
        contacts=[
            addressee_json(one)
            | {
                "can_receive": receives[one.address],
                "office_hours": h.to_json() if (h := hours[one.address]) is not None else None,
            }
            for one in found
        ],
    )
