"""Second versions of the released types that list weapons: the same, with each weapon described in full.

A released version never changes what it accepts, so what a weapon gained stands in these. A sender writes the lowest
version that holds what it has to say.

Source: docs/spec/messages.md §7 and §7.3; docs/adr/0027-schemas-are-closed-and-versions-are-for-good.md.
"""

from typing import Annotated, ClassVar

from countermark_protocol.messages.base import term
from countermark_protocol.messages.confiscation import ConfiscationNotice
from countermark_protocol.messages.destruction import DestructionNotice
from countermark_protocol.messages.lost_or_stolen import LostOrStolenNotice
from countermark_protocol.messages.tracing_request import MAX_TRACED_ITEMS, TracingRequest
from countermark_protocol.messages.weapon_v2 import FirearmItemV2


class TracingRequestV2(TracingRequest):
    """A request to trace weapons found in the requester's jurisdiction (ITI 16-17)."""

    VERSION: ClassVar[int] = 2

    items: Annotated[
        tuple[FirearmItemV2, ...],
        term("The weapons to be traced", source="ITI 17(b)", at_least=1, at_most=MAX_TRACED_ITEMS),
    ]


class ConfiscationNoticeV2(ConfiscationNotice):
    """Weapons were seized, found, surrendered or confiscated (ITI 9)."""

    VERSION: ClassVar[int] = 2

    items: Annotated[
        tuple[FirearmItemV2, ...], term("The weapons", source="ITI 9; IAFQ", at_least=1, at_most=500)
    ]


class DestructionNoticeV2(DestructionNotice):
    """Weapons were destroyed (ITI 9)."""

    VERSION: ClassVar[int] = 2

    items: Annotated[
        tuple[FirearmItemV2, ...],
        term("Weapons destroyed, with their marks", source="ITI 9", at_least=1, at_most=500),
    ] = ()


class LostOrStolenNoticeV2(LostOrStolenNotice):
    """Weapons were lost or stolen, or a record of such is changed or cleared."""

    VERSION: ClassVar[int] = 2

    items: Annotated[
        tuple[FirearmItemV2, ...], term("The weapons", source="NCIC; iARMS", at_least=1, at_most=500)
    ]
