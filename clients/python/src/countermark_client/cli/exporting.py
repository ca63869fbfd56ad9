"""`countermark export`: one message with its proof, for somebody who has nothing but this file.

The bundle has the shape that ``tests/vectors/verify_independently.py`` reads, with one difference: where that
script is given the recipient's private key, a bundle that leaves its owner's hands holds only the two secrets
that open this one message. Bytes are unpadded base64url, digests and salts lower-case hexadecimal::

    format      "countermark-bundle-1"
    origin      name of the log
    trust       payload hash of the founding
    checkpoint  text
    message     {document, content, inclusion}; of a sent message also {deliveries, recipients}
    secrets     {content_key, opener}: what the stanza holds
    recipient   of a received message: {address, stanza, row, at, delivery, box}
    directory   [{subject, index, time, document, siblings}]: the log (with before [document]), the sender's
                authority, endpoint and keys, those of who it was sent on behalf of, the broker's keys, each proven
                under the directory head of the message's own leaf
    absent      [{subject, siblings, record}]: that no key that signed it is revoked there
    verdict     {size, class, key, holder, fallen, revoked}: on its signatures, as of its entry and by what became of
                their keys up to `size` entries of the log: the exporter's word
    revocations [document]: the logged revocations of these keys, each signed by who may revoke them: a later one undoes
                nothing, and one that names an earlier date of compromise says so itself
    expected    the content

Whoever holds the bundle can read this message, and no other: hand it on as its handling allows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from countermark_client._open import binding_of, manifest_of
from countermark_client._store import Direction, StoredMessage
from countermark_client._succession import sent_ciphertext
from countermark_client._verdict_words import verdict_json
from countermark_client._witnessing import judge_witnessed
from countermark_client.cli.common import NEW_FILE, Access, message_of, with_home, write_new
from countermark_client.cli.output import Result, command, short
from countermark_protocol.boxes import Box
from countermark_protocol.checkpoint import parse_checkpoint, verify_checkpoint
from countermark_protocol.claims import Kind
from countermark_protocol.directory import Directory
from countermark_protocol.documents import parse_document, statement_hash
from countermark_protocol.encoding import JsonObject, encode_base64url, parse_json, parse_object
from countermark_protocol.errors import NotFoundError, ProofError, SealError, SignatureError
from countermark_protocol.identifiers import authority_of
from countermark_protocol.judging import judge_statement
from countermark_protocol.leaf import Leaf, parse_leaf
from countermark_protocol.manifest import Manifest
from countermark_protocol.parts import join_all_parts
from countermark_protocol.proof import parse_inclusion, path_to_json, recipient_to_json, verify_leaf
from countermark_protocol.sealing import ContentSecrets, open_content, unwrap_secrets
from countermark_protocol.statements import verify_statement
from countermark_protocol.submission import parse_submission
from countermark_protocol.verdicts import verdict_on_message

if TYPE_CHECKING:
    from countermark_client import Client

FORMAT: Final = "countermark-bundle-1"


# --- what the profile holds ----------------------------------------------------------------------------


def _ciphertext(client: Client, stored: StoredMessage) -> bytes:
    """The sealed content of a message.

    Raises:
        NotFoundError: ``not_opened``: it was never read here.
    """
    if stored.direction is Direction.OUT:
        ciphertext = sent_ciphertext(client.profile.store, stored.payload)
        if ciphertext is not None:
            return ciphertext
    if stored.content is None or stored.stanza is None:
        raise NotFoundError("not_opened", "this profile holds no opened message of that hash")
    return stored.content


def _secrets(client: Client, stored: StoredMessage, manifest: Manifest) -> ContentSecrets:
    binding = binding_of(manifest)
    for key in client.profile.keystore.sealing_keys():
        try:
            info = binding.info(client.profile.endpoint, key.public_key.key_id)
            return unwrap_secrets(key, info, stored.stanza or b"")
        except SealError:
            continue
    raise SealError("stanza_does_not_open", "no sealing key of this profile opens this message")


# --- the directory as of the message's own leaf ---------------------------------------------------------


def _directory_at(client: Client, index: int) -> tuple[Directory, dict[bytes, bytes]]:
    """The directory after a leaf, and its statements' documents by their hash."""
    directory, documents = Directory(), {}
    for at, leaf, data in client.profile.store.directory():
        if at > index:
            break
        document = verify_statement(directory, parse_document(data))
        time = parse_leaf(leaf).time
        directory.apply(judge_statement(directory, document, time), document, at, time)
        documents[document.statement_hash] = data
    return directory, documents


