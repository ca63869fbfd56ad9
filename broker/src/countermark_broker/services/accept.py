"""Accepting statements: steps 1, 2 and 4 of the commit order.

In this order, each step cheaper or more trusted than the next: parse; in a thread, when it is its source's turn,
verify every signature and that it counts; charge its author's quota; queue for the lock, under which everything
is decided again. What is logged already is found under the lock; or where a step before it fails, since a repeat
is answered whatever its signatures are worth today (docs/spec/log.md §6.3). One message and a stream of ten
thousand (bulk.py) take these same steps.

Source: docs/spec/api.md §3; design sections 4 and 5, "Order of checks".
"""

from __future__ import annotations

from dataclasses import dataclass

from countermark_broker.errors import QuotaExceededError
from countermark_broker.log.appender import Appended, Failed, Outcome, Refused, Repeated, Submitted
from countermark_broker.log.verifier import OWN_WORK, Source
from countermark_broker.services.accounts import refused_request, refused_statement
from countermark_broker.services.node import Caller, Node
from countermark_broker.services.pieces import keep_content
from countermark_broker.services.proofs import prove_entry, prove_record, release_stanzas
from countermark_broker.services.quotas import cost_of, payer_of
from countermark_broker.store.reading import EntryRecord, read_entry
from countermark_broker.store.writing import NOTHING, Enclosed
from countermark_protocol.acts import ACT_KINDS, parse_act
from countermark_protocol.answers import Accepted
from countermark_protocol.authors import authenticate
from countermark_protocol.claims import DIRECTORY_KINDS, Kind
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
from countermark_protocol.manifest import Urgency
from countermark_protocol.receipts import Receipt, parse_receipt
from countermark_protocol.statements import (
    MessageStatement,
    Statement,
    kind_of,
    purged_by,
    read_statement,
    verify_statement,
)
from countermark_protocol.submission import Submission, parse_submission


@dataclass(frozen=True, slots=True)
class Answer:
    """What an accepted statement is answered with.

    Attributes:
        fresh: it became an entry by this call.
        accepted: the proof.
    """

    fresh: bool
    accepted: Accepted


async def accept_message(node: Node, data: bytes, source: Source = OWN_WORK) -> Answer:
    """Accept a submission.

    Args:
        node: this node.
        data: the submission.
        source: where it comes from.

    Raises:
        CountermarkError: malformed, not authentic, or the node cannot append now.
        NegativeAnswer: refused by rule, with the account.
    """
    submission = parse_submission(data)
    author = submission.manifest.sender
    urgent = submission.manifest.urgency in {Urgency.URGENT, Urgency.FLASH}
    found = await _examine(node, submission.document, author, source, urgent=urgent)
    if isinstance(found, EntryRecord):
        accepted = await prove_record(node, found, author, submission.document.data)
        return Answer(fresh=False, accepted=accepted)
    return await _append(node, submitted_message(submission, found), author)


def submitted_message(submission: Submission, document: Document) -> Submitted:
    """A submission whose signatures are verified; nothing of it is parsed a second time."""
    assert document.data == submission.document.data
    statement = MessageStatement(document, submission.manifest, submission.rows)
    enclosed = Enclosed(submission.rows, submission.stanzas, submission.content, submission.pieces)
    return Submitted(statement, enclosed)


async def accept_receipt(node: Node, data: bytes, caller: Caller, source: Source = OWN_WORK) -> Answer:
    """Accept a receipt that an instance of its author posts.

    Args:
        node: this node.
        data: the signed receipt.
        caller: who posts it.
        source: where it comes from.

    Raises:
        CountermarkError: malformed, not authentic, or the node cannot append now.
        NegativeAnswer: refused by rule, or posted by another endpoint.
    """
    unverified = parse_document(data)
    _demand_kind(unverified, frozenset({Kind.RECEIPT}), "a receipt")
    receipt = parse_receipt(unverified.claims)
    await _demand_author(node, caller, receipt.author, "a receipt")
    found = await _examine(node, unverified, receipt.author, source, urgent=True)
    if isinstance(found, EntryRecord):
        # Proven to be published before anything is released.
        await node.publisher.at_least(found.index + 1)
        releases = await release_stanzas(node, receipt)
        accepted = await prove_record(node, found, receipt.author, data, releases)
        return Answer(fresh=False, accepted=accepted)
    return await _append(node, Submitted(read_statement(found), NOTHING), receipt.author, receipt)


