"""Verdicts on signatures in words and for programs: the same wherever a message is shown.

Source: docs/spec/directory.md §9.
"""

from __future__ import annotations

from typing import Any, Final

from countermark_client._words import moment, span
from countermark_protocol.verdicts import Revoked, SignatureVerdict, VerdictClass

#: Signatures on which nobody should rely without asking.
IN_DOUBT: Final = frozenset({VerdictClass.AFTER_COMPROMISE, VerdictClass.NOT_VALID, VerdictClass.UNKNOWN})

_SAYS: Final = {
    VerdictClass.VALID: "the key counted when it was logged, and is not revoked",
    VerdictClass.REVOKED_LATER: "the key counted when it was logged; that it was revoked later undoes nothing",
    VerdictClass.AFTER_COMPROMISE: "the key counted when it was logged, but is not to be trusted from before that on",
    VerdictClass.NOT_VALID: "the key did not count when it was logged: the log should have refused it",
    VerdictClass.UNKNOWN: "not known to be in the log, or no record names the key",
}


def revoked_json(revoked: Revoked | None) -> dict[str, Any] | None:
    """The JSON form of what became of a key."""
    if revoked is None:
        return None
    return {
        "index": revoked.index,
        "time": revoked.time,
        "ground": revoked.ground.value,
        "compromised_at": revoked.compromised_at,
        "reaches_back": revoked.reaches_back,
    }


def verdict_json(verdict: SignatureVerdict) -> dict[str, Any]:
    """The JSON form of a verdict."""
    return {
        "class": verdict.kind.value,
        "key": verdict.key_id.hex(),
        "holder": verdict.holder,
        "fallen": verdict.fallen,
        "revoked": revoked_json(verdict.revoked),
    }


def revoked_text(revoked: Revoked) -> str:
    """Both dates of a revocation: when it was logged, and from when on it says that the key is compromised."""
    text = f"{moment(revoked.time)} (entry {revoked.index}), ground '{revoked.ground}'; "
    if revoked.compromised_at is None:
        return text + "no date of compromise is stated"
    text += f"declared compromised from {moment(revoked.compromised_at)} on"
    if revoked.reaches_back:
        text += f": that date lies {span(revoked.reaches_back)} before the revocation was logged"
    return text


def verdict_text(verdict: SignatureVerdict) -> list[str]:
    """A verdict in words: its class and what that means, then what became of the key."""
    name = verdict.kind.value.upper() if verdict.kind in IN_DOUBT else verdict.kind.value
    lines = [f"{name}: {_SAYS[verdict.kind]}"]
    if verdict.revoked is not None:
        lines.append(f"revoked {revoked_text(verdict.revoked)}")
    if verdict.fallen is not None:
        lines.append(f"'{verdict.fallen}' was signed by keys since declared compromised from before that")
    return lines
