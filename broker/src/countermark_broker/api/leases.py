"""Leases of positions, for several workers of one endpoint.

Source: docs/spec/api.md §3.8.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from countermark_broker.api.answers import From, json_body, json_response, responses
from countermark_broker.api.auth import authenticate_change, authenticate_endpoint
from countermark_broker.api.body import BodyBudget
from countermark_broker.services.leases import change_leases, list_leases
from countermark_broker.services.node import Node
from countermark_protocol.boxes import Box
from countermark_protocol.leases import MAX_LEASE_SECONDS, MAX_LEASED, parse_lease_request

_MAX_BODY: Final = 8 * 1024
_MAX_LISTED: Final = 10_000


class LeaseModel(BaseModel):
    """A lease that runs."""

    position: int
    key: str = Field(description="key id of the worker's instance key, 64 lower-case hexadecimal digits")
    until: int = Field(description="ms since 1970")


class LeasesModel(BaseModel):
    """Leases by position."""

    leases: list[LeaseModel]


class LeaseRequestModel(BaseModel):
    """What to lease."""

    box: Literal["urgent", "routine"]
    positions: list[int] = Field(min_length=1, max_length=MAX_LEASED, description="without repetitions")
    seconds: int = Field(ge=0, le=MAX_LEASE_SECONDS, description="0 gives back")


class GrantedModel(BaseModel):
    """What was leased."""

    granted: list[int]
    until: int = Field(description="ms since 1970, by the database's clock")


def leases_router(node: Node, budget: BodyBudget) -> APIRouter:
    """The calls by which workers of one endpoint share its boxes."""
    router = APIRouter(prefix="/v1", tags=["workers"])

    @router.post(
        "/leases",
        responses=responses(GrantedModel, 400, 401, 413),
        openapi_extra=json_body(LeaseRequestModel),
    )
    async def post_leases(request: Request) -> Response:
        """Lease positions of one's own box, extend one's leases, or give them back. Signed, once."""
        async with budget.body_of(request, _MAX_BODY) as body:
            change = await authenticate_change(node, request, body)
            return json_response(await change_leases(node, change, parse_lease_request(body)))

    @router.get("/leases", responses=responses(LeasesModel, 400, 401))
    async def get_leases(
        request: Request,
        box: Annotated[Literal["urgent", "routine"], Query()],
        first: From = 0,
        limit: Annotated[int, Query(ge=1, le=_MAX_LISTED)] = _MAX_LISTED,
    ) -> Response:
        """Leases of one's own box that run. Signed."""
        caller = await authenticate_endpoint(node, request)
        found = await list_leases(node, caller, Box(box), first, limit)
        return json_response({"leases": [one.to_json() for one in found]})

    return router
