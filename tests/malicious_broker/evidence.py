"""Evidence as it is handed to a third party: one file of bytes, made of what a client kept and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from countermark_client import Client, Narrowing
from countermark_protocol.contradictions import Contradiction, encode_contradiction, of_logged
from countermark_protocol.documents import parse_document
from countermark_protocol.holdings import Holdings
from countermark_protocol.identifiers import parse_origin

#: (index, leaf, signed document) of a directory statement.
Logged = tuple[int, bytes, bytes]


def file_of(claim: str, pieces: Iterable[bytes], directory: Iterable[Logged]) -> bytes:
    """What is claimed, the bytes that show it, and the directory statements that say whose keys are whose."""
    statements = of_logged(list(directory))
    origin = parse_origin(parse_document(statements[0].document).claims["log"])
    return encode_contradiction(Contradiction(claim, tuple(pieces), statements), origin)


def kept_by(client: Client) -> bytes:
    """The newest evidence of a profile, with the directory that it has verified."""
    newest = client.profile.evidence[-1]
    return file_of(newest.code, newest.pieces, client.profile.store.directory())


def pieced(client: Client, claim: str, pieces: Sequence[bytes]) -> bytes:
    """Evidence put together by hand, for what no single client claims."""
    return file_of(claim, pieces, client.profile.store.directory())


def held_by(client: Client, narrowing: Narrowing | None = None) -> Holdings:
    """What a client would show to another party."""
    return client.holdings(narrowing).holdings


def changed(data: bytes, samples: int = 24) -> Iterable[bytes]:
    """The file with one byte changed: in every part of it, its ends and places between."""
    step = max(1, len(data) // samples)
    for place in {*range(0, len(data), step), len(data) - 1, len(data) - 4}:
        for other in (data[place] ^ 1, data[place] ^ 2):
            yield data[:place] + bytes([other]) + data[place + 1 :]
            break
