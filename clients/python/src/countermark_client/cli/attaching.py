"""Files on the command line: `send --attach` and `--photograph`, and how far they are."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from countermark_client._photographs import add_photograph
from countermark_client.attaching import Attach, PreparedAttachment, prepare_now
from countermark_client.cli import _late
from countermark_client.cli.content_files import Row, validated
from countermark_client.cli.output import safe, short

if TYPE_CHECKING:
    from countermark_client import Client
    from countermark_client._models import Attachment, FetchedAttachment
    from countermark_client._session import Transfer

_OPTIONS: Final = re.compile(r",(?=(?:caption|name|type)=|as-is(?:,|\Z))")
_FORM: Final = "FILE[,caption=TEXT][,name=TEXT][,type=MEDIA/TYPE][,as-is]"

ATTACH_OPTIONS: Final[tuple[Callable[[Any], Any], ...]] = (
    click.option(
        "--attach",
        "attach",
        multiple=True,
        metavar=_FORM,
        help="A file to go with it; may be repeated. A picture goes without what it tells of camera, place and owner, "
        "unless as-is is said.",
    ),
    click.option(
        "--photograph",
        "photographs",
        multiple=True,
        metavar="PLACE=FILE[,…]",
        help="As --attach, and named in the content as a picture of a weapon, items/0=FILE, or of a mark of it, "
        "items/0/marks/2=FILE.",
    ),
)


def parse_attach(text: str) -> Attach:
    """Read what follows ``--attach``."""
    path, *options = _OPTIONS.split(text)
    told: dict[str, str] = {}
    for option in options:
        name, _, value = option.partition("=")
        if name in told:
            raise click.UsageError(f"'{name}' is said twice: expected {_FORM}")
        told[name] = value
    return Attach(path, told.get("name"), told.get("type"), told.get("caption"), "as-is" in told)


def prepare_files(
    attach: Sequence[str], photographs: Sequence[str], rows: list[Row], message_type: str
) -> tuple[PreparedAttachment, ...]:
    """Prepare the files of one message, and let its content name the photographs.

    Args:
        attach: as said after ``--attach``.
        photographs: as said after ``--photograph``.
        rows: the contents of a file; changed in place.
        message_type: of them.

    Raises:
        CountermarkError: a file cannot be sent.
    """
    if not attach and not photographs:
        return ()
    if len(rows) != 1:
        raise click.UsageError(
            f"files go with one message; the file of contents has {len(rows)}: send that one by itself"
        )
    prepared = [prepare_now(parse_attach(text)) for text in attach]
    [row] = rows
    for text in photographs:
        place, equals, file = text.partition("=")
        if not equals:
            raise click.UsageError("--photograph: expected PLACE=FILE, e.g. items/0/marks/2=left.jpg")
        prepared.append(prepare_now(parse_attach(file)))
        if row.content is not None:
            add_photograph(row.content, place, prepared[-1])
    if photographs and row.content is not None:
        rows[0] = validated(Row(row.number, row.line, row.content, None), message_type)
    return tuple(prepared)


# --- what is told ----------------------------------------------------------------------------------------


def size_text(size: int) -> str:
    """A size for people."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def attachment_json(one: Attachment) -> dict[str, Any]:
    """An attachment as JSON."""
    small = one.thumbnail
    return {
        "index": one.index,
        "name": one.name,
        "media_type": one.media_type,
        "size": one.size,
        "sha256": one.sha256,
        "caption": one.caption,
        "thumbnail": {"media_type": small.media_type.value, "width": small.width, "height": small.height}
        if small is not None
        else None,
        "held": one.held,
    }


def attachment_lines(attachments: Sequence[Attachment], message: bytes) -> list[str]:
    """Attachments among the lines on a message."""
    lines: list[str] = []
    for one in attachments:
        caption = f": {safe(one.caption)}" if one.caption is not None else ""
        held = "" if one.held else ", not fetched"
        lines.append(
            f"attachment   {one.index}  {safe(one.name)} ({one.media_type}, {size_text(one.size)}{held}){caption}"
        )
    if any(not one.held for one in attachments):
        lines.append(f"             `countermark fetch {short(message)}` fetches them")
    return lines


def fetched_lines(one: FetchedAttachment) -> list[str]:
    """What is told of a file that was written."""
    told = one.attachment
    lines = [f"{safe(str(one.path))}: {size_text(told.size)}, SHA-256 {told.sha256}"]
    if one.metadata:
        lines.append(
            f"  warning: it holds metadata ({', '.join(one.metadata)}), which may tell where, when and by what it was "
            "made: mind whom you pass it on to"
        )
    return lines


def fetched_json(one: FetchedAttachment) -> dict[str, Any]:
    """The same, for programs."""
    return {**attachment_json(one.attachment), "file": str(one.path), "metadata": list(one.metadata)}


@contextlib.contextmanager
def transfers(client: Client) -> Iterator[None]:
    """A progress bar on standard error while files go up or come down, only where that is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    bar = _late.Progress(
        _late.TextColumn("{task.description}"),
        _late.BarColumn(),
        _late.DownloadColumn(binary_units=True),
        _late.TransferSpeedColumn(),
        _late.TimeRemainingColumn(),
        console=_late.Console(stderr=True),
        transient=True,
    )
    tasks: dict[tuple[bytes, int | None], Any] = {}

    def show(t: Transfer) -> None:
        place = (t.message, t.attachment)
        what = f"attachment {t.attachment}" if t.attachment is not None else "attachments"
        if place not in tasks:
            tasks[place] = bar.add_task(f"{short(t.message)} {what} {t.direction}", total=t.total)
        bar.update(tasks[place], completed=t.done)

    client.watch.transferred = show
    with bar:
        yield
