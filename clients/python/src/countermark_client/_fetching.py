"""Fetching attachments: sealed pieces into the profile, each checked by its digest, then the file to its place.

Only what is missing is asked for, so a fetch that broke off goes on where it stopped, in whichever process. Nothing is
written to a target before every piece was found to be the one that the sender's signed manifest names.

Source: docs/spec/api.md; docs/spec/sealing.md §9; docs/howto/attachments.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from countermark_client._accounts import Accounts
from countermark_client._io import Flow
from countermark_client._kept_files import attachments_of, opened_blocks
from countermark_client._models import Attachment, FetchedAttachment, MessageRef, message_hash
from countermark_client._open import Opened, manifest_of
from countermark_client._picture_metadata import MetadataScan
from countermark_client._purges import PURGED, Purges
from countermark_client._saving import name_unlike, place_for, save_to_file, save_to_path
from countermark_client._session import ProblemAnswer, Session, Transfer
from countermark_client._store import Direction, MessageStage, StoredMessage
from countermark_client._succession import opened_kept
from countermark_client._uploads import Uploads
from countermark_protocol.attachments import check_pieces, parse_digests, piece_digest, piece_size
from countermark_protocol.errors import MalformedError, NotFoundError, SealError


@dataclass(frozen=True, slots=True)
class _Wanted:
    stored: StoredMessage
    opened: Opened = field(repr=False)


class Fetching:
    """Attachments of one profile's messages."""

    def __init__(self, session: Session, accounts: Accounts, purges: Purges) -> None:
        self._session = session
        self._store = session.store
        self._pieces = session.profile.pieces
        self._accounts = accounts
        self._purges = purges

    def fetch(
        self, ref: MessageRef, index: int, to: Path | str | BinaryIO, *, overwrite: bool
    ) -> Flow[FetchedAttachment]:
        """Fetch one attachment and write it; see `Client.fetch_attachment`."""
        wanted = self._wanted(ref)
        return (yield from self._fetch(wanted, self._named(wanted, index), to, overwrite=overwrite))

    def fetch_all(
        self, ref: MessageRef, folder: Path | str, *, overwrite: bool
    ) -> Flow[tuple[FetchedAttachment, ...]]:
        """Fetch all attachments of a message into a folder; see `Client.fetch_attachments`."""
        wanted = self._wanted(ref)
        found = attachments_of(self._session, wanted.stored, wanted.opened)
        place, taken, done = Path(folder), set[str](), tuple[FetchedAttachment, ...]()
        for one in found:
            name = name_unlike(one.name, taken)
            target = place_for(place, name, overwrite=overwrite)
            done += ((yield from self._fetch(wanted, one, target, overwrite=overwrite)),)
        return done

    def bring(self, ref: MessageRef, index: int) -> Flow[None]:
        """Fetch the sealed pieces of one attachment, and write it nowhere."""
        wanted = self._wanted(ref)
        yield from self._bring(wanted.stored, self._named(wanted, index).index)

    def give_back(self, ref: MessageRef) -> Flow[int]:
        """Upload what the broker has lost of a message's attachments; see `Client.give_back_attachments`."""
        payload, held = message_hash(ref), list[bytes]()
        for direction in Direction:
            stored = self._store.message(payload, direction)
            for number in range(len(manifest_of(stored).attachments) if stored is not None else 0):
                digests = self._store.pieces(payload, direction, number)
                held += [digest for digest in digests if self._pieces.held(digest)]
        if not held:
            raise NotFoundError("no_pieces", "this profile holds no piece of an attachment of that message")
        return (yield from Uploads(self._session).bring_pieces(payload, tuple(dict.fromkeys(held))))

    def bring_carried(self, stored: StoredMessage, number: int, there: Callable[[int], bool]) -> Flow[bool]:
        """Take in those pieces of an attachment that a bundle brings; whether all of them are here now.

        Args:
            stored: the message.
            number: of the attachment.
            there: whether the bundle brings a piece.
        """
        return (yield from self._bring(stored, number, there))

    # --- which ---

    def _wanted(self, ref: MessageRef) -> _Wanted:
        stored = self._store.message(message_hash(ref))
        if stored is None:
            raise NotFoundError("unknown_message", "this profile holds no message of that hash")
        if stored.stage is MessageStage.PURGED:
            raise NotFoundError("purged", "the message was deleted at the broker before it was opened here")
        opened = opened_kept(self._session, stored)
        if opened is None:
            raise NotFoundError(
                "not_opened", "this profile holds no opened message of that hash: read the inbox first"
            )
        return _Wanted(stored, opened)

    def _named(self, wanted: _Wanted, index: int) -> Attachment:
        found = attachments_of(self._session, wanted.stored, wanted.opened)
        if not 0 <= index < len(found):
            raise NotFoundError(
                "no_such_attachment",
                f"the message has {len(found)} attachments, numbered from 0; there is no {index}",
            )
        return found[index]

    # --- from the broker into the profile ---

    def _fetch(
        self, wanted: _Wanted, one: Attachment, to: Path | str | BinaryIO, *, overwrite: bool
    ) -> Flow[FetchedAttachment]:
        target = place_for(Path(to), one.name, overwrite=overwrite) if isinstance(to, str | Path) else None
        yield from self._bring(wanted.stored, one.index)
        session, stored, opened = self._session, wanted.stored, wanted.opened
        scans: list[MetadataScan] = []

        def blocks() -> Iterator[bytes]:
            scans.append(MetadataScan())
            return scans[-1].watch(opened_blocks(session, stored, opened, one.index))

        if target is not None:
            yield from save_to_path(blocks(), target, overwrite=overwrite)
        else:
            assert not isinstance(to, str | Path)
            yield from save_to_file(blocks, to)
        if not session.settings.keep_attachments and stored.direction is Direction.IN:
            with self._store.transaction():
                gone = self._store.forget_pieces(stored.payload, stored.direction, one.index)
            self._pieces.remove(gone)
        told = attachments_of(session, stored, opened)[one.index]
        return FetchedAttachment(told, target, tuple(scans[-1].found))

    def _bring(
        self, stored: StoredMessage, number: int, there: Callable[[int], bool] = lambda _: True
    ) -> Flow[bool]:
        named = manifest_of(stored).attachments[number]
        digests = yield from self._digests(stored, number)
        done = sum(piece_size(named.size, i) for i, d in enumerate(digests) if self._pieces.held(d))
        watch = self._session.watch
        watch.transferred(Transfer(stored.payload, number, "down", done, named.size))
        for i, digest in enumerate(digests):
            if self._pieces.held(digest) or not there(i):
                continue
            size = piece_size(named.size, i)
            piece = yield from self._get(stored, f"attachments/{number}/pieces/{i}")
            if len(piece) != size or piece_digest(piece) != digest:
                raise SealError(
                    "piece_swapped",
                    f"the broker served another piece {i} of attachment {number} than the one that the sender signed: "
                    "nothing of it was kept; fetch it again",
                )
            self._pieces.write(digest, piece)
            done += size
            watch.transferred(Transfer(stored.payload, number, "down", done, named.size))
        return done == named.size

    def _digests(self, stored: StoredMessage, number: int) -> Flow[Sequence[bytes]]:
        known = self._store.pieces(stored.payload, stored.direction, number)
        if known:
            return known
        data = yield from self._get(stored, f"attachments/{number}")
        try:
            digests = parse_digests(data)
            check_pieces(manifest_of(stored).attachments[number], digests)
        except MalformedError as error:
            raise SealError(
                "attachment_swapped",
                f"the broker lists other pieces of attachment {number} than those that the sender signed: "
                f"{error.message}",
            ) from None
        with self._store.transaction():
            self._store.add_pieces(stored.payload, stored.direction, number, digests)
        return digests

    def _get(self, stored: StoredMessage, path: str) -> Flow[bytes]:
        try:
            response, _ = yield from self._session.call(
                "GET", f"/v1/messages/{stored.payload.hex()}/{path}", signer=self._session.signer()
            )
        except ProblemAnswer as answer:
            error = yield from self._accounts.denied(answer, stored)
            if error.code == PURGED:
                purge = yield from self._purges.learn(stored)
                raise NotFoundError(
                    "purged",
                    f"the attachment is deleted at the broker ({purge.ground}, entry {purge.index} of the log): ask "
                    "its sender for it",
                ) from None
            raise error from None
        return response.body
