"""National: the broker's signed word on how far each box goes, compared with the boxes.

An account states count and head of every box below a size. It is compared once the mirror holds all of that size.

Source: docs/spec/audit.md §5.3; docs/spec/log.md §7.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from countermark_client.audit._findings import Check, Findings
from countermark_client.audit._leaves import Tree
from countermark_client.audit._mirror import Mirror
from countermark_protocol.accounts import Account, Verdict, parse_account, state_of, verify_account
from countermark_protocol.answers import BoxPage
from countermark_protocol.boxes import Box, BoxState
from countermark_protocol.directory import Directory
from countermark_protocol.documents import parse_document, statement_hash, verify_document
from countermark_protocol.errors import CountermarkError
from countermark_protocol.identifiers import Address


class AccountKeeper:
    """Keeps accounts in a mirror, and compares them.

    Args:
        mirror: whose boxes.
        tree: over the log's leaves.
        auditor: to whom accounts must be.
        findings: where what is wrong is taken down.
    """

    def __init__(self, mirror: Mirror, tree: Tree, auditor: Address, findings: Findings) -> None:
        self._mirror = mirror
        self._tree = tree
        self._auditor = auditor
        self._findings = findings

    def keep(self, data: bytes, request: bytes) -> int:
        """Keep an account as it came; the size that it is about, 0 where it is not one.

        Args:
            data: the signed account.
            request: digest of the request that it answers, 32 bytes.
        """
        try:
            account = parse_account(parse_document(data).claims)
        except CountermarkError as error:
            self._invalid(_place(data), "the broker's account", str(error), data)
            return 0
        with self._mirror.transaction():
            self._mirror.database.execute(
                "INSERT INTO accounts (size, made_at, request, document) VALUES (?, ?, ?, ?)",
                (account.seen.size, account.made_at, request, data),
            )
        return account.seen.size

    def ended(self, directory: Directory, size: int) -> Callable[[Address, Box, BoxPage, bytes], None]:
        """What compares each account at the end of a box with that box, at once.

        Args:
            directory: folded at least up to `size`.
            size: of the log, as mirrored; what an account says of a larger one is compared by `compare`.
        """

        def check(endpoint: Address, box: Box, page: BoxPage, request: bytes) -> None:
            if page.account is None:
                return
            place = _place(page.account)
            account = self._verified(place, page.account, request, directory, size)
            if account is not None:
                self._compare(place, page.account, account, [(endpoint, box)])

        return check

    def compare(
        self,
        directory: Directory,
        endpoints: Sequence[Address],
        size: int,
        broken: Collection[tuple[Address, Box]],
    ) -> None:
        """Compare all accounts about sizes up to `size` that were not yet, each in a transaction.

        Args:
            directory: folded at least up to `size`.
            endpoints: of the mandate.
            size: up to which all boxes were read.
            broken: boxes that do not follow, about which there is a finding already.
        """
        rows = self._mirror.database.execute(
            "SELECT number, request, document FROM accounts WHERE NOT compared AND size <= ? ORDER BY number",
            (size,),
        )
        for number, request, data in rows:
            with self._mirror.transaction():
                self._check(_place(data), data, request, directory, endpoints, broken)
                self._mirror.database.execute("UPDATE accounts SET compared = 1 WHERE number = ?", (number,))

    def _check(
        self,
        place: str,
        data: bytes,
        request: bytes,
        directory: Directory,
        endpoints: Sequence[Address],
        broken: Collection[tuple[Address, Box]],
    ) -> None:
        account = self._verified(place, data, request, directory, None)
        if account is None:
            return
        # An endpoint that was named later has no boxes in an account about a size before that.
        last = account.seen.size - 1
        named = [e for e in endpoints if directory.held(f"endpoint/{e}", last) is not None]
        self._compare(place, data, account, [(e, b) for e in named for b in Box if (e, b) not in broken])

    def _verified(
        self, place: str, data: bytes, request: bytes, directory: Directory, size: int | None
    ) -> Account | None:
        """An account that answers one's own request, about a tree that is this log's; None if it is not, or not yet."""
        try:
            unverified = parse_document(data)
            if size is not None and parse_account(unverified.claims).seen.size > size:
                return None
            document = verify_document(unverified, directory.public_key)
            account = verify_account(document, directory, request)
        except CountermarkError as error:
            self._invalid(place, "the broker's account of one's own request", str(error), data)
            return None
        if account.caller != self._auditor or account.verdict is not Verdict.END_OF_BOX:
            got = f"'{account.verdict}' to {account.caller}"
            self._invalid(place, f"an account 'end-of-box' to {self._auditor}", got, data)
            return None
        root = self._tree.root(account.seen.size)
        if root != account.seen.root:
            self._findings.add(
                Check.ACCOUNT_ROOT,
                place,
                f"root {root.hex() if root is not None else 'of a published size'}",
                account.seen.root.hex(),
                None,
                account=data,
            )
            return None
        return account

    def _compare(
        self, place: str, data: bytes, account: Account, boxes: Sequence[tuple[Address, Box]]
    ) -> None:
        size = account.seen.size
        for endpoint, box in boxes:
            stated = state_of(account, endpoint, box)
            known = self._state_below(endpoint, box, size)
            if stated is None:
                self._invalid(place, f"count and head of box {box} of {endpoint}", "nothing", data)
            elif stated != known:
                self._findings.add(
                    Check.CONTRADICTED,
                    f"box {box} of {endpoint}",
                    f"{known.count} entries below size {size}, head {known.head.hex()}",
                    f"{stated.count} entries, head {stated.head.hex()}",
                    account=data,
                )

    def _state_below(self, endpoint: Address, box: Box, size: int) -> BoxState:
        row = self._mirror.database.execute(
            "SELECT position, head FROM boxes WHERE endpoint = ? AND box = ? AND idx < ? "
            "ORDER BY position DESC LIMIT 1",
            (endpoint, box.value, size),
        ).fetchone()
        return BoxState() if row is None else BoxState(row[0] + 1, row[1])

    def _invalid(self, place: str, expected: str, got: str, data: bytes) -> None:
        self._findings.add(Check.ACCOUNT, place, expected, got, account=data)


def _place(data: bytes) -> str:
    return f"account {statement_hash(data).hex()[:16]}"
