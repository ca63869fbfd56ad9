"""Originator control: what needs its originator's consent to be passed on, and whether a consent covers it.

Silence is no consent, an expired one does not count, and a later decision takes the place of an earlier one.

Source: ITI 15; Firearms Protocol 12(5); TLP 2.0; EU Manual 6261/18 (H2); docs/spec/tracing.md §8.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from countermark_protocol.codes.exchange import ConsentDecision, ReleaseKind
from countermark_protocol.errors import PolicyError
from countermark_protocol.handling import Handling, HandlingCode, Tlp, UsePurpose
from countermark_protocol.messages.release_consent import ReleaseConsentDecision, ReleaseTarget

_TLP_STRICT: Final = (Tlp.CLEAR, Tlp.GREEN, Tlp.AMBER, Tlp.AMBER_STRICT, Tlp.RED)


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision on release that was received.

    Attributes:
        by: address of who decided: whose word it is.
        index: of its log entry.
        decision: its content.
    """

    by: str
    index: int
    decision: ReleaseConsentDecision


def why_consent(handling: Handling) -> str | None:
    """Why a message may be passed on only with its originator's consent; None if it may without."""
    if handling.originator_control:
        return "it is under originator control"
    if HandlingCode.H2 in handling.codes:
        return "it bears handling code H2"
    if handling.tlp in {Tlp.RED, Tlp.AMBER_STRICT}:
        return f"it is TLP:{handling.tlp}"
    return None


def check_consent(
    decisions: Iterable[Decided],
    message: bytes,
    originator: str,
    recipient: str,
    purpose: UsePurpose,
    intended: UsePurpose,
    today: dt.date,
) -> ReleaseConsentDecision:
    """Check that the originator consents to passing a message on.

    Args:
        decisions: on release, in any order.
        message: payload hash, 32 bytes.
        originator: address of who sent it.
        recipient: address of who would get it.
        purpose: for which it was sent.
        intended: for which it would be passed on.
        today: UTC.

    Returns:
        The decision that covers it.

    Raises:
        PolicyError: ``no_consent``; facts: ``why``.
    """
    about = [d for d in decisions if d.by == originator and d.decision.message == message.hex()]
    # A decision about other recipients says nothing of this one; a refusal is of all that was asked.
    about = [
        d
        for d in about
        if d.decision.decision is ConsentDecision.REFUSED or _names(d.decision.release_to, recipient)
    ]
    if not about:
        raise _refused("none", f"{originator} has not consented to passing it on to {recipient}", originator)
    newest = max(about, key=lambda d: d.index).decision
    if newest.decision is ConsentDecision.REFUSED:
        raise _refused("refused", f"{originator} has refused its consent", originator)
    if newest.expires_on is None or newest.expires_on < today:
        raise _refused("expired", f"the consent of {originator} ended on {newest.expires_on}", originator)
    if ReleaseKind.ONWARD_TRANSFER not in newest.kinds:
        raise _refused("other-kind", f"{originator} has not consented to onward transfer", originator)
    allowed = newest.purpose or purpose
    if intended is not allowed and not (
        ReleaseKind.OTHER_PURPOSE in newest.kinds and newest.purpose is intended
    ):
        raise _refused(
            "other-purpose", f"{originator} has consented to {allowed}, not to {intended}", originator
        )
    if newest.parts:
        raise _refused("in-part", f"{originator} has consented to parts of it alone", originator)
    return newest


def _names(targets: tuple[ReleaseTarget, ...], recipient: str) -> bool:
    return any(
        target.endpoint == recipient if target.endpoint else target.authority == recipient.partition(".")[0]
        for target in targets
    )


def _refused(why: str, text: str, originator: str) -> PolicyError:
    return PolicyError(
        "no_consent",
        f"{text}: nothing is passed on without the originator's signed consent (ITI 15)",
        why=why,
        originator=originator,
    )


def loosened(new: Handling, old: Handling) -> tuple[str, ...]:
    """In what a handling is laxer than that of the message passed on; an originator's limits may only be narrowed."""
    return tuple(
        name
        for name, laxer in (
            ("tlp", _TLP_STRICT.index(new.tlp) < _TLP_STRICT.index(old.tlp)),
            ("classification", new.classification.level < old.classification.level),
            ("codes", bool(set(old.codes) - {HandlingCode.H0} - set(new.codes))),
            ("originator_control", old.originator_control and not new.originator_control),
            ("retention_until", new.retention_until > old.retention_until),
            (
                "releasable_to",
                bool(old.releasable_to)
                and (not new.releasable_to or bool(set(new.releasable_to) - set(old.releasable_to))),
            ),
        )
        if laxer
    )
