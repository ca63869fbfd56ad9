"""What somebody does who was given a code or a link, and has no profile yet.

Source: docs/spec/enrolment.md §3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import httpx

from countermark_client import _http
from countermark_client._invitations import check_told
from countermark_client._profile_files import check_broker_url
from countermark_client._session import problem_error
from countermark_client._trust import TrustFile, read_trust_file
from countermark_protocol.answers import parse_problem
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import MalformedError, TransportError, VerificationError
from countermark_protocol.invitations import Invitation, parse_code, parse_invitation, show_code

_PATH: Final = "/v1/invitations/"


@dataclass(frozen=True, slots=True)
class Link:
    """Where an invitation lies.

    Attributes:
        code: of it.
        broker: base URL; None where only the code was given.
        fingerprint: of the trust file, as the authority knows it; None where only the code was given.
    """

    code: str
    broker: str | None = None
    fingerprint: str | None = None

    def __str__(self) -> str:
        """As it stands in a QR code."""
        mark = "".join((self.fingerprint or "").split())
        return f"{self.broker}{_PATH}{show_code(self.code)}{f'#{mark}' if mark else ''}"


def parse_link(text: str) -> Link:
    """Read a code, or a link as a QR code holds it.

    Raises:
        MalformedError: ``not_a_code``, ``broker_url``.
    """
    if "://" not in text:
        return Link(parse_code(text))
    parts = urlsplit(text)
    if not parts.path.startswith(_PATH):
        malformed("not_a_code", f"expected a link of the form https://<broker>{_PATH}<code>")
    broker = check_broker_url(f"{parts.scheme}://{parts.netloc}")
    return Link(parse_code(parts.path.removeprefix(_PATH)), broker, parts.fragment or None)


def _request(link: Link, broker: str | None) -> tuple[str, str]:
    url = broker or link.broker
    if url is None:
        malformed(
            "broker_url",
            "a code alone does not tell the broker's URL: give it, or the link of the invitation",
        )
    return check_broker_url(url), f"{_PATH}{link.code}"


def _read(link: Link, response: httpx.Response) -> tuple[Invitation, TrustFile]:
    if not response.is_success:
        try:
            problem = parse_problem(response.content)
        except MalformedError:
            raise TransportError(
                "unusable_answer",
                f"status {response.status_code} without a problem document: is this a broker?",
            ) from None
        raise problem_error(problem)
    invitation = parse_invitation(response.content)
    if invitation.code != link.code:
        raise VerificationError(
            "other_invitation", "the broker answers with another invitation than was asked for"
        )
    trust = read_trust_file(invitation.trust)
    if link.fingerprint is not None:
        check_told(trust.fingerprint, link.fingerprint, "the trust file that the broker gives")
    return invitation, trust


def fetch_invitation(
    link: Link | str,
    broker: str | None = None,
    *,
    transport: httpx.BaseTransport | None = None,
    verify: _http.Verify = True,
) -> tuple[Invitation, TrustFile]:
    """Ask the broker for an invitation.

    Args:
        link: that was given, or a code.
        broker: its base URL, where the link does not tell.
        transport: of httpx; None for the network.
        verify: TLS: True for the system's authorities, or a path to the authority's certificate,
            or a context of `client_tls`, for a front that demands certificates of its clients.

    Returns:
        The invitation, and its trust file. Neither is proven yet: the fingerprint that applicant and authority compare
        by voice in the end binds the trust file too.

    Raises:
        NotFoundError: ``no_invitation``: mistyped, expired, used or withdrawn.
        SignatureError: ``other_fingerprint``: the trust file is not the one that the link names.
        TransportError: the broker is away.
    """
    parsed = parse_link(link) if isinstance(link, str) else link
    url, path = _request(parsed, broker)
    with (
        _http.mapped_errors(),
        httpx.Client(base_url=url, transport=transport, verify=_http.tls(verify), timeout=30.0) as client,
    ):
        return _read(parsed, client.get(path))


async def fetch_invitation_async(
    link: Link | str,
    broker: str | None = None,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    verify: _http.Verify = True,
) -> tuple[Invitation, TrustFile]:
    """As `fetch_invitation`, for a program that runs an event loop."""
    parsed = parse_link(link) if isinstance(link, str) else link
    url, path = _request(parsed, broker)
    with _http.mapped_errors():
        async with httpx.AsyncClient(
            base_url=url, transport=transport, verify=_http.tls(verify), timeout=30.0
        ) as client:
            return _read(parsed, await client.get(path))
