"""What stands against each recipient of a message: all of it, of everybody, before anything is sealed.

One report names every recipient with every reason and what to do about it, so that a sender mends once, and never
finds the second problem after the first. Whoever only a selector found is left out where rules or the sender's own
words exclude it; whoever could not be reached for a fault stays, and must be mended or left out by name.

Source: docs/spec/messages.md §2, §5.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from countermark_client import _contents
from countermark_client._addressing import office_of
from countermark_client._drafting import refuses_on_national_security
from countermark_client._models import Draft, message_hash
from countermark_client._revocations import Revocations
from countermark_client._seal import Target
from countermark_client._session import Session
from countermark_client._store import Direction, MessageStage
from countermark_client._words import moment
from countermark_protocol.decision import check_policy
from countermark_protocol.directory import Directory
from countermark_protocol.encoding import JsonObject, malformed
from countermark_protocol.errors import MalformedError, PolicyError
from countermark_protocol.handling import Handling, Tlp
from countermark_protocol.identifiers import Address, authority_of
from countermark_protocol.manifest import ResolvedGroup
from countermark_protocol.policy import PolicyFacts
from countermark_protocol.records import EndpointRecord, KeysRecord, State
from countermark_protocol.types import TYPES, find_type, known_types

#: Of who would be written to but for a fault, which somebody must mend. A selector leaves nobody out for one.
FAULTS: Final = frozenset({"unknown_recipient", "sealing_key_not_accepted"})

_REMEDIES: Final = {
    "unknown_recipient": "ask its authority to enrol it again or to end its suspension",
    "sealing_key_not_accepted": "ask it to publish a new sealing key (`countermark key renew`)",
    "version_not_read": "send what an older version holds, or ask it to update its software",
    "not_releasable": "name its authority in the handling's releasable_to",
    "policy_denied": "`countermark policy explain` tells by which rule",
    "embargoed": "the embargo ends by a new policy of the governors, or at its own end",
    "release_required": "make a draft, and let another holder of this endpoint release it",
    "red_to_group": "name the recipients one by one",
    "answer_incomplete": "name the message that it answers",
    "not_in_conversation": "name the message that it replies to",
    "amends_nothing": "name the message that it is about",
    "supersedes_not_own": "send it by itself, without naming an earlier one",
    "superseded_not_reached": "name it among the recipients",
    "quota_exceeded": "wait, or ask the broker's operator for a larger quota",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a message cannot be sent to one recipient.

    Attributes:
        recipient: its address; of a group as such, its name; of the sender's own quota, the sender.
        code: as the broker would refuse it.
        message: in words, without the recipient.
        facts: more of it, for programs.
    """

    recipient: str
    code: str
    message: str
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def remedy(self) -> str:
        """What can be done about it."""
        said = self.facts.get("remedy")
        return str(said) if said is not None else _REMEDIES.get(self.code, "leave it out")

    def to_json(self) -> JsonObject:
        """For ``facts['problems']`` of an error."""
        return {
            "recipient": self.recipient,
            "code": self.code,
            "message": self.message,
            **self.facts,
            "remedy": self.remedy,
        }


@dataclass(frozen=True, slots=True)
class Terms:
    """What a draft takes over from the message that it replies to, if it does not say otherwise.

    Attributes:
        handling: how it may be used.
        exercise: drill traffic.
        target: the message that it replies to, or None.
        drafted: it is signed by others before it is sent.
    """

    handling: Handling
    exercise: bool
    target: Target | None
    drafted: bool


