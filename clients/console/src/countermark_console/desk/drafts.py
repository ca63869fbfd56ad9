"""Drafts: what officials write, kept at every change until it is sent; who may release it; its photographs.

A draft is *drafting* while it is written, *waiting* once its author has handed it over for release, *sent* at the end.
Whoever wrote in a draft does not release it.

Source: docs/howto/release-and-behalf.md; domain page 6.1 (two persons).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Row, delete, func, insert, select, update

from countermark_client.attaching import Attach, prepare_now
from countermark_console.clock import Clock
from countermark_console.desk.tables import drafts, photographs
from countermark_console.errors import DeniedError, InputError
from countermark_console.store.database import Database
from countermark_console.texts import N_
from countermark_protocol.encoding import JsonObject, encode_json
from countermark_protocol.errors import ConflictError, MalformedError, NotFoundError

#: Of one draft: more are sent in a second message.
MAX_PHOTOGRAPHS: Final = 40
MAX_PHOTOGRAPH_BYTES: Final = 32 * 1024 * 1024
#: What photographs are made of; anything else is refused, whatever its name says.
_PICTURES: Final = frozenset({"image/jpeg", "image/png", "image/webp", "image/tiff"})


class DraftState(StrEnum):
    """How far a draft is."""

    DRAFTING = "drafting"
    WAITING = "waiting"
    SENT = "sent"


@dataclass(frozen=True, slots=True)
class DraftRow:
    """A draft as it is kept. Times are ms since 1970.

    Attributes:
        id: 32 hexadecimal digits.
        revision: rises with every change.
        hands: everybody who wrote in it.
        form: state of the form (`forms.documents`).
        terms: recipients, urgency, handling and what it answers (`composing.Terms`).
        signed: once it waits for a second signature, the file that is signed.
        returned: why it was handed back, or None.
        message: payload hash, once it is sent.
    """

    id: str
    state: DraftState
    revision: int
    type: str
    version: int
    author: str
    hands: tuple[str, ...]
    made_at: int
    changed_at: int
    form: JsonObject = field(repr=False)
    terms: JsonObject = field(repr=False)
    submitted_by: str | None
    submitted_at: int | None
    signed: bytes | None = field(repr=False)
    returned: str | None
    message: str | None
    released_by: str | None


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph of a draft, encoded anew and without what it told of camera and place.

    Attributes:
        item: place of the weapon that it shows; None: of the case.
        data: the file that is sent.
        thumbnail: JPEG.
    """

    id: str
    position: int
    name: str
    caption: str
    media_type: str
    width: int
    height: int
    sha256: str
    data: bytes = field(repr=False)
    thumbnail: bytes = field(repr=False)
    item: int | None