def _directory_proofs(
    client: Client, manifest: Manifest, document: bytes, leaf: Leaf, index: int
) -> JsonObject:
    """Members ``directory`` and ``absent``.

    Raises:
        ProofError: ``directory_behind``: this profile's directory is not the one of the message's leaf.
    """
    directory, documents = _directory_at(client, index)
    if directory.head != leaf.dir_head:
        raise ProofError(
            "directory_behind", "the directory here is not that of the message's leaf: sync first"
        )
    sender = manifest.sender
    parties = [sender, *([manifest.on_behalf_of] if manifest.on_behalf_of is not None else [])]
    subjects = dict.fromkeys(
        (
            "log",
            *(f"authority/{authority_of(party)}" for party in parties),
            *(f"endpoint/{party}" for party in parties),
            *(f"keys/{party}" for party in parties),
            f"keys/{directory.log().broker}",
        )
    )
    shown: list[JsonObject] = []
    for subject in subjects:
        held = directory.held(subject)
        if held is not None:
            shown.append(
                {
                    "subject": subject,
                    "index": held.index,
                    "time": held.time,
                    "document": encode_base64url(documents[held.statement]),
                    "siblings": [s.hex() for s in directory.prove(subject).siblings],
                    **_before(directory, documents, subject),
                }
            )
    absent: list[JsonObject] = []
    for signature in parse_document(document).counted:
        subject = f"revoked/{signature.key_id.hex()}"
        proof = directory.prove(subject)
        other = proof.record
        absent.append(
            {
                "subject": subject,
                "siblings": [s.hex() for s in proof.siblings],
                "record": None
                if other is None
                else {
                    "subject": other.subject,
                    "index": other.index,
                    "time": other.time,
                    "statement": other.statement.hex(),
                },
            }
        )
    return {"directory": shown, "absent": absent}


def _before(directory: Directory, documents: dict[bytes, bytes], subject: str) -> JsonObject:
    """Of a log whose governance changed: its founding, and what changed it before the record that is shown."""
    earlier = directory.history(subject)[:-1] if subject == "log" else ()
    return {"before": [encode_base64url(documents[h.statement]) for h in earlier]} if earlier else {}


# --- one's own place among the recipients ---------------------------------------------------------------


def _received(client: Client, stored: StoredMessage, proof: JsonObject) -> JsonObject:
    own = client.own_recipient(stored.payload)
    assert stored.box is not None
    assert stored.position is not None
    entry = client.profile.store.box_entry(Box(stored.box), stored.position)
    assert entry is not None
    _, _, head_before = entry
    return {
        "address": client.profile.endpoint,
        "stanza": encode_base64url(stored.stanza or b""),
        "row": recipient_to_json(own.row),
        "at": path_to_json(own.at),
        "delivery": proof["delivery"],
        "box": {"count": stored.position, "head": head_before.hex()},
    }


def _recipient_rows(client: Client, payload: bytes) -> list[JsonObject]:
    """The recipient rows of a sent message, from its submission or, once that is pruned, from beside it."""
    item = client.profile.store.outbox_item(payload)
    assert item is not None
    if item.body:
        return [recipient_to_json(row) for row in parse_submission(item.body).rows]
    rows: list[JsonObject] = parse_json(item.rows or b"[]")
    return rows


# --- what witnesses say -----------------------------------------------------------------------------------


def _witnessed(client: Client, index: int) -> JsonObject:
    """Member ``witnessed``, where a quorum of those that the log named as of the message has seen it."""
    shown = client.witnessed_proof(index)
    if shown is None:
        return {}
    witnessed, inclusion = shown
    directory, _ = _directory_at(client, index)
    try:
        judge_witnessed(directory, None, witnessed.checkpoint)
    except SignatureError:
        return {}  # by witnesses that were named later, of whom the bundle shows nothing
    note = witnessed.checkpoint.raw.decode("utf-8")
    return {"witnessed": {"checkpoint": note, "path": [h.hex() for h in inclusion.path]}}


