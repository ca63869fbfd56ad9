"""Answering in two clicks: the right form, filled in with all that is known already.

What a form says of the request (its id, when it came, its weapons) is known; what the agency answers is not, and stays
to be chosen. A refusal names its ground: nobody else can.

Source: ITI 18 to 23; docs/spec/tracing.md; docs/spec/messages.md §7.4.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from countermark_console.desk.forms.fields import form_of, newest_version
from countermark_console.desk.shelf import StoredMessage
from countermark_console.texts import N_
from countermark_protocol.encoding import JsonObject
from countermark_protocol.errors import NotFoundError

_DAY_MS: Final = 86_400_000
#: Days within which a trace is answered where nothing else was asked (ITI 18; domain page 6.2).
_USUAL_DAYS: Final = 30

_Fill = Callable[["Asked"], JsonObject]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is answered, and by whom.

    Attributes:
        message: the request.
        before: messages of its conversation, in log order.
        now: ms since 1970.
        deadline: until when, ms since 1970, or None.
        contact: how this agency can be reached, as it said last; empty if it never did.
        language: in which it writes.
        local_ref: this agency's own reference of the case.
    """

    message: StoredMessage
    before: tuple[StoredMessage, ...]
    now: int
    deadline: int | None
    contact: JsonObject
    language: str
    local_ref: str

    @property
    def items(self) -> list[str]:
        """References of the weapons."""
        content = self.message.content or {}
        return [str(item.get("itemRef", "")) for item in content.get("items", ()) if isinstance(item, dict)]


@dataclass(frozen=True, slots=True)
class Way:
    """A way to answer.

    Attributes:
        name: by which it is asked for.
        label: for people.
        type: of the answer.
        fill: what its form begins with.
    """

    name: str
    label: str
    type: str
    fill: _Fill


def _instant(at: int) -> str:
    moment = dt.datetime.fromtimestamp(at // 1000, dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _day(at: int) -> str:
    return f"{dt.datetime.fromtimestamp(at / 1000, dt.UTC):%Y-%m-%d}"


def _usual(asked: Asked) -> JsonObject:
    """What every answer to a request begins with."""
    out: JsonObject = {"requestId": asked.message.id, "localRef": asked.local_ref, "language": asked.language}
    if asked.contact:
        out["contact"] = asked.contact
    return out


def _acknowledge(asked: Asked) -> JsonObject:
    until = asked.deadline if asked.deadline is not None else asked.now + _USUAL_DAYS * _DAY_MS
    return {
        **_usual(asked),
        "receivedAt": _instant(asked.message.log_time),
        "status": "ACCEPTED",
        "estimatedReplyBy": _day(max(until, asked.message.log_time)),
    }


def _ask_more(asked: Asked) -> JsonObject:
    return {
        **_usual(asked),
        "receivedAt": _instant(asked.message.log_time),
        "status": "MORE_INFORMATION_NEEDED",
        "missing": [{}],
    }


def _response(asked: Asked, *, final: bool, result: Mapping[str, Any]) -> JsonObject:
    told = [m for m in asked.before if m.type == "tracing-response" and m.direction == "out"]
    return {
        **_usual(asked),
        "sequence": len(told) + 1,
        "final": final,
        "itemResults": [{"itemRef": ref, "identityConfirmed": False, **result} for ref in asked.items],
        "useRestrictions": {"tlp": asked.message.manifest["handling"]["tlp"], "originatorControlled": True},
    }


def _interim(asked: Asked) -> JsonObject:
    return _response(asked, final=False, result={})


def _final(asked: Asked) -> JsonObject:
    return _response(asked, final=True, result={"identityConfirmed": True})


def _refuse(asked: Asked) -> JsonObject:
    return _response(asked, final=True, result={"outcome": "REFUSED", "refusal": {}})


def _text(asked: Asked) -> JsonObject:
    return {
        "paragraphs": [""],
        "language": asked.language,
        **({"contact": asked.contact} if asked.contact else {}),
    }


def _clarify(asked: Asked) -> JsonObject:
    return {**_usual(asked), "about": asked.message.hash, "ownRef": asked.local_ref}


def _plain(asked: Asked) -> JsonObject:
    return {
        **_usual(asked),
        "receivedAt": _instant(asked.message.log_time),
        "itemResults": [{"itemRef": ref} for ref in asked.items],
    }


_TRACE: Final = (
    Way("acknowledge", N_("Acknowledge"), "tracing-acknowledgement", _acknowledge),
    Way("ask-more", N_("Ask for more information"), "tracing-acknowledgement", _ask_more),
    Way("interim", N_("Interim answer"), "tracing-response", _interim),
    Way("final", N_("Final answer"), "tracing-response", _final),
    Way("refuse", N_("Refuse, with the ground"), "tracing-response", _refuse),
)
_CLARIFY: Final = Way("clarify", N_("Ask or explain"), "tracing-clarification", _clarify)
_FREE: Final = Way("text", N_("Write a text"), "free-text", _text)

#: How a received message of a type is answered; everything else by a text.
WAYS: Final[Mapping[str, tuple[Way, ...]]] = MappingProxyType(
    {
        "tracing-request": (*_TRACE, _CLARIFY, _FREE),
        "tracing-acknowledgement": (_CLARIFY, _FREE),
        "tracing-response": (_CLARIFY, _FREE),
        "tracing-clarification": (_CLARIFY, _FREE),
        "hit-notice": (Way("confirm", N_("Answer the hit"), "hit-confirmation", _plain), _FREE),
        "licence-verification-request": (
            Way("verify", N_("Answer on the licence"), "licence-verification-response", _plain),
            _FREE,
        ),
        "mutual-legal-assistance-request": (
            Way("assist", N_("Answer the request"), "mutual-legal-assistance-response", _plain),
            _FREE,
        ),
        "release-consent-request": (
            Way("decide", N_("Decide on the release"), "release-consent-decision", _plain),
            _FREE,
        ),
    }
)
_OTHERS: Final = (_FREE,)


def _amend(asked: Asked) -> JsonObject:
    return {**_usual(asked), "message": asked.message.hash, "changes": [{}]}


#: How a message of one's own is amended.
_AMENDMENTS: Final = (
    Way("correct", N_("Correct it"), "correction", _amend),
    Way("withdraw", N_("Withdraw it"), "withdrawal", _amend),
)


def ways_of(message: StoredMessage) -> tuple[Way, ...]:
    """How a message can be answered; none where it is one's own."""
    return WAYS.get(message.type, _OTHERS) if message.direction == "in" else ()


def amendments_of(message: StoredMessage) -> tuple[Way, ...]:
    """How a message can be amended by who sent it; none where it is another's, or amends one itself."""
    amends = message.type in {one.type for one in _AMENDMENTS}
    return _AMENDMENTS if message.direction == "out" and not amends else ()


def begin_answer(name: str, asked: Asked) -> tuple[str, int, JsonObject]:
    """Type, version and first state of the form of an answer, or of an amendment.

    Raises:
        NotFoundError: ``no_such_answer``: a message of that type is not answered so.
    """
    way = next(
        (one for one in ways_of(asked.message) + amendments_of(asked.message) if one.name == name), None
    )
    if way is None:
        raise NotFoundError("no_such_answer", f"a message of type {asked.message.type} is not answered so")
    version = newest_version(way.type)
    known = {field.name for field in form_of(way.type, version).fields}
    return way.type, version, {k: v for k, v in way.fill(asked).items() if k in known}
