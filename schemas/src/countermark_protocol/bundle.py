"""Bundles: what a post without a line exchanges with a connected one, as one signed file.

Layout: magic 8 ‖ manifest u32-sized ‖ items, each (number u32 ‖ target u16-sized ‖ status u16 ‖ body u32-sized).

The manifest is a signed document by one instance key of the endpoint; it states count, size and digest of the
items, so that a change, a loss, an addition or another order of them is seen before anything of them is used. An
item of a bundle *out* is what would be posted, its target the path; an item of a bundle *back* is what a broker
answered, its target what was asked. Whatever it carries authenticates itself: the bundle's own signature says
only which instance has carried it, for whom, and how old it is.

Source: docs/spec/bundle.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from countermark_protocol.boxes import Box
from countermark_protocol.claims import KIND_NAMES, Claims, Seen, parse_seen
from countermark_protocol.documents import MAX_PAYLOAD_BYTES, UnverifiedDocument, parse_document
from countermark_protocol.encoding import (
    JsonObject,
    Writer,
    encode_hex,
    labelled_hash,
    malformed,
    parse_digest,
)
from countermark_protocol.errors import ProofError, UncheckableError
from countermark_protocol.identifiers import Address, Origin, parse_address, parse_origin

KIND: Final = "bundle"
assert KIND not in KIND_NAMES.values()  # a bundle is never an entry of the log
_FAMILY: Final = b"cmbundl"
MAGIC: Final = _FAMILY + b"1"
#: All of a bundle is held in memory; what does not fit waits for the next one.
MAX_BUNDLE_BYTES: Final = 256 * 1024 * 1024
MAX_ITEMS: Final = 100_000
MAX_TARGET_BYTES: Final = 300
MAX_WANTED: Final = 1000
_MAX_DOCUMENT: Final = MAX_PAYLOAD_BYTES + 64 * 1024
#: Bytes of an item beside target and body.
_FRAME: Final = 4 + 2 + 2 + 4


class Course(StrEnum):
    """Which way a bundle goes."""

    OUT = "out"
    """From the post without a line: what it posts, and up to where it knows the log."""
    BACK = "back"
    """From the connected post: the broker's answers."""


@dataclass(frozen=True, slots=True)
class Cursors:
    """Up to where the post without a line knows the log.

    Attributes:
        directory: statements folded.
        boxes: count of each box verified.
        page: most entries that it takes in one page of a box.
    """

    directory: int
    boxes: tuple[tuple[Box, int], ...]
    page: int

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        return {
            "directory": self.directory,
            "boxes": {box.value: count for box, count in self.boxes},
            "page": self.page,
        }


