"""Composing a message: everything that is checked before anything is sealed.

Every recipient's problem is named, by recipient, before a key is made.

Source: docs/spec/messages.md §2 to §4.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from dataclasses import dataclass, replace
from typing import Final

from countermark_client import _contents
from countermark_client._addressing import LeftOut, Named, Resolution, addressee, resolve_names
from countermark_client._amending import amendment_findings
from countermark_client._io import Flow
from countermark_client._log import LogView
from countermark_client._models import Draft, MessageRef, message_hash
from countermark_client._open import UnacceptableError, open_received
from countermark_client._photographs import not_attached
from countermark_client._quotas import Left, lane_of
from countermark_client._recipient_problems import FAULTS, Problem, RecipientChecks, Terms, lowest
from countermark_client._releases import Releases
from countermark_client._revocations import Revocations
from countermark_client._seal import Composed, Sealer, Target
from countermark_client._sealing_files import PieceKeeper
from countermark_client._session import Session
from countermark_client._store import Direction, StoredMessage
from countermark_client._traces import Proposed, Traces
from countermark_client.attaching import PreparedAttachment, prepare_now
from countermark_protocol.authors import authenticate
from countermark_protocol.chunks import sealed_size
from countermark_protocol.directory import Directory
from countermark_protocol.documents import parse_document, verify_document
from countermark_protocol.encoding import encode_json, malformed
from countermark_protocol.errors import (
    CountermarkError,
    MalformedError,
    NotFoundError,
    PolicyError,
    UncheckableError,
)
from countermark_protocol.handling import Classification, Handling, HandlingCode, Tlp, UsePurpose
from countermark_protocol.identifiers import (
    Address,
    authority_of,
    parse_address,
)
from countermark_protocol.manifest import (
    ResolvedGroup,
    Urgency,
    parse_manifest,
)
from countermark_protocol.padding import padded_size
from countermark_protocol.resets import reset_of
from countermark_protocol.tracing.deadlines import limits_of
from countermark_protocol.types import TYPES, known_types

#: Records of a trace are kept for years; an agency that must delete earlier says so in `handling`.
_DEFAULT_RETENTION_MS: Final = 5 * 365 * 24 * 3600 * 1000


def default_handling(now: int) -> Handling:
    """How a message may be used where nothing else is said: TLP:AMBER, RESTRICTED, kept for five years.

    Args:
        now: ms since 1970.
    """
    return Handling(
        tlp=Tlp.AMBER,
        classification=Classification.RESTRICTED,
        codes=(),
        originator_control=False,
        purpose=UsePurpose.CRIMINAL_INVESTIGATION,
        retention_until=now + _DEFAULT_RETENTION_MS,
    )


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Recipients by address with the name that led to each, and what stands against them."""

    recipients: dict[Address, str]
    left_out: tuple[LeftOut, ...]
    group: ResolvedGroup | None
    message: _contents.Message
    problems: list[Problem]
    terms: Terms
    now: int


