"""What is to be thought of the signatures on a mirror's messages, by all that was logged before a time.

The directory is folded from the mirror's own statements up to the end of the period, so the same question on the
same mirror has the same answer: a revocation that is logged later shows in a later report, with both of its dates.

Source: docs/spec/directory.md §9; docs/howto/review-a-log.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from countermark_client._database import Database
from countermark_client.audit._signatures import as_verified
from countermark_client.review._statistics import Population, cross_of, of_messages
from countermark_client.review._suppression import Cross
from countermark_protocol.claims import DIRECTORY_KINDS, KIND_NAMES
from countermark_protocol.directory import Directory
from countermark_protocol.documents import parse_document
from countermark_protocol.identifiers import KeyId
from countermark_protocol.records import parse_directory_statement
from countermark_protocol.verdicts import (
    Revoked,
    SignatureVerdict,
    VerdictClass,
    revoked_of,
    verdict_on_message,
)

_PREFIX: Final = "revoked/"


def directory_before(database: Database, time: int) -> Directory:
    """The directory as a mirror holds it, folded over what was logged before a time.

    Nothing is judged here: what the rules would have refused was taken down when the mirror was verified.

    Args:
        database: of the mirror.
        time: ms since 1970, exclusive.

    Raises:
        StorageError: ``storage_failed``.
        MalformedError: a statement in the mirror is not of its form.
    """
    kinds = [KIND_NAMES[kind] for kind in sorted(DIRECTORY_KINDS)]
    marks = ", ".join("?" * len(kinds))
    directory = Directory()
    for index, at, document in database.execute(
        f"SELECT idx, time, document FROM entries WHERE kind IN ({marks}) AND time < ? ORDER BY idx",  # noqa: S608  marks only
        (*kinds, time),
    ):
        unverified = parse_document(document)
        statement = parse_directory_statement(unverified.claims)
        directory.apply(statement, as_verified(unverified), index, at)
    return directory


def verdict_in(
    directory: Directory, document: bytes | None, index: int, time: int
) -> SignatureVerdict | None:
    """The verdict on one message of a mirror; None where the mirror does not hold its signatures."""
    if document is None:
        return None
    return verdict_on_message(directory, parse_document(document), index, time)


@dataclass(frozen=True, slots=True)
class RevokedKey:
    """A key that was revoked, and what it had signed.

    Attributes:
        key_id: which.
        subject: the record that named it last.
        revoked: when, why, and from when on it is declared compromised.
        signed: how many of the messages counted bear its signature with this verdict.
        in_doubt: those of them signed after the date of compromise.
    """

    key_id: KeyId
    subject: str
    revoked: Revoked
    signed: int
    in_doubt: int


def signatures(
    database: Database, population: Population, directory: Directory
) -> tuple[Cross, list[RevokedKey]]:
    """Messages by the verdict on their signatures and by country of the sender; and the keys revoked by then.

    Args:
        database: of the mirror.
        population: which messages.
        directory: from `directory_before` the population's end.

    Raises:
        StorageError: ``storage_failed``.
        MalformedError: a message in the mirror is not of its form.
    """
    where, values = of_messages(population)
    found = database.execute(
        "SELECT m.authority, m.idx, m.time, e.document FROM messages m LEFT JOIN entries e ON e.idx = m.idx "  # noqa: S608  our own
        f"WHERE {where}",
        values,
    )
    classes: Counter[tuple[str, str]] = Counter()
    by_key: Counter[tuple[KeyId, VerdictClass]] = Counter()
    for authority, index, time, document in found:
        verdict = verdict_in(directory, document, index, time)
        kind = VerdictClass.UNKNOWN if verdict is None else verdict.kind
        classes[authority, kind.value] += 1
        if verdict is not None:
            by_key[verdict.key_id, kind] += 1
    table = cross_of(
        "signatures",
        "Messages by country of the sender and verdict on their signatures",
        "country",
        "messages",
        classes,
        (kind.value for kind in VerdictClass),
    )
    return table, list(_revoked_keys(directory, by_key))


def _revoked_keys(directory: Directory, by_key: Counter[tuple[KeyId, VerdictClass]]) -> Iterable[RevokedKey]:
    for subject in sorted(directory.subjects(_PREFIX)):
        key_id = KeyId(bytes.fromhex(subject.removeprefix(_PREFIX)))
        revoked = revoked_of(directory, key_id)
        if revoked is not None:
            named = directory.subjects_of_key(key_id)
            in_doubt = by_key[key_id, VerdictClass.AFTER_COMPROMISE]
            yield RevokedKey(
                key_id,
                named[-1] if named else "",
                revoked,
                in_doubt + by_key[key_id, VerdictClass.REVOKED_LATER],
                in_doubt,
            )