# --- what became of the keys since ------------------------------------------------------------------------


def _since(client: Client, stored: StoredMessage) -> JsonObject:
    """Members ``verdict`` and ``revocations``."""
    document = parse_document(stored.document)
    checkpoint = client.checkpoint
    assert checkpoint is not None  # under which the message itself was proven
    verdict = verdict_on_message(client.directory, document, stored.index, stored.time)
    documents = {statement_hash(data): data for _, _, data in client.profile.store.directory()}
    revoked = [
        documents[held.statement]
        for signature in document.counted
        for held in client.directory.history(f"revoked/{signature.key_id.hex()}")
    ]
    return {
        "verdict": {"size": checkpoint.size, **verdict_json(verdict)},
        "revocations": [encode_base64url(data) for data in revoked],
    }


# --- the bundle ----------------------------------------------------------------------------------------


def make_bundle(client: Client, stored: StoredMessage) -> JsonObject:
    """Everything that proves and opens one message.

    Raises:
        NotFoundError: ``not_logged``: it waits in the outbox or was refused; ``not_opened``.
        VerificationError: something does not prove that it is in the log.
    """
    if stored.index is None:
        raise NotFoundError("not_logged", "this message is not in the log: there is nothing to prove yet")
    manifest = manifest_of(stored)
    ciphertext = _ciphertext(client, stored)
    secrets = _secrets(client, stored, manifest)
    parts = open_content(ciphertext, secrets, manifest.content)
    content = join_all_parts(parts, manifest.attachments).document
    proof = parse_object(client.proof(stored.payload), "proof")
    unverified = parse_checkpoint(proof["checkpoint"].encode("utf-8"))
    checkpoint = verify_checkpoint(
        unverified,
        client.directory.origin_for(unverified.size),
        client.directory.log_key_for(unverified.size).raw,
    )
    inclusion = parse_inclusion(proof["inclusion"])
    leaf = verify_leaf(inclusion, checkpoint, int(Kind.MESSAGE), statement_hash(stored.document))
    message: JsonObject = {
        "document": encode_base64url(stored.document),
        "inclusion": proof["inclusion"],
        "content": encode_base64url(ciphertext),
    }
    bundle: JsonObject = {
        "format": FORMAT,
        "origin": checkpoint.origin,
        "trust": client.profile.trust.document.payload_hash.hex(),
        "checkpoint": proof["checkpoint"],
        "message": message,
        "secrets": {
            "content_key": encode_base64url(secrets.content_key),
            "opener": encode_base64url(secrets.opener),
        },
    }
    if stored.direction is Direction.IN:
        bundle["recipient"] = _received(client, stored, proof)
    else:
        message["deliveries"] = proof["deliveries"]
        message["recipients"] = _recipient_rows(client, stored.payload)
    bundle |= _directory_proofs(client, manifest, stored.document, leaf, stored.index)
    bundle |= _witnessed(client, stored.index)
    bundle |= _since(client, stored)
    return {**bundle, "expected": content}


@click.command("export")
@click.argument("message_hash", metavar="HASH")
@click.option("-o", "--out", type=NEW_FILE, required=True, help="File to write; only its owner may read it.")
@with_home
@command
def export(message_hash: str, out: Path, access: Access) -> Result:
    """Write the message HASH with its proof as a bundle: it can be verified and read by whoever holds it.

    It holds the secrets that open this one message, and no private key; and what witnesses have cosigned, if any. Hand
    it on as its handling allows.

    Example:
      countermark export 4be1c0ffee -o exhibit-7.json
    """
    with access.client() as client:
        message = message_of(client, message_hash)
        stored = client.profile.store.message(message)
        if stored is None:
            raise NotFoundError("unknown_message", f"this profile holds no message {message.hex()}")
        bundle: dict[str, Any] = make_bundle(client, stored)
    write_new(out, json.dumps(bundle, indent=1).encode() + b"\n")
    return Result(
        [
            f"written: {out}",
            f"verdict      {bundle['verdict']['class']}: `countermark show {short(message)}` tells why",
            "it opens this message to whoever holds it: hand it on as its handling allows",
        ],
        file=str(out),
        verdict=bundle["verdict"],
        message=message.hex(),
        index=stored.index,
    )
