"""The table of the broker's accounts, as kept for comparing with what is proven later.

Source: docs/spec/log.md §7.4.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from countermark_client._tables import Tables
from countermark_protocol.accounts import Account, Verdict
from countermark_protocol.boxes import Box
from countermark_protocol.encoding import encode_json

ACCOUNTS_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS accounts (
  state BLOB PRIMARY KEY, made_at INTEGER NOT NULL, refusal INTEGER NOT NULL, document BLOB NOT NULL,
  settled INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS accounts_by_time ON accounts (refusal, made_at);
"""
#: Accounts other than refusals that are kept; refusals are all kept.
MAX_ACCOUNTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """A signed negative answer, verified when it came.

    Attributes:
        state: what it states of the boxes, digested; of a refusal, what identifies it.
        made_at: ms since 1970, by the broker.
        refusal: whether it refuses something by rule.
        document: signed.
        request: the signature base that it answers, of a denial ``not-held``; None of every other.
        settled: whether nothing that is still to be read can contradict it, or a finding was raised.
    """

    state: bytes
    made_at: int
    refusal: bool
    document: bytes
    request: bytes | None = None
    settled: bool = False


def _stored(account: Account, document: bytes, request: bytes | None) -> StoredAccount:
    """An account as it is kept: the newest of those that state the same of the boxes, and every denial and refusal."""
    if account.refusal is not None:
        said: list[object] = [account.request.hex(), account.refusal.rule]
    elif account.verdict is Verdict.NOT_HELD:
        said = [account.request.hex(), "not-held"]
    else:
        said = [[b.endpoint, b.box.value, b.state.count, b.state.head.hex()] for b in account.boxes]
    state = hashlib.sha256(encode_json({"said": said})).digest()
    return StoredAccount(state, account.made_at, account.refusal is not None, document, request)


class AccountTables(Tables):
    """Accounts."""

    def add_account(self, account: Account, document: bytes, request: bytes | None = None) -> None:
        """Keep a verified account: the newest of those that state the same, and of these the newest so many.

        Args:
            account: verified.
            document: as signed.
            request: the signature base that it answers; kept of a denial, which says nothing without it.
        """
        a = _stored(account, document, request if account.verdict is Verdict.NOT_HELD else None)
        with self.transaction():
            self._db.execute(
                "INSERT INTO accounts (state, made_at, refusal, document, request) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (state) DO UPDATE SET made_at = excluded.made_at, document = excluded.document, "
                "settled = 0 WHERE excluded.made_at >= made_at",
                (a.state, a.made_at, a.refusal, a.document, a.request),
            )
            self._db.execute(
                "DELETE FROM accounts WHERE refusal = 0 AND made_at < coalesce((SELECT made_at FROM accounts "
                "WHERE refusal = 0 ORDER BY made_at DESC LIMIT 1 OFFSET ?), 0)",
                (MAX_ACCOUNTS - 1,),
            )

    def accounts(self, *, unsettled: bool = False) -> list[StoredAccount]:
        """Accounts kept, the oldest first; all, or those that may still be contradicted."""
        rows = self._db.execute(
            "SELECT state, made_at, refusal, document, request, settled FROM accounts WHERE settled <= ? "
            "ORDER BY made_at, state",
            (0 if unsettled else 1,),
        )
        return [StoredAccount(r[0], r[1], bool(r[2]), r[3], r[4], bool(r[5])) for r in rows]

    def settle_account(self, state: bytes) -> None:
        """An account was compared with all that can ever contradict it."""
        self._db.execute("UPDATE accounts SET settled = 1 WHERE state = ?", (state,))

    def shown_at(self, box: Box, position: int) -> tuple[bytes, ...]:
        """Document and proof of a verified position, as kept; nothing where they are not."""
        row: tuple[bytes, ...] | None = self._db.execute(
            "SELECT document, proof FROM notices WHERE ?1 = 'notices' AND position = ?2 UNION ALL "
            "SELECT document, proof FROM messages "
            "WHERE direction = 'in' AND box = ?1 AND position = ?2 AND proof IS NOT NULL",
            (box.value, position),
        ).fetchone()
        return row or ()
