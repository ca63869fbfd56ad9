"""The receiving clients of the load: they read boxes, sign for what they got, and try what they may not."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from countermark_protocol.answers import parse_box_page
from countermark_protocol.boxes import Box
from countermark_protocol.documents import parse_document
from countermark_protocol.receipts import ReceiptItem, ReceiptStage, RejectionReason
from fault.client import LONGEST_PAUSE_S, PAUSE_S, Client
from fault.history import Action, Intent
from fault.sending import BRIEF_MS
from fault.world import IGNORED
from support.world import BRUSSELS, KAMPALA, LYON, MOMBASA, NAIROBI, USUAL, now_ms

if TYPE_CHECKING:
    from fault.load import Load

#: Of a hundred batches: for how many something is asked before it is signed for, and after; by somebody else.
_BEFORE, _AFTER, _BY_OTHERS = 40, 25, 25
#: Every so many batches a receipt that is not due is posted, each time another sort.
_UNDUE_EVERY, _SORTS = 2, 5
#: Of a hundred receipts: for how many the newest one of the endpoint is posted again.
_AGAIN = 15
#: What nobody collects in time is collected this long after its notice was due, the even half of it.
_LATE_MS = 300


class Worker:
    """What one receiving client does.

    Args:
        load: of which it is a part.
        address: its endpoint.
        number: of its key there.
    """

    def __init__(self, load: Load, address: str, number: int) -> None:
        self.load, self.address, self.number = load, address, number
        self.key = load.world.worker(address, number)
        # Workers of one endpoint repeat each other's receipts.
        self._receipts = load.receipts.setdefault(address, [])
        self._batches = 0
        self._late: list[tuple[int, str, bytes]] = []

    def work(self, client: Client) -> None:
        """Read and sign until the load has ended."""
        cursors = dict.fromkeys((Box.ROUTINE, Box.URGENT, Box.NOTICES), 0)
        failed = 0
        while not self.load.ended.is_set():
            for box, first in cursors.items():
                target = f"/v1/boxes/{self.address}/{box.value}?from={first}&limit=12&wait=0"
                call = client.call(Action.BOX, target, by=self.address, key=self.key)
                if call.status == 200:
                    documents = [entry.document for entry in parse_box_page(call.answer).entries]
                    cursors[box] += len(documents)
                    if box is not Box.NOTICES:
                        self._handle(client, documents)
                    failed = 0
                else:
                    failed += 1
            self._collect_late(client)
            time.sleep(min(PAUSE_S * (1 + failed), LONGEST_PAUSE_S))

    def _handle(self, client: Client, documents: Sequence[bytes]) -> None:
        by_sender: dict[str, list[bytes]] = {}
        for data in documents:
            document = parse_document(data)
            sender = str(document.claims["from"])
            if (self.address, sender) != IGNORED:
                by_sender.setdefault(sender, []).append(document.payload_hash)
            elif document.payload_hash[0] % 2 == 0:
                due = now_ms() + BRIEF_MS + self.load.world.grace_ms + _LATE_MS
                self._late.append((due, sender, document.payload_hash))
        for sender, names in by_sender.items():
            at = 0
            while at < len(names):
                batch = names[at : at + client.dice.randint(1, 6)]
                at += len(batch)
                self._batches += 1
                self._ask_before(client, batch)
                if self._batches % _UNDUE_EVERY == 0:
                    self._post_undue(client, sender, batch)
                self._sign(client, sender, batch)

    def _sign(self, client: Client, sender: str, batch: Sequence[bytes]) -> None:
        if self._receipt(client, sender, batch, ReceiptStage.DELIVERED):
            if client.chance(_AFTER):
                self._fetch(client, client.dice.choice(batch), self.address)
            stage = client.dice.choice([ReceiptStage.ACCEPTED] * 3 + [ReceiptStage.REJECTED])
            self._receipt(client, sender, batch, stage)

    def _collect_late(self, client: Client) -> None:
        """After the notice that nobody came, a receipt is late, and is logged all the same."""
        for one in [one for one in self._late if one[0] <= now_ms()]:
            self._late.remove(one)
            self._sign(client, one[1], [one[2]])

    # --- what it may not ---

    def _ask_before(self, client: Client, batch: Sequence[bytes]) -> None:
        """What is not signed for, or another's, is not to be had; where it has a claim to it, the checker knows."""
        name = client.dice.choice(batch)
        if client.chance(_BEFORE):
            self._fetch(client, name, self.address)
        if client.chance(_BY_OTHERS):
            self._fetch(client, name, client.dice.choice(USUAL))
            other = client.dice.choice([a for a in USUAL if a != self.address])
            box = client.dice.choice(list(Box))
            client.call(Action.BOX, f"/v1/boxes/{self.address}/{box.value}?from=0&limit=5&wait=0", by=other)

    def _fetch(self, client: Client, name: bytes, by: str) -> None:
        what = client.dice.choice((Action.STANZA, Action.CONTENT))
        client.call(what, f"/v1/messages/{name.hex()}/{what.value}", by=by)

    def _post_undue(self, client: Client, sender: str, batch: Sequence[bytes]) -> None:
        """A receipt that its author may not give."""
        world, by, key = self.load.world, self.address, self.key
        author, to, stage, names, body_key = self.address, sender, ReceiptStage.DELIVERED, list(batch), key
        sort = (self._batches // _UNDUE_EVERY) % _SORTS
        if sort == 0:
            # Mombasa receives nothing; where it is the sender, Brussels is no recipient.
            by = author = BRUSSELS if sender == MOMBASA else MOMBASA
            key = body_key = world.worker(author, 0)
        elif sort == 1 and self.address != KAMPALA:
            # Nobody else signs for this endpoint: it stands at open for sure.
            stage = client.dice.choice((ReceiptStage.ACCEPTED, ReceiptStage.REJECTED))
        elif sort == 2:
            to = next(a for a in (NAIROBI, BRUSSELS, KAMPALA) if a not in {sender, self.address})
        elif sort == 3:
            body_key = world.worker(next(a for a in (LYON, KAMPALA) if a != self.address), 0)
        else:
            names.append(os.urandom(32))
        # Never the words that another worker signs at this very moment, and may.
        made_at = now_ms() + 500
        data = world.receipt(
            author, names, stage, sender=to, items=_items(names, stage), signer=body_key, made_at=made_at
        )
        client.call(Action.RECEIPT, "/v1/receipts", body=data, by=by, key=key, intent=Intent.UNDUE)

    # --- receipts ---

    def _receipt(self, client: Client, sender: str, batch: Sequence[bytes], stage: ReceiptStage) -> bool:
        """Post a receipt; False where another worker was faster. Now and then that of the other worker."""
        data = self.load.world.receipt(
            self.address, batch, stage, sender=sender, items=_items(batch, stage), signer=self.key
        )
        if self._receipts and client.chance(_AGAIN):
            client.call(Action.RECEIPT, "/v1/receipts", body=self._receipts[-1], by=self.address)
        self._receipts.append(data)
        try:
            call = client.until_answered(
                lambda: client.call(Action.RECEIPT, "/v1/receipts", body=data, by=self.address, key=self.key)
            )
        except TimeoutError:
            if self.load.ended.is_set():
                return False
            raise
        return call.accepted


def _items(names: Sequence[bytes], stage: ReceiptStage) -> tuple[ReceiptItem, ...] | None:
    if stage is not ReceiptStage.REJECTED:
        return None
    return tuple(
        ReceiptItem(name, commitment_checked=True, reason=RejectionReason.INVALID_CONTENT) for name in names
    )