class Composer:
    """Makes messages of one profile."""

    def __init__(self, session: Session, log: LogView, revocations: Revocations) -> None:
        self._session = session
        self._log = log
        self._revocations = revocations
        self._sealer = Sealer(session, log, revocations)
        self._checks = RecipientChecks(session, revocations)
        self._traces = Traces(session)
        self._releases = Releases(session)

    @property
    def _directory(self) -> Directory:
        return self._revocations.directory

    def compose(
        self,
        draft: Draft,
        *,
        drafted: bool = False,
        left: Left | None = None,
        keeper: PieceKeeper | None = None,
    ) -> Flow[Composed]:
        """Check a draft in full, then seal and sign it.

        Args:
            draft: what is to be sent; its attachments are prepared.
            drafted: it is signed by others before it is sent.
            left: what the broker says that this endpoint may still send; None where it was not asked.
            keeper: of the sealed pieces; None for the profile.

        Raises:
            MalformedError: content that is not valid, an address that is none.
            UncheckableError: a message type or version that is not known here.
            NotFoundError: an unknown group, or a reply to a message this profile does not hold.
            PolicyError: ``no_consent``, ``handling_loosened``, ``forward_loop``, ``forward_too_far``: it would pass on
                what it may not; ``recipients_refused``, with every problem by recipient in ``facts['problems']``;
                ``review_refused``: a rule for senders forbids this content; ``trace_refused``: the trace does not
                stand where this is possible.
        """
        chosen = self._choose(draft, drafted=drafted)
        self._tell_of_resets(tuple(chosen.recipients), chosen.now)
        problems = [*chosen.problems, *self._quota_problems(draft, chosen, left)]
        if problems:
            raise _refused(problems, tuple(chosen.recipients))
        message, recipients = chosen.message, tuple(chosen.recipients)
        terms, now = chosen.terms, chosen.now
        _check_h3(message, terms.handling)
        forwarded = self._releases.check(message, recipients, terms.handling)
        self._review(draft, message, recipients, terms, now, forwarded=forwarded)
        self._check_trace(draft, message, recipients, terms)
        draft = self._with_deadline(draft, message, recipients, now)
        composed = yield from self._sealer.seal(
            draft,
            message,
            recipients,
            chosen.group,
            terms.handling,
            terms.exercise,
            terms.target,
            now,
            keeper,
        )
        return replace(composed, left_out=chosen.left_out)

    def members_among(
        self, addresses: tuple[Address, ...], group: ResolvedGroup | None
    ) -> tuple[Address, ...]:
        """Those of some addresses that a group holds now; none of no group."""
        record = self._directory.group(group.name) if group is not None else None
        return tuple(a for a in addresses if record is not None and a in record.members)

    def count(self, draft: Draft) -> int:
        """How many endpoints a draft's names lead to, whether they can be written to or not; 0 if to nobody."""
        with contextlib.suppress(CountermarkError):
            return len(self._named(draft, self._session.clock()).chosen)
        return 0

    def resolve(self, draft: Draft) -> Resolution:
        """Whom a draft would go to, whom it leaves out, and what stands against anybody; nothing is made or sent.

        Raises:
            MalformedError, UncheckableError, NotFoundError: as `compose`.

        Does not prove: that it would be sent. What a single person must not send, and quotas, `compose` looks at.
        """
        chosen, directory = self._choose(draft, drafted=True), self._directory
        return Resolution(
            tuple(addressee(directory, a, by, chosen.now) for a, by in chosen.recipients.items()),
            chosen.left_out,
            tuple(chosen.problems),
            chosen.group,
            self._log.seen.size,
            directory.count,
            directory.head,
        )

    def _terms(self, draft: Draft, now: int, *, drafted: bool) -> Terms:
        target = self._target(draft)
        return Terms(
            draft.handling or (target.manifest.handling if target is not None else default_handling(now)),
            draft.exercise or (target is not None and target.manifest.exercise),
            target,
            drafted,
        )

    def _choose(self, draft: Draft, *, drafted: bool) -> _Chosen:
        """Resolve a draft's names, and leave out whom only a selector found and what stands against."""
        now = self._session.clock()
        if draft.on_behalf_of is not None:
            parse_address(draft.on_behalf_of, "on_behalf_of")
            if not drafted:
                raise PolicyError(
                    "draft_needed",
                    f"{draft.on_behalf_of} must sign what is sent on its behalf: make a draft, and hand it the file",
                )
        terms = self._terms(draft, now, drafted=drafted)
        named = self._named(draft, now)
        recipients, left_out = dict(named.chosen), self._left_out_by_choice(draft, named, terms)
        for one in left_out:
            del recipients[one.address]
        if not recipients:
            malformed("nobody_left", "expected a recipient that is not left out, got none")
        while True:
            message, problems = self._checks.problems(draft, tuple(recipients), named.group, terms)
            dropped = [
                p
                for p in problems
                if p.recipient in named.selected & recipients.keys() and p.code not in FAULTS
            ]
            if not dropped:
                break
            for problem in dropped:
                by = recipients.pop(Address(problem.recipient), None)
                if by is not None:
                    left_out.append(LeftOut(Address(problem.recipient), by, problem.code, problem.message))
            if not recipients:
                told = "; ".join(f"{one.address}: {one.message}" for one in left_out[:5])
                raise NotFoundError("nobody_selected", f"nobody who was selected can be written to. {told}")
        ordered = tuple(sorted(left_out, key=lambda one: one.address))
        return _Chosen(recipients, ordered, named.group, message, problems, terms, now)

    def _named(self, draft: Draft, now: int) -> Named:
        content = draft.content
        document = _contents.content_document(content) if isinstance(content, _contents.Message) else content
        own = self._session.profile.endpoint
        return resolve_names(self._directory, draft.to, own, document, alternates=draft.alternates, time=now)

    def _left_out_by_choice(self, draft: Draft, named: Named, terms: Terms) -> list[LeftOut]:
        """Whom the sender leaves out by name, each with what stands against it, if anything does."""
        chosen = dict.fromkeys(parse_address(address, "leave_out") for address in draft.leave_out)
        strangers = [address for address in chosen if address not in named.chosen]
        if strangers:
            malformed(
                "not_addressed",
                f"{', '.join(strangers[:5])} would not get this message: expected recipients to leave out",
            )
        if not chosen:
            return []
        _, problems = self._checks.problems(draft, tuple(chosen), named.group, terms)
        against = {p.recipient: p for p in reversed(problems)}
        return [
            LeftOut(address, named.chosen[address], problem.code, problem.message)
            if (problem := against.get(address)) is not None
            else LeftOut(address, named.chosen[address], "left_out", "left out by its sender")
            for address in chosen
        ]

    def _quota_problems(self, draft: Draft, chosen: _Chosen, left: Left | None) -> list[Problem]:
        if left is None:
            return []
        lane = lane_of(Urgency(draft.urgency), exercise=chosen.terms.exercise)
        size = len(encode_json(_contents.content_document(chosen.message)))
        files = (one.size for one in draft.attachments if isinstance(one, PreparedAttachment))
        uploads = sum(sealed_size(padded_size(file)) for file in files)
        short = left.short_of(lane, recipients=len(chosen.recipients), content=size, uploads=uploads)
        return [Problem(self._session.profile.endpoint, *short)] if short is not None else []

    def _tell_of_resets(self, recipients: tuple[Address, ...], now: int) -> None:
        for recipient in recipients:
            found = reset_of(self._directory, recipient, now)
            if found is not None:
                self._session.watch.reset(found)

    # --- what is checked ---

    def _target(self, draft: Draft) -> Target | None:
        ref = draft.in_reply_to
        if ref is None and draft.type in TYPES and TYPES[draft.type].amends:
            ref = draft.supersedes  # what amends a message belongs to its conversation
        if draft.reply_to_document is not None:
            return self._target_shown(draft.reply_to_document)
        if ref is None:
            return None
        stored = self._stored(ref)
        if stored is None:
            raise NotFoundError(
                "unknown_reply_target", "this profile holds no message of that hash: read the inbox first"
            )
        manifest = parse_manifest(parse_document(stored.document).claims)
        return Target(stored.payload, manifest, stored.conversation)

    def _target_shown(self, document: bytes) -> Target:
        """A message that another endpoint received, as it shows it to who answers in its name."""
        unverified = parse_document(document)
        manifest = parse_manifest(unverified.claims)
        verified = verify_document(unverified, self._directory.public_key)
        authenticate(self._directory, verified, manifest.sender, self._session.clock())
        return Target(verified.payload_hash, manifest, manifest.conversation or verified.payload_hash)

    def _stored(self, ref: MessageRef) -> StoredMessage | None:
        return self._session.store.message(message_hash(ref))

    def _review(
        self,
        draft: Draft,
        message: _contents.Message,
        recipients: tuple[Address, ...],
        terms: Terms,
        now: int,
        *,
        forwarded: bool,
    ) -> None:
        findings = self._findings(draft, message, recipients, terms, now, forwarded=forwarded)
        amending = amendment_findings(self._session, draft, message)
        if amending:
            told = "; ".join(f"{f['field']}: {f['text']}" for f in amending)
            raise PolicyError("review_refused", told, findings=amending)
        refused = [f for f in findings if f.severity is _contents.Severity.REFUSE]
        if refused:
            raise PolicyError(
                "review_refused",
                "; ".join(f"{f.field or 'the message'}: {f.text}" for f in refused[:5]),
                findings=[{"rule": f.rule, "field": f.field, "text": f.text} for f in refused],
            )
        held = [f for f in findings if f.severity is _contents.Severity.HOLD]
        if held and not terms.drafted:
            raise PolicyError(
                "review_held",
                "; ".join(f"{f.field or 'the message'}: {f.text}" for f in held[:5])
                + ". Classify it as it says, or draft it and let another holder of the endpoint release it",
                findings=[{"rule": f.rule, "field": f.field, "text": f.text} for f in held],
            )

    def _findings(
        self,
        draft: Draft,
        message: _contents.Message,
        recipients: tuple[Address, ...],
        terms: Terms,
        now: int,
        *,
        forwarded: bool,
    ) -> list[_contents.Finding]:
        handling, target = terms.handling, terms.target
        circumstances = _contents.Circumstances(
            today=dt.datetime.fromtimestamp(now / 1000, dt.UTC).date(),
            # Drills may play through another State's records; what is passed on was found by who asked first.
            sender_country=None if terms.exercise or forwarded else _country(self._session.profile.endpoint),
            addressee_country=_country(recipients[0]) if len(recipients) == 1 else None,
            urgency=Urgency(draft.urgency),
            tlp=handling.tlp,
            classification=handling.classification,
        )
        findings = list(_contents.review(message, circumstances))
        if isinstance(message, _contents.TracingResponse) and target is not None:
            request = self._request(target)
            if request is not None:
                findings += _contents.review_answer(request, message)
        return findings

    def review(self, draft: Draft) -> tuple[_contents.Finding, ...]:
        """What a person should know of a draft's content, and what does not hinder its being sent.

        Raises:
            MalformedError, UncheckableError: the content is not valid.
        """
        now = self._session.clock()
        terms = self._terms(draft, now, drafted=True)
        message = draft.content
        if not isinstance(message, _contents.Message):
            message = lowest(draft.type, (v for name, v in known_types() if name == draft.type), message)
        recipients: tuple[Address, ...] = ()
        with contextlib.suppress(MalformedError):  # a name: whom it leads to, `resolve` tells
            recipients = tuple(parse_address(to) for to in draft.to)
        found = self._findings(draft, message, recipients, terms, now, forwarded=True)
        attached = [prepare_now(one) for one in draft.attachments]
        for field in not_attached(_contents.content_document(message), attached):
            found.append(_contents.Finding(_contents.Severity.WARN, "photograph_not_attached", field))
        return tuple(each for each in found if each.severity is _contents.Severity.WARN)

    def _check_trace(
        self, draft: Draft, message: _contents.Message, recipients: tuple[Address, ...], terms: Terms
    ) -> None:
        facts, target = _contents.manifest_facts(message), terms.target
        proposed = Proposed(
            facts.stage.value if facts is not None else None,
            target.message if target is not None else None,
            message_hash(draft.supersedes) if draft.supersedes is not None else None,
            Urgency(draft.urgency).value,
            draft.on_behalf_of,
        )
        conversation = target.conversation if target is not None else None
        self._traces.check(proposed, message, recipients, conversation)

    def _with_deadline(
        self, draft: Draft, message: _contents.Message, recipients: tuple[Address, ...], now: int
    ) -> Draft:
        """State until when an answer is due, by the instrument that binds both; of several, the first to be."""
        if draft.reply_by is not None:
            return draft
        own = draft.on_behalf_of or self._session.profile.endpoint
        found = (limits_of(message.TYPE, own, to, Urgency(draft.urgency)) for to in recipients)
        reply = min((limits.reply for limits in found if limits is not None), default=None)
        if reply is None:
            return draft
        return replace(
            draft, reply_by=dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(milliseconds=now + reply)
        )

    def _request(self, target: Target) -> _contents.TracingRequest | None:
        """The tracing request that an answer belongs to, opened; None where this profile cannot read it."""
        for payload in (target.message, target.conversation):
            stored = self._session.store.message(payload, Direction.IN)
            if stored is None or stored.stanza is None or stored.content is None:
                continue
            with contextlib.suppress(UnacceptableError, UncheckableError):
                content = open_received(self._session, stored).content
                if isinstance(content, _contents.TracingRequest):
                    return content
        return None


def _check_h3(message: _contents.Message, handling: Handling) -> None:
    """What H3 stands for is content: a message that bears it says so in its use restrictions."""
    restrictions = getattr(message, "use_restrictions", None)
    if HandlingCode.H3 in handling.codes and getattr(restrictions, "h3_text", None) is None:
        raise PolicyError(
            "h3_text_missing",
            "handling code H3 stands for restrictions in words: expected useRestrictions.h3Text in the content",
        )


def _refused(problems: list[Problem], recipients: tuple[Address, ...]) -> PolicyError:
    """One report of everything that stands against anybody; facts: `problems`, and how many `others` there are."""
    bad = {p.recipient for p in problems}
    named = "; ".join(f"{p.recipient}: {p.message}" for p in problems[:5])
    more = f" (and {len(problems) - 5} more)" if len(problems) > 5 else ""
    return PolicyError(
        "recipients_refused",
        f"nothing was sent. {named}{more}",
        problems=[p.to_json() for p in problems],
        others=len(set(recipients) - bad),
        leave_out=sorted(bad & set(recipients)),
    )


def _country(address: Address) -> str | None:
    code = authority_of(address)
    return code.upper() if len(code) == 2 else None
