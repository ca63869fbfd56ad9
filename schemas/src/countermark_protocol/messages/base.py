"""What every block of typed content shares: strictness, described terms, and rules across fields.

A block is read strictly: unknown members, other JSON types and empty lists are refused; a member that is
not known is absent, never ``null``. In Python attributes are ``snake_case``, in JSON ``camelCase``. There is
no clock: what depends on "now" is asked in `countermark_protocol.messages.review`, with the time as argument.

A rule across fields has a stable id, stands in ``RULES`` of the block that states it, and so in the JSON
Schema (``x-rules``), which cannot express it.

Source: docs/spec/messages.md §7.
"""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, ClassVar, Final, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

#: Error type under which a block reports all the rules that it breaks.
BROKEN_RULES: Final = "broken_rules"


class Broken(NamedTuple):
    """A rule that does not hold.

    Attributes:
        rule: its id, from the ``RULES`` of the block.
        at: where, as a JSON pointer relative to the block; empty for the block itself.
    """

    rule: str
    at: str = ""


class Block(BaseModel):
    """Base of all blocks: immutable, strict, complete."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
        # Built when first used: a program that sends one type does not wait for the validators of all others.
        defer_build=True,
    )

    #: Rules across fields: id to what must hold, in words.
    RULES: ClassVar[Mapping[str, str]] = {}

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        yield from ()

    @model_validator(mode="after")
    def _keeps_its_rules(self) -> Self:
        broken = tuple(self.check())
        if broken:
            texts = [self.RULES[each.rule] for each in broken]
            raise PydanticCustomError(
                BROKEN_RULES, "{text}", {"text": "; ".join(texts), "texts": texts, "broken": broken}
            )
        return self


class Message(Block):
    """Base of all message contents; `TYPE` and `VERSION` are what the manifest says."""

    TYPE: ClassVar[str]
    VERSION: ClassVar[int]


class _Unique:
    """Marks a list whose elements differ: checked, and stated in the JSON Schema."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(_all_differ, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        out = handler(schema)
        out["uniqueItems"] = True
        return out


def _all_differ(value: tuple[Hashable, ...]) -> tuple[Hashable, ...]:
    if len(set(value)) != len(value):
        raise PydanticCustomError("items_not_unique", "should have no element twice")
    return value


#: For a list whose elements differ.
UNIQUE: Final = _Unique()


def term(
    text: str,
    *,
    source: str,
    unit: str = "",
    codes: str = "",
    at_least: int | None = None,
    at_most: int | None = None,
    low: int | None = None,
    high: int | None = None,
    name: str | None = None,
) -> FieldInfo:
    """Describe a field: what it means and where it comes from, in the model and in the JSON Schema.

    Args:
        text: the term, in the words of the International Tracing Instrument where it has any.
        source: instrument and paragraph.
        unit: of numbers and times.
        codes: name of the code list.
        at_least: fewest elements of a list.
        at_most: most elements of a list.
        low: smallest integer.
        high: largest integer.
        name: in JSON, where it is a word of Python.
    """
    description = f"{text}."
    extra: dict[str, Any] = {"x-source": source}
    if unit:
        description += f" Unit: {unit}."
        extra["x-unit"] = unit
    if codes:
        description += f" Code list: {codes}."
        extra["x-code-list"] = codes
    info: FieldInfo = Field(
        alias=name,
        description=f"{description} Source: {source}.",
        json_schema_extra=extra,
        min_length=at_least,
        max_length=at_most,
        ge=low,
        le=high,
    )
    return info


def refs_unique(refs: tuple[str, ...], rule: str, member: str) -> Iterator[Broken]:
    """Yield a broken `rule` at every repetition in `refs`, which stand at ``/<member>/<i>``."""
    seen: set[str] = set()
    for i, ref in enumerate(refs):
        if ref in seen:
            yield Broken(rule, f"/{member}/{i}")
        seen.add(ref)
