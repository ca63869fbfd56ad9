"""Evidence of a message in a log in memory, as a client would gather it."""

from __future__ import annotations

from countermark_protocol.answers import OwnRecipient
from countermark_protocol.boxes import row_path
from countermark_protocol.checkpoint import parse_checkpoint
from countermark_protocol.claims import DIRECTORY_KINDS
from countermark_protocol.disclosure import disclosure_digest, encode_disclosure
from countermark_protocol.evidence import (
    Earlier,
    Evidence,
    LoggedDisclosure,
    LoggedDocument,
    encode_evidence,
)
from countermark_protocol.evidence_making import complete_evidence, plan_evidence
from countermark_protocol.identifiers import Address
from countermark_protocol.merkle import consistency_path, leaf_hash, root_of
from countermark_protocol.parts import disclose_parts
from countermark_protocol.proof import OwnDelivery
from countermark_protocol.recipients import recipient_path


def logged(world, entry):
    return LoggedDocument(entry.document.data, world.inclusion(entry.index))


def entry_of(world, data):
    """The entry of a document."""
    return next(e for e in world.entries if e.document.data == data)


def disclose(world, sealed, content_parts, names, author=None, **changes):
    """Log a disclosure of some parts, by the sender unless told otherwise: (what is handed over, its entry)."""
    shown = disclose_parts(content_parts, sealed.secrets.opener, frozenset(names))
    data = encode_disclosure(sealed.document, shown)
    values = {"digest": disclosure_digest(data), "parts": len(shown), "disclosed": len(names)} | changes
    return data, world.put(world.disclosure(author or sealed.manifest.sender, sealed, **values))


def consistency(world, old, new):
    hashes = [leaf_hash(e.leaf.encode()) for e in world.entries[:new]]
    return tuple(consistency_path(lambda level, i: root_of(hashes[i << level : (i + 1) << level]), old, new))


def about(world, sealed):
    """Entries after a message whose payload names it, but acts of disclosure."""
    name = sealed.payload_hash.hex().encode()
    kinds = {b'"kind":"receipt"', b'"kind":"undelivered"', b'"kind":"purge"'}
    return [
        e for e in world.entries if name in e.document.payload and any(k in e.document.payload for k in kinds)
    ]


def draft_of(world, sealed, *, earlier=None, recipient=None, disclosed=(), checkpoint=None):
    """Evidence without the directory; by a recipient, only with what that one is shown."""
    entry = next(e for e in world.entries if e.document.payload_hash == sealed.payload_hash)
    rows = [p.row for p in entry.placed]
    own = own_row = None
    if recipient is not None:
        mine = next(p for p in entry.placed if (p.row.endpoint, p.row.box) == (recipient, sealed.box))
        delivery = OwnDelivery(mine.row, mine.tail, row_path(rows, mine.row))
        own_row = (delivery.row, delivery.at)
        row = next(r for r in sealed.rows if r.endpoint == recipient)
        own = OwnRecipient(row, recipient_path(sealed.rows, Address(recipient)))
    return Evidence(
        log=world.origin,
        founding=world.entries[0].document.data,
        checkpoint=checkpoint or world.checkpoint_bytes(),
        earlier=None
        if earlier is None
        else Earlier(world.checkpoint_bytes(earlier), consistency(world, earlier, world.state.size)),
        message=logged(world, entry),
        recipients=None if recipient else sealed.rows,
        recipient=own,
        deliveries=None if recipient else tuple(rows),
        delivery=own_row,
        entries=tuple(logged(world, e) for e in about(world, sealed)),
        disclosures=tuple(LoggedDisclosure(data, logged(world, act)) for data, act in disclosed),
        leaves=(),
        statements=(),
        facts=(),
    )


def finished(world, draft):
    """The draft with what its checks need of the directory."""
    statements = [e for e in world.entries if e.leaf.kind in DIRECTORY_KINDS]
    history = [(e.index, e.leaf.encode(), e.document.data) for e in statements]
    documents = {e.document.statement_hash: e.document.data for e in statements}
    stamped = [one.at for one in draft.stamps]
    older = [one for one in (draft.earlier, draft.witnessed, *stamped) if one is not None]
    sizes = [*(parse_checkpoint(one.checkpoint).size for one in older), world.state.size]
    plan = plan_evidence(draft, world.state.directory, documents, sizes)
    return complete_evidence(draft, plan, history, {at: world.inclusion(at) for at in plan.leaves})


def evidence_of(world, sealed, **options):
    """The bytes of evidence of a message."""
    return encode_evidence(finished(world, draft_of(world, sealed, **options)))
