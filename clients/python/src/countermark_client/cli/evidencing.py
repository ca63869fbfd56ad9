"""`countermark evidence export` and `verify`: what became of one message, in one file for a court.

Verifying asks for nothing: no profile, no passphrase, no network. It ends with code 1 if anything in the file fails,
and if a signature is in doubt because its key is declared compromised from before it was logged.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from countermark_client.cli.common import (
    FILE,
    NEW_FILE,
    Access,
    message_of,
    now,
    passphrase_for,
    with_home,
    write_new,
)
from countermark_client.cli.output import REFUSED, Result, command, short
from countermark_client.cli.shown_files import check_files, with_files
from countermark_client.cli.verifying import evidence
from countermark_protocol.contradictions import MAX_BYTES as MAX_CONTRADICTION_BYTES
from countermark_protocol.contradictions import is_contradiction, verify_contradiction
from countermark_protocol.encoding import malformed
from countermark_protocol.evidence import MAX_EVIDENCE_BYTES
from countermark_protocol.evidence_checks import VerifiedEvidence, verify_evidence
from countermark_protocol.timestamps import MAX_ROOTS_BYTES, TsaRoots, parse_tsa_roots

if TYPE_CHECKING:
    from countermark_client import Client
    from countermark_client._evidence_pdf import PaperSigner

__all__ = ["evidence"]

#: Opens the PKCS#12 file of ``--sign-with``; never an argument, and never the profile's own passphrase.
SIGN_VARIABLE = "COUNTERMARK_SIGN_PASSPHRASE"
_MAX_PKCS12 = 1024 * 1024

parts_options: Any = (
    click.option("--to", metavar="NAME", help="Court by name, or auditor's address, to whom it is shown."),
    click.option("--ground", metavar="TEXT", help="Why it is shown; stands in the log."),
    click.option("--part", "parts", multiple=True, metavar="NAME", help="Part to show, such as /items/17."),
    click.option("--all", "everything", is_flag=True, help="Show the whole content."),
)


paper_options: Any = (
    click.option("--pdf", type=NEW_FILE, help="Write what is proven as a readable PDF too."),
    click.option(
        "--sign-with",
        type=FILE,
        metavar="FILE",
        help=f"PKCS#12 file with the certificate and key that sign the PDF; asks, or takes {SIGN_VARIABLE}.",
    ),
    click.option(
        "--tsa",
        metavar="URL",
        help="Authority (RFC 3161) that stamps the time of the PDF's signature; it learns a digest.",
    ),
)


def with_paper(function: Any) -> Any:
    """Give a command the options of a PDF."""
    for option in reversed(paper_options):
        function = option(function)
    return function


_roots_option: Any = click.option(
    "--tsa-roots",
    type=FILE,
    metavar="FILE",
    help="Certificates (PEM) of authorities of time stamps that you believe: without any, no time stamp counts.",
)


def with_roots(function: Any) -> Any:
    """Give a command the option of authorities of time stamps."""
    return _roots_option(function)


def read_tsa_roots(path: Path | None) -> TsaRoots:
    """The roots of a file; none if none is given.

    Raises:
        MalformedError: ``bad_tsa_roots``.
    """
    return parse_tsa_roots(read_file(path, MAX_ROOTS_BYTES)) if path is not None else ()


def check_paper(pdf: Path | None, sign_with: Path | None, tsa: str | None) -> None:
    """Refuse what cannot be meant, before anything is done.

    Raises:
        click.UsageError: nothing to sign, or the PDF is there already.
    """
    if sign_with is not None and pdf is None:
        raise click.UsageError("--sign-with signs the PDF: give --pdf too")
    if tsa is not None and sign_with is None:
        raise click.UsageError("--tsa stamps a signature: give --sign-with too")
    if pdf is not None and pdf.exists():
        raise click.UsageError(f"{pdf} exists: choose another name")


def write_paper(
    proven: VerifiedEvidence, data: bytes, file: Path, pdf: Path, sign_with: Path | None, tsa: str | None
) -> str:
    """Write the PDF beside a file of evidence; a line that says so.

    Raises:
        CountermarkError: see `_evidence_pdf`.
    """
    # An extra, loaded by those that print.
    from countermark_client._evidence_pdf import PaperSigner, make_paper  # noqa: PLC0415
    from countermark_client._evidence_words import tell  # noqa: PLC0415

    signer = None
    if sign_with is not None:
        passphrase = passphrase_for(f"the certificate {sign_with}", None, variable=SIGN_VARIABLE)
        signer = PaperSigner(read_file(sign_with, _MAX_PKCS12), passphrase, tsa)
    write_new(pdf, make_paper(proven, tell(proven), data, file.name, now(), signer))
    return f"written: {pdf}, {_signed(signer, tsa)}"


def _signed(signer: PaperSigner | None, tsa: str | None) -> str:
    if signer is None:
        return "NOT signed, and it says so"
    return f"signed by {signer.name}{f', the time stamped by {tsa}' if tsa is not None else ''}"


def with_parts(function: Any) -> Any:
    """Give a command the options of a disclosure."""
    for option in reversed(parts_options):
        function = option(function)
    return function


def chosen_parts(parts: tuple[str, ...], *, everything: bool) -> tuple[str, ...] | None:
    """The parts to show; None for all.

    Raises:
        click.UsageError: neither ``--part`` nor ``--all``, or both.
    """
    if bool(parts) == everything:
        raise click.UsageError("say what is shown: --part NAME, as often as needed, or --all")
    return None if everything else parts


def read_file(path: Path, most: int) -> bytes:
    """A file's bytes, refused before they are read where they are too many."""
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        malformed("oversized_evidence", f"expected a file of at most {most} bytes")
    return data


