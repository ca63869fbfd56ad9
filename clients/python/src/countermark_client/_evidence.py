"""Gathering evidence: what this profile holds of one message, with the newest checkpoint and fresh paths to it.

Nothing gathered is believed because it was gathered: what is written has passed the very check that a court makes.

Source: docs/spec/evidence.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from countermark_client._accounts import Accounts
from countermark_client._boxes import Boxes, page_target
from countermark_client._continuity import consistency_path
from countermark_client._io import Flow
from countermark_client._log import LogView
from countermark_client._models import MessageRef, message_hash
from countermark_client._overview import Overview
from countermark_client._session import ProblemAnswer, Session, problem_error
from countermark_client._settling import ACT, MESSAGE, RECEIPT
from countermark_client._store import Direction, MessageStage, OutboxState, StoredMessage
from countermark_protocol.acts import Disclosure, Purge, parse_act
from countermark_protocol.answers import OwnRecipient, parse_accepted, parse_box_page
from countermark_protocol.boxes import Box
from countermark_protocol.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from countermark_protocol.claims import Claims, Kind
from countermark_protocol.disclosure import disclosure_digest
from countermark_protocol.documents import parse_document, statement_hash
from countermark_protocol.encoding import parse_json, parse_object
from countermark_protocol.errors import CountermarkError, NotFoundError, ProofError, SignatureError
from countermark_protocol.evidence import (
    MAX_STAMPED,
    Earlier,
    Evidence,
    LoggedDisclosure,
    LoggedDocument,
    Stamped,
    encode_evidence,
)
from countermark_protocol.evidence_checks import VerifiedEvidence, verify_evidence
from countermark_protocol.evidence_making import complete_evidence, plan_evidence
from countermark_protocol.proof import (
    Inclusion,
    parse_all_deliveries,
    parse_inclusion,
    parse_own_delivery,
    parse_recipients,
)
from countermark_protocol.recipients import RecipientRow
from countermark_protocol.stamp_history import StampItem, parse_stamp_history
from countermark_protocol.statements import kind_of
from countermark_protocol.submission import parse_submission
from countermark_protocol.timestamps import TsaRoots, parse_stamp
from countermark_protocol.tlog_policy import check_quorum
from countermark_protocol.witnesses import quorum_policy

#: Receipts of one endpoint about one message, by the stage that they leave it in.
_RECEIPTS: Final = {MessageStage.DELIVERED: 1, MessageStage.ACCEPTED: 2, MessageStage.REJECTED: 2}
_NOT_FOUND: Final = 404
_ABOUT: Final = frozenset({Kind.RECEIPT, Kind.UNDELIVERED, Kind.PURGE})

#: (index, signed document) of an entry.
_Entry = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class MadeEvidence:
    """A file of evidence, and what it was found to prove.

    Attributes:
        data: the file's bytes.
        proven: by the check that a court makes.
    """

    data: bytes
    proven: VerifiedEvidence


class Gatherer:
    """Makes evidence of messages of one profile."""

    def __init__(
        self, session: Session, log: LogView, accounts: Accounts, boxes: Boxes, overview: Overview
    ) -> None:
        self._session = session
        self._store = session.store
        self._log = log
        self._accounts = accounts
        self._boxes = boxes
        self._overview = overview

    def make(self, ref: MessageRef, disclosures: Iterable[bytes], tsa_roots: TsaRoots) -> Flow[MadeEvidence]:
        """Gather, complete and check evidence; see `Client.evidence`."""
        payload = message_hash(ref)
        stored = self._store.message(payload)
        if stored is None:
            raise NotFoundError("unknown_message", f"this profile holds no message {payload.hex()}")
        if stored.index is None:
            raise NotFoundError("not_logged", "this message is not in the log: there is nothing to prove yet")
        acts: list[tuple[bytes, _Entry]] = []
        for data in disclosures:
            acts.append((data, (yield from self._act_about(data))))  # noqa: PERF401  no `yield` in a list
        if stored.direction is Direction.OUT:
            yield from self._boxes.read_all(Box.NOTICES)
            about = [(index, document) for _, index, _, document in self._store.notices()]
            about += self._own(ACT)
        else:
            about = yield from self._own_receipts(stored)
        entries = _about(payload, [*about, *(yield from self._purge(payload))])
        recipient = None
        if stored.direction is Direction.IN:
            recipient = yield from self._overview.own_recipient(payload)
        note = yield from self._first_witnessed(stored.index)
        stamps = yield from self._stamps(stored.index)
        # Last, so that directory and checkpoint are not behind anything gathered before.
        checkpoint = yield from self._log.sync()
        draft = yield from self._draft(stored, entries, acts, recipient, checkpoint)
        draft = replace(
            draft,
            witnessed=(yield from self._continued(note, checkpoint)),
            stamps=(yield from self._stamped(stamps, checkpoint)),
        )
        history = self._store.directory()
        documents = {statement_hash(document): document for _, _, document in history}
        stamped = [one.at for one in draft.stamps]
        older = [one for one in (draft.earlier, draft.witnessed, *stamped) if one is not None]
        sizes = [*(parse_checkpoint(one.checkpoint).size for one in older), checkpoint.size]
        plan = plan_evidence(draft, self._log.directory, documents, sizes)
        leaves: dict[int, Inclusion] = {}
        for index in plan.leaves:
            leaves[index] = yield from fetch_inclusion(self._session, index, checkpoint)
        data = encode_evidence(complete_evidence(draft, plan, history, leaves))
        trust = self._session.profile.trust.document.payload_hash.hex()
        return MadeEvidence(data, verify_evidence(data, trust, tsa_roots))

    # --- the message ---

    def _draft(
        self,
        stored: StoredMessage,
        entries: Sequence[_Entry],
        acts: Sequence[tuple[bytes, _Entry]],
        recipient: OwnRecipient | None,
        checkpoint: Checkpoint,
    ) -> Flow[Evidence]:
        assert stored.index is not None
        proof = parse_object(self._overview.proof(stored.payload), "proof")
        own = parse_own_delivery(proof["delivery"]) if "delivery" in proof else None
        everyone = parse_all_deliveries(proof["deliveries"]) if proof.get("deliveries") is not None else None
        disclosed: list[LoggedDisclosure] = []
        for data, act in acts:
            disclosed.append(LoggedDisclosure(data, (yield from self._logged(act, checkpoint))))
        logged: list[LoggedDocument] = []
        for entry in entries:
            logged.append((yield from self._logged(entry, checkpoint)))  # noqa: PERF401
        return Evidence(
            log=self._session.profile.log,
            founding=self._session.profile.trust.document.data,
            checkpoint=checkpoint.raw,
            earlier=(yield from self._earlier(proof, checkpoint)),
            message=(yield from self._logged((stored.index, stored.document), checkpoint)),
            recipients=self._rows(stored),
            recipient=recipient,
            deliveries=everyone.rows if everyone is not None else None,
            delivery=(own.row, own.at) if own is not None else None,
            entries=tuple(logged),
            disclosures=tuple(disclosed),
            leaves=(),
            statements=(),
            facts=(),
        )

    def _earlier(self, proof: dict[str, Any], newest: Checkpoint) -> Flow[Earlier | None]:
        raw = proof["checkpoint"].encode("utf-8")
        size = parse_checkpoint(raw).size
        if size >= newest.size:
            return None
        path = yield from consistency_path(self._session, size, newest.size)
        return Earlier(raw, tuple(path))

    def _first_witnessed(self, index: int) -> Flow[bytes | None]:
        """The oldest checkpoint with an entry that the broker shows as cosigned by a quorum; not verified here."""
        try:
            response, _ = yield from self._session.call("GET", "/v1/log/witnessed", f"size={index + 1}")
        except ProblemAnswer as answer:
            if answer.problem.status != _NOT_FOUND:
                raise problem_error(answer.problem) from None
            return None
        return response.body if parse_checkpoint(response.body).size > index else None

    def _stamps(self, index: int) -> Flow[tuple[StampItem, ...]]:
        """The oldest stamp of each authority on a checkpoint with an entry; not verified here."""
        try:
            response, _ = yield from self._session.call(
                "GET", "/v1/log/witnessed/stamps", f"size={index + 1}"
            )
        except ProblemAnswer as answer:
            if answer.problem.status != _NOT_FOUND:
                raise problem_error(answer.problem) from None
            return ()  # a broker of a release that has none
        return parse_stamp_history(response.body).items

    def _stamped(self, items: Sequence[StampItem], newest: Checkpoint) -> Flow[tuple[Stamped, ...]]:
        """Stamps with the paths of their checkpoints to the newest; those that would spoil this file are left out."""
        out: list[Stamped] = []
        for item in items[:MAX_STAMPED]:
            at = yield from self._continued(item.checkpoint, newest)
            try:
                parse_stamp(item.response, item.checkpoint)
            except CountermarkError:
                continue
            if at is not None:
                out.append(Stamped(at, item.response))
        return tuple(out)

    def _continued(self, note: bytes | None, newest: Checkpoint) -> Flow[Earlier | None]:
        """A witnessed checkpoint with the path to the newest; None where it would prove nothing in this file."""
        size = parse_checkpoint(note).size if note is not None else 0
        if note is None or size > newest.size:
            return None
        directory = self._log.directory
        key = directory.log_key_for(size)
        try:
            checkpoint = verify_checkpoint(parse_checkpoint(note), directory.origin_for(size), key.raw)
            policy, log_keys = quorum_policy(directory, size - 1)
            check_quorum(policy, checkpoint, log_keys)
        except SignatureError:
            return None
        if policy.quorum is None:
            return None
        path = yield from consistency_path(self._session, size, newest.size)
        return Earlier(note, tuple(path))

    def _rows(self, stored: StoredMessage) -> tuple[RecipientRow, ...] | None:
        """All recipient rows, of a message that this profile sent itself."""
        item = self._store.outbox_item(stored.payload)
        if stored.direction is Direction.IN or item is None or item.kind != MESSAGE:
            return None
        if item.body:
            return parse_submission(item.body).rows
        return parse_recipients(parse_json(item.rows or b"[]"))

    # --- what became of it ---

    def _own(self, kind: str) -> list[_Entry]:
        """Logged statements of this profile whose bytes it still keeps."""
        items = self._store.outbox(OutboxState.LOGGED)
        return [(i.index, i.body) for i in items if i.kind == kind and i.body and i.index is not None]

    def _own_receipts(self, stored: StoredMessage) -> Flow[list[_Entry]]:
        """This endpoint's receipts about a received message: kept ones, or read again from ``sent``."""
        kept = self._own(RECEIPT)
        if len(_about(stored.payload, kept)) >= _RECEIPTS.get(stored.stage, 0):
            return kept
        assert stored.index is not None
        before = self._store.last_below(Box.SENT, stored.index)
        start, found = 0 if before is None else before + 1, list[_Entry]()
        while len(_about(stored.payload, found)) < _RECEIPTS.get(stored.stage, 0):
            path, query = page_target(
                self._session.profile.endpoint, Box.SENT, start, self._session.settings.page_size
            )
            signer = self._session.signer()
            try:
                response, _ = yield from self._session.call("GET", path, query, signer=signer)
            except ProblemAnswer as answer:
                raise problem_error(answer.problem) from None
            page = parse_box_page(response.body).entries
            if not page:
                break
            found += [(entry.inclusion.index, entry.document) for entry in page]
            start += len(page)
        return found

    def _purge(self, payload: bytes) -> Flow[list[_Entry]]:
        """The purge of the message, if the broker shows one; that it shows none proves nothing, and is not claimed."""
        signer = self._session.signer()
        try:
            response, _ = yield from self._session.call(
                "GET", f"/v1/messages/{payload.hex()}/purge", signer=signer
            )
        except ProblemAnswer as answer:
            if answer.problem.status != _NOT_FOUND:
                raise problem_error(answer.problem) from None
            return []
        accepted = parse_accepted(response.body)
        return [(accepted.inclusion.index, accepted.document)] if accepted.document is not None else []

    def _act_about(self, disclosure: bytes) -> Flow[_Entry]:
        """The logged act that names a disclosure.

        Raises:
            NotFoundError: ``disclosure_not_logged``: this profile has logged none.
        """
        digest = disclosure_digest(disclosure)
        for item in reversed(self._store.outbox(OutboxState.LOGGED)):
            if item.kind != ACT or item.index is None:
                continue
            document = item.body
            if not document:
                signer = self._session.signer()
                shown = yield from self._accounts.look_up(item.payload, signer)
                document = (shown.document if shown is not None else None) or b""
            if not document or (unverified := parse_document(document)).payload_hash != item.payload:
                continue
            act = parse_act(unverified.claims)
            if isinstance(act, Disclosure) and act.digest == digest:
                return item.index, document
        raise NotFoundError(
            "disclosure_not_logged",
            "this profile has logged no disclosure of these bytes: `disclose` makes one",
        )

    # --- proofs ---

    def _logged(self, entry: _Entry, checkpoint: Checkpoint) -> Flow[LoggedDocument]:
        index, document = entry
        return LoggedDocument(document, (yield from fetch_inclusion(self._session, index, checkpoint)))


