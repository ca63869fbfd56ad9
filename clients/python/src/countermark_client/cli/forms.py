"""`countermark form`: contents to and from the forms of other systems, on the agency's own machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import click

from countermark_client import _contents
from countermark_client.cli.common import FILE, NEW_FILE, Access, now, with_home, write_new
from countermark_client.cli.output import Result, command, safe
from countermark_client.cli.sending import find_item
from countermark_protocol.encoding import JsonObject, parse_object
from countermark_protocol.errors import NotFoundError
from countermark_protocol.handling import HandlingCode, Tlp
from countermark_protocol.types import known_types

_NAMES: Final = ("niem", "etrace", "iarms")
_SHOWN: Final = 12

type_option = click.option("--type", "message_type", metavar="TYPE", help="Message type of the content.")
out_option = click.option("-o", "--out", type=NEW_FILE, required=True, metavar="FILE", help="File to write.")


@click.group("form")
def form() -> None:
    """Turn contents into the forms of other systems, and forms into contents.

    NIEM (justice domain, JSON-LD), INTERPOL iARMS and ATF eTrace (form 3312.1) are written and read; STIX 2.1 is
    written, of trade-route alerts. Nothing is sent. What a form cannot hold is named: see docs/spec/forms.md.
    """


def _version(message_type: str) -> int:
    versions = [version for name, version in known_types() if name == message_type]
    return max(versions, default=1)


def _read_json(path: Path, what: str) -> JsonObject:
    return parse_object(path.read_bytes(), what)


def _write_json(path: Path, document: JsonObject) -> None:
    write_new(path, (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode())


def _lost_lines(lost: tuple[str, ...], leaves: int) -> list[str]:
    if not lost:
        return [f"kept: all {leaves} values"]
    more = [f"  … and {len(lost) - _SHOWN} more: --json lists all"] if len(lost) > _SHOWN else []
    return [
        f"kept: {leaves - len(lost)} of {leaves} values. The form has no place for:",
        *(f"  {safe(pointer)}" for pointer in lost[:_SHOWN]),
        *more,
    ]


@form.command("write")
@click.argument("name", type=click.Choice([*_NAMES, "stix"]), metavar="FORM")
@click.argument("message_hash", metavar="[HASH]", required=False)
@click.option("--content", type=FILE, metavar="FILE", help="A content in a file, instead of a message's.")
@type_option
@click.option(
    "--tlp", type=click.Choice([each.value for each in Tlp]), help="Of a content in a file, for STIX."
)
@click.option("--sender", metavar="NAME", help="Who states a content in a file, for STIX.")
@out_option
@with_home
@command
def write(
    name: str,
    message_hash: str | None,
    content: Path | None,
    message_type: str | None,
    tlp: str | None,
    sender: str | None,
    out: Path,
    access: Access,
) -> Result:
    """Write the message HASH as FORM: niem, etrace, iarms or stix.

    HASH is of a message that was opened or sent here; --content and --type take a file instead.
    """
    from countermark_client.forms.known import STIX, STIX_TYPE, form_for  # noqa: PLC0415  loaded when asked for
    from countermark_client.forms.stix import Origin, to_stix  # noqa: PLC0415

    if (message_hash is None) == (content is None):
        raise click.UsageError("give either HASH or --content FILE")
    lines: list[str] = []
    if content is not None:
        if message_type is None:
            raise click.UsageError("--content needs --type")
        document = _read_json(content, "content")
        _contents.validate_content(message_type, _version(message_type), document)
        if name == STIX and (tlp is None or sender is None):
            raise click.UsageError("STIX of a content in a file needs --tlp and --sender")
        origin = Origin(sender or "", now(), Tlp(tlp or Tlp.RED.value))
    else:
        if message_type or tlp or sender:
            raise click.UsageError("--type, --tlp and --sender are for --content: a message says them itself")
        with access.client() as client:
            item = find_item(client, message_hash or "")
        manifest = item.manifest
        if item.content is None:
            raise NotFoundError("not_opened", "this profile holds no opened message of that hash")
        message_type, document = manifest.type, _contents.content_document(item.content)
        handling = manifest.handling
        origin = Origin(manifest.sender, manifest.sent_at, handling.tlp, tuple(handling.codes))
        codes = " ".join(code.value for code in handling.codes)
        lines.append(f"handling: TLP:{handling.tlp.value} {handling.classification.value} {codes}".rstrip())
        if handling.originator_control or HandlingCode.H2 in handling.codes:
            lines.append("its originator must consent before it is passed on")
    if name == STIX:
        if message_type != STIX_TYPE:
            raise NotFoundError("no_such_form", f"STIX is written of {STIX_TYPE}, not of {message_type}")
        made = to_stix(document, origin)
        _write_json(out, made)
        return Result(
            [f"written: {out}", *lines], file=str(out), type=message_type, objects=len(made["objects"])
        )
    result = form_for(name, message_type).write(message_type, document)
    _write_json(out, result.document)
    return Result(
        [f"written: {out}", *lines, *_lost_lines(result.lost, result.leaves)],
        file=str(out),
        type=message_type,
        lost=list(result.lost),
        values=result.leaves,
    )


@form.command("read")
@click.argument("name", type=click.Choice(_NAMES), metavar="FORM")
@click.argument("path", type=FILE, metavar="FILE")
@type_option
@click.option("--into", type=FILE, metavar="FILE", help="A content that says what the form does not.")
@out_option
@command
def read(name: str, path: Path, message_type: str | None, into: Path | None, out: Path) -> Result:
    """Read FILE, which is FORM (niem, etrace or iarms), into a content of --type.

    What the type requires and the form lacks comes from --into; the form's own words win. The content is checked, and
    can be sent with `countermark send`.
    """
    from countermark_client.forms.known import form_for, merged  # noqa: PLC0415  loaded when asked for

    if message_type is None:
        raise click.UsageError("give --type: a form does not say which message it shall become")
    found = form_for(name, message_type).read(_read_json(path, "form"))
    template: dict[str, Any] = _read_json(into, "content") if into is not None else {}
    document = merged(template, found)
    _contents.validate_content(message_type, _version(message_type), document)
    _write_json(out, document)
    return Result(
        [f"written: {out}, a valid {message_type} with {len(document['items'])} item(s)"],
        file=str(out),
        type=message_type,
        items=len(document["items"]),
    )
