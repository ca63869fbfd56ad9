"""From a draft to a message: its terms, what is said of it before it is sent, and the sending itself.

Sending is under the draft's own reference: a console that is stopped in the middle sends no second message when it is
asked again.

Source: docs/spec/messages.md §2, §8; docs/spec/policy.md §5.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from countermark_client import Addressee, Attach, Client, Draft, LeftOut, Sent, default_handling
from countermark_console.clock import Clock
from countermark_console.desk.drafts import DraftRow, Drafts, with_photographs
from countermark_console.desk.forms.documents import tidy
from countermark_console.desk.forms.fields import form_of
from countermark_protocol.encoding import JsonObject, malformed
from countermark_protocol.errors import CountermarkError, MalformedError, NotFoundError
from countermark_protocol.explaining import Explanation, explain
from countermark_protocol.handling import Handling, parse_handling
from countermark_protocol.identifiers import Address, parse_address
from countermark_protocol.messages.base import Message
from countermark_protocol.messages.review import Finding
from countermark_protocol.policy import PolicyFacts
from countermark_protocol.registry import content_document, validate_content
from countermark_protocol.tracing.contents import validate_item

_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Terms:
    """What is said of a message beside its content.

    Attributes:
        to: addresses, groups and selectors.
        leave_out: addresses that these lead to and that it does not go to.
        urgency: of the manifest.
        tlp: who may see it; empty for that of the message replied to, or the default.
        classification: protection level, likewise.
        codes: SIENA codes.
        originator_control: onward copies need consent.
        purpose: what it may be used for.
        retention_until: day until which it may be kept, or empty.
        releasable_to: authorities; empty: no such limit.
        reply_by: day until which an answer is wanted, or empty.
        reply_to: payload hash of what it answers, or empty.
        supersedes: payload hash of what it takes the place of or amends, or empty.
        exercise: drill traffic.
    """

    to: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    urgency: str = "routine"
    tlp: str = ""
    classification: str = ""
    codes: tuple[str, ...] = ()
    originator_control: bool = False
    purpose: str = ""
    retention_until: str = ""
    releasable_to: tuple[str, ...] = ()
    reply_by: str = ""
    reply_to: str = ""
    supersedes: str = ""
    exercise: bool = False

    def to_json(self) -> JsonObject:
        """To be kept with a draft."""
        out: JsonObject = {}
        for one in fields(self):
            value = getattr(self, one.name)
            out[one.name] = list(value) if isinstance(value, tuple) else value
        return out

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Terms:
        """From what was kept."""
        known = {one.name for one in fields(cls)}
        values: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in kept.items() if name in known
        }
        return cls(**values)

    def handling(self, usual: Handling) -> Handling:
        """How the message may be used.

        Args:
            usual: what stands for all that is not said.

        Raises:
            MalformedError: what is said is none, or contradicts itself.
        """
        said: JsonObject = usual.to_json()
        said |= {"codes": list(self.codes), "originator_control": self.originator_control}
        for name, value in (
            ("tlp", self.tlp),
            ("classification", self.classification),
            ("purpose", self.purpose),
        ):
            if value:
                said[name] = value
        if self.retention_until:
            said["retention_until"] = _day(self.retention_until, "retention_until")
        said.pop("releasable_to", None)
        if self.releasable_to:
            said["releasable_to"] = sorted(self.releasable_to)
        return parse_handling(said)


def _day(text: str, what: str) -> int:
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        malformed("bad_day", f"{what}: expected a day of the calendar, written YYYY-MM-DD")
    return int(dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC).timestamp() * 1000) + _DAY_MS - 1


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Whom a weapon's marks point to.

    Attributes:
        item: reference of the weapon.
        country: ISO 3166-1 alpha-2.
        certain: whether the weapon itself says so.
        reasons: in words.
        contacts: addresses of that State's points of contact.
    """

    item: str
    country: str
    certain: bool
    reasons: tuple[str, ...]
    contacts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """What would happen to a draft if it were sent now.

    Attributes:
        message: the content.
        version: of its type, in which it would be sent.
        recipients: to whom.
        left_out: whom selectors found and left out.
        answers: of the policy, one for each recipient.
        findings: what a person should know of the content.
        handling: how it may be used.
        visible: what broker and auditors see, name and value, as it would stand in the manifest.
        problems: what would hinder it, in words; empty if nothing is known.
    """

    message: Message = field(repr=False)
    version: int
    recipients: tuple[Addressee, ...]
    left_out: tuple[LeftOut, ...]
    answers: tuple[Explanation, ...]
    findings: tuple[Finding, ...]
    handling: Handling
    visible: tuple[tuple[str, Any], ...]
    problems: tuple[str, ...]

    @property
    def refused(self) -> bool:
        """Whether it is a rule that hinders it."""
        return any(one.text for one in self.answers)

    @property
    def two_persons(self) -> tuple[str, ...]:
        """Why a second person's signature is demanded; empty if it is not."""
        why = [one.two_persons for one in self.answers if one.two_persons is not None]
        if any(finding.severity.value == "hold" for finding in self.findings):
            why.append("a finding about the content holds it until a second person has read it")
        return tuple(dict.fromkeys(why))


