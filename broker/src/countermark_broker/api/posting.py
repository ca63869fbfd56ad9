"""Posting statements: messages, receipts, directory statements.

Source: docs/spec/api.md §3.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from countermark_broker.api.answers import PayloadHash, binary_body, json_response, payload_hash, responses
from countermark_broker.api.auth import authenticate_endpoint
from countermark_broker.api.body import BodyBudget
from countermark_broker.api.bulk import BULK_TYPE, BulkResponse
from countermark_broker.api.limits import source_of
from countermark_broker.api.models import AcceptedModel
from countermark_broker.services.accept import (
    Answer,
    accept_act,
    accept_directory,
    accept_message,
    accept_receipt,
)
from countermark_broker.services.node import Node
from countermark_broker.services.statements import read_statement_of
from countermark_protocol.submission import MAX_DOCUMENT_BYTES, MAX_SUBMISSION_BYTES


def posting_router(node: Node, budget: BodyBudget) -> APIRouter:
    """The calls that add to the log."""
    router = APIRouter(prefix="/v1", tags=["posting"])

    def answer(result: Answer) -> Response:
        return json_response(result.accepted, 201 if result.fresh else 200)

    @router.post(
        "/messages",
        responses=responses(AcceptedModel, 400, 401, 403, 404, 409, 413, 422, created=True),
        openapi_extra=binary_body("a submission (docs/spec/messages.md §4)"),
    )
    async def post_message(request: Request) -> Response:
        """Submit a message; the manifest in it is what is signed."""
        async with budget.body_of(request, MAX_SUBMISSION_BYTES) as body:
            return answer(await accept_message(node, body, source_of(request)))

    @router.post(
        "/messages/bulk",
        responses={
            **responses(None),
            200: {"content": {BULK_TYPE: {}}, "description": "one verdict a line (docs/spec/api.md §3.11)"},
        },
        response_class=Response,
        openapi_extra=binary_body("submissions, each with its length before it (u32, big-endian)"),
    )
    async def post_messages(request: Request) -> Response:
        """Submit many messages in one stream; one verdict a line, in order, as each commit lands."""
        return BulkResponse(node, budget, request)

    @router.post(
        "/receipts",
        responses=responses(AcceptedModel, 400, 401, 403, 404, 409, 413, 422, created=True),
        openapi_extra=binary_body("a signed receipt; the request is signed too"),
    )
    async def post_receipt(request: Request) -> Response:
        """Post a receipt; `delivered` is answered with the stanzas that it releases."""
        async with budget.body_of(request, MAX_DOCUMENT_BYTES) as body:
            caller = await authenticate_endpoint(node, request, body)
            return answer(await accept_receipt(node, body, caller, source_of(request)))

    @router.post(
        "/acts",
        responses=responses(AcceptedModel, 400, 401, 403, 404, 409, 413, 422, created=True),
        openapi_extra=binary_body("a signed look-up, disclosure or purge; the request is signed too"),
    )
    async def post_act(request: Request) -> Response:
        """Post a look-up, a disclosure or a purge."""
        async with budget.body_of(request, MAX_DOCUMENT_BYTES) as body:
            caller = await authenticate_endpoint(node, request, body)
            return answer(await accept_act(node, body, caller, source_of(request)))

    @router.post(
        "/statements",
        responses=responses(AcceptedModel, 400, 401, 403, 404, 409, 413, 422, created=True),
        openapi_extra=binary_body("a signed directory statement"),
    )
    async def post_statement(request: Request) -> Response:
        """Post a directory statement."""
        async with budget.body_of(request, MAX_DOCUMENT_BYTES) as body:
            return answer(await accept_directory(node, body, source_of(request)))

    @router.get("/statements/{payload}", responses=responses(AcceptedModel, 400, 401, 404))
    async def get_statement(request: Request, payload: PayloadHash) -> Response:
        """The proof of a statement that the caller made. Signed."""
        caller = await authenticate_endpoint(node, request)
        return json_response(await read_statement_of(node, caller, payload_hash(payload)))

    return router
