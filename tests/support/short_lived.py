"""Messages that expire at once: a machine that takes longer than that to accept one is given a longer-lived one."""

from __future__ import annotations

import asyncio

from countermark_broker.services.accept import accept_message
from countermark_broker.services.accounts import NegativeAnswer
from support.world import NAIROBI, now_ms


async def accept_short_lived(world, node, recipients):
    """A message that was accepted and expires within tenths of a second, or a little later on a busy machine."""
    life = 400
    while True:
        sealed = world.message(NAIROBI, recipients, expires_at=now_ms() + life)
        try:
            await accept_message(node, sealed.data)
        except NegativeAnswer as refused:
            if refused.error.code != "expired" or life > 10_000:
                raise
            life *= 2
        else:
            return sealed


async def accept_expired(world, node, recipients):
    """The same, once it has expired."""
    sealed = await accept_short_lived(world, node, recipients)
    while now_ms() <= sealed.manifest.expires_at:
        await asyncio.sleep(0.02)
    return sealed
