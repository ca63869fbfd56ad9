"""The desk as one object: what pages work with, and the thread that receives."""

from __future__ import annotations

import base64
import io
import json
import shutil
import tempfile
import threading
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

from countermark_client import Client
from countermark_console.agency_log.log import AgencyLog
from countermark_console.clock import Clock
from countermark_console.desk import acts
from countermark_console.desk.answers import Asked, begin_answer
from countermark_console.desk.cases import Case, Cases
from countermark_console.desk.composing import Composing, Terms
from countermark_console.desk.drafts import MAX_PHOTOGRAPH_BYTES, DraftRow, Drafts, encoded_anew
from countermark_console.desk.duty import DutyMail
from countermark_console.desk.entries import Entry
from countermark_console.desk.forms.choices import Known
from countermark_console.desk.forms.fields import form_of, newest_version
from countermark_console.desk.receiving import Receiving
from countermark_console.desk.saved_views import SavedViews
from countermark_console.desk.shelf import Shelf, StoredMessage
from countermark_console.errors import LockedError
from countermark_console.store.database import Database
from countermark_console.store.facts import Facts
from countermark_console.vault import Vault
from countermark_protocol.encoding import JsonObject, encode_json
from countermark_protocol.errors import MalformedError, NotFoundError, PolicyError, SealError, TransportError
from countermark_protocol.identifiers import Address, authority_of
from countermark_protocol.tracing.deadlines import REQUEST
from countermark_protocol.types import TYPES

_CONTACT: Final = "desk/contact"


