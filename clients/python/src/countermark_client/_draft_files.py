"""The attachments of a draft: their sealed pieces in a folder that is carried beside the draft's file.

A piece is a file named by its digest, as in a profile. Whoever is handed the folder trusts nothing in it: each piece
is checked by its digest, which the signed document names, and each file by what the sealed content says of it.

Source: docs/spec/messages.md §8; docs/howto/release-and-behalf.md.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from countermark_client._io import Flow, Sleep
from countermark_client._keystore import write_private
from countermark_client._models import Attachment, FetchedAttachment
from countermark_client._open import Opened
from countermark_client._picture_metadata import MetadataScan
from countermark_client._piece_files import PieceFiles
from countermark_client._saving import name_unlike, place_for, read_through, save_to_path
from countermark_client.errors import StorageError
from countermark_protocol.attachments import PIECE_BYTES, piece_digest
from countermark_protocol.errors import ConflictError, MalformedError, NotFoundError, SealError
from countermark_protocol.message_draft import MessageDraft
from countermark_protocol.sealed_attachments import attachment_key, open_attachment

#: A carried folder may hold anything under the name of a piece: nothing but a file is opened, and no link followed.
_CAREFULLY: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class DraftFiles:
    """The folder beside one draft.

    Args:
        folder: its path; it need not be there yet.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    # --- writing ---

    def check_free(self) -> None:
        """Check that nothing is where a new draft's pieces are to lie.

        Raises:
            ConflictError: ``file_exists``.
        """
        if os.path.lexists(self.folder) and not (self.folder.is_dir() and not any(self.folder.iterdir())):
            raise ConflictError(
                "file_exists",
                f"{self.folder} exists and is no empty folder: the sealed files of a draft lie by themselves",
            )

    def write(self, digest: bytes, piece: bytes) -> None:
        """Write a piece, durably.

        Raises:
            StorageError: ``pieces_failed``.
        """
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            write_private(self.folder / digest.hex(), piece)
        except OSError as error:
            raise StorageError(
                "pieces_failed",
                f"a piece of an attachment cannot be written to {self.folder} ({error.strerror}): make room, and try "
                "again",
            ) from None

    def remove(self, digests: Iterable[bytes]) -> None:
        """Delete pieces of a draft that is not made."""
        for digest in digests:
            (self.folder / digest.hex()).unlink(missing_ok=True)

    # --- reading ---

    def holds(self, digest: bytes) -> bool:
        """Whether something has the name of a piece; what it is, `read` tells."""
        return os.path.lexists(self.folder / digest.hex())

    def read(self, digest: bytes) -> bytes:
        """A piece, checked by its digest.

        Raises:
            NotFoundError: ``draft_piece_missing``.
            SealError: ``draft_piece_swapped``.
        """
        try:
            data = self._read(self.folder / digest.hex())
        except OSError as error:
            raise NotFoundError(
                "draft_piece_missing",
                f"piece {digest.hex()} of the draft cannot be read in {self.folder} ({error.strerror}): copy the "
                "folder that came with the draft once more, whole",
                pieces=[digest.hex()],
            ) from None
        if data is None or piece_digest(data) != digest:
            raise SealError(
                "draft_piece_swapped",
                f"{digest.hex()} in {self.folder} is not the piece that the signed draft names: it was damaged or "
                "swapped; sign nothing, and have the folder handed over once more",
                pieces=[digest.hex()],
            )
        return data

    def _read(self, path: Path) -> bytes | None:
        descriptor = os.open(path, _CAREFULLY)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            data = file.read(PIECE_BYTES + 1)
        return data if len(data) <= PIECE_BYTES else None


def files_of(draft: MessageDraft, files: Path | str | None) -> DraftFiles | None:
    """The folder of a draft that has attachments; None if it has none.

    Raises:
        MalformedError: ``draft_files_needed``: it has some, and nobody says where they are.
        NotFoundError: ``draft_piece_missing``: not all of them are there.
    """
    pieces = draft.submission.pieces
    if not pieces:
        return None
    place = needed(len(pieces), files)
    lacking = [
        (number, d.hex()) for number, of_one in enumerate(pieces) for d in of_one if not place.holds(d)
    ]
    if lacking:
        whose = sorted({number for number, _ in lacking})
        raise NotFoundError(
            "draft_piece_missing",
            f"{len(lacking)} of the {sum(map(len, pieces))} pieces of the draft's attachments are not in "
            f"{place.folder} (attachment {', '.join(map(str, whose[:10]))}): the folder goes with the draft, whole",
            pieces=[name for _, name in lacking],
            attachments=whose,
        )
    return place


