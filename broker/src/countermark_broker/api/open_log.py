"""What is open to anyone: checkpoint, tiles, leaves, proofs, health and metrics.

Source: docs/spec/api.md §3.
"""

from __future__ import annotations

import gzip
from asyncio import to_thread
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response

from countermark_broker.api.answers import From, json_response, responses
from countermark_broker.api.limits import OpenReads
from countermark_broker.api.models import (
    ConsistencyModel,
    InclusionAnswerModel,
    StampHistoryModel,
    StatusModel,
    WitnessHistoryModel,
)
from countermark_broker.errors import FatalError
from countermark_broker.services.listeners import Listeners, measure
from countermark_broker.services.node import Node
from countermark_broker.services.stamping import read_covering_stamps, read_stamp_history
from countermark_broker.services.statements import prove_consistency, prove_inclusion, read_leaf_range
from countermark_broker.services.tiles import read_bundle, read_tile
from countermark_broker.services.witnessing import read_history, read_witnessed
from countermark_protocol.content_coding import accepts_gzip
from countermark_protocol.encoding import encode_hex
from countermark_protocol.errors import NotFoundError
from countermark_protocol.stamp_history import MAX_STAMPS
from countermark_protocol.tiles import parse_bundle_path, parse_tile_path
from countermark_protocol.witness_history import MAX_HISTORY

MAX_LEAVES = 10_000
_MAX_INDEX = 2**53 - 1
#: What a tile or bundle of some width holds never changes.
_FOR_GOOD: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
#: The checkpoint may be kept, but not used without asking whether there is a newer one.
_ASK_AGAIN: Final = {"Cache-Control": "no-cache"}
#: Bundles are compressed for who takes that; hashes would not get smaller.
_VARIES: Final = {"Vary": "Accept-Encoding"}
_GZIP: Final = {"Content-Encoding": "gzip"}
_BINARY: Final = "application/octet-stream"
Size = Annotated[int | None, Query(ge=0, le=_MAX_INDEX)]


