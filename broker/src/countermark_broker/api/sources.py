"""Where a request comes from: the socket's address, or what a trusted balancer says, never anything else.

Source: docs/operations/limits.md §2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from starlette.types import Scope

from countermark_broker.log.verifier import Source

#: A socket without an address: a Unix socket, or a call within the process.
LOCAL: Final = Source("local")
_FORWARDED: Final = b"x-forwarded-for"
#: Bits of an IPv6 address that one subscriber has to itself.
_IPV6_PREFIX: Final = 64


class Sources:
    """Tells sources apart.

    Args:
        trusted_proxies: networks whose X-Forwarded-For is believed, such as ``10.0.0.0/8``.
    """

    def __init__(self, trusted_proxies: Sequence[str] = ()) -> None:
        self._networks = tuple(ip_network(network) for network in trusted_proxies)

    def is_proxy(self, host: str | None) -> bool:
        """Whether an address is a trusted balancer's."""
        address = _address(host or "")
        return address is not None and any(address in network for network in self._networks)

    def of_peer(self, host: str | None) -> Source:
        """The source of a socket's peer, whoever it is."""
        address = _address(host or "")
        return LOCAL if address is None else _source(address)

    def of_request(self, scope: Scope) -> Source:
        """The source of a request.

        From the right of X-Forwarded-For, where each trusted balancer has put whom it saw, the first address that
        is no trusted balancer's. Whatever stands to the left of it is the client's own word.
        """
        host = scope["client"][0] if scope.get("client") else None
        if not self._networks or not self.is_proxy(host):
            return self.of_peer(host)
        seen = host
        for text in reversed(_forwarded(scope["headers"])):
            if _address(text) is None:
                break
            seen = text
            if not self.is_proxy(text):
                break
        return self.of_peer(seen)


def _forwarded(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    values = b",".join(value for name, value in headers if name == _FORWARDED).decode("latin-1")
    return [part.strip() for part in values.split(",")] if values else []


@lru_cache(4096)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _source(address: IPv4Address | IPv6Address) -> Source:
    if isinstance(address, IPv4Address):
        return Source(str(address))
    return Source(str(IPv6Network((int(address), _IPV6_PREFIX), strict=False)))
