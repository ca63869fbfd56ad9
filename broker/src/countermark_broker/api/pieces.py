"""Pieces of attachments: uploaded before their message, fetched one by one after its receipt.

Each is read, checked and answered by itself, and all that are under way have one bound together: so memory does not
depend on how large files are.

Source: docs/spec/api.md §3.14.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Request, Response
from starlette.types import Receive, Scope, Send

from countermark_broker.api.answers import PayloadHash, binary_body, json_response, payload_hash, responses
from countermark_broker.api.auth import authenticate_endpoint
from countermark_broker.api.body import BodyBudget
from countermark_broker.api.limits import source_of
from countermark_broker.api.models import HeldPieceModel
from countermark_broker.config import Settings
from countermark_broker.log.verifier import Source
from countermark_broker.services.node import Node
from countermark_broker.services.pieces import missing_pieces, put_piece
from countermark_broker.services.release import read_attachment, read_piece
from countermark_protocol.attachments import (
    MAX_ATTACHMENTS,
    MAX_PIECES,
    PIECE_BYTES,
    encode_digests,
    parse_digests,
)
from countermark_protocol.encoding import DIGEST_BYTES, parse_digest

_MIB: Final = 1024 * 1024
_BINARY: Final = "application/octet-stream"
#: Bytes handed to the connection at once: it waits for the reader in between, and keeps no more in memory.
_BLOCK: Final = 256 * 1024

Digest = Annotated[str, Path(description="digest of the piece, 64 lower-case hexadecimal digits")]
Part = Annotated[int, Path(ge=0, lt=MAX_ATTACHMENTS, description="number of the attachment, from 0")]
Number = Annotated[int, Path(ge=0, lt=MAX_PIECES, description="number of the piece, from 0")]


def piece_budget(settings: Settings) -> BodyBudget:
    """How many bytes of pieces may be in memory at once."""
    return BodyBudget(
        settings.max_pieces_mib * _MIB, settings.body_timeout_s, settings.max_pieces_each_mib * _MIB
    )


class PieceResponse(Response):
    """A piece that is sent block by block and counted in the budget until it is.

    Args:
        data: the piece.
        budget: in which it is counted already.
        source: whom it is counted for.
    """

    media_type = _BINARY

    def __init__(self, data: bytes, budget: BodyBudget, source: Source) -> None:
        super().__init__(data)
        self._budget, self._source = budget, source

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            data = memoryview(self.body)
            for at in range(0, len(data), _BLOCK):
                block = bytes(data[at : at + _BLOCK])
                more = at + _BLOCK < len(data)
                await send({"type": "http.response.body", "body": block, "more_body": more})
        finally:
            self._budget.give_back(self._source, PIECE_BYTES)


def pieces_router(node: Node, budget: BodyBudget) -> APIRouter:
    """The calls that pieces go and come by."""
    router = APIRouter(prefix="/v1")
    pieces = piece_budget(node.settings)

    @router.put(
        "/pieces/{digest}",
        tags=["posting"],
        responses=responses(HeldPieceModel, 400, 401, 413, created=True),
        openapi_extra=binary_body("a piece of a sealed attachment, 1 byte to 4 MiB"),
    )
    async def put_one(request: Request, digest: Digest) -> Response:
        """Upload a piece; it is kept for a day, or as long as a message of the caller's claims it. Signed."""
        named = parse_digest(digest, "digest in the path")
        async with pieces.body_of(request, PIECE_BYTES) as body:
            caller = await authenticate_endpoint(node, request, body)
            fresh = await put_piece(node, caller, named, body)
        return json_response({"piece": digest}, 201 if fresh else 200)

    @router.post(
        "/pieces/missing",
        tags=["posting"],
        responses={
            **responses(None, 400, 401, 413),
            200: {"content": {_BINARY: {}}, "description": "those not held for the caller, 32 bytes each"},
        },
        response_class=Response,
        openapi_extra=binary_body("digests of pieces, 32 bytes each, at most 2,048"),
    )
    async def post_missing(request: Request) -> Response:
        """Which of some pieces the caller has still to upload. Signed."""
        async with budget.body_of(request, MAX_PIECES * DIGEST_BYTES) as body:
            caller = await authenticate_endpoint(node, request, body)
            missing = await missing_pieces(node, caller, parse_digests(body))
        return Response(encode_digests(missing), media_type=_BINARY)

    @router.get(
        "/messages/{payload}/attachments/{part}",
        tags=["reading"],
        responses={
            **responses(None, 400, 401, 403, 404),
            200: {"content": {_BINARY: {}}, "description": "digests of its pieces, 32 bytes each"},
        },
        response_class=Response,
    )
    async def get_attachment(request: Request, payload: PayloadHash, part: Part) -> Response:
        """The pieces that an attachment consists of, to whom the content is released. Signed."""
        caller = await authenticate_endpoint(node, request)
        digests = await read_attachment(node, caller, payload_hash(payload), part)
        return Response(encode_digests(digests), media_type=_BINARY)

    @router.get(
        "/messages/{payload}/attachments/{part}/pieces/{number}",
        tags=["reading"],
        responses={
            **responses(None, 400, 401, 403, 404),
            200: {"content": {_BINARY: {}}, "description": "the piece"},
        },
        response_class=Response,
    )
    async def get_piece(request: Request, payload: PayloadHash, part: Part, number: Number) -> Response:
        """One piece of an attachment, to whom the content is released. Signed."""
        caller = await authenticate_endpoint(node, request)
        source = source_of(request)
        try:
            pieces.take(source, PIECE_BYTES)
            data = await read_piece(node, caller, payload_hash(payload), part, number)
        except BaseException:
            pieces.give_back(source, PIECE_BYTES)
            raise
        return PieceResponse(data, pieces, source)

    return router
