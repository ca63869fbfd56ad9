"""What the caller may still send.

Source: docs/spec/api.md §3.9.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from countermark_broker.api.answers import json_response, responses
from countermark_broker.api.auth import authenticate_endpoint
from countermark_broker.api.models import QuotasModel
from countermark_broker.services.node import Node


def quotas_router(node: Node) -> APIRouter:
    """The call that an endpoint reads its quotas by."""
    router = APIRouter(prefix="/v1", tags=["reading"])

    @router.get("/quotas", responses=responses(QuotasModel, 400, 401))
    async def get_quotas(request: Request) -> Response:
        """The caller's own quotas on this node. Signed."""
        caller = await authenticate_endpoint(node, request)
        return json_response({"quotas": node.quotas.state_of(caller.address)})

    return router
