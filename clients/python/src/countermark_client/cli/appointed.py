"""What a record says of appointments, in words: who watches the log, and who may look into it, for how long."""

from __future__ import annotations

from countermark_client.cli.output import safe, utc
from countermark_protocol.mandates import Term
from countermark_protocol.records import EndpointRecord, LogRecord, Record


def appointments(record: Record) -> list[str]:
    """Lines about the witnesses and auditors that a record of the log names, or the term of a national auditor.

    A record of the log says so, too, where it names none: what it leaves out is withdrawn.
    """
    if isinstance(record, EndpointRecord):
        return [f"audits       {_term(record.audits)}"] if record.audits is not None else []
    if not isinstance(record, LogRecord):
        return []
    lines: list[str] = []
    if record.predecessor is not None:
        p = record.predecessor
        lines = [
            f"succeeds     {p.origin}, of whose entries it keeps the first {p.size}; all later ones are lost"
        ]
    if record.witnesses:
        lines += [
            f"witnesses    {record.witness_quorum} of {len(record.witnesses)} make a checkpoint witnessed"
        ]
        for witness in record.witnesses:
            where = f", asked at {witness.url}" if witness.url else ""
            lines.append(f"  {safe(witness.name)}{safe(where)}")
            lines += [f"    {safe(vkey)}" for vkey in witness.vkeys]
    else:
        lines += ["witnesses    none"]
    if not record.auditors:
        return [*lines, "auditors     none with oversight"]
    return [
        *lines,
        "auditors     with oversight: every statement, no content",
        *(f"  {auditor.address}, {_term(auditor.term)}" for auditor in record.auditors),
    ]


def _term(term: Term) -> str:
    return f"from {utc(term.since)} until {utc(term.until)}"
