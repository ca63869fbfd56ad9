"""`countermark tlog-proof`: that a statement is in the log, in one small file that other tools read too.

The file is a C2SP tlog-proof: index, path and checkpoint, and in its extra line the 115 bytes of the leaf. It shows
nothing of the message: the leaf holds the hash of the signed document, so whoever shall know *what* was logged needs
that document beside it, and no content or key. `countermark export` is the other way: it opens the message too.

Source: C2SP tlog-proof; docs/spec/log.md §8.3.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from countermark_client.cli.common import FILE, NEW_FILE, Access, message_of, with_home, write_new
from countermark_client.cli.output import Result, command, utc
from countermark_protocol.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from countermark_protocol.claims import KIND_NAMES, Kind
from countermark_protocol.documents import parse_document, statement_hash
from countermark_protocol.encoding import malformed, parse_object
from countermark_protocol.errors import NotFoundError, ProofError
from countermark_protocol.leaf import Leaf, parse_leaf
from countermark_protocol.merkle import leaf_hash
from countermark_protocol.note import parse_vkey
from countermark_protocol.proof import parse_inclusion, verify_leaf
from countermark_protocol.tlog_proof import (
    UnverifiedTlogProof,
    encode_tlog_proof,
    parse_tlog_proof,
    verify_tlog_proof,
)

if TYPE_CHECKING:
    from countermark_client import Client

#: Far above any proof: what is larger is refused before it is read.
_MAX_FILE_BYTES = 4 * 1024 * 1024


class Proven(NamedTuple):
    """What a proof shows.

    Attributes:
        leaf: as logged.
        at: index of the leaf.
        checkpoint: under which it is in the log.
    """

    leaf: Leaf
    at: int
    checkpoint: Checkpoint


def make_tlog_proof(client: Client, payload: bytes) -> bytes:
    """The proof kept of a message, as a tlog-proof; what is written has been verified.

    Args:
        client: over the profile that holds the message.
        payload: the message's hash.

    Raises:
        NotFoundError: ``unknown_message``; ``no_proof``: it is not in the log yet.
        VerificationError: what is kept does not prove that it is in the log.
    """
    stored = client.profile.store.message(payload)
    if stored is None:
        raise NotFoundError("unknown_message", f"this profile holds no message {payload.hex()}")
    kept = parse_object(client.proof(payload), "proof")
    unverified = parse_checkpoint(kept["checkpoint"].encode("utf-8"))
    key = client.directory.log_key_for(unverified.size)
    checkpoint = verify_checkpoint(unverified, client.directory.origin_for(unverified.size), key.raw)
    inclusion = parse_inclusion(kept["inclusion"])
    verify_leaf(inclusion, checkpoint, int(Kind.MESSAGE), statement_hash(stored.document))
    return encode_tlog_proof(inclusion.index, inclusion.path, checkpoint.raw, inclusion.leaf)


def check_tlog_proof(
    proof: UnverifiedTlogProof, origin: str, log_key: bytes, document: bytes | None
) -> Proven:
    """Verify a proof that holds its leaf.

    Args:
        proof: as parsed.
        origin: of the log.
        log_key: Ed25519, 32 bytes; in force for the checkpoint's size.
        document: the signed document that the leaf shall be of, or None to take the leaf as it is.

    Raises:
        MalformedError: ``no_leaf``: it does not hold its leaf, as those of other logs.
        SignatureError: the log did not sign the checkpoint.
        ProofError: the leaf is not in that tree; or ``leaf_mismatch``: it is of another document.
    """
    if proof.extra is None:
        malformed("no_leaf", "this proof does not hold a leaf: it was not made by Countermark")
    leaf = parse_leaf(proof.extra)
    checkpoint = verify_tlog_proof(proof, leaf_hash(proof.extra), origin, log_key)
    if document is not None and statement_hash(document) != leaf.statement:
        raise ProofError("leaf_mismatch", "the proof is of another document")
    return Proven(leaf, proof.index, checkpoint)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(_MAX_FILE_BYTES + 1)
    if len(data) > _MAX_FILE_BYTES:
        malformed("proof_too_large", f"expected a file of at most {_MAX_FILE_BYTES} bytes")
    return data


def _kind_name(number: int) -> str:
    try:
        return KIND_NAMES[Kind(number)]
    except ValueError:
        return f"kind {number}"


@click.group("tlog-proof")
def tlog_proof() -> None:
    """Prove in one small file that a message is in the log, and verify such files."""


@tlog_proof.command("make")
@click.argument("message_hash", metavar="HASH")
@click.option("-o", "--out", type=NEW_FILE, required=True, help="File to write, such as 4be1c0ff.tlog-proof.")
@click.option("--document", "document_out", type=NEW_FILE, help="Write the signed document too.")
@with_home
@command
def make(message_hash: str, out: Path, document_out: Path | None, access: Access) -> Result:
    """Write the proof of the message HASH as a C2SP tlog-proof.

    It shows nothing of the message. Who shall see what was logged gets the signed document too: manifest and
    signatures, not the content.

    Example:
      countermark tlog-proof make 4be1c0ff -o 4be1c0ff.tlog-proof --document 4be1c0ff.document
    """
    with access.client() as client:
        payload = message_of(client, message_hash)
        data = make_tlog_proof(client, payload)
        stored = client.profile.store.message(payload)
    assert stored is not None
    write_new(out, data)
    if document_out is not None:
        write_new(document_out, stored.document)
    index = parse_tlog_proof(data).index
    lines = [f"written: {out}"] + ([f"written: {document_out}"] if document_out is not None else [])
    return Result(
        lines,
        file=str(out),
        document=str(document_out) if document_out is not None else None,
        message=payload.hex(),
        index=index,
    )


@tlog_proof.command("verify")
@click.argument("file", type=FILE)
@click.option("--document", "document_file", type=FILE, help="The signed document that it shall prove.")
@click.option("--vkey", help="The log's verifier key, <name>+<id>+<key>, instead of a profile.")
@with_home
@command
def verify(file: Path, document_file: Path | None, vkey: str | None, access: Access) -> Result:
    """Verify a tlog-proof FILE without asking the broker.

    The log key is that of this profile's verified directory, or the one given. Without --document it is shown what
    was logged when, but not what it says.
    """
    proof = parse_tlog_proof(_read(file))
    document = _read(document_file) if document_file is not None else None
    if document is not None:
        parse_document(document)
    if vkey is not None:
        key = parse_vkey(vkey)
        origin, log_key = key.name, key.public_key.raw
    else:
        with access.client() as client:
            size = proof.checkpoint.size
            origin, log_key = client.directory.origin_for(size), client.directory.log_key_for(size).raw
    proven = check_tlog_proof(proof, origin, log_key, document)
    leaf = proven.leaf
    lines = [
        f"verified     entry {proven.at} of {proven.checkpoint.origin}, {_kind_name(leaf.kind)}",
        f"logged       {utc(leaf.time)}, under the tree of {proven.checkpoint.size} entries",
        f"statement    {leaf.statement.hex()}",
        "document     the one given" if document is not None else "document     none given to compare",
    ]
    return Result(
        lines,
        origin=proven.checkpoint.origin,
        index=proven.at,
        size=proven.checkpoint.size,
        kind=_kind_name(leaf.kind),
        time=leaf.time,
        statement=leaf.statement.hex(),
        document_compared=document is not None,
    )
