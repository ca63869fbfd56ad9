"""Time stamps of RFC 3161 on witnessed checkpoints: asking for one, and checking one.

What is stamped is SHA-256 over the bytes of a note: a checkpoint with the log's signature and a quorum's cosignatures,
exactly as served. An authority of time stamps is neither the log nor a witness, and its word holds where a key of
theirs is lost later.

Nothing is asked online: whether a certificate was revoked is not checked, and certificates are judged as of the time
that the stamp states.

Source: docs/spec/witness.md §8; RFC 3161; RFC 5816. Parsing and signatures are those of `rfc3161-client`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerifierBuilder,
    decode_timestamp_response,
)

from countermark_protocol.encoding import malformed
from countermark_protocol.errors import ProofError, SignatureError, TransportError, UncheckableError
from countermark_protocol.stamp_history import MAX_STAMP_BYTES

#: ms by which an authority's clock and that of who asks may differ.
CLOCK_DIFFERENCE_MS: Final = 300_000
MAX_ROOTS_BYTES: Final = 1024 * 1024
REQUEST_TYPE: Final = "application/timestamp-query"
REPLY_TYPE: Final = "application/timestamp-reply"
_SHA256: Final = x509.ObjectIdentifier("2.16.840.1.101.3.4.2.1")
_GRANTED: Final = 0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)

#: Certificates of authorities of time stamps that somebody trusts.
TsaRoots = tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True)
class StampRequest:
    """A question to an authority.

    Attributes:
        data: DER of the TimeStampReq.
        nonce: that the answer must repeat.
    """

    data: bytes
    nonce: int


@dataclass(frozen=True, slots=True)
class UnverifiedStamp:
    """What a stamp on certain bytes states; whose word that is, is not checked.

    Attributes:
        response: as parsed.
        authority: name in the certificate that it says to be signed by; empty if it does not bring that.
        time: ms since 1970, that the authority states.
        latest: ms since 1970: that time and the inaccuracy that it admits.
        nonce: of the question, or None.
    """

    response: TimeStampResponse
    authority: str
    time: int
    latest: int
    nonce: int | None


@dataclass(frozen=True, slots=True)
class VerifiedStamp:
    """An authority's word that bytes existed. Made by `verify_stamp` only.

    Attributes:
        authority: common name in its certificate, or all of its name.
        certificate: SHA-256 of that certificate, 32 bytes.
        time: ms since 1970, as it states.
        latest: ms since 1970: the bytes existed then, whatever inaccuracy it admits.
    """

    authority: str
    certificate: bytes
    time: int
    latest: int


def make_stamp_request(note: bytes) -> StampRequest:
    """Ask for a stamp on a note, with a fresh nonce of the library's and with certificates in the answer."""
    request = TimestampRequestBuilder(note, HashAlgorithm.SHA256).build()
    assert request.nonce is not None
    return StampRequest(request.as_bytes(), request.nonce)


def parse_tsa_roots(data: bytes) -> TsaRoots:
    """Parse certificates of authorities in PEM: roots, and what stands between where stamps do not bring that.

    Raises:
        MalformedError: ``bad_tsa_roots``.
    """
    try:
        roots = tuple(x509.load_pem_x509_certificates(data)) if len(data) <= MAX_ROOTS_BYTES else ()
    except (ValueError, TypeError, x509.InvalidVersion):
        roots = ()
    if not roots:
        malformed(
            "bad_tsa_roots", f"expected certificates in PEM, of at most {MAX_ROOTS_BYTES} bytes together"
        )
    return roots


def check_granted(response: bytes) -> None:
    """Demand that an authority's answer is one, and no refusal.

    Raises:
        MalformedError: ``bad_stamp``: not of that form; ``oversized_stamp``.
        TransportError: ``stamp_refused``: the authority says no.
    """
    _granted(response)


def _granted(response: bytes) -> TimeStampResponse:
    if len(response) > MAX_STAMP_BYTES:
        malformed(
            "oversized_stamp", f"expected a stamp of at most {MAX_STAMP_BYTES} bytes, got {len(response)}"
        )
    try:
        parsed = decode_timestamp_response(response)
        status = parsed.status
    except Exception:  # noqa: BLE001  as below
        _no_stamp()
    if status != _GRANTED:
        raise TransportError(
            "stamp_refused", f"the authority gave no stamp: status {status} (RFC 3161 2.4.2)"
        )
    return parsed


def _no_stamp() -> NoReturn:
    malformed("bad_stamp", "expected a TimeStampResp of RFC 3161 in DER")


def parse_stamp(response: bytes, note: bytes) -> UnverifiedStamp:
    """Parse an authority's answer, and demand that it is a stamp on a note.

    Args:
        response: DER of the TimeStampResp.
        note: what it should be about.

    Raises:
        MalformedError: ``bad_stamp``: not of that form; ``oversized_stamp``.
        TransportError: ``stamp_refused``: the authority says no.
        ProofError: ``stamp_imprint``: it is about other bytes.

    Does not prove: that any authority signed it (see `verify_stamp`).
    """
    parsed = _granted(response)
    try:
        algorithm, digest, stamp = _read(parsed)
    except Exception:  # noqa: BLE001  the libraries read members late, and raise what their readers raise
        _no_stamp()
    if algorithm != _SHA256 or digest != hashlib.sha256(note).digest():
        raise ProofError("stamp_imprint", "the stamp is not on the SHA-256 of these bytes")
    return stamp


