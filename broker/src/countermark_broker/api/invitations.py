"""Invitations: where an endpoint-to-be and its authority find each other.

Source: docs/spec/enrolment.md §2.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, Field

from countermark_broker.api.answers import json_body, json_response, responses
from countermark_broker.api.auth import authenticate_signer
from countermark_broker.api.body import BodyBudget
from countermark_broker.api.limits import OpenReads, source_of
from countermark_broker.services.invitations import (
    LookUps,
    add_approval,
    hand_in,
    list_invitations,
    look_up_invitation,
    make_invitation,
    withdraw_invitation,
)
from countermark_broker.services.node import Node
from countermark_protocol.claims import Claims
from countermark_protocol.encoding import parse_base64url, parse_object
from countermark_protocol.errors import MalformedError
from countermark_protocol.invitations import (
    MAX_DAYS,
    MAX_REQUEST,
    encode_pending,
    no_invitation,
    parse_asked,
    parse_code,
    parse_request,
)

_MAX_ASKED: Final = 1024
#: base64url, and the object around it.
_MAX_REQUEST_BODY: Final = MAX_REQUEST * 4 // 3 + 1024
#: Not kept by any cache: it is gone at any moment.
_NOT_KEPT: Final = {"Cache-Control": "no-store"}
Code = Annotated[str, Path(max_length=20, description="of 12 letters and digits; hyphens do not matter")]


class AskedModel(BaseModel):
    """Whom to invite."""

    address: str
    days: int = Field(ge=1, le=MAX_DAYS)


class EnrolmentRequestModel(BaseModel):
    """What an endpoint-to-be hands in: two statements, base64url."""

    endpoint: str = Field(
        description="gathering of its endpoint statement, with possession by its administrator"
    )
    keys: str = Field(description="its complete keys statement")


class PendingModel(BaseModel):
    """An invitation as its authority sees it; times are ms since 1970."""

    code: str
    address: str
    created: int
    expires: int
    request: EnrolmentRequestModel | None = None


class PendingListModel(BaseModel):
    """The open invitations of an authority."""

    invitations: list[PendingModel]


class InvitationModel(BaseModel):
    """What a code tells."""

    code: str
    address: str
    authority: str = Field(description="its name")
    expires: int = Field(description="ms since 1970")
    trust: str = Field(description="the log's trust file, base64url")


class ApprovalModel(BaseModel):
    """A copy of a request's endpoint statement with an authority's signature, base64url."""

    endpoint: str


class StateModel(BaseModel):
    """Done."""

    status: str


def _code(text: str) -> str:
    try:
        return parse_code(text)
    except MalformedError:
        raise no_invitation() from None


def _approval(body: bytes) -> bytes:
    claims = Claims(parse_object(body, "approval"), "approval")
    endpoint = parse_base64url(claims.raw("endpoint"), "'endpoint' of approval", MAX_REQUEST)
    claims.done()
    return endpoint


def invitations_router(node: Node, budget: BodyBudget) -> APIRouter:
    """The calls by which endpoints are enrolled in three steps."""
    router = APIRouter(prefix="/v1", tags=["enrolment"])
    look_ups = LookUps(node.settings.invitation_lookups)
    reads = OpenReads(node.settings.reader_connections)

    @router.post(
        "/invitations",
        responses=responses(PendingModel, 400, 401, 403, 409, 413),
        openapi_extra=json_body(AskedModel),
    )
    async def post_invitation(request: Request) -> Response:
        """Invite an endpoint; the code to give it. Signed by a key of its authority, once."""
        async with budget.body_of(request, _MAX_ASKED) as body:
            change = await authenticate_signer(node, request, body)
            return json_response(await make_invitation(node, change, parse_asked(body)))

    @router.get("/invitations", responses=responses(PendingListModel, 401))
    async def get_invitations(request: Request) -> Response:
        """Open invitations of one's own authority, with what came on them. Signed by a key of it."""
        caller = await authenticate_signer(node, request)
        return json_response(encode_pending(await list_invitations(node, caller.key)))

    @router.get("/invitations/{code}", responses=responses(InvitationModel, 404))
    async def get_invitation(request: Request, code: Code) -> Response:
        """What an open invitation says. To anyone who has the code; a code is no secret."""
        look_ups.charge(source_of(request))
        async with reads.turn(request):
            answer = json_response(await look_up_invitation(node, _code(code)))
        answer.headers.update(_NOT_KEPT)
        return answer

    @router.post(
        "/invitations/{code}",
        responses=responses(StateModel, 400, 401, 404, 413),
        openapi_extra=json_body(EnrolmentRequestModel),
    )
    async def post_request(request: Request, code: Code) -> Response:
        """Hand in the one request of an invitation. Its documents authenticate themselves."""
        look_ups.charge(source_of(request))
        async with budget.body_of(request, _MAX_REQUEST_BODY) as body:
            await hand_in(node, _code(code), parse_request(body), source_of(request))
        return json_response({"status": "waiting"})

    @router.put(
        "/invitations/{code}/approval",
        responses=responses(PendingModel, 400, 401, 404, 409, 413),
        openapi_extra=json_body(ApprovalModel),
    )
    async def put_approval(request: Request, code: Code) -> Response:
        """Add an authority's signature to a request, for its other signers. Signed by a key of it, once."""
        async with budget.body_of(request, _MAX_REQUEST_BODY) as body:
            change = await authenticate_signer(node, request, body)
            return json_response(await add_approval(node, change, _code(code), _approval(body)))

    @router.delete("/invitations/{code}", responses=responses(StateModel, 401, 404))
    async def delete_invitation(request: Request, code: Code) -> Response:
        """Withdraw an invitation, and what came on it. Signed by a key of its authority, once."""
        change = await authenticate_signer(node, request)
        await withdraw_invitation(node, change, _code(code))
        return json_response({"status": "withdrawn"})

    return router
