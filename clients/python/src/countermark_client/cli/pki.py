"""`countermark pki`: roots of existing national PKIs that this profile trusts, and which keys they certified."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from countermark_client._keystore import write_private
from countermark_client._pki import PKI_FILE, certified_keys, join_roots, read_pki_roots
from countermark_client.cli.common import FILE, Access, with_home
from countermark_client.cli.documents import confirm
from countermark_client.cli.output import REFUSED, Result, command, safe, table, utc
from countermark_protocol.certificate_paths import PkiRoots, parse_pki_roots, root_fingerprint, root_name
from countermark_protocol.errors import NotFoundError

_LEAST: Final = 8


@click.group("pki")
def pki() -> None:
    """Check keys of the directory against an existing national PKI, by roots that you trust."""


def _file(access: Access) -> Path:
    if not access.home.is_dir():
        raise NotFoundError("no_profile", f"there is no profile in {access.home}")
    return access.home / PKI_FILE


def _listed(roots: PkiRoots, note: str) -> Result:
    rows = [(safe(root_name(r)), root_fingerprint(r), f"{r.not_valid_after_utc:%Y-%m-%d}") for r in roots]
    return Result(
        [note, table(("ROOT", "SHA-256", "ENDS"), rows)] if rows else [note],
        roots=[{"name": root_name(r), "sha256": root_fingerprint(r)} for r in roots],
    )


def _write(path: Path, roots: PkiRoots) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415  needed here alone

    write_private(path, b"".join(root.public_bytes(Encoding.PEM) for root in roots))


@pki.command("trust")
@click.argument("file", type=FILE)
@click.option("--yes", is_flag=True, help="The fingerprints have been compared: do not ask.")
@with_home
@command
def trust(file: Path, yes: bool, access: Access) -> Result:
    """Trust the root certificates (PEM) in FILE; compare their fingerprints with what their PKI publishes first.

    Example:
      countermark pki trust kenya-root-ca.pem
    """
    path, added = _file(access), parse_pki_roots(file.read_bytes())
    for root in added:
        click.echo(f"{safe(root_name(root))}: SHA-256 {root_fingerprint(root)}", err=True)
    confirm("Are these the fingerprints that their PKI publishes?", assumed=yes)
    roots = join_roots(read_pki_roots(path), added)
    _write(path, roots)
    return _listed(roots, f"trusted by this profile: {len(roots)}")


@pki.command("list")
@with_home
@command
def list_roots(access: Access) -> Result:
    """List the roots that this profile trusts.

    Example:
      countermark pki list
    """
    roots = read_pki_roots(_file(access))
    return _listed(roots, f"trusted by this profile: {len(roots)}")


@pki.command("distrust")
@click.argument("sha256")
@with_home
@command
def distrust(sha256: str, access: Access) -> Result:
    """Trust the root whose fingerprint begins with SHA256 no more.

    Example:
      countermark pki distrust 4be1c0ff
    """
    path = _file(access)
    known = read_pki_roots(path)
    found = [r for r in known if len(sha256) >= _LEAST and root_fingerprint(r).startswith(sha256.lower())]
    if len(found) != 1:
        raise NotFoundError(
            "unknown_root", f"expected eight digits or more of one trusted root, got '{sha256}'"
        )
    left = tuple(r for r in known if r is not found[0])
    if left:
        _write(path, left)
    else:
        path.unlink()
    return _listed(left, f"trusted by this profile: {len(left)}")


@pki.command("verify")
@click.argument("prefix", default="")
@click.option(
    "--roots", type=FILE, metavar="FILE", help="Roots (PEM) to trust instead of the profile's, for once."
)
@click.option("--offline", is_flag=True, help="Use what is known; do not ask the broker.")
@with_home
@command
def verify(prefix: str, roots: Path | None, offline: bool, access: Access) -> Result:
    """Verify the certificates that records carry, of subjects that begin with PREFIX, as of their entries.

    Ends with code 1 if one does not hold. Nothing is asked online: whether a certificate was revoked is not known.
    Whether a key was revoked, the log says.

    Examples:
      countermark pki verify
      countermark pki verify endpoint/ke.
    """
    trusted = parse_pki_roots(roots.read_bytes()) if roots is not None else read_pki_roots(_file(access))
    if not trusted:
        raise NotFoundError(
            "no_roots", "this profile trusts no root: `countermark pki trust FILE`, or --roots FILE"
        )
    with access.client() as client:
        if not offline:
            client.sync()
        directory = client.directory
        subjects = sorted(s for s in directory.subjects("") if s.startswith(prefix))
        found = list(certified_keys(directory, trusted, subjects))
    rows = [
        (
            v.subject,
            v.key_id.hex()[:16],
            utc(v.at),
            "yes" if v.stands else "NO",
            safe(v.certified.subject) if v.certified is not None else f"NOT CERTIFIED: {safe(str(v.error))}",
            safe(v.certified.root) if v.certified is not None else "-",
        )
        for v in found
    ]
    bad = sum(v.certified is None for v in found)
    return Result(
        [table(("SUBJECT", "KEY", "AS OF", "STANDS", "CERTIFIED AS", "ROOT"), rows)]
        if rows
        else ["no record there carries certificates"],
        REFUSED if bad else 0,
        certificates=[
            {
                "subject": v.subject,
                "key": v.key_id.hex(),
                "at": v.at,
                "stands": v.stands,
                "certified_as": v.certified.subject if v.certified is not None else None,
                "issuer": v.certified.issuer if v.certified is not None else None,
                "root": v.certified.root if v.certified is not None else None,
                "not_after": v.certified.not_after if v.certified is not None else None,
                "error": v.error.code if v.error is not None else None,
            }
            for v in found
        ],
    )
