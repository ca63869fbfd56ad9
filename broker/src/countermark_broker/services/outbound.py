"""Calling a URL that somebody else chose, without becoming that somebody's hand inside the operator's network.

1. A URL has one strict form; HTTPS unless the operator allows plain HTTP.
2. A name is resolved once, and *every* address that it has must be allowed: outside all special ranges, or within
   what the operator allows.
3. The connection goes to an address that was checked, never to a name: a second resolution could differ (DNS
   rebinding). TLS and Host still speak of the name.
4. One request, one status. Redirects are not followed, the body of the answer is not read, no proxy is asked.

That is why this is a small client of its own over asyncio's streams: a general one does by default what must not
be done here, and connects by name.

Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries; RFC 9110; Standard Webhooks 1.0.0, "SSRF".
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Final

from countermark_broker.errors import ConfigurationError, OverloadedError
from countermark_broker.services.resolving import Resolver
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import PolicyError, TransportError
from countermark_protocol.webhooks import MAX_URL

_log = logging.getLogger(__name__)

Ip = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# RFC 3986 without userinfo, which would be logged by others, and without fragment, which is never sent.
_PCHARS = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*"
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[1-9][0-9]{0,4}))?"
    rf"(?P<path>/{_PCHARS})?(?P<query>\?(?:{_PCHARS}|\?)*)?\Z"
)
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\Z")
_NUMBER = re.compile(r"(?:0[xX][0-9A-Fa-f]*|[0-9]+)\Z")
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: |\r)")
_RETRY_AFTER = re.compile(rb"\r\nretry-after:[ \t]*([0-9]{1,6})[ \t]*\r", re.IGNORECASE)
_MAX_HEAD: Final = 16 * 1024
_MAX_INFORMATIONAL: Final = 4
_MAX_ADDRESSES: Final = 16
#: s that a look-up waits for its turn, of the time of a call at most.
_TURN_S: Final = 5.0

#: Not the public network, whatever the answer of a resolver says.
_SPECIAL_V4: Final = tuple(
    IPv4Network(n)
    for n in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared address space (carrier-grade NAT), and one cloud's metadata service
        "127.0.0.0/8",
        "168.63.129.16/32",  # a cloud's host agent, on a public address that only its guests reach
        "169.254.0.0/16",  # link-local, and most clouds' metadata service
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
#: IPv6 is global unicast, or it is refused: loopback, unspecified, IPv4-mapped, IPv4-compatible, NAT64, unique local,
#: link-local, site-local, discard and multicast addresses all stand outside.
_GLOBAL_V6: Final = IPv6Network("2000::/3")
_SPECIAL_V6: Final = tuple(
    IPv6Network(n)
    for n in (
        "2001::/23",  # Teredo, ORCHID, benchmarking: the first of these leads to any IPv4 address
        "2001:db8::/32",
        "2002::/16",  # 6to4: leads to any IPv4 address
        "2620:4f:8000::/48",
        "3ffe::/16",
        "3fff::/20",
    )
)


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in its parts.

    Attributes:
        secure: whether it is HTTPS.
        host: a name, or an address without brackets.
        port: 1 to 65535.
        authority: for the Host header, as written.
        request_target: path and query.
    """

    secure: bool
    host: str
    port: int
    authority: str
    request_target: str


def parse_target(text: str, *, allow_http: bool) -> Target:
    """Parse the URL of a webhook.

    Args:
        text: as registered.
        allow_http: whether plain HTTP will do.

    Raises:
        MalformedError: ``webhook_url``.
        PolicyError: ``webhook_not_https``.
    """
    match = _URL.match(text) if len(text) <= MAX_URL else None
    if match is None:
        malformed(
            "webhook_url",
            f"expected a URL https://<host>[:<port>]/<path> of at most {MAX_URL} characters, without user or fragment",
        )
    host, port = match["host"], int(match["port"] or (443 if match["scheme"] == "https" else 80))
    if port > 65535 or not _is_host(host):
        malformed(
            "webhook_url", "expected a host name in ASCII or an address, and a port up to 65535, in the URL"
        )
    if match["scheme"] != "https" and not allow_http:
        raise PolicyError(
            "webhook_not_https", "expected a URL beginning https: this broker tells nothing over plain HTTP"
        )
    authority = host + (f":{match['port']}" if match["port"] else "")
    path = (match["path"] or "/") + (match["query"] or "")
    return Target(match["scheme"] == "https", host.strip("[]"), port, authority, path)


