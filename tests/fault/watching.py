"""Those who only look: at checkpoints, proofs and the checkpoint store while the load goes on, at releases in the end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from countermark_protocol.checkpoint import parse_checkpoint
from countermark_protocol.receipts import ReceiptStage
from fault.client import LONGEST_PAUSE_S, PAUSE_S, Client
from fault.history import Action, Call, Intent
from fault.submitted import gather
from support.world import now_ms

if TYPE_CHECKING:
    from fault.load import Load

#: Of what receivers signed for, this share of the contents is fetched once more: all hold the same bytes.
_CONTENTS = 4


def watch(client: Client) -> None:
    """Ask for checkpoints and proofs until the load has ended."""
    sizes = [0]
    while not client.load.ended.is_set():
        call = client.call(Action.CHECKPOINT, "/v1/log/checkpoint")
        if call.status == 200:
            sizes.append(parse_checkpoint(call.answer).size)
            old = client.dice.choice(sizes)
            client.call(Action.CONSISTENCY, f"/v1/log/consistency?from={min(old, sizes[-1])}")
            if sizes[-1] > 0:
                client.call(Action.INCLUSION, f"/v1/log/inclusion?index={client.dice.randrange(sizes[-1])}")
        time.sleep(PAUSE_S if call.status == 200 else LONGEST_PAUSE_S)


def watch_store(client: Client) -> None:
    """Read the checkpoint store until the load has ended, also while no node is there."""
    while client.load.store is not None and not client.load.ended.is_set():
        read_store(client.load, client.name)
        time.sleep(PAUSE_S)


def read_store(load: Load, name: str) -> None:
    """What the checkpoint store's file holds now, as a call that was answered."""
    path = load.store
    assert isinstance(path, Path)
    began, began_at = load.recorder.number(), now_ms()
    data = path.read_bytes()
    load.recorder.add(
        Call(
            name,
            Action.STORE,
            Intent.GOOD,
            began,
            load.recorder.number(),
            str(path),
            None,
            b"",
            b"",
            200,
            data,
            "",
            began_at,
            now_ms(),
        )
    )


def fetch_again(client: Client) -> None:
    """Every stanza, and some contents, that an endpoint has a receipt for: fetched by that endpoint."""
    signed = {
        (one.author, item.message)
        for one in gather(client.load.recorder.calls).by_payload.values()
        if one.receipt is not None
        and one.acknowledged is not None
        and one.receipt.stage is ReceiptStage.DELIVERED
        for item in one.receipt.items
    }
    for number, (author, message) in enumerate(sorted(signed)):
        target = f"/v1/messages/{message.hex()}"
        client.until_answered(
            lambda a=author, t=target: client.call(Action.STANZA, f"{t}/stanza", by=a)  # type: ignore[misc]
        )
        if number % _CONTENTS == 0:
            client.until_answered(
                lambda a=author, t=target: client.call(Action.CONTENT, f"{t}/content", by=a)  # type: ignore[misc]
            )
