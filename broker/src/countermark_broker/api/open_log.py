"""What is open to anyone: checkpoint, leaves, proofs, health and metrics.

Source: docs/spec/api.md §3.
"""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query, Response

from countermark_broker.api.answers import From, json_response, responses
from countermark_broker.api.models import ConsistencyModel, InclusionAnswerModel, StatusModel
from countermark_broker.errors import FatalError
from countermark_broker.services.listeners import Listeners
from countermark_broker.services.node import Node
from countermark_broker.services.statements import prove_consistency, prove_inclusion, read_leaf_range
from countermark_protocol.encoding import encode_hex

MAX_LEAVES = 10_000
_MAX_INDEX = 2**53 - 1
Size = Annotated[int | None, Query(ge=0, le=_MAX_INDEX)]


def log_router(node: Node) -> APIRouter:
    """The log, to anyone."""
    router = APIRouter(prefix="/log", tags=["log"])

    @router.get(
        "/checkpoint",
        responses={**responses(None), 200: {"content": {"text/plain": {}}, "description": "the checkpoint"}},
        response_class=Response,
    )
    async def get_checkpoint() -> Response:
        """The published checkpoint (C2SP tlog-checkpoint)."""
        return Response(node.publisher.published.raw, media_type="text/plain; charset=utf-8")

    @router.get(
        "/leaves",
        responses={
            **responses(None, 400),
            200: {"content": {"application/octet-stream": {}}, "description": "leaves of 115 bytes"},
        },
        response_class=Response,
    )
    async def get_leaves(
        first: From = 0, limit: Annotated[int, Query(ge=1, le=MAX_LEAVES)] = 1000
    ) -> Response:
        """Leaves below the published size, one after the other."""
        return Response(await read_leaf_range(node, first, limit), media_type="application/octet-stream")

    @router.get("/inclusion", responses=responses(InclusionAnswerModel, 400))
    async def get_inclusion(index: Annotated[int, Query(ge=0, le=_MAX_INDEX)], size: Size = None) -> Response:
        """The path of a leaf in the tree of a published size."""
        at, inclusion = await prove_inclusion(node, index, size)
        return json_response({"size": at, **inclusion.to_json()})

    @router.get("/consistency", responses=responses(ConsistencyModel, 400))
    async def get_consistency(
        first: Annotated[int, Query(alias="from", ge=0, le=_MAX_INDEX)],
        to: Size = None,
    ) -> Response:
        """The path from one published size to another."""
        at, path = await prove_consistency(node, first, to)
        return json_response({"from": first, "to": at, "path": [encode_hex(h) for h in path]})

    return router


def health_router(node: Node) -> APIRouter:
    """Whether the process answers, and whether it is of use."""
    router = APIRouter(tags=["health"])

    @router.get("/health", responses={200: {"model": StatusModel}})
    async def get_health() -> Response:
        """The process answers."""
        return json_response({"status": "ok"})

    @router.get("/ready", responses=responses(StatusModel))
    async def get_ready() -> Response:
        """Database and checkpoint store agree, and this node appends."""
        node.health.check()
        try:
            await node.publisher.advance()
        except FatalError:
            node.health.check()
            raise
        return json_response({"status": "ready"})

    return router


def metrics_router(node: Node, listeners: Listeners) -> APIRouter:
    """For Prometheus."""
    router = APIRouter(tags=["health"])

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def get_metrics() -> Response:
        """Prometheus text."""
        metrics = node.metrics
        metrics.listeners.set(listeners.count)
        metrics.published_size.set(node.publisher.published.size)
        metrics.checkpoint_age.set(time.monotonic() - node.publisher.confirmed_at)
        metrics.fatal.set(node.health.fatal is not None)
        return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router
