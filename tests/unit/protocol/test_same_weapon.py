"""Which descriptions may be of one weapon, which requests were made twice, and who came back from the dead."""

import datetime as dt
import json

import pytest

from countermark_protocol.codes.serials import Agreement
from countermark_protocol.messages.weapon import FirearmItem
from countermark_protocol.tracing.weapons import Sighting, duplicates, resurrections, weapon_keys


def item(serial="ABC-1234", make="GLOCK", category="PISTOL", calibre="9x19", **more):
    marks = [
        {"kind": "SERIAL", "component": "FRAME", "text": s, "status": "LEGIBLE"} for s in serial.split("|")
    ]
    return FirearmItem.model_validate_json(json.dumps(
        {
            "itemRef": "1", "category": category, "originForm": "FACTORY", "make": {"text": make},
            "calibre": {"text": calibre}, "marks": marks, **more,
        })
    )  # fmt: skip


def keys(*args, **more):
    return weapon_keys(item(*args, **more))


@pytest.mark.parametrize(
    ("one", "other", "by"),
    [
        (keys(), keys("abc 1234"), Agreement.PLAIN),
        (keys("ABO1234"), keys("AB01234"), Agreement.ZERO_AND_ONE),
        (keys("\u0410\u0412\u04211234"), keys("ABC1234"), Agreement.LOOK_ALIKE),
        (keys("XX9|ABC1234"), keys("ABC1234"), Agreement.PLAIN),
        (keys(), keys(make="TAURUS"), None),
        (keys(), keys(make="UNKNOWN"), Agreement.PLAIN),
        (keys(), keys(make="UNKNOWN", category="RIFLE"), None),
        (keys(make="UNKNOWN"), keys(make="UNKNOWN", category="UNKNOWN"), None),
        (keys(), keys("ABC1235"), None),
        (keys("17"), keys("17"), Agreement.PLAIN),  # short: make and calibre agree
        (keys("17"), keys("17", calibre=".40"), None),
        (keys("17"), keys("17", make="UNKNOWN"), None),
    ],
)
def test_agreement(one, other, by):
    assert one.agreement(other) is by
    assert other.agreement(one) is by


def sighting(number, day=None, *, destroyed=False, country="KE", **more):
    return Sighting(
        b"%d" % number, "tracing-request", "ke.police.nairobi", "1", keys(**more), country,
        dt.date.fromisoformat(day) if day else None, number * 1000, destroyed,
    )  # fmt: skip


def numbers(pairs):
    return [(int(p.earlier.message), int(p.later.message)) for p in pairs]


def test_requests_made_twice_are_linked():
    first = sighting(1, "2026-03-01")
    assert numbers(duplicates([sighting(2, "2026-03-08"), first])) == [(1, 2)]
    assert numbers(duplicates([sighting(2, "2026-03-09"), first])) == []
    assert numbers(duplicates([sighting(2, "2026-02-22"), first])) == [(1, 2)]
    assert numbers(duplicates([sighting(2, "2026-03-01", country="UG"), first])) == []
    assert numbers(duplicates([sighting(2, None), first])) == []
    assert numbers(duplicates([sighting(2, "2026-03-01", make="CZ"), first])) == []
    assert numbers(duplicates([first, first])) == []


def test_a_destroyed_weapon_that_appears_again():
    gone = sighting(5, "2026-03-01", destroyed=True)
    assert numbers(resurrections([gone, sighting(9, "2026-03-02")])) == [(5, 9)]
    assert (
        numbers(resurrections([gone, sighting(9, "2026-02-01")])) == []
    )  # it happened before, and was told late
    assert numbers(resurrections([gone, sighting(9, "2026-03-01")])) == []
    assert numbers(resurrections([gone, sighting(3, "2026-03-02")])) == [
        (5, 3)
    ]  # told before the destruction was
    assert numbers(resurrections([gone, sighting(9, None)])) == [(5, 9)]
    assert numbers(resurrections([gone, sighting(3, None)])) == []
    assert numbers(resurrections([gone, sighting(9, "2026-04-01", destroyed=True)])) == []
    assert numbers(resurrections([gone, sighting(9, "2026-04-01", serial="XYZ9876")])) == []
