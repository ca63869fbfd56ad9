"""Which keys of the directory an existing national PKI certified, by the roots that this profile trusts.

Trust is the user's: a PEM file in the profile's folder. The broker judges no certificate, and nothing of the log
depends on one.

Source: docs/spec/directory.md §10.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from countermark_protocol.certificate_paths import (
    MAX_ROOTS_BYTES,
    CertifiedKey,
    PkiRoots,
    parse_pki_roots,
    root_fingerprint,
    verify_certificates,
)
from countermark_protocol.directory import Directory
from countermark_protocol.errors import CountermarkError
from countermark_protocol.identifiers import KeyId
from countermark_protocol.records import AuthorityRecord, EndpointRecord, KeysRecord, keys_in

PKI_FILE: Final = "national-pki.pem"


@dataclass(frozen=True, slots=True)
class CertifiedVerdict:
    """What becomes of one chain in the directory.

    Attributes:
        subject: of the directory.
        key_id: of the key that the chain should certify.
        at: ms since 1970, of the leaf that put it on record: as of then it is judged.
        stands: whether the record stands.
        certified: what was found; None where the chain does not hold.
        error: why not.
    """

    subject: str
    key_id: KeyId
    at: int
    stands: bool
    certified: CertifiedKey | None
    error: CountermarkError | None


def read_pki_roots(path: Path) -> PkiRoots:
    """Trusted roots of a file; none if it is not there.

    Raises:
        MalformedError: ``bad_pki_roots``.
    """
    if not path.exists():
        return ()
    with path.open("rb") as file:
        return parse_pki_roots(file.read(MAX_ROOTS_BYTES + 1))


def join_roots(known: PkiRoots, added: PkiRoots) -> PkiRoots:
    """Both, each once, in the order of their fingerprints."""
    by_print = {root_fingerprint(one): one for one in (*known, *added)}
    return tuple(by_print[key] for key in sorted(by_print))


def certified_keys(
    directory: Directory, roots: PkiRoots, subjects: Iterable[str]
) -> Iterator[CertifiedVerdict]:
    """Verify every chain that the newest records of some subjects carry.

    Args:
        directory: as verified.
        roots: trusted; one at least.
        subjects: of the directory.
    """
    for subject in subjects:
        held = directory.held(subject)
        if held is None or not isinstance(held.record, AuthorityRecord | EndpointRecord | KeysRecord):
            continue
        keys = {key.key_id: key for key in keys_in(held.record)}
        for one in held.record.certificates:
            certified = error = None
            try:
                certified = verify_certificates(keys[one.key_id], one.chain, roots, held.time)
            except CountermarkError as failed:
                error = failed
            yield CertifiedVerdict(
                subject, one.key_id, held.time, directory.stands(subject), certified, error
            )
