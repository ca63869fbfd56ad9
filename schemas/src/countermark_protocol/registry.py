"""Which model reads which message, and the one way from a document to a model.

NOTE: a (type, version) is never given to another model, and a released model never changes what it accepts.

Source: docs/spec/messages.md §7.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticSerializationError

from countermark_protocol.encoding import MAX_JSON_DEPTH, JsonObject, encode_json
from countermark_protocol.errors import MalformedError
from countermark_protocol.messages.assistance_match import AssistanceMatch
from countermark_protocol.messages.assistance_offer import AssistanceOffer
from countermark_protocol.messages.assistance_request import AssistanceRequest
from countermark_protocol.messages.base import BROKEN_RULES, Block, Message
from countermark_protocol.messages.clarification import TracingClarification
from countermark_protocol.messages.confiscation import ConfiscationNotice
from countermark_protocol.messages.contact_point import ContactPointNotice
from countermark_protocol.messages.correction import MessageCorrection, MessageWithdrawal
from countermark_protocol.messages.destruction import DestructionNotice
from countermark_protocol.messages.found_or_surrendered import FoundOrSurrenderedNotice
from countermark_protocol.messages.free_text import FreeText
from countermark_protocol.messages.hits import HitConfirmation, HitNotice
from countermark_protocol.messages.legal_assistance import (
    MutualLegalAssistanceRequest,
    MutualLegalAssistanceResponse,
)
from countermark_protocol.messages.licence import LicenceVerificationRequest, LicenceVerificationResponse
from countermark_protocol.messages.lost_or_stolen import LostOrStolenNotice
from countermark_protocol.messages.marking_system import MarkingSystemDescription
from countermark_protocol.messages.national_report import NationalReport
from countermark_protocol.messages.release_consent import ReleaseConsentDecision, ReleaseConsentRequest
from countermark_protocol.messages.second_versions import (
    ConfiscationNoticeV2,
    DestructionNoticeV2,
    LostOrStolenNoticeV2,
    TracingRequestV2,
)
from countermark_protocol.messages.tracing_request import TracingAcknowledgement, TracingRequest
from countermark_protocol.messages.tracing_response import TracingResponse
from countermark_protocol.messages.trade_route import TradeRouteAlert
from countermark_protocol.messages.transfer_refusal import TransferRefusalNotice
from countermark_protocol.types import find_type

M = TypeVar("M", bound=Message)

#: A rejection says what is wrong, not everything that is wrong with 500 items.
MAX_VIOLATIONS: Final = 100

#: Every model, by type and version.
MODELS: Final[Mapping[tuple[str, int], type[Message]]] = MappingProxyType(
    {
        (model.TYPE, model.VERSION): model
        for model in (
            TracingRequest,
            TracingAcknowledgement,
            TracingResponse,
            TracingClarification,
            ConfiscationNotice,
            DestructionNotice,
            LostOrStolenNotice,
            TradeRouteAlert,
            MarkingSystemDescription,
            AssistanceRequest,
            AssistanceOffer,
            AssistanceMatch,
            NationalReport,
            TracingRequestV2,
            ConfiscationNoticeV2,
            DestructionNoticeV2,
            LostOrStolenNoticeV2,
            FoundOrSurrenderedNotice,
            HitNotice,
            HitConfirmation,
            ContactPointNotice,
            LicenceVerificationRequest,
            LicenceVerificationResponse,
            TransferRefusalNotice,
            MutualLegalAssistanceRequest,
            MutualLegalAssistanceResponse,
            ReleaseConsentRequest,
            ReleaseConsentDecision,
            MessageCorrection,
            MessageWithdrawal,
            FreeText,
        )
    }
)


def find_model(message_type: str, version: int) -> type[Message]:
    """The model of a type and version.

    Raises:
        UncheckableError: ``unknown_type``.
    """
    find_type(message_type, version)
    return MODELS[message_type, version]


def validate_content(message_type: str, version: int, document: JsonObject) -> Message:
    """Read a content document as the model of its type and version.

    Args:
        message_type: from the manifest.
        version: from the manifest.
        document: as `countermark_protocol.encoding.parse_object` gives it.

    Raises:
        UncheckableError: ``unknown_type``.
        MalformedError: ``invalid_content``; facts: ``type``, ``version``, ``violations`` (at most 100, each with
            ``field`` as a JSON pointer, ``rule``, ``expected`` and ``got``, which tells the form of what came
            and never its value), ``violation_count``. Never another exception.
    """
    return validate_as(find_model(message_type, version), document)


def validate_as(model: type[M], document: JsonObject) -> M:
    """Read a content document as `model`; see `validate_content` for what it raises."""
    if not isinstance(document, dict):
        raise _invalid(model, [_violation("", "not_an_object", "a JSON object", _form(document))])
    try:
        message = model.model_validate_json(encode_json(document), by_alias=True, by_name=False)
        nulls = _nulls(document)
    except ValidationError as error:
        # `from None`, here and below: the chained error would hold the content.
        raise _invalid(model, *_told(error, document)) from None
    except (RecursionError, TypeError, ValueError):
        expected = f"JSON, nested at most {MAX_JSON_DEPTH} levels"
        raise _invalid(model, [_violation("", "not_json", expected, "something else")]) from None
    if nulls:
        raise _invalid(
            model, [_violation(at, "null", "a value, or no member at all", "null") for at in nulls]
        )
    return message


def content_document(message: Message) -> JsonObject:
    """The content document of a message: absent members left out, names as in JSON; inverse of `validate_content`.

    Raises:
        ValueError: the message was made past validation and cannot be written.
    """
    try:
        return message.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    except PydanticSerializationError as error:
        msg = f"this {type(message).__name__} cannot be written as JSON"
        raise ValueError(msg) from error


# --- violations --------------------------------------------------------------------------------------


def _invalid(model: type[Message], violations: list[JsonObject], count: int = 0) -> MalformedError:
    first, count = violations[0], max(count, len(violations))
    more = f" (and {count - 1} more)" if count > 1 else ""
    return MalformedError(
        "invalid_content",
        f"{model.TYPE} version {model.VERSION} is not valid at {first['field'] or 'its top'}: "
        f"expected {first['expected']}, got {first['got']}{more}",
        type=model.TYPE,
        version=model.VERSION,
        violations=violations[:MAX_VIOLATIONS],
        violation_count=count,
    )


def _told(error: ValidationError, document: JsonObject) -> tuple[list[JsonObject], int]:
    """All that pydantic found, in our words, as far as it will be told; and how many there are at least."""
    found: list[JsonObject] = []
    for each in error.errors(include_url=False, include_input=False):
        found.extend(_violations(each, document))
        if len(found) > MAX_VIOLATIONS:
            return found, error.error_count()
    return found, len(found)


def _violation(field: str, rule: str, expected: str, got: str) -> JsonObject:
    return {"field": field, "rule": rule, "expected": expected, "got": got}


def _violations(error: ErrorDetails, document: JsonObject) -> list[JsonObject]:
    """Put one pydantic error into our words; names and values that the sender chose are not repeated."""
    kind, at = error["type"], list(error["loc"])
    context: dict[str, Any] = error.get("ctx", {})
    if kind == "extra_forbidden":
        name = str(at.pop())
        return [
            _violation(
                _pointer(at), "unknown_member", _meant(name), f"a member named in {len(name)} characters"
            )
        ]
    here = _pointer(at)
    if kind == BROKEN_RULES:
        return [
            _violation(here + broken.at, broken.rule, text, _form(_resolve(document, here + broken.at)))
            for broken, text in zip(context["broken"], context["texts"], strict=True)
        ]
    value = _resolve(document, here)
    if kind == "too_short" and isinstance(value, list) and len(value) >= context["min_length"]:
        # Pydantic counts the valid elements only; the others have violations of their own.
        return []
    if kind == "missing":
        return [_violation(here, kind, "a value: the member is required", "nothing")]
    return [_violation(here, kind, _expected(kind, error["msg"], context), _form(value))]


def _expected(kind: str, message: str, context: dict[str, Any]) -> str:
    """Our wording of pydantic's; both name types, bounds, patterns and codes, never the input."""
    if kind == "too_short":
        return f"at least {context['min_length']} elements"
    if kind == "too_long":
        return f"at most {context['max_length']} elements"
    if kind == "string_pattern_mismatch":
        return f"text of the form {context['pattern']}"
    words = message.removeprefix("Input ").removeprefix("should be ")
    return words[:1].lower() + words[1:]


