"""Evidence of misbehaviour, as a profile keeps it: both sides of a contradiction in their signed bytes.

Source: docs/spec/contradictions.md; docs/howto/evidence.md.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from countermark_client._keystore import write_private
from countermark_protocol.encoding import parse_object
from countermark_protocol.errors import CountermarkError, InconsistentLogError
from countermark_protocol.identifiers import Origin

if TYPE_CHECKING:
    from countermark_client._store import Store

EVIDENCE_FOLDER: Final = "evidence"
#: What convinces a third party, beside the pieces that it is made of.
CONTRADICTION_FILE: Final = "contradiction.json"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Signed bytes that contradict each other, kept for governors and auditors.

    Attributes:
        code: of the error.
        message: what contradicts what.
        pieces: the raw bytes of both sides, in the order the message names them.
        folder: where they are kept, or None for a profile in memory.
        contradiction: the file that convinces a third party; None of what is an alarm and no more.
    """

    code: str
    message: str
    pieces: tuple[bytes, ...]
    folder: Path | None
    contradiction: bytes | None = None


def keep_evidence(
    folder: Path | None, store: Store, log: Origin, error: InconsistentLogError, at: int
) -> Evidence:
    """Keep both sides of a contradiction; and, if they convince a third party, the file that does.

    Args:
        folder: of the profile, or None.
        store: what the profile knows.
        log: its name.
        error: with the raw signed bytes.
        at: ms since 1970.
    """
    place, contradiction = None, _contradiction(store, log, error)
    if folder is not None:
        place = folder / EVIDENCE_FOLDER / f"{at}-{error.code}-{secrets.token_hex(2)}"
        place.mkdir(mode=0o700, parents=True)
        for number, piece in enumerate(error.evidence, 1):
            write_private(place / f"{number}.bin", piece)
        if contradiction is not None:
            write_private(place / CONTRADICTION_FILE, contradiction)
        about: dict[str, Any] = {
            "code": error.code,
            "message": error.message,
            "at": at,
            "facts": error.facts,
        }
        write_private(place / "about.json", json.dumps(about, indent=1, default=str).encode())
    return Evidence(error.code, error.message, error.evidence, place, contradiction)


def _contradiction(store: Store, log: Origin, error: InconsistentLogError) -> bytes | None:
    """The file that convinces a third party, by the directory as read; None if the judge is not convinced."""
    # Only who has found something needs the judge.
    from countermark_protocol import contradictions  # noqa: PLC0415

    with contextlib.suppress(CountermarkError):
        made = contradictions.Contradiction(
            error.code, error.evidence, contradictions.of_logged(store.directory())
        )
        contradictions.prove_contradiction(made)
        return contradictions.encode_contradiction(made, log)
    return None


def kept_evidence(folder: Path) -> tuple[Evidence, ...] | None:
    """Contradictions that a profile's folder keeps, the oldest first; None if there never was any."""
    if not (folder / EVIDENCE_FOLDER).exists():
        return None
    out: list[Evidence] = []
    for place in sorted((folder / EVIDENCE_FOLDER).iterdir()):
        about = parse_object((place / "about.json").read_bytes(), "evidence")
        file = place / CONTRADICTION_FILE
        pieces = sorted(place.glob("*.bin"), key=lambda p: int(p.stem))
        out.append(
            Evidence(
                str(about["code"]),
                str(about["message"]),
                tuple(p.read_bytes() for p in pieces),
                place,
                file.read_bytes() if file.exists() else None,
            )
        )
    return tuple(out)
