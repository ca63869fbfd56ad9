"""An adapter to a folder of files: for any system that can read and write JSON.

::

    in/       the other system puts NAME.json here, complete (written elsewhere, then renamed)
    done/     what is in the log: NAME.json, and NAME.receipt.json with both identifiers
    refused/  what is not: NAME.json, and NAME.error.json with code, words and what to do
    out/      messages for the other system: HASH.json; it removes them when it likes

Source: docs/spec/bridge.md §5.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from countermark_client._models import Attachment
from countermark_client.bridge._adapter import Incoming, Outgoing
from countermark_protocol.claims import Claims
from countermark_protocol.codes.tracing import ExternalSystem
from countermark_protocol.encoding import JsonObject, malformed, parse_object
from countermark_protocol.errors import CountermarkError, MalformedError
from countermark_protocol.handling import parse_handling
from countermark_protocol.manifest import Urgency

#: Larger than any content: what is more is not one.
MAX_FILE_BYTES: Final = 16 * 1024 * 1024
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.json\Z")
_FOLDERS: Final = ("in", "out", "done", "refused")


def _address(value: Any, what: str) -> str:
    if not isinstance(value, str):
        malformed("bad_bridge_file", f"{what}: expected a text")
    return value


def _parse(name: str, data: bytes) -> Incoming:
    what = f"the file {name}"
    claims = Claims(parse_object(data, what), what)
    content = claims.raw("content")
    if not isinstance(content, dict):
        claims.bad("content", "an object")
    answered = claims.optional_digest("inReplyTo")
    incoming = Incoming(
        ref=claims.text("ref", 100) if claims.has("ref") else name.removesuffix(".json"),
        type=claims.text("type"),
        to=claims.list_of("to", _address, 1, 1000),
        content=content,
        urgency=claims.choice("urgency", Urgency) if claims.has("urgency") else Urgency.ROUTINE,
        handling=claims.optional("handling", parse_handling),
        in_reply_to=answered.hex() if answered is not None else None,
        in_reply_to_ref=claims.text("inReplyToRef") if claims.has("inReplyToRef") else None,
        exercise=claims.boolean("exercise") if claims.has("exercise") else False,
    )
    claims.done()
    if incoming.in_reply_to is not None and incoming.in_reply_to_ref is not None:
        claims.bad("inReplyToRef", "either inReplyTo or inReplyToRef, not both")
    return incoming


def _told(one: Attachment) -> JsonObject:
    told: JsonObject = {
        "name": one.name,
        "mediaType": one.media_type,
        "size": one.size,
        "sha256": one.sha256,
    }
    return told if one.caption is None else told | {"caption": one.caption}


class FolderAdapter:
    """A folder that another system shares with this machine.

    Args:
        folder: is made if it is not there, readable by its owner only: what lies in it is cleartext.
        name: of this bridge.
        system: what it leads to.
        within_agency: whether nobody but the agency reads it.
    """

    def __init__(
        self,
        folder: Path,
        name: str = "folder",
        system: ExternalSystem = ExternalSystem.OTHER,
        *,
        within_agency: bool = True,
    ) -> None:
        self.name = name
        self.system = system
        self.within_agency = within_agency
        self._folder = folder
        self._files: dict[str, Path] = {}
        for each in _FOLDERS:
            (folder / each).mkdir(mode=0o700, parents=True, exist_ok=True)

    def waiting(self) -> Iterator[Incoming | tuple[str, CountermarkError]]:
        """Files of ``in/``, oldest first, then by name; others than ``NAME.json`` are not looked at."""
        files = [path for path in (self._folder / "in").iterdir() if _NAME.match(path.name)]
        for path in sorted(files, key=lambda each: (each.stat().st_mtime_ns, each.name)):
            try:
                incoming = _parse(path.name, self._bytes(path))
            except MalformedError as error:
                ref = path.name.removesuffix(".json")
                self._files[ref] = path
                yield ref, error
                continue
            self._files[incoming.ref] = path
            yield incoming

    def _bytes(self, path: Path) -> bytes:
        if path.is_symlink() or not path.is_file():
            malformed("bad_bridge_file", f"the file {path.name}: expected a plain file, not a link")
        if path.stat().st_size > MAX_FILE_BYTES:
            malformed("bad_bridge_file", f"the file {path.name}: expected {MAX_FILE_BYTES} bytes at most")
        return path.read_bytes()

    def taken(self, ref: str, message: str) -> None:
        """Move the file to ``done/``, after a receipt with both identifiers."""
        self._settle("done", ref, "receipt", {"ref": ref, "message": message})

    def refused(self, ref: str, error: CountermarkError) -> None:
        """Move the file to ``refused/``, after a file that says why."""
        told: JsonObject = {"ref": ref, "code": error.code, "error": str(error)}
        self._settle("refused", ref, "error", told)

    def _settle(self, where: str, ref: str, suffix: str, told: JsonObject) -> None:
        path = self._files.pop(ref)
        stem = path.name.removesuffix(".json")
        self._write(self._folder / where / f"{stem}.{suffix}.json", told)
        path.replace(self._folder / where / path.name)

    def deliver(self, outgoing: Outgoing) -> str:
        """Write ``out/HASH.json``; the name is what the folder calls it."""
        manifest = outgoing.manifest
        document: JsonObject = {
            "message": outgoing.message,
            "id": str(manifest.id),
            "type": manifest.type,
            "version": manifest.version,
            "from": str(manifest.sender),
            "sentAt": manifest.sent_at,
            "loggedAt": outgoing.time,
            "urgency": manifest.urgency.value,
            "handling": manifest.handling.to_json(),
            "exercise": manifest.exercise,
            "content": outgoing.content,
        }
        optional: dict[str, Any] = {
            "conversation": manifest.conversation.hex() if manifest.conversation else None,
            "inReplyTo": manifest.in_reply_to.hex() if manifest.in_reply_to else None,
            "inReplyToRef": outgoing.in_reply_to_ref,
            "replyBy": manifest.reply_by,
            "attachments": [_told(one) for one in outgoing.attachments] or None,
        }
        document |= {name: value for name, value in optional.items() if value is not None}
        self._write(self._folder / "out" / f"{outgoing.message}.json", document)
        return f"{self.name}/{outgoing.message[:16]}"

    @staticmethod
    def _write(path: Path, document: JsonObject) -> None:
        """Write a file whole and durably, or not at all: who reads it never sees half of one."""
        partial = path.with_name(f".{path.name}.part")
        with open(partial, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write((json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
