"""Marking systems: how a country marks the weapons it makes and imports, so that others can read them.

Source: ITI 7-10, 12 and 31(b); Implementing Directive (EU) 2019/68 as amended by 2024/325; ECOWAS 18;
docs/spec/messages.md §7.9.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from countermark_protocol.codes.weapons import Component, CountryMarkScheme, MarkKind, MarkMethod, PublicLevel
from countermark_protocol.messages.base import UNIQUE, Block, Broken, Message, term
from countermark_protocol.messages.blocks import Contact, ExternalRef
from countermark_protocol.messages.patterns import MAX_PATTERN_CHARACTERS, is_safe_pattern
from countermark_protocol.messages.scalars import (
    Day,
    Decimal,
    Language,
    Line,
    MakerCountry,
    MarkText,
    Prose,
    Ref,
    Script,
    Year,
)


def _safe(pattern: str) -> str:
    if not is_safe_pattern(pattern):
        raise PydanticCustomError(
            "unsafe_pattern",
            "should be a regular expression of linear time: no back-reference, no look-around",
        )
    return pattern


class MarkType(Block):
    """One kind of mark that the country applies."""

    kind: Annotated[MarkKind, term("What it says", source="ITI 8", codes="MARK_KIND")]
    components: Annotated[
        tuple[Component, ...],
        term("Parts that bear it", source="ITI 10", codes="COMPONENT", at_least=1, at_most=13),
        UNIQUE,
    ]
    position: Annotated[Line | None, term("Where on the part", source="ITI 7")] = None
    method: Annotated[MarkMethod | None, term("How it is made", source="ITI 7", codes="MARK_METHOD")] = None
    min_font_mm: Annotated[
        Decimal | None, term("Smallest height of letters", source="2019/68", unit="mm")
    ] = None
    min_depth_mm: Annotated[
        Decimal | None, term("Smallest depth", source="2019/68 (2024/325)", unit="mm")
    ] = None
    scripts: Annotated[
        tuple[Script, ...],
        term("Scripts used", source="2019/68", codes="ISO 15924", at_least=1, at_most=10),
        UNIQUE,
    ] = ()
    description: Annotated[Prose | None, term("How to read it", source="ITI 31(b)")] = None


class CountryIdentifier(Block):
    """How the country writes itself."""

    text: Annotated[MarkText, term("The text, or the symbol described in words", source="ITI 8(a)")]
    scheme: Annotated[CountryMarkScheme, term("What it is", source="ITI 8(a)", codes="COUNTRY_MARK_SCHEME")]


class SerialFormat(Block):
    """How a maker builds its serials."""

    RULES: ClassVar[Mapping[str, str]] = {
        "format_years_forward": "toYear is not before fromYear",
    }

    maker: Annotated[Line, term("Maker", source="ITI 8(a)")]
    regex: Annotated[
        str,
        term(
            "Form of the serial, as a regular expression of linear time (RE2); to be shown, not to be run blindly",
            source="ITI 31(b)",
            at_least=1,
            at_most=MAX_PATTERN_CHARACTERS,
        ),
        AfterValidator(_safe),
    ]
    description: Annotated[Prose | None, term("What its parts mean", source="ITI 31(b)")] = None
    year_rule: Annotated[Prose | None, term("How the year is written in it", source="ITI 8(a)")] = None
    month_rule: Annotated[Prose | None, term("How the month is written in it", source="own")] = None
    from_year: Annotated[Year | None, term("First year of use", source="ITI 31(b)", unit="year")] = None
    to_year: Annotated[Year | None, term("Last year of use", source="ITI 31(b)", unit="year")] = None
    ambiguous: Annotated[bool, term("Whether one serial can mean several years or makers", source="own")]

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.from_year is not None and self.to_year is not None and self.to_year < self.from_year:
            yield Broken("format_years_forward", "/toYear")


class AppliedMark(Block):
    """A mark that the country applies or not."""

    RULES: ClassVar[Mapping[str, str]] = {
        "absent_mark_is_plain": "pattern and since stand only with present true",
    }

    present: Annotated[bool, term("Whether it is applied", source="ITI 8(b)-(c)")]
    pattern: Annotated[Line | None, term("What it reads, in words", source="ITI 8(b)-(c)")] = None
    since: Annotated[Year | None, term("Since when", source="ITI 31(b)", unit="year")] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if not self.present and (self.pattern is not None or self.since is not None):
            yield Broken("absent_mark_is_plain", "/present")


class SecurityMark(Block):
    """Whether a hidden mark exists; what it is, is never sent."""

    exists: Annotated[bool, term("Whether there is one", source="ECOWAS 18; MOSAIC 05.30")]


class RecordKeeping(Block):
    """For how long and where records are kept."""

    manufacture_years: Annotated[
        int, term("Manufacturing records (ITI: 30 at least)", source="ITI 12", unit="years", low=0, high=999)
    ]
    other_years: Annotated[
        int, term("All other records (ITI: 20 at least)", source="ITI 12", unit="years", low=0, high=999)
    ]
    custodian: Annotated[Line, term("Who keeps them", source="ITI 12-13")]
    electronic: Annotated[bool, term("Whether electronically", source="ITI 11")]


class MakerCode(Block):
    """A code by which a maker marks itself."""

    code: Annotated[MarkText, term("The code, verbatim", source="ITI 8(a)")]
    maker: Annotated[Line, term("The maker", source="ITI 8(a)")]


class MarkingSystemDescription(Message):
    """How a country marks weapons, for those who must read the marks (ITI 31(b))."""

    TYPE: ClassVar[str] = "marking-system-description"
    VERSION: ClassVar[int] = 1

    country: Annotated[
        MakerCountry, term("Country", source="ITI 31(b)", codes="ISO 3166-1 alpha-2, former states")
    ]
    authority: Annotated[Line, term("Authority responsible", source="ITI 31(b)")]
    valid_from: Annotated[Day, term("First day on which it holds", source="ITI 31(b)", unit="day")]
    supersedes: Annotated[Ref | None, term("Earlier description that it replaces", source="ITI 31(b)")] = None
    mark_types: Annotated[
        tuple[MarkType, ...], term("Marks applied", source="ITI 7-10", at_least=1, at_most=100)
    ]
    country_identifier: Annotated[CountryIdentifier, term("How the country writes itself", source="ITI 8(a)")]
    serial_formats: Annotated[
        tuple[SerialFormat, ...], term("How serials are built", source="ITI 31(b)", at_least=1, at_most=500)
    ] = ()
    import_mark: Annotated[AppliedMark, term("Mark applied at import", source="ITI 8(b)")]
    stock_transfer_mark: Annotated[
        AppliedMark | None,
        term("Mark applied on transfer from State stock to civilian use", source="ITI 8(c)"),
    ] = None
    state_stock_mark: Annotated[
        AppliedMark | None, term("Mark of the State's own arms", source="ITI 8(d)")
    ] = None
    security_mark: Annotated[SecurityMark | None, term("Hidden mark", source="ECOWAS 18")] = None
    record_keeping: Annotated[RecordKeeping, term("Records", source="ITI 11-13")]
    proof_marks: Annotated[
        tuple[Line, ...],
        term("Proof marks, described in words", source="MOSAIC 05.30", at_least=1, at_most=100),
    ] = ()
    maker_codes: Annotated[
        tuple[MakerCode, ...], term("Codes of makers", source="ITI 8(a)", at_least=1, at_most=1000)
    ] = ()
    public_level: Annotated[
        PublicLevel, term("How widely it may be shown", source="TLP 2.0", codes="PUBLIC_LEVEL")
    ]
    contact: Annotated[Contact | None, term("Who can be asked", source="ITI 25 and 31")] = None
    language: Annotated[
        Language | None, term("Language of the texts", source="Directive (EU) 2023/977", codes="BCP 47")
    ] = None
    external_refs: Annotated[
        tuple[ExternalRef, ...],
        term("The description in other systems", source="ITI 33-35", at_least=1, at_most=20),
    ] = ()
