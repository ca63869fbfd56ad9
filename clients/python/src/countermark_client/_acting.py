"""Acts: look-ups, disclosures and purges are signed, kept, and in the log before anything is done that they state.

Source: docs/spec/audit.md §2 to §4.
"""

from __future__ import annotations

from collections.abc import Callable

from countermark_client._flows_send import Sender
from countermark_client._io import Flow
from countermark_client._log import LogView
from countermark_client._session import Session
from countermark_client._settling import ACT
from countermark_client._store import OutboxItem
from countermark_protocol.acts import Disclosure, LookUp, Purge
from countermark_protocol.claims import Seen
from countermark_protocol.documents import parse_document, sign_document
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import TransportError


class Acts:
    """Acts of one profile."""

    def __init__(self, session: Session, log: LogView, sender: Sender) -> None:
        self._session = session
        self._store = session.store
        self._log = log
        self._sender = sender

    def post(
        self, make: Callable[[Seen], LookUp | Disclosure | Purge], *, may_wait: bool = False
    ) -> Flow[OutboxItem]:
        """Sign, keep and post one act; its item, logged.

        Args:
            make: the act, given the checkpoint that its header states as seen.
            may_wait: whether a post without a line signs it too, for its next bundle to carry.

        Raises:
            TransportError: the broker is away, and the act waits in the outbox; ``cut_off``: this post has no
                line, and nothing was signed, or it waits for the next bundle.
            UncheckableError: the client is halted.
            CountermarkError: why it was refused or failed.
        """
        self._log.check_not_halted()
        if self._session.settings.cut_off and not may_wait:
            raise TransportError(
                "cut_off",
                "this post has no line: what must be in the log first needs one, so nothing was signed",
            )
        yield from self._log.refresh()
        signer = self._session.signer()
        document = sign_document(encode_json(make(self._log.seen).to_json()), [signer])
        payload_hash = parse_document(document).payload_hash
        self._store.add_outbox(payload_hash, ACT, document, self._session.clock())
        yield from self._sender.flush_waiting(until=payload_hash)
        item = self._store.outbox_item(payload_hash)
        assert item is not None
        return item
