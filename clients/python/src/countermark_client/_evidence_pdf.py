"""Evidence on paper: the sentences of `_evidence_words` as a PDF, signed as PAdES where somebody signs it.

The paper is no proof by itself: it says what the file beside it proves, names that file by its SHA-256, and says how to
check it. One that is not signed says so on its face. Needs the extra ``countermark-client[evidence]``.

Its font is DejaVu Sans, which matplotlib ships: Latin, Greek, Cyrillic, Arabic and others, put into the PDF as far as
they are used. What it lacks, and what has no shape of its own, such as marks that turn the direction of writing, stands
as an escape: nothing is left out unseen.

Source: docs/spec/evidence.md §4; ETSI EN 319 142-1 (PAdES, levels B-B and B-T); RFC 7292 (PKCS#12).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from countermark_client._evidence_words import Told
from countermark_client._words import moment
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import CountermarkError, UncheckableError
from countermark_protocol.evidence_checks import VerifiedEvidence

if TYPE_CHECKING:
    from fpdf import FPDF

SIGNATURE_FIELD: Final = "Signature"
_FONT: Final = "DejaVu"
_MARGIN: Final = 20
#: Characters of one disclosed part on paper; the file holds all of it.
_MOST_SHOWN: Final = 20_000


class PaperSigner:
    """Who signs the paper: a certificate with its private key, from a PKCS#12 file.

    Args:
        data: the file's bytes.
        passphrase: that opens it.
        tsa: URL of an authority that stamps the time of the signature (RFC 3161); None for no such stamp.

    Raises:
        MalformedError: ``bad_pkcs12``: it is none, holds no certificate with its key, or does not open.
        UncheckableError: ``extra_missing``.
    """

    def __init__(self, data: bytes, passphrase: str, tsa: str | None = None) -> None:
        with _extra():
            from pyhanko.sign import signers  # noqa: PLC0415  an extra, loaded where it is used
        self._tsa = tsa
        try:
            self._signer = signers.SimpleSigner.load_pkcs12_data(data, [], passphrase.encode("utf-8"))
            self._name = str(self._signer.signing_cert.subject.human_friendly)
        except (ValueError, TypeError, AttributeError):
            malformed(
                "bad_pkcs12",
                "expected a PKCS#12 file with a certificate and its private key that opens with this passphrase",
            )

    @property
    def name(self) -> str:
        """The certificate's subject."""
        return self._name

    def sign(self, pdf: bytes) -> bytes:
        """Sign a PDF as PAdES, level B-B; B-T where an authority stamps the time, which needs a network.

        Raises:
            CountermarkError: ``paper_not_signed``: the key is of a kind that signs no PDF, or the authority gave no
                stamp on this.
            TransportError: ``tsa_away`` and others: see `_paper_stamps`.
        """
        from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter  # noqa: PLC0415
        from pyhanko.sign import fields, signers  # noqa: PLC0415
        from pyhanko.sign.general import SigningError  # noqa: PLC0415
        from pyhanko.sign.timestamps import TimestampRequestError  # noqa: PLC0415

        about = signers.PdfSignatureMetadata(
            field_name=SIGNATURE_FIELD,
            md_algorithm="sha256",
            subfilter=fields.SigSeedSubFilter.PADES,
            reason="states what the evidence named in it was found to prove",
        )
        stamper = None
        if self._tsa is not None:
            from countermark_client._paper_stamps import PaperStamper  # noqa: PLC0415

            stamper = PaperStamper(self._tsa)
        try:
            out = signers.sign_pdf(
                IncrementalPdfFileWriter(io.BytesIO(pdf)), about, signer=self._signer, timestamper=stamper
            )
        except (SigningError, TimestampRequestError, NotImplementedError, ValueError) as error:
            raise CountermarkError("paper_not_signed", f"the PDF could not be signed: {error}") from None
        return bytes(out.getvalue())


@contextlib.contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ImportError:
        _missing()


def _missing() -> NoReturn:
    raise UncheckableError(
        "extra_missing", "a PDF needs more than is installed: pip install 'countermark-client[evidence]'"
    ) from None