def _is_host(host: str) -> bool:
    bare = host.strip("[]")
    if bare != host or _NUMBER.match(host.removesuffix(".").rpartition(".")[2]):
        # A host that ends in a number is an address (WHATWG URL §3.5): 2130706433 and 0x7f.1 are not names.
        try:
            return ip_address(bare).version == (6 if bare != host else 4)
        except ValueError:
            return False
    return all(_LABEL.match(label) for label in host.removesuffix(".").split("."))


@dataclass(frozen=True, slots=True)
class AddressRule:
    """Which addresses may be called.

    Attributes:
        allowed: networks that the operator allows beyond the public ones.
    """

    allowed: tuple[Network, ...] = ()

    def check(self, address: Ip) -> None:
        """Demand an address of the public network, or one that is allowed.

        Raises:
            PolicyError: ``webhook_address_refused``; which address is not told, to whoever asks.
        """
        if any(address.version == n.version and address in n for n in self.allowed):
            return
        if isinstance(address, IPv4Address):
            special = any(address in n for n in _SPECIAL_V4)
        else:
            special = (
                address.scope_id is not None
                or address not in _GLOBAL_V6
                or any(address in n for n in _SPECIAL_V6)
            )
        if special or not address.is_global:
            raise PolicyError(
                "webhook_address_refused",
                "the host of the URL has an address that is not of the public network; the operator of this broker "
                "may allow networks in the setting 'webhook_allowed_networks'",
            )

    def check_literal(self, target: Target) -> None:
        """As `check`, where the URL names an address itself; names are checked whenever they are called.

        Raises:
            PolicyError: ``webhook_address_refused``.
        """
        try:
            address = ip_address(target.host)
        except ValueError:
            return
        self.check(address)


def make_tls(authorities: Path | None) -> ssl.SSLContext:
    """TLS with the system's authorities, or with those of a file.

    Raises:
        ConfigurationError: ``bad_configuration``: the file does not hold certificates.
    """
    if authorities is None and not _system_has_authorities():
        _log.warning(
            "this machine knows no certificate authorities: no webhook can be called by HTTPS; install "
            "ca-certificates, or set webhook_ca_file"
        )
    try:
        return ssl.create_default_context(cafile=str(authorities) if authorities is not None else None)
    except (OSError, ssl.SSLError):
        raise ConfigurationError(
            "bad_configuration", f"cannot read certificates from {authorities} (setting 'webhook_ca_file')"
        ) from None


