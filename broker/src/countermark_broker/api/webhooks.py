"""Webhooks: where an endpoint wants to be told that its boxes moved.

Source: docs/spec/api.md §6.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from countermark_broker.api.answers import json_body, json_response, responses
from countermark_broker.api.auth import authenticate_change, authenticate_endpoint
from countermark_broker.api.body import BodyBudget
from countermark_broker.services.node import Node
from countermark_broker.services.webhooks import list_webhooks, remove_webhooks, set_webhook
from countermark_protocol.boxes import Box
from countermark_protocol.claims import Claims
from countermark_protocol.encoding import parse_object
from countermark_protocol.webhooks import MAX_URL, Webhook, parse_boxes

_MAX_BODY: Final = 4 * 1024
BoxName = Literal["sent", "urgent", "routine", "notices"]


class WebhookRequestModel(BaseModel):
    """What to call, and when."""

    url: str = Field(max_length=MAX_URL, description="https, without user or fragment")
    boxes: list[BoxName] = Field(min_length=1, max_length=4, description="without repetitions")


class WebhookModel(BaseModel):
    """A webhook and how it fares; times are ms since 1970."""

    url: str
    boxes: list[BoxName]
    on: bool
    registered_at: int
    failures: int
    failing_since: int | None = None
    error: str | None = None
    succeeded_at: int | None = None
    next_try: int
    off_at: int | None = None


class WebhooksModel(BaseModel):
    """An endpoint's webhooks."""

    webhooks: list[WebhookModel]


def _parse(body: bytes) -> tuple[str, tuple[Box, ...]]:
    claims = Claims(parse_object(body, "webhook"), "webhook")
    url, boxes = claims.text("url", MAX_URL), claims.parsed("boxes", parse_boxes)
    claims.done()
    return url, boxes


def _answer(found: Iterable[Webhook]) -> Response:
    return json_response({"webhooks": [webhook.to_json() for webhook in found]})


def webhooks_router(node: Node, budget: BodyBudget) -> APIRouter:
    """The calls by which an endpoint asks to be told."""
    router = APIRouter(prefix="/v1", tags=["webhooks"])

    @router.put(
        "/webhooks",
        responses=responses(WebhooksModel, 400, 401, 403, 409, 413),
        openapi_extra=json_body(WebhookRequestModel),
    )
    async def put_webhook(request: Request) -> Response:
        """Register a URL, or set it anew: on, and owed a look at each of its boxes. Signed, once."""
        async with budget.body_of(request, _MAX_BODY) as body:
            change = await authenticate_change(node, request, body)
            return _answer(await set_webhook(node, change, *_parse(body)))

    @router.get("/webhooks", responses=responses(WebhooksModel, 401))
    async def get_webhooks(request: Request) -> Response:
        """One's own webhooks and how they fare. Signed."""
        return _answer(await list_webhooks(node, await authenticate_endpoint(node, request)))

    @router.delete("/webhooks", responses=responses(WebhooksModel, 400, 401))
    async def delete_webhooks(
        request: Request,
        url: Annotated[str | None, Query(max_length=MAX_URL, description="all if left out")] = None,
    ) -> Response:
        """Remove a webhook, or all of one's own; those that are left. Signed, once."""
        return _answer(await remove_webhooks(node, await authenticate_change(node, request), url))

    return router
