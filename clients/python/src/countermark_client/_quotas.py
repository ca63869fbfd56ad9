"""What this endpoint may still send, as its broker says: asked before a message to many is sealed.

A quota that is used up loses nothing: what was sealed waits in the outbox until it fits. But whoever alerts two hundred
wants to know before, not after. So it is asked for where there are many, and what does not fit is named with the
recipients' problems. The answer is the word of one node and of one moment; it decides nothing.

Source: docs/spec/api.md §3.9; docs/operations/limits.md §4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from countermark_client._io import Flow
from countermark_client._session import ProblemAnswer, Session
from countermark_protocol.boxes import Box
from countermark_protocol.claims import Claims
from countermark_protocol.decision import box_for
from countermark_protocol.encoding import malformed, parse_object
from countermark_protocol.errors import MalformedError, TransportError
from countermark_protocol.manifest import Urgency

#: Recipients of a message from which on the broker is asked first: a call more is nothing beside sealing to so many.
ASKED_FROM: Final = 10
_MINUTE_S: Final = 60
#: What a recipient adds to a submission: its stanza and row; and the manifest, once. Generous by a little.
_EACH_BYTES: Final = 1_400
_MANIFEST_BYTES: Final = 4_096


def lane_of(urgency: Urgency, *, exercise: bool) -> str:
    """The lane that a message is counted in (api.md 3.9): empty for what is routine and real."""
    urgent = "urgent-" if box_for(urgency) is Box.URGENT else ""
    return ("exercise-" if exercise else "") + urgent


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of quotas.

    Attributes:
        counted: of each thing counted: how many a minute, and how many are left.
    """

    counted: Mapping[str, tuple[int, int]]

    def short_of(
        self, lane: str, *, recipients: int, content: int, uploads: int = 0
    ) -> tuple[str, str, dict[str, Any]] | None:
        """Which quota a message goes beyond, as code, words and facts; None if none.

        Args:
            lane: that it is counted in.
            recipients: of it.
            content: bytes of its JSON content.
            uploads: bytes of its attachments, sealed.
        """
        size = content + _MANIFEST_BYTES + recipients * _EACH_BYTES
        longest: tuple[int, str, int, int, int] | None = None
        messages = ((lane + "messages", 1), (lane + "recipients", recipients), (lane + "bytes", size))
        for name, needed in (*messages, ("uploads", uploads)):
            most, left = self.counted.get(name, (0, 0))
            wanted = min(needed, most)  # what is larger than a whole quota is taken from a full one
            if left < wanted:
                wait = max(1, math.ceil((wanted - left) * _MINUTE_S / most))
                longest = max(longest or (0, "", 0, 0, 0), (wait, name, needed, left, most))
        if longest is None:
            return None
        wait, name, needed, left, most = longest
        text = (
            f"the broker takes {left} more {name} from this endpoint at this moment, this message has {needed}; it "
            f"takes {most} a minute"
        )
        facts = {
            "quota": name,
            "per_minute": most,
            "left": left,
            "retry_after": wait,
            "remedy": f"wait {wait} s; or ask the broker's operator for a larger quota",
        }
        return "quota_exceeded", text, facts


def ask_quotas(session: Session) -> Flow[Left | None]:
    """What this endpoint may still send; None where the broker does not say, or is not reached.

    Who cannot ask sends as ever: the broker counts by itself.
    """
    try:
        response, _ = yield from session.call(
            "GET", "/v1/quotas", signer=session.signer(), attempts=1, retry_problems=False
        )
        return parse_quotas(response.body)
    except (ProblemAnswer, TransportError, MalformedError):
        return None


def parse_quotas(data: bytes) -> Left:
    """Read what a broker answers about quotas.

    Raises:
        MalformedError: it is not of that form.
    """
    quotas = Claims(parse_object(data, "quotas"), "quotas").raw("quotas")
    if not isinstance(quotas, dict):
        malformed("bad_member", "quotas: expected an object of what is counted")
    return Left({name: _counted(Claims(quota, "quota")) for name, quota in quotas.items()})


def _counted(quota: Claims) -> tuple[int, int]:
    return quota.integer("per_minute", 1), quota.integer("left")
