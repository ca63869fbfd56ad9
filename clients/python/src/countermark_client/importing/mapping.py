"""The mapping file: which column of a national register is which member of a notice, and how its cells are read.

Source: docs/spec/mapping.md.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from countermark_client import _contents
from countermark_client.importing._paths import type_of
from countermark_protocol.claims import Claims
from countermark_protocol.encoding import malformed
from countermark_protocol.types import known_types

_FORMAT: Final = 1
#: In the place of column names: a register without identifiers knows a record by all that it says.
WHOLE_ROW: Final = "whole-row"
#: A column that every row has: a digest of all its cells, for registers without references of their own.
ROW_DIGEST: Final = "#digest"


class Reading(StrEnum):
    """How a cell is read: `as` of a field."""

    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    DAY = "day"
    EVENT_DAY = "event-day"
    CODE = "code"
    WORDS = "words"
    MAKE = "make"
    CALIBRE = "calibre"
    SERIAL = "serial"
    FINISH = "finish"
    UNLOCODE = "unlocode"


@dataclass(frozen=True, slots=True)
class Field:
    """One member that is made of one column.

    Attributes:
        column: name of the column.
        path: of the member; ``*`` is the number of the item that the row is.
        reading: how its cells are read.
        template: around the cell, with one ``{}``; ``{}`` alone if it is sent as it stands.
        table: of a code or of words: cell → value.
        other: of a code or of words: value of every other cell; None if such a cell is an error.
        drop: cells that say nothing: the member is absent.
        formats: of a day, as `datetime.strptime` has them; YYYY-MM-DD is always read.
        latest: of an event's day: later ones cannot be true, and are sent as recorded.
        plus_days: of a day: so many days are added.
        when: column → cells under which the field counts; always if empty.
    """

    column: str
    path: str
    reading: Reading
    template: str
    table: Mapping[str, Any]
    other: Any
    drop: frozenset[str]
    formats: tuple[str, ...]
    latest: str | None
    plus_days: int
    when: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Notice:
    """One kind of notice that rows become.

    Attributes:
        type: of the message.
        when: column → cells of the rows that become one; all if empty.
        group: columns whose cells are the same in all rows of one notice; empty: a row is a notice.
        constants: path → value, in every notice; paths with ``*`` in every item.
        fields: in the order in which they are applied.
    """

    type: str
    when: Mapping[str, frozenset[str]]
    group: tuple[str, ...]
    constants: Mapping[str, Any]
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Skip:
    """Rows that become no notice, and why not."""

    when: Mapping[str, frozenset[str]]
    ground: str


@dataclass(frozen=True, slots=True)
class MappingFile:
    """What a mapping file says.

    Attributes:
        name: of the register; part of what its records are known by.
        key: columns whose cells name a record; empty if it is known by all of them.
        ignore: columns that are not sent.
        notices: the first whose condition a row meets is what it becomes.
        skips: looked at before the notices.
    """

    name: str
    key: tuple[str, ...]
    ignore: frozenset[str]
    notices: tuple[Notice, ...]
    skips: tuple[Skip, ...]

    @property
    def columns(self) -> frozenset[str]:
        """Every column that it names."""
        return frozenset(self._named()) | self.ignore

    @property
    def sent(self) -> frozenset[str]:
        """Columns of which a member is made."""
        return frozenset(each.column for notice in self.notices for each in notice.fields)

    def _named(self) -> Iterator[str]:
        yield from self.key
        for skip in self.skips:
            yield from skip.when
        for notice in self.notices:
            yield from (*notice.when, *notice.group)
            for each in notice.fields:
                yield from (each.column, *each.when)


def holds(when: Mapping[str, frozenset[str]], cells: Mapping[str, str]) -> bool:
    """Whether a row meets a condition: every column named has one of the cells named."""
    return all(cells[column] in wanted for column, wanted in when.items())


def parse_mapping_file(data: bytes) -> MappingFile:
    """Read a mapping file.

    Raises:
        MalformedError: ``bad_mapping``: it is not one; ``bad_path``: the type has no such member.
        UncheckableError: ``unknown_type``.
    """
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        malformed("bad_mapping", f"mapping: expected TOML in UTF-8: {error}")
    claims = Claims(document, "mapping")
    if claims.raw("format") != _FORMAT:
        malformed(
            "bad_mapping", f"mapping: expected format = {_FORMAT}, got {str(claims.raw('format'))[:20]}"
        )
    name = _text(claims.raw("name"), "name")
    key = claims.raw("key")
    shared = _fields(_list(claims, "field"), "field")
    constants = _table(claims, "constants")
    notices = tuple(
        _notice(each, f"notice {i}", constants, shared) for i, each in enumerate(_list(claims, "notice"), 1)
    )
    skips = tuple(_skip(each, f"skip {i}") for i, each in enumerate(_list(claims, "skip"), 1))
    ignore = frozenset(_texts(claims.raw("ignore"), "ignore")) if claims.has("ignore") else frozenset()
    claims.done()
    if not notices:
        malformed("bad_mapping", "mapping: expected at least one [[notice]]")
    found = MappingFile(name, () if key == WHOLE_ROW else _texts(key, "key"), ignore, notices, skips)
    both = sorted(found.sent & ignore)
    if both:
        malformed("bad_mapping", f"mapping: both sent and ignored: {', '.join(both)}")
    return found


def _notice(value: Any, where: str, constants: Mapping[str, Any], shared: tuple[Field, ...]) -> Notice:
    claims = Claims(_object(value, where), where)
    message_type = _text(claims.raw("type"), f"{where}: type")
    own = _table(claims, "constants")
    fields = _fields(_list(claims, "field"), f"{where}: field")
    notice = Notice(
        message_type,
        _when(claims, where),
        _texts(claims.raw("group"), f"{where}: group") if claims.has("group") else (),
        {**constants, **own},
        (*shared, *fields),
    )
    claims.done()
    versions = [version for name, version in known_types() if name == message_type]
    schema = _contents.json_schema(_contents.find_model(message_type, max(versions, default=1)))
    for path in (*notice.constants, *(each.path for each in notice.fields)):
        type_of(schema, path.replace("*", "0"))
    return notice


def _skip(value: Any, where: str) -> Skip:
    claims = Claims(_object(value, where), where)
    out = Skip(_when(claims, where), _text(claims.raw("ground"), f"{where}: ground"))
    claims.done()
    return out


def _fields(values: list[Any], where: str) -> tuple[Field, ...]:
    return tuple(_field(each, f"{where} {i}") for i, each in enumerate(values, 1))


def _field(value: Any, where: str) -> Field:
    claims = Claims(_object(value, where), where)
    reading = claims.raw("as") if claims.has("as") else Reading.TEXT.value
    if reading not in set(Reading):
        malformed(
            "bad_mapping",
            f"mapping: {where}: as: expected one of {', '.join(Reading)}, got {str(reading)[:40]!r}",
        )
    out = Field(
        column=_text(claims.raw("column"), f"{where}: column"),
        path=_text(claims.raw("path"), f"{where}: path"),
        reading=Reading(reading),
        template=_text(claims.raw("template"), f"{where}: template") if claims.has("template") else "{}",
        table=_table(claims, "table"),
        other=claims.raw("else") if claims.has("else") else None,
        drop=frozenset(_texts(claims.raw("drop"), f"{where}: drop") if claims.has("drop") else ()),
        formats=_texts(claims.raw("formats"), f"{where}: formats") if claims.has("formats") else (),
        latest=_text(claims.raw("latest"), f"{where}: latest") if claims.has("latest") else None,
        plus_days=_days(claims, where),
        when=_when(claims, where),
    )
    claims.done()
    if out.template.count("{}") != 1:
        malformed("bad_mapping", f"mapping: {where}: template: expected one {{}} in it")
    if bool(out.table) != (out.reading in {Reading.CODE, Reading.WORDS}):
        malformed(
            "bad_mapping", f"mapping: {where}: a table stands with as = 'code' or 'words', and must there"
        )
    return out


# --- small things of TOML ------------------------------------------------------------------------------


def _days(claims: Claims, where: str) -> int:
    value = claims.raw("plus_days") if claims.has("plus_days") else 0
    if type(value) is not int:
        malformed("bad_mapping", f"mapping: {where}: plus_days: expected a whole number of days")
    return value


def _when(claims: Claims, where: str) -> Mapping[str, frozenset[str]]:
    conditions = _table(claims, "when")
    return {column: frozenset(_texts(cells, f"{where}: when")) for column, cells in conditions.items()}


def _list(claims: Claims, name: str) -> list[Any]:
    value = claims.raw(name) if claims.has(name) else []
    if not isinstance(value, list):
        malformed("bad_mapping", f"mapping: expected [[{name}]] tables")
    return value


def _table(claims: Claims, name: str) -> Mapping[str, Any]:
    return _object(claims.raw(name), name) if claims.has(name) else {}


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        malformed("bad_mapping", f"mapping: {where}: expected a table")
    _json_only(value, where)
    return value


def _json_only(value: Any, where: str) -> None:
    """Refuse what TOML has and a content has not: days, times and fractions are texts there."""
    if isinstance(value, dict):
        for name, child in value.items():
            _json_only(child, f"{where}: {name}")
    elif isinstance(value, list):
        for child in value:
            _json_only(child, where)
    elif not isinstance(value, str | int):
        malformed("bad_mapping", f"mapping: {where}: expected days and fractions in quotation marks")


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        malformed("bad_mapping", f"mapping: {where}: expected a text")
    return value


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        malformed("bad_mapping", f"mapping: {where}: expected a list of texts")
    return tuple(value)