def _read(parsed: TimeStampResponse) -> tuple[x509.ObjectIdentifier, bytes, UnverifiedStamp]:
    """Algorithm and digest of what is stamped, and what else a stamp states."""
    info, signer = parsed.tst_info, _signer(parsed)
    at = -((_EPOCH - info.gen_time) // _MS)  # a fraction of a millisecond makes it later
    imprint = info.message_imprint
    stamp = UnverifiedStamp(
        response=parsed,
        authority=_name(signer) if signer is not None else "",
        time=at,
        latest=at + _allowance(info.accuracy),
        nonce=info.nonce,
    )
    return imprint.hash_algorithm, imprint.message, stamp


def check_answer(stamp: UnverifiedStamp, nonce: int, now: int) -> None:
    """Demand that a stamp answers a question of now, and is no older one played back.

    Args:
        stamp: from `parse_stamp`.
        nonce: of the question.
        now: ms since 1970.

    Raises:
        ProofError: ``stamp_nonce``; ``stamp_time``: it states a time that is not now, to five minutes.
    """
    if stamp.nonce != nonce:
        raise ProofError(
            "stamp_nonce", "the stamp does not repeat the nonce of the question: it answers another"
        )
    if abs(stamp.time - now) > CLOCK_DIFFERENCE_MS:
        raise ProofError(
            "stamp_time",
            f"the stamp states a time {stamp.time - now} ms from this machine's: one clock is wrong",
        )


def verify_stamp(stamp: UnverifiedStamp, roots: TsaRoots) -> VerifiedStamp:
    """Check that an authority of time stamps signed a stamp, as of the time that it states.

    Args:
        stamp: from `parse_stamp`.
        roots: that are trusted; one at least.

    Raises:
        UncheckableError: ``stamp_untrusted``: its certificate does not lead to these roots, or not at that time.
        SignatureError: ``stamp_invalid``: the signature is false, or the certificate is not for time stamps alone.

    Does not prove: that the certificate was not revoked.
    Source: RFC 3161 2.3, 2.4.2.
    """
    if not roots:
        raise ValueError("roots are needed")
    signer = _signer(stamp.response)
    # The library demands that the usage is there and critical; RFC 3161 2.3, that there is no other.
    if signer is None or not _for_stamps_alone(signer):
        raise SignatureError(
            "stamp_invalid",
            f"the certificate of '{stamp.authority}' is not for time stamps alone (RFC 3161 2.3)",
        )
    # A list of its own for each call: the builder keeps the one that it is given.
    verifier = VerifierBuilder(roots=list(roots)).build()
    try:
        verifier.verify(stamp.response, stamp.response.tst_info.message_imprint.message)
    except Exception as error:  # noqa: BLE001  as above: whatever it is, it is no proof
        if "certificate verify error" in (text := str(error)):
            raise UncheckableError(
                "stamp_untrusted",
                f"the certificate of '{stamp.authority}' does not lead to the roots that were given, as of the time "
                f"that the stamp states{_reason(text)}",
            ) from None
        raise SignatureError("stamp_invalid", f"the stamp of '{stamp.authority}' does not verify") from None
    return VerifiedStamp(
        _name(signer), hashlib.sha256(signer.public_bytes(Encoding.DER)).digest(), stamp.time, stamp.latest
    )


def _reason(text: str) -> str:
    """What the library says of a chain, without its places in source files."""
    _, found, reason = text.partition("Verify error: ")
    return f" ({reason.partition(chr(34))[0]})" if found else ""


def _signer(response: TimeStampResponse) -> x509.Certificate | None:
    """The certificate that the one signature names, among those that the stamp brings.

    Raises:
        ValueError: there is not one signature, or a certificate is none.
    """
    infos = list(response.signed_data.signer_infos)
    if len(infos) != 1:
        raise ValueError("not one signature")
    wanted = infos[0].issuer, infos[0].serial_number
    certificates = [x509.load_der_x509_certificate(data) for data in response.signed_data.certificates]
    return next((one for one in certificates if (one.issuer, one.serial_number) == wanted), None)


def _for_stamps_alone(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except Exception:  # noqa: BLE001  as above
        return False
    return usage.critical and list(usage.value) == [ExtendedKeyUsageOID.TIME_STAMPING]


def _name(certificate: x509.Certificate) -> str:
    common: Sequence[Any] = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else certificate.subject.rfc4514_string()


def _allowance(accuracy: Any) -> int:
    """Ms that a stated time may be off, rounded up."""
    if accuracy is None:
        return 0
    micros = accuracy.micros or 0
    return (accuracy.seconds or 0) * 1000 + (accuracy.millis or 0) + (1 if micros else 0)
