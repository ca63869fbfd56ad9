"""The report of a State's offices over some years, computed from messages that one of them holds.

Everything that is counted names where it stands, and everything that is not counted says why: `made.left_out` and
`made.warnings` with the figures account for every message and weapon that was read.

NOTE: what a version of these rules gives never changes; other rules are another `RULE_VERSION`.

Source: docs/spec/reports.md §2 to 5.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from countermark_client._models import ConversationItem
from countermark_client.reports._arms import (
    Arm,
    Source,
    action_of,
    group_records,
    marking_state,
    read_records,
)
from countermark_client.reports._destroyed import DestroyedArm, read_destroyed
from countermark_client.reports._figures import UNKNOWN_YEAR, Counted, Figure, Table, figures
from countermark_client.reports._standing import NOT_STANDING, WARNINGS, StandingMessage, standing_messages
from countermark_client.reports._tracing import (
    TRACED,
    TracedRequest,
    median_days,
    read_requests,
    trace_state,
    with_outcomes,
)
from countermark_protocol.codes.weapons import WeaponCategory
from countermark_protocol.messages.confiscation import ConfiscationNotice
from countermark_protocol.messages.found_or_surrendered import FoundOrSurrenderedNotice
from countermark_protocol.messages.weapon_v2 import FirearmItemV2

RULE_VERSION: Final = 1
COMPUTED_BY: Final = f"countermark report {RULE_VERSION}"
#: From so many arms on a seizure is significant (IAFQ).
SIGNIFICANT: Final = 10
#: Types that figures are made of, and that help to make them.
_TYPES: Final = (
    "confiscation-notice",
    "found-or-surrendered-notice",
    "tracing-request",
    "tracing-acknowledgement",
    "tracing-response",
    "destruction-notice",
)
_OF_THE_STATE: Final = frozenset({"confiscation-notice", "found-or-surrendered-notice", "destruction-notice"})
#: What SDG 16.4.2 counts.
INDICATOR_ACTIONS: Final = frozenset({"SEIZED", "FOUND", "SURRENDERED"})
#: Weapons made until then are antiques (Firearms Protocol 3(a)).
_LAST_ANTIQUE_YEAR: Final = 1899

TABLES: Final[Mapping[str, Table]] = MappingProxyType(
    {
        table.name: table
        for table in (
            Table("arms", "Arms by category", ("action", "category"), "arms", adds_up=True),
            Table("make_up", "Arms by make-up", ("action", "origin_form"), "arms", adds_up=True),
            Table(
                "marking", "Arms by state of marking", ("action", "category", "marking"), "arms", adds_up=True
            ),
            Table("tracing", "Arms by what came of tracing", ("action", "trace_state"), "arms", adds_up=True),
            Table("origin", "Arms by country of manufacture", ("action", "country"), "arms", adds_up=True),
            Table("owner", "Arms by last lawful owner", ("action", "owner_category"), "arms", adds_up=True),
            Table("offences", "Arms by offence; one may stand under several", ("action", "offence"), "arms"),
            Table("parts", "Parts and components", ("action", "component"), "pieces"),
            Table("ammunition", "Ammunition", ("action",), "cartridges"),
            Table("significant", f"Notices of {SIGNIFICANT} arms and more", ("action", "notice"), "arms"),
            Table("indicator_arms", "SDG 16.4.2, denominator", ("marking",), "arms"),
            Table("indicator_traced", "SDG 16.4.2, numerator: traced", ("marking",), "arms"),
            Table("destroyed", "Arms destroyed", ("category", "method"), "arms"),
            Table("requests", "Tracing requests", ("direction", "what"), "requests"),
        )
    }
)
#: Which tables a kind of report holds.
KINDS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "iafq": (
            "arms",
            "make_up",
            "marking",
            "tracing",
            "origin",
            "owner",
            "offences",
            "parts",
            "ammunition",
            "significant",
        ),
        "sdg": ("indicator_arms", "indicator_traced"),
        "poa": ("marking", "destroyed", "requests", "indicator_arms", "indicator_traced"),
    }
)
#: Why something is not counted, in words.
NOT_COUNTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        **NOT_STANDING,
        "exercise": "drill traffic",
        "not_exercise": "real traffic, where drill traffic is asked for",
        "other_state": "another State's notice",
        "other_year": "of a year that was not asked for",
        "not_in_indicator_confiscated": "not in SDG 16.4.2: a court's confiscation, or a lost weapon recovered",
        "not_in_indicator_air_gun": "not in SDG 16.4.2: an air gun is no firearm (Firearms Protocol 3)",
        "not_in_indicator_antique": "not in SDG 16.4.2: made before 1900 (Firearms Protocol 3)",
    }
)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that is not counted.

    Attributes:
        reason: a key of `NOT_COUNTED`.
        source: where it stands; of a whole message `item` is empty.
    """

    reason: str
    source: Source


