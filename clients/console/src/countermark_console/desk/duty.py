"""Telling the duty officer by e-mail that something urgent has come, out of hours; what it is, is not told.

A mail goes over networks that are not the agency's: it says that there is something to read, and where, nothing else.

Source: RFC 5321; RFC 5322; RFC 8314.
"""

from __future__ import annotations

import datetime as dt
import logging
import smtplib
import ssl
import zoneinfo
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Final

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from countermark_console.clock import Clock
from countermark_console.desk.entries import Entry
from countermark_console.desk.tables import told
from countermark_console.store.database import Database

_LOG: Final = logging.getLogger(__name__)
_PATIENCE_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Relay:
    """The mail server that the console hands its mails to.

    Attributes:
        host: of it.
        port: of it.
        security: ``none`` (a relay on this machine), ``starttls`` or ``tls``.
        user: empty where the relay asks for none.
        password: of that user.
        sender: address that mails come from.
        to: the duty officer's address.
        console_url: where the message is read.
    """

    host: str
    port: int
    security: str
    user: str
    password: str
    sender: str
    to: str
    console_url: str


@dataclass(frozen=True, slots=True)
class Hours:
    """When somebody watches the console, so that no mail is needed.

    Attributes:
        zone: IANA time zone.
        days: ISO weekdays, 1 is Monday.
        opens: ``hh:mm``.
        closes: ``hh:mm``, that minute left out.
    """

    zone: str
    days: frozenset[int]
    opens: str
    closes: str

    def watched(self, at: int) -> bool:
        """Whether somebody watches at a time, ms since 1970."""
        local = dt.datetime.fromtimestamp(at / 1000, zoneinfo.ZoneInfo(self.zone))
        return local.isoweekday() in self.days and self.opens <= f"{local:%H:%M}" < self.closes


#: Hands one mail over; `hand_over` does it by SMTP.
Post = Callable[[Relay, EmailMessage], None]


def hand_over(relay: Relay, mail: EmailMessage) -> None:
    """Hand a mail to the relay.

    Raises:
        OSError: it does not take it (`smtplib.SMTPException` is one).
    """
    context = ssl.create_default_context()
    if relay.security == "tls":
        with smtplib.SMTP_SSL(relay.host, relay.port, timeout=_PATIENCE_S, context=context) as server:
            _send(server, relay, mail)
        return
    with smtplib.SMTP(relay.host, relay.port, timeout=_PATIENCE_S) as server:
        if relay.security == "starttls":
            server.starttls(context=context)
        _send(server, relay, mail)


def _send(server: smtplib.SMTP, relay: Relay, mail: EmailMessage) -> None:
    if relay.user:
        server.login(relay.user, relay.password)
    server.send_message(mail)


class DutyMail:
    """Tells the duty officer of urgent messages, each once.

    Args:
        database: the agency's own store, upgraded by `steps.STEPS`.
        relay: that takes the mails.
        hours: in which nobody is told; None: told at every hour.
        clock: ms since 1970.
        told_of: told of the hashes once a mail is handed over.
        post: hands a mail over.
    """

    def __init__(
        self,
        database: Database,
        relay: Relay,
        hours: Hours | None,
        clock: Clock,
        told_of: Callable[[Sequence[str]], None] = lambda _hashes: None,
        post: Post = hand_over,
    ) -> None:
        self._database = database
        self._relay = relay
        self._hours = hours
        self._clock = clock
        self._told_of = told_of
        self._post = post

    def tell(self, urgent: Sequence[Entry]) -> bool:
        """Tell of urgent messages; whether a mail went. A relay that is away hinders nothing else."""
        now = self._clock()
        if self._hours is not None and self._hours.watched(now):
            return False
        with self._database.read() as connection:
            known = {row.hash for row in connection.execute(select(told.c.hash))}
        new = [entry.hash for entry in urgent if entry.hash not in known]
        if not new:
            return False
        try:
            self._post(self._relay, self._mail(len(new)))
        except OSError as error:
            _LOG.warning(
                "the duty officer was not told: the mail relay failed", extra={"reason": type(error).__name__}
            )
            return False
        for name in new:
            try:
                with self._database.write() as connection:
                    connection.execute(insert(told).values(hash=name, at=now))
            except IntegrityError:
                continue  # told by another process meanwhile
        self._told_of(new)
        return True

    def _mail(self, count: int) -> EmailMessage:
        mail = EmailMessage()
        mail["From"], mail["To"] = self._relay.sender, self._relay.to
        mail["Date"] = formatdate(self._clock() / 1000)
        mail["Message-ID"] = make_msgid(domain="countermark.invalid")
        mail["Subject"] = "Countermark: an urgent message is waiting"
        mail["Importance"] = "high"
        many = "An urgent message has" if count == 1 else f"{count} urgent messages have"
        where = f" at {self._relay.console_url}" if self._relay.console_url else ""
        mail.set_content(
            f"{many} arrived. Sign in to the console{where} to read it.\n\n"
            "This mail says nothing of the message, and cannot be answered.\n"
        )
        return mail
