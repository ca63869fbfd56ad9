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

    Attributes:
        profile: as it is open now.
        writes: how many writes it has made since it was opened.
    """

    def __init__(self, world, address, path):
        self._world = world
        self._keys = world.keystore(address)
        self._address = parse_address(address)
        self._trust = read_trust_file(world.trust)
        self._path = path
        self.profile = None
        self.writes = 0
        self._fatal = None
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
            folder=None,
        )
        self.profile, self._fatal, self.writes = made, None, 0
        for name in ("execute", "executemany"):
            self._wrap(made.store._db, name)
        return self._world.client(made)

    def _wrap(self, database, name):
        real = getattr(database, name)

        def call(sql, *values):
            if not sql.lstrip().upper().startswith(_WRITES):
                return real(sql, *values)
            self.writes += 1
            if self._fatal == (self.writes, "lost"):
                raise PowerCutError
            out = real(sql, *values)
            if self._fatal == (self.writes, "kept"):
                raise PowerCutError
            return out

        setattr(database, name, call)

    def crash_at(self, number, how):
        """Die at the write of this number from now: before it (`lost`) or right after it (`kept`)."""
        self._fatal = (self.writes + number, how)

    def close(self):
        """Close the file."""
        self.profile.store._db._connection.close()
