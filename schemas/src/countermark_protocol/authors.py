"""Who signed a statement of an endpoint, and whether these keys counted: its author, who released it, in whose name.

Everything but a message bears one signature by an instance key of its author. A message may bear two more: `release`,
by the key of another holder at the sender's endpoint, and `behalf`, by an instance key of the endpoint in whose name
it is sent; the second exactly if its manifest names that endpoint.

Source: docs/spec/documents.md §4; docs/spec/messages.md §8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from countermark_protocol.claims import KIND_NAMES, Kind
from countermark_protocol.directory import Directory
from countermark_protocol.documents import Document, Purpose
from countermark_protocol.encoding import JsonObject
from countermark_protocol.errors import PolicyError, SignatureError
from countermark_protocol.identifiers import Address, KeyId
from countermark_protocol.records import InstanceKey

_ON_MESSAGES: Final = frozenset({Purpose.RELEASE, Purpose.BEHALF})


@dataclass(frozen=True, slots=True)
class Signers:
    """Whose keys signed a statement, each counting as of its leaf.

    Attributes:
        key_id: of the author's key.
        author: holder of it.
        release: (key id, holder) of the second person of a message, if there is one.
        behalf: (key id, holder) at the endpoint in whose name a message is sent, if it is.
    """

    key_id: KeyId
    author: InstanceKey
    release: InstanceKey | None = None
    behalf: InstanceKey | None = None


def signer_of(document: Document) -> KeyId:
    """The one key by which the author signed.

    Raises:
        SignatureError: more or other signatures than the kind allows.
        PolicyError: signatures of a purpose that stands on messages only.
    """
    extra = {purpose for purpose, _ in document.signers} - {Purpose.SIGN}
    signs = document.keys_for(Purpose.SIGN)
    if _is_message(document.claims):
        extra -= _ON_MESSAGES
    for purpose in (Purpose.RELEASE, Purpose.BEHALF):
        if purpose in extra:
            name = purpose.name.lower()
            raise PolicyError(
                f"reserved_{name}",
                f"signatures of purpose '{name}' stand on messages, not on other statements",
            )
    if len(signs) > 1 or (signs and extra):
        raise SignatureError(
            "too_many_signatures",
            f"expected exactly one signature of purpose 'sign', got {len(document.signers)} signatures",
        )
    if not signs:
        raise SignatureError("wrong_signer", "expected a signature of purpose 'sign'")
    return next(iter(signs))


def authenticate(
    directory: Directory, document: Document, address: Address, time: int, at: int | None = None
) -> Signers:
    """Check that exactly the keys signed that must, each an instance key that counted.

    Args:
        directory: as it stands before the statement's leaf; or further, with `at`.
        document: all its signatures verified, its payload read before as the statement that it is.
        address: the author that its payload names.
        time: of its leaf, ms since 1970.
        at: log index as of which to judge; None for the newest state.

    Raises:
        SignatureError: ``wrong_signer``, ``revoked_key``, ``key_over``, ``same_holder``, ``too_few_signatures``, or as
            `signer_of`.
        PolicyError: as `signer_of`.
    """
    key_id = signer_of(document)
    author = _counting(directory, address, key_id, time, at)
    if len(document.signers) == 1 and not _is_message(document.claims):
        return Signers(key_id, author)
    released = [
        _counting(directory, address, k, time, at)
        for k in _at_most_one(document, Purpose.RELEASE, wanted=False)
    ]
    if released and released[0].holder == author.holder:
        raise SignatureError(
            "same_holder",
            f"key {released[0].key.key_id.hex()} that releases is held by '{author.holder}', who drafted: another "
            "person must release",
        )
    principal = document.claims.get("on_behalf_of")
    if not isinstance(principal, str) and document.keys_for(Purpose.BEHALF):
        raise SignatureError(
            "too_many_signatures", "a signature of purpose 'behalf', and nobody named on whose behalf"
        )
    behalf = [
        _counting(directory, Address(str(principal)), k, time, at)
        for k in _at_most_one(document, Purpose.BEHALF, wanted=isinstance(principal, str))
    ]
    return Signers(key_id, author, next(iter(released), None), next(iter(behalf), None))


def _is_message(claims: JsonObject) -> bool:
    return claims.get("kind") == KIND_NAMES[Kind.MESSAGE]


def _at_most_one(document: Document, purpose: Purpose, *, wanted: bool) -> frozenset[KeyId]:
    keys = document.keys_for(purpose)
    name = purpose.name.lower()
    if len(keys) > 1:
        raise SignatureError(
            "too_many_signatures", f"expected one signature of purpose '{name}', got {len(keys)}"
        )
    if wanted and not keys:
        raise SignatureError(
            "too_few_signatures",
            f"sent on behalf of {document.claims.get('on_behalf_of')}: expected a signature of purpose '{name}' by a "
            "key of it",
        )
    return keys


def _counting(
    directory: Directory, address: Address, key_id: KeyId, time: int, at: int | None
) -> InstanceKey:
    found = directory.instance(address, key_id, at, time=time)
    if found is not None:
        return found
    again = "sign the same payload with a current one"
    if directory.revocation(key_id, at) is not None:
        raise SignatureError("revoked_key", f"key {key_id.hex()} of {address} is revoked: {again}")
    if directory.listed_instance(address, key_id, at) is not None:
        raise SignatureError(
            "key_over", f"key {key_id.hex()} of {address} has reached the end that its record states: {again}"
        )
    raise SignatureError(
        "wrong_signer", f"key {key_id.hex()} is not a current instance key of {address}: {again}"
    )
