"""Evidence as a PDF: unsigned it says so, signed it is PAdES that another validator accepts."""

import datetime as dt
import io
import re
import sys
import zlib

import pytest
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko_certvalidator import ValidationContext

from countermark_client import testing
from countermark_client.cli.output import UNREACHABLE
from support.cli import cli_for
from support.tsa import Tsa, reply, serving

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

POLICE, KAMPALA = "ke.police.nairobi", "ug.police.kampala"
SECRET = "a notary's own passphrase"
COURT = ("--to", "High Court, Nairobi", "--ground", "case 12 of 2026")


@pytest.fixture
def cli(tmp_path):
    world = testing.world(POLICE, KAMPALA)
    for address in (POLICE, KAMPALA):
        world.profile(address, folder=tmp_path / address).close()
    return cli_for(world, tmp_path)


@pytest.fixture
def message(cli):
    path = cli.file(
        "n.json", testing.sample_notice("KE-7 \u0416\u0443\u043a \u0645\u062d\u0645\u062f \u4e2d")
    )
    sent = cli.json("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", path, home=POLICE)
    cli.run("inbox", "--accept", home=KAMPALA)
    return sent["messages"][0]["message"]


def certificate(folder, key):
    """A self-signed certificate for digital signatures, and its PKCS#12 file."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Registrar of the tests")])
    now = dt.datetime.now(dt.UTC)
    usage = x509.KeyUsage(True, True, False, False, False, False, False, False, False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(usage, critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    made = builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    path = folder / "notary.p12"
    protection = serialization.BestAvailableEncryption(SECRET.encode())
    path.write_bytes(pkcs12.serialize_key_and_certificates(b"notary", key, made, None, protection))
    return made, path


def text_of(pdf):
    """What stands on the pages, in the order in which it is drawn, a blank before each line: glyph by glyph, by the
    table that each font brings for those who copy text from it."""
    streams = []
    for raw in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            # Tolerant: a checksum that ends as a line does loses its end to the pattern above.
            streams.append(zlib.decompressobj().decompress(raw))
        except zlib.error:
            streams.append(raw)
    tables = [
        {
            int(g, 16): bytes.fromhex(c.decode()).decode("utf-16-be")
            for g, c in re.findall(rb"<(\w{4})> <(\w+)>", s)
        }
        for s in streams
        if b"begincmap" in s
    ]
    out, font = [], {}
    token = rb"/F(\d+) [\d.]+ Tf|(BT) |\(((?:\\.|[^()\\])*)\) Tj"
    for stream in (s for s in streams if b" Tf ET" in s):
        for number, line, shown in re.findall(token, stream, re.DOTALL):
            if number:
                font = tables[int(number) - 1]
            elif line:
                out.append(" ")
            else:
                plain = re.sub(
                    rb"\\(.)", lambda m: {b"n": b"\n", b"r": b"\r"}.get(m[1], m[1]), shown, flags=re.DOTALL
                )
                out += [font[int.from_bytes(plain[k : k + 2])] for k in range(0, len(plain), 2)]
    return "".join(out)


def validate(pdf, *trusted):
    """As a court's own software would: signature, coverage, and the chain to the certificate it trusts."""

    roots = [asn1.Certificate.load(t.public_bytes(serialization.Encoding.DER)) for t in trusted]
    [signature] = PdfFileReader(io.BytesIO(pdf)).embedded_signatures
    return validate_pdf_signature(
        signature, ValidationContext(trust_roots=roots, allow_fetching=False)
    ), signature


def test_an_unsigned_paper_says_so_on_its_face(cli, message):
    out, pdf = cli.folder / "e.json", cli.folder / "e.pdf"
    told = cli.run("evidence", "export", message, "-o", out, "--pdf", pdf, *COURT, "--all", home=POLICE)
    assert "NOT signed" in told.stdout
    text = text_of(pdf.read_bytes())
    for expected in (
        "NOT SIGNED",
        message,
        POLICE,
        KAMPALA,
        "Not proven",
        "countermark evidence verify",
        "KE-7",
    ):
        assert expected in " ".join(text.split()), expected
    assert "KE-7 \u0416\u0443\u043a " in text
    # Drawn from the right, its letters joined.
    assert "\u062f\u0645\u062d\u0645" in text
    assert "\\u4e2d" in text  # what the font lacks is not left out unseen
    assert pdf.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["rsa", "p256"])
def test_a_signed_paper_is_pades_that_a_validator_accepts(cli, message, monkeypatch, kind):
    key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
    trusted, p12 = certificate(cli.folder, key)
    monkeypatch.setenv("COUNTERMARK_SIGN_PASSPHRASE", SECRET)
    out, pdf = cli.folder / "e.json", cli.folder / "e.pdf"
    told = cli.run("evidence", "export", message, "-o", out, "--pdf", pdf, "--sign-with", p12, home=POLICE)
    assert "signed by Common Name: Registrar of the tests" in told.stdout
    data = pdf.read_bytes()
    status, signature = validate(data, trusted)
    assert status.bottom_line, status.pretty_print_details()
    assert signature.sig_object["/SubFilter"] == "/ETSI.CAdES.detached"
    text = " ".join(text_of(data).split())
    assert "Signed electronically by Common Name: Registrar of the tests" in text
    assert "NOT SIGNED" not in text
    # One byte of what is signed changed, and it is not valid any more.
    start, length, *_ = signature.byte_range
    at = start + length // 2
    spoilt = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    status, _ = validate(spoilt, trusted)
    assert not status.bottom_line
    assert SECRET.encode() not in data