def log_router(node: Node) -> APIRouter:
    """The log, to anyone."""
    router = APIRouter(prefix="/v1/log", tags=["log"])
    reads = OpenReads(node.settings.reader_connections)

    @router.get(
        "/checkpoint",
        responses={**responses(None), 200: {"content": {"text/plain": {}}, "description": "the checkpoint"}},
        response_class=Response,
    )
    async def get_checkpoint() -> Response:
        """The published checkpoint (C2SP tlog-checkpoint)."""
        raw = node.publisher.published.raw
        return Response(raw, media_type="text/plain; charset=utf-8", headers=_ASK_AGAIN)

    @router.get(
        "/witnessed",
        responses={
            **responses(None, 400, 404),
            200: {"content": {"text/plain": {}}, "description": "a checkpoint with cosignatures"},
        },
        response_class=Response,
    )
    async def get_witnessed(request: Request, size: Size = None) -> Response:
        """A checkpoint that a quorum of witnesses has cosigned (C2SP tlog-cosignature).

        The newest; with `size` the oldest that is kept of a tree of at least as many leaves.
        """
        async with reads.turn(request):
            note = await read_witnessed(node, size)
        if note is None:
            what = "this log" if size is None else f"a tree of {size} leaves of this log"
            raise NotFoundError("not_witnessed", f"no quorum of witnesses has cosigned {what} yet")
        return Response(note, media_type="text/plain; charset=utf-8", headers=_ASK_AGAIN)

    @router.get("/witnessed/history", responses=responses(WitnessHistoryModel, 400))
    async def get_witnessed_history(
        request: Request,
        first: From = 0,
        limit: Annotated[int, Query(ge=1, le=MAX_HISTORY)] = 100,
    ) -> Response:
        """The series of witnessed checkpoints from a minute on: the newest of each minute that has one."""
        async with reads.turn(request):
            page = await read_history(node, first, limit)
        return json_response(page)

    @router.get("/witnessed/stamps", responses=responses(StampHistoryModel, 400))
    async def get_stamps(
        request: Request,
        first: From = 0,
        limit: Annotated[int, Query(ge=1, le=MAX_STAMPS)] = MAX_STAMPS,
        size: Size = None,
    ) -> Response:
        """Time stamps from a minute on; with `size`, of each authority the oldest on a tree of so many leaves."""
        async with reads.turn(request):
            if size is None:
                page = await read_stamp_history(node, first, limit)
            else:
                page = await read_covering_stamps(node, size)
        return json_response(page)

    @router.get(
        "/tile/{name:path}",
        responses={
            **responses(None, 400, 404),
            200: {
                "content": {_BINARY: {}},
                "description": "hashes of 32 bytes, or entries behind their length",
            },
        },
        response_class=Response,
    )
    async def get_tile(
        request: Request,
        name: Annotated[str, Path(description="<level>/<index>[.p/<width>] or entries/<index>[.p/<width>]")],  # noqa: ARG001
    ) -> Response:
        """A tile of hashes, or a bundle of leaves (C2SP tlog-tiles)."""
        # Not the parameter: a line feed at the end is not in it.
        path = request.scope["path"].partition("/log/")[2]
        if path.startswith("tile/entries/"):
            bundle = parse_bundle_path(path)
            async with reads.turn(request):
                data = await read_bundle(node, bundle)
                if accepts_gzip(request.headers.get("accept-encoding", "")):
                    data = await to_thread(gzip.compress, data, mtime=0)
                    return Response(data, media_type=_BINARY, headers=_FOR_GOOD | _VARIES | _GZIP)
            return Response(data, media_type=_BINARY, headers=_FOR_GOOD | _VARIES)
        tile = parse_tile_path(path)
        async with reads.turn(request):
            data = await read_tile(node, tile)
        return Response(data, media_type=_BINARY, headers=_FOR_GOOD)

    @router.get(
        "/leaves",
        responses={
            **responses(None, 400),
            200: {"content": {_BINARY: {}}, "description": "leaves of 115 bytes"},
        },
        response_class=Response,
    )
    async def get_leaves(
        request: Request, first: From = 0, limit: Annotated[int, Query(ge=1, le=MAX_LEAVES)] = 1000
    ) -> Response:
        """Leaves below the published size, one after the other."""
        async with reads.turn(request):
            leaves = await read_leaf_range(node, first, limit)
        return Response(leaves, media_type=_BINARY)

    @router.get("/inclusion", responses=responses(InclusionAnswerModel, 400))
    async def get_inclusion(
        request: Request, index: Annotated[int, Query(ge=0, le=_MAX_INDEX)], size: Size = None
    ) -> Response:
        """The path of a leaf in the tree of a published size."""
        async with reads.turn(request):
            at, inclusion = await prove_inclusion(node, index, size)
        return json_response({"size": at, **inclusion.to_json()})

    @router.get("/consistency", responses=responses(ConsistencyModel, 400))
    async def get_consistency(
        request: Request,
        first: Annotated[int, Query(alias="from", ge=0, le=_MAX_INDEX)],
        to: Size = None,
    ) -> Response:
        """The path from one published size to another."""
        async with reads.turn(request):
            at, path = await prove_consistency(node, first, to)
        return json_response({"from": first, "to": at, "path": [encode_hex(h) for h in path]})

    return router


def health_router(node: Node) -> APIRouter:
    """Whether the process answers, and whether it is of use."""
    router = APIRouter(prefix="/v1", tags=["health"])

    @router.get("/health", responses={200: {"model": StatusModel}})
    async def get_health() -> Response:
        """The process answers."""
        return json_response({"status": "ok"})

    @router.get("/ready", responses=responses(StatusModel))
    async def get_ready() -> Response:
        """Database and checkpoint store agree, and this node appends and can sign accounts."""
        node.health.check()
        try:
            await node.publisher.advance()
        except FatalError:
            node.health.check()
            raise
        if not node.settings.read_only:
            await node.check_clock()
            node.check_listed(node.publisher.published.size)
        return json_response({"status": "ready"})

    return router


def metrics_router(node: Node, listeners: Listeners) -> APIRouter:
    """For Prometheus."""
    router = APIRouter(tags=["health"])

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def get_metrics() -> Response:
        """Prometheus text."""
        measure(node, listeners)
        return Response(node.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router
