"""One cell to members of a content, and back: every way in which a mapping file can have a cell read.

What a cell says is kept verbatim wherever the content has a place for it; codes stand beside it where they are beyond
doubt. Nothing is guessed: a cell that cannot be read says what was expected.

Source: docs/spec/mapping.md §3 and §5; docs/normalisation.md.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from countermark_client.importing._paths import get, put
from countermark_client.importing.mapping import Field, Reading
from countermark_client.places import load_places
from countermark_protocol.codes.calibres import match_calibre
from countermark_protocol.codes.matching import UNKNOWN_TEXT, CodeMatch, match_make
from countermark_protocol.codes.serial_texts import ReadMark, read_serial
from countermark_protocol.codes.tables import CodeListName, load_code_list
from countermark_protocol.codes.weapons import MarkKind, NoMarksReason, WeaponCategory
from countermark_protocol.encoding import JsonObject

#: Line of an item's remarks under which a serial stands as it was typed, where its marks do not.
SERIAL_AS_RECORDED: Final = "serial as recorded: "
_INTEGER: Final = re.compile(r"-?[0-9]{1,16}\Z")
_TRUTHS: Final = MappingProxyType({"true": True, "false": False})
_IMPLAUSIBLE: Final = "RECORDED_IMPLAUSIBLE"


class UnreadableCellError(Exception):
    """A cell that a mapping does not read; the message is what was expected."""


def read_cell(field: Field, cell: str, content: JsonObject, path: str) -> None:
    """Put what a cell says into a content in the making.

    Args:
        field: what the mapping says of the column.
        cell: as the table has it.
        content: what the fields before have made.
        path: of the member, with the number of the item.

    Raises:
        UnreadableCellError: the cell is none that the mapping reads.
    """
    said = unicodedata.normalize("NFC", cell).strip()
    if said in field.drop:
        return
    reader = _READERS[field.reading]
    if said or field.reading in _READ_EMPTY or "" in field.table:
        reader(field, said, content, path)


def write_cell(field: Field, content: JsonObject, path: str) -> str | None:
    """The cell from which a member was made; None if the field cannot tell.

    Args:
        field: what the mapping says of the column.
        content: of a notice.
        path: of the member, with the number of the item.
    """
    writer = _WRITERS.get(field.reading)
    if writer is None or field.plus_days:
        return None
    written = writer(field, content, path)
    if written is None and get(content, path) is None and field.drop:
        return min(field.drop)
    return written


# --- texts, numbers and codes ------------------------------------------------------------------------


def _read_text(field: Field, said: str, content: JsonObject, path: str) -> None:
    put(content, path, field.template.replace("{}", said))


def _write_text(field: Field, content: JsonObject, path: str) -> str | None:
    value = get(content, path)
    if not isinstance(value, str):
        return None
    if path.endswith(".remarks"):
        value = "\n".join(line for line in value.split("\n") if not line.startswith(SERIAL_AS_RECORDED))
    before, _, after = field.template.partition("{}")
    fits = len(value) >= len(before) + len(after) and value.startswith(before) and value.endswith(after)
    return value[len(before) : len(value) - len(after)] if fits else None


def _read_integer(_field: Field, said: str, content: JsonObject, path: str) -> None:
    if not _INTEGER.match(said):
        raise UnreadableCellError("a whole number")
    put(content, path, int(said))


def _read_boolean(_field: Field, said: str, content: JsonObject, path: str) -> None:
    if said.lower() not in _TRUTHS:
        raise UnreadableCellError("true or false")
    put(content, path, _TRUTHS[said.lower()])


def _write_plain(_field: Field, content: JsonObject, path: str) -> str | None:
    value = get(content, path)
    return None if value is None else str(value)


def _read_code(field: Field, said: str, content: JsonObject, path: str) -> None:
    value = field.table.get(said, field.other)
    if value is None:
        known = ", ".join(repr(cell) for cell in list(field.table)[:12])
        raise UnreadableCellError(f"one of {known}{' and more' if len(field.table) > 12 else ''}")
    put(content, path, value)


def _write_code(field: Field, content: JsonObject, path: str) -> str | None:
    value = get(content, path)
    return next((cell for cell, meant in field.table.items() if meant == value), None)


def _read_words(field: Field, said: str, content: JsonObject, path: str) -> None:
    found = {
        str(value): value
        for word, value in field.table.items()
        if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", said, re.IGNORECASE)
    }
    value = next(iter(found.values())) if len(found) == 1 else field.other
    if value is not None:
        put(content, path, value)


# --- days ----------------------------------------------------------------------------------------------


def _day(field: Field, said: str) -> dt.date:
    for form in ("%Y-%m-%d", *field.formats):
        try:
            # A day has no time zone; what a format reads beside it is not used.
            day = dt.datetime.strptime(said, form).date()  # noqa: DTZ007
        except ValueError:
            continue
        return day + dt.timedelta(days=field.plus_days)
    forms = ", ".join(["YYYY-MM-DD", *field.formats])
    raise UnreadableCellError(f"a day of the calendar, written as {forms}")


def _read_day(field: Field, said: str, content: JsonObject, path: str) -> None:
    put(content, path, _day(field, said).isoformat())


def _as_written(field: Field, day: str) -> str:
    return dt.date.fromisoformat(day).strftime(field.formats[0]) if field.formats else day


def _write_day(field: Field, content: JsonObject, path: str) -> str | None:
    value = get(content, path)
    return _as_written(field, value) if isinstance(value, str) else None


def _read_event_day(field: Field, said: str, content: JsonObject, path: str) -> None:
    if not said:
        put(content, f"{path}.noDateReason", "NOT_RECORDED")
        return
    day = _day(field, said).isoformat()
    if field.latest is not None and day > field.latest:
        put(content, f"{path}.noDateReason", _IMPLAUSIBLE)
        put(content, f"{path}.dateAsRecorded", said)
        return
    put(content, f"{path}.date", day)


def _write_event_day(field: Field, content: JsonObject, path: str) -> str | None:
    event = get(content, path) or {}
    if "date" in event:
        return _as_written(field, event["date"])
    return str(event.get("dateAsRecorded", ""))


# --- weapons -------------------------------------------------------------------------------------------


def _beside(path: str, name: str) -> str:
    """Path of another member of the block in which a path lies."""
    return f"{path.rpartition('.')[0]}.{name}"


def _put_coded(content: JsonObject, path: str, said: str, match: CodeMatch, scheme: str) -> None:
    # What nobody knows has one spelling in a content.
    text = said if said and said.upper() != UNKNOWN_TEXT else UNKNOWN_TEXT
    put(content, path, {"text": text, **({"code": match.code, "scheme": scheme} if match.code else {})})


def _read_make(_field: Field, said: str, content: JsonObject, path: str) -> None:
    made_in = get(content, _beside(path, "countryOfManufacture"))
    _put_coded(content, path, said, match_make(said, made_in=made_in), "NCIC_MAK")


def _read_calibre(_field: Field, said: str, content: JsonObject, path: str) -> None:
    _put_coded(content, path, said, match_calibre(said, category=_category(content, path)), "NCIC_CAL")


def _category(content: JsonObject, path: str) -> WeaponCategory | None:
    value = get(content, _beside(path, "category"))
    return WeaponCategory(value) if value in set(WeaponCategory) else None


def _read_finish(_field: Field, said: str, content: JsonObject, path: str) -> None:
    code = said.upper() if said.upper() in load_code_list(CodeListName.NCIC_FINISH) else None
    put(content, path, {"text": said, **({"code": code, "scheme": "NCIC_VCO"} if code else {})})


def _write_coded(_field: Field, content: JsonObject, path: str) -> str | None:
    value = get(content, f"{path}.text")
    return None if value is None else "" if value == UNKNOWN_TEXT else str(value)


def _read_serial(_field: Field, said: str, content: JsonObject, path: str) -> None:
    found = read_serial(said, category=_category(content, path))
    if found.marks:
        put(content, path, [_mark(each) for each in found.marks])
    else:
        put(content, _beside(path, "noMarksReason"), NoMarksReason.NOT_RECORDED.value)
    if said and not (len(found.marks) == 1 and found.marks[0].text == said):
        remarks = _beside(path, "remarks")
        before = get(content, remarks)
        line = f"{SERIAL_AS_RECORDED}{said}"
        put(content, remarks, f"{before}\n{line}" if before else line)


def _mark(mark: ReadMark) -> JsonObject:
    out: JsonObject = {
        "kind": mark.kind.value,
        "component": mark.component.value,
        "status": mark.status.value,
        "text": mark.text,
        "pattern": mark.pattern,
        "position": mark.position,
    }
    return {name: value for name, value in out.items() if value is not None}


def _write_serial(_field: Field, content: JsonObject, path: str) -> str | None:
    for line in str(get(content, _beside(path, "remarks")) or "").split("\n"):
        if line.startswith(SERIAL_AS_RECORDED):
            return line.removeprefix(SERIAL_AS_RECORDED)
    marks = get(content, path) or []
    serial: JsonObject = next((mark for mark in marks if mark["kind"] == MarkKind.SERIAL), {})
    return str(serial.get("text", ""))


# --- places --------------------------------------------------------------------------------------------


def _read_unlocode(_field: Field, said: str, content: JsonObject, path: str) -> None:
    country, subdivision = (get(content, _beside(path, name)) for name in ("country", "subdivision"))
    if country is None:
        raise UnreadableCellError("a country, given by a constant or a field before this one")
    codes = {place.code for place in load_places().named(said, country=country, subdivision=subdivision)}
    # Two places of one name, or none in this edition: the name is sent, and no code.
    if len(codes) == 1:
        put(content, path, codes.pop())


_Reader = Callable[[Field, str, JsonObject, str], None]
_Writer = Callable[[Field, JsonObject, str], str | None]

_READERS: Final[Mapping[Reading, _Reader]] = MappingProxyType(
    {
        Reading.TEXT: _read_text,
        Reading.INTEGER: _read_integer,
        Reading.BOOLEAN: _read_boolean,
        Reading.DAY: _read_day,
        Reading.EVENT_DAY: _read_event_day,
        Reading.CODE: _read_code,
        Reading.WORDS: _read_words,
        Reading.MAKE: _read_make,
        Reading.CALIBRE: _read_calibre,
        Reading.SERIAL: _read_serial,
        Reading.FINISH: _read_finish,
        Reading.UNLOCODE: _read_unlocode,
    }
)
#: Readings for which an empty cell says something: that it is not known.
_READ_EMPTY: Final = frozenset(
    {Reading.EVENT_DAY, Reading.MAKE, Reading.CALIBRE, Reading.SERIAL, Reading.WORDS}
)
#: Readings that keep what the cell said; of the others an export takes another field of the column.
_WRITERS: Final[Mapping[Reading, _Writer]] = MappingProxyType(
    {
        Reading.TEXT: _write_text,
        Reading.INTEGER: _write_plain,
        Reading.BOOLEAN: _write_plain,
        Reading.DAY: _write_day,
        Reading.EVENT_DAY: _write_event_day,
        Reading.CODE: _write_code,
        Reading.MAKE: _write_coded,
        Reading.CALIBRE: _write_coded,
        Reading.SERIAL: _write_serial,
        Reading.FINISH: _write_coded,
    }
)