def test_a_court_prints_and_signs_what_it_has_checked(cli, message, monkeypatch):
    _, p12 = certificate(cli.folder, ec.generate_private_key(ec.SECP256R1()))
    out, pdf = cli.folder / "e.json", cli.folder / "e.pdf"
    cli.run("evidence", "export", message, "-o", out, home=POLICE)
    asked = cli.run(
        "evidence",
        "verify",
        out,
        "--pdf",
        pdf,
        "--sign-with",
        p12,
        home="court",
        stdin=f"{SECRET}\n",
        passphrase="",
    )
    assert "Passphrase of the certificate" in asked.stderr
    assert "signed by" in asked.stdout
    assert pdf.read_bytes().startswith(b"%PDF-")


def test_an_authority_stamps_the_time_of_the_signature(cli, message, monkeypatch):
    trusted, p12 = certificate(cli.folder, ec.generate_private_key(ec.SECP256R1()))
    monkeypatch.setenv("COUNTERMARK_SIGN_PASSPHRASE", SECRET)
    out, pdf, tsa = cli.folder / "e.json", cli.folder / "e.pdf", Tsa("Time of the tests")
    cli.run("evidence", "export", message, "-o", out, home=POLICE)

    def sign(url, code=0):
        args = ("evidence", "verify", out, "--pdf", pdf, "--sign-with", p12, "--tsa", url)
        return cli.json(*args, home="court", code=code, passphrase="")

    with serving(tsa) as url:
        sign(url)
        status, _ = validate(pdf.read_bytes(), trusted, tsa.root)
        assert status.bottom_line, status.pretty_print_details()
        assert status.timestamp_validity.trusted
        assert status.timestamp_validity.valid
        status, _ = validate(pdf.read_bytes(), trusted)
        assert not status.timestamp_validity.trusted
        pdf.unlink()
        for fault, code in (
            ("nonce", "stamp_nonce"),
            ("imprint", "stamp_imprint"),
            ("status", "stamp_refused"),
        ):
            tsa.faults = {fault: bytes(32) if fault == "imprint" else 2}
            assert sign(url, UNREACHABLE if fault == "status" else 1)["error"]["code"] == code
    assert sign(url, UNREACHABLE)["error"]["code"] == "tsa_away"
    with serving(lambda handler, _body: reply(handler, b"junk")) as url:
        assert sign(url, 1)["error"]["code"] == "bad_stamp"
    with serving(lambda handler, _body: reply(handler, bytes(2**20))) as url:
        assert sign(url, UNREACHABLE)["error"]["code"] == "tsa_too_large"
    assert not pdf.exists()
    cli.run("evidence", "verify", out, "--pdf", pdf, "--tsa", url, home="court", code=2, passphrase="")


def test_what_cannot_sign_is_told(cli, message, monkeypatch):
    _, p12 = certificate(cli.folder, ec.generate_private_key(ec.SECP256R1()))
    out, pdf = cli.folder / "e.json", cli.folder / "e.pdf"
    cli.run("evidence", "export", message, "-o", out, home=POLICE)

    def sign(path, code):
        args = ("evidence", "verify", out, "--pdf", pdf, "--sign-with", path)
        return cli.json(*args, home="court", code=code, passphrase="")

    monkeypatch.setenv("COUNTERMARK_SIGN_PASSPHRASE", "another")
    assert sign(p12, 1)["error"]["code"] == "bad_pkcs12"
    monkeypatch.setenv("COUNTERMARK_SIGN_PASSPHRASE", SECRET)
    assert sign(out, 1)["error"]["code"] == "bad_pkcs12"
    assert not pdf.exists()
    cli.run("evidence", "verify", out, "--sign-with", p12, home="court", code=2, passphrase="")
    pdf.write_bytes(b"mine")
    cli.run("evidence", "verify", out, "--pdf", pdf, home="court", code=2, passphrase="")
    assert pdf.read_bytes() == b"mine"


@pytest.mark.parametrize("missing", ["fpdf", "uharfbuzz", "matplotlib"])
def test_without_the_extra_it_says_what_to_install(cli, message, monkeypatch, missing):

    out, pdf = cli.folder / "e.json", cli.folder / "e.pdf"
    cli.run("evidence", "export", message, "-o", out, home=POLICE)
    monkeypatch.setitem(sys.modules, missing, None)
    told = cli.json("evidence", "verify", out, "--pdf", pdf, home="court", code=1, passphrase="")
    assert told["error"]["code"] == "extra_missing"
    assert "countermark-client[evidence]" in told["error"]["message"]
