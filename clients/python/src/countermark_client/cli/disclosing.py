"""`countermark disclose` and `disclosure verify`: showing a court or an auditor a message, or some of its parts."""

from __future__ import annotations

import json
from pathlib import Path

import click

from countermark_client.cli.common import FILE, NEW_FILE, Access, message_of, with_home, write_new
from countermark_client.cli.evidencing import chosen_parts, read_file, shown, with_parts
from countermark_client.cli.output import Result, command, utc
from countermark_client.cli.shown_files import check_files, with_files
from countermark_protocol.disclosure import MAGIC, ShownContent, parse_disclosed, verify_shown
from countermark_protocol.evidence import MAX_EVIDENCE_BYTES
from countermark_protocol.evidence_checks import verify_evidence


def _content(content: ShownContent) -> list[str]:
    lines = [f"  {name}: {json.dumps(v, ensure_ascii=False)}" for name, v in content.opened.items()]
    return lines + [f"  {name}: kept closed" for name in content.closed]


@click.command("disclose")
@click.argument("message_hash", metavar="HASH")
@with_parts
@click.option("-o", "--out", type=NEW_FILE, required=True, help="File to write, to be handed over.")
@with_home
@command
def disclose(
    message_hash: str,
    to: str | None,
    ground: str | None,
    parts: tuple[str, ...],
    everything: bool,
    out: Path,
    access: Access,
) -> Result:
    """State in the log that parts of the message HASH are shown to a court or auditor, and write them.

    What is not shown is named in it. The log tells auditors that it was disclosed, to whom and why, not what it says.
    For somebody without the log, `countermark evidence export --disclosure FILE` adds what proves it.

    Examples:
      countermark disclose 4be1c0ff --to 'High Court, Nairobi' --ground 'case 12 of 2026' --part /items/17 -o d.bin
      countermark disclose 4be1c0ff --to un.auditor.panel --ground 'audit of 2026' --all -o d.bin
    """
    if to is None or ground is None:
        raise click.UsageError("a disclosure states to whom and why: give both --to and --ground")
    chosen = chosen_parts(parts, everything=everything)
    if out.exists():
        raise click.UsageError(f"{out} exists: choose another name")
    with access.client() as client:
        made = client.disclose(message_of(client, message_hash), to, ground, parts=chosen)
    write_new(out, made.data)
    return Result(
        [
            f"written: {out}",
            f"logged: entry {made.index}, {utc(made.time)}: shown to {made.to} on the ground '{made.ground}'",
            *_content(made.shown),
        ],
        file=str(out),
        message=made.shown.message.hex(),
        digest=made.shown.digest.hex(),
        act=made.act.hex(),
        index=made.index,
        time=made.time,
        opened=list(made.shown.opened),
        closed=list(made.shown.closed),
    )


@click.group("disclosure")
def disclosure() -> None:
    """Check what was disclosed."""


@disclosure.command("verify")
@click.argument("file", type=FILE)
@click.option("--fingerprint", help="Of the log's founding, as you know it from elsewhere: it is compared.")
@with_files
@command
def verify_disclosure_file(
    file: Path, fingerprint: str | None, files: tuple[tuple[int, Path], ...]
) -> Result:
    """Check a disclosure, or evidence that holds one, and show what it shows; needs no profile and no network.

    A disclosure alone proves that its parts are those that its manifest commits to, and that none is left out unseen.

    Examples:
      countermark disclosure verify d.bin
      countermark disclosure verify d.bin --file 0 photograph.jpg
    """
    data = read_file(file, MAX_EVIDENCE_BYTES)
    if not data.startswith(MAGIC[:-1]):
        return shown(verify_evidence(data, fingerprint), files)
    if fingerprint is not None:
        raise click.UsageError("a disclosure alone names no founding: --fingerprint is for evidence")
    content = verify_shown(parse_disclosed(data))
    manifest, attachments = content.manifest, check_files([content], files)
    return Result(
        [
            "PROVEN",
            f"  The {len(content.opened)} of {content.parts} parts shown are exactly those that the manifest",
            f"  {content.message.hex()} commits to; those kept closed are named, and none is left out.",
            "",
            "SHOWN",
            *_content(content),
            *attachments.lines,
            "",
            "NOT PROVEN by this file alone: evidence of the message proves it (`countermark evidence export`)",
            f"  That {manifest.sender} signed it, that it is in the log {manifest.header.log}, and since when.",
            "  That the log holds the statement that this was disclosed, to whom and why.",
        ],
        message=content.message.hex(),
        digest=content.digest.hex(),
        log=manifest.header.log,
        sender=manifest.sender,
        opened=dict(content.opened),
        closed=list(content.closed),
        attachments=list(attachments.json),
        logged=None,
    )