@dataclass(frozen=True, slots=True)
class Report:
    """What was computed.

    Attributes:
        kind: a key of `KINDS`.
        authority: whose report it is, e.g. ``ke``.
        years: that were asked for.
        figures: by table, year and cell.
        left_out: what is not counted, and why.
        warnings: (message, what a reader must know of it).
        messages: how many messages of the types that count were read.
        median_days: year to the median of days to a final answer to requests sent.
    """

    kind: str
    authority: str
    years: tuple[int, ...]
    figures: tuple[Figure, ...]
    left_out: tuple[LeftOut, ...]
    warnings: tuple[tuple[str, str], ...]
    messages: int
    median_days: Mapping[str, str]

    def count(self, table: str, year: int | str, *cell: str) -> int:
        """Sum of the figures of a table and year whose cells begin with `cell`."""
        return sum(
            f.count
            for f in self.figures
            if f.table == table and f.year == str(year) and f.cell[: len(cell)] == cell
        )


def make_report(
    items: Iterable[ConversationItem],
    authority: str,
    years: Sequence[int],
    kind: str = "iafq",
    *,
    exercise: bool = False,
) -> Report:
    """Compute a report; the order of `items` makes no difference.

    Args:
        items: messages, as a client holds them (`Client.messages`).
        authority: whose report: offices of this authority send what is counted, e.g. ``ke``.
        years: of events. What has no date is counted apart, whatever the years.
        kind: a key of `KINDS`.
        exercise: count drill traffic, and only that; else real traffic, and only that.
    """
    all_items = [
        item for item in items if item.manifest.type in _TYPES or item.manifest.supersedes is not None
    ]
    stand = standing_messages(all_items)
    of_types = [item for item in all_items if item.manifest.type in _TYPES]
    left_out = [
        LeftOut(reason, Source(item.message.hex(), ""))
        for item, reason in stand.left_out
        if item.manifest.type in _TYPES
    ]
    ours: list[StandingMessage] = []
    for each in stand.standing:
        reason = _foreign(each, authority, exercise=exercise)
        if reason is not None and each.item.manifest.type in _TYPES:
            left_out.append(LeftOut(reason, Source(each.item.message.hex(), "")))
        elif reason is None:
            ours.append(each)
    requests = read_requests(ours, authority)
    own = [m for m in ours if m.item.manifest.sender.split(".", 1)[0] == authority]
    arms = with_outcomes(group_records(read_records(own)), requests)
    destroyed = read_destroyed(own)
    wanted = {str(year) for year in years} | {UNKNOWN_YEAR}
    rows = [
        *_arms_rows(arms),
        *_lot_rows(own),
        *_indicator_rows(arms, wanted, left_out if "indicator_arms" in KINDS[kind] else []),
        *_destroyed_rows(destroyed),
        *_request_rows(requests),
    ]
    kept = [row for row in rows if row[1] in wanted and row[0] in KINDS[kind]]
    left_out += _other_years(rows, wanted, kind)
    return Report(
        kind=kind,
        authority=authority,
        years=tuple(sorted(set(years))),
        figures=tuple(
            figure
            for name in KINDS[kind]
            for figure in figures(name, ((year, cell, c) for table, year, cell, c in kept if table == name))
        ),
        left_out=tuple(
            sorted(set(left_out), key=lambda each: (each.reason, each.source.message, each.source.item))
        ),
        warnings=tuple((item.message.hex(), WARNINGS[why]) for item, why in stand.warnings),
        messages=len({item.message for item in of_types}),
        median_days=_medians(requests, wanted),
    )


Row = tuple[str, str, tuple[str, ...], Counted]


def _foreign(each: StandingMessage, authority: str, *, exercise: bool) -> str | None:
    manifest = each.item.manifest
    if manifest.exercise is not exercise:
        return "exercise" if manifest.exercise else "not_exercise"
    if manifest.type in _OF_THE_STATE and manifest.sender.split(".", 1)[0] != authority:
        return "other_state"
    return None


def _year(year: int | None) -> str:
    return UNKNOWN_YEAR if year is None else str(year)


