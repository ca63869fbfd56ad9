"""Passwords: argon2id, and a check that costs the same whether or not there is such an account.

Source: OWASP Password Storage Cheat Sheet (argon2id, 19 MiB, t=2, p=1 at least); NIST SP 800-63B-4 (length,
no composition rules, a list of common ones).
"""

from __future__ import annotations

from functools import cache
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from countermark_console.errors import InputError
from countermark_console.texts import N_

SHORTEST: Final = 12
LONGEST: Final = 200
#: Beginnings of passwords that are long enough and yet guessed first.
_COMMON: Final = (
    "password",
    "passwort",
    "123456",
    "qwerty",
    "azerty",
    "countermark",
    "letmein",
    "welcome",
    "admin",
)


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


@cache
def _nobody() -> str:
    return _hasher().hash("the password of no account")


def check_new_password(password: str, name: str) -> None:
    """Whether a password may be set.

    Raises:
        InputError: ``short_password``, ``long_password``, ``common_password``.
    """
    if len(password) < SHORTEST:
        raise InputError(
            "short_password", N_("Use at least 12 characters; several words do well"), field="password"
        )
    if len(password) > LONGEST:
        raise InputError("long_password", N_("Use at most 200 characters"), field="password")
    plain = password.lower()
    if plain.startswith(_COMMON) or (name and name.lower() in plain) or len(set(plain)) < 5:
        raise InputError(
            "common_password", N_("That is guessed too easily: use several unrelated words"), field="password"
        )


def hash_password(password: str) -> str:
    """What is kept of a password."""
    return _hasher().hash(password)


def password_matches(kept: str | None, password: str) -> bool:
    """Whether a password is the one that was set.

    Args:
        kept: from `hash_password`; None where there is no such account: the same work is done.
        password: as typed.
    """
    try:
        _hasher().verify(kept or _nobody(), password[:LONGEST])
    except (VerificationError, InvalidHashError):
        return False
    return kept is not None