async def accept_act(node: Node, data: bytes, caller: Caller, source: Source = OWN_WORK) -> Answer:
    """Accept a look-up, a disclosure or a purge that an instance of its author posts.

    Args:
        node: this node.
        data: the signed statement.
        caller: who posts it.
        source: where it comes from.

    Raises:
        CountermarkError: malformed, not authentic, or the node cannot append now.
        NegativeAnswer: refused by rule, or posted by another endpoint.
    """
    unverified = parse_document(data)
    _demand_kind(unverified, ACT_KINDS, "a look-up, a disclosure or a purge")
    author = parse_act(unverified.claims).author
    await _demand_author(node, caller, author, "this statement")
    found = await _examine(node, unverified, author, source, urgent=False)
    if isinstance(found, EntryRecord):
        return Answer(fresh=False, accepted=await prove_record(node, found, author, data))
    named = purged_by(unverified)
    record = await _find(node, named) if named is not None else None
    subject = parse_document(record.document) if record is not None else None
    try:
        statement = read_statement(found, subject=subject)
    except NotFoundError as error:
        raise await refused_request(node, node.publisher.published, caller, error) from None
    return await _append(node, Submitted(statement, NOTHING), author)


async def accept_directory(node: Node, data: bytes, source: Source = OWN_WORK) -> Answer:
    """Accept a directory statement.

    Args:
        node: this node.
        data: the signed statement.
        source: where it comes from.

    Raises:
        CountermarkError: malformed, not authentic, refused, or the node cannot append now.
    """
    unverified = parse_document(data)
    _demand_kind(unverified, DIRECTORY_KINDS, "a directory statement")
    found = await _examine(node, unverified, None, source, urgent=True)
    if isinstance(found, EntryRecord):
        return Answer(fresh=False, accepted=await prove_record(node, found, None, data))
    # Keep strangers away from the lock, under which it is judged again.
    try:
        judged = judge_statement(await node.newest_directory(), found, node.clock.now_ms())
    except CountermarkError:
        # Once it is logged, it does not fit the directory that it has changed itself.
        known = await _find(node, found.payload_hash)
        if known is None:
            raise
        return Answer(fresh=False, accepted=await prove_record(node, known, None, data))
    item = Submitted(read_statement(found), NOTHING)
    return await _append(node, item, None, payer=payer_of(judged.subject))


def _demand_kind(unverified: UnverifiedDocument, kinds: frozenset[Kind], expected: str) -> None:
    if kind_of(unverified.claims) not in kinds:
        malformed(
            "wrong_kind", f"this call takes {expected}; docs/spec/api.md §3 names the call for each kind"
        )


async def _demand_author(node: Node, caller: Caller, author: Address, what: str) -> None:
    if author != caller.address:
        error = PolicyError("not_author", f"{what} is posted by its author, {author}")
        raise await refused_request(node, node.publisher.published, caller, error)


async def _find(node: Node, payload_hash: bytes) -> EntryRecord | None:
    return await node.database.read(read_entry, payload_hash)


async def _examine(
    node: Node, unverified: UnverifiedDocument, author: Address | None, source: Source, *, urgent: bool
) -> EntryRecord | Document:
    """The entry that a statement is already, or its document once all its signatures are verified and count.

    All in one turn of its source: whoever floods the broker with forgeries waits for them himself, since neither
    the database nor a thread is asked out of turn.

    Raises:
        SignatureError: not authentic, or not by an instance of its author.
        OverloadedError: too much waits.
    """
    return await node.verifier.run(lambda: examine(node, unverified, author), source=source, urgent=urgent)


