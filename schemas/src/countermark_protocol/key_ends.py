"""Endpoints whose keys end: who will not be able to send, or to be sent to, if nobody renews.

Source: docs/spec/directory.md §4.4, §4.5.
"""

from __future__ import annotations

from collections.abc import Iterator

from countermark_protocol.directory import Directory
from countermark_protocol.identifiers import Address
from countermark_protocol.records import KeysRecord


def endpoints_ending(directory: Directory, by: int) -> Iterator[Address]:
    """Endpoints in force that have no instance key, or no sealing key, whose time goes on beyond a moment.

    Args:
        directory: as it stands.
        by: ms since 1970.
    """
    for subject in directory.subjects("keys/"):
        record = directory.keys(Address(subject.removeprefix("keys/")))
        if record is not None and _ends(directory, record, by):
            yield record.address


def _ends(directory: Directory, record: KeysRecord, by: int) -> bool:
    signs = any(
        (one.until is None or one.until > by) and directory.revocation(one.key.key_id) is None
        for one in record.signing
    )
    sealed_to = record.sealing is None or (
        (record.sealing_until is None or record.sealing_until > by)
        and directory.revocation(record.sealing.key_id) is None
    )
    return not (signs and sealed_to)
