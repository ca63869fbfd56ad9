"""Signed requests: the one form of an HTTP Message Signature that client and broker exchange.

RFC 9421 is a framework with many ways to sign one request. We accept exactly one: fixed components, fixed
parameters in fixed order, one label, one digest. A verifier recognises that form, then rebuilds the
signature base *from the request itself*; nothing that is signed is taken from the signature's headers but
time, nonce and key id. Any RFC 9421 library can produce and check it (docs/adr/0003).

::

    Content-Digest: sha-256=:<base64>:                                          (only with a body)
    Signature-Input: sig=("@method" "@authority" "@path" "@query" "content-digest")
                     ;created=<seconds>;keyid="<64 hex>";nonce="<22 base64url>";tag="countermark"
    Signature: sig=:<base64>:

Headers that are not covered (all others) must decide nothing. A body of no bytes is no body: servers cannot
tell the two apart. Replays are the verifier's to stop: keep (key id, nonce) until the request is too old.

Sources: RFC 9421 §2, §3, §7; RFC 9530 §2; docs/spec/api.md §2.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from countermark_protocol.encoding import encode_base64url, labelled_hash, malformed, parse_base64url
from countermark_protocol.errors import SignatureError
from countermark_protocol.identifiers import KeyId
from countermark_protocol.keys import Algorithm, parse_public_key

TAG: Final = "countermark"
NONCE_BYTES: Final = 16
KEY_ID_BYTES: Final = 32
#: Eleven digits of seconds since 1970: the year 5138.
MAX_CREATED: Final = 10**11 - 1

_METHOD = re.compile(r"[A-Z]{1,16}\Z")
_AUTHORITY = re.compile(
    r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])(?::[1-9][0-9]{0,4})?\Z"
)
# RFC 3986 pchar: with it no space, quote or line break can reach the signature base.
_PCHAR = r"[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2}"
_PATH = re.compile(rf"(?:/(?:{_PCHAR})*)+\Z")
_QUERY = re.compile(rf"(?:{_PCHAR}|[/?])*\Z")
_INPUT = re.compile(
    r'sig=\((?P<components>"[a-z@-]+"(?: "[a-z@-]+"){0,7})\)'
    r';created=(?P<created>0|[1-9][0-9]{0,10});keyid="(?P<keyid>[0-9a-f]{64})"'
    rf';nonce="(?P<nonce>[A-Za-z0-9_-]{{22}})";tag="{TAG}"\Z'
)
# The largest signature of the algorithm list (ML-DSA-65) has 3,309 bytes, 4,412 characters.
_SIGNATURE = re.compile(r"sig=:(?P<raw>[A-Za-z0-9+/]{1,4412}={0,2}):\Z")
_CONTENT_DIGEST = re.compile(r"sha-256=:[A-Za-z0-9+/]{43}=:\Z")
_LINE = re.compile(r"[ -~]*\Z")


# --- records -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What of a request is signed.

    Attributes:
        method: upper case, as sent.
        authority: host and, unless the default one, port. On the broker: from its configuration, or checked
            against it; else a request signed for another server could be passed on to this one.
        path: as sent, percent-encoding kept; empty is the same as ``/``.
        query: as sent, without the leading ``?``; empty if there is none.
        body: exact bytes; None or empty if there are none.
    """

    method: str
    authority: str
    path: str
    query: str
    body: bytes | None