def fetch_inclusion(session: Session, index: int, checkpoint: Checkpoint) -> Flow[Inclusion]:
    """The path of an entry under the newest checkpoint; verified with everything else."""
    try:
        response, _ = yield from session.call(
            "GET", "/v1/log/inclusion", f"index={index}&size={checkpoint.size}"
        )
    except ProblemAnswer as answer:
        raise problem_error(answer.problem) from None
    answer_ = parse_object(response.body, "inclusion proof")
    if Claims(answer_, "inclusion proof").integer("size") != checkpoint.size:
        raise ProofError("wrong_sizes", "the inclusion proof is for another size than asked for")
    return parse_inclusion({k: v for k, v in answer_.items() if k != "size"}, "inclusion proof")


def _about(payload: bytes, entries: Iterable[_Entry]) -> list[_Entry]:
    """Receipts, undelivered notices and purges that name a message, in log order."""
    name = payload.hex()
    found: dict[int, bytes] = {}
    for index, document in entries:
        if name.encode() not in document:
            continue
        claims = parse_document(document).claims
        kind = kind_of(claims)
        if kind not in _ABOUT:
            continue
        if kind is Kind.PURGE:
            act = parse_act(claims)
            named = isinstance(act, Purge) and act.message == payload
        elif kind is Kind.UNDELIVERED:
            named = claims["message"] == name
        else:
            named = any(item["message"] == name for item in claims["items"])
        if named:
            found[index] = document
    return sorted(found.items())