@cache
def _member_names() -> frozenset[str]:
    names: set[str] = set()
    blocks: list[type[Block]] = [Block]
    while blocks:
        block = blocks.pop()
        names.update(field.alias or name for name, field in block.model_fields.items())
        blocks.extend(block.__subclasses__())
    return frozenset(names)


def _meant(name: str) -> str:
    """What to expect instead of an unknown member: a name of ours, never the sender's."""
    expected = "only members of the schema"
    if name in _member_names():
        return f"{expected}: {name} does not stand here"
    # A long name is no slip of the pen, and comparing it would cost.
    near = get_close_matches(name, _member_names(), 1, 0.75) if len(name) <= 40 else []
    return f"{expected}; did you mean {near[0]}?" if near else expected


def _pointer(at: list[int | str]) -> str:
    return "".join(f"/{step}" for step in at)


_NOTHING: Final = object()


def _resolve(document: Any, pointer: str) -> Any:
    node = document
    for step in pointer.split("/")[1:]:
        if isinstance(node, dict) and step in node:
            node = node[step]
        elif isinstance(node, list) and step.isdecimal() and int(step) < len(node):
            node = node[int(step)]
        else:
            return _NOTHING
    return node


def _form(value: Any) -> str:
    """What kind of thing came, and how large; never the thing itself."""
    if value is _NOTHING:
        return "nothing"
    if isinstance(value, str):
        return f"a text of {len(value)} characters"
    if isinstance(value, list):
        return f"an array of {len(value)} elements"
    if isinstance(value, dict):
        return f"an object of {len(value)} members"
    names: dict[type, str] = {bool: "a boolean", int: "an integer", float: "a number with a fraction"}
    return "null" if value is None else names.get(type(value), "something that is not JSON")


def _nulls(document: JsonObject) -> list[str]:
    """Pointers to every ``null``: what is not known is absent, so that nothing has two spellings.

    Called only on a document that the model accepts, so every name in a pointer is the schema's.
    """
    found: list[str] = []
    stack: list[tuple[str, Any]] = [("", document)]
    while stack:
        at, node = stack.pop()
        if node is None:
            found.append(at)
        elif isinstance(node, dict):
            stack.extend((f"{at}/{name}", child) for name, child in node.items())
        elif isinstance(node, list):
            stack.extend((f"{at}/{i}", child) for i, child in enumerate(node))
    return sorted(found)
