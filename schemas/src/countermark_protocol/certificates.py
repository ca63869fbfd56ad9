"""X.509 certificates that a record may carry for its keys: bounded bytes, which the log keeps and nobody judges by.

A record is the same record whatever stands in them: whether a certificate is one, and of this key, is for each reader
to check (`certificate_paths`). Else two libraries that read X.509 differently would decide a statement differently.

Source: docs/spec/directory.md §10.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from countermark_protocol.claims import Claims
from countermark_protocol.encoding import (
    JsonObject,
    encode_base64url,
    encode_hex,
    malformed,
    parse_base64url,
    parse_digest,
)
from countermark_protocol.identifiers import KeyId

#: Keys of one record that have certificates, certificates of one key, and bytes of one: with all of them a record
#: still fits into a statement.
MAX_CERTIFIED: Final = 8
MAX_CHAIN: Final = 4
MAX_CERTIFICATE_BYTES: Final = 4_096


@dataclass(frozen=True, slots=True)
class KeyCertificates:
    """What a record carries for one of its signing keys. Unverified: `certificate_paths` reads it.

    Attributes:
        key_id: of the key.
        chain: DER of its certificate, then of those above it; the root is left out.
    """

    key_id: KeyId
    chain: tuple[bytes, ...]

    def to_json(self) -> JsonObject:
        """Its form in the record."""
        return {"key": encode_hex(self.key_id), "chain": [encode_base64url(one) for one in self.chain]}


def _certificate(value: Any, what: str) -> bytes:
    data = parse_base64url(value, what, limit=MAX_CERTIFICATE_BYTES * 4 // 3 + 4)
    if not 1 <= len(data) <= MAX_CERTIFICATE_BYTES:
        malformed(
            "oversized_certificate",
            f"expected a certificate of 1 to {MAX_CERTIFICATE_BYTES} bytes, got {len(data)}",
        )
    return data


def _key_certificates(value: Any, what: str) -> KeyCertificates:
    claims = Claims(value, what)
    out = KeyCertificates(
        KeyId(claims.parsed("key", parse_digest)), claims.list_of("chain", _certificate, 1, MAX_CHAIN)
    )
    claims.done()
    return out


def read_certificates(claims: Claims, keys: Iterable[KeyId]) -> tuple[KeyCertificates, ...]:
    """Read the optional member ``certificates`` of a record.

    Args:
        claims: of the record.
        keys: ids of the record's signing keys.

    Raises:
        MalformedError: not in its form; of a key that the record does not name; not ordered by key id.
    """
    if not claims.has("certificates"):
        return ()
    out = claims.list_of("certificates", _key_certificates, 1, MAX_CERTIFIED)
    ids = [one.key_id for one in out]
    if ids != sorted(set(ids)) or not set(ids) <= set(keys):
        claims.bad("certificates", "those of signing keys of this record, ordered by key id, each once")
    return out


def certificates_json(certificates: Iterable[KeyCertificates]) -> JsonObject:
    """The member of a record, where it has any."""
    members = [one.to_json() for one in certificates]
    return {"certificates": members} if members else {}


def change_certificates(
    before: Iterable[KeyCertificates], added: Iterable[KeyCertificates], keys: Iterable[KeyId]
) -> tuple[KeyCertificates, ...]:
    """Those that a new record carries: added ones in the place of those before, and none of a key that is gone.

    Args:
        before: of the record that stands.
        added: new ones.
        keys: ids of the new record's signing keys.
    """
    left = frozenset(keys)
    by_key = {one.key_id: one for one in before if one.key_id in left}
    by_key.update({one.key_id: one for one in added})
    return tuple(by_key[key_id] for key_id in sorted(by_key))
