"""Webhooks: the one thing that a broker says without being asked, "look", and how it is signed and checked.

The shape is that of Standard Webhooks 1.0.0 with its asymmetric scheme (``v1a``, Ed25519), so a library of that
specification checks it too, if it knows that scheme: the one for Go does, the one for Python knows only ``v1``, which
needs a shared secret. Signed are id, time and body joined by full stops. What a node key signs elsewhere begins
otherwise (a document's header in base64url, a request's ``"@method"``), so none of these is ever taken for another.

A look says only which box of which endpoint moved: no ids, types, senders or counts. Nothing follows from it but
that the box is worth reading; a forged one costs a read, a suppressed one is what polling is for.

Sources: Standard Webhooks 1.0.0, "Signature scheme" and "Webhook headers"; docs/spec/api.md §6.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from countermark_protocol.boxes import Box
from countermark_protocol.claims import Claims
from countermark_protocol.encoding import JsonObject, encode_json, malformed, parse_object
from countermark_protocol.errors import SignatureError, UncheckableError
from countermark_protocol.identifiers import Address, parse_address
from countermark_protocol.keys import Algorithm, PublicKey, Signer, parse_public_key

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"
EVENT: Final = "box.moved"
#: Longest URL that may be registered, characters.
MAX_URL: Final = 500
#: Seconds either way between a look's time and its receiver's clock, as the libraries of the specification have it.
TOLERANCE_S: Final = 300

_KEY_PREFIX: Final = "whpk_"
_SCHEME: Final = "v1a,"
_HEADERS: Final = (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)
#: Without a full stop, or an id could reach into what follows it under the signature.
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_SECONDS = re.compile(r"[1-9][0-9]{0,10}\Z")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\Z")
_TIME_FORM: Final = "%Y-%m-%dT%H:%M:%SZ"
#: A node that changes its key signs with two; more are not ours.
_MAX_SIGNATURES: Final = 8
_MAX_BODY: Final = 4096


# --- keys ----------------------------------------------------------------------------------------------


def encode_webhook_key(key: PublicKey) -> str:
    """A node key in the form of the specification: ``whpk_`` and 32 bytes in base64.

    Raises:
        ValueError: not an Ed25519 key: the specification has no other.
    """
    if key.algorithm is not Algorithm.ED25519:
        msg = "webhooks are signed with Ed25519 keys only"
        raise ValueError(msg)
    return _KEY_PREFIX + base64.b64encode(key.raw).decode("ascii")


def parse_webhook_key(text: str) -> PublicKey:
    """Parse ``whpk_…``, the inverse of `encode_webhook_key`.

    Raises:
        MalformedError: ``webhook_key_form``, or no valid Ed25519 key.
    """
    if not text.startswith(_KEY_PREFIX):
        malformed("webhook_key_form", f"webhook key: expected {_KEY_PREFIX} and 44 characters of base64")
    raw = _parse_base64(text.removeprefix(_KEY_PREFIX))
    if raw is None:
        malformed(
            "webhook_key_form", f"webhook key: what follows {_KEY_PREFIX} is not base64 with its padding"
        )
    return parse_public_key(Algorithm.ED25519, raw)


def _parse_base64(text: str) -> bytes | None:
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    return raw if base64.b64encode(raw).decode("ascii") == text else None


# --- looks ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Look:
    """That a box has moved.

    Attributes:
        id: the same for every try of the same look; says nothing by itself.
        endpoint: whose box.
        box: which.
        moved_at: when its newest entry was logged, ms since 1970 in whole seconds.
    """

    id: str
    endpoint: Address
    box: Box
    moved_at: int


def encode_look(look: Look) -> bytes:
    """The body of a look, without its id, which is a header."""
    moment = datetime.fromtimestamp(look.moved_at // 1000, UTC).strftime(_TIME_FORM)
    data = {"endpoint": look.endpoint, "box": look.box.value}
    return encode_json({"type": EVENT, "timestamp": moment, "data": data})


def _signed_bytes(look_id: str, seconds: int, body: bytes) -> bytes:
    return f"{look_id}.{seconds}.".encode("ascii") + body


def sign_look(look: Look, signer: Signer, now_seconds: int) -> tuple[dict[str, str], bytes]:
    """Sign a look.

    Args:
        look: to send.
        signer: an Ed25519 key.
        now_seconds: time of this try, seconds since 1970.

    Returns:
        The three headers, and the body.

    Raises:
        ValueError: the key is not Ed25519, or the id is not of the form.
    """
    if signer.public_key.algorithm is not Algorithm.ED25519 or not _ID.match(look.id):
        msg = "a look is signed with an Ed25519 key and has an id of 1 to 64 letters, digits, '_' or '-'"
        raise ValueError(msg)
    body = encode_look(look)
    signature = signer.sign(_signed_bytes(look.id, now_seconds, body))
    headers = {
        ID_HEADER: look.id,
        TIMESTAMP_HEADER: str(now_seconds),
        SIGNATURE_HEADER: _SCHEME + base64.b64encode(signature).decode("ascii"),
    }
    return headers, body


@dataclass(frozen=True, slots=True)
class UnverifiedLook:
    """A request in the form of a webhook that nobody has checked yet.

    Attributes:
        id: as said.
        seconds: when it was signed, as said, seconds since 1970.
        body: exact bytes; not parsed before a signature over them stands.
        signatures: those of the asymmetric scheme, raw.
    """

    id: str
    seconds: int
    body: bytes
    signatures: tuple[bytes, ...]


def parse_look(headers: Mapping[str, str] | Iterable[tuple[str, str]], body: bytes) -> UnverifiedLook:
    """Recognise the three headers.

    Args:
        headers: of the request; names in any case.
        body: exact bytes, as received, never parsed and written anew.

    Raises:
        MalformedError: ``webhook_header_missing``, ``webhook_header_repeated``, ``webhook_header_form`` or
            ``oversized_body``.
    """
    found: dict[str, str] = {}
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        field = name.lower()
        if field in _HEADERS:
            if field in found:
                malformed("webhook_header_repeated", f"header '{field}' must come once")
            found[field] = value
    missing = [name for name in _HEADERS if name not in found]
    if missing:
        malformed("webhook_header_missing", f"header '{missing[0]}' is missing: this is no webhook")
    if len(body) > _MAX_BODY:
        malformed("oversized_body", f"expected a body of at most {_MAX_BODY} bytes", limit=_MAX_BODY)
    if not _ID.match(found[ID_HEADER]):
        malformed("webhook_header_form", f"header '{ID_HEADER}' must be 1 to 64 letters, digits, '_' or '-'")
    if not _SECONDS.match(found[TIMESTAMP_HEADER]):
        malformed("webhook_header_form", f"header '{TIMESTAMP_HEADER}' must be seconds since 1970")
    # Other schemes may stand beside ours: the specification lets a sender sign in several.
    items = found[SIGNATURE_HEADER].split(" ")
    ours = [_parse_base64(i.removeprefix(_SCHEME)) for i in items if i.startswith(_SCHEME)]
    signatures = tuple(raw for raw in ours if raw is not None)
    if not 1 <= len(signatures) <= _MAX_SIGNATURES or len(signatures) != len(ours):
        malformed(
            "webhook_header_form",
            f"header '{SIGNATURE_HEADER}' must hold 1 to {_MAX_SIGNATURES} signatures {_SCHEME}<base64>",
        )
    return UnverifiedLook(found[ID_HEADER], int(found[TIMESTAMP_HEADER]), body, signatures)


def verify_look(
    unverified: UnverifiedLook,
    keys: Iterable[PublicKey],
    *,
    endpoint: Address,
    now_seconds: int,
    tolerance_seconds: int = TOLERANCE_S,
) -> Look:
    """Check time and signature of a look, then read it.

    Args:
        unverified: from `parse_look`.
        keys: node keys of the broker, from the verified directory; never from the request itself.
        endpoint: whose looks are awaited here: the broker sends looks to others too, under the same keys.
        now_seconds: the receiver's clock, seconds since 1970.
        tolerance_seconds: how far the two clocks may be apart, either way.

    Raises:
        SignatureError: ``webhook_too_old``, ``webhook_from_future``, ``webhook_not_signed``,
            ``webhook_other_endpoint``.
        UncheckableError: ``no_webhook_key``: no Ed25519 key was given.
        MalformedError: signed, but not a look.

    Does not prove: that it comes for the first time (its id tells), or that the box holds anything new.
    """
    trusted = [key for key in keys if key.algorithm is Algorithm.ED25519]
    if not trusted:
        raise UncheckableError(
            "no_webhook_key", "no Ed25519 key of the broker was given to check a webhook with"
        )
    age = now_seconds - unverified.seconds
    if age > tolerance_seconds:
        raise SignatureError(
            "webhook_too_old", f"the webhook was signed {age} s ago, expected at most {tolerance_seconds} s"
        )
    if age < -tolerance_seconds:
        raise SignatureError(
            "webhook_from_future",
            f"the webhook was signed {-age} s in the future, expected at most {tolerance_seconds} s: "
            "compare the clocks",
        )
    message = _signed_bytes(unverified.id, unverified.seconds, unverified.body)
    if not any(_stands(key, message, raw) for key in trusted for raw in unverified.signatures):
        raise SignatureError(
            "webhook_not_signed", "the webhook is not signed by any of the broker's keys that were given"
        )
    look = _read_body(unverified)
    if look.endpoint != endpoint:
        raise SignatureError(
            "webhook_other_endpoint", f"the webhook is for another endpoint than {endpoint}: it was passed on"
        )
    return look


def _stands(key: PublicKey, message: bytes, signature: bytes) -> bool:
    try:
        key.verify(message, signature)
    except SignatureError:
        return False
    return True


def _read_body(unverified: UnverifiedLook) -> Look:
    claims = Claims(parse_object(unverified.body, "webhook"), "webhook")
    if claims.text("type") != EVENT:
        claims.bad("type", f"'{EVENT}'")
    moved_at = claims.parsed("timestamp", _parse_time)
    data = Claims(claims.raw("data"), "'data' of webhook")
    look = Look(unverified.id, data.parsed("endpoint", parse_address), data.choice("box", Box), moved_at)
    data.done()
    claims.done()
    return look


def _parse_time(value: Any, what: str) -> int:
    if not isinstance(value, str) or not _TIME.match(value):
        malformed("webhook_time_form", f"{what} must be a time such as 2026-12-01T09:00:00Z")
    try:
        moment = datetime.strptime(value, _TIME_FORM).replace(tzinfo=UTC)
    except ValueError:
        malformed("webhook_time_form", f"{what} must be a time of the calendar")
    return int(moment.timestamp()) * 1000


# --- registrations -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Webhook:
    """A registered webhook and how it fares, as its endpoint sees it. Times are ms since 1970.

    Attributes:
        url: that is called.
        boxes: whose moves are told.
        on: whether it is called; off after days of failure, or because it answered 410.
        registered_at: when it was last set.
        failures: tries that failed since the last success.
        failing_since: first of these, or None.
        error: what the last of them failed by (a code of docs/spec/api.md §6), or None.
        succeeded_at: when it last answered 2xx, or None.
        next_try: not before this.
        off_at: when it was switched off, or None.
    """

    url: str
    boxes: tuple[Box, ...]
    on: bool
    registered_at: int
    failures: int
    failing_since: int | None
    error: str | None
    succeeded_at: int | None
    next_try: int
    off_at: int | None

    def to_json(self) -> JsonObject:
        """Its JSON form; what is None is left out."""
        out: JsonObject = {
            "url": self.url,
            "boxes": [box.value for box in self.boxes],
            "on": self.on,
            "registered_at": self.registered_at,
            "failures": self.failures,
            "failing_since": self.failing_since,
            "error": self.error,
            "succeeded_at": self.succeeded_at,
            "next_try": self.next_try,
            "off_at": self.off_at,
        }
        return {name: value for name, value in out.items() if value is not None}


def parse_boxes(value: Any, what: str) -> tuple[Box, ...]:
    """Parse 1 to 4 names of boxes, none twice; in the order of `Box`."""
    names = [box.value for box in Box]
    if not isinstance(value, list) or not 1 <= len(value) <= len(names) or any(v not in names for v in value):
        malformed("webhook_boxes", f"{what} must be an array of 1 to 4 of {', '.join(names)}")
    if len(set(value)) != len(value):
        malformed("webhook_boxes", f"{what} names a box twice")
    return tuple(box for box in Box if box.value in value)


def _parse_webhook(value: Any) -> Webhook:
    claims = Claims(value, "webhook")
    out = Webhook(
        url=claims.text("url", MAX_URL),
        boxes=claims.parsed("boxes", parse_boxes),
        on=claims.boolean("on"),
        registered_at=claims.time("registered_at"),
        failures=claims.integer("failures"),
        failing_since=claims.optional_time("failing_since"),
        error=claims.text("error") if claims.has("error") else None,
        succeeded_at=claims.optional_time("succeeded_at"),
        next_try=claims.time("next_try"),
        off_at=claims.optional_time("off_at"),
    )
    claims.done()
    return out


def parse_webhooks(data: bytes) -> tuple[Webhook, ...]:
    """Parse the answer ``{"webhooks": […]}``.

    Raises:
        MalformedError: anything else.
    """
    claims = Claims(parse_object(data, "webhooks"), "webhooks")
    out = tuple(_parse_webhook(v) for v in claims.items("webhooks", 0, 64))
    claims.done()
    return out
