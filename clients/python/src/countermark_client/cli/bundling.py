"""`countermark bundle`: messages by memory stick, for posts without a line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from countermark_client.cli.backup import naming_entries
from countermark_client.cli.common import FILE, NEW_FILE, Access, now, with_home, write_new
from countermark_client.cli.output import REFUSED, Result, command, safe, short, utc
from countermark_protocol.bundle import MAX_BUNDLE_BYTES, Course, parse_bundle
from countermark_protocol.encoding import malformed
from countermark_protocol.keys import fingerprint


def _read(path: Path) -> bytes:
    if path.stat().st_size > 2 * MAX_BUNDLE_BYTES:
        malformed(
            "oversized_bundle", f"expected a bundle of at most {MAX_BUNDLE_BYTES} bytes, got a larger file"
        )
    return path.read_bytes()


def age_text(milliseconds: int) -> str:
    """An age for people."""
    minutes = milliseconds // 60_000
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"


@click.group("bundle")
def bundle() -> None:
    """Exchange by memory stick, for a post without a line; another instance of the endpoint carries."""


@bundle.command("export")
@click.argument("file", type=NEW_FILE)
@with_home
@command
def export_bundle(file: Path, access: Access) -> Result:
    """Write what waits in the outbox to FILE, with word of what this post has received.

    It stays in the outbox until the answer is imported.

    Example:
      countermark bundle export out.cmb
    """
    if file.exists():
        raise click.UsageError(f"{file} exists: choose another name")
    with access.client() as client:
        made = client.export_bundle()
    write_new(file, made.data)
    carried = f"{made.messages} messages, {made.receipts} receipts and {made.withdrawals} withdrawals"
    lines = [
        f"{file}: {carried}; asks for {made.wanted} messages again",
        f"bundle {short(made.name)}",
    ]
    if made.left:
        lines.append(f"{made.left} are not in it: export again once this one was answered")
    if made.files:
        lines.append(f"asks for the files of messages: {made.files} are not all here")
    if made.by_line:
        lines.append(
            f"{made.by_line} with attachments go by no bundle and wait for a line: a message and its files go in one "
            "bundle, of at most 256 MiB; send large files in messages of their own"
        )
    return Result(
        lines,
        bundle=made.name.hex(),
        messages=made.messages,
        receipts=made.receipts,
        withdrawals=made.withdrawals,
        wanted=made.wanted,
        by_line=made.by_line,
        files=made.files,
        left=made.left,
    )


@bundle.command("carry")
@click.argument("file", type=FILE)
@click.argument("back", type=NEW_FILE)
@click.option("--again", is_flag=True, help="It was carried before, and what went back was lost.")
@with_home
@command
def carry_bundle(file: Path, back: Path, again: bool, access: Access) -> Result:
    """Post what FILE brings, and write what goes back to BACK: answers, receipts, and new messages whole.

    For a connected instance of the same endpoint. It signs `delivered` for new messages, so carry BACK with care.

    Example:
      countermark bundle carry out.cmb back.cmb
    """
    if back.exists():
        raise click.UsageError(f"{back} exists: choose another name")
    data = _read(file)
    with access.client() as client:
        made = client.carry_bundle(data, again=again)
    write_new(back, made.data)
    lines = [
        f"{made.logged} logged, {made.refused} refused",
        f"{back}: {made.entries} entries, {made.messages} messages whole, under size {made.size} of the log",
        f"the broker stood to it at {utc(made.checked_at)}: sending on it ends 24 hours later, or sooner",
    ]
    if made.pieces:
        lines.append(f"{back}: {made.pieces} pieces of files")
    if made.files_left:
        lines.append(
            f"{made.files_left} files had no more room: export and carry again, they go on where they stopped"
        )
    lines += [
        f"the broker does not take files, and their messages wait: {safe(why)}" for why in made.not_taken
    ]
    return Result(
        lines,
        REFUSED if made.refused else 0,
        bundle=made.name.hex(),
        logged=made.logged,
        refused=made.refused,
        entries=made.entries,
        messages=made.messages,
        pieces=made.pieces,
        files_left=made.files_left,
        not_taken=list(made.not_taken),
        size=made.size,
        checked_at=made.checked_at,
    )


@bundle.command("import")
@click.argument("file", type=FILE)
@click.option("--adopt", is_flag=True, help="After a restore: what was sent after the backup is yours.")
@with_home
@command
def import_bundle(file: Path, adopt: bool, access: Access) -> Result:
    """Take in what came back: everything in FILE is proven like a broker's answers, or nothing changes.

    Of a profile restored from a backup it is the comparison, as `countermark backup compare` is with a line.

    Example:
      countermark bundle import back.cmb
    """
    data = _read(file)
    with access.client() as client, naming_entries():
        took = client.import_bundle(data, adopt=adopt)
    entries = {box.value: count for box, count in took.entries.items()}
    lines = [
        f"{took.logged} logged, {took.refused} refused; new entries: "
        + ", ".join(f"{count} {box}" for box, count in entries.items()),
        f"{took.opened} messages to read: `countermark inbox`",
        f"the log is known to size {took.size}, as of {age_text(took.age)} ago",
    ]
    if took.files:
        lines.append(f"{took.files} files are all here now: `countermark fetch HASH`")
    if took.adopted:
        lines.append(f"{len(took.adopted)} entries made after the backup adopted")
    if not took.complete:
        lines.append("more is there: export again, and have it carried")
    return Result(
        lines,
        REFUSED if took.refused else 0,
        logged=took.logged,
        refused=took.refused,
        entries=entries,
        opened=took.opened,
        files=took.files,
        size=took.size,
        age=took.age,
        complete=took.complete,
        adopted=[a.message.hex() for a in took.adopted],
    )


@bundle.command("show")
@click.argument("file", type=FILE)
@command
def show_bundle(file: Path) -> Result:
    """Tell what FILE says of itself. Proves nothing but that it is whole.

    Example:
      countermark bundle show back.cmb
    """
    parsed = parse_bundle(_read(file))
    manifest = parsed.manifest
    kinds: dict[str, int] = {}
    for item in parsed.items:
        kind = re.sub(r"[0-9a-f]{64}|\?.*", "…", item.target)
        kinds[kind] = kinds.get(kind, 0) + 1
    course = "from a post without a line" if manifest.course is Course.OUT else "back from a connected post"
    age = age_text(max(0, now() - manifest.checked_at)) if manifest.checked_at else "never"
    lines = [
        f"bundle      {fingerprint(parsed.document.payload_hash)}",
        f"course      {course}",
        f"endpoint    {manifest.endpoint}",
        f"log         {manifest.log}",
        f"made        {utc(manifest.made_at)}",
        f"checkpoint  size {manifest.seen.size}, the broker stood to it {age} ago",
        f"items       {manifest.items}, {manifest.size} bytes",
        *(f"  {count}  {kind}" for kind, count in sorted(kinds.items())),
    ]
    members: dict[str, Any] = manifest.to_json()
    return Result(lines, bundle=parsed.document.payload_hash.hex(), manifest=members, kinds=kinds)