class RecipientChecks:
    """Finds what stands against the recipients of one profile's messages."""

    def __init__(self, session: Session, revocations: Revocations) -> None:
        self._session = session
        self._revocations = revocations

    @property
    def _directory(self) -> Directory:
        return self._revocations.directory

    def problems(
        self, draft: Draft, recipients: tuple[Address, ...], group: ResolvedGroup | None, terms: Terms
    ) -> tuple[_contents.Message, list[Problem]]:
        """The content as the version that it is sent as, and all problems of all recipients, by recipient.

        Raises:
            MalformedError: the content is not valid.
            UncheckableError: a message type or version that is not known here.
        """
        message, problems = self._content(draft, recipients)
        # Roles, countries and handling are asked of the table that stands; the broker decides again.
        problems += self._policy_problems(draft, message, recipients, terms, group)
        problems += self._succession_problems(draft, recipients)
        if group is not None and terms.handling.tlp is Tlp.RED:
            problems.append(Problem(group.name, "red_to_group", "TLP:RED names its recipients one by one"))
        return message, sorted(problems, key=lambda p: p.recipient)

    # --- keys and versions ---

    def _content(
        self, draft: Draft, recipients: tuple[Address, ...]
    ) -> tuple[_contents.Message, list[Problem]]:
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
        now, problems = self._session.clock(), list[Problem]()
        common, read_by = wanted, dict[Address, set[int]]()
        for recipient in recipients:
            keys = self._directory.keys(recipient)
            if keys is None or keys.sealing is None:
                problems.append(
                    Problem(recipient, "unknown_recipient", self._why_no_keys(recipient, keys, now))
                )
                continue
            unusable = self._directory.sealing_key(recipient, now) is None
            if unusable:
                problems.append(no_key(recipient, keys, now))
            reads = set(keys.reads.get(draft.type, ()))
            if not reads & wanted:
                text = f"reads {sorted(reads) or 'no'} versions of {draft.type}, not {sorted(wanted)}"
                problems.append(Problem(recipient, "version_not_read", text))
                continue
            read_by[recipient] = reads
            # Who is not reached anyhow holds nobody to a version.
            common = common if unusable else common & reads
        document = (
            _contents.content_document(draft.content)
            if isinstance(draft.content, _contents.Message)
            else draft.content
        )
        message = lowest(draft.type, wanted, document)
        if message.VERSION in common:
            return message, problems
        higher = [v for v in sorted(common) if v > message.VERSION]
        if higher:
            message = _contents.validate_content(draft.type, higher[0], document)
        text = f"does not read version {message.VERSION} of {draft.type}, which this content needs"
        problems += [
            Problem(recipient, "version_not_read", text)
            for recipient, reads in read_by.items()
            if message.VERSION not in reads
        ]
        return message, problems

    def _why_no_keys(self, recipient: Address, keys: KeysRecord | None, now: int) -> str:
        held = self._directory.held(f"endpoint/{recipient}")
        if held is None or not isinstance(held.record, EndpointRecord):
            why = "is not in the directory: misspelt, or never enrolled"
        elif held.record.state is State.SUSPENDED:
            why = "is suspended by its authority"
        elif not self._directory.stands(f"endpoint/{recipient}"):
            why = "does not stand: its authority is suspended, or has lost its keys"
        elif keys is not None:
            why = "has published no key to seal to"
        elif self._directory.held(f"keys/{recipient}") is None:
            why = "has published no keys yet"
        else:
            why = "has keys that stand no more: its administrator's are revoked, or were replaced"
        _, alternates = office_of(self._directory, recipient, now)
        return why + (f"; {', '.join(alternates)} stands in for it" if alternates else "")

    # --- policy ---

    def _policy_problems(
        self,
        draft: Draft,
        message: _contents.Message,
        recipients: tuple[Address, ...],
        terms: Terms,
        group: ResolvedGroup | None,
    ) -> list[Problem]:
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
        problems: list[Problem] = []
        for recipient in recipients:
            try:
                check_policy(self._directory, facts, recipient, released=terms.drafted)
            except PolicyError as error:
                problems.append(Problem(recipient, error.code, error.message))
            if handling.releasable_to and authority_of(recipient) not in handling.releasable_to:
                text = f"the handling does not release it to '{authority_of(recipient)}'"
                problems.append(Problem(recipient, "not_releasable", text))
        if not terms.drafted and refuses_on_national_security(message):
            text = "two persons must sign a refusal on the ground of national security: make a draft of it"
            problems += [Problem(r, "release_required", text) for r in recipients]
        problems += [Problem(r, *unbound) for r in recipients for unbound in _unbound_by_type(draft, target)]
        return problems

    # --- an earlier message ---

    def _succession_problems(self, draft: Draft, recipients: tuple[Address, ...]) -> list[Problem]:
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
            return [Problem(r, "supersedes_not_own", text) for r in recipients]
        had = {d.recipient for d in self._session.store.deliveries(payload)}
        now = self._session.clock()
        reachable = {
            r for r in map(Address, had - set(recipients)) if self._directory.sealing_key(r, now) is not None
        }
        text = (
            "received the message that this supersedes, and would go on believing it: send this one there too"
        )
        return [Problem(r, "superseded_not_reached", text) for r in sorted(reachable)]


def lowest(type_: str, versions: Iterable[int], document: JsonObject) -> _contents.Message:
    """A content as the lowest of some versions that holds it; what the newest says of it if none does."""
    *older, newest = sorted(versions)
    for version in older:
        with contextlib.suppress(MalformedError):
            return _contents.validate_content(type_, version, document)
    return _contents.validate_content(type_, newest, document)


def no_key(recipient: Address, keys: KeysRecord, now: int) -> Problem:
    """Why there is nothing to seal to for a recipient that has keys."""
    code = "sealing_key_not_accepted"
    if keys.sealing_from > now:
        text = (
            f"its new sealing key counts from {moment(keys.sealing_from)} only, and the one before it not any more: "
            "wait until then"
        )
        remedy = f"send it after {moment(keys.sealing_from)}"
        return Problem(recipient, code, text, {"sealing_from": keys.sealing_from, "remedy": remedy})
    if keys.sealing_until is not None and keys.sealing_until <= now:
        return Problem(recipient, code, f"its sealing key ended {moment(keys.sealing_until)}")
    return Problem(recipient, code, "its sealing key is revoked")


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
