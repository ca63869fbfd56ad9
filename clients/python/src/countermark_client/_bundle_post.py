"""The post without a line: what it signs goes out as a bundle, what comes back is imported.

An import runs the same flows over the bundle's answers as a connected client runs over a broker's, in one
transaction: either everything that the bundle brings is proven and kept, or nothing changes.

Source: docs/spec/bundle.md.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from countermark_client._boxes import Boxes, page_target
from countermark_client._bundle_files import bytes_out, pieces_out, take_files, wants_out
from countermark_client._carried import PATHS, Carried, asked, posted
from countermark_client._fetching import Fetching
from countermark_client._flows_inbox import Inbox
from countermark_client._io import Flow
from countermark_client._log import LogView
from countermark_client._purges import Purges
from countermark_client._restored import Adopted, Restored
from countermark_client._session import Session
from countermark_client._settling import ACT, MESSAGE, RECEIPT, Settler
from countermark_client._store import OPEN_STAGES, MessageStage, OutboxItem, OutboxState
from countermark_client._uploads import lacks_pieces
from countermark_client.errors import StorageError
from countermark_protocol.answers import parse_accepted, parse_problem
from countermark_protocol.boxes import Box
from countermark_protocol.bundle import (
    MAX_BUNDLE_BYTES,
    MAX_ITEMS,
    MAX_WANTED,
    BundleManifest,
    Course,
    Cursors,
    Item,
    UnverifiedBundle,
    encode_bundle,
    encode_items,
    items_digest,
    parse_bundle,
)
from countermark_protocol.claims import Kind
from countermark_protocol.documents import Purpose, parse_document, sign_document, verify_document
from countermark_protocol.encoding import encode_hex, encode_json, parse_json
from countermark_protocol.errors import (
    ConflictError,
    ProofError,
    SignatureError,
    VerificationError,
)
from countermark_protocol.statements import kind_of
from countermark_protocol.submission import parse_submission

EXPORTED: Final = "bundles_exported"
_IMPORTED: Final = "bundles_imported"
#: How many bundles are remembered.
_MOST_REMEMBERED: Final = 1000
#: Bytes of an item beside its body, at most.
_MOST_FRAME: Final = 64
#: Of one that asks for an attachment.
_MOST_ASKED: Final = 128
#: Messages looked through for what is lacking.
_MOST_OPEN: Final = 10_000


@dataclass(frozen=True, slots=True)
class Exported:
    """A bundle to be carried to a connected post.

    Attributes:
        data: its bytes.
        name: payload hash of its manifest, 32 bytes.
        messages: how many it carries.
        receipts: how many it carries.
        withdrawals: how many it carries.
        left: statements of the outbox that did not fit; they go with the next one.
        wanted: messages that it asks to be brought whole.
        by_line: messages with attachments that wait and that no bundle carries: all that one is made of goes in one
            bundle, and these are larger, or their sealed pieces are not in this profile.
        files: attachments received of which it asks for what is lacking.
    """

    data: bytes
    name: bytes
    messages: int
    receipts: int
    withdrawals: int
    left: int
    wanted: int
    by_line: int = 0
    files: int = 0


@dataclass(frozen=True, slots=True)
class Imported:
    """What a bundle brought.

    Attributes:
        logged: statements of the outbox now proven to be in the log.
        refused: refused by rule, with a signed account, or answered with a plain problem.
        entries: new entries of each box.
        opened: messages received whole: the inbox gives them.
        size: of the checkpoint that all of it is proven under.
        age: of that checkpoint, ms: since the broker last stood to it.
        complete: whether the bundle reaches to the end of every box, as the broker signed it.
        adopted: of a profile restored from a backup: entries made after it, now known.
        files: attachments that are all here now.
    """

    logged: int
    refused: int
    entries: dict[Box, int]
    opened: int
    size: int
    age: int
    complete: bool
    adopted: tuple[Adopted, ...] = ()
    files: int = 0


def cursors_of(session: Session, log: LogView) -> Cursors:
    """Up to where a profile knows the log."""
    boxes = tuple((box, session.store.box_state(box).count) for box in Box)
    return Cursors(log.directory.count, boxes, session.settings.page_size)


def sign_bundle(session: Session, manifest: BundleManifest, items: bytes) -> tuple[bytes, bytes]:
    """(the bundle, payload hash of its manifest)."""
    signer = session.signer()
    document = sign_document(encode_json(manifest.to_json()), [signer])
    return encode_bundle(document, items), parse_document(document).payload_hash


def verify_bundle(session: Session, log: LogView, bundle: UnverifiedBundle) -> None:
    """Check that one current instance key of this endpoint has signed a bundle.

    Raises:
        SignatureError: ``bundle_signer``, or the signature does not verify.
    """
    document = verify_document(bundle.document, log.directory.public_key)
    [(purpose, key_id), *more] = document.signers
    instance = log.directory.instance(session.profile.endpoint, key_id, time=session.clock())
    if more or purpose is not Purpose.SIGN or instance is None:
        raise SignatureError(
            "bundle_signer",
            "a bundle is signed by exactly one current instance key of the endpoint it is for",
        )


def check_addressed(session: Session, manifest: BundleManifest, course: Course) -> None:
    """Check that a bundle is of this log and endpoint, and goes this way.

    Raises:
        VerificationError: ``bundle_wrong_log``.
        ConflictError: ``bundle_wrong_endpoint``, ``bundle_wrong_course``.
    """
    profile = session.profile
    if manifest.log != profile.log:
        raise VerificationError(
            "bundle_wrong_log", f"expected a bundle of log '{profile.log}', got one of '{manifest.log}'"
        )
    if manifest.endpoint != profile.endpoint:
        raise ConflictError(
            "bundle_wrong_endpoint",
            f"expected a bundle of {profile.endpoint}, got one of {manifest.endpoint}",
        )
    if manifest.course is not course:
        raise ConflictError(
            "bundle_wrong_course",
            "expected a bundle that comes back from a connected post, got one on its way out"
            if course is Course.BACK
            else "expected a bundle from a post without a line, got one on its way back",
        )


def remembered(session: Session, name: str) -> list[str]:
    """Hashes kept under a name, oldest first."""
    kept = session.store.meta(name)
    return [str(value) for value in parse_json(kept)] if kept is not None else []


def remember(session: Session, name: str, value: bytes) -> None:
    """Keep one more hash under a name; the oldest ones go."""
    kept = [*(k for k in remembered(session, name) if k != encode_hex(value)), encode_hex(value)]
    session.store.set_meta(name, encode_json(kept[-_MOST_REMEMBERED:]))


def is_withdrawal(document: bytes) -> bool:
    """Whether an act has a message's content deleted."""
    return kind_of(parse_document(document).claims) is Kind.PURGE


