"""Whom the console tells of urgent messages, and when: from its settings.

Source: docs/operations/console.md.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Sequence
from typing import Final

from countermark_console.agency_log.log import CONSOLE, AgencyLog
from countermark_console.clock import Clock
from countermark_console.config import Settings
from countermark_console.desk import acts
from countermark_console.desk.duty import DutyMail, Hours, Relay
from countermark_console.errors import SettingsError
from countermark_console.store.database import Database

_TIME: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_WATCHED: Final = re.compile(rf"([1-7])(?:-([1-7]))? ({_TIME})-({_TIME})")


def duty_mail(settings: Settings, database: Database, log: AgencyLog, clock: Clock) -> DutyMail | None:
    """What tells the duty officer; None where no relay is set.

    Raises:
        SettingsError: ``duty_mail``, ``duty_watched``, ``duty_zone``, ``mail_security``.
    """
    if not settings.mail_host:
        return None
    if not settings.duty_mail or not settings.mail_from:
        raise SettingsError("duty_mail", "mail_host is set: set duty_mail and mail_from too")
    if settings.mail_security == "none" and settings.mail_host not in {"127.0.0.1", "localhost", "::1"}:
        raise SettingsError("mail_security", "mail_security none is for a relay on this machine only")
    password = ""
    if settings.mail_password_file is not None:
        password = (settings.home / settings.mail_password_file).read_text(encoding="utf-8").strip()
    relay = Relay(
        host=settings.mail_host,
        port=settings.mail_port,
        security=settings.mail_security,
        user=settings.mail_user,
        password=password,
        sender=settings.mail_from,
        to=settings.duty_mail,
        console_url=settings.public_url,
    )

    def told(hashes: Sequence[str]) -> None:
        for name in hashes:
            log.write(CONSOLE, acts.DUTY_TOLD, name)

    return DutyMail(database, relay, _hours(settings), clock, told)


def _hours(settings: Settings) -> Hours | None:
    if not settings.duty_watched:
        return None
    found = _WATCHED.fullmatch(settings.duty_watched)
    if found is None:
        raise SettingsError(
            "duty_watched", f"expected hours such as '1-5 08:00-17:30', got '{settings.duty_watched}'"
        )
    try:
        zoneinfo.ZoneInfo(settings.duty_zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError(
            "duty_zone", f"expected a time zone such as Africa/Nairobi, got '{settings.duty_zone}'"
        ) from None
    first, last = int(found[1]), int(found[2] or found[1])
    days = range(first, last + 1) if first <= last else (*range(first, 8), *range(1, last + 1))
    return Hours(settings.duty_zone, frozenset(days), found[3], found[4])