def _arms_rows(arms: Sequence[Arm]) -> Iterator[Row]:
    by_notice: dict[tuple[str, str, str], list[Arm]] = {}
    for arm in arms:
        main, item, year = arm.main, arm.main.item, _year(arm.year)
        one = Counted(main.count, arm.sources)
        cells = {
            "arms": (item.category.value,),
            "make_up": (item.origin_form.value,),
            "marking": (item.category.value, marking_state(item).value),
            "tracing": (trace_state(arm),),
            "origin": (item.country_of_manufacture or "UNKNOWN",),
            "owner": (item.owner_category.value if item.owner_category is not None else "UNKNOWN",),
        }
        for table, cell in cells.items():
            yield table, year, (main.action, *cell), one
        for offence in main.offences or ("NOT_RECORDED",):
            yield "offences", year, (main.action, offence), one
        if main.notice:
            by_notice.setdefault((year, main.action, main.reference[1]), []).append(arm)
    for (year, action, notice), found in by_notice.items():
        if sum(arm.main.count for arm in found) >= SIGNIFICANT:
            for arm in found:
                yield "significant", year, (action, notice), Counted(arm.main.count, arm.sources)


def _lot_rows(own: Sequence[StandingMessage]) -> Iterator[Row]:
    """Parts and ammunition of each notice; a notice sent twice tells of them once."""
    seen: set[tuple[str, str]] = set()
    for each in own:
        said = each.content
        if not isinstance(said, ConfiscationNotice | FoundOrSurrenderedNotice):
            continue
        reference = (each.item.manifest.sender.split(".", 1)[0], said.notice_ref)
        if reference in seen:
            continue
        seen.add(reference)
        year = _year(said.event.date.year if said.event.date is not None else None)
        message, action = each.item.message.hex(), action_of(said)
        lots: list[tuple[str, FirearmItemV2 | ConfiscationNotice | FoundOrSurrenderedNotice]] = [("", said)]
        lots += [
            (f"/items/{i}", item) for i, item in enumerate(said.items) if isinstance(item, FirearmItemV2)
        ]
        for at, holder in lots:
            for i, part in enumerate(holder.parts):
                counted = Counted(part.quantity, (Source(message, f"{at}/parts/{i}"),))
                yield "parts", year, (action, part.component.value), counted
            for i, lot in enumerate(holder.ammunition):
                counted = Counted(lot.quantity, (Source(message, f"{at}/ammunition/{i}"),))
                yield "ammunition", year, (action,), counted


def _indicator_rows(arms: Sequence[Arm], wanted: set[str], left_out: list[LeftOut]) -> Iterator[Row]:
    for arm in arms:
        item = arm.main.item
        reason = None
        if arm.main.action not in INDICATOR_ACTIONS:
            reason = "not_in_indicator_confiscated"
        elif item.category is WeaponCategory.AIR_GUN:
            reason = "not_in_indicator_air_gun"
        elif item.year_of_manufacture is not None and item.year_of_manufacture <= _LAST_ANTIQUE_YEAR:
            reason = "not_in_indicator_antique"
        year, marking = _year(arm.year), marking_state(item).value
        if reason is not None:
            left_out.append(LeftOut(reason if year in wanted else "other_year", arm.main.source))
            continue
        yield "indicator_arms", year, (marking,), Counted(arm.main.count, arm.sources)
        if trace_state(arm) == TRACED:
            yield "indicator_traced", year, (marking,), Counted(arm.main.count, arm.sources)


def _destroyed_rows(destroyed: Sequence[DestroyedArm]) -> Iterator[Row]:
    for each in destroyed:
        yield "destroyed", str(each.year), (each.category, each.method), Counted(each.count, each.sources)


def _request_rows(requests: Sequence[TracedRequest]) -> Iterator[Row]:
    for each in requests:
        direction = "sent" if each.sent else "received"
        asked = Source(each.message, "")
        year = str(each.year)
        yield "requests", year, (direction, "asked"), Counted(1, (asked,))
        if each.acknowledged is not None:
            yield (
                "requests",
                year,
                (direction, "acknowledged"),
                Counted(1, (asked, Source(each.acknowledged, ""))),
            )
        if each.final:
            final = tuple(Source(message, "") for message in each.final)
            yield "requests", year, (direction, "answered"), Counted(1, (asked, *final))
            if each.refused:
                yield "requests", year, (direction, "refused"), Counted(1, (asked, *final))


def _other_years(rows: Sequence[Row], wanted: set[str], kind: str) -> list[LeftOut]:
    return [
        LeftOut("other_year", counted.sources[0])
        for table, year, _, counted in rows
        if year not in wanted and table in KINDS[kind]
    ]


def _medians(requests: Sequence[TracedRequest], wanted: set[str]) -> dict[str, str]:
    found = {}
    for year in sorted(wanted - {UNKNOWN_YEAR}):
        days = median_days(each for each in requests if each.sent and str(each.year) == year)
        if days is not None:
            found[year] = days
    return found