@dataclass(frozen=True, slots=True)
class SignatureParams:
    """The parameters that a signer chooses.

    Attributes:
        created: seconds since 1970.
        key_id: 32 bytes, of the key that signs.
        nonce: 16 random bytes.
    """

    created: int
    key_id: bytes
    nonce: bytes

    def __post_init__(self) -> None:
        """Refuse what the form cannot hold (ValueError)."""
        if not 0 <= self.created <= MAX_CREATED:
            msg = f"created must be seconds since 1970 up to {MAX_CREATED}, got {self.created}"
            raise ValueError(msg)
        if len(self.key_id) != KEY_ID_BYTES or len(self.nonce) != NONCE_BYTES:
            msg = f"expected a key id of {KEY_ID_BYTES} and a nonce of {NONCE_BYTES} bytes"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class UnverifiedRequest:
    """A request with a well-formed signature that nobody has checked yet.

    Attributes:
        key_id: 32 bytes, of the key that is said to have signed.
        created: seconds since 1970, as said.
        nonce: 16 bytes.
        base: the signature base, rebuilt from the request.
        signature: raw.
    """

    key_id: KeyId
    created: int
    nonce: bytes
    base: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class VerifiedRequest:
    """A request that its key signed, recently. Whether it is new, and what the key may do, is not said.

    Attributes:
        key_id: 32 bytes, of the key that signed.
        created: seconds since 1970.
        nonce: 16 bytes; keep (key id, nonce) until ``created`` is too old.
        digest: 32 bytes, names this request (`request_digest`).
    """

    key_id: KeyId
    created: int
    nonce: bytes
    digest: bytes


class VerifyingKey(Protocol):
    """A public key (keys.PublicKey): only what is needed of it here."""

    @property
    def key_id(self) -> KeyId:
        """Hash of algorithm and public key, 32 bytes."""
        ...

    def verify(self, message: bytes, signature: bytes) -> None:
        """Raise SignatureError unless `signature` is this key's over `message`."""
        ...


# --- signature base ----------------------------------------------------------------------------------