def _system_has_authorities() -> bool:
    places = ssl.get_default_verify_paths()
    return places.cafile is not None or (places.capath is not None and any(Path(places.capath).iterdir()))


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back: no more of it is read.

    Attributes:
        status: HTTP status, 200 to 599.
        retry_after: seconds that the answer asks to wait, or None.
    """

    status: int
    retry_after: int | None


class Poster:
    """Posts to URLs that others chose.

    Args:
        rule: which addresses may be called.
        resolver: looks up names.
        tls: for HTTPS.
        timeout_s: for one call in all, from the beginning of the look-up to the status.
    """

    def __init__(self, rule: AddressRule, resolver: Resolver, tls: ssl.SSLContext, timeout_s: float) -> None:
        self._rule = rule
        self._resolver = resolver
        self._tls = tls
        self._timeout_s = timeout_s

    async def post(
        self, target: Target, headers: Mapping[str, str], body: bytes, whose: str = ""
    ) -> Answered:
        """Post once.

        Args:
            target: where to.
            headers: beside those of every request.
            body: JSON.
            whose: endpoint that chose the URL.

        Raises:
            OverloadedError: ``look_ups_busy``: nothing was tried, since too many names are being looked up.
            PolicyError: ``webhook_address_refused``.
            TransportError: ``webhook_unresolved``, ``webhook_unreachable``, ``webhook_bad_certificate``,
                ``webhook_timeout`` or ``webhook_not_http``.
        """
        request = _request(target, headers, body)
        turn = asyncio.Event()
        try:
            async with asyncio.timeout(min(_TURN_S, self._timeout_s)) as limit:

                def begun() -> None:
                    # The receiver's time does not run while others' name servers are waited for.
                    turn.set()
                    limit.reschedule(asyncio.get_running_loop().time() + self._timeout_s)

                addresses = await self._addresses(target, whose, begun)
                return await self._exchange(target, addresses, request, limit.when() or 0.0)
        except TimeoutError as error:
            if not turn.is_set():
                raise OverloadedError("look_ups_busy", "too many names are being looked up") from error
            raise TransportError("webhook_timeout", f"no answer within {self._timeout_s} s") from error

    async def _addresses(self, target: Target, whose: str, begun: Callable[[], None]) -> list[str]:
        try:
            found = list(await self._resolver.resolve(target.host, target.port, whose, begun))[
                :_MAX_ADDRESSES
            ]
        except (OSError, UnicodeError) as error:
            raise TransportError("webhook_unresolved", "the host's name was not resolved") from error
        if not found:
            raise TransportError("webhook_unresolved", "the host's name has no address")
        for text in found:
            # All of them: a name with one address inside and one outside is no name to be called.
            self._rule.check(ip_address(text))
        return found

    async def _exchange(
        self, target: Target, addresses: Sequence[str], request: bytes, deadline: float
    ) -> Answered:
        last: OSError | None = None
        for number, address in enumerate(addresses):
            try:
                reader, writer = await self._connect(target, address, len(addresses) - number, deadline)
            except ssl.SSLCertVerificationError as error:
                raise TransportError(
                    "webhook_bad_certificate", "the certificate of the host does not verify"
                ) from error
            except OSError as error:
                last = error
                continue
            try:
                writer.write(request)
                await writer.drain()
                return await _read_status(reader)
            except OSError as error:
                raise TransportError("webhook_unreachable", "the connection broke") from error
            finally:
                # Nothing more is wanted of the other side, not even its goodbye.
                writer.transport.abort()
        raise TransportError("webhook_unreachable", "no address of the host takes connections") from last

    async def _connect(
        self, target: Target, address: str, left: int, deadline: float
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to one of the addresses that are left, within its share of the time that is left."""
        now = asyncio.get_running_loop().time()
        # The last may take all: then it is the call that has had no answer in time.
        share = now + (deadline - now) / left if left > 1 else None
        async with asyncio.timeout_at(share):
            return await asyncio.open_connection(
                address,  # an address, so nothing is looked up any more
                target.port,
                limit=_MAX_HEAD,
                ssl=self._tls if target.secure else None,
                server_hostname=target.host.removesuffix(".") if target.secure else None,
            )


def _request(target: Target, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [
        f"POST {target.request_target} HTTP/1.1",
        f"Host: {target.authority}",
        "User-Agent: countermark-broker",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body


async def _read_status(reader: asyncio.StreamReader) -> Answered:
    for _ in range(_MAX_INFORMATIONAL):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise TransportError("webhook_not_http", "the answer has no head of HTTP/1.1") from error
        match = _STATUS.match(head)
        if match is None:
            raise TransportError("webhook_not_http", "the answer does not begin with a status of HTTP/1.1")
        status = int(match[1])
        if status >= 200:
            wait = _RETRY_AFTER.search(head)
            return Answered(status, int(wait[1]) if wait else None)
    raise TransportError("webhook_not_http", "the answer does not come to a status")
