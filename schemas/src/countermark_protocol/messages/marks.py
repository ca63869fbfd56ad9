"""Marks: what stands on a weapon, where, and in what state.

Marks are a list of (kind, component, text, state), because real weapons bear several serials, partial ones and
none. The text is kept as stamped; where nothing can be read the state says so and there is no text.

Source: ITI 7-10; Firearms Protocol 3(b) and 8; MOSAIC 05.30; docs/spec/messages.md §7.3.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Final

from countermark_protocol.codes.serials import is_placeholder_serial
from countermark_protocol.codes.weapons import (
    Component,
    Confidence,
    MarkKind,
    MarkMethod,
    MarkStatus,
    RestorationMethod,
)
from countermark_protocol.messages.base import Block, Broken, term
from countermark_protocol.messages.scalars import (
    Line,
    MakerCountry,
    MarkPattern,
    MarkText,
    Prose,
    Script,
    Year,
)

_TEXT_STATUSES: Final = frozenset(
    {MarkStatus.LEGIBLE, MarkStatus.RESTORED, MarkStatus.ALTERED, MarkStatus.PARTIAL}
)
_RESTORABLE: Final = frozenset(
    {MarkStatus.PARTIAL, MarkStatus.RESTORED, MarkStatus.OBLITERATED, MarkStatus.ALTERED}
)
_COUNTRY_KINDS: Final = frozenset({MarkKind.IMPORT, MarkKind.STOCK_TRANSFER, MarkKind.COUNTRY_OF_MANUFACTURE})
_YEAR_KINDS: Final = frozenset({MarkKind.IMPORT, MarkKind.STOCK_TRANSFER, MarkKind.YEAR, MarkKind.PROOF})


class Restoration(Block):
    """How restoring a mark was tried."""

    method: Annotated[RestorationMethod, term("Method", source="ATF 3312.1 IX", codes="RESTORATION_METHOD")]
    confidence: Annotated[
        Confidence | None,
        term("How sure the examiner is of the result", source="ATF 3312.1 IX", codes="CONFIDENCE"),
    ] = None
    note: Annotated[Prose | None, term("The examiner's remarks", source="ATF 3312.1 IX")] = None


class Mark(Block):
    """One mark: where it stands, what it reads, in what state it is."""

    RULES: ClassVar[Mapping[str, str]] = {
        "mark_without_text": "a mark that is obliterated, never made, not examined or not recorded has no text, "
        "pattern or symbol",
        "mark_needs_text": "a mark that can be read has a text, a pattern or a symbol",
        "mark_partial_pattern": "a partial serial has a pattern with '?' for each character that cannot be read",
        "mark_placeholder": "a serial is what stands on the weapon; where there is none, the status says so",
        "mark_restored_how": "a restored mark states the method of restoration that was used",
        "mark_restoration_state": "restoration stands only with a partial, restored, obliterated or altered mark",
        "mark_country_kind": "country stands only with an import, stock-transfer or country-of-manufacture mark",
        "mark_year_kind": "year stands only with an import, stock-transfer, proof or year mark",
    }

    kind: Annotated[MarkKind, term("What the mark says", source="ITI 8; MOSAIC 05.30", codes="MARK_KIND")]
    component: Annotated[
        Component,
        term(
            "Part that bears it; frame or receiver is the reference",
            source="ITI 10; FP 3(b)",
            codes="COMPONENT",
        ),
    ]
    position: Annotated[Line | None, term("Where on the part", source="ITI 7")] = None
    text: Annotated[MarkText | None, term("What it reads, verbatim", source="ITI 7 and 17(b)")] = None
    script: Annotated[
        Script | None, term("Script of the text", source="Dir. (EU) 2019/68", codes="ISO 15924")
    ] = None
    symbol: Annotated[Line | None, term("A symbol, described in words", source="ITI 8(a)")] = None
    pattern: Annotated[
        MarkPattern | None,
        term("What of it can be read, '?' for each missing character", source="ATF 3312.1 IX"),
    ] = None
    status: Annotated[
        MarkStatus, term("State in which it was found", source="ITI 7; IAFQ", codes="MARK_STATUS")
    ]
    method: Annotated[MarkMethod | None, term("How it was made", source="ITI 7", codes="MARK_METHOD")] = None
    restoration: Annotated[Restoration | None, term("How restoring it was tried", source="ATF 3312.1 IX")] = (
        None
    )
    country: Annotated[
        MakerCountry | None,
        term("Country that the mark names", source="ITI 8(a)-(c)", codes="ISO 3166-1 alpha-2"),
    ] = None
    year: Annotated[Year | None, term("Year that the mark names", source="ITI 8(a)-(b)", unit="year")] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        reads = self.text is not None or self.pattern is not None or self.symbol is not None
        if self.status in _TEXT_STATUSES:
            if not reads:
                yield Broken("mark_needs_text", "/text")
        elif reads:
            yield Broken("mark_without_text", "/text")
        if self.kind is MarkKind.SERIAL:
            if self.status is MarkStatus.PARTIAL and self.pattern is None:
                yield Broken("mark_partial_pattern", "/pattern")
            if self.text is not None and is_placeholder_serial(self.text):
                yield Broken("mark_placeholder", "/text")
        if self.status is MarkStatus.RESTORED and (
            self.restoration is None or self.restoration.method is RestorationMethod.NOT_ATTEMPTED
        ):
            yield Broken("mark_restored_how", "/restoration")
        if self.restoration is not None and self.status not in _RESTORABLE:
            yield Broken("mark_restoration_state", "/restoration")
        if self.country is not None and self.kind not in _COUNTRY_KINDS:
            yield Broken("mark_country_kind", "/country")
        if self.year is not None and self.kind not in _YEAR_KINDS:
            yield Broken("mark_year_kind", "/year")