def examine(node: Node, unverified: UnverifiedDocument, author: Address | None) -> EntryRecord | Document:
    """Verify a statement's signatures, in a thread; the entry that it is already, where they do not count.

    Args:
        node: this node.
        unverified: the statement.
        author: the endpoint that must have signed it; None for directory statements.

    Raises:
        CountermarkError: not authentic, or not by an instance of its author, and not logged.
    """
    directory = node.holder.current
    try:
        document = _authentic(directory, unverified, author, node.clock.now_ms())
    except CountermarkError as error:
        with node.database.reading() as connection:
            known = read_entry(connection, unverified.payload_hash)
            if known is not None:
                return known
            if not isinstance(error, SignatureError) or error.code == "bad_signature":
                raise
            # Another node may have logged the signer's keys a moment ago.
            newest = node.directory_in(connection)
        if newest is directory:
            raise
        document = _authentic(newest, unverified, author, node.clock.now_ms())
    node.faults.reach("after_verify")
    return document


def _authentic(
    directory: Directory, unverified: UnverifiedDocument, author: Address | None, now: int
) -> Document:
    document = verify_statement(directory, unverified)
    if author is not None:
        authenticate(directory, document, author, now)
    return document


async def _append(
    node: Node,
    item: Submitted,
    author: Address | None,
    receipt: Receipt | None = None,
    payer: str | None = None,
) -> Answer:
    payer = payer or author
    try:
        charge(node, item, payer)
    except QuotaExceededError:
        # What is logged already costs nothing.
        known = await _find(node, item.statement.document.payload_hash)
        if known is None:
            raise
        outcome: Outcome = Repeated(known.index)
    else:
        try:
            outcome = await node.sequencer.submit(await keep_content(node, item))
        except Exception:
            refund(node, item, payer)
            raise
        if isinstance(outcome, Repeated):
            refund(node, item, payer)
    return await answer_outcome(node, item, author, outcome, receipt)


def charge(node: Node, item: Submitted, payer: str | None) -> None:
    """Charge a quota: an author's, or that of who writes in the directory.

    Its signature is verified and counts: nobody else's work is charged to it.

    Raises:
        QuotaExceededError: it has nothing left.
    """
    if payer is not None:
        node.quotas.charge(payer, cost_of(item.statement, item.enclosed))


def refund(node: Node, item: Submitted, payer: str | None) -> None:
    """Give back what `charge` took for something that was not logged by this call."""
    if payer is not None:
        node.quotas.refund(payer, cost_of(item.statement, item.enclosed))


async def answer_outcome(
    node: Node, item: Submitted, author: Address | None, outcome: Outcome, receipt: Receipt | None = None
) -> Answer:
    """What a statement is answered with, once it is known what has become of it.

    Raises:
        CountermarkError: it failed.
        NegativeAnswer: it is refused by rule.
    """
    if isinstance(outcome, Failed):
        raise outcome.error
    if isinstance(outcome, Refused):
        await _answer_refusal(node, item.statement, author, outcome)
    releases = await release_stanzas(node, receipt) if receipt is not None else ()
    if isinstance(outcome, Appended):
        accepted = await prove_entry(node, outcome, author, releases)
    else:
        document = item.statement.document
        record = await _find(node, document.payload_hash)
        assert record is not None, "the log never forgets an entry"
        accepted = await prove_record(node, record, author, document.data, releases)
    node.faults.reach("before_answer")
    return Answer(isinstance(outcome, Appended), accepted)


async def _answer_refusal(node: Node, statement: Statement, author: Address | None, refused: Refused) -> None:
    """Raise the refusal; return only where another copy of the statement has been logged meanwhile."""
    if author is None or not _counts(node, refused.error, statement.document, author):
        raise refused.error
    checkpoint = await node.publisher.at_least(refused.size)
    if await _find(node, statement.document.payload_hash) is None:
        raise await refused_statement(node, checkpoint, author, statement.document.payload_hash, refused)


def _counts(node: Node, error: CountermarkError, document: Document, author: Address) -> bool:
    """Whether a refusal goes to a caller whose signature counted, so that it bears an account."""
    directory, now = node.holder.current, node.clock.now_ms()
    return isinstance(error, PolicyError | ConflictError | NotFoundError) and any(
        directory.instance(author, key_id, time=now) is not None for _, key_id in document.signers
    )
