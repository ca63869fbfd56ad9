"""Calls whose names are taken and whose service comes later: refused by a stable code, never by accident.

Source: docs/spec/api.md §3.7.
"""

from __future__ import annotations

from typing import Final, NoReturn

from fastapi import APIRouter

from countermark_protocol.errors import PolicyError

RESERVED: Final = {
    "leases": "leases, which hide a position of a box from an endpoint's other workers,",
    "quotas": "quotas of endpoints",
}
_METHODS: Final = ["GET", "POST", "PUT", "DELETE"]


def reserved_router() -> APIRouter:
    """Everything below ``/v1/leases`` and ``/v1/quotas``."""
    router = APIRouter(include_in_schema=False)
    for name, what in RESERVED.items():
        _refuse(router, name, what)
    return router


def _refuse(router: APIRouter, name: str, what: str) -> None:
    async def refuse() -> NoReturn:
        raise PolicyError(f"reserved_{name}", f"{what} are reserved for a later version")

    for path in (f"/{name}", f"/{name}/{{rest:path}}"):
        router.add_api_route(path, refuse, methods=_METHODS, response_model=None)
