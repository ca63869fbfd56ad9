"""Correction and withdrawal: what becomes of a message that was sent already.

The message itself stays in the log; what changes is what may be believed of it. Only its sender corrects or withdraws
it: the manifest names it in ``supersedes``, and the broker refuses that to anybody else.

Source: INTERPOL RPD (accuracy and deletion); NCIC modify and cancel; docs/spec/messages.md §7.13; domain page 3.3.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Any, ClassVar, NoReturn

from countermark_protocol.codes.exchange import CorrectionGround, FollowUp, WithdrawalGround
from countermark_protocol.encoding import JsonObject, malformed
from countermark_protocol.messages.base import UNIQUE, Block, Broken, Message, refs_unique, term
from countermark_protocol.messages.blocks import Contact
from countermark_protocol.messages.scalars import (
    Day,
    Language,
    MessageHash,
    Pointer,
    Prose,
    Ref,
)


class Change(Block):
    """One member of the corrected content, and what it should read; with no value it should not be there."""

    RULES: ClassVar[Mapping[str, str]] = {
        "change_one_value": "a change gives one of text, number and flag, or removed true",
    }

    path: Annotated[
        Pointer,
        term("Where in the content; one past the end of a list adds to it", source="NCIC modify"),
    ]
    text: Annotated[
        Prose | None, term("What should stand there, if it is a text or code", source="NCIC modify")
    ] = None
    number: Annotated[
        int | None,
        term("What should stand there, if it is a number", source="NCIC modify", low=0, high=10_000_000),
    ] = None
    flag: Annotated[
        bool | None, term("What should stand there, if it is yes or no", source="NCIC modify")
    ] = None
    removed: Annotated[bool | None, term("True: nothing should stand there", source="NCIC modify")] = None
    note: Annotated[Prose | None, term("Why", source="INTERPOL RPD")] = None

    @property
    def value(self) -> str | int | bool | None:
        """What should stand there; None for nothing."""
        return next((one for one in (self.text, self.number, self.flag) if one is not None), None)

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        given = sum(one is not None for one in (self.text, self.number, self.flag))
        if given + bool(self.removed) != 1 or self.removed is False:
            yield Broken("change_one_value")


class MessageCorrection(Message):
    """The sender of a message corrects members of it; what is not named stands as it was sent."""

    TYPE: ClassVar[str] = "correction"
    VERSION: ClassVar[int] = 1
    RULES: ClassVar[Mapping[str, str]] = {
        "change_paths_differ": "a member is corrected once",
    }

    message: Annotated[MessageHash, term("The message that is corrected", source="INTERPOL RPD")]
    correction_ref: Annotated[Ref | None, term("The correction's reference", source="NCIC modify")] = None
    ground: Annotated[
        CorrectionGround, term("Why it is corrected", source="INTERPOL RPD", codes="CORRECTION_GROUND")
    ]
    reason: Annotated[Prose, term("The reason in words", source="INTERPOL RPD")]
    changes: Annotated[
        tuple[Change, ...],
        term(
            "What should read otherwise, in the order in which it is done",
            source="NCIC modify",
            at_least=1,
            at_most=100,
        ),
    ]
    follow_up: Annotated[
        tuple[FollowUp, ...],
        term(
            "What recipients are asked to do", source="INTERPOL RPD", codes="FOLLOW_UP", at_least=1, at_most=5
        ),
        UNIQUE,
    ]
    answer_by: Annotated[
        Day | None, term("Until when they are asked to have done it", source="INTERPOL RPD", unit="day")
    ] = None
    contact: Annotated[Contact | None, term("Who can be asked", source="ITI 25")] = None
    language: Annotated[
        Language, term("Language of the texts", source="Directive (EU) 2023/977", codes="BCP 47")
    ]

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        yield from refs_unique(tuple(each.path for each in self.changes), "change_paths_differ", "changes")


class MessageWithdrawal(Message):
    """The sender of a message takes it back: it stands no more, and nothing stands in its place."""

    TYPE: ClassVar[str] = "withdrawal"
    VERSION: ClassVar[int] = 1
    RULES: ClassVar[Mapping[str, str]] = {
        "withdrawal_replaced": "replacedBy stands with REPLACED, and only with it",
    }

    message: Annotated[MessageHash, term("The message that is withdrawn", source="NCIC cancel")]
    withdrawal_ref: Annotated[Ref | None, term("The withdrawal's reference", source="NCIC cancel")] = None
    ground: Annotated[
        WithdrawalGround,
        term(
            "Why it is withdrawn", source="NCIC cancel; Del. Reg. (EU) 2021/1423", codes="WITHDRAWAL_GROUND"
        ),
    ]
    reason: Annotated[Prose, term("The reason in words", source="INTERPOL RPD")]
    replaced_by: Annotated[
        MessageHash | None, term("The message that takes its place", source="NCIC modify")
    ] = None
    follow_up: Annotated[
        tuple[FollowUp, ...],
        term(
            "What recipients are asked to do", source="INTERPOL RPD", codes="FOLLOW_UP", at_least=1, at_most=5
        ),
        UNIQUE,
    ]
    answer_by: Annotated[
        Day | None, term("Until when they are asked to have done it", source="INTERPOL RPD", unit="day")
    ] = None
    contact: Annotated[Contact | None, term("Who can be asked", source="ITI 25")] = None
    language: Annotated[
        Language, term("Language of the texts", source="Directive (EU) 2023/977", codes="BCP 47")
    ]

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if (self.ground is WithdrawalGround.REPLACED) != (self.replaced_by is not None):
            yield Broken("withdrawal_replaced", "/replacedBy")


def apply_correction(document: JsonObject, correction: MessageCorrection) -> JsonObject:
    """The content as it reads after a correction; `document` stays as it is.

    Args:
        document: content of the corrected message.
        correction: its changes are made in order.

    Raises:
        MalformedError: ``correction_does_not_fit``: the document has no such place. Facts: ``field``, a pointer into
            the correction.

    Does not prove: that the outcome is valid; `countermark_protocol.registry.validate_content` tells.
    """
    out = copy.deepcopy(document)
    for i, change in enumerate(correction.changes):
        _apply(out, change, f"/changes/{i}/path")
    return out


def _apply(document: JsonObject, change: Change, field: str) -> None:
    *way, last = change.path.split("/")[1:]
    node: Any = document
    for step, following in pairwise([*way, last]):
        node = _child(node, step, [] if following == "0" else {}, field)
    value = change.value
    if isinstance(node, list) and last.isdecimal():
        index = int(last)
        if value is None and index < len(node):
            del node[index]
        elif value is not None and index < len(node):
            node[index] = value
        elif value is not None and index == len(node):
            node.append(value)
        else:
            _misfit(field)
    elif isinstance(node, dict) and not last.isdecimal() and (value is not None or last in node):
        if value is not None:
            node[last] = value
        else:
            del node[last]
    else:
        _misfit(field)


def _child(node: Any, step: str, fresh: Any, field: str) -> Any:
    """The value below `node`; `fresh` is put there where an object lacks the member or a list ends."""
    if isinstance(node, list) and step.isdecimal() and int(step) <= len(node):
        if int(step) == len(node):
            node.append(fresh)
        return node[int(step)]
    if isinstance(node, dict) and not step.isdecimal():
        return node.setdefault(step, fresh)
    _misfit(field)


def _misfit(field: str) -> NoReturn:
    malformed(
        "correction_does_not_fit",
        "the corrected message has no such place: name a member of its content, or the end of a list",
        field=field,
    )