@dataclass(frozen=True, slots=True)
class BundleManifest:
    """What a bundle says of itself.

    Attributes:
        log: origin.
        endpoint: of both posts.
        course: which way it goes.
        seen: out: the checkpoint last verified by its maker; back: the one that all it brings is proven under.
        checked_at: when the broker last stood to that checkpoint, ms since 1970; 0 if never.
        made_at: ms since 1970 by its maker's clock.
        cursors: of the post without a line; back: as in the bundle that it answers.
        wanted: out: messages received whose stanza or content it lacks, payload hashes.
        answers: back: payload hash of the manifest of the bundle that it answers; else None.
        items: how many.
        size: of all items with their frames, bytes.
        digest: over all items with their frames, 32 bytes.
    """

    log: Origin
    endpoint: Address
    course: Course
    seen: Seen
    checked_at: int
    made_at: int
    cursors: Cursors
    wanted: tuple[bytes, ...]
    answers: bytes | None
    items: int
    size: int
    digest: bytes

    def to_json(self) -> JsonObject:
        """The payload; encode it with `encode_json`."""
        out: JsonObject = {
            "kind": KIND,
            "log": self.log,
            "from": self.endpoint,
            "course": self.course.value,
            "seen": self.seen.to_json(),
            "checked_at": self.checked_at,
            "made_at": self.made_at,
            "cursors": self.cursors.to_json(),
            "items": self.items,
            "size": self.size,
            "digest": encode_hex(self.digest),
        }
        if self.course is Course.OUT:
            out["wanted"] = [encode_hex(w) for w in self.wanted]
        if self.answers is not None:
            out["answers"] = encode_hex(self.answers)
        return out


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that a bundle carries.

    Attributes:
        target: out: the path to post to; back: what was asked, ``<method> <path>[?<query>]`` or for a posted body
            ``POST <path> <payload hash>``.
        status: HTTP status of the answer; 0 on the way out.
        body: exact bytes.
    """

    target: str
    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class UnverifiedBundle:
    """A bundle whose items are those that its manifest names; who signed it is not checked by being here.

    Attributes:
        document: the manifest's signed document.
        manifest: read from its payload.
        items: in order.
    """

    document: UnverifiedDocument
    manifest: BundleManifest
    items: tuple[Item, ...]


def _cursors(value: Any, what: str) -> Cursors:
    claims = Claims(value, what)
    boxes = Claims(claims.raw("boxes"), f"'boxes' of {what}")
    counts = tuple((box, boxes.integer(box.value)) for box in Box)
    boxes.done()
    out = Cursors(claims.integer("directory"), counts, claims.integer("page", 1, 500))
    claims.done()
    return out


def parse_bundle_manifest(payload: JsonObject) -> BundleManifest:
    """Read the manifest of a bundle from a parsed payload.

    Raises:
        MalformedError: a member is missing, wrong or unknown.
    """
    claims = Claims(payload, "bundle")
    if claims.raw("kind") != KIND:
        claims.bad("kind", f"'{KIND}'")
    course = claims.choice("course", Course)
    out = BundleManifest(
        log=claims.parsed("log", parse_origin),
        endpoint=claims.parsed("from", parse_address),
        course=course,
        seen=claims.parsed("seen", parse_seen),
        checked_at=claims.time("checked_at"),
        made_at=claims.time("made_at"),
        cursors=claims.parsed("cursors", _cursors),
        wanted=claims.list_of("wanted", parse_digest, 0, MAX_WANTED) if course is Course.OUT else (),
        answers=claims.digest("answers") if course is Course.BACK else None,
        items=claims.integer("items", 0, MAX_ITEMS),
        size=claims.integer("size", 0, MAX_BUNDLE_BYTES),
        digest=claims.digest("digest"),
    )
    claims.done()
    return out


# --- items -------------------------------------------------------------------------------------------


def item_size(item: Item) -> int:
    """Bytes that an item takes in a bundle."""
    return _FRAME + len(item.target.encode("utf-8")) + len(item.body)


def encode_items(items: Iterable[Item]) -> bytes:
    """The items of a bundle, framed and numbered.

    Raises:
        ValueError: more than a bundle holds.
    """
    out = Writer()
    count = 0
    for count, item in enumerate(items, 1):
        target = item.target.encode("utf-8")
        out.uint(count - 1, 4).sized(target, 2).uint(item.status, 2).sized(item.body, 4)
    data = out.done()
    if count > MAX_ITEMS or len(data) > MAX_BUNDLE_BYTES:
        msg = f"a bundle holds at most {MAX_ITEMS} items in {MAX_BUNDLE_BYTES} bytes"
        raise ValueError(msg)
    return data


def items_digest(data: bytes) -> bytes:
    """What a manifest names its items by, 32 bytes."""
    return labelled_hash("bundle-items", data)


def encode_bundle(document: bytes, items: bytes) -> bytes:
    """A bundle.

    Args:
        document: the manifest's signed document.
        items: from `encode_items`.
    """
    return MAGIC + Writer().sized(document, 4).done() + items


def _truncated(what: str) -> ProofError:
    return ProofError("bundle_truncated", f"the bundle ends inside {what}: copy it again, whole")


class _Cutter:
    """Reads fields off a bundle; one that ends too early is a truncated bundle."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._at = 0

    def take(self, size: int, what: str) -> bytes:
        if size > len(self._data) - self._at:
            raise _truncated(what)
        out = bytes(self._data[self._at : self._at + size])
        self._at += size
        return out

    def number(self, width: int, what: str) -> int:
        return int.from_bytes(self.take(width, what), "big")

    @property
    def at(self) -> int:
        return self._at


def parse_bundle(data: bytes) -> UnverifiedBundle:
    """Parse a bundle and check that its items are those that its manifest names, in their order.

    Raises:
        MalformedError: not a bundle, too large, or a manifest that is none.
        UncheckableError: ``unknown_version``.
        ProofError: ``bundle_truncated``, ``bundle_reordered`` (items are not numbered in their order),
            ``bundle_altered`` (other items, or bytes after them).

    Does not prove: that an instance of the endpoint has signed it, or anything of what it carries.
    """
    if len(data) > MAX_BUNDLE_BYTES + _MAX_DOCUMENT + 64:
        malformed(
            "oversized_bundle", f"expected a bundle of at most {MAX_BUNDLE_BYTES} bytes, got {len(data)}"
        )
    cutter = _Cutter(data)
    magic = cutter.take(len(MAGIC), "its first bytes")
    if magic != MAGIC:
        if magic.startswith(_FAMILY):
            raise UncheckableError(
                "unknown_version", "the bundle is of another version than this software reads"
            )
        malformed("not_a_bundle", "these bytes are no Countermark bundle")
    size = cutter.number(4, "its manifest")
    if size > _MAX_DOCUMENT:
        malformed("not_a_bundle", f"expected a manifest of at most {_MAX_DOCUMENT} bytes, got {size}")
    document = parse_document(cutter.take(size, "its manifest"))
    manifest = parse_bundle_manifest(document.claims)
    start = cutter.at
    items = tuple(_item(cutter, number) for number in range(manifest.items))
    framed = data[start:]
    if cutter.at != len(data) or manifest.size != len(framed) or manifest.digest != items_digest(framed):
        raise ProofError(
            "bundle_altered", "the bundle holds other items than its manifest names: do not use it"
        )
    return UnverifiedBundle(document, manifest, items)


def _item(cutter: _Cutter, number: int) -> Item:
    what = f"item {number}"
    stated = cutter.number(4, what)
    if stated != number:
        raise ProofError("bundle_reordered", f"expected item {number} of the bundle, got item {stated}")
    size = cutter.number(2, what)
    if size > MAX_TARGET_BYTES:
        raise ProofError(
            "bundle_altered", f"{what} of the bundle has a target longer than {MAX_TARGET_BYTES} bytes"
        )
    target = cutter.take(size, what)
    if not target.isascii():
        raise ProofError("bundle_altered", f"{what} of the bundle has a target that is not ASCII")
    status = cutter.number(2, what)
    return Item(target.decode("ascii"), status, cutter.take(cutter.number(4, what), what))