class OfflinePost:
    """Bundles of a profile without a line."""

    def __init__(
        self,
        session: Session,
        log: LogView,
        settler: Settler,
        boxes: Boxes,
        inbox: Inbox,
        restored: Restored,
        purges: Purges,
        fetching: Fetching,
    ) -> None:
        self._session = session
        self._store = session.store
        self._log = log
        self._settler = settler
        self._boxes = boxes
        self._inbox = inbox
        self._restored = restored
        self._purges = purges
        self._fetching = fetching

    # --- out ---

    def export(self) -> Exported:
        """Make a bundle of what waits in the outbox; see `Client.export_bundle`."""
        # A profile restored and not compared yet sends nothing: its bundle only asks for what it lacks.
        asks_only = self._log.restored is not None
        if not asks_only:
            self._log.check_not_halted()
        numbers: list[int] = []
        room = MAX_BUNDLE_BYTES
        # Of acts only withdrawals go by bundle: what else states that something is shown or looked at waits for a line.
        waiting = [
            w
            for w in self._store.waiting_sizes(0, -1, attached=False)
            if w[1] != ACT or self._withdraws(w[0])
        ]
        for number, _, length in waiting:
            room -= length + _MOST_FRAME
            if asks_only or room < 0 or len(numbers) == MAX_ITEMS:
                break  # in order: what does not fit waits, and so does all that follows
            numbers.append(number)
        carried = self._store.outbox_numbered(numbers)
        items = [Item(PATHS[c.kind], 0, c.body) for c in carried]
        asks = [] if asks_only else wants_out(self._session)
        room -= sum(len(want.body) + _MOST_ASKED for want in asks)
        left = len(waiting) - len(numbers)
        attached, left_attached, by_line = self._attached(
            0 if asks_only or left else room, MAX_ITEMS - len(items) - len(asks)
        )
        for one, pieces in attached:
            carried.append(one)
            items += [*pieces, Item(PATHS[one.kind], 0, one.body)]
        items += asks
        kinds = Counter(c.kind for c in carried)
        framed = encode_items(items)
        wanted = self._wanted()
        now = self._session.clock()
        age = self._log.age
        manifest = BundleManifest(
            log=self._session.profile.log,
            endpoint=self._session.profile.endpoint,
            course=Course.OUT,
            seen=self._log.seen,
            checked_at=max(0, now - age) if age is not None else 0,
            made_at=now,
            cursors=cursors_of(self._session, self._log),
            wanted=wanted,
            answers=None,
            items=len(items),
            size=len(framed),
            digest=items_digest(framed),
        )
        data, name = sign_bundle(self._session, manifest, framed)
        with self._store.transaction():
            # From now on somebody else may post them: they are no longer this post's to take back.
            self._store.add_tries([c.payload for c in carried], now)
            remember(self._session, EXPORTED, name)
        counts = kinds[MESSAGE], kinds[RECEIPT], kinds[ACT]
        return Exported(data, name, *counts, left + left_attached, len(wanted), by_line, len(asks))

    def _attached(self, room: int, places: int) -> tuple[list[tuple[OutboxItem, list[Item]]], int, int]:
        """Messages with attachments that fit, each with its pieces; how many wait for another bundle, and for a line.

        All that a message is made of goes in one bundle: a broker keeps pieces that no message claims for a day only.
        """
        found: list[tuple[OutboxItem, list[Item]]] = []
        left = by_line = 0
        for number, _, _ in self._store.waiting_sizes(0, -1, attached=True):
            [item] = self._store.outbox_numbered([number])
            size = bytes_out(item)
            if size > MAX_BUNDLE_BYTES:
                by_line += 1
                continue
            count = 1 + sum(map(len, parse_submission(item.body).pieces))
            if size > room or count > places:
                left += 1
                room = 0  # in order
                continue
            try:
                found.append((item, pieces_out(self._session, item)))
            except StorageError:  # told by name when it is sent over a line; it keeps nothing else back
                by_line += 1
                continue
            room, places = room - size, places - count
        return found, left, by_line

    def _withdraws(self, number: int) -> bool:
        [item] = self._store.outbox_numbered([number])
        return is_withdrawal(item.body)

    def _wanted(self) -> tuple[bytes, ...]:
        found = self._store.messages_by_stage(*OPEN_STAGES, limit=_MOST_OPEN)
        lacking = (m.payload for m in found if m.stanza is None or m.content is None)
        return tuple(payload for payload, _ in zip(lacking, range(MAX_WANTED), strict=False))

    # --- back ---

    def read(self, data: bytes) -> UnverifiedBundle:
        """Parse a bundle, and check that this profile waits for it; nothing of it is used yet.

        Raises:
            ConflictError: ``bundle_replayed``, ``bundle_not_awaited``.
            CountermarkError: as `parse_bundle` and `check_addressed`.
        """
        bundle = parse_bundle(data)
        manifest = bundle.manifest
        check_addressed(self._session, manifest, Course.BACK)
        if encode_hex(bundle.document.payload_hash) in remembered(self._session, _IMPORTED):
            raise ConflictError("bundle_replayed", "this bundle was imported before: nothing in it is new")
        assert manifest.answers is not None
        if encode_hex(manifest.answers) not in remembered(self._session, EXPORTED):
            raise ConflictError(
                "bundle_not_awaited",
                "this bundle answers none that this profile has exported since its last import: export a new one",
            )
        return bundle

    def take_in(self, bundle: UnverifiedBundle, carried: Carried, *, adopt: bool) -> Flow[Imported]:
        """Verify and keep everything that a bundle brings, or nothing; to be run by `Carried.run`."""
        self._session.carried = True
        try:
            with self._restored.adopting(), self._log.all_or_nothing():
                return (yield from self._take_in(bundle, carried, adopt=adopt))
        finally:
            self._session.carried = False

    def _take_in(self, bundle: UnverifiedBundle, carried: Carried, *, adopt: bool) -> Flow[Imported]:
        manifest = bundle.manifest
        self._check_place(manifest)
        # The directory first: who carried the bundle may have been enrolled since this post last had a line.
        checkpoint = yield from self._log.sync()
        verify_bundle(self._session, self._log, bundle)
        if (checkpoint.size, checkpoint.root) != (manifest.seen.size, manifest.seen.root):
            raise ProofError(
                "bundle_mismatch", "the bundle is proven under another checkpoint than it states"
            )
        entries: dict[Box, int] = {}
        ends = 0
        for box in (Box.URGENT, Box.ROUTINE, Box.SENT, Box.NOTICES):
            entries[box], ended = yield from self._read(box, carried, manifest.cursors.page)
            ends += ended
            if box is Box.SENT and ended:
                self._restored.compared()
        adopted = self._restored.take_over(adopt=adopt)
        # After the box ``sent``, whose pages begin where this profile stood when it exported.
        logged, refused = yield from self._settle(carried)
        opened = yield from self._fetch(carried)
        files = yield from take_files(self._session, self._fetching, carried)
        self._store.set_meta(EXPORTED, None)
        remember(self._session, _IMPORTED, bundle.document.payload_hash)
        age = self._log.age
        assert age is not None
        complete = ends == len(Box)
        return Imported(logged, refused, entries, opened, checkpoint.size, age, complete, adopted, files)

    def _check_place(self, manifest: BundleManifest) -> None:
        here = cursors_of(self._session, self._log)
        there = manifest.cursors
        if (here.directory, here.boxes) != (there.directory, there.boxes):
            raise ConflictError(
                "bundle_not_awaited",
                "this profile has read further since it exported what this bundle answers: export a new one",
            )

    def _settle(self, carried: Carried) -> Flow[tuple[int, int]]:
        """Take the broker's answers to what was exported; (logged, refused)."""
        logged = refused = 0
        for item in self._store.outbox(OutboxState.WAITING):
            found = carried.answer(posted(PATHS[item.kind], item.payload))
            if found is None:
                continue
            if 200 <= found.status < 300:
                settled = yield from self._settler.accepted(item, parse_accepted(found.body))
            elif lacks_pieces(problem := parse_problem(found.body)):
                continue  # the broker did not take its files: it goes out with them again
            else:
                settled = yield from self._settler.refused(item, problem)
            settled.write()
            logged += settled.error is None
            refused += settled.error is not None
        return logged, refused

    def _read(self, box: Box, carried: Carried, limit: int) -> Flow[tuple[int, bool]]:
        """(entries, whether the broker's word on the end of the box came with them)."""
        total = 0
        while True:
            path, query = page_target(
                self._session.profile.endpoint, box, self._store.box_state(box).count, limit
            )
            page = carried.answer(asked(path, query))
            if page is None:
                return total, False
            count = yield from self._boxes.take(box, page.body, None)
            total += count
            if count == 0:
                return total, True

    def _fetch(self, carried: Carried) -> Flow[int]:
        """Keep stanza and content of what another instance has signed for; how many messages are whole now."""
        opened = 0
        for stored in self._store.messages_by_stage(MessageStage.DELIVERED, limit=_MOST_OPEN):
            if stored.stanza is not None and stored.content is not None:
                continue
            path = f"/v1/messages/{stored.payload.hex()}"
            if carried.answer(asked(f"{path}/purge")) is not None:
                yield from self._purges.learn(stored)  # deleted before it was brought: nothing more will come
            elif all(carried.answer(asked(f"{path}/{what}")) is not None for what in ("stanza", "content")):
                yield from self._inbox.fetch(stored.payload)
                opened += 1
        return opened
