"""Free text within a conversation: what no form holds, and never its beginning.

Source: docs/spec/messages.md §7.14.
"""

from typing import Annotated, ClassVar

from countermark_protocol.messages.base import UNIQUE, Message, term
from countermark_protocol.messages.blocks import Contact, ExternalRef
from countermark_protocol.messages.scalars import Language, MessageHash, Prose, Title


class FreeText(Message):
    """A text that belongs to a conversation, where no form fits."""

    TYPE: ClassVar[str] = "free-text"
    VERSION: ClassVar[int] = 1

    subject: Annotated[Title | None, term("What it is about", source="SIENA")] = None
    paragraphs: Annotated[
        tuple[Prose, ...], term("The text, paragraph by paragraph", source="SIENA", at_least=1, at_most=50)
    ]
    about: Annotated[
        tuple[MessageHash, ...],
        term("Messages that it is about", source="SIENA", at_least=1, at_most=20),
        UNIQUE,
    ] = ()
    contact: Annotated[Contact | None, term("Who can be asked", source="ITI 25")] = None
    language: Annotated[
        Language, term("Language of the text", source="Directive (EU) 2023/977", codes="BCP 47")
    ]
    external_refs: Annotated[
        tuple[ExternalRef, ...], term("The case in other systems", source="ITI 33-35", at_least=1, at_most=20)
    ] = ()
