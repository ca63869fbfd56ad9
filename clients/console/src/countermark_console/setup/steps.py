"""Which step of the set-up comes next: one pure decision, from what is there."""

from __future__ import annotations

import hmac
import secrets
from enum import StrEnum
from typing import Final

from countermark_console.clock import HOUR
from countermark_console.errors import InputError
from countermark_console.texts import N_

#: How long a set-up code is good for; a restart makes another.
CODE_LIVES: Final = 24 * HOUR
_GROUP: Final = 4
_ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTVWXYZ"


class Step(StrEnum):
    """What is still to be done, in this order."""

    ADMINISTRATOR = "administrator"
    CONNECTION = "connection"
    KEYS = "keys"
    UNLOCK = "unlock"
    WAITING = "waiting"
    DONE = "done"


#: Where each step is done.
PATHS: Final = {
    Step.ADMINISTRATOR: "/setup",
    Step.CONNECTION: "/setup/connection",
    Step.KEYS: "/setup/keys",
    Step.UNLOCK: "/keys/unlock?then=/setup",
    Step.WAITING: "/setup/waiting",
    Step.DONE: "/setup/done",
}


def next_step(*, people: bool, connection: bool, profile: bool, unlocked: bool, enrolled: bool) -> Step:
    """The step that comes next.

    Args:
        people: whether there is an account.
        connection: whether broker and log are known.
        profile: whether keys were made.
        unlocked: whether they are open.
        enrolled: whether the log knows them.
    """
    if not people:
        return Step.ADMINISTRATOR
    if enrolled:
        return Step.DONE
    if not profile:
        return Step.KEYS if connection else Step.CONNECTION
    return Step.WAITING if unlocked else Step.UNLOCK


class SetupCode:
    """The code that proves to be at the machine: shown where the console was started, good for the first account.

    Args:
        made: ms since 1970.
    """

    def __init__(self, made: int) -> None:
        letters = [secrets.choice(_ALPHABET) for _ in range(4 * _GROUP)]
        self.text: Final = "-".join("".join(letters[i : i + _GROUP]) for i in range(0, len(letters), _GROUP))
        self._made = made

    def check(self, typed: str, now: int) -> None:
        """Whether this is the code, in time.

        Args:
            typed: letters and hyphens, in any case.
            now: ms since 1970.

        Raises:
            InputError: ``wrong_setup_code``.
        """
        plain = typed.upper().replace("-", "").replace(" ", "")
        right = hmac.compare_digest(plain.encode(), self.text.replace("-", "").encode())
        if not right or now - self._made >= CODE_LIVES:
            raise InputError(
                "wrong_setup_code",
                N_("That is not the code that was shown where the console was started"),
                field="code",
            )