def make_paper(
    evidence: VerifiedEvidence, told: Told, data: bytes, name: str, made_at: int, signer: PaperSigner | None
) -> bytes:
    """The paper beside a file of evidence.

    Args:
        evidence: as verified.
        told: what it proves and what not.
        data: the file's bytes.
        name: of the file.
        made_at: ms since 1970.
        signer: who signs it, or None.

    Raises:
        UncheckableError: ``extra_missing``.
        CountermarkError: ``paper_not_signed``.
    """
    pdf = _blank()
    pdf.set_creation_date(datetime.fromtimestamp(made_at // 1000, UTC))
    pdf.set_title(f"Evidence of message {evidence.message.payload.hex()}")
    _write(pdf, "Evidence of a message", 18, bold=True)
    _write(pdf, f"Message {evidence.message.payload.hex()} in the log {evidence.log}", 9)
    _face(pdf, made_at, signer)
    _heading(pdf, "The file")
    _write(
        pdf,
        f"This paper tells what the file {name} proves. The file is the evidence; it has {len(data)} bytes and the "
        f"SHA-256 {hashlib.sha256(data).hexdigest()}.",
    )
    if told.doubts:
        _heading(pdf, "In doubt: do not rely on this")
        _listed(pdf, told.doubts)
    _heading(pdf, "Proven")
    _listed(pdf, told.proven)
    _heading(pdf, "Verdicts on signatures")
    _listed(pdf, told.signatures)
    for disclosure in evidence.disclosures:
        _heading(pdf, f"Shown to {disclosure.act.to}")
        for part, value in disclosure.shown.opened.items():
            _part(pdf, part, value)
        for part in disclosure.shown.closed:
            _write(pdf, f"{part}: kept closed", 9)
    _heading(pdf, "Not proven")
    _listed(pdf, told.not_proven)
    _heading(pdf, "How to check")
    _listed(pdf, _how(evidence, name))
    made = bytes(pdf.output())
    return signer.sign(made) if signer is not None else made


def _face(pdf: FPDF, made_at: int, signer: PaperSigner | None) -> None:
    pdf.ln(2)
    if signer is None:
        _write(pdf, f"NOT SIGNED. Made on {moment(made_at)}. Anybody could have printed this.", 11, bold=True)
    else:
        _write(
            pdf,
            f"Signed electronically by {signer.name}, made on {moment(made_at)}. Printed, it bears no signature: check "
            "that in the PDF itself.",
            11,
            bold=True,
        )


def _how(evidence: VerifiedEvidence, name: str) -> tuple[str, ...]:
    compare = (
        f"Compare the fingerprint of the log, {evidence.fingerprint}, with what its governors publish, by another way "
        "than the one that brought this paper."
    )
    stamps = " --tsa-roots FILE (certificates of authorities of time stamps)" if evidence.stamps else ""
    run = (
        "On a machine with the software of Countermark, which needs no network and no account for it, run: countermark "
        f"evidence verify {name} --fingerprint '{evidence.fingerprint}'{stamps}"
    )
    ends = (
        "It ends with code 0 only if everything in the file holds and no signature is in doubt. What it checks is "
        "published as docs/spec/evidence.md, so that anybody can write another program for it."
    )
    return compare, run, ends


# --- layout --------------------------------------------------------------------------------------------


def _blank() -> FPDF:
    """A page with its font.

    Raises:
        UncheckableError: ``extra_missing``.
    """
    with _extra():
        import uharfbuzz  # type: ignore[import-untyped]  # noqa: F401, PLC0415  joins letters; fpdf does without it where it is not there
        from fpdf import FPDF  # noqa: PLC0415
    # Not imported: matplotlib takes a second to load, and only its files are wanted.
    found = importlib.util.find_spec("matplotlib")
    if found is None or found.origin is None:
        _missing()
    fonts = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf"
    pdf = FPDF(format="A4")
    pdf.add_font(_FONT, "", fonts / "DejaVuSans.ttf")
    pdf.add_font(_FONT, "B", fonts / "DejaVuSans-Bold.ttf")
    pdf.set_text_shaping(use_shaping_engine=True)
    pdf.set_margin(_MARGIN)
    pdf.set_auto_page_break(auto=True, margin=_MARGIN)
    pdf.add_page()
    return pdf


def _readable(pdf: FPDF, text: str) -> str:
    """Text in what the font holds; other characters as escapes."""
    from fpdf.fonts import TTFFont  # noqa: PLC0415  an extra, as above

    font = pdf.current_font
    held = font.cmap if isinstance(font, TTFFont) else {}
    return "".join(c if c == "\n" or (c.isprintable() and ord(c) in held) else _escape(c) for c in text)


def _escape(c: str) -> str:
    return f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}"


def _write(pdf: FPDF, text: str, size: float = 10, *, bold: bool = False) -> None:
    pdf.set_font(_FONT, "B" if bold else "", size)
    pdf.multi_cell(0, size * 0.5, _readable(pdf, text), new_x="LMARGIN", new_y="NEXT", align="L")


def _heading(pdf: FPDF, text: str) -> None:
    pdf.ln(3)
    _write(pdf, text, 13, bold=True)
    pdf.ln(1)


def _listed(pdf: FPDF, sentences: tuple[str, ...]) -> None:
    for number, sentence in enumerate(sentences, 1):
        _write(pdf, f"{number}. {sentence}")
        pdf.ln(1)


def _part(pdf: FPDF, name: str, value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=2)
    if len(text) > _MOST_SHOWN:
        text = f"{text[:_MOST_SHOWN]}\n(and {len(text) - _MOST_SHOWN} characters more: see the file)"
    _write(pdf, name, 9, bold=True)
    _write(pdf, text, 9)
    pdf.ln(1)
