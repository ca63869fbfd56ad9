"""Sums of money: whole units of one currency, never of two added up.

Source: ISO 4217; UNODA compendium of proposals (indicative budgets); docs/spec/assistance.md §1.
"""

from typing import Annotated

from pydantic import Field, StringConstraints
from typing_extensions import TypeAliasType

from countermark_protocol.messages.base import Block, term

Currency = TypeAliasType(
    "Currency",
    Annotated[
        str,
        StringConstraints(pattern=r"^[A-Z]{3}$"),
        Field(description="A currency: ISO 4217, three capitals; checked by form only."),
    ],
)
#: Up to 10^15, so that budgets in currencies of small units fit and a JSON number stays exact.
MoneyAmount = TypeAliasType(
    "MoneyAmount",
    Annotated[
        int,
        Field(ge=1, le=10**15, description="A sum in whole units of its currency, more than zero."),
    ],
)


class Money(Block):
    """A sum."""

    currency: Annotated[Currency, term("Currency", source="UNODA compendium", codes="ISO 4217")]
    amount: Annotated[
        MoneyAmount, term("Amount", source="UNODA compendium", unit="whole units of the currency")
    ]
