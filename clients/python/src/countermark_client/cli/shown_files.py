"""Files handed over with a disclosure: each is compared with what the disclosed part says of it.

Source: docs/spec/disclosure.md §3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from countermark_client.cli.common import FILE
from countermark_protocol.disclosure import (
    ShownContent,
    shown_attachment,
    shown_attachments,
    verify_shown_file,
)
from countermark_protocol.encoding import JsonObject
from countermark_protocol.errors import CountermarkError, ProofError

_BLOCK: Final = 1024 * 1024

_files_option: Any = click.option(
    "--file",
    "files",
    type=(int, FILE),
    multiple=True,
    metavar="NUMBER PATH",
    help="A file handed over with it, and which attachment it is, from 0: they are compared.",
)


def with_files(function: Any) -> Any:
    """Give a command the option of files handed over."""
    return _files_option(function)


@dataclass(frozen=True)
class FilesShown:
    """What is said of attachments.

    Attributes:
        lines: for people; empty where no attachment is shown.
        json: for programs, one for each attachment shown.
    """

    lines: tuple[str, ...]
    json: tuple[JsonObject, ...]


def check_files(contents: Sequence[ShownContent], files: Iterable[tuple[int, Path]]) -> FilesShown:
    """Compare files with what disclosures of one message say of its attachments.

    Args:
        contents: what was disclosed, each checked against the manifest.
        files: given, by number of the attachment.

    Raises:
        SealError: ``file_mismatch``: a file is not the one described; ``attachment_count``, ``attachment_size``.
        ProofError: ``attachment_not_shown``: of a file that is given nothing is disclosed.
        MalformedError: of a file that is given no descriptor is disclosed.
    """
    given = dict(files)
    showing: dict[int, ShownContent] = {n: c for c in reversed(contents) for n in shown_attachments(c)}
    for number in sorted(given.keys() - showing.keys()):
        raise ProofError("attachment_not_shown", f"nothing shows what attachment {number} is")
    told = [_told(showing[number], number, given) for number in sorted(showing)]
    lines = ("", "ATTACHMENTS", *(f"  {line}" for line, _ in told)) if told else ()
    return FilesShown(lines, tuple(json for _, json in told))


def _told(content: ShownContent, number: int, given: Mapping[int, Path]) -> tuple[str, JsonObject]:
    if number in given:
        described = verify_shown_file(content, number, _blocks(given[number]))
        line = f"{number} '{described.name}': {given[number]} is this file, byte for byte"
        return line, {"number": number, **described.to_json(), "file": str(given[number])}
    try:
        described = shown_attachment(content, number)
    except CountermarkError as error:  # what a sender spoilt is shown all the same
        return f"{number}: {error.message}", {"number": number, "code": error.code, "file": None}
    line = (
        f"{number} '{described.name}', {described.media_type}, {described.size} bytes, SHA-256 "
        f"{described.sha256.hex()}: NOT compared; `--file {number} PATH` compares it"
    )
    return line, {"number": number, **described.to_json(), "file": None}


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block
