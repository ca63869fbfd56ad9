"""The small types of typed content: texts, dates, codes, references.

Each is a named alias, so that it stands once in a JSON Schema's ``$defs``. Texts have one spelling of
nothing: no empty text, no white space at either end, no control characters; what is visible is what was
signed (no bidirectional overrides that make a reference read as another).

Source: RFC 3339; ISO 8601; ISO 3166-1, -2, -3; ISO 15924; BCP 47; docs/spec/messages.md §7.1.
"""

import datetime as dt
import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from countermark_protocol.codes.tables import CodeListName, load_code_list

# --- texts -------------------------------------------------------------------------------------------

#: Not in a one-line text: control characters, line ends, marks that reorder what the eye reads.
_HIDDEN = r"\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff"
_LINE = rf"^[^\s{_HIDDEN}]([^{_HIDDEN}]*[^\s{_HIDDEN}])?$"
#: Prose may break lines and be indented; it may not hold other control characters.
_CONTROL = r"\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ufeff"
_PROSE = rf"^[^\s{_CONTROL}]([^{_CONTROL}]*[^\s{_CONTROL}])?$"


Ref = TypeAliasType(
    "Ref",
    Annotated[
        str,
        StringConstraints(min_length=1, max_length=80, pattern=_LINE),
        Field(description="A reference as its owner writes it: one line, at most 80 characters."),
    ],
)
Line = TypeAliasType(
    "Line",
    Annotated[
        str,
        StringConstraints(min_length=1, max_length=200, pattern=_LINE),
        Field(description="One line of text, at most 200 characters."),
    ],
)
Title = TypeAliasType(
    "Title",
    Annotated[
        str,
        StringConstraints(min_length=1, max_length=120, pattern=_LINE),
        Field(description="One line of text, at most 120 characters."),
    ],
)
Prose = TypeAliasType(
    "Prose",
    Annotated[
        str,
        StringConstraints(min_length=1, max_length=4000, pattern=_PROSE),
        Field(description="Text of one or more lines, at most 4,000 characters."),
    ],
)
MarkText = TypeAliasType(
    "MarkText",
    Annotated[
        str,
        StringConstraints(min_length=1, max_length=120, pattern=_LINE),
        Field(
            description="A mark as stamped, verbatim, at most 120 characters; nothing folded or corrected."
        ),
    ],
)
MarkPattern = TypeAliasType(
    "MarkPattern",
    Annotated[
        str,
        StringConstraints(pattern=r"^[^\s?]{0,60}\?[^\s]{0,60}$"),
        Field(description="A mark in part: one '?' for each character that cannot be read, at least one."),
    ],
)
Email = TypeAliasType(
    "Email",
    Annotated[
        str,
        StringConstraints(
            max_length=120, pattern=r"^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+$"
        ),
        Field(description="An e-mail address."),
    ],
)
Phone = TypeAliasType(
    "Phone",
    Annotated[
        str,
        StringConstraints(pattern=r"^\+?[0-9][0-9 ()./-]{2,30}$"),
        Field(description="A telephone number, with its country code after '+'."),
    ],
)

# --- dates and times ---------------------------------------------------------------------------------

_DATE = r"[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_DAY = rf"^{_DATE}$"
_INSTANT = rf"^{_DATE}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{{1,6}})?Z$"
_PARTIAL_DAY = r"^[12][0-9]{3}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?$"
#: Ends that Python's `$` would forgive.
_DAY_RE: Final = re.compile(_DAY.replace("$", r"\Z"))
_INSTANT_RE: Final = re.compile(_INSTANT.replace("$", r"\Z"))


def _day(value: Any) -> dt.date:
    if type(value) is dt.date:
        return value
    if isinstance(value, str) and _DAY_RE.match(value):
        try:
            return dt.date.fromisoformat(value)
        except ValueError:
            pass
    raise PydanticCustomError("day", "should be a day of the calendar, written YYYY-MM-DD")


def _instant(value: Any) -> dt.datetime:
    if isinstance(value, dt.datetime) and value.utcoffset() == dt.timedelta(0):
        return value.astimezone(dt.UTC)
    if isinstance(value, str) and _INSTANT_RE.match(value):
        try:
            return dt.datetime.fromisoformat(value)
        except ValueError:
            pass
    raise PydanticCustomError("instant", "should be an instant in UTC, written YYYY-MM-DDThh:mm:ssZ")


def _partial_day(value: str) -> str:
    try:
        earliest(value)
    except ValueError:
        raise PydanticCustomError("partial_day", "should be a year, month or day of the calendar") from None
    return value


def earliest(partial: str) -> dt.date:
    """First day that a `PartialDay` can mean."""
    return dt.date.fromisoformat(partial + "-01" * (2 - partial.count("-")))


