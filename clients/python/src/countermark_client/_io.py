"""What the core asks of the outside world: a request, or a while of waiting.

The core is written as generators that yield these and are sent the outcome, so that `Client` and
`AsyncClient` share every decision and differ in how they wait. A driver that cannot complete a request
throws `TransportError` into the generator; the core alone decides whether to try again.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP exchange to perform.

    Attributes:
        method: upper case.
        path: absolute, percent-encoded.
        query: without ``?``; empty if there is none.
        body: exact bytes, or None.
        headers: to add, the request's signature among them.
        timeout: seconds to wait for the answer, or for the next bytes of one that is streamed.
        stream: whether a successful answer is read line by line, by `NextLine`; its body is then empty here.
    """

    method: str
    path: str
    query: str = ""
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 30.0
    stream: bool = False

    @property
    def target(self) -> str:
        """Path and query as they stand in the request line."""
        return f"{self.path}?{self.query}" if self.query else self.path


@dataclass(frozen=True, slots=True)
class Response:
    """What came back.

    Attributes:
        status: HTTP status.
        headers: names in lower case.
        body: exact bytes.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait before going on.

    Attributes:
        seconds: how long.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class NextLine:
    """Read the next line of the answer that was last asked for with `Request.stream`.

    The outcome is a `Response` whose body is the line without its line feed, or None once the answer has ended.
    A line that was cut off is a `TransportError`.
    """


#: A conversation between core and driver that ends in a `T`.
Flow = Generator[Request | Sleep | NextLine, Response | None, T]
