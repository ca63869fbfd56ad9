"""A history made by hand: an honest broker in memory, whose every answer a test may then falsify.

It answers as docs/spec/api.md says, from `support.protocol_world`: no HTTP, no database, no clock.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from countermark_protocol.accounts import Account, Refusal, StatedBox, Verdict
from countermark_protocol.answers import (
    Accepted,
    BoxEntry,
    BoxPage,
    LoggedStatement,
    OwnRecipient,
    Problem,
    Release,
)
from countermark_protocol.appending import Entry
from countermark_protocol.boxes import Box
from countermark_protocol.claims import DIRECTORY_KINDS, Kind
from countermark_protocol.documents import sign_document
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import CountermarkError
from countermark_protocol.identifiers import Address
from countermark_protocol.merkle import consistency_path, leaf_hash, root_of
from countermark_protocol.recipients import RecipientRow, recipient_path
from fault.final import Final, Shown
from fault.history import Action, Call, History, Intent
from fault.submitted import Submitted, gather
from support.protocol_world import ProtocolWorld, make_world
from support.world import BROKER, NAIROBI, Sealed


def _recipients(
    one: Submitted | None, address: Address, box: Box
) -> tuple[OwnRecipient | None, tuple[RecipientRow, ...] | None]:
    """A receiver's own row of a message, and all where they are to be seen."""
    if one is None or one.submission is None or box not in {Box.URGENT, Box.ROUTINE}:
        return None, None
    rows = one.submission.rows
    own = next((row for row in rows if row.endpoint == address), None)
    visible = rows if one.submission.manifest.recipients_visible else None
    return (OwnRecipient(own, recipient_path(rows, address)) if own is not None else None), visible