def needed(count: int, files: Path | str | None) -> DraftFiles:
    """The folder that a draft with attachments has beside it.

    Raises:
        MalformedError: ``draft_files_needed``.
    """
    if files is None:
        raise MalformedError(
            "draft_files_needed",
            f"the draft has {count} attachments, which are carried beside it: expected the folder of their sealed "
            "pieces, got none",
        )
    return DraftFiles(files)


# --- what is in them ----------------------------------------------------------------------------------


def attachments_in(draft: MessageDraft, opened: Opened, files: Path | str | None) -> tuple[Attachment, ...]:
    """What a draft says of its files; `Attachment.held` tells whether their pieces are in the folder."""
    place = DraftFiles(files) if files is not None else None
    return tuple(
        Attachment.described(number, one, held=place is not None and all(map(place.holds, digests)))
        for number, (one, digests) in enumerate(zip(opened.attachments, draft.submission.pieces, strict=True))
    )


def draft_blocks(draft: MessageDraft, opened: Opened, place: DraftFiles, number: int) -> Iterator[bytes]:
    """The plaintext of one file of a draft; provisional until the iterator ends.

    Raises:
        NotFoundError: ``draft_piece_missing``.
        SealError: ``draft_piece_swapped``; ``draft_file_unopenable``: who drafted sealed another file than the draft
            describes.
    """
    submission = draft.submission
    digests = submission.pieces[number]
    try:
        yield from open_attachment(
            attachment_key(opened.secrets, number),
            submission.manifest.attachments[number],
            digests,
            opened.attachments[number],
            map(place.read, digests),
        )
    except SealError as error:
        if error.code == "draft_piece_swapped":
            raise
        raise SealError(
            "draft_file_unopenable",
            f"attachment {number} of the draft does not open to the file that it describes ({error.message}): sign "
            "nothing, and have the message drafted anew",
            attachment=number,
            reason=error.code,
        ) from error


def open_all(draft: MessageDraft, opened: Opened, place: DraftFiles) -> Flow[None]:
    """Check that every file of a draft is there and opens to what the draft says of it.

    Raises:
        CountermarkError: as `draft_blocks`.
    """
    for number in range(len(opened.attachments)):
        yield from read_through(draft_blocks(draft, opened, place, number))


def save_all(
    draft: MessageDraft, opened: Opened, place: DraftFiles, folder: Path, *, overwrite: bool
) -> Flow[tuple[FetchedAttachment, ...]]:
    """Write the files of a draft into a folder, each under its own name, whole or not at all.

    Raises:
        ConflictError: ``file_exists``.
        StorageError: ``file_not_written``.
        CountermarkError: as `draft_blocks`.
    """
    taken, done = set[str](), tuple[FetchedAttachment, ...]()
    for one in attachments_in(draft, opened, place.folder):
        target = place_for(folder, name_unlike(one.name, taken), overwrite=overwrite)
        scan = MetadataScan()
        blocks = scan.watch(draft_blocks(draft, opened, place, one.index))
        yield from save_to_path(blocks, target, overwrite=overwrite)
        done += (FetchedAttachment(one, target, tuple(scan.found)),)
    return done


def take_pieces(draft: MessageDraft, files: Path | str | None, into: PieceFiles) -> Flow[None]:
    """Bring the pieces of a draft into the profile that sends it; those that it holds are not asked for.

    Raises:
        CountermarkError: as `files_of` and `DraftFiles.read`; ``pieces_failed``.
    """
    wanted = [digest for of_one in draft.submission.pieces for digest in of_one if not into.held(digest)]
    place = files_of(draft, files) if wanted else None
    for digest in wanted if place is not None else ():
        assert place is not None
        into.write(digest, place.read(digest))
        yield Sleep(0)
