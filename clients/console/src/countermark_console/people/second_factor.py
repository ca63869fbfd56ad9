"""The second factor: time-based one-time passwords (RFC 6238), and recovery codes for a lost telephone."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final

import pyotp
import segno

from countermark_console.clock import SECOND

#: Seconds a code stands; one before and one after are taken too, for clocks that differ.
STEP: Final = 30
RECOVERY_CODES: Final = 10
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def fresh_secret() -> bytes:
    """160 bits (RFC 4226 §4 R6)."""
    return secrets.token_bytes(20)


def shown_secret(secret: bytes) -> str:
    """A secret as it is typed into an authenticator."""
    return _totp(secret).secret


def matching_step(secret: bytes, code: str, now: int, last_step: int) -> int | None:
    """The time step that a code is of; None if it is of none, or of one used already (RFC 6238 §5.2).

    Args:
        secret: shared with the authenticator.
        code: as typed.
        now: ms since 1970.
        last_step: the step of the last code taken.
    """
    typed = "".join(code.split())
    if not (typed.isascii() and typed.isdigit()):
        return None
    current = now // SECOND // STEP
    found = None
    for step in (current - 1, current, current + 1):
        if hmac.compare_digest(_totp(secret).generate_otp(step), typed) and step > last_step:
            found = step
    return found


def provisioning_uri(secret: bytes, name: str, agency: str) -> str:
    """What an authenticator's camera reads."""
    return _totp(secret).provisioning_uri(name=name, issuer_name=f"Countermark {agency}".strip())


def qr_svg(text: str) -> str:
    """A QR code as SVG, without style or script."""
    return segno.make(text, error="m").svg_inline(scale=5, border=2, dark="#000", light="#fff", omitsize=True)


def code_now(secret: bytes, now: int) -> str:
    """The code of this moment, as an authenticator shows it."""
    return _totp(secret).generate_otp(now // SECOND // STEP)


def fresh_recovery_codes() -> list[str]:
    """Codes to be kept on paper, 60 bits each."""
    return [
        "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(3))
        for _ in range(RECOVERY_CODES)
    ]


def recovery_hash(code: str) -> bytes:
    """What is kept of a recovery code: it is random, and needs no slow hash."""
    plain = code.upper().replace("-", "").replace(" ", "")
    return hashlib.sha256(b"countermark recovery code\x00" + plain.encode()).digest()


def _totp(secret: bytes) -> pyotp.TOTP:
    return pyotp.TOTP(base64.b32encode(secret).decode(), interval=STEP)
