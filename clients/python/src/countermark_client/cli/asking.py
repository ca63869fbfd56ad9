"""`countermark whom-to-ask`: from the marks of a weapon to the States that may hold its records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from countermark_client._asking import ToAsk
from countermark_client.cli.common import Access, message_of, with_home
from countermark_client.cli.directory_reading import offline_option, read_directory
from countermark_client.cli.output import Result, command
from countermark_protocol.encoding import malformed, parse_json
from countermark_protocol.errors import NotFoundError


def _items(document: Any) -> list[Any]:
    """The items of a content, or the one that a file holds."""
    items = document.get("items", [document]) if isinstance(document, dict) else None
    if not isinstance(items, list) or not items:
        malformed(
            "no_items", "expected a weapon as in a message's items, or the content of a message with items"
        )
    return items


def _lines(found: tuple[ToAsk, ...]) -> list[str]:
    lines = []
    for one in found:
        sure = "" if one.candidate.certain else ", not certain"
        lines.append(f"  {one.candidate.country}  {one.candidate.part}{sure}")
        for reason in one.candidate.reasons:
            told = f" (told by {reason.source.hex()[:12]})" if reason.source is not None else ""
            lines.append(f"      {reason.weight}: {reason.text}{told}")
        lines.append(f"      ask: {', '.join(one.contacts) or 'no point of contact in the directory'}")
    return lines or ["  nothing on it points to a State; a photograph of the marks may"]


@click.command("whom-to-ask")
@click.argument("hash_", metavar="[HASH]", required=False)
@click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A weapon as JSON, or a content with items, in the place of a message.",
)
@click.option("--item", "item_ref", metavar="REF", help="One weapon alone, by its reference.")
@offline_option
@with_home
@command
def whom_to_ask(
    hash_: str | None, path: Path | None, item_ref: str | None, offline: bool, access: Access
) -> Result:
    """Suggest whom to ask about a weapon: the countries of manufacture and of last import, why, and their contacts.

    From its marks, and from the descriptions of marks that States have sent to this profile. A make alone never gives a
    country with certainty; an ambiguous serial gives every country that it can mean.

    Examples:
      countermark whom-to-ask 4be1c0ff --item 1
      countermark whom-to-ask --file weapon.json
    """
    if (hash_ is None) == (path is None):
        raise click.UsageError("give the HASH of a message, or --file")
    from countermark_client import _contents  # noqa: PLC0415  loads the models

    with access.client() as client:
        read_directory(client, offline=offline)
        if path is not None:
            items = [
                _contents.validate_item(item) for item in _items(parse_json(path.read_bytes(), str(path)))
            ]
        else:
            message = message_of(client, hash_ or "")
            content = next(i.content for i in client.conversation(message) if i.message == message)
            items = list(getattr(content, "items", ()))
        items = [item for item in items if item_ref in {None, item.item_ref}]
        if not items:
            raise NotFoundError("unknown_item", "there is no such weapon in it")
        found = {item.item_ref: client.whom_to_ask(item) for item in items}
    lines = [line for ref, told in found.items() for line in (f"item {ref}", *_lines(told))]
    return Result([*lines], items={ref: [one.to_json() for one in told] for ref, told in found.items()})
