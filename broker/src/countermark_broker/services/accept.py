"""Accepting statements: steps 1, 2 and 4 of the commit order.

In this order, each step cheaper or more trusted than the next: parse; answer what is logged already; verify
every signature in a thread; decide provisionally by what is in memory; queue for the lock, under which
everything is decided again.

Source: docs/spec/api.md §3; design sections 4 and 5, "Order of checks".
"""

from __future__ import annotations

from dataclasses import dataclass

from countermark_broker.log.appender import Appended, Refused, Submitted
from countermark_broker.services.accounts import refused_request, refused_statement
from countermark_broker.services.node import Caller, Node
from countermark_broker.services.proofs import prove_entry, prove_record, release_stanzas
from countermark_broker.store.reading import EntryRecord, read_entry
from countermark_broker.store.writing import NOTHING, Enclosed
from countermark_protocol.answers import Accepted
from countermark_protocol.claims import DIRECTORY_KINDS, Kind
from countermark_protocol.decision import authenticate
from countermark_protocol.directory import Directory
from countermark_protocol.documents import Document, UnverifiedDocument, parse_document
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import (
    ConflictError,
    CountermarkError,
    NotFoundError,
    PolicyError,
    SignatureError,
)
from countermark_protocol.identifiers import Address
from countermark_protocol.judging import judge_statement
from countermark_protocol.receipts import Receipt, parse_receipt
from countermark_protocol.statements import (
    DirectoryChange,
    MessageStatement,
    ReceiptStatement,
    Statement,
    kind_of,
    read_statement,
    verify_statement,
)
from countermark_protocol.submission import parse_submission


@dataclass(frozen=True, slots=True)
class Answer:
    """What an accepted statement is answered with.

    Attributes:
        fresh: it became an entry by this call.
        accepted: the proof.
    """

    fresh: bool
    accepted: Accepted


async def accept_message(node: Node, data: bytes) -> Answer:
    """Accept a submission.

    Raises:
        CountermarkError: malformed, not authentic, or the node cannot append now.
        NegativeAnswer: refused by rule, with the account.
    """
    submission = parse_submission(data)
    author = submission.manifest.sender
    known = await _find(node, submission.document.payload_hash)
    if known is not None:
        accepted = await prove_record(node, known, author, submission.document.data)
        return Answer(fresh=False, accepted=accepted)
    document = await _verify(node, submission.document)
    statement = read_statement(document, submission.rows)
    enclosed = Enclosed(submission.rows, submission.stanzas, submission.content)
    return await _append(node, statement, enclosed, author)


async def accept_receipt(node: Node, data: bytes, caller: Caller) -> Answer:
    """Accept a receipt that an instance of its author posts.

    Raises:
        CountermarkError: malformed, not authentic, or the node cannot append now.
        NegativeAnswer: refused by rule, or posted by another endpoint.
    """
    unverified = parse_document(data)
    _demand_kind(unverified, frozenset({Kind.RECEIPT}), "a receipt")
    receipt = parse_receipt(unverified.claims)
    if receipt.author != caller.address:
        raise await refused_request(
            node,
            node.publisher.published,
            caller,
            PolicyError("not_author", f"a receipt is posted by its author, {receipt.author}"),
        )
    known = await _find(node, unverified.payload_hash)
    if known is not None:
        # Proven to be published before anything is released.
        await node.publisher.at_least(known.index + 1)
        releases = await release_stanzas(node, receipt)
        accepted = await prove_record(node, known, receipt.author, data, releases)
        return Answer(fresh=False, accepted=accepted)
    document = await _verify(node, unverified)
    return await _append(node, read_statement(document), NOTHING, receipt.author, receipt)


async def accept_directory(node: Node, data: bytes) -> Answer:
    """Accept a directory statement.

    Raises:
        CountermarkError: malformed, not authentic, refused, or the node cannot append now.
    """
    unverified = parse_document(data)
    _demand_kind(unverified, DIRECTORY_KINDS, "a directory statement")
    known = await _find(node, unverified.payload_hash)
    if known is not None:
        return Answer(fresh=False, accepted=await prove_record(node, known, None, data))
    document = await _verify(node, unverified)
    return await _append(node, read_statement(document), NOTHING, None)


def _demand_kind(unverified: UnverifiedDocument, kinds: frozenset[Kind], expected: str) -> None:
    if kind_of(unverified.claims) not in kinds:
        malformed(
            "wrong_kind", f"this call takes {expected}; docs/spec/api.md §3 names the call for each kind"
        )


async def _find(node: Node, payload_hash: bytes) -> EntryRecord | None:
    async with node.database.read() as connection:
        return await read_entry(connection, payload_hash)


async def _verify(node: Node, unverified: UnverifiedDocument) -> Document:
    directory = node.holder.current
    try:
        document = await node.verifier.run(lambda: verify_statement(directory, unverified))
    except SignatureError as error:
        # Another node may have logged the signer's key a moment ago.
        if error.code != "unknown_key" or (newest := await node.newest_directory()) is directory:
            raise
        document = await node.verifier.run(lambda: verify_statement(newest, unverified))
    await node.faults.reach("after_verify")
    return document


async def _append(
    node: Node,
    statement: Statement,
    enclosed: Enclosed,
    author: Address | None,
    receipt: Receipt | None = None,
) -> Answer:
    await _decide_provisionally(node, statement, author)
    outcome = await node.sequencer.submit(Submitted(statement, enclosed))
    payload_hash = statement.document.payload_hash
    if isinstance(outcome, Refused):
        await _answer_refusal(node, statement, author, outcome)
    releases = await release_stanzas(node, receipt) if receipt is not None else ()
    if isinstance(outcome, Appended):
        accepted = await prove_entry(node, outcome.entry, author, releases)
    else:
        record = await _find(node, payload_hash)
        assert record is not None, "the log never forgets an entry"
        accepted = await prove_record(node, record, author, statement.document.data, releases)
    await node.faults.reach("before_answer")
    return Answer(isinstance(outcome, Appended), accepted)


async def _answer_refusal(node: Node, statement: Statement, author: Address | None, refused: Refused) -> None:
    """Raise the refusal; return only where another copy of the statement has been logged meanwhile."""
    if author is None or not _counts(node.holder.current, refused.error, statement.document, author):
        raise refused.error
    checkpoint = await node.publisher.at_least(refused.size)
    if await _find(node, statement.document.payload_hash) is None:
        raise await refused_statement(node, checkpoint, author, statement.document.payload_hash, refused)


async def _decide_provisionally(node: Node, statement: Statement, author: Address | None) -> None:
    """Keep strangers away from the lock. What passes here is decided again under it."""
    if isinstance(statement, MessageStatement | ReceiptStatement) and author is not None:
        directory = node.holder.current
        try:
            authenticate(directory, statement.document, author)
        except SignatureError:
            # Another node may have logged the author's keys a moment ago.
            if (newest := await node.newest_directory()) is directory:
                raise
            authenticate(newest, statement.document, author)
    elif isinstance(statement, DirectoryChange):
        judge_statement(await node.newest_directory(), statement.document, node.clock.now_ms())


def _counts(directory: Directory, error: CountermarkError, document: Document, author: Address) -> bool:
    """Whether a refusal goes to a caller whose signature counted, so that it bears an account."""
    return isinstance(error, PolicyError | ConflictError | NotFoundError) and any(
        directory.instance(author, key_id) is not None for _, key_id in document.signers
    )
