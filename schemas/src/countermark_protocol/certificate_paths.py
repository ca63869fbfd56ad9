"""Whether a key in the directory is one that an existing national PKI certified, by roots that the reader trusts.

Possession is shown already: a key signs before it stands in a record. What a chain adds is who says whose key it is.
Paths are validated by `cryptography` (RFC 5280), as of the time of the leaf that put the chain on record. Nothing is
asked online: no revocation list, no OCSP. A key that is lost is revoked in the log.

Source: docs/spec/directory.md §10; RFC 5280 §6.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from countermark_protocol.certificates import MAX_CERTIFICATE_BYTES, MAX_CHAIN, KeyCertificates
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import SignatureError, UncheckableError
from countermark_protocol.keys import Algorithm, PublicKey, parse_public_key

MAX_ROOTS_BYTES: Final = 4 * 1024 * 1024

#: Certificates of a national PKI that somebody trusts.
PkiRoots = tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True)
class CertifiedKey:
    """A key that a national PKI certified. Made by `verify_certificates` only.

    Attributes:
        subject: whom the certificate names (RFC 4514).
        issuer: who issued it.
        root: subject of the trusted root that it leads to.
        not_after: ms since 1970 at which it ends.
    """

    subject: str
    issuer: str
    root: str
    not_after: int


def parse_pki_roots(data: bytes) -> PkiRoots:
    """Parse trusted roots in PEM.

    Raises:
        MalformedError: ``bad_pki_roots``.
    """
    try:
        roots = tuple(x509.load_pem_x509_certificates(data)) if len(data) <= MAX_ROOTS_BYTES else ()
    except (ValueError, TypeError, x509.InvalidVersion):
        roots = ()
    if not roots:
        malformed(
            "bad_pki_roots", f"expected certificates in PEM, of at most {MAX_ROOTS_BYTES} bytes together"
        )
    return roots


def root_fingerprint(root: x509.Certificate) -> str:
    """SHA-256 of a certificate, as its issuer publishes it."""
    return hashlib.sha256(root.public_bytes(Encoding.DER)).hexdigest()


def root_name(root: x509.Certificate) -> str:
    """Subject of a root, in words."""
    try:
        common = root.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(common[0].value) if common else root.subject.rfc4514_string()
    except ValueError:
        malformed("bad_certificate", "the certificate does not name its subject")


def parse_chain(data: bytes) -> KeyCertificates:
    """Parse a chain in PEM, for a record: the key's own certificate, then those above; a root at the end is dropped.

    Raises:
        MalformedError: ``bad_certificate``: not that, too long, too large, or of a key that is none of a record.
    """
    try:
        chain = x509.load_pem_x509_certificates(data)
        if len(chain) > 1 and chain[-1].issuer == chain[-1].subject:
            chain.pop()
        key = _key_of(chain[0])
    except (ValueError, TypeError, x509.InvalidVersion):
        malformed("bad_certificate", "expected certificates in PEM, that of the key first")
    encoded = tuple(one.public_bytes(Encoding.DER) for one in chain)
    if len(encoded) > MAX_CHAIN or any(len(one) > MAX_CERTIFICATE_BYTES for one in encoded):
        malformed(
            "bad_certificate",
            f"expected at most {MAX_CHAIN} certificates of at most {MAX_CERTIFICATE_BYTES} bytes, without the root",
        )
    if key is None:
        malformed("bad_certificate", "expected a certificate of an Ed25519 or P-256 key")
    return KeyCertificates(key.key_id, encoded)


def verify_certificates(key: PublicKey, chain: Sequence[bytes], roots: PkiRoots, at: int) -> CertifiedKey:
    """Check that a chain certifies a key, under trusted roots as of a time.

    Args:
        key: of the record that carries the chain.
        chain: its certificates in DER, the key's own first.
        roots: trusted; one at least.
        at: ms since 1970: of the leaf that put it on record.

    Raises:
        MalformedError: ``bad_certificate``: one is none.
        SignatureError: ``certificate_other_key``: it certifies another key.
        UncheckableError: ``certificate_untrusted``: it leads to none of the roots, or not then, or not for this use.

    Does not prove: that nothing in the path was revoked.
    """
    try:
        certificates = [x509.load_der_x509_certificate(one) for one in chain]
        found = _key_of(certificates[0])
    except (ValueError, TypeError, x509.InvalidVersion):
        malformed("bad_certificate", "the record carries what is no certificate")
    if found != key:
        raise SignatureError(
            "certificate_other_key", "the certificate is of another key than the record says"
        )
    moment = datetime.fromtimestamp(at // 1000, UTC)
    try:
        path = _verifier(roots, moment).verify(certificates[0], certificates[1:]).chain
        return CertifiedKey(
            subject=certificates[0].subject.rfc4514_string(),
            issuer=certificates[0].issuer.rfc4514_string(),
            root=path[-1].subject.rfc4514_string(),
            not_after=int(certificates[0].not_valid_after_utc.timestamp()) * 1000,
        )
    except (VerificationError, ValueError) as error:
        raise UncheckableError(
            "certificate_untrusted",
            f"the certificate does not lead to a root that you trust, as of {moment:%Y-%m-%d}: {_reason(error)}",
        ) from None


def _verifier(roots: PkiRoots, moment: datetime):  # type: ignore[no-untyped-def]  # noqa: ANN202  the library's
    # The Web's rules for authorities; for the end only what signing needs: offices have no host names.
    return (
        PolicyBuilder()
        .store(Store(list(roots)))
        .time(moment)
        .max_chain_depth(MAX_CHAIN - 1)
        .extension_policies(
            ca_policy=ExtensionPolicy.webpki_defaults_ca(),
            ee_policy=ExtensionPolicy.permit_all().may_be_present(
                x509.KeyUsage, Criticality.AGNOSTIC, _signs
            ),
        )
        .build_client_verifier()
    )


def _signs(_policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not (usage.digital_signature or usage.content_commitment):
        raise ValueError("the certificate's key is not for signatures")


def _reason(error: Exception) -> str:
    """What the library says, without the certificate as it would print it."""
    return str(error).partition(" (encountered processing")[0].removeprefix("validation failed: ")


def _key_of(certificate: x509.Certificate) -> PublicKey | None:
    """The key of a certificate, if it is of an algorithm that signs here."""
    try:
        key = certificate.public_key()
    except Exception:  # noqa: BLE001  the library has many errors for keys that it does not know: none is one of ours
        return None
    if isinstance(key, ed25519.Ed25519PublicKey):
        return parse_public_key(Algorithm.ED25519, key.public_bytes_raw())
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        raw = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return parse_public_key(Algorithm.ES256, raw)
    return None
