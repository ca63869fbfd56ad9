"""The trust file: the founding's signed document. All trust in a log begins with these bytes.

Its payload hash is the fingerprint that two people compare by voice. Whoever accepts a trust file without
comparing it accepts any log that calls itself by that name.

Source: docs/spec/directory.md §6.
"""

from __future__ import annotations

from dataclasses import dataclass

from countermark_protocol.claims import KIND_NAMES, Kind
from countermark_protocol.directory import Directory
from countermark_protocol.documents import Document, parse_document
from countermark_protocol.encoding import malformed
from countermark_protocol.identifiers import Origin
from countermark_protocol.judging import judge_statement
from countermark_protocol.keys import fingerprint
from countermark_protocol.records import DirectoryStatement, LogRecord
from countermark_protocol.statements import verify_statement


@dataclass(frozen=True, slots=True)
class TrustFile:
    """A founding all of whose signatures verify.

    Attributes:
        document: the signed document.
        statement: read from it.
        record: who runs and governs the log.
    """

    document: Document
    statement: DirectoryStatement
    record: LogRecord

    @property
    def origin(self) -> Origin:
        """Name of the log."""
        return self.statement.header.log

    @property
    def fingerprint(self) -> str:
        """Eight groups of four hexadecimal digits, to be compared by voice."""
        return fingerprint(self.document.payload_hash)


def read_trust_file(data: bytes) -> TrustFile:
    """Read a trust file and check that it is signed by all it names.

    Raises:
        MalformedError: not a founding.
        SignatureError: a governor, the log key or the broker's administrator has not signed it.

    Does not prove: that it is the founding of the log one means. Compare the fingerprint.
    """
    unverified = parse_document(data)
    if unverified.claims.get("kind") != KIND_NAMES[Kind.FOUNDING]:
        malformed("not_a_trust_file", "a trust file is the founding of a log, and nothing else")
    empty = Directory()
    document = verify_statement(empty, unverified)
    statement = judge_statement(empty, document, 0)
    record = statement.record
    assert isinstance(record, LogRecord)
    return TrustFile(document, statement, record)