class Drafts:
    """The drafts of one desk.

    Args:
        database: the agency's own store, upgraded by `steps.STEPS`.
        clock: ms since 1970.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    # --- writing ---

    def begin(
        self, author: str, message_type: str, version: int, form: JsonObject, terms: Mapping[str, Any]
    ) -> str:
        """Make a draft; its id."""
        name, now = secrets.token_hex(16), self._clock()
        with self._database.write() as connection:
            connection.execute(
                insert(drafts).values(
                    id=name,
                    state=DraftState.DRAFTING.value,
                    revision=1,
                    type=message_type,
                    version=version,
                    author=author,
                    hands=_text([author]),
                    made_at=now,
                    changed_at=now,
                    form=_text(form),
                    terms=_text(dict(terms)),
                )
            )
        return name

    def keep(self, name: str, person: str, form: JsonObject, revision: int) -> bool:
        """Keep what a page says by itself while somebody types; whether it is of the newest page.

        What an older page says late, after a row was removed or the draft went on, changes nothing.

        Raises:
            NotFoundError, ConflictError: as `save`.
        """
        row = self.writable(name)
        if row.revision != revision:
            return False
        values = {"form": _text(form), "changed_at": self._clock()}
        if person not in row.hands:
            values["hands"] = _text([*row.hands, person])
        with self._database.write() as connection:
            done = connection.execute(
                update(drafts)
                .where(
                    drafts.c.id == name,
                    drafts.c.revision == revision,
                    drafts.c.state == DraftState.DRAFTING.value,
                )
                .values(**values)
            )
        return done.rowcount > 0

    def save(
        self, name: str, person: str, form: JsonObject | None = None, terms: Mapping[str, Any] | None = None
    ) -> DraftRow:
        """Keep what was written.

        Raises:
            NotFoundError: ``unknown_draft``.
            ConflictError: ``not_drafting``: it waits for release, or is sent.
        """
        row = self.writable(name)
        values: dict[str, Any] = {"revision": row.revision + 1, "changed_at": self._clock(), "returned": None}
        if person not in row.hands:
            values["hands"] = _text([*row.hands, person])
        if form is not None:
            values["form"] = _text(form)
        if terms is not None:
            values["terms"] = _text(dict(terms))
        self._change(name, DraftState.DRAFTING, **values)
        return self.get(name)

    def writable(self, name: str) -> DraftRow:
        """A draft that may be written in; raises as `save`."""
        row = self.get(name)
        if row.state is not DraftState.DRAFTING:
            raise _not_drafting()
        return row

    def discard(self, name: str) -> None:
        """Throw a draft away that is not sent, with its photographs; raises as `save`."""
        row = self.get(name)
        if row.state is DraftState.SENT:
            raise _not_drafting()
        with self._database.write() as connection:
            connection.execute(delete(photographs).where(photographs.c.draft == name))
            connection.execute(delete(drafts).where(drafts.c.id == name))

    # --- release ---

    def submit(self, name: str, person: str, signed: bytes | None) -> None:
        """Hand a draft over for release.

        Args:
            name: of the draft.
            person: who hands it over.
            signed: where a second signature is demanded, the file that is to be signed.

        Raises:
            ConflictError: ``not_drafting``.
        """
        self._change(
            name,
            DraftState.DRAFTING,
            state=DraftState.WAITING.value,
            revision=drafts.c.revision + 1,
            submitted_by=person,
            submitted_at=self._clock(),
            signed=signed,
            returned=None,
        )

    def hand_back(self, name: str, why: str) -> None:
        """Hand a draft back to who wrote it.

        Raises:
            ConflictError: ``not_waiting``.
        """
        self._change(
            name, DraftState.WAITING, state=DraftState.DRAFTING.value, returned=why[:2000], signed=None
        )

    def check_releaser(self, row: DraftRow, person: str, seen: int) -> None:
        """Whether somebody may release a draft.

        Args:
            row: of the draft.
            person: who releases it.
            seen: the revision that this person was shown; whoever took it back since may have changed it.

        Raises:
            ConflictError: ``not_waiting``, ``draft_changed``.
            DeniedError: ``own_draft``.
        """
        if row.state is not DraftState.WAITING:
            raise ConflictError("not_waiting", "this draft does not wait for release")
        if person in {*row.hands, row.submitted_by}:
            raise DeniedError("own_draft", N_("Who wrote a message does not release it: another person must"))
        if row.revision != seen:
            raise ConflictError(
                "draft_changed",
                N_(
                    "This draft was taken back and handed over again after you looked at it: read it once more"
                ),
            )

    def keep_signed(self, name: str, signed: bytes) -> None:
        """Keep the file of a draft with one more signature."""
        self._change(name, DraftState.WAITING, signed=signed)

    def set_sent(self, name: str, message: str, person: str) -> None:
        """Note that a draft is sent, and by whom it was released. Noted again, nothing changes."""
        with self._database.write() as connection:
            connection.execute(
                update(drafts)
                .where(drafts.c.id == name, drafts.c.state != DraftState.SENT.value)
                .values(
                    state=DraftState.SENT.value, message=message, released_by=person, changed_at=self._clock()
                )
            )

    def _change(self, name: str, expected: DraftState, **values: Any) -> None:
        with self._database.write() as connection:
            done = connection.execute(
                update(drafts).where(drafts.c.id == name, drafts.c.state == expected.value).values(**values)
            )
        if done.rowcount == 0:
            self.get(name)
            if expected is DraftState.WAITING:
                raise ConflictError("not_waiting", "this draft does not wait for release")
            raise _not_drafting()

    # --- reading ---

    def get(self, name: str) -> DraftRow:
        """A draft.

        Raises:
            NotFoundError: ``unknown_draft``.
        """
        with self._database.read() as connection:
            row = connection.execute(select(drafts).where(drafts.c.id == name)).first()
        if row is None:
            raise NotFoundError("unknown_draft", "there is no such draft at this desk")
        return _draft(row)

    def listed(self, *states: DraftState, limit: int = 200) -> tuple[DraftRow, ...]:
        """Drafts of some states, those changed last first."""
        query = (
            select(drafts)
            .where(drafts.c.state.in_([state.value for state in states]))
            .order_by(drafts.c.changed_at.desc())
            .limit(limit)
        )
        with self._database.read() as connection:
            return tuple(map(_draft, connection.execute(query).all()))

    def waiting(self) -> int:
        """How many drafts wait for release."""
        with self._database.read() as connection:
            query = select(func.count()).where(drafts.c.state == DraftState.WAITING.value)
            return int(connection.execute(query).scalar_one())

    def written_by(self, message: str) -> DraftRow | None:
        """The draft that a sent message was made of, if this console made it."""
        with self._database.read() as connection:
            row = connection.execute(select(drafts).where(drafts.c.message == message)).first()
        return _draft(row) if row is not None else None

    # --- photographs ---

    def add_photograph(self, name: str, person: str, data: bytes, file_name: str) -> str:
        """Take in a picture: by its content a picture of a known kind, encoded anew of its pixels alone; its id.

        Args:
            name: of the draft.
            person: who adds it.
            data: the file, from a browser: hostile until it is encoded anew.
            file_name: as the browser says.

        Raises:
            InputError: ``not_a_photograph``, ``photograph_too_large``, ``too_many_photographs``.
            MalformedError: ``image_unreadable``, ``image_too_large``.
            ConflictError: ``not_drafting``.
        """
        if len(data) > MAX_PHOTOGRAPH_BYTES:
            raise InputError(
                "photograph_too_large", N_("A photograph has at most 32 MB"), field="photographs"
            )
        self.save(name, person)
        made = prepare_now(Attach(data, name=file_name))
        if made.media_type not in _PICTURES:
            raise InputError(
                "not_a_photograph",
                N_("Only JPEG, PNG, WebP and TIFF pictures are taken"),
                field="photographs",
            )
        small = made.thumbnail
        if len(self.photographs(name)) >= MAX_PHOTOGRAPHS:
            raise InputError(
                "too_many_photographs", N_("A message takes at most 40 photographs"), field="photographs"
            )
        photograph = secrets.token_hex(16)
        with self._database.write() as connection:
            last = connection.execute(
                select(func.max(photographs.c.position)).where(photographs.c.draft == name)
            ).scalar()
            connection.execute(
                insert(photographs).values(
                    id=photograph,
                    draft=name,
                    position=0 if last is None else int(last) + 1,
                    name=made.name[:120],
                    caption="",
                    media_type=made.media_type,
                    width=small.width if small is not None else 0,
                    height=small.height if small is not None else 0,
                    sha256=made.sha256,
                    data=b"".join(made.blocks()),
                    thumbnail=small.data if small is not None else b"",
                    item=0,
                )
            )
        return photograph

    def describe_photograph(
        self, name: str, person: str, photograph: str, caption: str, item: int | None
    ) -> None:
        """Say what a photograph shows; who does has written in the draft."""
        self.save(name, person)
        with self._database.write() as connection:
            connection.execute(
                update(photographs)
                .where(photographs.c.draft == name, photographs.c.id == photograph)
                .values(caption=" ".join(caption.split())[:200], item=item)
            )

    def remove_photograph(self, name: str, person: str, photograph: str) -> None:
        """Take a photograph away; who does has written in the draft."""
        self.save(name, person)
        with self._database.write() as connection:
            connection.execute(
                delete(photographs).where(photographs.c.draft == name, photographs.c.id == photograph)
            )

    def photographs(self, name: str) -> tuple[Photograph, ...]:
        """The photographs of a draft, in their order."""
        query = select(photographs).where(photographs.c.draft == name).order_by(photographs.c.position)
        with self._database.read() as connection:
            return tuple(map(_photograph, connection.execute(query).all()))


def encoded_anew(data: bytes) -> tuple[bytes, str] | None:
    """A picture made of the pixels of another alone, and its media type; None where that is no picture of a known kind.

    For pictures of other agencies: whatever else is in such a file never reaches a browser or a PDF.
    """
    try:
        made = prepare_now(Attach(data))
    except MalformedError:
        return None
    return (b"".join(made.blocks()), made.media_type) if made.media_type in _PICTURES else None


def with_photographs(form: JsonObject, pictures: Iterable[Photograph]) -> JsonObject:
    """A content document with its photographs at the weapons that they show."""
    out: JsonObject = json.loads(_text(form))
    items = out.get("items")
    for one in pictures:
        if isinstance(items, list) and one.item is not None and one.item < len(items):
            told: JsonObject = {"sha256": one.sha256, "mediaType": one.media_type, "size": len(one.data)}
            if one.caption:
                told["caption"] = one.caption
            listed = items[one.item].setdefault("photographs", [])
            if told["sha256"] not in {each.get("sha256") for each in listed}:
                listed.append(told)
    return out


def _not_drafting() -> ConflictError:
    return ConflictError(
        "not_drafting", "this draft was handed over for release, or is sent: it is not changed"
    )


def _text(value: Any) -> str:
    return encode_json(value).decode()


def _draft(row: Row[Any]) -> DraftRow:
    values = dict(row._mapping)  # noqa: SLF001  the documented way to a row by names
    for name in ("form", "terms"):
        values[name] = json.loads(values[name])
    values["hands"] = tuple(json.loads(values["hands"]))
    return DraftRow(**{**values, "state": DraftState(values["state"])})


def _photograph(row: Row[Any]) -> Photograph:
    values = dict(row._mapping)  # noqa: SLF001
    values.pop("draft")
    return Photograph(**values)
