"""Whether evidence convinces somebody who was not there and has nothing but the founding's fingerprint.

The judge is the one that people use (`countermark evidence verify`): in the protocol, with no code of any client.
"""

from __future__ import annotations

from countermark_protocol.contradictions import verify_contradiction
from countermark_protocol.errors import CountermarkError


class NotConvincedError(Exception):
    """The bytes prove nothing."""


def convince(evidence: bytes, trust_root: str) -> str:
    """Return what evidence proves.

    Args:
        evidence: the file.
        trust_root: the founding's fingerprint, as people compare it by voice.

    Raises:
        NotConvincedError: it proves nothing, whatever is wrong with it.
    """
    try:
        return verify_contradiction(evidence, trust_root).says
    except CountermarkError as error:
        raise NotConvincedError(str(error)) from error
