"""The audit itself, whichever way its bytes come: what a mandate covers, judged up to a size of the log.

`_sync` feeds it from a broker, `_verify` from a mirror's own bytes; both write what follows into a mirror, page by
page, each in one transaction, and go on where the last one ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from countermark_client.audit._boxes import BoxReader, endpoints_of
from countermark_client.audit._decider import Basis
from countermark_client.audit._findings import Check, Findings
from countermark_client.audit._fold import Fold, fold_stored
from countermark_client.audit._judging import Judge
from countermark_client.audit._leaves import Tree
from countermark_client.audit._mirror import Mirror
from countermark_client.audit._replay import Page, Replay, Shown
from countermark_client.audit._signatures import Signatures
from countermark_client.audit._source import Progress, Source
from countermark_client.audit._stamps import check_stamps
from countermark_client.audit._times import check_times
from countermark_protocol.accounts import parse_account
from countermark_protocol.acts import Scope
from countermark_protocol.answers import BoxPage
from countermark_protocol.boxes import Box
from countermark_protocol.documents import parse_document
from countermark_protocol.errors import CountermarkError
from countermark_protocol.identifiers import Address, AuthorityCode, Origin, authority_of
from countermark_protocol.timestamps import TsaRoots
from countermark_protocol.tlog_policy import TlogPolicy


@dataclass(frozen=True, slots=True)
class Mandate:
    """Whose mirror it is.

    Attributes:
        origin: of the log when it was founded.
        founding: the trust file.
        auditor: its address.
        scope: what it covers.
    """

    origin: Origin
    founding: bytes
    auditor: Address
    scope: Scope

    @property
    def authority(self) -> AuthorityCode:
        """The auditor's own."""
        return authority_of(self.auditor)


@dataclass(frozen=True, slots=True)
class Ends:
    """How far boxes were read.

    Attributes:
        broken: boxes that do not follow.
        horizon: below it all boxes are known.
        last: the page at the end of the last box that was read whole, and the digest of its request; or None.
    """

    broken: frozenset[tuple[Address, Box]]
    horizon: int
    last: tuple[BoxPage, bytes] | None


#: Called with each box that was read whole, the page at its end, and the digest of its request.
Ended = Callable[[Address, Box, BoxPage, bytes], None]


class Engine:
    """Judges what a mandate covers.

    Args:
        into: the mirror whose derived tables are written.
        documents: the mirror that holds the kept bytes; the same one, unless it is being verified.
        mandate: whose.
        fold: the directory, folded as far as `into` goes or further.
        findings: where what is wrong is taken down.
        signatures: verifies them.
        progress: told how far it is.
    """

    def __init__(
        self,
        into: Mirror,
        documents: Mirror,
        mandate: Mandate,
        fold: Fold,
        findings: Findings,
        signatures: Signatures,
        progress: Progress,
    ) -> None:
        self._into = into
        self._documents = documents
        self._keeps = into is documents
        self._mandate = mandate
        self._fold = fold
        self._findings = findings
        self._signatures = signatures
        self._progress = progress
        self.tree = Tree(documents, into)

    @property
    def verified(self) -> int:
        """Below it everything is judged."""
        return self._into.meta_number("verified")

    @property
    def endpoints(self) -> list[Address]:
        """Every endpoint of a national mandate."""
        return endpoints_of(self._fold.directory, self._mandate.authority)

    def _directory_below(self, size: int) -> Fold:
        """The directory as it was at a size: decisions are made by it."""
        fold = Fold(self._mandate.founding, self._mandate.origin, self._findings)
        fold_stored(self._documents, fold, size)
        return fold

    def _basis(self, verified: int) -> Basis:
        """What entries from an index on are judged on."""
        return Basis(
            mirror=self._into,
            documents=self._documents,
            tree=self.tree,
            origin=self._mandate.origin,
            keys=self._fold.directory.public_key,
            directory=self._directory_below(verified).directory,
            verified=verified,
            findings=self._findings,
            signatures=self._signatures,
            keeps_bytes=self._keeps,
        )

    # --- oversight ---

    def replay(self, source: Source, size: int) -> None:
        """Judge every entry below a size, as far as they are shown."""
        replay = Replay(self._basis(self.verified))
        for page in self._ahead(replay, source, size):
            if page is None:
                replay.missing("nothing at its index")
                return
            with self._into.transaction():
                goes_on = replay.take(page)
            self._progress("replaying entries", replay.verified, size)
            if not goes_on:
                return

    def _ahead(self, replay: Replay, source: Source, size: int) -> Iterator[Page | None]:
        """Pages, each handed out while the signatures of the next one are verified; None where none is shown."""
        held: Page | None = None
        start = replay.verified
        while start < size:
            entries = self._shown(source, start, size)
            page = replay.prepare(entries) if entries else None
            if held is not None:
                yield held
            held = page
            if page is None:
                yield None
                return
            start += len(entries)
        if held is not None:
            yield held

    def _shown(self, source: Source, start: int, size: int) -> list[Shown]:
        out: list[Shown] = []
        entries = source.entries(start)
        leaves = self.tree.leaves(start, min(size, start + len(entries)))
        for (shown, leaf), known in zip(entries, leaves, strict=False):
            if shown.index != start + len(out):
                break
            if leaf != known:
                self._findings.entry(
                    Check.LEAF,
                    shown.index,
                    f"the log's leaf {known.hex()}",
                    leaf.hex(),
                    shown=leaf,
                    leaf=known,
                )
            out.append(shown)
        return out

    # --- national ---

    def read_boxes(self, source: Source, size: int, ended: Ended = lambda _e, _b, _p, _r: None) -> Ends:
        """Read every box of every endpoint of the authority up to a size."""
        reader = BoxReader(self._into, self.tree, source, self._findings, keeps_bytes=self._keeps)
        boxes = [(endpoint, box) for endpoint in self.endpoints for box in Box]
        broken: set[tuple[Address, Box]] = set()
        horizon, last = size, None
        for number, (endpoint, box) in enumerate(boxes):
            end = reader.read(endpoint, box, size)
            if end is None:
                broken.add((endpoint, box))
                horizon = min(horizon, reader.state(endpoint, box)[1] + 1)
            else:
                last = end
                horizon = min(horizon, _whole_below(end[0], size))
                ended(endpoint, box, *end)
            self._progress("reading boxes", number + 1, len(boxes))
        return Ends(frozenset(broken), horizon, last)

    def judge_times(self, own: TlogPolicy | None, roots: TsaRoots, *, anew: bool) -> tuple[str, ...]:
        """Hold leaves against the times that witnesses and authorities vouch for; remarks that are no finding.

        Args:
            own: the auditor's own policy, or None.
            roots: of authorities of time stamps that it believes; none if none.
            anew: judge all of it; else what is new since the last time.
        """
        held = self._documents, self.tree, self._fold, self._findings
        return check_times(*held, own, anew=anew) + check_stamps(*held, roots, anew=anew)

    def judge(self, horizon: int) -> None:
        """Judge every entry below a size up to which all boxes are known."""
        judge = Judge(self._basis(self.verified), self._mandate.authority)
        judge.judge(horizon, lambda done, total: self._progress("judging entries", done, total))


def _whole_below(page: BoxPage, size: int) -> int:
    """Below which size a box is known whole, whose last page this is.

    A node that lags behind ends the box, in its account, at a smaller size than the one that is read for.
    """
    if page.account is None:
        return size
    try:
        return min(size, parse_account(parse_document(page.account).claims).seen.size)
    except CountermarkError:
        return 0  # told when the account is verified
