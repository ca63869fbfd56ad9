"""The world of the fault rounds: the usual endpoints, two instances each, and a grace short enough to see notices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from countermark_protocol.claims import Kind
from countermark_protocol.identifiers import Address
from countermark_protocol.manifest import Urgency
from countermark_protocol.records import InstanceKey, KeysRecord
from countermark_protocol.signers import Ed25519Signer
from support.world import (
    ALL_TYPES,
    BROKER,
    BRUSSELS,
    KAMPALA,
    LYON,
    MOMBASA,
    NAIROBI,
    World,
    signer,
)

#: After expiry, until an undelivered notice.
GRACE_MS = 300


@dataclass(frozen=True, slots=True)
class Route:
    """What one sending client sends.

    Attributes:
        sender: its endpoint.
        recipients: of all its messages.
        type: allowed by the default policy.
        urgency: of all of them.
        brief: whether every other one expires soon.
        visible: whether recipients learn of each other.
    """

    sender: str
    recipients: Sequence[str]
    type: str
    urgency: Urgency = Urgency.ROUTINE
    brief: bool = False
    visible: bool = False


ROUTES = (
    Route(NAIROBI, [KAMPALA], "confiscation-notice"),
    Route(BRUSSELS, [KAMPALA, LYON], "lost-or-stolen-notice", visible=True),
    Route(NAIROBI, [KAMPALA, BRUSSELS], "trade-route-alert"),
    Route(NAIROBI, [KAMPALA], "tracing-request", Urgency.URGENT),
    Route(KAMPALA, [NAIROBI], "lost-or-stolen-notice"),
    Route(MOMBASA, [KAMPALA, LYON], "confiscation-notice", brief=True),
)
#: Lyon does not collect what Mombasa sends, or too late: those are the messages that stay undelivered.
IGNORED = (LYON, MOMBASA)
#: Number of the key of Nairobi that is revoked in the midst of the load.
REVOKED = 2


def _key_id(one: tuple[int, Ed25519Signer]) -> bytes:
    return one[1].public_key.key_id


class FaultWorld(World):
    """The usual world with two workers at each endpoint.

    Args:
        grace_ms: after expiry, until an undelivered notice.
    """

    def __init__(self, grace_ms: int = GRACE_MS) -> None:
        super().__init__(grace_ms=grace_ms)

    def worker(self, address: str, number: int) -> Ed25519Signer:
        """The instance key of a worker, 0 or 1; Nairobi's has a number 2, to be revoked."""
        return signer(f"instance {address}" + ("", " two", " three")[number])

    def workers(self, address: str) -> list[Ed25519Signer]:
        """All instance keys of an endpoint."""
        return [self.worker(address, number) for number in range(3 if address == NAIROBI else 2)]

    def signers(self) -> dict[Address, frozenset[bytes]]:
        """Ids of all keys that messages, receipts and notices may be signed by, by their author."""
        ids = {a: frozenset(key.public_key.key_id for key in self.workers(a)) for a in self.agencies}
        return {**ids, BROKER: frozenset({self.node_key.public_key.key_id})}

    def keys_statement(self, address: str, reads: Any = None, **changes: Any) -> bytes:
        """An endpoint's keys: all workers'."""
        agency = self.agencies[address]  # type: ignore[index]
        keys = self.workers(address)
        record = KeysRecord(
            agency.address,
            tuple(
                InstanceKey(key.public_key, f"worker-{i + 1}")
                for i, key in sorted(enumerate(keys), key=_key_id)
            ),
            agency.sealing.public_key,
            None,
            0,
            ALL_TYPES if reads is None else reads,
        )
        return self.record_statement(
            Kind.KEYS,
            address,
            record,
            [agency.administrator],
            [*keys, *changes.pop("possession", ())],
            **changes,
        )
