"""A message draft: a sealed message that is carried from one signer to the next, before it is sent.

The file holds the submission as it will be sent, signed by its drafter, and for each reader that must judge it
before signing a stanza that opens it: for the sender's own endpoint, and for the one in whose name it is sent. These
stanzas never go to the broker.

Source: docs/spec/messages.md §8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from countermark_protocol.claims import Claims
from countermark_protocol.documents import Purpose, encode_document, make_signatures
from countermark_protocol.encoding import (
    JsonObject,
    encode_base64url,
    encode_json,
    malformed,
    parse_base64url,
    parse_object,
)
from countermark_protocol.errors import ConflictError
from countermark_protocol.identifiers import Address, parse_address
from countermark_protocol.keys import Signer
from countermark_protocol.submission import (
    MAX_SUBMISSION_BYTES,
    Submission,
    parse_submission,
)

FORMAT: Final = "countermark-message-draft/1"
#: A submission in base64url, and the stanzas.
MAX_DRAFT_BYTES: Final = 2 * MAX_SUBMISSION_BYTES


@dataclass(frozen=True, slots=True)
class MessageDraft:
    """A message that still gathers signatures.

    Attributes:
        submission: as it will be sent, with the signatures so far; none of them is checked by being here.
        stanzas: what opens it for those that must judge it.
    """

    submission: Submission
    stanzas: Mapping[Address, bytes]

    @property
    def payload_hash(self) -> bytes:
        """What names the message, before and after it is sent: 32 bytes."""
        return self.submission.document.payload_hash

    def body(self) -> bytes:
        """The exact bytes of the submission."""
        return self.submission.signed_anew(self.submission.document.data)

    def encode(self) -> bytes:
        """The file."""
        readers = {address: encode_base64url(self.stanzas[address]) for address in sorted(self.stanzas)}
        out: JsonObject = {
            "format": FORMAT,
            "submission": encode_base64url(self.body()),
            "stanzas": readers,
        }
        return encode_json(out)

    def with_signature(self, signer: Signer, purpose: Purpose) -> MessageDraft:
        """The draft with one signature more.

        Raises:
            ConflictError: ``already_signed``.
        """
        document = self.submission.document
        if any(one.key_id == signer.public_key.key_id for one in document.signatures):
            raise ConflictError(
                "already_signed", "this key has signed the draft already: another one must, by another person"
            )
        signed = encode_document(
            document.payload, [*document.signatures, *make_signatures(document.payload, signer, purpose)]
        )
        return MessageDraft(parse_submission(self.submission.signed_anew(signed)), self.stanzas)


def parse_message_draft(data: bytes) -> MessageDraft:
    """Read a draft file.

    Raises:
        MalformedError: not one.
        CountermarkError: as `parse_submission`.
    """
    if len(data) > MAX_DRAFT_BYTES:
        malformed("too_large", f"a message draft has at most {MAX_DRAFT_BYTES} bytes, got {len(data)}")
    claims = Claims(parse_object(data), "message draft")
    if claims.raw("format") != FORMAT:
        claims.bad("format", f"'{FORMAT}'")
    body = parse_base64url(claims.raw("submission"), "'submission' of message draft", MAX_DRAFT_BYTES)
    shown = claims.raw("stanzas")
    if not isinstance(shown, dict) or len(shown) > 2:
        claims.bad("stanzas", "an object with the stanzas of one or two endpoints")
    claims.done()
    stanzas: dict[Address, bytes] = {}
    for address, stanza in shown.items():
        stanzas[parse_address(address, "reader of the draft")] = parse_base64url(
            stanza, "stanza of the draft"
        )
    return MessageDraft(parse_submission(body), stanzas)
