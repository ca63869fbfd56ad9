"""Composing a message: everything that is checked before anything is sealed.

Every recipient's problem is named, by recipient, before a key is made.

Source: docs/spec/messages.md §2 to §4.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from countermark_client import _contents
from countermark_client._addressing import LeftOut, Resolution, addressee, office_of, resolve_names
from countermark_client._amending import amendment_findings
from countermark_client._drafting import refuses_on_national_security
from countermark_client._log import LogView
from countermark_client._models import Draft, MessageRef, message_hash
from countermark_client._open import UnacceptableError, open_received
from countermark_client._releases import Releases
from countermark_client._revocations import Revocations
from countermark_client._seal import Composed, Sealer, Target
from countermark_client._session import Session
from countermark_client._store import Direction, MessageStage, StoredMessage
from countermark_client._traces import Proposed, Traces
from countermark_client._words import moment
from countermark_protocol.authors import authenticate
from countermark_protocol.decision import check_policy
from countermark_protocol.directory import Directory
from countermark_protocol.documents import parse_document, verify_document
from countermark_protocol.encoding import JsonObject, malformed
from countermark_protocol.errors import MalformedError, NotFoundError, PolicyError, UncheckableError
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
from countermark_protocol.policy import PolicyFacts
from countermark_protocol.records import KeysRecord
from countermark_protocol.resets import reset_of
from countermark_protocol.tracing.deadlines import limits_of
from countermark_protocol.types import TYPES, find_type, known_types

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
class _Terms:
    """What a draft takes over from the message that it replies to, if it does not say otherwise."""

    handling: Handling
    exercise: bool
    target: Target | None
    drafted: bool


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Recipients by address with the name that led to each, and what stands against them."""

    recipients: dict[Address, str]
    left_out: tuple[LeftOut, ...]
    group: ResolvedGroup | None
    message: _contents.Message
    problems: list[JsonObject]
    terms: _Terms
    now: int


