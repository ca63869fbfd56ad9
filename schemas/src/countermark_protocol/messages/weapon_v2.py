"""The weapon as described in full: the item of version 1, with its parts, ammunition, history and photographs.

Types whose first version is released list the item of `countermark_protocol.messages.weapon` there, and this one in
their second version; types that came later list this one from the beginning. Whatever reads the first reads this too.

Source: ITI 6, 9, 17; Firearms Protocol 3(b) and 6; Directive (EU) 2021/555 Annex I; docs/spec/messages.md §7.3.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from countermark_protocol.codes.events import IllicitBasis
from countermark_protocol.codes.tables import CodeListName, load_code_list
from countermark_protocol.codes.weapons import HandlingEvent, ImageType, LegalScheme
from countermark_protocol.messages.base import UNIQUE, Block, Broken, term
from countermark_protocol.messages.blocks import Dated, Place
from countermark_protocol.messages.scalars import Line, Pointer, Prose, Ref, Sha256
from countermark_protocol.messages.weapon import AmmunitionLot, FirearmItem, LegalCategory, PartLot


class Photograph(Block):
    """A photograph, by its digest; the file itself is an attachment, or is sent by other means."""

    sha256: Annotated[Sha256, term("SHA-256 of the file", source="ATF 3312.1 IX; MOSAIC 05.31")]
    media_type: Annotated[ImageType, term("Media type of the file", source="RFC 6838", codes="IMAGE_TYPE")]
    size: Annotated[int, term("Size of the file", source="own", unit="bytes", low=1, high=2_147_483_648)]
    caption: Annotated[Line | None, term("What it shows, in words", source="ATF 3312.1 IX")] = None
    shows: Annotated[
        Pointer | None,
        term("The member of the weapon that it shows, e.g. /marks/2", source="ATF 3312.1 IX"),
    ] = None


class HandlingStep(Dated):
    """One step of what was done with the weapon since it came to hand."""

    event: Annotated[
        HandlingEvent, term("What was done", source="ITI 9; FP 6; FIELDS", codes="HANDLING_EVENT")
    ]
    by: Annotated[Line | None, term("Agency or laboratory, never a person", source="ITI 9; FP 6")] = None
    place: Annotated[Place | None, term("Where", source="ITI 9")] = None
    ref: Annotated[Ref | None, term("Record of it, e.g. report or receipt", source="FP 6(2)")] = None
    note: Annotated[Prose | None, term("Remarks", source="ITI 9")] = None


class FirearmItemV2(FirearmItem):
    """One weapon, described in full."""

    RULES: ClassVar[Mapping[str, str]] = {
        **FirearmItem.RULES,
        "history_in_order": "the dates of a history do not go back",
        "photo_shows": "a photograph shows a member that the weapon has: /marks/<i>, /parts/<i> or /ammunition/<i>",
        "photos_differ": "a photograph stands once",
        "eu_category": "a category under EU-2021-555 is one of Annex I: A1 to A9, B1 to B9, C1 to C7",
    }

    illicit_basis: Annotated[
        tuple[IllicitBasis, ...],
        term(
            "Why this weapon is considered illicit",
            source="ITI 6 and 17(a)",
            codes="ILLICIT_BASIS",
            at_least=1,
            at_most=5,
        ),
        UNIQUE,
    ] = ()
    parts: Annotated[
        tuple[PartLot, ...],
        term("Parts found with it, or foreign to it", source="FP 3(b); IAFQ", at_least=1, at_most=40),
    ] = ()
    ammunition: Annotated[
        tuple[AmmunitionLot, ...], term("Ammunition found with it", source="IAFQ", at_least=1, at_most=40)
    ] = ()
    history: Annotated[
        tuple[HandlingStep, ...],
        term("What was done with it, oldest first", source="ITI 9; FP 6", at_least=1, at_most=100),
    ] = ()
    photographs: Annotated[
        tuple[Photograph, ...],
        term("Photographs", source="ATF 3312.1 IX; MOSAIC 05.31", at_least=1, at_most=40),
    ] = ()

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        yield from super().check()
        latest = None
        for i, step in enumerate(self.history):
            if step.date is not None and latest is not None and step.date < latest:
                yield Broken("history_in_order", f"/history/{i}/date")
            latest = step.date or latest
        lists: Mapping[str, tuple[Block, ...]] = {
            "marks": self.marks,
            "parts": self.parts,
            "ammunition": self.ammunition,
        }
        seen: set[str] = set()
        for i, photograph in enumerate(self.photographs):
            if photograph.shows is not None:
                name, _, number = photograph.shows[1:].partition("/")
                if not number.isdecimal() or int(number) >= len(lists.get(name, ())):
                    yield Broken("photo_shows", f"/photographs/{i}/shows")
            if photograph.sha256 in seen:
                yield Broken("photos_differ", f"/photographs/{i}")
            seen.add(photograph.sha256)
        if not is_legal_category(self.legal_category):
            yield Broken("eu_category", "/legalCategory/code")


def is_legal_category(category: LegalCategory | None) -> bool:
    """Whether a category exists, as far as its law is known here; that of a national law is taken as it is."""
    return (
        category is None
        or category.scheme is not LegalScheme.EU_2021_555
        or category.code in load_code_list(CodeListName.EU_CATEGORY)
    )
