"""Weapons destroyed, from what an agency's own notices say of them.

Source: docs/spec/reports.md §3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from countermark_client.reports._arms import Groups, Record, Source, alike, join_by, serial_key
from countermark_client.reports._standing import StandingMessage
from countermark_protocol.messages.destruction import DestructionNotice


@dataclass(frozen=True, slots=True)
class DestroyedArm:
    """Weapons destroyed: one that bore marks, or a row of those that bore none.

    Attributes:
        sources: notices that tell of it, the one logged first first.
        year: of destruction.
        category: WEAPON_CATEGORY.
        method: DESTRUCTION_METHOD.
        count: how many.
        serial: by which it is compared with others; None for those that bore none.
    """

    sources: tuple[Source, ...]
    year: int
    category: str
    method: str
    count: int
    serial: str | None


def read_destroyed(messages: Iterable[StandingMessage]) -> list[DestroyedArm]:
    """Weapons that an agency's own notices tell were destroyed, each once.

    Two items are one weapon by the same ``noticeRef`` and ``itemRef``, or by equal serial keys where make or calibre
    agrees, whatever the days: a weapon is destroyed once.
    """
    rows: list[tuple[StandingMessage, DestructionNotice]] = [
        (each, each.content) for each in messages if isinstance(each.content, DestructionNotice)
    ]
    rows.sort(key=lambda row: (row[0].item.index or 0, row[0].item.message))
    records: list[Record] = []
    notices: list[DestructionNotice] = []
    counted: dict[tuple[str, str, str], list[DestroyedArm]] = {}
    for each, said in rows:
        authority = each.item.manifest.sender.split(".", 1)[0]
        for weapon in said.items:
            records.append(
                Record(
                    source=Source(each.item.message.hex(), weapon.item_ref),
                    index=each.item.index or 0,
                    notice=True,
                    reference=(authority, said.notice_ref),
                    action="DESTROYED",
                    day=said.destroyed_on,
                    country=said.place.country,
                    item=weapon,
                )
            )
            notices.append(said)
        for number, row in enumerate(said.counts):
            place = f"/counts/{number}"
            counted.setdefault((authority, said.notice_ref, place), []).append(
                DestroyedArm(
                    sources=(Source(each.item.message.hex(), place),),
                    year=said.destroyed_on.year,
                    category=row.category.value,
                    method=said.method.value,
                    count=row.count,
                    serial=None,
                )
            )
    groups = Groups(len(records))
    join_by(records, groups, lambda r: (r.reference, r.item.item_ref), lambda *_: True)
    join_by(records, groups, lambda r: serial_key(r.item), lambda one, other: alike(one.item, other.item))
    made: list[DestroyedArm] = []
    by_group: dict[int, list[int]] = {}
    for number in range(len(records)):
        by_group.setdefault(groups.find(number), []).append(number)
    for numbers in by_group.values():
        first = numbers[0]
        made.append(
            DestroyedArm(
                sources=tuple(records[n].source for n in numbers),
                year=notices[first].destroyed_on.year,
                category=records[first].item.category.value,
                method=notices[first].method.value,
                count=1,
                serial=serial_key(records[first].item),
            )
        )
    for same in counted.values():
        sources = tuple(source for each in same for source in each.sources)
        first_row = same[0]
        made.append(
            DestroyedArm(sources, first_row.year, first_row.category, first_row.method, first_row.count, None)
        )
    return sorted(made, key=lambda each: (each.sources[0].message, each.sources[0].item))
