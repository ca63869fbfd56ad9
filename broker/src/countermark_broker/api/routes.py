"""The application: routers, and how every kind of failure is answered."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from countermark_broker.api.audit import audit_router
from countermark_broker.api.body import BodyBudget
from countermark_broker.api.delivery import delivery_router
from countermark_broker.api.errors import problem_of, problem_response
from countermark_broker.api.invitations import invitations_router
from countermark_broker.api.leases import leases_router
from countermark_broker.api.limits import RequestLimit
from countermark_broker.api.middleware import AccessLog
from countermark_broker.api.models import ProblemModel
from countermark_broker.api.open_log import health_router, log_router, metrics_router
from countermark_broker.api.pieces import pieces_router
from countermark_broker.api.posting import posting_router
from countermark_broker.api.quotas import quotas_router
from countermark_broker.api.security import SecurityHeaders
from countermark_broker.api.sources import Sources
from countermark_broker.api.webhooks import webhooks_router
from countermark_broker.errors import FatalError
from countermark_broker.services.accounts import NegativeAnswer
from countermark_broker.services.listeners import Listeners
from countermark_broker.services.node import Node
from countermark_protocol.answers import Problem
from countermark_protocol.errors import CountermarkError, MalformedError, NotFoundError

_MIB: Final = 1024 * 1024


class Api(FastAPI):
    """The application, whose document describes what its calls only refer to."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document; made when it is first asked for."""
        fresh = self.openapi_schema is None
        document = super().openapi()
        if fresh:
            schemas = document["components"]["schemas"]
            schemas[ProblemModel.__name__] = ProblemModel.model_json_schema(mode="serialization")
            document["components"]["schemas"] = dict(sorted(schemas.items()))
        return document


def make_api(node: Node, listeners: Listeners) -> Api:
    """The HTTP application of a node."""
    app = Api(
        title="Countermark broker",
        version="1",
        description="Accepts, logs and delivers sealed messages between agencies. See docs/spec/api.md.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        # A redirect would name whatever host the request named, and what was signed holds for one path only.
        redirect_slashes=False,
    )
    settings = node.settings
    budget = BodyBudget(
        settings.max_bodies_mib * _MIB, settings.body_timeout_s, settings.max_bodies_each_mib * _MIB
    )
    for router in (
        posting_router(node, budget),
        delivery_router(node, listeners),
        pieces_router(node, budget),
        audit_router(node),
        leases_router(node, budget),
        invitations_router(node, budget),
        webhooks_router(node, budget),
        log_router(node),
        health_router(node),
        quotas_router(node),
        metrics_router(node, listeners),
    ):
        # Not `include_router`: it would make each route a second time.
        app.router.routes.extend(router.routes)
    _add_handlers(app, node)
    sources = Sources(settings.trusted_proxies)
    app.add_middleware(
        RequestLimit, sources=sources, most_each=settings.max_requests_each, metrics=node.metrics
    )
    app.add_middleware(AccessLog)
    # Last, so that it is around all others.
    app.add_middleware(SecurityHeaders)
    return app


def _add_handlers(app: FastAPI, node: Node) -> None:
    def answer(problem: Problem) -> Response:
        node.metrics.refused.labels(problem.code).inc()
        if problem.account is None and problem.status in {400, 401, 413, 422}:
            node.metrics.unverified.inc()
        return problem_response(problem)

    @app.exception_handler(CountermarkError)
    async def on_error(_request: Request, error: CountermarkError) -> Response:
        return answer(problem_of(error))

    @app.exception_handler(NegativeAnswer)
    async def on_negative(_request: Request, error: NegativeAnswer) -> Response:
        return answer(problem_of(error))

    @app.exception_handler(FatalError)
    async def on_fatal(_request: Request, error: FatalError) -> Response:
        node.health.fail(error)
        return answer(problem_of(node.health.fatal_answer()))

    @app.exception_handler(RequestValidationError)
    async def on_parameter(_request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        name = str(first["loc"][-1])
        return answer(
            problem_of(
                MalformedError("bad_parameter", f"parameter '{name}': {first['msg'].lower()}", parameter=name)
            )
        )

    @app.exception_handler(HTTPException)
    async def on_http(_request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            problem = problem_of(MalformedError("unknown_method", "this path has no such method"))
        elif error.status_code == 404:
            problem = problem_of(
                NotFoundError("unknown_path", "there is no such call; docs/spec/api.md lists them")
            )
        else:
            problem = problem_of(
                MalformedError("bad_request", "the request is not HTTP that this broker understands")
            )
        response = answer(problem)
        if error.status_code == 405 and error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
