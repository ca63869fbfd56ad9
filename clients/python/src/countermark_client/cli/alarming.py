"""`countermark alarms`: what somebody has to look into, though nothing contradicts itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from countermark_client.cli.common import Access, key_id_of, message_of, with_home
from countermark_client.cli.directory_reading import read_directory
from countermark_client.cli.output import MISBEHAVIOUR, Result, command, utc

if TYPE_CHECKING:
    from countermark_client import Client
    from countermark_protocol.resets import Reset


def reset_text(reset: Reset) -> str:
    """A reset, and what it means for who sends to that endpoint."""
    text = f"the administrator of {reset.address} was reset by its authority, {utc(reset.time)} (entry {reset.index})"
    if not reset.sealing_from:
        return text
    meanwhile = "the one before is sealed to" if reset.predecessor else "nothing can be sent to it"
    return f"{text}; its new sealing key counts from {utc(reset.sealing_from)}, until then {meanwhile}"


def reset_json(reset: Reset | None) -> dict[str, Any] | None:
    """The JSON form of a reset."""
    if reset is None:
        return None
    return {
        "address": reset.address,
        "index": reset.index,
        "time": reset.time,
        "sealing_from": reset.sealing_from or None,
        "predecessor": reset.predecessor.key_id.hex() if reset.predecessor is not None else None,
    }


def alarm_lines(client: Client) -> list[str]:
    """Alarms and warnings of a profile, for people; empty while all is well."""
    return [
        *(f"ALARM: {text}" for text in client.alarms),
        *(f"warning: {text}" for text in client.warnings),
    ]


@click.command("alarms")
@click.option(
    "--acknowledge",
    "acknowledged",
    multiple=True,
    metavar="KEY",
    help="Key id or .pub file; may be repeated.",
)
@click.option(
    "--looked-into",
    "looked_into",
    multiple=True,
    metavar="HASH",
    help="Message that tells of a weapon destroyed before; may be repeated.",
)
@click.option("--offline", is_flag=True, help="As read before; do not ask the broker.")
@with_home
@command
def alarms(
    acknowledged: tuple[str, ...], looked_into: tuple[str, ...], offline: bool, access: Access
) -> Result:
    """List what somebody has to look into: keys nobody here made, revocations not logged, keys that end.

    Ends with code 4 while there is an alarm. Resets of others and keys that end soon are told and are none.

    A key under this endpoint's name that this profile did not make may be a colleague's: ask who added it, then
    --acknowledge it. If nobody did, your administrator's or your authority's key is in other hands.

    A weapon that was told to be destroyed and appears again is a lead: stocks to be destroyed may be diverted. Ask who
    destroyed it, then say --looked-into.

    Examples:
      countermark alarms
      countermark alarms --acknowledge desk-2.key.pub
    """
    with access.client() as client:
        read_directory(client, offline=offline)
        for key in acknowledged:
            client.acknowledge_key(key_id_of(key))
        for message in looked_into:
            client.acknowledge_resurrection(message_of(client, message))
        found, warned, resets = client.alarms, client.warnings, client.resets
        strangers, ends = client.strangers, client.key_ends
        age = client.checkpoint_age
    lines = [
        *(f"ALARM: {text}" for text in found),
        *(f"warning: {text}" for text in warned),
        *(f"note: {reset_text(reset)}" for reset in resets),
    ]
    return Result(
        lines or ["no alarms"],
        MISBEHAVIOUR if found else 0,
        alarms=list(found),
        warnings=list(warned),
        strangers=[
            {
                "key_id": s.key_id.hex(),
                "subject": s.subject,
                "index": s.index,
                "time": s.time,
                "found": s.found,
            }
            for s in strangers
        ],
        ends=[
            {"use": e.use, "key_id": e.key.key_id.hex(), "holder": e.holder, "until": e.until, "here": e.here}
            for e in ends
        ],
        resets=[reset_json(reset) for reset in resets],
        directory_age=age,
    )