class Composer:
    """Makes messages of one profile."""

    def __init__(self, session: Session, log: LogView, revocations: Revocations) -> None:
        self._session = session
        self._log = log
        self._revocations = revocations
        self._sealer = Sealer(session, log, revocations)
        self._traces = Traces(session)
        self._releases = Releases(session)

    @property
    def _directory(self) -> Directory:
        return self._revocations.directory

    def compose(self, draft: Draft, *, drafted: bool = False) -> Composed:
        """Check a draft in full, then seal and sign it.

        Args:
            draft: what is to be sent.
            drafted: it is signed by others before it is sent.

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
        if chosen.problems:
            named = "; ".join(f"{p['recipient']}: {p['message']}" for p in chosen.problems[:5])
            more = f" (and {len(chosen.problems) - 5} more)" if len(chosen.problems) > 5 else ""
            raise PolicyError(
                "recipients_refused", f"nothing was sent. {named}{more}", problems=chosen.problems
            )
        message, recipients = chosen.message, tuple(chosen.recipients)
        terms, now = chosen.terms, chosen.now
        _check_h3(message, terms.handling)
        forwarded = self._releases.check(message, recipients, terms.handling)
        self._review(draft, message, recipients, terms, now, forwarded=forwarded)
        self._check_trace(draft, message, recipients, terms)
        draft = self._with_deadline(draft, message, recipients, now)
        return self._sealer.seal(
            draft, message, recipients, chosen.group, terms.handling, terms.exercise, terms.target, now
        )

    def resolve(self, draft: Draft) -> Resolution:
        """Whom a draft would go to, and whom its selectors leave out; nothing is made or sent.

        Raises:
            MalformedError, UncheckableError, NotFoundError: as `compose`.

        Does not prove: that it would be sent. What stands against a recipient that was not selected, `compose` tells.
        """
        chosen, directory = self._choose(draft, drafted=True), self._directory
        return Resolution(
            tuple(addressee(directory, a, by, chosen.now) for a, by in chosen.recipients.items()),
            chosen.left_out,
            chosen.group,
            self._log.seen.size,
            directory.count,
            directory.head,
        )

    def _terms(self, draft: Draft, now: int, *, drafted: bool) -> _Terms:
        target = self._target(draft)
        return _Terms(
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
        content = draft.content
        document = _contents.content_document(content) if isinstance(content, _contents.Message) else content
        own = self._session.profile.endpoint
        named = resolve_names(self._directory, draft.to, own, document, alternates=draft.alternates, time=now)
        recipients, left_out = dict(named.chosen), []
        while True:
            message, problems = self._problems(draft, tuple(recipients), named.group, terms)
            dropped = [p for p in problems if p["recipient"] in named.selected & recipients.keys()]
            if not dropped:
                break
            for problem in dropped:
                by = recipients.pop(problem["recipient"], None)
                if by is not None:
                    address = Address(problem["recipient"])
                    left_out.append(LeftOut(address, by, problem["code"], problem["message"]))
            if not recipients:
                told = "; ".join(f"{one.address}: {one.message}" for one in left_out[:5])
                raise NotFoundError("nobody_selected", f"nobody who was selected can be written to. {told}")
        return _Chosen(recipients, tuple(left_out), named.group, message, problems, terms, now)

    def _problems(
        self, draft: Draft, recipients: tuple[Address, ...], group: ResolvedGroup | None, terms: _Terms
    ) -> tuple[_contents.Message, list[JsonObject]]:
        message, problems = self._content(draft, recipients)
        # Roles, countries and handling are asked of the table that stands; the broker decides again.
        problems += self._policy_problems(draft, message, recipients, terms, group)
        problems += self._succession_problems(draft, recipients)
        if group is not None and terms.handling.tlp is Tlp.RED:
            problems += [_problem(group.name, "red_to_group", "TLP:RED names its recipients one by one")]
        return message, problems

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

    def _content(
        self, draft: Draft, recipients: tuple[Address, ...]
    ) -> tuple[_contents.Message, list[JsonObject]]:
        """Validate the content as the lowest version that holds it and that all recipients read.

        The lowest: who reads an older version only, or passes it on to one who does, is not left out for nothing.
        """
        known = sorted(v for name, v in known_types() if name == draft.type)
        if not known:
            find_type(draft.type, 1)  # raises, naming the one that may be meant
        wanted = set(known)
        if isinstance(draft.content, _contents.Message):
            if draft.type != draft.content.TYPE:
                malformed("wrong_type", f"expected content of a {draft.type}, got a {draft.content.TYPE}")
            wanted = {draft.content.VERSION}
        problems: list[JsonObject] = []
        common, read_by = wanted, dict[Address, set[int]]()
        for recipient in recipients:
            keys = self._directory.keys(recipient)
            if keys is None or keys.sealing is None:
                _, alternates = office_of(self._directory, recipient, self._session.clock())
                hint = f"; {', '.join(alternates)} stands in for it" if alternates else ""
                text = f"is no active endpoint with keys{hint}"
                problems.append(_problem(recipient, "unknown_recipient", text))
                continue
            reads = set(keys.reads.get(draft.type, ()))
            if not reads & wanted:
                text = f"reads {sorted(reads) or 'no'} versions of {draft.type}, not {sorted(wanted)}"
                problems.append(_problem(recipient, "version_not_read", text))
                continue
            if not self._sealer.key_of(recipient):
                problems.append(_no_key(recipient, keys, self._session.clock()))
            common, read_by[recipient] = common & reads, reads
        document = (
            _contents.content_document(draft.content)
            if isinstance(draft.content, _contents.Message)
            else draft.content
        )
        message = _lowest(draft.type, wanted, document)
        if not problems and message.VERSION not in common:
            higher = [v for v in sorted(common) if v > message.VERSION]
            if higher:
                return _contents.validate_content(draft.type, higher[0], document), problems
            text = f"does not read version {message.VERSION} of {draft.type}, which this content needs"
            problems = [
                _problem(recipient, "version_not_read", text)
                for recipient, reads in read_by.items()
                if message.VERSION not in reads
            ]
        return message, problems

    def _policy_problems(
        self,
        draft: Draft,
        message: _contents.Message,
        recipients: tuple[Address, ...],
        terms: _Terms,
        group: ResolvedGroup | None,
    ) -> list[JsonObject]:
        handling, exercise, target = terms.handling, terms.exercise, terms.target
        facts = PolicyFacts(
            sender=self._session.profile.endpoint,
            type=message.TYPE,
            recipients=len(recipients),
            classification=handling.classification,
            exercise=exercise,
            replied_to=target.manifest.sender if target is not None else None,
            # Who else is party to a conversation is known to the broker alone: here nobody is ruled out.
            parties=frozenset(recipients) if target is not None else frozenset(),
            tlp=handling.tlp,
            to_group=group is not None,
            on_behalf_of=Address(draft.on_behalf_of) if draft.on_behalf_of is not None else None,
            time=self._session.clock(),
        )
        problems: list[JsonObject] = []
        for recipient in recipients:
            try:
                check_policy(self._directory, facts, recipient, released=terms.drafted)
            except PolicyError as error:
                problems.append(_problem(recipient, error.code, error.message))
            if handling.releasable_to and authority_of(recipient) not in handling.releasable_to:
                text = f"the handling does not release it to '{authority_of(recipient)}'"
                problems.append(_problem(recipient, "not_releasable", text))
        if not terms.drafted and refuses_on_national_security(message):
            text = "two persons must sign a refusal on the ground of national security: make a draft of it"
            problems += [_problem(r, "release_required", text) for r in recipients]
        problems += [
            _problem(r, *_unbound) for r in recipients for _unbound in _unbound_by_type(draft, target)
        ]
        return problems

    def _succession_problems(self, draft: Draft, recipients: tuple[Address, ...]) -> list[JsonObject]:
        """What stands against taking the place of an earlier message: it was never logged, or would live on.

        A correction goes to everyone who got the original (docs/spec/messages.md §2), else some would go on
        believing it. Who cannot be reached any more is no hindrance.
        """
        if draft.supersedes is None:
            return []
        payload = message_hash(draft.supersedes)
        earlier = self._session.store.message(payload, Direction.OUT)
        if earlier is not None and earlier.stage in {MessageStage.REFUSED, MessageStage.GIVEN_UP}:
            text = "the message that this supersedes was never logged: send this one by itself"
            return [_problem(r, "supersedes_not_own", text) for r in recipients]
        had = {d.recipient for d in self._session.store.deliveries(payload)}
        reachable = {r for r in map(Address, had - set(recipients)) if self._sealer.key_of(r) is not None}
        text = (
            "received the message that this supersedes, and would go on believing it: send this one there too"
        )
        return [_problem(r, "superseded_not_reached", text) for r in sorted(reachable)]

    def _review(
        self,
        draft: Draft,
        message: _contents.Message,
        recipients: tuple[Address, ...],
        terms: _Terms,
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
        terms: _Terms,
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
            message = _lowest(draft.type, (v for name, v in known_types() if name == draft.type), message)
        recipients: tuple[Address, ...] = ()
        with contextlib.suppress(MalformedError):  # a name: whom it leads to, `resolve` tells
            recipients = tuple(parse_address(to) for to in draft.to)
        found = self._findings(draft, message, recipients, terms, now, forwarded=True)
        return tuple(each for each in found if each.severity is _contents.Severity.WARN)

    def _check_trace(
        self, draft: Draft, message: _contents.Message, recipients: tuple[Address, ...], terms: _Terms
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
                content = open_received(self._session, stored)
                if isinstance(content, _contents.TracingRequest):
                    return content
        return None


def _lowest(type_: str, versions: Iterable[int], document: JsonObject) -> _contents.Message:
    """A content as the lowest of some versions that holds it; what the newest says of it if none does."""
    *older, newest = sorted(versions)
    for version in older:
        with contextlib.suppress(MalformedError):
            return _contents.validate_content(type_, version, document)
    return _contents.validate_content(type_, newest, document)


def _unbound_by_type(draft: Draft, target: Target | None) -> list[tuple[str, str]]:
    """What the type demands of the manifest and the draft does not say, as codes with words."""
    info = TYPES[draft.type]
    if info.is_answer and target is None:
        return [("answer_incomplete", "an answer names the message it replies to")]
    if info.in_conversation and target is None:
        return [
            (
                "not_in_conversation",
                f"a {draft.type} names the message of the conversation that it replies to",
            )
        ]
    superseded = message_hash(draft.supersedes) if draft.supersedes is not None else None
    if info.amends and (target is None or superseded != target.message):
        text = f"a {draft.type} supersedes the message that it is about, and replies to no other"
        return [("amends_nothing", text)]
    return []


def _check_h3(message: _contents.Message, handling: Handling) -> None:
    """What H3 stands for is content: a message that bears it says so in its use restrictions."""
    restrictions = getattr(message, "use_restrictions", None)
    if HandlingCode.H3 in handling.codes and getattr(restrictions, "h3_text", None) is None:
        raise PolicyError(
            "h3_text_missing",
            "handling code H3 stands for restrictions in words: expected useRestrictions.h3Text in the content",
        )


def _no_key(recipient: Address, keys: KeysRecord, now: int) -> JsonObject:
    """Why there is nothing to seal to for a recipient that has keys."""
    code = "sealing_key_not_accepted"
    if keys.sealing_from > now:
        text = (
            f"its new sealing key counts from {moment(keys.sealing_from)} only, and the one before it not any more: "
            "wait until then"
        )
        return _problem(recipient, code, text) | {"sealing_from": keys.sealing_from}
    if keys.sealing_until is not None and keys.sealing_until <= now:
        return _problem(
            recipient, code, f"its sealing key ended {moment(keys.sealing_until)}: it must publish a new one"
        )
    return _problem(recipient, code, "its sealing key is revoked: it must publish a new one")


def _problem(recipient: str, code: str, message: str) -> JsonObject:
    return {"recipient": recipient, "code": code, "message": message}


def _country(address: Address) -> str | None:
    code = authority_of(address)
    return code.upper() if len(code) == 2 else None
