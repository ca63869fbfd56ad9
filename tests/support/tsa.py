"""A time stamp authority (RFC 3161) with an authority of certificates of its own, whose every fault can be chosen.

Tokens are real: CMS signed data over a TSTInfo, by ECDSA P-256 or RSA. Nothing of what verifies them is used here.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from asn1crypto import algos, cms, core, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

REPLY = "application/timestamp-reply"
_YEAR = timedelta(days=365)


def make_key(kind: str = "ecdsa") -> Any:
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def name_of(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def certify(
    subject: str,
    key: Any,
    issuer: tuple[x509.Certificate, Any] | None = None,
    *,
    authority: bool = False,
    usages: tuple[x509.ObjectIdentifier, ...] | None = (ExtendedKeyUsageOID.TIME_STAMPING,),
    critical: bool = True,
    begins: datetime | None = None,
    ends: datetime | None = None,
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    path_length: int | None = None,
) -> x509.Certificate:
    """A certificate; of an authority itself signed where no issuer is given."""
    now = datetime.now(UTC)
    public = key.public_key() if hasattr(key, "public_key") else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(name_of(subject))
        .issuer_name(issuer[0].subject if issuer else name_of(subject))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins or now - _YEAR)
        .not_valid_after(ends or now + _YEAR)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=path_length), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(
                issuer[0].public_key() if issuer else public  # type: ignore[arg-type]
            ),
            critical=False,
        )
    )
    usage = {
        n: False
        for n in (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        )
    }
    builder = builder.add_extension(
        x509.KeyUsage(digital_signature=not authority, key_cert_sign=authority, crl_sign=authority, **usage),
        critical=True,
    )
    if usages is not None and not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=critical)
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, critical=is_critical)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256())


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


class Tsa:
    """One authority: root, signing certificate and key, and how it answers.

    Attributes:
        faults: members of what it signs that are other than they should be: ``nonce``, ``imprint``, ``time``,
            ``status``, ``accuracy``, ``digest``.
    """

    def __init__(self, common: str = "Test TSA", kind: str = "ecdsa", **leaf: Any) -> None:
        self.root_key = make_key(kind)
        self.root = certify(f"{common} root", self.root_key, authority=True)
        self.key = make_key(kind)
        self.leaf = certify(common, self.key, (self.root, self.root_key), **leaf)
        self.chain: list[x509.Certificate] = [self.leaf]
        self.faults: dict[str, Any] = {}
        self.asked = 0
        self._serial = 0

    @property
    def roots(self) -> bytes:
        return pem(self.root)

    def stamp(self, data: bytes, at: datetime | None = None) -> bytes:
        """A whole answer for some bytes, as if they had been asked about."""
        imprint = {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": hashlib.sha256(data).digest()}
        request = tsp.TimeStampReq({"version": 1, "message_imprint": imprint, "nonce": 7, "cert_req": True})
        return self.answer(request.dump(), at)

    def answer(self, request: bytes, at: datetime | None = None) -> bytes:
        """The DER of an answer to a request."""
        self.asked += 1
        self._serial += 1
        asked = tsp.TimeStampReq.load(request, strict=True)
        faults = self.faults
        if status := faults.get("status"):
            return b"\x30\x05\x30\x03\x02\x01" + bytes([status])
        imprint = asked["message_imprint"]
        if "imprint" in faults:
            imprint = {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": faults["imprint"]}
        info: dict[str, Any] = {
            "version": "v1",
            "policy": "1.3.6.1.4.1.99999.1",
            "message_imprint": imprint,
            "serial_number": self._serial,
            "gen_time": (faults.get("time") or at or datetime.now(UTC)).replace(microsecond=0),
            "nonce": faults.get("nonce", asked["nonce"].native),
        }
        if "accuracy" in faults:
            info["accuracy"] = {"seconds": faults["accuracy"]}
        return tsp.TimeStampResp(
            {"status": {"status": "granted"}, "time_stamp_token": self._token(tsp.TSTInfo(info).dump())}
        ).dump()

    def _token(self, info: bytes) -> cms.ContentInfo:
        leaf = asn1_x509.Certificate.load(self.leaf.public_bytes(serialization.Encoding.DER))
        attributes = cms.CMSAttributes(
            [
                {"type": "content_type", "values": ["tst_info"]},
                {"type": "signing_time", "values": [cms.Time({"utc_time": datetime.now(UTC)})]},
                {"type": "message_digest", "values": [hashlib.sha256(info).digest()]},
                {
                    "type": "signing_certificate_v2",
                    "values": [{"certs": [{"cert_hash": hashlib.sha256(leaf.dump()).digest()}]}],
                },
            ]
        )
        signed = attributes.dump()
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            algorithm, value = "sha256_ecdsa", self.key.sign(signed, ec.ECDSA(hashes.SHA256()))
        else:
            algorithm, value = "rsassa_pkcs1v15", self.key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        signer = cms.SignerInfo(
            {
                "version": "v1",
                "sid": {
                    "issuer_and_serial_number": {"issuer": leaf.issuer, "serial_number": leaf.serial_number}
                },
                "digest_algorithm": {"algorithm": "sha256"},
                "signed_attrs": attributes,
                "signature_algorithm": {"algorithm": algorithm},
                "signature": value,
            }
        )
        content = cms.SignedData(
            {
                "version": "v3",
                "digest_algorithms": [algos.DigestAlgorithm({"algorithm": "sha256"})],
                "encap_content_info": {
                    "content_type": "tst_info",
                    "content": core.ParsableOctetString(info),
                },
                "certificates": [
                    asn1_x509.Certificate.load(one.public_bytes(serialization.Encoding.DER))
                    for one in self.chain
                ],
                "signer_infos": [signer],
            }
        )
        return cms.ContentInfo({"content_type": "signed_data", "content": content})


class _Handler(BaseHTTPRequestHandler):
    server: Any

    def do_POST(self) -> None:
        self.server.answer(self, self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, *_: Any) -> None:
        pass


def reply(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, kind: str = REPLY) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@contextmanager
def serving(answer: Any) -> Iterator[str]:
    """Serve on a loopback port; the URL. `answer` is a `Tsa`, or a function of (handler, body) that replies itself."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.answer = answer if callable(answer) else lambda handler, body: reply(handler, answer.answer(body))  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/tsr"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
