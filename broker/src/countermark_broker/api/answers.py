"""Small helpers that every router uses."""

from __future__ import annotations

from typing import Annotated, Any, Protocol

from fastapi import Path, Query, Response
from pydantic import BaseModel

from countermark_broker.api.models import ProblemModel
from countermark_protocol.answers import MAX_PAGE
from countermark_protocol.encoding import JsonObject, encode_json, parse_digest

#: Query and path parameters with their bounds.
From = Annotated[int, Query(alias="from", ge=0, le=2**53 - 1, description="number to begin at")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="most elements of the page")]
PayloadHash = Annotated[str, Path(description="payload hash, 64 lower-case hexadecimal digits")]


class Answer(Protocol):
    """What the protocol package writes as JSON."""

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        ...


def json_response(answer: Answer | JsonObject, status: int = 200) -> Response:
    """An answer in the form of the specification."""
    value = answer if isinstance(answer, dict) else answer.to_json()
    return Response(encode_json(value), status_code=status, media_type="application/json")


def payload_hash(text: str) -> bytes:
    """Parse a payload hash of a path."""
    return parse_digest(text, "payload hash in the path")


def responses(model: Any, *problems: int, created: bool = False) -> dict[int | str, dict[str, Any]]:
    """What a call answers with, for the OpenAPI document.

    Problems are referred to by name, and `routes.Api` describes them once: given as a model, FastAPI would build a
    validator for each status of each call, which took most of a node's start.
    """
    problem = {"schema": {"$ref": f"#/components/schemas/{ProblemModel.__name__}"}}
    out: dict[int | str, dict[str, Any]] = {200: {"model": model}} if model is not None else {}
    if created:
        out[201] = {"model": model}
    for status in (*problems, 429, 500, 503):
        out[status] = {
            "description": "problem document (docs/errors.md)",
            "content": {"application/json": problem},
        }
    return out


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """A JSON request body, for the OpenAPI document; it is parsed by the protocol's own strict parser."""
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


def binary_body(description: str) -> dict[str, Any]:
    """A binary request body, for the OpenAPI document."""
    schema = {"type": "string", "format": "binary"}
    content = {"application/octet-stream": {"schema": schema}}
    return {"requestBody": {"required": True, "description": description, "content": content}}
