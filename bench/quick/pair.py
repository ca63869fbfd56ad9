"""End to end through the Python client: one that sends and one that reads, in this process, one after the other."""

from __future__ import annotations

import time
from pathlib import Path

from bench.quick.ground import Served, make_world

from countermark_broker.services.founding import complete_founding
from countermark_client import Client, Draft, Profile, testing
from countermark_protocol.keyfile import StoredKey
from countermark_protocol.keys import Algorithm
from support.broker_fixtures import PASSPHRASE, keyring
from support.world import KAMPALA, NAIROBI, handling, seed


class Pair:
    """Two agencies with profiles on disk: sealed, submitted, read, signed for, opened, validated, accepted.

    Args:
        directory: for their profiles.
        served: the broker.
    """

    def __init__(self, directory: Path, served: Served) -> None:
        world = make_world()
        trust = complete_founding(world.founding(), keyring(world)).data
        self._sender, self._reader = (
            Client(
                Profile.create(
                    directory / address,
                    address=address,
                    broker_url=served.url,
                    trust=trust,
                    passphrase=PASSPHRASE,
                    holder="worker-1",
                    keys=[
                        StoredKey("instance", Algorithm.ED25519, seed(f"instance {address}")),
                        StoredKey("sealing", Algorithm.XWING, seed(f"sealing {address}")),
                    ],
                )
            )
            for address in (NAIROBI, KAMPALA)
        )
        for client in (self._sender, self._reader):
            client.sync()

    def _drafts(self, count: int) -> list[Draft]:
        content = testing.sample_request()
        return [
            Draft(type="tracing-request", content=content, to=[KAMPALA], handling=handling(), exercise=True)
            for _ in range(count)
        ]

    def one_by_one(self, count: int) -> float:
        """Messages a second, each accepted by its reader before the next is sealed."""
        drafts = self._drafts(count)
        began = time.monotonic()
        for draft in drafts:
            sent = self._sender.send(
                draft.type, draft.content, draft.to, handling=draft.handling, exercise=draft.exercise
            )
            (received,) = self._reader.inbox()
            if received.message != sent.message:
                raise SystemExit("another message came than was sent")
            received.accept()
        return count / (time.monotonic() - began)

    def many(self, count: int) -> float:
        """Messages a second, sent by one bulk request; then all read and all accepted."""
        drafts = self._drafts(count)
        began = time.monotonic()
        sent = [outcome.sent for outcome in self._sender.send_bulk(drafts)]
        received = list(self._reader.inbox())
        accepted = self._reader.accept_many(received)
        seconds = time.monotonic() - began
        if None in sent or accepted != count:
            raise SystemExit(f"expected {count} messages accepted, got {accepted}")
        return count / seconds

    def close(self) -> None:
        """Close both."""
        for client in (self._sender, self._reader):
            client.close()
            client.profile.close()