@dataclass
class Script:
    """An honest broker, and the history of what it was asked.

    Attributes:
        world: its log and everybody's keys.
        calls: so far.
    """

    world: ProtocolWorld = field(default_factory=make_world)
    calls: list[Call] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.before = tuple(entry.document.data for entry in self.world.entries)

    # --- the record ---

    def add(
        self,
        action: Action,
        target: str,
        status: int | None,
        answer: bytes,
        *,
        body: bytes = b"",
        by: Address | None = None,
        intent: Intent = Intent.GOOD,
        client: str = "client",
        digest: bytes = b"",
        **more: Any,
    ) -> Call:
        """Record a call that began and ended just now; `more` are further members of it."""
        call = Call(
            client, action, intent, next(self._numbers), next(self._numbers),
            target, by, digest, body, status, answer, **more,
        )  # fmt: skip
        self.calls.append(call)
        return call

    def history(self, **changes: Any) -> History:
        """The history so far."""
        agencies = self.world.agencies.values()
        signers = {agency.address: frozenset({agency.instance.public_key.key_id}) for agency in agencies}
        signers[BROKER] = frozenset({self.world.node_key.public_key.key_id})
        return History(tuple(self.calls), self.before, **({"signers": signers} | changes))

    # --- answers ---

    def accepted(self, entry: Entry, author: Address, releases: Sequence[Release] = ()) -> bytes:
        """A proof under the newest checkpoint."""
        world = self.world
        return encode_json(
            Accepted(
                world.checkpoint_bytes(),
                world.inclusion(entry.index),
                world.all_deliveries(entry, author),
                None,
                tuple(releases),
            ).to_json()
        )

    def account(self, caller: Address, request: bytes, verdict: Verdict, **changes: Any) -> bytes:
        """A signed account as of the newest size."""
        world = self.world
        values: dict[str, Any] = {
            "log": world.origin,
            "seen": world.seen(),
            "author": BROKER,
            "caller": caller,
            "request": request,
            "made_at": world.now,
            "verdict": verdict,
            "boxes": tuple(StatedBox(caller, box, world.state.boxes[caller, box]) for box in Box),
            "refusal": None,
        }
        return sign_document(encode_json(Account(**(values | changes)).to_json()), [world.node_key])

    # --- calls ---

    def send(self, sealed: Sealed, **changes: Any) -> Call:
        """A submission that is accepted."""
        entry = self.world.put(sealed)
        answer = self.accepted(entry, sealed.manifest.sender)
        return self.add(Action.MESSAGE, "/v1/messages", 201, answer, body=sealed.data, **changes)

    def again(self, sealed: Sealed) -> Call:
        """The same bytes again."""
        index = self.world.state.entries[sealed.payload_hash]
        assert index is not None
        answer = self.accepted(self.world.entries[index], sealed.manifest.sender)
        return self.add(Action.MESSAGE, "/v1/messages", 200, answer, body=sealed.data)

    def refused(
        self, body: bytes, data: bytes, author: Address, intent: Intent, action: Action, **more: Any
    ) -> Call:
        """A statement that the one decision refuses, with the account if its signature counted."""
        try:
            self.world.fork().put(more.pop("what", data))
        except CountermarkError as error:
            account = None
            if intent is not Intent.FORGED:
                request = self.world.verify(data).payload_hash
                size = self.world.state.size
                refusal = Refusal(error.code, error.message, self.world.now, size)
                account = self.account(author, request, Verdict.REFUSED, refusal=refusal)
            status = {"receipt_stands": 409, "id_reused": 409, "wrong_signer": 401}.get(error.code, 403)
            problem = Problem(status, error.code, error.message, "a hint", account, error.facts)
            return self.add(
                action,
                "/v1/messages",
                status,
                encode_json(problem.to_json()),
                body=body,
                intent=intent,
                **more,
            )
        msg = "this was to be refused"
        raise AssertionError(msg)

    def refuse_message(self, sealed: Sealed, intent: Intent) -> Call:
        """A submission that is refused."""
        return self.refused(
            sealed.data, sealed.document, sealed.manifest.sender, intent, Action.MESSAGE, what=sealed
        )

    def receipt(self, data: bytes, author: Address, messages: Sequence[Sealed] = ()) -> Call:
        """A receipt that is accepted; `messages` are those whose stanzas it releases."""
        entry = self.world.put(data)
        releases = [
            Release(m.payload_hash, m.stanzas[[r.endpoint for r in m.rows].index(author)]) for m in messages
        ]
        answer = self.accepted(entry, author, releases)
        return self.add(Action.RECEIPT, "/v1/receipts", 201, answer, body=data, by=author)

    def page(self, address: Address, box: Box, first: int = 0) -> Call:
        """A page of a box, or the word that there is none."""
        entries = tuple(one.entry for one in self.box(address, box)[first:])
        digest = b"d" * 32
        account = None if entries else self.account(address, digest, Verdict.END_OF_BOX)
        page = BoxPage(self.world.checkpoint_bytes(), entries, account)
        target = f"/v1/boxes/{address}/{box.value}?from={first}&limit=100&wait=0"
        return self.add(Action.BOX, target, 200, encode_json(page.to_json()), by=address, digest=digest)

    def checkpoint(self) -> Call:
        """The newest checkpoint."""
        return self.add(Action.CHECKPOINT, "/v1/log/checkpoint", 200, self.world.checkpoint_bytes())

    def consistency(self, old: int) -> Call:
        """A path to the newest size."""
        hashes = [leaf_hash(e.leaf.encode()) for e in self.world.entries]
        path = consistency_path(
            lambda level, index: root_of(hashes[index << level : (index + 1) << level]), old, len(hashes)
        )
        answer = {"from": old, "to": len(hashes), "path": [h.hex() for h in path]}
        return self.add(Action.CONSISTENCY, f"/v1/log/consistency?from={old}", 200, encode_json(answer))

    def denied(self, name: bytes, by: Address = NAIROBI) -> Call:
        """A statement asked for by name, which is not there."""
        account = self.account(by, b"d" * 32, Verdict.NOT_HELD)
        answer = encode_json(Problem(404, "not_held", "nothing", "a hint", account).to_json())
        target = f"/v1/statements/{name.hex()}"
        return self.add(Action.PROOF, target, 404, answer, by=by, digest=b"d" * 32)

    def notice(self, message: Sealed, recipient: Address, **changes: Any) -> Entry:
        """The broker's undelivered notice."""
        return self.world.put(self.world.undelivered(message, recipient, **changes))

    # --- the final log ---

    def box(self, address: Address, box: Box) -> tuple[Shown, ...]:
        """A box as its owner reads it."""
        handed = gather(self.calls).by_payload
        shown = [
            BoxEntry(
                self.world.inclusion(entry.index),
                self.world.own_delivery(entry, address, box),
                entry.document.data,
                *_recipients(handed.get(entry.document.payload_hash), address, box),
            )
            for entry in self.world.entries
            if any((p.row.endpoint, p.row.box) == (address, box) for p in entry.placed)
        ]
        return tuple(Shown(self.world.checkpoint_bytes(), entry) for entry in shown)

    def final(self, now: int = 0) -> Final:
        """The whole log."""
        world = self.world
        return Final(
            checkpoint=world.checkpoint_bytes(),
            leaves=tuple(e.leaf.encode() for e in world.entries),
            directory=tuple(
                LoggedStatement(e.index, e.leaf.encode(), e.document.data)
                for e in world.entries
                if Kind(e.leaf.kind) in DIRECTORY_KINDS
            ),
            boxes={
                (address, box): self.box(address, box) for address in (*world.agencies, BROKER) for box in Box
            },
            now=now,
        )