def content_digest(body: bytes) -> str:
    """The value of ``Content-Digest`` for a body (RFC 9530 §2)."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode('ascii')}:"


def build_base(components: Sequence[tuple[str, str]], parameters: str) -> tuple[str, bytes]:
    """Build a signature base of plain components (RFC 9421 §2.5).

    Args:
        components: (name, value) in order, each name once; values already normalised.
        parameters: serialised signature parameters, each with its leading ``;``.

    Returns:
        The value of ``@signature-params`` (what follows the label in ``Signature-Input``), and the base.

    Raises:
        ValueError: a component twice, or a value that is not one line of ASCII.
    """
    names = [name for name, _ in components]
    if len(set(names)) != len(names):
        msg = "a component is covered once"
        raise ValueError(msg)
    inner = "(" + " ".join(f'"{name}"' for name in names) + ")" + parameters
    lines = [f'"{name}": {value}' for name, value in [*components, ("@signature-params", inner)]]
    if not all(_LINE.match(line) for line in lines):
        msg = "a component of a signature base is one line of visible ASCII"
        raise ValueError(msg)
    return inner, "\n".join(lines).encode("ascii")


def _components(facts: RequestFacts) -> list[tuple[str, str]]:
    if not _METHOD.match(facts.method):
        malformed("method_form", "method of the request must be upper-case letters")
    if not _AUTHORITY.match(facts.authority):
        malformed(
            "authority_form", "authority of the request must be a host name or address, and a port if any"
        )
    if facts.path and not _PATH.match(facts.path):
        malformed("path_form", "path of the request must be absolute and percent-encoded (RFC 3986)")
    if not _QUERY.match(facts.query):
        malformed("query_form", "query of the request must be percent-encoded (RFC 3986), without its '?'")
    # Facts hold no scheme: a balancer may end TLS. So both default ports are left out.
    host = facts.authority.lower().removesuffix(":443").removesuffix(":80")
    out = [
        ("@method", facts.method),
        ("@authority", host),
        ("@path", facts.path or "/"),
        ("@query", "?" + facts.query),
    ]
    if facts.body:
        out.append(("content-digest", content_digest(facts.body)))
    return out


def _build(components: Sequence[tuple[str, str]], params: SignatureParams) -> tuple[str, bytes]:
    parameters = (
        f';created={params.created};keyid="{params.key_id.hex()}"'
        f';nonce="{encode_base64url(params.nonce)}";tag="{TAG}"'
    )
    return build_base(components, parameters)


def signature_base(facts: RequestFacts, params: SignatureParams) -> bytes:
    """The bytes that are signed for a request.

    Raises:
        MalformedError: ``method_form``, ``authority_form``, ``path_form`` or ``query_form``.
    """
    return _build(_components(facts), params)[1]


def request_digest(base: bytes) -> bytes:
    """What names a signed request elsewhere (accounts): hash of its signature base, 32 bytes."""
    return labelled_hash("request", base)


def requested_path(base: bytes) -> str:
    """The path that a signature base asks for; its lines are those of `signature_base`.

    Raises:
        MalformedError: ``path_form``: it names none.
    """
    lines = base.decode("ascii", "replace").split("\n")
    paths = [line.removeprefix('"@path": ') for line in lines if line.startswith('"@path": ')]
    if len(paths) != 1:
        malformed("path_form", "expected a signature base with one line for the path of the request")
    return paths[0]


# --- signing -----------------------------------------------------------------------------------------


def sign_request(
    facts: RequestFacts, key_id: bytes, sign: Callable[[bytes], bytes], created: int, nonce: bytes
) -> dict[str, str]:
    """Sign a request.

    Args:
        facts: of the request exactly as it will be sent.
        key_id: 32 bytes, of the signing key.
        sign: the signing key: message to raw signature (keys.Signer.sign).
        created: now, in seconds since 1970.
        nonce: 16 random bytes, never used before.

    Returns:
        The headers to add.

    Raises:
        MalformedError: as `signature_base`.
        ValueError: key id or nonce of another size, or a time that cannot be stated.
    """
    components = _components(facts)
    inner, base = _build(components, SignatureParams(created, key_id, nonce))
    digest = dict(components).get("content-digest")
    return {
        **({"Content-Digest": digest} if digest else {}),
        "Signature-Input": f"sig={inner}",
        "Signature": f"sig=:{base64.b64encode(sign(base)).decode('ascii')}:",
    }


# --- verifying ---------------------------------------------------------------------------------------


_FIELDS: Final = ("content-digest", "signature-input", "signature")


def _fields(headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    # A mapping's items() may list a field twice where its get() would hide one.
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        field = name.lower()
        if field not in _FIELDS:
            continue
        if field in found:
            malformed("header_repeated", f"header '{field}' must come once")
        found[field] = value
    return found


def _check_digest(field: str | None, expected: str | None) -> None:
    if expected is None:
        if field is not None:
            malformed("content_digest_unexpected", "header 'content-digest' must be absent without a body")
    elif field is None:
        malformed("content_digest_missing", "header 'content-digest' is missing; it must cover the body")
    elif not _CONTENT_DIGEST.match(field):
        malformed("content_digest_form", "header 'content-digest' must be sha-256=:<44 characters base64>:")
    elif field != expected:
        raise SignatureError("content_digest_mismatch", "the body is not the one that 'content-digest' names")


def _parse_signature(field: str) -> bytes:
    match = _SIGNATURE.match(field)
    if not match:
        malformed("signature_form", "header 'signature' must be sig=:<base64>:, one signature")
    try:
        raw = base64.b64decode(match["raw"], validate=True)
    except binascii.Error:
        malformed("signature_form", "header 'signature' must be sig=:<base64>: with its padding")
    if base64.b64encode(raw).decode("ascii") != match["raw"]:
        malformed("signature_form", "header 'signature' has non-zero trailing bits in its base64")
    return raw


def parse_signature_headers(
    headers: Mapping[str, str] | Iterable[tuple[str, str]], facts: RequestFacts
) -> UnverifiedRequest:
    """Recognise the one form of signature, and rebuild what it must be over.

    Args:
        headers: of the request; as pairs where the server can give them, so that a repeated one is seen.
        facts: of the request as it came.

    Raises:
        MalformedError: ``header_repeated``, ``signature_missing``, ``signature_input_form``,
            ``components_mismatch``, ``signature_form``, ``content_digest_missing``,
            ``content_digest_unexpected``, ``content_digest_form``, ``not_base64url`` (nonce), or as
            `signature_base`.
        SignatureError: ``content_digest_mismatch``.
    """
    fields = _fields(headers)
    if "signature-input" not in fields or "signature" not in fields:
        malformed("signature_missing", "headers 'signature-input' and 'signature' are both required here")
    match = _INPUT.match(fields["signature-input"])
    if not match:
        malformed(
            "signature_input_form",
            "header 'signature-input' must be sig=(<components>);created=…;keyid=…;nonce=…;"
            f'tag="{TAG}", in this order and with nothing else',
        )
    components = _components(facts)
    expected = " ".join(f'"{name}"' for name, _ in components)
    if match["components"] != expected:
        malformed("components_mismatch", f"components that this request must cover: expected ({expected})")
    _check_digest(fields.get("content-digest"), dict(components).get("content-digest"))
    params = SignatureParams(
        int(match["created"]), bytes.fromhex(match["keyid"]), parse_base64url(match["nonce"], "nonce")
    )
    return UnverifiedRequest(
        KeyId(params.key_id),
        params.created,
        params.nonce,
        _build(components, params)[1],
        _parse_signature(fields["signature"]),
    )


#: A key of nobody: RFC 8032 §7.1, test 2. What it verifies is never believed.
_NOBODY: Final = parse_public_key(
    Algorithm.ED25519, bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
)


@dataclass(frozen=True, slots=True)
class _UnknownKey:
    """Stands in for a key that no record names: as much work, and never a success."""

    key_id: KeyId

    def verify(self, message: bytes, signature: bytes) -> None:
        _NOBODY.verify(message, signature)
        raise SignatureError("bad_signature", "this key has signed nothing")


def verify_request_of(
    unverified: UnverifiedRequest,
    key: VerifyingKey | None,
    *,
    now_seconds: int,
    max_age_seconds: int,
    max_skew_seconds: int,
) -> VerifiedRequest:
    """As `verify_request`, without telling strangers which keys there are.

    Whether no record names the key, or the signature is not the key's, is one answer after the same work: else whoever
    has a public key could ask whether it is in the directory.

    Args:
        unverified: from `parse_signature_headers`.
        key: the signing key whose id is ``unverified.key_id``; None if no record names it.
        now_seconds: as of `verify_request`.
        max_age_seconds: likewise.
        max_skew_seconds: likewise.

    Raises:
        SignatureError: ``request_too_old``, ``request_from_future``, ``unknown_key``.

    Source: docs/spec/api.md §2.5.
    """
    try:
        return verify_request(
            unverified,
            _UnknownKey(unverified.key_id) if key is None else key,
            now_seconds=now_seconds,
            max_age_seconds=max_age_seconds,
            max_skew_seconds=max_skew_seconds,
        )
    except SignatureError as error:
        if error.code in {"request_too_old", "request_from_future"}:
            raise
        raise SignatureError(
            "unknown_key",
            f"the request is not signed by a key of the directory: no record names key {unverified.key_id.hex()}, or "
            "this is not its signature over this method, host name, path, query and body",
        ) from None


def verify_request(
    unverified: UnverifiedRequest,
    key: VerifyingKey,
    *,
    now_seconds: int,
    max_age_seconds: int,
    max_skew_seconds: int,
) -> VerifiedRequest:
    """Check time and signature of a request.

    Args:
        unverified: from `parse_signature_headers`.
        key: the public key whose id is ``unverified.key_id``.
        now_seconds: the verifier's clock, seconds since 1970.
        max_age_seconds: how old a request may be; nonces must be kept as long.
        max_skew_seconds: how far the signer's clock may be ahead.

    Raises:
        SignatureError: ``request_too_old``, ``request_from_future``, ``other_key``, or as the key raises.

    Does not prove: that the request is new (keep nonces), or that the key may do what it asks.
    """
    if unverified.key_id != key.key_id:
        raise SignatureError("other_key", "the request names another key than the given one")
    age = now_seconds - unverified.created
    if age > max_age_seconds:
        raise SignatureError(
            "request_too_old",
            f"the request was signed {age} s ago, expected at most {max_age_seconds} s: sign it again; "
            "if it is new, set this machine's clock",
        )
    if age < -max_skew_seconds:
        raise SignatureError(
            "request_from_future",
            f"the request was signed {-age} s in the future, expected at most {max_skew_seconds} s: "
            "set this machine's clock",
        )
    key.verify(unverified.base, unverified.signature)
    return VerifiedRequest(
        unverified.key_id, unverified.created, unverified.nonce, request_digest(unverified.base)
    )
