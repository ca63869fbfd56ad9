"""The connected post: it posts what a bundle brings, and fetches what the post without a line lacks.

It is an instance of the same endpoint, so it may sign `delivered` for new messages: the bundle that goes back
carries stanza and content, the one exception to their release to who has signed for them. It uses nothing of
what it fetches for the other post, which proves all of it for itself.

Everything is fetched first and the directory last, so that one checkpoint stands over all of it; for every
smaller tree that something was proven under, the bundle brings the proof that this one continues it.

Source: docs/spec/bundle.md §3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from countermark_client._boxes import Boxes, page_target
from countermark_client._bundle_files import Parcel, pieces_back, sort_items, upload
from countermark_client._bundle_post import (
    check_addressed,
    is_withdrawal,
    remember,
    remembered,
    sign_bundle,
    verify_bundle,
)
from countermark_client._carried import ACTS_PATH, MESSAGES_PATH, RECEIPTS_PATH, asked, posted
from countermark_client._continuity import consistency_path
from countermark_client._flows_inbox import Inbox
from countermark_client._flows_receipts import Receipts
from countermark_client._io import Flow, Sleep
from countermark_client._log import LogView
from countermark_client._open import manifest_of
from countermark_client._session import ProblemAnswer, Session, problem_error
from countermark_client._store import Direction, MessageStage
from countermark_protocol.accounts import parse_account
from countermark_protocol.acts import parse_purge
from countermark_protocol.answers import (
    Release,
    parse_accepted,
    parse_box_page,
    parse_directory_page,
)
from countermark_protocol.boxes import Box
from countermark_protocol.bundle import (
    MAX_BUNDLE_BYTES,
    MAX_ITEMS,
    BundleManifest,
    Course,
    Item,
    encode_items,
    item_size,
    items_digest,
    parse_bundle,
)
from countermark_protocol.checkpoint import Checkpoint, parse_checkpoint
from countermark_protocol.claims import Claims, Seen, parse_seen
from countermark_protocol.documents import parse_document
from countermark_protocol.encoding import encode_hex, encode_json, malformed
from countermark_protocol.errors import ConflictError, TransportError
from countermark_protocol.identifiers import Address, Origin
from countermark_protocol.keys import Signer
from countermark_protocol.receipts import parse_receipt
from countermark_protocol.submission import parse_submission

_CARRIED: Final = "bundles_carried"
_MOST_OPEN: Final = 10_000
#: Room kept for the directory and the proofs, which make the rest usable.
_ROOM: Final = 32 * 1024 * 1024
#: Items up to which pieces are added: directory and proofs follow.
_MOST_ITEMS: Final = MAX_ITEMS // 2
_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class CarriedBack:
    """A bundle to be carried back.

    Attributes:
        data: its bytes.
        name: payload hash of its manifest, 32 bytes.
        logged: statements that the broker has logged, now or before.
        refused: statements that it has refused.
        messages: messages that it brings whole.
        entries: entries of boxes that it brings.
        size: of the checkpoint that all of it is proven under.
        checked_at: when the broker last stood to a tree in it, ms since 1970.
        pieces: of attachments that it brings.
        files_left: attachments of which pieces had no more room; the next bundle brings them.
        not_taken: why the broker does not take the files of messages, which therefore wait, each reason once.
    """

    data: bytes
    name: bytes
    logged: int
    refused: int
    messages: int
    entries: int
    size: int
    checked_at: int
    pieces: int = 0
    files_left: int = 0
    not_taken: tuple[str, ...] = ()


@dataclass(slots=True)
class _Load:
    """What goes back, as it grows.

    Attributes:
        items: in order.
        size: of them, bytes.
        sizes: of trees that something in it is proven under or names.
        checked_at: newest time of an account in it, ms since 1970.
    """

    items: list[Item] = field(default_factory=list)
    size: int = 0
    sizes: set[int] = field(default_factory=set)
    checked_at: int = 0

    def fits(self, item: Item, room: int = _ROOM) -> bool:
        return self.size + item_size(item) <= MAX_BUNDLE_BYTES - room

    def add(self, item: Item) -> None:
        self.items.append(item)
        self.size += item_size(item)

    def note_account(self, data: bytes | None) -> None:
        if data is not None:
            account = parse_account(parse_document(data).claims)
            self.sizes.add(account.seen.size)
            self.checked_at = max(self.checked_at, account.made_at)

    def note_statement(self, data: bytes) -> None:
        self.sizes.add(Claims(parse_document(data).claims, "statement").parsed("seen", parse_seen).size)


def check_item(item: Item, endpoint: Address, log: Origin) -> bytes:
    """Check that what a bundle wants posted is a statement of this endpoint for this log; its payload hash.

    Raises:
        MalformedError: ``bundle_target``, ``bundle_foreign_item``, or no statement at all.
    """
    if item.target == MESSAGES_PATH:
        submission = parse_submission(item.body)
        document, author, header = submission.document, submission.manifest.sender, submission.manifest.header
    elif item.target == RECEIPTS_PATH:
        document = parse_document(item.body)
        receipt = parse_receipt(document.claims)
        author, header = receipt.author, receipt.header
    elif item.target == ACTS_PATH and is_withdrawal(item.body):
        document = parse_document(item.body)
        purge = parse_purge(document.claims)
        author, header = purge.author, purge.header
    else:
        malformed(
            "bundle_target",
            "a bundle carries messages with their pieces, receipts and withdrawals, and nothing else is posted",
        )
    if author != endpoint or header.log != log:
        malformed(
            "bundle_foreign_item", f"expected statements of {endpoint} for log '{log}', got one of {author}"
        )
    return document.payload_hash


class Carrier:
    """Carries bundles of other posts of the same endpoint."""

    def __init__(
        self, session: Session, log: LogView, boxes: Boxes, receipts: Receipts, inbox: Inbox
    ) -> None:
        self._session = session
        self._store = session.store
        self._log = log
        self._boxes = boxes
        self._receipts = receipts
        self._inbox = inbox

    def carry(self, data: bytes, *, again: bool) -> Flow[CarriedBack]:
        """Post what a bundle brings and make the one that goes back; see `Client.carry_bundle`."""
        bundle = parse_bundle(data)
        manifest = bundle.manifest
        check_addressed(self._session, manifest, Course.OUT)
        name = bundle.document.payload_hash
        if not again and encode_hex(name) in remembered(self._session, _CARRIED):
            raise ConflictError(
                "bundle_replayed",
                "this bundle was carried before: ask for it again only if what went back was lost",
            )
        self._log.check_not_halted()
        yield from self._log.sync()  # the other post may have been certified, or revoked, a moment ago
        verify_bundle(self._session, self._log, bundle)
        parcel = sort_items(bundle.items)
        payloads = [
            check_item(item, self._session.profile.endpoint, self._session.profile.log)
            for item in parcel.statements
        ]
        load = _Load()
        logged, refused, not_taken = yield from self._post(parcel, payloads, load)
        yield from self._sign_for(manifest)
        entries = yield from self._pages(manifest, load)
        messages = yield from self._messages(manifest, load)
        pieces, files_left = yield from self._files(parcel, messages, load)
        yield from self._purged(manifest, load)
        checkpoint = yield from self._directory(manifest, load)
        yield from self._proofs(manifest.seen, checkpoint, load)
        framed = encode_items(load.items)
        back = BundleManifest(
            log=manifest.log,
            endpoint=manifest.endpoint,
            course=Course.BACK,
            seen=Seen(checkpoint.size, checkpoint.root),
            checked_at=load.checked_at,
            made_at=self._session.clock(),
            cursors=manifest.cursors,
            wanted=(),
            answers=name,
            items=len(load.items),
            size=len(framed),
            digest=items_digest(framed),
        )
        answer, answer_name = sign_bundle(self._session, back, framed)
        remember(self._session, _CARRIED, name)
        return CarriedBack(
            answer,
            answer_name,
            logged,
            refused,
            len(messages),
            entries,
            checkpoint.size,
            load.checked_at,
            pieces,
            files_left,
            not_taken,
        )

    # --- out ---

    def _post(
        self, parcel: Parcel, payloads: list[bytes], load: _Load
    ) -> Flow[tuple[int, int, tuple[str, ...]]]:
        """Post everything, in order; what was posted before is answered with the same proof."""
        logged = refused = 0
        not_taken: dict[str, None] = {}
        for item, payload in zip(parcel.statements, payloads, strict=True):
            if item.target == MESSAGES_PATH:
                why = yield from upload(self._session, item, parcel.pieces)
                if why is not None:
                    not_taken[why] = None
            signer = None if item.target == MESSAGES_PATH else self._signer
            try:
                response, _ = yield from self._session.call(
                    "POST", item.target, body=item.body, signer=signer
                )
            except ProblemAnswer as answer:
                refused += 1
                status, body = answer.problem.status, encode_json(answer.problem.to_json())
                load.note_account(answer.problem.account)
            else:
                logged += 1
                status, body = response.status, response.body
                load.sizes.add(parse_checkpoint(parse_accepted(body).checkpoint).size)
            load.add(Item(posted(item.target, payload), status, body))
        return logged, refused, tuple(not_taken)

    # --- back ---

    @property
    def _signer(self) -> Signer:
        return self._session.signer()

    def _get(self, path: str, query: str = "") -> Flow[bytes]:
        try:
            response, _ = yield from self._session.call("GET", path, query, signer=self._signer)
        except ProblemAnswer as answer:
            raise problem_error(answer.problem) from None
        return response.body

    def _sign_for(self, manifest: BundleManifest) -> Flow[None]:
        """Read this endpoint's boxes, and sign for what the other post has not received yet."""
        for box in (Box.URGENT, Box.ROUTINE, Box.SENT):
            yield from self._boxes.read_all(box)
        known = dict(manifest.cursors.boxes)
        listed = self._store.messages_by_stage(MessageStage.LISTED, limit=_MOST_OPEN)
        wanted = set(manifest.wanted)
        new = [m for m in listed if m.payload in wanted or (m.position or 0) >= known[Box(m.box or "")]]
        yield from self._receipts.sign_for(new)

    def _pages(self, manifest: BundleManifest, load: _Load) -> Flow[int]:
        """Every box from where the other post stands, to the broker's signed word on its end."""
        total = 0
        for box, start in manifest.cursors.boxes:
            at = start
            while True:
                path, query = page_target(manifest.endpoint, box, at, manifest.cursors.page)
                body = yield from self._get(path, query)
                item = Item(asked(path, query), 200, body)
                if not load.fits(item):
                    break  # the next bundle brings the rest
                page = parse_box_page(body)
                load.add(item)
                load.sizes.add(parse_checkpoint(page.checkpoint).size)
                load.note_account(page.account)
                for entry in page.entries:
                    load.note_statement(entry.document)
                at += len(page.entries)
                total += len(page.entries)
                if not page.entries:
                    break
        return total

    def _messages(self, manifest: BundleManifest, load: _Load) -> Flow[list[bytes]]:
        """Stanza and content of what is signed for and not answered; payload hashes of what is brought whole."""
        known = dict(manifest.cursors.boxes)
        wanted = set(manifest.wanted)
        brought: list[bytes] = []
        for one in self._store.messages_by_stage(MessageStage.DELIVERED, limit=_MOST_OPEN):
            if one.payload not in wanted and (one.position or 0) < known[Box(one.box or "")]:
                continue
            stored = yield from self._inbox.fetch(one.payload)
            if stored is None or stored.stanza is None or stored.content is None:
                continue
            path = f"{MESSAGES_PATH}/{one.payload.hex()}"
            releases = {"releases": [Release(one.payload, stored.stanza).to_json()]}
            stanza = Item(asked(f"{path}/stanza"), 200, encode_json(releases))
            content = Item(asked(f"{path}/content"), 200, stored.content)
            if not load.fits(content, _ROOM + item_size(stanza)):
                break  # asked for again by the next bundle
            load.add(stanza)
            load.add(content)
            brought.append(one.payload)
        return brought

    def _files(self, parcel: Parcel, brought: list[bytes], load: _Load) -> Flow[tuple[int, int]]:
        """Attachments of what is brought, and those that are asked for, as far as there is room.

        Returns:
            How many pieces, and of how many attachments some had no room.
        """
        wanted = dict(parcel.wants)
        for payload in brought:
            stored = self._store.message(payload, Direction.IN)
            for number in range(len(manifest_of(stored).attachments) if stored is not None else 0):
                wanted.setdefault((payload, number), frozenset())
        pieces = left = 0
        for (payload, number), held in wanted.items():
            stored = self._store.message(payload, Direction.IN)
            if stored is None or number >= len(manifest_of(stored).attachments):
                continue
            if left:
                left += 1
                continue
            flows = yield from pieces_back(self._session, stored, number, held)
            for place, flow in enumerate(flows or ()):
                item = yield from flow
                if item is None:
                    continue
                if not load.fits(item) or len(load.items) >= _MOST_ITEMS:
                    left += 1
                    break
                load.add(item)
                pieces += place > 0  # the first is the list
        return pieces, left

    def _purged(self, manifest: BundleManifest, load: _Load) -> Flow[None]:
        """Why nothing will come of messages that were deleted before the other post had them."""
        known = dict(manifest.cursors.boxes)
        wanted = set(manifest.wanted)
        for one in self._store.messages_by_stage(MessageStage.PURGED, limit=_MOST_OPEN):
            if one.payload not in wanted and (one.position or 0) < known[Box(one.box or "")]:
                continue
            path = f"{MESSAGES_PATH}/{one.payload.hex()}/purge"
            item = Item(asked(path), 200, (yield from self._get(path)))
            if not load.fits(item):
                break  # asked for again by the next bundle
            load.add(item)
            load.sizes.add(parse_checkpoint(parse_accepted(item.body).checkpoint).size)

    def _directory(self, manifest: BundleManifest, load: _Load) -> Flow[Checkpoint]:
        """The directory from where the other post stands; the checkpoint that stands over all that was fetched."""
        for _ in range(_TRIES):
            items: list[Item] = []
            at = manifest.cursors.directory
            while True:
                query = f"from={at}&limit=500"
                body = yield from self._get("/v1/directory", query)
                page = parse_directory_page(body)
                items.append(Item(asked("/v1/directory", query), 200, body))
                at += len(page.statements)
                if page.complete or not page.statements:
                    break
            checkpoint = yield from self._log.advance(page.checkpoint)
            if checkpoint.size >= max(load.sizes, default=0):
                for item in items:
                    load.add(item)
                return checkpoint
            yield Sleep(1.0)  # another node answered, which has not heard of the newest checkpoint yet
        raise TransportError(
            "broker_behind", "the broker keeps answering with an older checkpoint: try again"
        )

    def _proofs(self, seen: Seen, checkpoint: Checkpoint, load: _Load) -> Flow[None]:
        for size in sorted({*load.sizes, seen.size} - {0, checkpoint.size}):
            path = yield from consistency_path(self._session, size, checkpoint.size)
            body = encode_json({"from": size, "to": checkpoint.size, "path": [encode_hex(h) for h in path]})
            load.add(Item(asked("/v1/log/consistency", f"from={size}&to={checkpoint.size}"), 200, body))
