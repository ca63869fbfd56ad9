"""The folded directory that a node keeps in memory, checked against the database at every use under the lock.

The object handed out is never changed in place: whoever appends folds into a copy, and the copy is adopted
once it is committed. So a batch that the database refuses leaves nothing to undo, and threads may read.
"""

from __future__ import annotations

import threading

from countermark_broker.errors import FatalError
from countermark_broker.store.engine import Connection
from countermark_broker.store.head import Head
from countermark_broker.store.reading import read_directory
from countermark_protocol.directory import Directory
from countermark_protocol.documents import parse_document
from countermark_protocol.errors import CountermarkError
from countermark_protocol.judging import check_named, judge_statement
from countermark_protocol.leaf import parse_leaf
from countermark_protocol.statements import verify_statement

_PAGE = 500
_WAY_OUT = "stop all nodes and run `countermark-broker rebuild --check`"


class DirectoryHolder:
    """The newest directory this node has folded."""

    def __init__(self) -> None:
        self._current = Directory()
        self._lock = threading.Lock()

    @property
    def current(self) -> Directory:
        """To be read only."""
        return self._current

    def adopt(self, directory: Directory) -> None:
        """Take a directory that is committed, unless a newer one is held already."""
        with self._lock:
            if directory.count > self._current.count:
                self._current = directory

    def at(self, connection: Connection, head: Head, *, locked: bool) -> Directory:
        """The directory as of `head`, folding what other nodes have added; to be copied before it is changed.

        Args:
            connection: the transaction in which `head` was read.
            head: of the log.
            locked: the transaction holds the lock, so nobody can be ahead of `head`. Without the lock this node
                may have committed since: then the answer is that newer directory.

        Raises:
            FatalError: the statements in the database do not give the head's directory.
        """
        directory = self._current
        if directory.count < head.dir_count:
            directory = directory.copy()
            while directory.count < head.dir_count:
                page = read_directory(connection, directory.count, _PAGE, head.size)
                if not page:
                    break
                for index, leaf, document in page:
                    fold(directory, index, leaf, document)
            self._check(directory, head)
            self.adopt(directory)
            return directory
        if locked or directory.count == head.dir_count:
            self._check(directory, head)
        return directory

    def _check(self, directory: Directory, head: Head) -> None:
        if (directory.count, directory.head) != (head.dir_count, head.dir_head):
            raise FatalError(
                "directory_differs",
                f"the directory folds to {directory.count} statements and another head than the database "
                f"states ({head.dir_count})",
                _WAY_OUT,
            )


def fold(directory: Directory, index: int, leaf_data: bytes, document_data: bytes) -> None:
    """Fold one logged statement into a directory, judging it again.

    Raises:
        FatalError: ``directory_differs``: it would not be accepted, so it cannot have been.
    """
    try:
        leaf = parse_leaf(leaf_data)
        document = verify_statement(directory, parse_document(document_data))
        statement = judge_statement(directory, document, leaf.time)
        check_named(directory, statement, index)
    except CountermarkError as error:
        raise FatalError(
            "directory_differs", f"directory statement at entry {index} does not stand: {error}", _WAY_OUT
        ) from error
    if leaf.statement != document.statement_hash:
        raise FatalError("directory_differs", f"entry {index} has the leaf of another statement", _WAY_OUT)
    directory.apply(statement, document, index, leaf.time)
