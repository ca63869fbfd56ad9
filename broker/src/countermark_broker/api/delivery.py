"""Reading one's own: boxes, stanzas, contents; and the directory.

Source: docs/spec/api.md §3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from countermark_broker.api.answers import (
    From,
    Limit,
    PayloadHash,
    json_response,
    payload_hash,
    responses,
)
from countermark_broker.api.auth import (
    authenticate_endpoint,
    authenticate_reader,
    authenticate_waiting,
    check_still_counts,
)
from countermark_broker.api.limits import slot_of
from countermark_broker.api.models import AcceptedModel, BoxPageModel, DirectoryPageModel, ReleasesModel
from countermark_broker.services.deliver import read_page
from countermark_broker.services.key_proofs import prove_keys
from countermark_broker.services.listeners import Listeners
from countermark_broker.services.node import Node
from countermark_broker.services.release import read_ciphertext, read_purge, read_stanza
from countermark_broker.services.statements import read_directory_page
from countermark_protocol.answers import BoxPage
from countermark_protocol.boxes import Box
from countermark_protocol.identifiers import parse_address

#: For the access log alone: nobody is there to read it.
_CLIENT_GONE: Final = 499


def delivery_router(node: Node, listeners: Listeners) -> APIRouter:
    """The calls that an endpoint reads by."""
    router = APIRouter(prefix="/v1", tags=["reading"])

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
        caller, key_id = await authenticate_waiting(node, request)
        # A long-poll costs next to nothing while it waits, and `max_listeners_each` bounds them by endpoint.
        slot_of(request).give_back()
        reading = read_page(node, listeners, caller, parse_address(address), box, first, limit, wait)
        if not wait:
            return json_response(await reading)
        page = await _while_connected(request, reading)
        if page is None:
            return Response(status_code=_CLIENT_GONE)
        # Who may read was decided up to a minute ago.
        check_still_counts(node, key_id)
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

    @router.get("/messages/{payload}/purge", responses=responses(AcceptedModel, 400, 401, 404))
    async def get_purge(request: Request, payload: PayloadHash) -> Response:
        """The purge of a message with its proof, to the parties of the message. Signed."""
        caller = await authenticate_endpoint(node, request)
        return json_response(await read_purge(node, caller, payload_hash(payload)))

    @router.get("/directory", responses=responses(DirectoryPageModel, 400, 401))
    async def get_directory(request: Request, first: From = 0, limit: Limit = 100) -> Response:
        """Directory statements by number. Signed by any key that stands in the directory."""
        await authenticate_reader(node, request)
        return json_response(await read_directory_page(node, first, limit))

    @router.get(
        "/directory/{address}/proof",
        responses={
            **responses(None, 400, 401),
            200: {"content": {"application/json": {}}, "description": "a key proof"},
        },
        response_class=Response,
    )
    async def get_key_proof(request: Request, address: str) -> Response:
        """One endpoint's keys, or that it has none, by paths in the trie. Signed as `GET /directory`."""
        await authenticate_reader(node, request)
        proof = await prove_keys(node, parse_address(address))
        return Response(proof, media_type="application/json")

    return router


async def _while_connected(request: Request, reading: Coroutine[None, None, BoxPage]) -> BoxPage | None:
    """What a client waits for; None once it has gone: its place is free for its next attempt."""
    work, gone = asyncio.create_task(reading), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else None
    finally:
        work.cancel()
        gone.cancel()
        await asyncio.gather(work, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
