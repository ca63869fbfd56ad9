"""A broker in memory, for an integrator's own tests: the real protocol, without a network or a disk.

::

    from countermark_client import testing

    world = testing.world("ke.police.nairobi", "be.contact.federal")
    kenya, belgium = world.client("ke.police.nairobi"), world.client("be.contact.federal")
    kenya.send("tracing-request", my_request, to=["be.contact.federal"])
    [received] = belgium.inbox()

Nothing here is for production: keys stand in memory, and time moves only when told to (`World.clock`).
"""

from __future__ import annotations

from countermark_client.testing._broker import TestBroker
from countermark_client.testing._clock import MovableClock
from countermark_client.testing._desk import Exchange
from countermark_client.testing._transport import TestTransport
from countermark_client.testing._world import (
    PASSPHRASE,
    World,
    sample_acknowledgement,
    sample_item,
    sample_notice,
    sample_request,
    sample_response,
    world,
)

__all__ = [
    "PASSPHRASE",
    "Exchange",
    "MovableClock",
    "TestBroker",
    "TestTransport",
    "World",
    "sample_acknowledgement",
    "sample_item",
    "sample_notice",
    "sample_request",
    "sample_response",
    "world",
]
