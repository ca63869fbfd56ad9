"""Submissions in a victim's name that the victim never signed; each another payload, so that none is a repeat."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from countermark_protocol.documents import sign_document
from countermark_protocol.encoding import encode_json
from countermark_protocol.identifiers import make_message_id
from countermark_protocol.keys import PublicKey
from countermark_protocol.submission import encode_submission
from support.world import Sealed, World, now_ms, signer


@dataclass
class Pretender:
    """Names another's key, and signs with its own."""

    public_key: PublicKey
    own: Any

    def sign(self, data: bytes) -> bytes:
        return bytes(self.own.sign(data))


def resigned(sealed: Sealed, key: Any) -> bytes:
    """A submission like another, under an id of its own and signed by whatever key."""
    manifest = replace(sealed.manifest, id=make_message_id(now_ms(), os.urandom(10)))
    document = sign_document(encode_json(manifest.to_json()), [key])
    return encode_submission(document, sealed.rows, sealed.stanzas, sealed.content)


def forgeries(world: World, victim: str, other: str, recipient: str) -> Iterator[bytes]:
    """Without end, three kinds in turn: the victim's key named, an unknown key, another endpoint's good key."""
    sealed = world.message(victim, [recipient])
    unknown = signer("nobody's")
    kinds = (
        Pretender(world.agencies[victim].instance.public_key, unknown),
        unknown,
        world.agencies[other].instance,
    )
    while True:
        for key in kinds:
            yield resigned(sealed, key)
