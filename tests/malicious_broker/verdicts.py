"""How an act's test asserts what expectations.py says of it: exactly that class, no better and no worse."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from countermark_client import Client
from countermark_client._trust import read_trust_file
from countermark_client.testing import World
from countermark_protocol.comparing import compare
from countermark_protocol.contradictions import encode_contradiction
from countermark_protocol.errors import CountermarkError, UncheckableError
from countermark_protocol.holdings import Holdings, encode_holdings, parse_holdings
from malicious_broker.convince import NotConvincedError, convince
from malicious_broker.evidence import changed, kept_by
from malicious_broker.expectations import ACTS, Class

_CONVINCING = {Class.CONVICTED, Class.PROVEN}
#: Act → codes that its test has met.
met: dict[str, set[str]] = {}


class Act:
    """One act under test.

    Args:
        name: as in expectations.py.
        world: in which it happens.
    """

    def __init__(self, name: str, world: World) -> None:
        self.expected = ACTS[name]
        self._world = world
        self._met = met.setdefault(name, set())

    @property
    def fingerprint(self) -> str:
        """All that a third party knows."""
        return read_trust_file(self._world.trust).fingerprint

    # --- who notices ---

    def raises(self, call: Callable[[], Any], code: str) -> CountermarkError:
        """An honest client raises this code."""
        assert code in self.expected.codes
        with pytest.raises(CountermarkError) as caught:
            call()
        assert caught.value.code == code
        self._met.add(code)
        return caught.value

    def raises_halted(self, call: Callable[[], Any]) -> None:
        """A client that has found it does nothing more."""
        with pytest.raises(UncheckableError) as caught:
            call()
        assert caught.value.code == "halted"

    def found(self, codes: Iterable[str]) -> None:
        """An audit, a witness or a comparison found this."""
        assert set(codes) <= set(self.expected.codes)
        self._met |= set(codes)

    def convince_together(
        self, *held: Holdings, codes: set[str], beside: frozenset[str] = frozenset()
    ) -> None:
        """What parties find who compare what they hold convinces; nobody finds anything in what it holds itself.

        Args:
            held: by each.
            codes: of this act, that are found.
            beside: of another act that this one is hidden by.
        """
        for one in held:
            assert compare([one], self.fingerprint).found == ()
        # As files, read again by somebody else.
        read = [parse_holdings(encode_holdings(one)) for one in held]
        found = compare(read, self.fingerprint).found
        assert {f.contradiction.claim for f in found} == codes | beside
        self.found(codes)
        for one in found:
            self.convinces(encode_contradiction(one.contradiction, held[0].log))

    def nothing_between(self, *held: Holdings) -> int:
        """The honest twin: a comparison finds nothing, and says up to which size two parties hold one log."""
        done = compare(held, self.fingerprint)
        assert done.found == ()
        return done.agreed[0][2]

    def nobody_notices(self, *calls: Callable[[], Any]) -> None:
        """Honest parties do what they do every day, and nothing is raised."""
        for call in calls:
            call()

    # --- what a third party makes of it ---

    def convinces(self, evidence: bytes, twin: bytes | None = None) -> None:
        """The evidence convinces; with any byte changed it does not, nor does what the honest twin leaves."""
        assert self.expected.kind in _CONVINCING
        fingerprint = self.fingerprint
        assert convince(evidence, fingerprint)
        for spoilt in changed(evidence):
            _refused(spoilt, fingerprint)
        _refused(evidence, "0000 " * 7 + "0000")
        if twin is not None:
            _refused(twin, fingerprint)

    def refuses(self, evidence: bytes) -> None:
        """What the honest twin leaves convinces nobody."""
        _refused(evidence, self.fingerprint)

    def kept_convinces(self, client: Client, twin: bytes | None = None) -> None:
        """What a client kept of it convinces."""
        assert client.halted is not None
        self.convinces(kept_by(client), twin)

    def convinces_nobody(self, *clients: Client, other: Iterable[bytes] = ()) -> None:
        """No client keeps anything that convinces, nor do any other bytes at hand."""
        assert self.expected.kind not in _CONVINCING
        for client in clients:
            if client.profile.evidence:
                _refused(kept_by(client), self.fingerprint)
        for one in other:
            _refused(one, self.fingerprint)


def _refused(evidence: bytes, fingerprint: str) -> None:
    with pytest.raises(NotConvincedError):
        convince(evidence, fingerprint)


def silent(*clients: Client) -> None:
    """The honest twin: these clients have kept nothing, stopped for nothing and raise no alarm."""
    for client in clients:
        assert (client.profile.evidence, client.halted, client.alarms) == ((), None, ())
