"""What auditors read under a look-up.

Source: docs/spec/audit.md §5.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from countermark_broker.api.answers import From, Limit, json_response, responses
from countermark_broker.api.auth import authenticate_endpoint
from countermark_broker.api.models import AuditedEntriesModel, BoxPageModel
from countermark_broker.services.audit import read_audited_box, read_audited_entries
from countermark_broker.services.node import Node
from countermark_protocol.boxes import Box
from countermark_protocol.encoding import parse_digest
from countermark_protocol.identifiers import parse_address

LookUpHash = Annotated[
    str, Path(description="payload hash of the caller's look-up, 64 lower-case hexadecimal digits")
]


def audit_router(node: Node) -> APIRouter:
    """The calls that an auditor reads by."""
    router = APIRouter(prefix="/v1/audit", tags=["auditing"])

    @router.get("/{look_up}/entries", responses=responses(AuditedEntriesModel, 400, 401, 403, 404))
    async def get_entries(
        request: Request, look_up: LookUpHash, first: From = 0, limit: Limit = 100
    ) -> Response:
        """Entries whole, but for stanzas and content, in log order; scope `oversight`. Signed."""
        caller = await authenticate_endpoint(node, request)
        named = parse_digest(look_up, "look-up in the path")
        return json_response(await read_audited_entries(node, caller, named, first, limit))

    @router.get("/{look_up}/boxes/{address}/{box}", responses=responses(BoxPageModel, 400, 401, 403, 404))
    async def get_audited_box(
        request: Request, look_up: LookUpHash, address: str, box: Box, first: From = 0, limit: Limit = 100
    ) -> Response:
        """Positions of a box of an endpoint of the auditor's authority; scope `national`. Signed."""
        caller = await authenticate_endpoint(node, request)
        named = parse_digest(look_up, "look-up in the path")
        owner = parse_address(address)
        return json_response(await read_audited_box(node, caller, named, owner, box, first, limit))

    return router
