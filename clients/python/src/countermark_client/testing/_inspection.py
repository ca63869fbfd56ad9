"""What a broker in memory shows to auditors, under a look-up that is logged: by the protocol's own rules.

Source: docs/spec/audit.md §5.
"""

from __future__ import annotations

from typing import Final

from countermark_client.testing._desk import Answer, Exchange, Refused
from countermark_client.testing._open_log import OpenLog, number_in
from countermark_protocol.accounts import Verdict
from countermark_protocol.acts import Scope
from countermark_protocol.answers import MAX_PAGE, BoxPage
from countermark_protocol.appending import Entry
from countermark_protocol.audit_access import (
    check_covered,
    check_showing,
    check_stateable,
    covered_endpoints,
    logged_look_up,
)
from countermark_protocol.audit_answers import AuditedEntries, AuditedEntry
from countermark_protocol.boxes import Box
from countermark_protocol.encoding import encode_json, malformed
from countermark_protocol.errors import NotFoundError, PolicyError
from countermark_protocol.identifiers import Address

_JSON: Final = {"content-type": "application/json"}


def box_in(name: str) -> Box:
    """A box that is named in a path.

    Raises:
        MalformedError: ``unknown_box``.
    """
    if name not in set(Box):
        malformed("unknown_box", f"expected one of the boxes {', '.join(Box)}")
    return Box(name)


class Inspection(OpenLog):
    """The calls that an auditor reads by."""

    def _get_audited_entries(self, exchange: Exchange, look_up: bytes) -> Answer:
        self._admit(exchange, look_up, Scope.OVERSIGHT)
        start = number_in(exchange, "from", 0, 2**53 - 1, 0)
        limit = number_in(exchange, "limit", 1, MAX_PAGE, 100)
        shown = tuple(map(self._audited, self.entries[start : start + limit]))
        return 200, _JSON, encode_json(AuditedEntries(self.checkpoint, shown).to_json())

    def _audited(self, entry: Entry) -> AuditedEntry:
        submission = self._submissions.get(entry.document.payload_hash)
        rows = submission.rows if submission is not None else None
        return AuditedEntry(entry.index, entry.leaf.encode(), entry.document.data, entry.secret, rows)

    def _get_audited_box(self, exchange: Exchange, look_up: bytes, address: Address, name: str) -> Answer:
        auditor, request = self._admit(exchange, look_up, Scope.NATIONAL)
        box = box_in(name)
        start = number_in(exchange, "from", 0, 2**53 - 1, 0)
        limit = number_in(exchange, "limit", 1, MAX_PAGE, 100)
        owners = covered_endpoints(self.state.directory, auditor, self.state.size - 1)
        held = self._boxes.get((address, box), [])[start : start + limit]
        try:
            check_covered(address, owners, auditor)
            if not held:
                check_stateable(owners)
        except PolicyError as refusal:
            raise Refused(refusal, auditor, request, Verdict.REFUSED) from None
        if held:
            page = BoxPage(self.checkpoint, tuple(self._entry(i, address, box) for i in held))
        else:
            account = self._account(auditor, request, Verdict.END_OF_BOX, None, owners)
            page = BoxPage(self.checkpoint, (), account)
        return 200, _JSON, encode_json(page.to_json())

    def _admit(self, exchange: Exchange, look_up: bytes, scope: Scope) -> tuple[Address, bytes]:
        """Demand that the caller looks under a logged look-up; who it is, and the digest of its request."""
        auditor, request = self._any_instance(exchange)
        entry = self._entry_of(look_up)
        kind, document = (entry.leaf.kind, entry.document.data) if entry is not None else (None, b"")
        try:
            stated = logged_look_up(look_up, kind, document, auditor)
            check_showing(self.state.directory, stated, scope, self._clock(), self.state.size - 1)
        except (NotFoundError, PolicyError) as refusal:
            raise Refused(refusal, auditor, request, Verdict.REFUSED) from None
        return auditor, request
