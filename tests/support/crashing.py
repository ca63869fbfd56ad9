"""A profile whose process dies at a chosen write to its store, and which is opened again afterwards."""

from __future__ import annotations

from countermark_client import Profile, read_trust_file
from countermark_client._store import Store
from countermark_protocol.identifiers import parse_address

_WRITES = ("INSERT", "UPDATE", "DELETE", "BEGIN", "COMMIT")


class PowerCutError(BaseException):
    """The process is gone: nothing after this runs."""


class CrashingProfile:
    """One endpoint's profile over a file, opened as often as it crashes.

    Args:
        world: that it belongs to.
        address: of its endpoint.
        path: of its store.
        folder: where its sealed pieces lie; None where there are none.

    Attributes:
        profile: as it is open now.
        writes: how many writes it has made since it was opened.
    """

    def __init__(self, world, address, path, folder=None):
        self._world = world
        self._keys = world.keystore(address)
        self._address = parse_address(address)
        self._trust = read_trust_file(world.trust)
        self._path, self._folder = path, folder
        self.profile = None
        self.writes = 0
        self._fatal, self._gone = None, False
        self.open()

    def open(self, keystore=None):
        """Open it, anew if it is open; what was not committed is lost."""
        if self.profile is not None:
            self.profile.store._db._connection.close()
        made = Profile(
            address=self._address,
            broker_url=self._world.url,
            holder="default",
            trust=self._trust,
            keystore=keystore or self._keys,
            store=Store(self._path),
            folder=self._folder,
        )
        self.profile, self._fatal, self.writes, self._gone = made, None, 0, False
        for name in ("execute", "executemany"):
            self._wrap(made.store._db, name)
        for name in ("write", "remove"):
            self._wrap_files(made.pieces, name)
        return self._world.client(made)

    def _wrap(self, database, name):
        real = getattr(database, name)

        def call(sql, *values):
            if not sql.lstrip().upper().startswith(_WRITES):
                return real(sql, *values)
            return self._written(real, sql, *values)

        setattr(database, name, call)

    def _wrap_files(self, files, name):
        real = getattr(files, name)

        def call(*values):
            # Who is gone cleans nothing up.
            return None if self._gone else self._written(real, *values)

        setattr(files, name, call)

    def _written(self, real, *values):
        self.writes += 1
        if self._fatal == (self.writes, "lost"):
            self._gone = True
            raise PowerCutError
        out = real(*values)
        if self._fatal == (self.writes, "kept"):
            self._gone = True
            raise PowerCutError
        return out

    def crash_at(self, number, how):
        """Die at the write of this number from now: before it (`lost`) or right after it (`kept`)."""
        self._fatal = (self.writes + number, how)

    def close(self):
        """Close the file."""
        self.profile.store._db._connection.close()