def shown(proven: VerifiedEvidence, files: tuple[tuple[int, Path], ...] = ()) -> Result:
    """What a check found, for people and programs; `files` were handed over with it.

    Raises:
        CountermarkError: a file is not the one that was disclosed; see `shown_files.check_files`.
    """
    # Loaded by those that tell of evidence.
    from countermark_client._evidence_words import evidence_json, tell  # noqa: PLC0415

    told = tell(proven)
    attachments = check_files([disclosure.shown for disclosure in proven.disclosures], files)
    lines = ["PROVEN", *(f"  {line}" for line in told.proven)]
    lines += ["", "VERDICTS ON SIGNATURES", *(f"  {line}" for line in told.signatures)]
    if told.doubts:
        lines += ["", "IN DOUBT: do not rely on this", *(f"  {line}" for line in told.doubts)]
    for disclosure in proven.disclosures:
        lines += ["", f"SHOWN TO {disclosure.act.to}"]
        lines += [
            f"  {name}: {json.dumps(v, ensure_ascii=False)}" for name, v in disclosure.shown.opened.items()
        ]
        lines += [f"  {name}: kept closed" for name in disclosure.shown.closed]
    lines += [*attachments.lines, "", "NOT PROVEN", *(f"  {line}" for line in told.not_proven)]
    json_ = {**evidence_json(proven, told), "attachments": list(attachments.json)}
    return Result(lines, REFUSED if told.doubts else 0, **json_)


def _disclosures(
    client: Client,
    message: bytes,
    files: tuple[Path, ...],
    wanted: tuple[str, str, tuple[str, ...] | None] | None,
) -> list[bytes]:
    given = [read_file(path, MAX_EVIDENCE_BYTES) for path in files]
    if wanted is not None:
        to, ground, parts = wanted
        given.append(client.disclose(message, to, ground, parts=parts).data)
    return given


