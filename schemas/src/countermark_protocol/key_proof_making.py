"""Making key proofs: what a file must show so that one endpoint's keys can be judged by it alone.

Nothing here knows how content is sealed, so a blind broker can serve them.

Source: docs/spec/directory.md §12.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from countermark_protocol.checkpoint import parse_checkpoint
from countermark_protocol.directory import Directory
from countermark_protocol.documents import statement_hash
from countermark_protocol.encoding import JsonObject, encode_base64url, encode_json
from countermark_protocol.identifiers import Address, Origin, parse_origin
from countermark_protocol.proof import Inclusion
from countermark_protocol.records import KeysRecord, keys_in
from countermark_protocol.shown_planning import LoggedStatement, Plan, plan_shown, shown_by

FORMAT: Final = "countermark-key-proof-1"


def ask_about(directory: Directory, address: Address, size: int) -> KeysRecord | None:
    """Everything that a verifier asks of a directory about one endpoint's keys."""
    directory.log_key_for(size)
    record = directory.keys(address)
    for key in keys_in(record) if record is not None else ():
        directory.revocation(key.key_id)
    return record


def plan_key_proof(whole: Directory, documents: Mapping[bytes, bytes], address: Address, size: int) -> Plan:
    """Find what must be shown of an endpoint's keys.

    Args:
        whole: the whole directory, folded up to `size`.
        documents: every directory statement by its hash.
        address: of the endpoint.
        size: of the checkpoint.
    """
    newest = size - 1

    def ask(directory: Directory) -> None:
        directory.log()
        ask_about(directory, address, size)

    return plan_shown(whole, documents, newest, frozenset({newest}), ask)


def encode_key_proof(
    log: Origin,
    founding: bytes,
    address: Address,
    checkpoint: bytes,
    plan: Plan,
    history: Sequence[LoggedStatement],
    leaves: Mapping[int, Inclusion],
) -> bytes:
    """The file's bytes.

    Args:
        log: origin.
        founding: the trust file, byte for byte.
        address: of the endpoint.
        checkpoint: the signed note, with its cosignatures.
        plan: from `plan_key_proof`.
        history: every directory statement, in log order.
        leaves: those of the plan, with their paths under the checkpoint.

    Raises:
        ProofError: ``evidence_incomplete``: a leaf of the plan is not given.
    """
    shown = shown_by(plan, history, leaves)
    out: JsonObject = {
        "format": FORMAT,
        "log": log,
        "founding": encode_base64url(founding),
        "address": address,
        "checkpoint": checkpoint.decode("utf-8"),
        "leaves": [leaf.to_json() for leaf in shown.leaves],
        "statements": [encode_base64url(document) for document in shown.statements],
        "facts": [fact.to_json() for fact in shown.facts],
    }
    return encode_json(out)


def make_key_proof(
    whole: Directory,
    history: Sequence[LoggedStatement],
    address: Address,
    checkpoint: bytes,
    prove: Callable[[int, int], Inclusion],
) -> bytes:
    """The file's bytes, by who has the whole log at hand.

    Args:
        whole: the directory, folded at least up to the checkpoint.
        history: every directory statement, in log order, the founding first.
        address: of the endpoint.
        checkpoint: the signed note under which it is proven, with its cosignatures.
        prove: gives the leaf at an index with its path in the tree of a size.

    Raises:
        CountermarkError: the directory does not verify.
    """
    unverified = parse_checkpoint(checkpoint)
    size, below = unverified.size, [one for one in history if one[0] < unverified.size]
    documents = {statement_hash(document): document for _, _, document in below}
    plan = plan_key_proof(whole, documents, address, size)
    leaves = {index: prove(index, size) for index in plan.leaves}
    return encode_key_proof(
        parse_origin(unverified.origin), below[0][2], address, checkpoint, plan, below, leaves
    )
