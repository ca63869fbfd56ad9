"""`countermark export`: one message with its proof, for somebody who has nothing but this file.

The bundle holds the signed manifest, the sealed content with the two secrets that open this one message,
the leaf with its inclusion proof under a checkpoint, and the directory statements up to that leaf. No
private key of anybody is in it. Whoever holds the bundle can read this message: hand it on as its handling
allows.

Bytes are unpadded base64url, digests hexadecimal, as everywhere (docs/spec/encoding.md)::

    {"format": "countermark-bundle-1", "log": …,
     "checkpoint": <text>,
     "inclusion": {"index", "leaf", "path"},
     "directory": [{"index", "leaf", "document"}, …],   entry 0, the trust file, first
     "document": <signed manifest>,
     "recipients": [{"salt", "endpoint", "sealing_key", "stanza"}, …],   those that the exporter knows
     "ciphertext": …, "content_key": …, "opener": …,
     "content": {…}}                                    what it opens to, for comparison
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from countermark_client._io import Flow
from countermark_client._open import manifest_of
from countermark_client._session import ProblemAnswer, Session, problem_error
from countermark_client._store import Direction, StoredMessage
from countermark_client._sync import Client
from countermark_client.cli.common import NEW_FILE, Access, message_of, with_home, write_new
from countermark_client.cli.output import Result, command
from countermark_protocol.claims import Claims, Kind
from countermark_protocol.documents import statement_hash
from countermark_protocol.encoding import JsonObject, encode_base64url, encode_json, parse_json, parse_object
from countermark_protocol.errors import NotFoundError, SealError
from countermark_protocol.parts import join_parts
from countermark_protocol.proof import Inclusion, parse_inclusion, recipient_to_json, verify_leaf
from countermark_protocol.sealing import ContentSecrets, MessageBinding, open_content, unwrap_secrets
from countermark_protocol.submission import parse_submission

FORMAT: Final = "countermark-bundle-1"


def _inclusion(session: Session, index: int, size: int) -> Flow[Inclusion]:
    try:
        response, _ = yield from session.call("GET", "/v1/log/inclusion", f"index={index}&size={size}")
    except ProblemAnswer as answer:
        raise problem_error(answer.problem) from None
    members = parse_object(response.body, "inclusion proof")
    Claims(members, "inclusion proof").integer("size", size, size)
    members.pop("size")
    return parse_inclusion(members, "inclusion proof")


def _sealed(client: Client, stored: StoredMessage) -> tuple[bytes, list[JsonObject]]:
    """Ciphertext and known recipient rows of a message.

    Raises:
        NotFoundError: ``not_opened``: it was never read here.
    """
    if stored.direction is Direction.OUT:
        item = client.profile.store.outbox_item(stored.payload)
        if item is not None:
            submission = parse_submission(item.body)
            return submission.content, [recipient_to_json(r) for r in submission.rows]
    elif stored.content is not None and stored.recipient is not None:
        return stored.content, [parse_json(stored.recipient)]
    raise NotFoundError("not_opened", "this profile holds no opened message of that hash")


def _secrets(client: Client, stored: StoredMessage) -> ContentSecrets:
    manifest = manifest_of(stored)
    binding = MessageBinding(
        log=manifest.header.log,
        message_id=manifest.id,
        type=manifest.type,
        sender=manifest.sender,
        ciphertexts=(manifest.content.digest,),
    )
    for key in client.profile.keystore.sealing_keys():
        try:
            info = binding.info(client.profile.endpoint, key.public_key.key_id)
            return unwrap_secrets(key, info, stored.stanza or b"")
        except SealError:
            continue
    raise SealError("stanza_does_not_open", "no sealing key of this profile opens this message")


def make_bundle(client: Client, stored: StoredMessage) -> JsonObject:
    """Everything that proves and opens one message.

    Raises:
        NotFoundError: ``not_logged``: it waits in the outbox or was refused; ``not_opened``.
        VerificationError: the broker's proof does not prove that it is in the log.
    """
    if stored.index is None:
        raise NotFoundError("not_logged", "this message is not in the log: there is nothing to prove yet")
    ciphertext, recipients = _sealed(client, stored)
    secrets = _secrets(client, stored)
    manifest = manifest_of(stored)
    content = join_parts(open_content(ciphertext, secrets, manifest.content))
    checkpoint = client.sync()
    inclusion = client._run(  # noqa: SLF001  the same package
        _inclusion(client._core.session, stored.index, checkpoint.size)  # noqa: SLF001
    )
    if inclusion.index != stored.index:
        raise NotFoundError("wrong_index", "the broker proved another entry than the one asked for")
    verify_leaf(inclusion, checkpoint, int(Kind.MESSAGE), statement_hash(stored.document))
    return {
        "format": FORMAT,
        "log": client.profile.log,
        "checkpoint": checkpoint.raw.decode("utf-8"),
        "inclusion": inclusion.to_json(),
        "directory": [
            {"index": index, "leaf": encode_base64url(leaf), "document": encode_base64url(document)}
            for index, leaf, document in client.profile.store.directory()
            if index <= stored.index
        ],
        "document": encode_base64url(stored.document),
        "recipients": recipients,
        "ciphertext": encode_base64url(ciphertext),
        "content_key": encode_base64url(secrets.content_key),
        "opener": encode_base64url(secrets.opener),
        "content": content,
    }


@click.command("export")
@click.argument("message_hash", metavar="HASH")
@click.option("-o", "--out", type=NEW_FILE, required=True, help="File to write; only its owner may read it.")
@with_home
@command
def export(message_hash: str, out: Path, access: Access) -> Result:
    """Write the message HASH with its proof as a bundle: it can be verified and read by whoever holds it.

    It holds the secrets that open this one message, and no private key. Hand it on as its handling allows.

    Example:
      countermark export 4be1c0ffee -o exhibit-7.json
    """
    with access.client() as client:
        message = message_of(client, message_hash)
        stored = client.profile.store.message(message)
        if stored is None:
            raise NotFoundError("unknown_message", f"this profile holds no message {message.hex()}")
        bundle: dict[str, Any] = make_bundle(client, stored)
    write_new(out, encode_json(bundle) + b"\n")
    return Result(
        [f"written: {out}", "it opens this message to whoever holds it: hand it on as its handling allows"],
        file=str(out),
        message=message.hex(),
        index=stored.index,
    )