@evidence.command("export")
@click.argument("message_hash", metavar="HASH")
@click.option("-o", "--out", type=NEW_FILE, help="File to write; else <HASH>.evidence.json.")
@click.option(
    "--disclosure", "files", type=FILE, multiple=True, help="A disclosure made before, to be put in."
)
@with_parts
@with_roots
@with_paper
@with_home
@command
def export_evidence(
    message_hash: str,
    out: Path | None,
    files: tuple[Path, ...],
    to: str | None,
    ground: str | None,
    parts: tuple[str, ...],
    everything: bool,
    tsa_roots: Path | None,
    pdf: Path | None,
    sign_with: Path | None,
    tsa: str | None,
    access: Access,
) -> Result:
    """Write all that proves to a court what became of the message HASH, in one file.

    It holds who sent it to whom and when, and who signed for it, with all proofs; nothing of the content but what is
    disclosed, which is stated in the log first. Whoever gets it needs no network and no account to check it.

    Examples:
      countermark evidence export 4be1c0ff -o exhibit-7.evidence.json
      countermark evidence export 4be1c0ff --part /items/17 --to 'High Court, Nairobi' --ground 'case 12 of 2026'
      countermark evidence export 4be1c0ff --pdf exhibit-7.pdf --sign-with notary.p12
    """
    check_paper(pdf, sign_with, tsa)
    roots = read_tsa_roots(tsa_roots)
    wanted = None
    if to is not None or ground is not None or parts or everything:
        if to is None or ground is None:
            raise click.UsageError("a disclosure states to whom and why: give both --to and --ground")
        wanted = to, ground, chosen_parts(parts, everything=everything)
    with access.client() as client:
        message = message_of(client, message_hash)
        target = out or Path(f"{short(message)}.evidence.json")
        if target.exists():
            raise click.UsageError(f"{target} exists: choose another name")
        made = client.evidence(
            message, disclosures=_disclosures(client, message, files, wanted), tsa_roots=roots
        )
    write_new(target, made.data)
    told = shown(made.proven)
    lines = [f"written: {target}", "it tells who wrote to whom: hand it on as its handling allows"]
    if pdf is not None:
        lines.append(write_paper(made.proven, made.data, target, pdf, sign_with, tsa))
    return Result(
        [*lines, "", *told.shown],
        told.exit_code,
        **{"file": str(target), "pdf": None if pdf is None else str(pdf), **told},
    )


@evidence.command("verify")
@click.argument("file", type=FILE)
@click.option("--fingerprint", help="Of the log's founding, as you know it from elsewhere: it is compared.")
@with_files
@with_roots
@with_paper
@command
def verify_file(
    file: Path,
    fingerprint: str | None,
    files: tuple[tuple[int, Path], ...],
    tsa_roots: Path | None,
    pdf: Path | None,
    sign_with: Path | None,
    tsa: str | None,
) -> Result:
    """Check a file of evidence, and say what it proves and what not; needs no profile and no network.

    FILE is what became of a message (`countermark evidence export`), or a contradiction: kept by a profile as evidence
    of misbehaviour, or found by `countermark compare`.

    Examples:
      countermark evidence verify exhibit-7.evidence.json --fingerprint '9e32 47d4 1a8d 950b 47af 7717 fdca d349'
      countermark evidence verify exhibit-7.evidence.json --file 0 photograph.jpg
      countermark evidence verify exhibit-7.evidence.json --tsa-roots authorities-of-time-stamps.pem
    """
    check_paper(pdf, sign_with, tsa)
    data = read_file(file, MAX_CONTRADICTION_BYTES)
    if is_contradiction(data):
        if pdf is not None:
            raise click.UsageError("--pdf is for what became of a message; this file shows a contradiction")
        if files:
            raise click.UsageError("--file is for what was disclosed; this file shows a contradiction")
        # Loaded by those that tell of contradictions.
        from countermark_client.cli.comparing import shown_contradiction  # noqa: PLC0415

        return shown_contradiction(verify_contradiction(data, fingerprint))
    proven = verify_evidence(data, fingerprint, read_tsa_roots(tsa_roots))
    told = shown(proven, files)
    if pdf is not None:
        told.shown = [write_paper(proven, data, file, pdf, sign_with, tsa), "", *told.shown]
    return told
