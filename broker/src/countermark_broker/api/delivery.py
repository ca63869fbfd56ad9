"""Reading one's own: boxes, stanzas, contents; and the directory.

Source: docs/spec/api.md §3.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from countermark_broker.api.answers import (
    From,
    Limit,
    PayloadHash,
    json_response,
    payload_hash,
    responses,
)
from countermark_broker.api.auth import authenticate_endpoint, authenticate_reader
from countermark_broker.api.models import BoxPageModel, DirectoryPageModel, ReleasesModel
from countermark_broker.services.deliver import read_page
from countermark_broker.services.listeners import Listeners
from countermark_broker.services.node import Node
from countermark_broker.services.release import read_ciphertext, read_stanza
from countermark_broker.services.statements import read_directory_page
from countermark_protocol.boxes import Box
from countermark_protocol.identifiers import parse_address


def delivery_router(node: Node, listeners: Listeners) -> APIRouter:
    """The calls that an endpoint reads by."""
    router = APIRouter(tags=["reading"])

    @router.get("/boxes/{address}/{box}", responses=responses(BoxPageModel, 400, 401, 403))
    async def get_box(
        request: Request,
        address: str,
        box: Box,
        first: From = 0,
        limit: Limit = 100,
        wait: Annotated[int, Query(ge=0, le=60, description="seconds to wait for position `from`")] = 0,
    ) -> Response:
        """Positions of one's own box from a cursor on; a long-poll with `wait`. Signed."""
        caller = await authenticate_endpoint(node, request)
        page = await read_page(node, listeners, caller, parse_address(address), box, first, limit, wait)
        return json_response(page)

    @router.get("/messages/{payload}/stanza", responses=responses(ReleasesModel, 400, 401, 403, 404))
    async def get_stanza(request: Request, payload: PayloadHash) -> Response:
        """One's own stanza again, once `delivered` is logged. Signed."""
        caller = await authenticate_endpoint(node, request)
        release = await read_stanza(node, caller, payload_hash(payload))
        return json_response({"releases": [release.to_json()]})

    @router.get(
        "/messages/{payload}/content",
        responses={
            **responses(None, 400, 401, 403, 404),
            200: {"content": {"application/octet-stream": {}}, "description": "the ciphertext"},
        },
        response_class=Response,
    )
    async def get_content(request: Request, payload: PayloadHash) -> Response:
        """The ciphertext, to the sender and to who has posted `delivered`. Signed."""
        caller = await authenticate_endpoint(node, request)
        content = await read_ciphertext(node, caller, payload_hash(payload))
        return Response(content, media_type="application/octet-stream")

    @router.get("/directory", responses=responses(DirectoryPageModel, 400, 401))
    async def get_directory(request: Request, first: From = 0, limit: Limit = 100) -> Response:
        """Directory statements by number. Signed by any key that stands in the directory."""
        await authenticate_reader(node, request)
        return json_response(await read_directory_page(node, first, limit))

    return router
