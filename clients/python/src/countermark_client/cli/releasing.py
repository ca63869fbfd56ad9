"""`countermark release`: the second person, and the one in whose name a message is sent, sign its draft."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from countermark_client import _contents
from countermark_client._drafting import DraftedMessage
from countermark_client._models import Draft, SignedBy
from countermark_client.cli.attaching import (
    attachment_json,
    attachment_lines,
    fetched_json,
    fetched_lines,
    transfers,
)
from countermark_client.cli.common import FILE, NEW_FILE, Access, with_home, write_new
from countermark_client.cli.output import Result, command, safe, utc
from countermark_protocol.message_draft import MAX_DRAFT_BYTES

if TYPE_CHECKING:
    from countermark_client import Client


def signed_json(one: SignedBy) -> dict[str, Any]:
    """One signature of a message, for programs."""
    return {"purpose": one.purpose, "endpoint": one.endpoint, "holder": one.holder, "key": one.key_id.hex()}


def files_beside(file: Path) -> Path:
    """The folder of sealed pieces that goes with a draft's file."""
    return file.with_name(f"{file.name}.files")


def _attached(drafted: DraftedMessage) -> list[str]:
    """The attachments of a draft, a line each."""
    return [
        line.replace(", not fetched", ", NOT IN THE FOLDER BESIDE THE DRAFT") + f"  SHA-256 {one.sha256}"
        for one in drafted.attachments
        for line in attachment_lines([one], drafted.message)[:1]
    ]


def _shown(drafted: DraftedMessage) -> list[str]:
    manifest = drafted.manifest
    content = json.dumps(_contents.content_document(drafted.content), ensure_ascii=False, indent=2)
    return [
        f"draft        {drafted.message.hex()}",
        f"type         {manifest.type} version {manifest.version}",
        f"from         {manifest.sender}"
        + (f", ON BEHALF OF {manifest.on_behalf_of}" if manifest.on_behalf_of is not None else ""),
        f"to           {', '.join(drafted.recipients)}",
        f"handling     TLP:{manifest.handling.tlp.value} {manifest.handling.classification.value}",
        f"made         {utc(manifest.sent_at)}, expires {utc(manifest.expires_at)}",
        *(f"signed       {one.words}" for one in drafted.signed_by),
        f"missing      {', '.join(drafted.missing) or 'nothing'}",
        *_attached(drafted),
        *safe(content).split("\n"),
    ]


def _members(drafted: DraftedMessage) -> dict[str, Any]:
    return {
        "draft": drafted.message.hex(),
        "manifest": drafted.manifest.to_json(),
        "recipients": list(drafted.recipients),
        "signed_by": [signed_json(one) for one in drafted.signed_by],
        "missing": list(drafted.missing),
        "content": _contents.content_document(drafted.content),
        "attachments": [attachment_json(one) for one in drafted.attachments],
    }


def write_draft(client: Client, draft: Draft, out: Path) -> Result:
    """Make a draft of one message, and write it where it can be carried from."""
    if out.exists():
        raise click.UsageError(f"{out} exists: choose another name")
    files = files_beside(out)
    data = client.draft_message(draft, files)
    drafted = client.read_message_draft(data, files)
    write_new(out, data)
    hint = (
        "next: `countermark release` by who must sign it"
        if drafted.missing
        else "next: `countermark release`"
    )
    written = [f"written: {out}"]
    if drafted.attachments:
        written.append(f"written: {files}, the sealed files: it goes along wherever {out.name} goes")
    shown = [*_shown(drafted)[:-1], *written, hint]
    beside = str(files) if drafted.attachments else None
    return Result(shown, file=str(out), files=beside, **_members(drafted))


@click.command("release")
@click.argument("file", type=FILE)
@click.option("--show", is_flag=True, help="Show the draft only: who has signed, what it says.")
@click.option(
    "-o", "--out", type=NEW_FILE, help="Write the signed draft here, to be carried on, instead of sending it."
)
@click.option(
    "--files",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the draft's sealed files.  [default: FILE.files]",
)
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Check the draft's files and write them into this folder, to be looked at; nothing is signed.",
)
@with_home
@command
def release(
    file: Path, show: bool, out: Path | None, files: Path | None, folder: Path | None, access: Access
) -> Result:
    """Sign the message draft FILE that another drafted, and send it once all who must have signed.

    At the endpoint that it is from, another holder than the drafter signs as the second person. At the endpoint in
    whose name it is sent, any instance signs for that. Read it first (--show): you sign for what it says, and for its
    files (--to writes them out). Without all of them here, each as the draft describes it, nothing is signed.

    Examples:
      countermark release trace.draft --show --to look/
      countermark release trace.draft
      countermark release answer.draft -o answer.signed
    """
    with file.open("rb") as opened:
        data = opened.read(MAX_DRAFT_BYTES + 1)
    files = files or files_beside(file)
    with access.client() as client:
        drafted = client.read_message_draft(data, files)
        if folder is not None:
            done = client.fetch_draft_attachments(data, files, folder)
            told = [line for one in done for line in fetched_lines(one)]
            fetched = [fetched_json(one) for one in done]
            return Result([*_shown(drafted), *told], fetched=fetched, **_members(drafted))
        if show:
            return Result(_shown(drafted), **_members(drafted))
        endpoint = client.profile.endpoint
        wanted = "release" if endpoint == drafted.manifest.sender else "behalf"
        bears = {one.purpose for one in drafted.signed_by}
        if wanted in drafted.missing and wanted not in bears:
            data = client.sign_message_draft(data, files)
            drafted = client.read_message_draft(data, files)
        if out is not None or endpoint != drafted.manifest.sender or drafted.missing:
            if out is None:
                missing = ", ".join(drafted.missing) or f"that {drafted.manifest.sender} sends it"
                raise click.UsageError(f"say where to write the signed draft (-o); missing is {missing}")
            write_new(out, data)
            told = [f"written: {out}"]
            if drafted.attachments:
                told.append(f"the sealed files stay in {files}: whoever sends it names that folder (--files)")
            return Result([*_shown(drafted), *told], file=str(out), **_members(drafted))
        with transfers(client):
            sent = client.send_message_draft(data, files)
    members = _members(drafted) | {"message": sent.hash, "index": sent.index, "time": sent.time}
    return Result([f"sent         {sent.hash}, entry {sent.index}", *_shown(drafted)], **members)
