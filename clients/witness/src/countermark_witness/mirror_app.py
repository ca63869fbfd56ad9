"""A mirror over HTTP: the checkpoint with its cosignature, tiles of hashes, bundles of entries, to anybody.

Source: C2SP tlog-tiles, tlog-mirror; docs/spec/witness.md §7.
"""

from __future__ import annotations

import gzip
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from countermark_protocol.content_coding import accepts_gzip
from countermark_protocol.errors import CountermarkError, MalformedError
from countermark_protocol.tiles import parse_bundle_path, parse_tile_path, tile_width
from countermark_witness.errors import WitnessError
from countermark_witness.mirror_store import MirrorStore

_log = logging.getLogger("countermark_witness")

#: Reads at a time; more are answered 503. Whoever reads leaves must not keep a log from being cosigned.
MAX_READS: Final = 32
TEXT_TYPE: Final = "text/plain; charset=utf-8"
BINARY_TYPE: Final = "application/octet-stream"
#: What a tile or bundle of some width holds never changes.
FOR_GOOD: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Served:
    """An answer."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def refused(status: int, error: CountermarkError) -> Served:
    """An answer that says why, for people; never to be kept."""
    return Served(status, f"{error}\n".encode(), {"Content-Type": TEXT_TYPE, "Cache-Control": "no-store"})


def mirror_routes(store: MirrorStore) -> list[Route]:
    """The routes of a mirror, each below ``/mirror/<SHA-256 of the origin>``."""
    under_way = 0

    async def turn(request: Request, answer: Callable[[Request], Served]) -> Response:
        nonlocal under_way
        if under_way >= MAX_READS:
            return _response(Served(503, b"too many are reading: try again\n", {"Retry-After": "1"}))
        under_way += 1
        try:
            return _response(await run_in_threadpool(answer, request))
        finally:
            under_way -= 1

    async def checkpoint(request: Request) -> Response:
        return await turn(request, lambda request: read_checkpoint(store, request.path_params["hashed"]))

    async def tile(request: Request) -> Response:
        def read(request: Request) -> Served:
            hashed = request.path_params["hashed"]
            # Not the parameter: a line feed at the end is not in it.
            path = request.scope["path"].partition(f"/{hashed}/")[2]
            return read_tile(store, hashed, path, request.headers.get("accept-encoding", ""))

        return await turn(request, read)

    return [
        Route("/mirror/{hashed}/checkpoint", checkpoint, methods=["GET"]),
        Route("/mirror/{hashed}/tile/{name:path}", tile, methods=["GET"]),
    ]


def read_checkpoint(store: MirrorStore, hashed: str) -> Served:
    """Answer who asks for the mirror checkpoint.

    Args:
        store: of the mirror.
        hashed: SHA-256 of the log's origin, in lower-case hex.
    """
    try:
        kept = store.hashed(hashed)
    except WitnessError as error:
        return _failed(error)
    if kept is None or kept.note is None:
        return refused(404, WitnessError("not_mirrored", "no such log is mirrored here"))
    return Served(200, kept.note, {"Content-Type": TEXT_TYPE, "Cache-Control": "no-cache"})


def read_tile(store: MirrorStore, hashed: str, path: str, accept: str) -> Served:
    """Answer who asks for a tile or bundle: what a tree of the mirror checkpoint's size has, and nothing beyond.

    Args:
        store: of the mirror.
        hashed: SHA-256 of the log's origin, in lower-case hex.
        path: below the log's prefix, from ``tile/`` on.
        accept: the header Accept-Encoding, empty if there is none.
    """
    try:
        is_bundle = path.startswith("tile/entries/")
        bundle = parse_bundle_path(path) if is_bundle else None
        tile = parse_tile_path(path) if bundle is None else None
        place = bundle or tile
        assert place is not None
        level = tile.level if tile is not None else 0
        kept = store.hashed(hashed)
        if kept is None or tile_width(level, place.index, kept.size) < place.width:
            missing = WitnessError(
                "tile_not_mirrored", "the tree that is mirrored has no such tile, or not as wide"
            )
            return refused(404, missing)
        if tile is not None:
            data = store.tile(kept.origin, tile)
            return Served(200, data, {"Content-Type": BINARY_TYPE, "Cache-Control": FOR_GOOD})
        assert bundle is not None
        data = store.bundle(kept.origin, bundle)
    except MalformedError as error:
        return refused(400, error)
    except WitnessError as error:
        return _failed(error)
    headers = {"Content-Type": BINARY_TYPE, "Cache-Control": FOR_GOOD, "Vary": "Accept-Encoding"}
    if accepts_gzip(accept):
        return Served(200, gzip.compress(data, mtime=0), headers | {"Content-Encoding": "gzip"})
    return Served(200, data, headers)


def _failed(error: WitnessError) -> Served:
    _log.error("%s", error)
    return Served(503, b"the mirror cannot read this now [store_failed]\n", {"Cache-Control": "no-store"})


def _response(served: Served) -> Response:
    return Response(served.body, served.status, headers=served.headers)