class Desk:
    """The messages, cases and drafts of an agency.

    Args:
        database: the agency's own store, upgraded by `steps.STEPS`.
        log: the agency's own log.
        facts: single values that are kept.
        vault: the agency's keys.
        clock: ms since 1970.
        duty: tells the duty officer of urgent messages, or None.
        folder: for the sealed pieces of drafts that wait for a second signature.
    """

    def __init__(
        self,
        database: Database,
        log: AgencyLog,
        facts: Facts,
        vault: Vault,
        clock: Clock,
        duty: DutyMail | None,
        folder: Path,
    ) -> None:
        self._log = log
        self._facts = facts
        self._vault = vault
        self._clock = clock
        self._duty = duty
        self._folder = folder
        self.shelf = Shelf(database)
        self.cases = Cases(database)
        self.drafts = Drafts(database, clock)
        self.views = SavedViews(database)
        self.composing = Composing(self.drafts, clock)
        self.receiving = Receiving(self._if_open, self.shelf, self.cases, clock, self._came)
        # While a draft is released nobody takes it back: what is sent is what the releaser was shown.
        self._releasing = threading.Lock()

    def start(self) -> None:
        """Receive while the keys are open."""
        self._vault.on_change(self._changed)

    def close(self) -> None:
        """Stop receiving."""
        self.receiving.stop()

    def _changed(self, client: Client | None) -> None:
        # The vault closes the client once this has returned: the thread has ended by then.
        self.receiving.stop()
        if client is not None:
            self.receiving.start()

    def _if_open(self) -> Client | None:
        try:
            return self._vault.client
        except LockedError:
            return None

    def _came(self, entries: tuple[Entry, ...]) -> None:
        urgent = [entry for entry in entries if entry.urgent]
        if urgent and self._duty is not None:
            self._duty.tell(urgent)

    # --- reading ---

    def read(self, message: StoredMessage, person: str) -> None:
        """Note that somebody reads a message; the first time it is logged."""
        if message.direction == "in" and self.shelf.mark_read(message.hash, person, self._clock()):
            self._log.write(person, acts.MESSAGE_READ, message.hash)

    def known(self) -> Known:
        """What this agency alone knows, to be found by typing."""
        client = self._if_open()
        if client is None:
            return Known(terms=self.shelf.suggested)
        directory = client.directory
        endpoints, authorities = {}, {}
        for subject in directory.subjects("endpoint/"):
            address = Address(subject.removeprefix("endpoint/"))
            record = directory.endpoint(address)
            if record is not None:
                endpoints[str(address)] = record.name
                code = authority_of(address)
                found = directory.authority(code)
                authorities[str(code)] = found.name if found is not None else str(code)
        return Known(endpoints=endpoints, authorities=authorities, terms=self.shelf.suggested)

    # --- files of messages ---

    @staticmethod
    def thumbnail(message: StoredMessage, index: int) -> tuple[bytes, str] | None:
        """The small picture of a file, encoded anew, and its media type; None where there is none that is one."""
        for one in message.facts["attachments"]:
            if one["index"] == index and one["thumbnail"]:
                return encoded_anew(base64.b64decode(one["thumbnail"]))
        return None

    def fetch(self, client: Client, message: StoredMessage, index: int, to: BinaryIO) -> JsonObject:
        """Write a file of a message, checked against what its sender signed; what is said of it.

        Raises:
            NotFoundError: ``no_such_attachment``.
            CountermarkError: as `Client.fetch_attachment`.
        """
        told: JsonObject | None = next(
            (one for one in message.facts["attachments"] if one["index"] == index), None
        )
        if told is None:
            raise NotFoundError("no_such_attachment", "this message has no such file")
        client.fetch_attachment(message.hash, index, to)
        return told

    def pictures(self, message: StoredMessage) -> list[tuple[bytes, str]]:
        """The photographs of a message, each encoded anew, with its caption; what cannot be read is left out.

        Raises:
            LockedError: the keys are locked.
        """
        found = []
        for one in message.facts["attachments"]:
            if not str(one["media_type"]).startswith("image/") or one["size"] > MAX_PHOTOGRAPH_BYTES:
                continue
            file = io.BytesIO()
            try:
                self.fetch(self._vault.client, message, one["index"], file)
            except (NotFoundError, SealError, TransportError):
                continue
            made = encoded_anew(file.getvalue())
            if made is not None:
                found.append((made[0], str(one["caption"] or one["name"])))
        return found

    # --- acts on messages ---

    def accept(self, client: Client, hashes: Iterable[str], person: str) -> int:
        """State that messages were taken in; how many were not yet.

        Raises:
            CountermarkError: as `Client.accept_many`.
        """
        open_ = set(self.shelf.open_hashes())
        wanted = [name for name in dict.fromkeys(hashes) if name in open_]
        if not wanted:
            return 0
        client.accept_many(wanted)
        self.shelf.set_stage(wanted, "accepted")
        for name in wanted:
            self._log.write(person, acts.MESSAGE_ACCEPTED, name)
        self.receiving.follow(client, {self.shelf.get(name).conversation for name in wanted})
        return len(wanted)

    def reject(self, client: Client, name: str, reason: str, details: str, person: str) -> None:
        """State that a message was not taken in, with the reason.

        Raises:
            CountermarkError: as `Client.reject`.
        """
        client.reject(name, reason, details or None)
        self.shelf.set_stage([name], "rejected")
        self._log.write(person, acts.MESSAGE_REJECTED, name, reason)
        self.receiving.follow(client, [self.shelf.get(name).conversation])

    def note_restrictions_read(self, client: Client, name: str, person: str) -> None:
        """State that a person has read what handling code H3 stands for."""
        client.acknowledge_handling(name)
        self._log.write(person, acts.RESTRICTIONS_READ, name)

    # --- cases ---

    def close_case(
        self, client: Client | None, case: Case, person: str, outcome: str, *, diverted: bool | None
    ) -> None:
        """Close a case: a trace of one's own as the tracing process says, any other here.

        Args:
            client: of the agency; needed for a trace of one's own.
            case: to be closed.
            person: who closes it.
            outcome: in words.
            diverted: of a trace of one's own, whether it established the point of diversion.

        Raises:
            CountermarkError: as `Client.close_trace`; `Cases.close`.
        """
        if case.type == REQUEST and case.direction == "out" and client is not None and diverted is not None:
            client.close_trace(case.conversation, diversion_established=diverted, note=outcome[:1000])
            self.receiving.follow(client, [case.conversation])
        self.cases.close(case.conversation, person, outcome, self._clock())
        self._log.write(person, acts.CASE_CLOSED, case.conversation)

    # --- drafts ---

    def begin(
        self, message_type: str, person: str, terms: Terms | None = None, form: JsonObject | None = None
    ) -> str:
        """Begin a draft of a type; its id.

        Raises:
            NotFoundError: ``unknown_type``.
        """
        if message_type not in TYPES:
            raise NotFoundError("unknown_type", "there is no such type of message")
        version = newest_version(message_type)
        state = form if form is not None else self._usual_form(message_type, version)
        name = self.drafts.begin(person, message_type, version, state, (terms or Terms()).to_json())
        self._log.write(person, acts.DRAFT_BEGUN, name, message_type)
        return name

    def _usual_form(self, message_type: str, version: int) -> JsonObject:
        form = form_of(message_type, version)
        out: JsonObject = {}
        if form.find("contact") is not None and self.contact:
            out["contact"] = self.contact
        items = form.find("items")
        if items is not None and items.item is not None and items.required:
            out["items"] = [{"itemRef": "1"}]
        return out

    def answer(self, message: StoredMessage, name: str, person: str, language: str) -> str:
        """Begin the draft of an answer, or of an amendment of one's own message; its id.

        Raises:
            NotFoundError: ``no_such_answer``.
        """
        case = self.cases.get(message.conversation)
        asked = Asked(
            message=message,
            before=self.shelf.conversation(message.conversation),
            now=self._clock(),
            deadline=case.deadline,
            contact=self.contact,
            language=language,
            local_ref=self._local_ref(message),
        )
        message_type, _, form = begin_answer(name, asked)
        terms = Terms(to=(message.sender,), urgency=message.manifest["urgency"], reply_to=message.hash)
        if message.direction == "out":
            # Who received the message would go on believing it: the amendment goes to the same.
            terms = replace(terms, to=message.recipients, supersedes=message.hash)
        return self.begin(message_type, person, terms, form)

    def _local_ref(self, message: StoredMessage) -> str:
        """This agency's own reference of a case: as it answered before, else one made of the case's number."""
        for one in self.shelf.conversation(message.conversation):
            said = (one.content or {}).get("localRef")
            if one.direction == "out" and isinstance(said, str):
                return said
        return f"CM-{self.cases.get(message.conversation).number:06d}"

    @property
    def contact(self) -> JsonObject:
        """How this agency can be reached, as it said in its last message."""
        kept = self._facts.get(_CONTACT)
        found: JsonObject = json.loads(kept) if kept else {}
        return found

    def _keep_contact(self, row: DraftRow) -> None:
        contact = self.composing.document(row).get("contact")
        if isinstance(contact, dict) and contact:
            self._facts.set(_CONTACT, encode_json(contact).decode())

    def needs_release(self, client: Client, row: DraftRow, *, always: bool) -> tuple[str, ...]:
        """Why another person must release a draft; empty if nobody asks for that.

        Args:
            client: of the agency.
            row: of the draft.
            always: the agency's own setting.
        """
        why = list(self.composing.preview(client, row).two_persons)
        return tuple(["this agency lets two persons release every message"] * always + why)

    def submit(self, client: Client, row: DraftRow, person: str) -> None:
        """Hand a draft over for release; where a second signature is demanded, it is signed by the first now.

        Raises:
            CountermarkError: it is not valid, or would not be allowed.
        """
        preview = self.composing.preview(client, row)
        if preview.problems:
            raise MalformedError("not_allowed", "; ".join(preview.problems))
        signed = None
        if preview.two_persons:
            self._forget_pieces(row)
            signed = self.composing.for_signature(client, row, self._pieces(row))
        self.drafts.submit(row.id, person, signed)
        self._keep_contact(row)
        self._log.write(person, acts.DRAFT_SUBMITTED, row.id, row.type)

    def release(self, client: Client, name: str, person: str, seen: int, second: Client | None = None) -> str:
        """Release a draft that waits, and send it; its conversation.

        Args:
            client: of the agency.
            name: of the draft.
            person: who releases it; none of those who wrote it.
            seen: the revision that this person was shown.
            second: of the second holder's key, where a second signature is demanded and the file does not bear it.

        Raises:
            DeniedError: ``own_draft``.
            ConflictError: ``not_waiting``, ``draft_changed``.
            CountermarkError: as the client.
        """
        with self._releasing:
            row = self.drafts.get(name)
            self.drafts.check_releaser(row, person, seen)
            return self._release(client, row, person, second)

    def _release(self, client: Client, row: DraftRow, person: str, second: Client | None) -> str:
        if row.signed is None:
            return self._sent(client, row, person, self.composing.send(client, row).message)
        signed = row.signed
        if second is not None:
            signed = second.sign_message_draft(signed, self._held_pieces(row))
            self.drafts.keep_signed(row.id, signed)
        return self._sent(
            client, row, person, client.send_message_draft(signed, self._held_pieces(row)).message
        )

    def send_now(self, client: Client, row: DraftRow, person: str) -> str:
        """Send a draft that nobody else must release; its conversation.

        Raises:
            CountermarkError: as the client.
        """
        self._keep_contact(row)
        return self._sent(client, row, person, self.composing.send(client, row).message)

    def _sent(self, client: Client, row: DraftRow, person: str, message: bytes) -> str:
        self.drafts.set_sent(row.id, message.hex(), person)
        self._forget_pieces(row)
        self._log.write(person, acts.MESSAGE_SENT, message.hex(), row.type)
        conversation = self.receiving.stored(client, message)
        answered = Terms.of(row.terms).reply_to
        if answered:
            # Who answers has taken it in; restrictions that nobody has read yet (H3) still keep it open.
            with suppress(PolicyError):
                self.accept(client, [answered], person)
        return conversation

    def _pieces(self, row: DraftRow) -> Path:
        """Where the sealed pieces of a draft's photographs lie while it waits for a second signature."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._folder / row.id

    def _held_pieces(self, row: DraftRow) -> Path | None:
        return self._pieces(row) if self._pieces(row).exists() else None

    def _forget_pieces(self, row: DraftRow) -> None:
        shutil.rmtree(self._pieces(row), ignore_errors=True)

    def hand_back(self, row: DraftRow, person: str, why: str) -> None:
        """Hand a draft that waits back to who wrote it.

        Raises:
            ConflictError: ``not_waiting``.
        """
        with self._releasing:
            self.drafts.hand_back(row.id, why)
        self._forget_pieces(row)
        self._log.write(person, acts.DRAFT_RETURNED, row.id)

    def discard(self, name: str, person: str) -> None:
        """Throw a draft away.

        Raises:
            NotFoundError: ``unknown_draft``.
            ConflictError: ``not_drafting``: it is sent.
        """
        with self._releasing:
            self.drafts.discard(name)
        self._log.write(person, acts.DRAFT_DISCARDED, name)

    def packed(self, row: DraftRow) -> BinaryIO | None:
        """A draft and the sealed pieces of its photographs as one ZIP file; None for a draft without photographs.

        Unpacked it is what ``countermark release`` takes: the draft, and beside it the folder of the same name with
        ``.files``. The file lies on disk, unnamed, until it is closed.
        """
        folder = self._held_pieces(row)
        if folder is None or row.signed is None:
            return None
        out = tempfile.TemporaryFile()  # noqa: SIM115  whoever reads it closes it
        draft = f"message-{row.id[:8]}.draft"
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:  # what is sealed does not get smaller
            archive.writestr(draft, row.signed)
            for piece in sorted(folder.iterdir()):
                archive.write(piece, f"{draft}.files/{piece.name}")
        out.seek(0)
        return out

    def take_signed(self, client: Client, row: DraftRow, data: bytes, person: str) -> None:
        """Take in the file of a draft that a second holder has signed elsewhere.

        Raises:
            CountermarkError: it is not that draft, or bears no further signature.
        """
        self.drafts.check_releaser(row, person, row.revision)
        assert row.signed is not None
        before, after = client.read_message_draft(row.signed), client.read_message_draft(data)
        if before.message != after.message:
            raise MalformedError("other_draft", "this file is another message than the one that waits here")
        self.drafts.keep_signed(row.id, data)
        self._log.write(person, acts.DRAFT_SIGNED, row.id)
