"""Regions of the world: UN M49 regions and sub-regions, and which countries they hold.

The codes are own ones, the M49 names in capitals; which country belongs where is read from the country list.

NOTE: values are wire format: never reuse, never rename.

Source: UN M49 (Standard country or area codes for statistical use); codes/data/README.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from types import MappingProxyType

from countermark_protocol.codes.tables import CodeListName, read_rows


class Region(StrEnum):
    """UN M49 regions and sub-regions."""

    AFRICA = "AFRICA"
    AMERICAS = "AMERICAS"
    ASIA = "ASIA"
    EUROPE = "EUROPE"
    OCEANIA = "OCEANIA"
    NORTHERN_AFRICA = "NORTHERN_AFRICA"
    SUB_SAHARAN_AFRICA = "SUB_SAHARAN_AFRICA"
    LATIN_AMERICA_AND_THE_CARIBBEAN = "LATIN_AMERICA_AND_THE_CARIBBEAN"
    NORTHERN_AMERICA = "NORTHERN_AMERICA"
    CENTRAL_ASIA = "CENTRAL_ASIA"
    EASTERN_ASIA = "EASTERN_ASIA"
    SOUTH_EASTERN_ASIA = "SOUTH_EASTERN_ASIA"
    SOUTHERN_ASIA = "SOUTHERN_ASIA"
    WESTERN_ASIA = "WESTERN_ASIA"
    EASTERN_EUROPE = "EASTERN_EUROPE"
    NORTHERN_EUROPE = "NORTHERN_EUROPE"
    SOUTHERN_EUROPE = "SOUTHERN_EUROPE"
    WESTERN_EUROPE = "WESTERN_EUROPE"
    AUSTRALIA_AND_NEW_ZEALAND = "AUSTRALIA_AND_NEW_ZEALAND"
    MELANESIA = "MELANESIA"
    MICRONESIA = "MICRONESIA"
    POLYNESIA = "POLYNESIA"


def _code(name: str) -> Region:
    return Region(re.sub(r"[ -]", "_", name).upper())


@cache
def _regions() -> Mapping[str, tuple[Region, ...]]:
    """Region and sub-region of each country."""
    return MappingProxyType(
        {
            row["ISO3166-1-Alpha-2"]: tuple(
                _code(row[column]) for column in ("Region Name", "Sub-region Name") if row[column]
            )
            for row in read_rows(CodeListName.COUNTRY.value)
        }
    )


def regions_of(country: str) -> frozenset[Region]:
    """Regions and sub-regions that a country belongs to; none for Antarctica and for codes that are not of the list.

    Args:
        country: ISO 3166-1 alpha-2, capitals.
    """
    return frozenset(_regions().get(country, ()))


def sub_region_of(country: str) -> Region | None:
    """The narrowest region of a country; None where `regions_of` has none."""
    found = _regions().get(country, ())
    return found[-1] if found else None


@cache
def currencies() -> frozenset[str]:
    """Currencies in use: the ISO 4217 codes of the country list."""
    rows = read_rows(CodeListName.COUNTRY.value)
    return frozenset(
        code for row in rows for code in re.findall(r"[A-Z]{3}", row["ISO4217-currency_alphabetic_code"])
    )
