"""Accounts: the signed form of every negative answer.

Source: docs/spec/log.md §7; docs/spec/api.md §3.5.
"""

from __future__ import annotations

from collections.abc import Collection

from countermark_broker.log.appender import Refused
from countermark_broker.services.node import Caller, Node
from countermark_broker.store.reading import read_box_states
from countermark_protocol.accounts import Account, Refusal, StatedBox, Verdict
from countermark_protocol.boxes import Box
from countermark_protocol.checkpoint import Checkpoint
from countermark_protocol.claims import Seen
from countermark_protocol.documents import sign_document
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import CountermarkError, NotFoundError
from countermark_protocol.identifiers import Address

_MAX_MESSAGE = 2000


class NegativeAnswer(Exception):  # noqa: N818  an answer, not a failure of this software
    """A refusal or absence, with the account that says so.

    Args:
        error: what is refused and why.
        account: the signed account.
    """

    def __init__(self, error: CountermarkError, account: bytes) -> None:
        super().__init__(str(error))
        self.error = error
        self.account = account


async def sign_account(
    node: Node,
    checkpoint: Checkpoint,
    caller: Address,
    request: bytes,
    verdict: Verdict,
    refusal: Refusal | None = None,
    owners: Collection[Address] = (),
) -> bytes:
    """State, for a published checkpoint, what the boxes hold that the caller may read, and what is denied.

    Args:
        node: this node.
        checkpoint: published.
        caller: whom it answers.
        request: digest of its request, or payload hash of its statement, 32 bytes.
        verdict: what is denied.
        refusal: the rule, where the verdict is ``refused``.
        owners: whose boxes are stated, four each; the caller's own if there are none.

    Raises:
        UnavailableError: this node's key does not stand in the directory at that size.
    """
    broker = node.check_listed(checkpoint.size)
    wanted = [(owner, box) for owner in owners or [caller] for box in Box]
    states = await node.database.read(read_box_states, wanted, checkpoint.size)
    boxes = tuple(StatedBox(owner, box, states[owner, box]) for owner, box in wanted)
    account = Account(
        log=node.origin,
        seen=Seen(checkpoint.size, checkpoint.root),
        author=broker,
        caller=caller,
        request=request,
        made_at=node.clock.now_ms(),
        verdict=verdict,
        boxes=boxes,
        refusal=refusal,
    )
    return sign_document(encode_json(account.to_json()), [node.node_key])


async def refused_statement(
    node: Node, checkpoint: Checkpoint, author: Address, payload_hash: bytes, refused: Refused
) -> NegativeAnswer:
    """The account of a statement that was decided upon and refused.

    `checkpoint` must be published, of at least the size decided at, and read *before* the database was found
    not to hold the payload: an account must not deny what the tree that it names holds.
    """
    refusal = _refusal(refused.error, refused.time, refused.size)
    account = await sign_account(node, checkpoint, author, payload_hash, Verdict.REFUSED, refusal)
    return NegativeAnswer(refused.error, account)


async def refused_request(
    node: Node, checkpoint: Checkpoint, caller: Caller, error: CountermarkError
) -> NegativeAnswer:
    """The account of a request that a rule forbids; `checkpoint` as read before what it is refused for."""
    refusal = _refusal(error, node.clock.now_ms(), checkpoint.size)
    account = await sign_account(node, checkpoint, caller.address, caller.request, Verdict.REFUSED, refusal)
    return NegativeAnswer(error, account)


async def not_held(node: Node, checkpoint: Checkpoint, caller: Caller) -> NegativeAnswer:
    """The one answer for what does not exist and for what the caller is no party to.

    `checkpoint` must be read before the database: what is logged in between is not in its tree.
    """
    account = await sign_account(node, checkpoint, caller.address, caller.request, Verdict.NOT_HELD)
    error = NotFoundError(
        "not_held", f"this log holds nothing of that name that {caller.address} is a party to"
    )
    return NegativeAnswer(error, account)


def _refusal(error: CountermarkError, time: int, size: int) -> Refusal:
    message = "".join(max(c, " ") for c in error.message)[:_MAX_MESSAGE]
    return Refusal(error.code, message, time, size)
