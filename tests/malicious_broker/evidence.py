"""Evidence as it is handed to a third party: one file of bytes, made of what a client kept and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from countermark_client import Client
from countermark_protocol.encoding import encode_base64url, encode_json, parse_base64url, parse_object

#: (index, leaf, signed document) of a directory statement.
Logged = tuple[int, bytes, bytes]


def file_of(claim: str, pieces: Iterable[bytes], directory: Iterable[Logged]) -> bytes:
    """What is claimed, the bytes that show it, and the directory statements that say whose keys are whose."""
    return encode_json(
        {
            "claim": claim,
            "directory": [
                {"index": index, "leaf": encode_base64url(leaf), "document": encode_base64url(document)}
                for index, leaf, document in directory
            ],
            "pieces": [encode_base64url(piece) for piece in pieces],
        }
    )


def read_file(data: bytes) -> tuple[str, list[bytes], list[Logged]]:
    """The reverse; raises whatever is wrong with it."""
    value = parse_object(data, "evidence")
    if set(value) != {"claim", "directory", "pieces"}:
        raise ValueError("a member is missing or unknown")
    directory = []
    for one in value["directory"]:
        if set(one) != {"index", "leaf", "document"}:
            raise ValueError("a member is missing or unknown")
        directory.append((one["index"], _bytes(one["leaf"]), _bytes(one["document"])))
    return value["claim"], [_bytes(piece) for piece in value["pieces"]], directory


def _bytes(text: str) -> bytes:
    return parse_base64url(text, "piece", limit=10_000_000)


def kept_by(client: Client) -> bytes:
    """The newest evidence of a profile, with the directory that it has verified."""
    newest = client.profile.evidence[-1]
    return file_of(newest.code, newest.pieces, client.profile.store.directory())


def pieced(client: Client, claim: str, pieces: Sequence[bytes]) -> bytes:
    """Evidence put together by hand, for what no single client claims."""
    return file_of(claim, pieces, client.profile.store.directory())


def changed(data: bytes, samples: int = 24) -> Iterable[bytes]:
    """The file with one byte changed: in every part of it, its ends and places between."""
    step = max(1, len(data) // samples)
    for place in {*range(0, len(data), step), len(data) - 1, len(data) - 4}:
        for other in (data[place] ^ 1, data[place] ^ 2):
            yield data[:place] + bytes([other]) + data[place + 1 :]
            break