def latest(partial: str) -> dt.date:
    """Last day that a `PartialDay` can mean."""
    first = earliest(partial)
    if partial.count("-") == 2:
        return first
    year, month = (first.year, 12) if len(partial) == 4 else (first.year, first.month)
    after = dt.date(year + month // 12, month % 12 + 1, 1)
    return after - dt.timedelta(days=1)


Day = TypeAliasType(
    "Day",
    Annotated[
        dt.date,
        BeforeValidator(_day),
        WithJsonSchema(
            {
                "type": "string",
                "format": "date",
                "pattern": _DAY,
                "description": "A day of the calendar, YYYY-MM-DD.",
            }
        ),
    ],
)
Instant = TypeAliasType(
    "Instant",
    Annotated[
        dt.datetime,
        BeforeValidator(_instant),
        WithJsonSchema(
            {
                "type": "string",
                "format": "date-time",
                "pattern": _INSTANT,
                "description": "An instant in UTC (RFC 3339 with 'Z').",
            }
        ),
    ],
)
PartialDay = TypeAliasType(
    "PartialDay",
    Annotated[
        str,
        StringConstraints(pattern=_PARTIAL_DAY),
        AfterValidator(_partial_day),
        Field(
            description="A day, a month or a year, as exact as the register is: YYYY-MM-DD, YYYY-MM or YYYY."
        ),
    ],
)
Year = TypeAliasType("Year", Annotated[int, Field(ge=1400, le=2999, description="A year of the common era.")])

# --- codes -------------------------------------------------------------------------------------------


def _member_of(expected: str, *names: CodeListName) -> AfterValidator:
    def check(value: str) -> str:
        if not any(value in load_code_list(name) for name in names):
            raise PydanticCustomError("not_in_code_list", "should be {expected}", {"expected": expected})
        return value

    return AfterValidator(check)


def _enumerated(description: str, *names: CodeListName) -> WithJsonSchema:
    codes = sorted(code for name in names for code in load_code_list(name).entries)
    return WithJsonSchema({"type": "string", "enum": codes, "description": description})


Country = TypeAliasType(
    "Country",
    Annotated[
        str,
        _member_of("an ISO 3166-1 alpha-2 code in capitals", CodeListName.COUNTRY),
        _enumerated("A country: ISO 3166-1 alpha-2.", CodeListName.COUNTRY),
    ],
)
MakerCountry = TypeAliasType(
    "MakerCountry",
    Annotated[
        str,
        _member_of(
            "an ISO 3166-1 alpha-2 code, or that of a former state",
            CodeListName.COUNTRY,
            CodeListName.FORMER_STATE,
        ),
        _enumerated(
            "A country where weapons are or were made: ISO 3166-1 alpha-2, or a former state (SU, YU, CS, DD, RH, VD).",
            CodeListName.COUNTRY,
            CodeListName.FORMER_STATE,
        ),
    ],
)
NcicAction = TypeAliasType(
    "NcicAction",
    Annotated[
        str,
        _member_of("an action of NCIC GTYP2", CodeListName.NCIC_ACTION),
        _enumerated("Action of a firearm: NCIC GTYP2.", CodeListName.NCIC_ACTION),
    ],
)
NcicType = TypeAliasType(
    "NcicType",
    Annotated[
        str,
        _member_of("a type of NCIC GTYP3", CodeListName.NCIC_TYPE_COMBINED),
        _enumerated("Type and action of a firearm: NCIC GTYP3.", CodeListName.NCIC_TYPE_COMBINED),
    ],
)
TransportMode = TypeAliasType(
    "TransportMode",
    Annotated[
        str,
        _member_of("a mode of UN/ECE Recommendation 19, 0 to 9", CodeListName.TRANSPORT_MODE),
        _enumerated("Mode of transport: UN/ECE Recommendation 19.", CodeListName.TRANSPORT_MODE),
    ],
)
ListCode = TypeAliasType(
    "ListCode",
    Annotated[
        str,
        StringConstraints(pattern=r"^[0-9A-Z][0-9A-Z./-]{0,39}$"),
        Field(description="A code of the list that the scheme names; checked by form only."),
    ],
)
HsCode = TypeAliasType(
    "HsCode",
    Annotated[
        str,
        StringConstraints(pattern=r"^930[1-7]([0-9]{2})?$"),
        Field(description="Heading or subheading of Harmonized System chapter 93; checked by form only."),
    ],
)
Subdivision = TypeAliasType(
    "Subdivision",
    Annotated[
        str,
        StringConstraints(pattern=r"^[A-Z]{2}-[A-Z0-9]{1,3}$"),
        Field(description="Subdivision of a country: ISO 3166-2; checked by form only."),
    ],
)
Unlocode = TypeAliasType(
    "Unlocode",
    Annotated[
        str,
        StringConstraints(pattern=r"^[A-Z]{2}[A-Z2-9]{3}$"),
        Field(description="UN/LOCODE without its space; checked by form only."),
    ],
)
Language = TypeAliasType(
    "Language",
    Annotated[
        str,
        StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$"),
        Field(description="A language: BCP 47, language with optional script and region."),
    ],
)
Script = TypeAliasType(
    "Script",
    Annotated[
        str,
        StringConstraints(pattern=r"^[A-Z][a-z]{3}$"),
        Field(description="A script: ISO 15924."),
    ],
)

# --- numbers and references --------------------------------------------------------------------------

Latitude = TypeAliasType(
    "Latitude",
    Annotated[
        str,
        StringConstraints(pattern=r"^-?(90(\.0{1,7})?|([0-9]|[1-8][0-9])(\.[0-9]{1,7})?)$"),
        Field(description="Degrees north (WGS 84), a decimal string."),
    ],
)
Longitude = TypeAliasType(
    "Longitude",
    Annotated[
        str,
        StringConstraints(pattern=r"^-?(180(\.0{1,7})?|([0-9]|[1-9][0-9]|1[0-7][0-9])(\.[0-9]{1,7})?)$"),
        Field(description="Degrees east (WGS 84), a decimal string."),
    ],
)
Decimal = TypeAliasType(
    "Decimal",
    Annotated[
        str,
        StringConstraints(pattern=r"^(0|[1-9][0-9]{0,8})(\.[0-9]{1,6})?$"),
        Field(description="A number of zero or more, a decimal string."),
    ],
)
Count = TypeAliasType(
    "Count", Annotated[int, Field(ge=1, le=10_000_000, description="How many, at least one.")]
)
Criterion = TypeAliasType(
    "Criterion",
    Annotated[int, Field(ge=1, le=8, description="A criterion of Common Position 2008/944/CFSP, 1 to 8.")],
)
QuantityRange = TypeAliasType(
    "QuantityRange",
    Annotated[
        str,
        StringConstraints(pattern=r"^(0|[1-9][0-9]{0,6})(-[1-9][0-9]{0,6}|\+)?$"),
        Field(description="How many, from an estimate: '20', '20-50' or '20+'."),
    ],
)
MessageRef = TypeAliasType(
    "MessageRef",
    Annotated[
        str,
        StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"),
        Field(description="The id of a message, from its manifest: UUIDv7."),
    ],
)
MessageHash = TypeAliasType(
    "MessageHash",
    Annotated[
        str,
        StringConstraints(pattern=r"^[0-9a-f]{64}$"),
        Field(description="The hash that names a message in the log: of its payload, 64 hexadecimal digits."),
    ],
)
Sha256 = TypeAliasType(
    "Sha256",
    Annotated[
        str,
        StringConstraints(pattern=r"^[0-9a-f]{64}$"),
        Field(description="SHA-256 of a file, 64 hexadecimal digits."),
    ],
)
TimeZone = TypeAliasType(
    "TimeZone",
    Annotated[
        str,
        StringConstraints(max_length=60, pattern=r"^[A-Z][A-Za-z_]*(/[A-Z][A-Za-z_+-]*[0-9]{0,2})*$"),
        Field(
            description="A time zone by its name in the IANA database, e.g. Africa/Nairobi; checked by form only."
        ),
    ],
)
TimeOfDay = TypeAliasType(
    "TimeOfDay",
    Annotated[
        str,
        StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$"),
        Field(description="A time of the day, hh:mm."),
    ],
)
WebAddress = TypeAliasType(
    "WebAddress",
    Annotated[
        str,
        StringConstraints(max_length=200, pattern=r"^https://[A-Za-z0-9.-]{1,100}(:[0-9]{1,5})?(/[!-~]*)?$"),
        Field(description="A web page, https."),
    ],
)
EndpointRef = TypeAliasType(
    "EndpointRef",
    Annotated[
        str,
        StringConstraints(
            max_length=120, pattern=r"^([a-z]{2}|xo-[a-z0-9-]{1,40})\.[a-z]{2,20}\.[a-z0-9-]{1,40}$"
        ),
        Field(description="The address of an endpoint: <authority>.<role>.<name>."),
    ],
)
AuthorityRef = TypeAliasType(
    "AuthorityRef",
    Annotated[
        str,
        StringConstraints(pattern=r"^([a-z]{2}|xo-[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?)$"),
        Field(
            description="The code of an authority, as in addresses: a country in lower case, or xo-<organisation>."
        ),
    ],
)
Pointer = TypeAliasType(
    "Pointer",
    Annotated[
        str,
        StringConstraints(pattern=r"^(/([A-Za-z][A-Za-z0-9]{0,59}|0|[1-9][0-9]{0,3})){1,8}$"),
        Field(description="JSON pointer (RFC 6901) into a content."),
    ],
)
RequestPointer = TypeAliasType(
    "RequestPointer",
    Annotated[
        str,
        StringConstraints(
            pattern=r"^/(illicitBasis|legalJustification|recovery|items|intendedUse|intendedUseText)"
            r"(/([A-Za-z][A-Za-z0-9]{0,59}|0|[1-9][0-9]{0,3})){0,7}$"
        ),
        Field(description="JSON pointer to what ITI 17 lets be demanded of a tracing request."),
    ],
)
