"""JSON Schemas (2020-12) of the message contents, generated from the models.

A schema accepts everything that the model accepts. What it cannot say (rules across fields, days of the
calendar) stands in ``x-rules`` by id and in words, so that another implementation can state the same ids.

Source: JSON Schema 2020-12; docs/spec/messages.md §7.
"""

from typing import Any, Final

from pydantic.json_schema import DEFAULT_REF_TEMPLATE, GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from countermark_protocol.encoding import JsonObject
from countermark_protocol.messages.base import Block, Message

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class _Generator(GenerateJsonSchema):
    """Leaves out what the wire does not have: ``null``, defaults, generated titles; adds the rules."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  the base class passes it
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        out = super().model_schema(schema)
        block: type[Block] = schema["cls"]
        out.pop("title", None)
        if block.RULES:
            out["x-rules"] = dict(block.RULES)
        return out

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        out = super().enum_schema(schema)
        out.pop("title", None)
        return out


def json_schema(model: type[Message]) -> JsonObject:
    """The JSON Schema of a message content, complete in itself; the same bytes for the same model."""
    generated = model.model_json_schema(
        by_alias=True, ref_template=DEFAULT_REF_TEMPLATE, schema_generator=_Generator, mode="validation"
    )
    return {
        "$schema": DIALECT,
        "$id": f"urn:countermark:message:{model.TYPE}:{model.VERSION}",
        "title": f"{model.TYPE} version {model.VERSION}",
        **generated,
    }