class Composing:
    """Makes messages of drafts.

    Args:
        drafts: of the desk.
        clock: ms since 1970.
    """

    def __init__(self, drafts: Drafts, clock: Clock) -> None:
        self._drafts = drafts
        self._clock = clock

    def document(self, row: DraftRow) -> JsonObject:
        """The content of a draft, with its photographs at the weapons that they show."""
        form = form_of(row.type, row.version)
        document = tidy(form, row.form)
        items = form.find("items")
        takes = items is not None and items.item is not None and items.item.find("photographs") is not None
        return with_photographs(document, self._drafts.photographs(row.id)) if takes else document

    def client_draft(self, client: Client, row: DraftRow) -> Draft:
        """The draft as the client takes it.

        Raises:
            MalformedError: its content or its terms are not valid.
        """
        terms = Terms.of(row.terms)
        message = validate_content(row.type, row.version, self.document(row))
        reply_by = _day(terms.reply_by, "reply_by") if terms.reply_by else None
        return Draft(
            type=row.type,
            # A document, so that the lowest version is taken that holds it and that all recipients read.
            content=content_document(message),
            to=terms.to,
            leave_out=terms.leave_out,
            urgency=terms.urgency,
            handling=terms.handling(self.usual_handling(client, terms.reply_to)),
            in_reply_to=terms.reply_to or None,
            supersedes=terms.supersedes or None,
            reply_by=dt.datetime.fromtimestamp(reply_by / 1000, dt.UTC) if reply_by is not None else None,
            exercise=terms.exercise,
            reference=f"console/{row.id}",
            attachments=tuple(
                # Encoded anew when they were taken in: what is sent is what was shown.
                Attach(one.data, name=one.name, caption=one.caption or None, as_is=True)
                for one in self._drafts.photographs(row.id)
            ),
        )

    def usual_handling(self, client: Client, reply_to: str) -> Handling:
        """How a message may be used where nothing is said: as what it answers, else by default."""
        if reply_to:
            return client.message(reply_to).manifest.handling
        return default_handling(self._clock())

    def suggestions(self, client: Client, document: JsonObject) -> tuple[Suggestion, ...]:
        """Whom to ask, by what stands on the weapons; those that are not described enough are left out."""
        found = []
        for item in document.get("items", ()):
            try:
                weapon = validate_item(item)
            except MalformedError:
                continue
            found += [
                Suggestion(
                    weapon.item_ref,
                    one.candidate.country,
                    one.candidate.certain,
                    tuple(reason.text for reason in one.candidate.reasons),
                    tuple(one.contacts),
                )
                for one in client.whom_to_ask(weapon)
            ]
        return tuple(found)

    def preview(self, client: Client, row: DraftRow) -> Preview:
        """What would happen to a draft, by the directory as it was read last. Nothing is made or sent.

        Raises:
            MalformedError: content, terms or recipients are not valid.
            CountermarkError: a name leads nowhere.
        """
        draft = self.client_draft(client, row)
        resolution = client.resolve(draft)
        recipients = tuple(one.address for one in resolution.recipients)
        answers = self._answers(client, draft, recipients, to_group=resolution.group is not None)
        message = validate_content(row.type, row.version, self.document(row))
        problems = [f"{one.recipient}: {one.text}" for one in answers if one.text]
        # What else stands against a recipient, such as a key that is revoked: sending would name it, and send nothing.
        problems += [
            f"{one.recipient}: {one.message}; {one.remedy}"
            for one in resolution.problems
            if one.recipient not in {answer.recipient for answer in answers if answer.text}
        ]
        handling = draft.handling
        assert handling is not None
        return Preview(
            message=message,
            version=row.version,
            recipients=resolution.recipients,
            left_out=resolution.left_out,
            answers=answers,
            findings=client.review(draft),
            handling=handling,
            visible=self._visible(client, row, draft, recipients),
            problems=tuple(problems),
        )

    def _answers(
        self, client: Client, draft: Draft, recipients: Iterable[Address], *, to_group: bool
    ) -> tuple[Explanation, ...]:
        directory, own = client.directory, client.profile.endpoint
        handling = draft.handling
        assert handling is not None
        to = tuple(recipients)
        replied = self._sender_of(client, draft)
        facts = PolicyFacts(
            sender=own,
            type=draft.type,
            recipients=len(to),
            classification=handling.classification,
            exercise=draft.exercise,
            replied_to=replied,
            parties=frozenset(to) if replied is not None else frozenset(),
            tlp=handling.tlp,
            to_group=to_group,
            on_behalf_of=None,
            time=self._clock(),
        )
        record = directory.endpoint(own)
        demand = f"{own}, of all that it sends" if record is not None and record.two_persons else None
        policy = directory.policy()
        return tuple(
            explain(
                policy, facts, one, released=True, releasable_to=handling.releasable_to, own_demand=demand
            )
            for one in to
        )

    def _sender_of(self, client: Client, draft: Draft) -> Address | None:
        ref = draft.in_reply_to or draft.supersedes
        if ref is None:
            return None
        try:
            return client.message(ref).manifest.sender
        except NotFoundError:
            return None

    def _visible(
        self, client: Client, row: DraftRow, draft: Draft, recipients: tuple[Address, ...]
    ) -> tuple[tuple[str, Any], ...]:
        handling = draft.handling
        assert handling is not None
        shown: dict[str, Any] = {
            "from": client.profile.endpoint,
            "recipients": recipients,
            "type": draft.type,
            "urgency": str(draft.urgency),
            "tlp": handling.tlp.value,
            "classification": handling.classification.value,
            "codes": tuple(code.value for code in handling.codes),
            "originator_control": handling.originator_control,
            "purpose": handling.purpose.value,
            "retention_until": handling.retention_until,
            "releasable_to": handling.releasable_to,
            "reply_by": round(draft.reply_by.timestamp() * 1000) if draft.reply_by is not None else None,
            "in_reply_to": draft.in_reply_to,
            "supersedes": draft.supersedes,
            "exercise": draft.exercise,
            "attachments": len(self._drafts.photographs(row.id)),
        }
        return tuple(
            (name, value) for name, value in shown.items() if value not in {None, ""} and value != ()
        )

    # --- sending ---

    def send(self, client: Client, row: DraftRow) -> Sent:
        """Send a draft that one signature suffices for; asked again, what was sent is told.

        Raises:
            CountermarkError: as `Client.send`.
        """
        draft = self.client_draft(client, row)
        [outcome] = list(client.send_bulk([draft]))
        if outcome.error is not None:
            raise outcome.error
        assert outcome.sent is not None
        return outcome.sent

    def for_signature(self, client: Client, row: DraftRow, files: Path) -> bytes:
        """The file of a draft that a second person signs.

        Args:
            client: of the agency.
            row: of the draft.
            files: new folder for the sealed pieces of its photographs.

        Raises:
            CountermarkError: as `Client.draft_message`.
        """
        draft = replace(self.client_draft(client, row), reference=None)
        return client.draft_message(draft, files if draft.attachments else None)


def addresses(text: str) -> tuple[str, ...]:
    """Names of recipients from what was typed, separated by commas, blanks or lines."""
    return tuple(dict.fromkeys(text.replace(",", " ").replace(";", " ").split()))


def is_address(text: str) -> bool:
    """Whether a text is the address of an endpoint."""
    try:
        parse_address(text)
    except CountermarkError:
        return False
    return True
