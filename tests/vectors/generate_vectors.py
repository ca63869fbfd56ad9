"""Write the vectors of countermark/: positive cases, and negative ones named for the check that must fail.

Everything is made from fixed seeds, ECDSA nonces included (RFC 6979), so writing them again gives the same bytes. Only HPKE
stanzas are randomised by the library: they are made once, kept in countermark/stanzas.json, and used again as
long as they are for the same key, info and secrets. Run:

    python tests/vectors/generate_vectors.py            write the files
    python tests/vectors/generate_vectors.py --check    fail if a file differs from what would be written
    python tests/vectors/generate_vectors.py --renew    make all stanzas anew
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from countermark_client.statements import Drafts, sign_gathering
from countermark_protocol.accounts import Account, StatedBox, Verdict
from countermark_protocol.acts import Disclosure
from countermark_protocol.boxes import Box, BoxState
from countermark_protocol.chunks import seal_chunks
from countermark_protocol.claims import Header, Kind, Seen
from countermark_protocol.cosignature import CosignatureType, Cosigner, encode_cosigner_vkey
from countermark_protocol.disclosure import disclosure_digest, encode_disclosure
from countermark_protocol.documents import (
    Purpose,
    Signature,
    encode_document,
    make_signature,
    make_signatures,
    parse_document,
    parse_gathering,
    sign_document,
    statement_hash,
)
from countermark_protocol.encoding import (
    encode_base64url,
    encode_hex,
    encode_json,
    labelled_bytes,
    parse_base64url,
)
from countermark_protocol.evidence_checks import verify_evidence
from countermark_protocol.handling import Classification, Handling, HandlingCode, Tlp, UsePurpose
from countermark_protocol.identifiers import Role, make_message_id
from countermark_protocol.invitations import Request, enrolment_hash, make_code, show_code
from countermark_protocol.keys import Algorithm, low_s
from countermark_protocol.mandates import Witness
from countermark_protocol.manifest import Manifest, Urgency
from countermark_protocol.merkle import EMPTY_ROOT
from countermark_protocol.note import NoteSignature
from countermark_protocol.padding import pad
from countermark_protocol.parts import Part, commitment_of, disclose_parts, encode_parts, split_content
from countermark_protocol.policy import SEMANTICS, Embargo, Enforcer, Policy, Relation, Rule, Side, Traffic
from countermark_protocol.proof import path_to_json, recipient_to_json, row_to_json, tail_to_json
from countermark_protocol.receipts import Receipt, ReceiptItem, ReceiptStage
from countermark_protocol.recipients import (
    RecipientRow,
    order_rows,
    recipient_path,
    recipients_root,
    stanza_hash,
)
from countermark_protocol.records import Ground, RevocationRecord, State
from countermark_protocol.recovery import RecoveryCopy, show_paper
from countermark_protocol.sealing import (
    ContentSecrets,
    MessageBinding,
    SealedContent,
    SealingKey,
    _content_key,
    ciphertext_digest,
    seal_content,
    seal_to,
)
from countermark_protocol.signers import Es256Signer, MlDsa65Signer, PairSigner
from countermark_protocol.submission import encode_submission
from countermark_protocol.tlog_witness import add_cosignatures
from support.evidence import consistency, disclose, evidence_of, logged
from support.protocol_world import NOW, found_world
from support.world import BROKER, DAY, KAMPALA, LYON, MOMBASA, NAIROBI, ORIGIN, Sealed, seed, signer

HERE = Path(__file__).resolve().parent / "countermark"
B, X = encode_base64url, encode_hex
SEEN = Seen(0, EMPTY_ROOT)
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def fixed(label: str, size: int) -> bytes:
    """Bytes that belong to a label."""
    return hashlib.shake_256(b"countermark vectors " + label.encode()).digest(size)


class FixedEs256(Es256Signer):
    """Signs with the nonce of RFC 6979, so that vectors stay the same."""

    def sign(self, message: bytes) -> bytes:
        der = self._private.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        r, s = utils.decode_dss_signature(der)
        return low_s(r.to_bytes(32, "big") + s.to_bytes(32, "big"))


class Stanzas:
    """Stanzas made once and kept."""

    def __init__(self, renew: bool, file: str = "stanzas.json") -> None:
        path = HERE / file
        self.kept = {} if renew or not path.exists() else json.loads(path.read_text())["stanzas"]
        self.used = {}

    def wrap(self, name, key, info, secrets) -> bytes:
        """The kept stanza of this name, or a new one where there is none for this key, info and secrets."""
        return self.seal(name, key, info, secrets.content_key + secrets.opener)

    def seal(self, name, key, info, plaintext) -> bytes:
        """The same for any plaintext."""
        for_what = hashlib.sha256(key.raw + info + plaintext).hexdigest()
        kept = self.kept.get(name)
        if kept is None or kept["for"] != for_what:
            kept = {"for": for_what, "stanza": B(seal_to(key, info, plaintext))}
        self.used[name] = kept
        return parse_base64url(kept["stanza"], "stanza")


# --- the world of the vectors: fixed, whatever roles and types later versions add ---

TYPES = {"tracing-request": (1,), "confiscation-notice": (1,), "trade-route-alert": (1,)}
ROLES = (Role.POLICE, Role.CUSTOMS, Role.CONTACT, Role.ORGANISATION)
POLICY = Policy(
    (
        Rule(
            "all",
            Side(frozenset(ROLES), frozenset()),
            frozenset(TYPES),
            Side(frozenset(ROLES), frozenset()),
            Relation.ANY,
            10,
            Classification.RESTRICTED,
            frozenset(Traffic),
        ),
    )
)
CONTENT = {
    "caseRef": "EX-2026-17",
    "items": [
        {"itemRef": "1", "make": "unknown", "serial": "A 123456"},
        {"itemRef": "2", "make": "unknown", "serial": "B 654321"},
        {"itemRef": "3", "make": "unknown", "serial": None},
    ],
    "remarks": [],
    "note": "generated for the vectors; an exercise",
}


def make_vector_world():
    """Governors, two States, an organisation, four endpoints."""
    world = found_world(endpoints=(NAIROBI, KAMPALA, LYON, MOMBASA))
    world.put(world.policy_statement(POLICY))
    for code in ("ke", "ug", "xo-interpol"):
        world.put(world.authority_statement(code, roles=ROLES))
    for address in world.endpoints:
        world.put(world.endpoint_statement(address))
        world.put(world.keys_statement(address, reads=TYPES))
    return world


def secrets_of(name):
    """Content key and opener of the message of a name."""
    return ContentSecrets(fixed(f"{name} content key", 32), fixed(f"{name} opener", 32))


def compose(
    world,
    stanzas,
    name,
    sender=NAIROBI,
    recipients=(KAMPALA, LYON),
    content=CONTENT,
    attached=(),
    by=None,
    **changes,
):
    """A message all of whose random values belong to its name."""
    message_id = make_message_id(NOW, fixed(f"{name} id", 10))
    kind = changes.pop("type", "confiscation-notice")
    origin = changes.pop("origin", ORIGIN)
    secrets = secrets_of(name)
    sealed = changes.pop("sealed", None) or seal_content(
        split_content(content, [one.descriptor for one in attached]), secrets, fixed(f"{name} salt", 24)
    )
    ciphertext, named = sealed
    attachments = tuple(one.file.named for one in attached)
    digests = (named.digest, *(one.digest for one in attachments))
    binding = MessageBinding(origin, message_id, kind, sender, digests)
    by_row = {}
    for recipient in recipients:
        key = world.agencies[recipient].sealing.public_key
        stanza = stanzas.wrap(f"{name} to {recipient}", key, binding.info(recipient, key.key_id), secrets)
        row = RecipientRow(fixed(f"{name} row {recipient}", 32), recipient, key.key_id, stanza_hash(stanza))
        by_row[row] = stanza
    rows = order_rows(list(by_row))
    values = {
        "header": Header(Kind.MESSAGE, origin, SEEN), "id": message_id, "type": kind, "version": 1, "sender": sender,
        "recipient_count": len(rows), "recipient_root": recipients_root(rows), "recipients_visible": False,
        "sent_at": NOW, "expires_at": NOW + 30 * DAY, "urgency": Urgency.ROUTINE,
        "handling": Handling(Tlp.AMBER, Classification.RESTRICTED, (HandlingCode.H1,), True, UsePurpose.CRIMINAL_INVESTIGATION, NOW + 1000 * DAY),
        "exercise": True, "content": named, "attachments": attachments,
    }  # fmt: skip
    manifest = Manifest(**(values | changes))
    document = sign_document(encode_json(manifest.to_json()), by or [world.agencies[sender].instance])
    wrapped = tuple(by_row[row] for row in rows)
    data = encode_submission(document, rows, wrapped, ciphertext, [one.file.pieces for one in attached])
    return Sealed(data, document, manifest, rows, wrapped, ciphertext, secrets, tuple(attached))


class Cosignatures:
    """ML-DSA-44 cosignatures, which the library randomises: made once and kept."""

    def __init__(self, renew: bool) -> None:
        path = HERE / "witnessed.json"
        self.kept = {} if renew or not path.exists() else json.loads(path.read_text())["cosignatures"]
        self.used = {}

    def cosign(self, cosigner, checkpoint, time) -> NoteSignature:
        """The line of a witness; kept of a key whose signatures differ each time."""
        if cosigner.key.kind is CosignatureType.ED25519:
            return cosigner.cosign(checkpoint, time)
        for_what = hashlib.sha256(cosigner.key.raw + checkpoint.text + time.to_bytes(8, "big")).hexdigest()
        if for_what not in self.used:
            made = self.kept.get(for_what) or B(cosigner.cosign(checkpoint, time).signature)
            self.used[for_what] = made
        made = self.used[for_what]
        return NoteSignature(cosigner.key.name, cosigner.key.key_id, parse_base64url(made, "cosignature"))


class KeptMlDsa(MlDsa65Signer):
    """Signs with ML-DSA-65, which the library randomises: made once and kept."""

    def __init__(self, seed: bytes, kept: dict[str, str], used: dict[str, str]) -> None:
        super().__init__(seed)
        self.kept, self.used = kept, used

    def sign(self, message: bytes) -> bytes:
        for_what = hashlib.sha256(self.public_key.raw + message).hexdigest()
        if for_what not in self.used:
            self.used[for_what] = self.kept.get(for_what) or B(super().sign(message))
        return parse_base64url(self.used[for_what], "signature")


class Cases:
    """The cases of one file."""

    def __init__(self, about: str) -> None:
        self.about, self.cases, self.more = about, [], {}

    def good(self, name, run, given, output=None):
        self.cases.append({"name": name, "run": run, "input": given, "output": output})

    def bad(self, name, run, given, error, code):
        self.cases.append({"name": name, "run": run, "input": given, "fails": {"error": error, "code": code}})

    def to_json(self):
        return {"format": "countermark-vectors-1", "about": self.about, **self.more, "cases": self.cases}


# --- pairs ---


def pair_cases(renew):
    out = Cases(
        "keys that are paired with an ML-DSA-65 key, docs/spec/keys.md §1 and documents.md §4: read `key` as a record's "
        "signing key; parse `document`, verify every signature under `keys`, whose pairs must sign whole"
    )
    path = HERE / "pairs.json"
    kept = {} if renew or not path.exists() else json.loads(path.read_text())["signatures"]
    used = {}
    second, other = (KeptMlDsa(fixed(name, 32), kept, used) for name in ("second half", "another half"))
    ed, es = signer("vector ed25519"), FixedEs256(seed("vector es256"))
    pair, token, plain = PairSigner(ed, second), PairSigner(es, other), signer("vector plain")
    keys = [s.public_key.to_json() for s in (pair, token, plain)]
    payload, elsewhere = (encode_json({"kind": "message", "text": text}) for text in ("paired", "another"))

    def doc(*signatures):
        return {"document": B(encode_document(payload, signatures)), "keys": keys}

    def good(name, given):
        data = parse_base64url(given["document"], "document")
        hashes_of = {
            "payload_hash": X(parse_document(data).payload_hash),
            "statement_hash": X(statement_hash(data)),
        }
        out.good(name, "document", given, hashes_of)

    ours, theirs = make_signatures(payload, pair), make_signatures(payload, token)
    possession = make_signatures(payload, pair, Purpose.POSSESSION)
    single = make_signature(payload, plain)
    good("pair", doc(*ours))
    good("pair_with_a_p256_key", doc(*theirs))
    good("pair_beside_a_single_key", doc(*ours, single))
    good("two_pairs", doc(*ours, *theirs))
    good("pair_in_possession", doc(*possession, *theirs))
    lifted = make_signatures(elsewhere, pair)[1]
    half = ours[1].raw
    for name, signatures, code in [
        ("second_signature_stripped", ours[:1], "half_a_pair"),
        ("first_signature_stripped", ours[1:], "second_unasked"),
        ("one_half_of_two_pairs_stripped", [*ours, theirs[0]], "half_a_pair"),
        ("halves_of_two_pairs_swapped", [ours[0], theirs[1]], "second_unasked"),
        ("second_of_another_purpose", [ours[0], possession[1]], "second_unasked"),
        ("second_beside_a_single_key", [single, ours[1]], "second_unasked"),
        ("second_of_another_document", [ours[0], lifted], "bad_signature"),
        ("tampered_byte_in_second", [ours[0], replace(ours[1], raw=half[:-1] + bytes([half[-1] ^ 1]))], "bad_signature"),
        ("second_too_short", [ours[0], replace(ours[1], raw=half[:-1])], "signature_size"),
        ("first_labelled_as_a_second", [replace(ours[0], algorithm=Algorithm.ML_DSA_65), ours[1]], "second_unasked"),
        ("second_labelled_as_a_first", [ours[0], replace(ours[1], algorithm=Algorithm.ED25519)], "unknown_key"),
    ]:  # fmt: skip
        out.bad(name, "document", doc(*signatures), "SignatureError", code)

    first, half = ed.public_key.to_json(), second.public_key.to_json()
    for name, key in [("single_key", first), ("paired_key", pair.public_key.to_json())]:
        out.good(name, "key", {"key": key}, {"key_id": X(ed.public_key.key_id)})
    for name, key, code in [
        ("second_half_alone", half, "wrong_algorithm"),
        ("pair_of_one_kind", first | {"second": plain.public_key.to_json()}, "wrong_algorithm"),
        ("pair_of_two_second_halves", half | {"second": other.public_key.to_json()}, "wrong_algorithm"),
        ("pair_of_three", pair.public_key.to_json() | {"second": half | {"second": half}}, "key_shape"),
        ("second_half_of_another_size", first | {"second": half | {"pub": half["pub"][:-4]}}, "key_size"),
        ("second_half_that_is_null", first | {"second": None}, "key_shape"),
    ]:
        out.bad(name, "key", {"key": key}, "MalformedError", code)
    out.more["signatures"] = dict(sorted(used.items()))
    return out


# --- documents ---


def document_cases(world):
    out = Cases(
        "signed documents, docs/spec/documents.md: parse `document`, verify every signature under `keys`"
    )
    ed, es = signer("vector ed25519"), FixedEs256(seed("vector es256"))
    keys = [s.public_key.to_json() for s in (ed, es)]
    payload = encode_json({"kind": "message", "text": "café", "numbers": [1, 2]})

    def doc(data):
        return {"document": B(data), "keys": keys}

    def hashes_of(data):
        return {
            "payload_hash": X(parse_document(data).payload_hash),
            "statement_hash": X(statement_hash(data)),
        }

    good = sign_document(payload, [ed])
    both = sign_document(payload, [ed, es])
    for name, data in [("ed25519", good), ("es256", sign_document(payload, [es])), ("two_signatures", both), ("possession", sign_document(payload, [ed], [es]))]:  # fmt: skip
        out.good(name, "document", doc(data), hashes_of(data))
    at = 5 + len(payload)
    flipped = bytearray(good)
    flipped[10] ^= 1
    out.bad("tampered_byte_in_payload", "document", doc(bytes(flipped)), "SignatureError", "bad_signature")
    out.bad(
        "tampered_byte_in_signature",
        "document",
        doc(good[:-1] + bytes([good[-1] ^ 1])),
        "SignatureError",
        "bad_signature",
    )
    out.bad(
        "tampered_byte_in_key_id",
        "document",
        doc(good[: at + 3] + bytes([good[at + 3] ^ 1]) + good[at + 4 :]),
        "SignatureError",
        "unknown_key",
    )
    out.bad(
        "unknown_algorithm",
        "document",
        doc(good[: at + 1] + b"\x03\xe7" + good[at + 3 :]),
        "MalformedError",
        "unknown_algorithm",
    )
    out.bad(
        "unknown_algorithm_reserved",
        "document",
        doc(good[: at + 1] + b"\x00\x20" + good[at + 3 :]),
        "UncheckableError",
        "algorithm_reserved",
    )
    honest = make_signature(payload, ed)
    other = Signature(honest.key_id, Algorithm.ES256, honest.purpose, honest.raw)
    out.bad(
        "unknown_algorithm_for_this_key",
        "document",
        doc(encode_document(payload, [other])),
        "SignatureError",
        "wrong_algorithm",
    )
    twice = b'{"kind":"message","kind":"receipt"}'
    out.bad(
        "duplicate_json_key",
        "document",
        doc(sign_document(twice, [ed])),
        "MalformedError",
        "duplicate_member",
    )
    escaped = b'{"kind":"message","\\u006bind":"receipt"}'
    out.bad(
        "duplicate_json_key_escaped",
        "document",
        doc(sign_document(escaped, [ed])),
        "MalformedError",
        "duplicate_member",
    )
    out.bad(
        "non_canonical_encoding_trailing_bytes",
        "document",
        doc(good + b"\x00"),
        "MalformedError",
        "trailing_bytes",
    )
    size = (len(both) - at - 1) // 2
    first, second = both[at + 1 : at + 1 + size], both[at + 1 + size :]
    out.bad(
        "non_canonical_encoding_unordered_signatures",
        "document",
        doc(both[: at + 1] + second + first),
        "MalformedError",
        "signature_order",
    )
    out.bad(
        "non_canonical_encoding_signature_twice",
        "document",
        doc(both[: at + 1] + first + first),
        "MalformedError",
        "signature_order",
    )
    for name, number, code in [("fraction", b"1.0", "number_not_integer"), ("exponent", b"1e0", "number_not_integer"), ("leading_zero", b"01", "not_json"), ("minus_zero", b"-0", "number_out_of_range"), ("beyond_53_bits", b"9007199254740993", "number_out_of_range")]:  # fmt: skip
        out.bad(
            f"non_canonical_encoding_{name}",
            "document",
            doc(sign_document(b'{"a":%s}' % number, [ed])),
            "MalformedError",
            code,
        )
    out.bad(
        "non_canonical_encoding_lone_surrogate",
        "document",
        doc(sign_document(b'{"a":"\\ud800"}', [ed])),
        "MalformedError",
        "forbidden_character",
    )
    out.bad(
        "non_canonical_encoding_nul",
        "document",
        doc(sign_document(b'{"a":"\\u0000"}', [ed])),
        "MalformedError",
        "forbidden_character",
    )
    raw = make_signature(payload, es)
    s = int.from_bytes(raw.raw[32:], "big")
    high = replace(raw, raw=raw.raw[:32] + (ORDER - s).to_bytes(32, "big"))
    out.bad("high_s_signature", "document", doc(encode_document(payload, [high])), "SignatureError", "high_s")
    out.bad(
        "oversized_field_payload",
        "document",
        doc(good[:1] + (256 * 1024 + 1).to_bytes(4, "big") + good[5:]),
        "MalformedError",
        "oversized_field",
    )
    out.bad(
        "oversized_field_signature",
        "document",
        doc(good[: at + 36] + b"\xff\xff" + good[at + 38 :]),
        "MalformedError",
        "oversized_field",
    )
    held = make_signature(payload, ed, Purpose.POSSESSION)
    swapped = replace(held, purpose=Purpose.SIGN)
    out.bad(
        "one_purpose_passed_for_another",
        "document",
        doc(encode_document(payload, [swapped])),
        "SignatureError",
        "bad_signature",
    )
    out.bad(
        "wrong_signer_unknown_key",
        "document",
        doc(sign_document(payload, [signer("vector stranger")])),
        "SignatureError",
        "unknown_key",
    )
    out.bad(
        "too_few_signatures_none", "document", doc(good[:at] + b"\x00"), "MalformedError", "signature_count"
    )
    out.bad("unknown_version", "document", doc(b"\x02" + good[1:]), "UncheckableError", "unknown_version")
    for text, name in [("AB", "trailing_bits"), ("AA==", "padding"), ("A+", "other_alphabet")]:
        out.bad(
            f"non_canonical_encoding_base64url_{name}",
            "base64url",
            {"text": text},
            "MalformedError",
            "not_base64url",
        )
    return out


# --- submissions ---


def submission_cases(world, stanzas, message, other):
    out = Cases("submissions, docs/spec/messages.md §4: parse `submission`, verify its manifest under `keys`")
    keys = [world.agencies[NAIROBI].instance.public_key.to_json()]

    def sub(data):
        return {"submission": B(data), "keys": keys}

    def encoded(
        rows=message.rows, wrapped=message.stanzas, content=message.content, document=message.document
    ):
        return sub(encode_submission(document, rows, wrapped, content))

    out.good("two_recipients", "submission", sub(message.data), {"payload_hash": X(message.payload_hash)})
    out.bad(
        "tampered_byte",
        "submission",
        sub(message.data.replace(b"confiscation-notice", b"confiscation-notyce", 1)),
        "SignatureError",
        "bad_signature",
    )
    out.bad(
        "stripped_recipient",
        "submission",
        encoded(message.rows[:1], message.stanzas[:1]),
        "MalformedError",
        "recipients_root_mismatch",
    )
    extra = replace(message.rows[0], endpoint=MOMBASA)
    pairs = sorted(
        [*zip(message.rows, message.stanzas, strict=True), (extra, message.stanzas[0])],
        key=lambda p: p[0].digest(),
    )
    out.bad(
        "added_recipient",
        "submission",
        encoded(*zip(*pairs, strict=True)),
        "MalformedError",
        "recipients_root_mismatch",
    )
    replaced = [p for p in pairs if p[0].endpoint != message.rows[1].endpoint]
    out.bad(
        "added_recipient_in_place_of_another",
        "submission",
        encoded(*zip(*replaced, strict=True)),
        "MalformedError",
        "recipients_root_mismatch",
    )
    crossed = {
        replace(r, stanza=stanza_hash(s)): s for r, s in zip(message.rows, message.stanzas[::-1], strict=True)
    }
    ordered = order_rows(list(crossed))
    out.bad(
        "spliced_stanza_between_rows",
        "submission",
        encoded(ordered, [crossed[r] for r in ordered]),
        "MalformedError",
        "recipients_root_mismatch",
    )
    foreign = {replace(r, stanza=stanza_hash(s)): s for r, s in zip(message.rows, other.stanzas, strict=True)}
    ordered = order_rows(list(foreign))
    out.bad(
        "spliced_stanza_of_another_message",
        "submission",
        encoded(ordered, [foreign[r] for r in ordered]),
        "MalformedError",
        "recipients_root_mismatch",
    )
    out.bad(
        "swapped_content", "submission", encoded(content=other.content), "MalformedError", "content_mismatch"
    )
    out.bad(
        "truncated_ciphertext",
        "submission",
        encoded(content=message.content[:-1]),
        "MalformedError",
        "content_mismatch",
    )
    out.bad(
        "non_canonical_encoding_trailing_bytes",
        "submission",
        sub(message.data + b"\x00"),
        "MalformedError",
        "trailing_bytes",
    )
    out.bad(
        "non_canonical_encoding_unordered_rows",
        "submission",
        encoded(message.rows[::-1], message.stanzas[::-1]),
        "MalformedError",
        "rows_order",
    )
    out.bad(
        "oversized_field_document",
        "submission",
        sub(b"\x01" + b"\x7f\xff\xff\xff"),
        "MalformedError",
        "oversized_field",
    )
    out.bad(
        "swapped_attachment_digest_count",
        "submission",
        sub(message.data[:-2] + b"\x00\x01"),
        "MalformedError",
        "attachment_mismatch",
    )
    out.bad(
        "unknown_version",
        "submission",
        sub(b"\x02" + message.data[1:]),
        "UncheckableError",
        "unknown_version",
    )
    payload = message.manifest.to_json()
    attached = payload | {"attachments": [{"digest": X(fixed("attachment", 32)), "size": 10}]}
    out.good("manifest", "manifest", {"payload": B(encode_json(payload))})
    out.bad(
        "attachment_of_a_size_that_none_has",
        "manifest",
        {"payload": B(encode_json(attached))},
        "MalformedError",
        "bad_member",
    )
    out.bad(
        "on_behalf_of_oneself",
        "manifest",
        {"payload": B(encode_json(payload | {"on_behalf_of": payload["from"]}))},
        "MalformedError",
        "bad_member",
    )
    out.bad(
        "one_kind_passed_for_another",
        "manifest",
        {"payload": B(encode_json(payload | {"kind": "receipt"}))},
        "MalformedError",
        "bad_member",
    )
    row = next(r for r in message.rows if r.endpoint == KAMPALA)
    at = path_to_json(recipient_path(message.rows, KAMPALA))
    base = {"row": recipient_to_json(row), "at": at, "count": 2, "root": X(message.manifest.recipient_root)}
    out.good("own_row", "recipient", base)
    forwarded = replace(row, endpoint=MOMBASA, sealing_key=world.agencies[MOMBASA].sealing.public_key.key_id)
    out.bad(
        "forwarded_to_third_party",
        "recipient",
        base | {"row": recipient_to_json(forwarded)},
        "ProofError",
        "recipient_not_listed",
    )
    out.bad(
        "stripped_recipient_by_count", "recipient", base | {"count": 1}, "ProofError", "recipient_not_listed"
    )
    return out


# --- sealed content ---


def gf_mul(x: int, y: int) -> int:
    """Multiplication in GCM's field (NIST SP 800-38D §6.3)."""
    z = 0
    for i in range(127, -1, -1):
        if y >> i & 1:
            z ^= x
        x = x >> 1 ^ (0xE1 << 120 if x & 1 else 0)
    return z


def gf_pow(x: int, n: int) -> int:
    out = 1 << 127
    while n:
        out, x, n = (gf_mul(out, x) if n & 1 else out), gf_mul(x, x), n >> 1
    return out


def two_key_chunk(keys, salt, plaintext, free_block):
    """A GCM ciphertext whose one tag is right under two keys: one block is chosen to make it so."""
    derived = []
    for key in keys:
        info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00" + salt
        out = HKDFExpand(algorithm=SHA512(), length=76, info=info).derive(key)
        ecb = Cipher(algorithms.AES(out[:32]), modes.ECB()).encryptor()
        blocks = len(plaintext) // 16
        stream = [ecb.update(out[32:44] + (n + 1).to_bytes(4, "big")) for n in range(blocks + 1)]
        derived.append(
            (
                int.from_bytes(ecb.update(bytes(16)), "big"),
                [int.from_bytes(b, "big") for b in stream],
                out[44:],
            )
        )
    (h1, stream1, commitment), (h2, stream2, _) = derived
    count = len(plaintext) // 16
    cipher = [int.from_bytes(plaintext[16 * i : 16 * i + 16], "big") ^ stream1[i + 1] for i in range(count)]
    cipher[free_block] = 0
    length = 8 * len(plaintext)

    def factor(power):
        return gf_pow(h1, power) ^ gf_pow(h2, power)

    rest = stream1[0] ^ stream2[0] ^ gf_mul(length, factor(1))
    for i, block in enumerate(cipher):
        rest ^= gf_mul(block, factor(count + 1 - i))
    cipher[free_block] = gf_mul(rest, gf_pow(factor(count + 1 - free_block), 2**128 - 2))
    tag = stream1[0] ^ gf_mul(length, h1)
    for i, block in enumerate(cipher):
        tag ^= gf_mul(block, gf_pow(h1, count + 1 - i))
    body = b"".join(b.to_bytes(16, "big") for b in [*cipher, tag])
    return salt + commitment + body, cipher[free_block] ^ stream1[free_block + 1]


def sealing_cases(world, stanzas, message, other):
    out = Cases(
        "sealed content, docs/spec/sealing.md: make the recipient's key of `seed`, open `stanza` under the info of the "
        "fields, open `ciphertext` as what `content` names"
    )
    key = world.agencies[KAMPALA].sealing.public_key

    def opening(m, stanza=None, ciphertext=None, content=None, **changes):
        manifest = m.manifest
        row = [r.endpoint for r in m.rows].index(KAMPALA)
        named = content or manifest.content
        return {
            "seed": X(seed(f"sealing {KAMPALA}")),
            "log": ORIGIN,
            "message_id": manifest.id,
            "type": manifest.type,
            "sender": manifest.sender,
            "recipient": KAMPALA,
            "ciphertexts": [X(named.digest)],
            "stanza": B(stanza or m.stanzas[row]),
            "ciphertext": B(m.content if ciphertext is None else ciphertext),
            "content": {"digest": X(named.digest), "size": named.size, "commitment": X(named.commitment)},
        } | changes

    parts = split_content(CONTENT)
    out.good("message", "open", opening(message), {"parts": [[p.name, p.data.decode()] for p in parts]})
    does_not = "SealError", "stanza_does_not_open"
    out.bad("spliced_stanza_of_another_message", "open", opening(message, opening_stanza(other)), *does_not)
    lyon = message.stanzas[[r.endpoint for r in message.rows].index(LYON)]
    out.bad("spliced_stanza_of_another_recipient", "open", opening(message, lyon), *does_not)
    out.bad(
        "forwarded_to_third_party_stanza",
        "open",
        opening(message, recipient=MOMBASA, seed=X(seed(f"sealing {MOMBASA}"))),
        *does_not,
    )
    out.bad("forwarded_to_third_party_as_if_to_it", "open", opening(message, recipient=MOMBASA), *does_not)
    out.bad("statement_of_another_log_stanza", "open", opening(message, log="log.example.net/1"), *does_not)
    out.bad("one_type_passed_for_another", "open", opening(message, type="tracing-request"), *does_not)
    out.bad("wrong_sender", "open", opening(message, sender=MOMBASA), *does_not)
    swapped = [X(message.manifest.content.digest), X(fixed("attachment", 32))]
    out.bad("swapped_attachment_digest", "open", opening(message, ciphertexts=swapped), *does_not)
    out.bad(
        "swapped_content", "open", opening(message, ciphertext=other.content), "SealError", "content_swapped"
    )
    out.bad(
        "swapped_content_with_its_digest",
        "open",
        opening(message, ciphertext=other.content, content=other.manifest.content),
        *does_not,
    )
    bad_stanza = bytearray(opening_stanza(message))
    bad_stanza[-1] ^= 1
    out.bad("tampered_byte_in_stanza", "open", opening(message, bytes(bad_stanza)), *does_not)

    m = message.manifest
    large = SealingKey(seed(f"sealing {KAMPALA}"), Algorithm.MLKEM1024_P384).public_key
    info = MessageBinding(ORIGIN, m.id, m.type, m.sender, (m.content.digest,)).info(KAMPALA, large.key_id)
    wrapped = stanzas.wrap("larger key", large, info, message.secrets)
    larger = {"algorithm": "ML-KEM-1024+P-384"}
    listed = {"parts": [[p.name, p.data.decode()] for p in parts]}
    out.good("ml_kem_1024_p384", "open", opening(message, wrapped, **larger), listed)
    spoilt = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
    out.bad("tampered_byte_in_larger_stanza", "open", opening(message, spoilt, **larger), *does_not)
    spoilt = wrapped[:1600] + bytes([wrapped[1600] ^ 1]) + wrapped[1601:]
    out.bad("tampered_byte_in_point_of_larger_stanza", "open", opening(message, spoilt, **larger), *does_not)
    out.bad("one_sealing_algorithm_passed_for_another", "open", opening(message, wrapped), *does_not)
    out.bad("default_stanza_passed_for_the_larger", "open", opening(message, **larger), *does_not)

    secrets = ContentSecrets(fixed("rest content key", 32), fixed("rest opener", 32))

    def crafted(
        name, ciphertext, error, code, commitment=message.manifest.content.commitment, secrets=secrets
    ):
        """A message whose sender itself sealed something wrong, and signed for it."""
        named = SealedContent(ciphertext_digest(ciphertext), len(ciphertext), commitment)
        m = message.manifest
        info = MessageBinding(ORIGIN, m.id, m.type, m.sender, (named.digest,)).info(KAMPALA, key.key_id)
        stanza = stanzas.wrap(f"crafted {name}", key, info, secrets)
        out.bad(name, "open", opening(message, stanza, ciphertext, named), error, code)

    salt = fixed("rest salt", 24)
    whole, named = seal_content(parts, secrets, salt)
    crafted(
        "wrong_opener",
        whole,
        "SealError",
        "commitment_mismatch",
        named.commitment,
        ContentSecrets(secrets.content_key, fixed("another opener", 32)),
    )
    crafted("truncated_ciphertext_header", whole[:40], "SealError", "truncated_ciphertext")
    crafted("truncated_ciphertext_tag", whole[:60], "SealError", "truncated_ciphertext")
    crafted("truncated_ciphertext_chunk", whole[:-1], "SealError", "altered_ciphertext")
    crafted(
        "tampered_byte_in_ciphertext", whole[:-1] + bytes([whole[-1] ^ 1]), "SealError", "altered_ciphertext"
    )
    padded = pad(encode_parts(parts))

    def resealed(plaintext):
        return seal_chunks(_content_key(secrets), plaintext, salt, b"")

    crafted(
        "non_zero_padding", resealed(padded[:-1] + b"\x01"), "SealError", "non_zero_padding", named.commitment
    )
    crafted(
        "non_zero_padding_size", resealed(padded + b"\x00"), "SealError", "padding_size", named.commitment
    )
    crafted("no_list_of_parts", resealed(pad(b"\x01\x00\x00\x00\x00")), "MalformedError", "part_count")

    second = ContentSecrets(fixed("second content key", 32), secrets.opener)
    head = encode_parts([Part("/note", bytes(32))])[:16]
    plaintext = pad(head + b'"sixteen bytes..' + bytes(16))
    both = [_content_key(s) for s in (secrets, second)]
    ciphertext, free = two_key_chunk(both, salt, plaintext, 2)
    data = b'"sixteen bytes..' + free.to_bytes(16, "big")
    commitment = commitment_of([Part("/note", data)], secrets.opener)
    crafted("two_keys_one_ciphertext", ciphertext, "SealError", "wrong_key", commitment, second)
    out.cases[-1]["input"]["chunk_keys"] = [X(k) for k in both]
    return out


def recovery_cases(stanzas):
    out = Cases(
        "recovery copies, docs/spec/keys.md §9: open `copy` with the recovery key of `seed` for `address` in `log`, whose "
        "directory has named the sealing keys `named`; and recovery keys as typed from paper"
    )
    keys = {a: SealingKey(fixed("recovered", 32), a) for a in (Algorithm.XWING, Algorithm.MLKEM1024_P384)}
    safe, other = fixed("recovery key", 32), SealingKey(fixed("another key", 32)).public_key
    recovery = SealingKey(safe).public_key
    default = keys[Algorithm.XWING].public_key
    named = [X(k.public_key.key_id) for k in keys.values()]

    def copy_of(name, key=default, held=None, log=ORIGIN):
        info = labelled_bytes("recovery-copy", log.encode(), NAIROBI.encode(), key.key_id, recovery.key_id)
        wrapped = stanzas.seal(f"recovery {name}", recovery, info, held or fixed("recovered", 32))
        return RecoveryCopy(log, NAIROBI, key, recovery.key_id, wrapped)

    def given(copy, **changes):
        return {
            "copy": B(copy.encode()),
            "seed": X(safe),
            "log": ORIGIN,
            "address": NAIROBI,
            "named": named,
        } | changes

    recovered = {"private": X(fixed("recovered", 32))}
    good = copy_of("default")
    out.good("default", "recovery", given(good), recovered)
    out.good(
        "larger_key",
        "recovery",
        given(copy_of("larger", keys[Algorithm.MLKEM1024_P384].public_key)),
        recovered,
    )
    for name, what, error, code in [
        ("copy_of_another_log", given(good, log="log.example.net/1"), "VerificationError", "recovery_other_log"),
        ("copy_of_another_address", given(good, address=KAMPALA), "VerificationError", "recovery_other_address"),
        ("key_that_the_directory_never_named", given(good, named=named[1:]), "NotFoundError", "recovery_key_not_named"),
        ("another_recovery_key", given(good, seed=X(fixed("another key", 32))), "SealError", "other_recovery_key"),
        ("copy_of_another_seed", given(copy_of("seed", held=fixed("other", 32))), "SealError", "recovery_other_seed"),
        ("copy_relabelled_to_this_log", given(replace(copy_of("log", log="log.example.net/1"), log=ORIGIN)), "SealError", "recovery_does_not_open"),
        ("copy_relabelled_to_another_address", given(replace(good, address=KAMPALA), address=KAMPALA), "SealError", "recovery_does_not_open"),
        ("copy_relabelled_to_another_key", given(replace(good, sealing=other), named=[X(other.key_id)]), "SealError", "recovery_does_not_open"),
        ("tampered_byte_in_copy", given(replace(good, wrapped=good.wrapped[:-1] + bytes([good.wrapped[-1] ^ 1]))), "SealError", "recovery_does_not_open"),
    ]:  # fmt: skip
        out.bad(name, "recovery", what, error, code)
    text = show_paper(safe)
    for name, typed in [
        ("paper", text),
        ("paper_as_typed", text.lower().replace("-", " ").replace("0", "o")),
    ]:
        out.good(name, "paper", {"typed": typed}, {"private": X(safe)})
    letter = "Z" if text[0] != "Z" else "Y"
    for name, typed in [
        ("paper_one_letter_mistyped", letter + text[1:]),
        ("paper_one_letter_missing", text[:-1]),
    ]:
        out.bad(name, "paper", {"typed": typed}, "MalformedError", "recovery_paper")
    return out


def opening_stanza(m):
    return m.stanzas[[r.endpoint for r in m.rows].index(KAMPALA)]


# --- disclosures ---


def disclosure_cases(message, other):
    out = Cases(
        "disclosures, docs/spec/sealing.md §5 and disclosure.md: the open parts are those that the manifest commits to"
    )
    parts = split_content(CONTENT)
    shown = disclose_parts(parts, message.secrets.opener, frozenset({"/items/1", "/note"}))

    def form(disclosed):
        listed = []
        for p in disclosed:
            fields = {"name": p.name}
            for name, value in (("data", p.data), ("salt", p.salt), ("value_hash", p.value_hash)):
                if value is not None:
                    fields[name] = B(value) if name == "data" else X(value)
            listed.append(fields)
        return {"parts": listed, "commitment": X(message.manifest.content.commitment)}

    opened = {p.name: p.data.decode() for p in parts if p.name in {"/items/1", "/note"}}
    out.good("two_parts_of_six", "disclosure", form(shown), {"open": opened})
    at = [p.name for p in shown].index("/items/1")

    def changed(number, **changes):
        return [*shown[:number], replace(shown[number], **changes), *shown[number + 1 :]]

    mismatch = "SealError", "disclosure_mismatch"
    altered = shown[at].data.replace(b"654321", b"654322")
    out.bad("disclosed_part_altered", "disclosure", form(changed(at, data=altered)), *mismatch)
    out.bad("disclosed_part_altered_salt", "disclosure", form(changed(at, salt=bytes(32))), *mismatch)
    out.bad("disclosed_part_renamed", "disclosure", form(changed(at, name="/items/0")), *mismatch)
    out.bad("disclosed_part_renamed_closed", "disclosure", form(changed(0, name="/caseRez")), *mismatch)
    out.bad("disclosed_part_left_out", "disclosure", form(shown[:-1]), *mismatch)
    out.bad("disclosed_part_added", "disclosure", form([*shown, shown[-1]]), *mismatch)
    out.bad("disclosed_part_moved", "disclosure", form([shown[1], shown[0], *shown[2:]]), *mismatch)
    out.bad(
        "disclosed_part_neither_open_nor_closed",
        "disclosure",
        form(changed(at, salt=None)),
        "MalformedError",
        "bad_disclosure",
    )
    shown_cases(out, message, other, shown)
    return out


# --- enrolment ---


def enrolment_cases():
    out = Cases(
        "enrolment, docs/spec/enrolment.md: codes as they are typed, and requests with what is compared by voice"
    )
    code = make_code(fixed("code", 8))
    for name, typed in (
        ("code_as_shown", show_code(code)),
        ("code_in_lower_case_with_spaces", show_code(code).lower().replace("-", " ")),
        ("code_misread", code.replace("0", "O").replace("1", "l")),
    ):
        out.good(name, "code", {"typed": typed}, {"code": code})
    out.bad("code_too_short", "code", {"typed": code[:-1]}, "MalformedError", "not_a_code")
    out.bad(
        "code_with_a_letter_that_is_none", "code", {"typed": code[:-1] + "U"}, "MalformedError", "not_a_code"
    )

    def form(request, address=NAIROBI):
        return {
            "log": ORIGIN,
            "address": address,
            "trust": X(fixed("trust", 32)),
            "endpoint": B(request.endpoint),
            "keys": B(request.keys),
        }

    def make(address=NAIROBI, name="x", **record):
        administrator, instance = signer(f"administrator {name}"), signer(f"instance {name}")
        sealing = SealingKey(seed(f"sealing {name}")).public_key
        drafts = Drafts(ORIGIN)
        endpoint = drafts.endpoint(address, name="Police", administrator=[administrator.public_key], **record)
        keys = drafts.keys(
            address, signing=[(instance.public_key, "desk")], sealing=sealing, reads={"tracing-request": (1,)}
        )
        return Request(
            sign_gathering(endpoint, possession=[administrator]),
            sign_gathering(keys, [administrator], [instance]),
        )

    def bound(request):
        bound_to = (parse_gathering(data).payload_hash for data in (request.endpoint, request.keys))
        return {"hash": X(enrolment_hash(fixed("trust", 32), *bound_to))}

    whole, swapped = make(), make(name="y")
    out.good("request", "enrolment", form(whole), bound(whole))
    out.good("request_with_swapped_keys_has_another_hash", "enrolment", form(swapped), bound(swapped))
    crossed = Request(whole.endpoint, swapped.keys)
    out.bad("request_with_keys_of_another", "enrolment", form(crossed), "SignatureError", "unknown_key")
    other = make(address=LYON)
    out.bad("request_for_another_address", "enrolment", form(other), "MalformedError", "wrong_address")
    suspended = make(state=State.SUSPENDED)
    out.bad("request_suspended", "enrolment", form(suspended), "MalformedError", "not_a_first_request")
    unproven = Request(encode_document(parse_gathering(whole.endpoint).payload, ()), whole.keys)
    out.bad("request_without_possession", "enrolment", form(unproven), "SignatureError", "missing_possession")
    return out


def shown_cases(out, message, other, parts):
    """Disclosures as handed over, and acts about them."""
    given = encode_disclosure(message.document, parts)
    opened = [p.name for p in parts if p.data is not None]
    closed = [p.name for p in parts if p.data is None]
    output = {
        "message": X(message.payload_hash),
        "digest": X(disclosure_digest(given)),
        "opened": opened,
        "closed": closed,
    }
    out.good("two_parts_shown", "shown", {"disclosure": B(given)}, output)
    at = parts.index(next(p for p in parts if p.name == "/items/1"))

    def framed(listed, document=message.document, count=None):
        # Written by hand: the encoder refuses what these cases need.
        data = b"cmdiscl1" + len(document).to_bytes(4, "big") + document
        data += (len(listed) if count is None else count).to_bytes(4, "big")
        for p in listed:
            data += len(p.name).to_bytes(2, "big") + p.name.encode()
            data += (
                b"\0" + p.value_hash
                if p.data is None
                else b"\1" + p.salt + len(p.data).to_bytes(4, "big") + p.data
            )
        return data

    assert framed(parts) == given

    def bad(name, data, error, code):
        out.bad(name, "shown", {"disclosure": B(data)}, error, code)

    def changed(number, **changes):
        return [*parts[:number], replace(parts[number], **changes), *parts[number + 1 :]]

    mismatch = "SealError", "disclosure_mismatch"
    bad("part_altered", framed(changed(at, data=parts[at].data.replace(b"654321", b"654322"))), *mismatch)
    bad("part_altered_salt", framed(changed(at, salt=bytes(32))), *mismatch)
    bad("part_name_changed", framed(changed(at, name="/items/0")), *mismatch)
    bad("part_name_changed_closed", framed(changed(0, name="/caseRez")), *mismatch)
    bad("part_moved", framed([parts[1], parts[0], *parts[2:]]), *mismatch)
    bad("closed_part_hidden", framed(parts[1:]), *mismatch)
    bad("closed_part_hidden_in_the_middle", framed([*parts[:1], *parts[2:]]), *mismatch)
    bad("part_added", framed([*parts, parts[0]]), *mismatch)
    bad("other_message", framed(parts, other.document), *mismatch)
    bad("count_changed", framed(parts, count=len(parts) + 1), "MalformedError", "truncated")
    bad("count_changed_to_fewer", framed(parts, count=len(parts) - 1), "MalformedError", "trailing_bytes")
    bad("count_changed_to_none", framed(parts, count=0), "MalformedError", "part_count")
    bad(
        "nothing_disclosed",
        framed([p for p in parts if p.data is None]),
        "MalformedError",
        "nothing_disclosed",
    )
    bad("unknown_version", given.replace(b"cmdiscl1", b"cmdiscl2"), "UncheckableError", "unknown_version")
    bad("not_a_disclosure", b"cmbundl1" + given[8:], "MalformedError", "not_a_disclosure")
    bad("closed_part_hidden_behind_its_state", given.replace(b"\x08/caseRef\0", b"\x08/caseRef\2"), "MalformedError", "bad_disclosure")  # fmt: skip

    values = {
        "header": Header(Kind.DISCLOSURE, ORIGIN, SEEN), "author": NAIROBI, "message": message.payload_hash,
        "to": "High Court, Nairobi", "ground": "an exercise", "disclosed": len(opened), "parts": len(parts),
        "digest": disclosure_digest(given),
    }  # fmt: skip

    def about(**changes):
        act = encode_json(Disclosure(**(values | changes)).to_json())
        return {"disclosure": B(given), "act": B(act)}

    out.good("act_about_it", "disclosure_logged", about())
    for name, code, changes in (
        ("digest_not_logged", "disclosure_not_logged", {"digest": fixed("another disclosure", 32)}),
        ("act_about_other_message", "disclosure_other_message", {"message": other.payload_hash}),
        ("act_with_count_changed", "disclosure_counts", {"disclosed": 1}),
        ("act_with_count_of_parts_changed", "disclosure_counts", {"parts": len(parts) + 1}),
    ):
        out.bad(name, "disclosure_logged", about(**changes), "ProofError", code)


# --- decisions ---


def decision_cases(world, stanzas, message):
    out = Cases(
        "decisions, docs/spec/log.md §6: from an empty log, append `history`, then the case's `after`, then `statement` at "
        "`time` with `secret`; each is `document`, `rows`, `time`, `secret`"
    )

    def step(document, rows=(), time=NOW, secret=None):
        return {
            "document": B(document),
            "rows": [recipient_to_json(r) for r in rows],
            "time": time,
            "secret": X(secret or fixed("entry secret", 32)),
        }

    out.more = {
        "origin": ORIGIN,
        "history": [
            step(e.document.data, (), e.leaf.time, e.secret) | {"leaf": X(e.leaf.encode())}
            for e in world.entries
        ],
    }

    def case(statement, after=()):
        return {"after": list(after), "statement": statement}

    def sent(m, **changes):
        return step(m.document, m.rows, **changes)

    def made(name, **changes):
        return compose(world, stanzas, f"decision {name}", **changes)

    fork = world.fork()
    entry = fork.put(message, secret=fixed("entry secret", 32))
    out.good("message", "decide", case(sent(message)), {"leaf": X(entry.leaf.encode())})
    fork = world.fork()
    admitted = world.authority_statement("fr", roles=ROLES)
    entry = fork.put(admitted, secret=fixed("entry secret", 32))
    out.good("authority", "decide", case(step(admitted)), {"leaf": X(entry.leaf.encode())})

    out.bad(
        "statement_of_another_log",
        "decide",
        case(sent(made("other log", origin="log.example.net/1"))),
        "VerificationError",
        "wrong_log",
    )
    account = encode_json(message.manifest.to_json() | {"kind": "account"})
    nairobi, mombasa = world.agencies[NAIROBI].instance, world.agencies[MOMBASA].instance
    out.bad(
        "one_kind_passed_for_another",
        "decide",
        case(step(sign_document(account, [nairobi]))),
        "MalformedError",
        "unknown_kind",
    )
    newer = world.authority_statement("ug", roles=ROLES[:2])
    stale = world.authority_statement("ug", roles=ROLES, state=State.SUSPENDED)
    out.bad(
        "stale_directory_statement",
        "decide",
        case(step(stale), [step(newer)]),
        "ConflictError",
        "stale_statement",
    )
    record = world.held("authority/ug")
    new = signer("authority fr")
    self_made = world.record_statement(
        Kind.AUTHORITY, "fr", replace(record, code="fr", keys=type(record.keys)((new.public_key,), 1)), [new]
    )
    out.bad(
        "self_authorising_directory_statement",
        "decide",
        case(step(self_made)),
        "SignatureError",
        "wrong_signer",
    )
    out.bad(
        "wrong_signer",
        "decide",
        case(sent(made("neighbour", by=[mombasa]))),
        "SignatureError",
        "wrong_signer",
    )
    out.bad(
        "one_signature_too_many",
        "decide",
        case(sent(made("two signers", by=[nairobi, mombasa]))),
        "SignatureError",
        "too_many_signatures",
    )

    def govern(by):
        return step(world.record_statement(Kind.AUTHORITY, "ug", replace(record, state=State.SUSPENDED), by))

    out.bad(
        "one_signature_too_many_governors",
        "decide",
        case(govern(world.governors)),
        "SignatureError",
        "too_many_signatures",
    )
    out.bad(
        "too_few_signatures",
        "decide",
        case(govern(world.governors[:1])),
        "SignatureError",
        "too_few_signatures",
    )
    out.bad("expired", "decide", case(sent(made("expired"), time=NOW + 30 * DAY)), "PolicyError", "expired")
    out.bad(
        "sent_in_future",
        "decide",
        case(sent(made("future", sent_at=NOW + DAY))),
        "PolicyError",
        "sent_in_future",
    )
    out.bad("id_reused", "decide", case(sent(message), [sent(message)]), "ConflictError", "id_reused")
    out.bad(
        "stripped_recipient",
        "decide",
        case(step(message.document, message.rows[:1])),
        "MalformedError",
        "recipients_root_mismatch",
    )
    high = replace(message.manifest.handling, classification=Classification.SECRET)
    out.bad(
        "policy_denied", "decide", case(sent(made("secret", handling=high))), "PolicyError", "policy_denied"
    )

    # Semantics 2, docs/spec/policy.md, and further signatures, docs/spec/messages.md 8.
    table = world.held("policy")
    wide = Policy(
        tuple(replace(rule, enforced_by=(Enforcer.BROKER,)) for rule in table.rules),
        SEMANTICS,
        release_above=Classification.OFFICIAL,
    )
    entry = world.fork().put(world.policy_statement(wide), secret=fixed("entry secret", 32))
    out.good(
        "policy_of_semantics_2",
        "decide",
        case(step(world.policy_statement(wide))),
        {"leaf": X(entry.leaf.encode())},
    )
    out.bad(
        "release_required",
        "decide",
        case(sent(message), [step(world.policy_statement(wide))]),
        "PolicyError",
        "release_required",
    )
    everybody = Side(frozenset(), frozenset())
    closed = replace(wide, release_above=None, embargoes=(Embargo("nothing-at-all", everybody, everybody),))
    out.bad(
        "embargoed",
        "decide",
        case(sent(message), [step(world.policy_statement(closed))]),
        "PolicyError",
        "embargoed",
    )
    named = made("on behalf", on_behalf_of=MOMBASA)
    out.bad(
        "behalf_without_its_signature", "decide", case(sent(named)), "SignatureError", "too_few_signatures"
    )

    def further(key, purpose, what=message):
        unverified = parse_document(what.document)
        also = make_signature(unverified.payload, key, purpose)
        return step(encode_document(unverified.payload, [*unverified.signatures, also]), what.rows)

    out.bad(
        "behalf_by_a_stranger",
        "decide",
        case(further(world.agencies[KAMPALA].instance, Purpose.BEHALF, named)),
        "SignatureError",
        "wrong_signer",
    )
    out.bad(
        "behalf_of_nobody",
        "decide",
        case(further(mombasa, Purpose.BEHALF)),
        "SignatureError",
        "too_many_signatures",
    )
    out.bad(
        "released_by_another_endpoint",
        "decide",
        case(further(mombasa, Purpose.RELEASE)),
        "SignatureError",
        "wrong_signer",
    )
    out.bad(
        "behalf_not_in_the_table",
        "decide",
        case(further(mombasa, Purpose.BEHALF, named)),
        "PolicyError",
        "policy_denied",
    )
    return out


# --- the log ---


def log_cases(world):
    """`world` has a message in it, and another after it."""
    out = Cases("leaves, boxes and accounts, docs/spec/log.md")
    entries = world.entries
    message = next(e for e in entries if e.leaf.kind == Kind.MESSAGE)
    before = entries[message.index - 1]

    def follow(a, b):
        return {"before": X(a.encode()) if a else None, "after": X(b.encode())}

    out.good("leaf_after_leaf", "succession", follow(before.leaf, message.leaf))
    out.good("founding", "succession", follow(None, entries[0].leaf))
    bad = "InconsistentLogError"
    moved = replace(message.leaf, dir_head=fixed("head", 32))
    out.bad("leaf_with_moved_head", "succession", follow(before.leaf, moved), bad, "directory_head_moved")
    counted = replace(message.leaf, dir_count=message.leaf.dir_count + 1)
    out.bad(
        "leaf_with_moved_head_count", "succession", follow(before.leaf, counted), bad, "directory_head_moved"
    )
    still = replace(before.leaf, dir_head=entries[message.index - 2].leaf.dir_head)
    out.bad(
        "leaf_with_head_that_stands_still",
        "succession",
        follow(entries[message.index - 2].leaf, still),
        bad,
        "directory_head_stood_still",
    )
    out.bad(
        "leaf_back_in_time",
        "succession",
        follow(before.leaf, replace(message.leaf, time=NOW - 1)),
        bad,
        "time_went_back",
    )
    out.bad("no_founding", "succession", follow(None, message.leaf), bad, "no_founding")

    inclusion = world.inclusion(message.index)
    proven = {
        **inclusion.to_json(),
        "kind": int(Kind.MESSAGE),
        "statement": X(message.document.statement_hash),
        "checkpoint": world.checkpoint_bytes().decode(),
        "origin": ORIGIN,
        "log_key": B(world.log_key.public_key.raw),
    }
    out.good("inclusion", "leaf", proven)
    out.bad(
        "one_kind_passed_for_another_leaf",
        "leaf",
        proven | {"kind": int(Kind.RECEIPT)},
        "ProofError",
        "leaf_mismatch",
    )
    out.bad(
        "statement_of_another_leaf",
        "leaf",
        proven | {"statement": X(bytes(32))},
        "ProofError",
        "leaf_mismatch",
    )
    out.bad(
        "leaf_at_another_index",
        "leaf",
        proven | {"index": message.index - 1},
        "ProofError",
        "inclusion_mismatch",
    )
    later = B(replace(message.leaf, time=NOW + 1).encode())
    out.bad("tampered_byte_in_leaf", "leaf", proven | {"leaf": later}, "ProofError", "inclusion_mismatch")
    out.bad(
        "statement_of_another_log_checkpoint",
        "leaf",
        proven | {"origin": "log.example.net/1"},
        "SignatureError",
        "checkpoint_origin",
    )
    out.bad(
        "wrong_signer_of_checkpoint",
        "leaf",
        proven | {"log_key": B(signer("stranger").public_key.raw)},
        "SignatureError",
        "signature_missing",
    )

    shown = [
        (e, p) for e in entries for p in e.placed if (p.row.endpoint, p.row.box) == (KAMPALA, Box.ROUTINE)
    ]
    first, second = shown

    def tail(shown, state):
        entry, placed = shown
        return {
            "row": row_to_json(placed.row),
            "tail": tail_to_json(placed.tail),
            "index": entry.index,
            "statement": X(entry.document.statement_hash),
            "state": {"count": state.count, "head": X(state.head)},
        }

    state = BoxState().after(first[0].index, first[0].document.statement_hash)
    end = state.after(second[0].index, second[0].document.statement_hash)
    out.good("first_of_a_box", "tail", tail(first, BoxState()), {"head": X(state.head)})
    out.good("second_of_a_box", "tail", tail(second, state), {"head": X(end.head)})
    past = BoxState(1, fixed("another past", 32))
    out.bad("box_head_does_not_follow", "tail", tail(second, past), "ProofError", "box_head_mismatch")
    out.bad("box_head_does_not_follow_gap", "tail", tail(second, BoxState()), "ProofError", "box_gap")
    out.bad(
        "box_tail_of_another", "tail", tail((second[0], first[1]), BoxState()), "ProofError", "tail_mismatch"
    )

    def account(count, head, size=None):
        seen = world.seen(size)
        one = Account(
            ORIGIN, seen, BROKER, KAMPALA, fixed("request", 32), NOW, Verdict.END_OF_BOX,
            (StatedBox(KAMPALA, Box.ROUTINE, BoxState(count, head)),),
        )  # fmt: skip
        return {
            "document": B(sign_document(encode_json(one.to_json()), [world.node_key])),
            "keys": [world.node_key.public_key.to_json()],
            "request": X(fixed("request", 32)),
            "endpoint": KAMPALA,
            "box": "routine",
        }

    known = [[e.index, X(e.document.statement_hash)] for e, _ in shown]

    def with_entry(one, number):
        entry, placed = shown[number]
        return one | {
            "index": entry.index,
            "statement": X(entry.document.statement_hash),
            "tail": tail_to_json(placed.tail),
        }

    contradicted = "InconsistentLogError", "account_contradicted"
    honest = account(2, end.head)
    out.good("account", "account", honest | {"entries": known})
    out.good("account_and_entry", "account_entry", with_entry(honest, 1))
    out.bad(
        "account_contradicted_by_entry", "account", account(1, state.head) | {"entries": known}, *contradicted
    )
    out.bad(
        "account_contradicted_by_entry_empty",
        "account",
        account(0, bytes(32)) | {"entries": known},
        *contradicted,
    )
    out.bad(
        "account_contradicted_by_entry_head",
        "account",
        account(2, fixed("head", 32)) | {"entries": known},
        *contradicted,
    )
    out.bad(
        "account_contradicted_by_entry_alone",
        "account_entry",
        with_entry(account(1, state.head), 1),
        *contradicted,
    )
    out.bad(
        "account_contradicted_by_entry_head_alone",
        "account_entry",
        with_entry(account(2, fixed("head", 32)), 1),
        *contradicted,
    )
    beyond = account(2, fixed("head", 32), size=second[0].index)
    out.bad("account_contradicted_by_entry_beyond", "account_entry", with_entry(beyond, 1), *contradicted)
    out.bad(
        "account_contradicted_by_entry_beyond_list", "account", beyond | {"entries": known}, *contradicted
    )

    directory = world.state.directory

    def trie(subject, proof, head=directory.head):
        r = proof.record
        record = (
            None
            if r is None
            else {"subject": r.subject, "index": r.index, "time": r.time, "statement": X(r.statement)}
        )
        return {
            "head": X(head),
            "subject": subject,
            "siblings": [X(s) for s in proof.siblings],
            "record": record,
        }

    present, absent = f"keys/{NAIROBI}", "endpoint/ke.police.nobody"
    shown_present, shown_absent = directory.prove(present), directory.prove(absent)
    out.good("present", "trie", trie(present, shown_present), {"present": True})
    out.good("absent", "trie", trie(absent, shown_absent), {"present": False})
    wrong = "ProofError", "bad_trie_path"
    out.bad("presence_denied", "trie", trie(present, replace(shown_present, record=None)), *wrong)
    out.bad("stale_head", "trie", trie(present, shown_present, entries[3].leaf.dir_head), *wrong)
    forged = replace(shown_present.record, statement=fixed("forged", 32))
    out.bad("record_made_up", "trie", trie(present, replace(shown_present, record=forged)), *wrong)
    return out


# --- evidence ---


def evidence_cases(world, message, other):
    """One file of evidence, and changes to it; over a fork, so that nothing else sees its entries."""
    out = Cases(
        "evidence, docs/spec/evidence.md: `evidence` with `changes` made to its members, written as one JSON object"
    )
    size = world.state.size
    for sealed in (message, other):
        header = Header(Kind.RECEIPT, ORIGIN, SEEN)
        receipt = Receipt(
            header, KAMPALA, NAIROBI, ReceiptStage.DELIVERED, NOW, (ReceiptItem(sealed.payload_hash),)
        )
        world.put(sign_document(encode_json(receipt.to_json()), [world.agencies[KAMPALA].instance]))
    parts = split_content(CONTENT)
    disclosed = disclose(world, message, parts, {"/items/1", "/note"})
    foreign = disclose(world, other, parts, {"/items/1", "/note"})
    shorter = disclose_parts(parts, message.secrets.opener, frozenset({"/note"}))
    older = json.loads(evidence_of(world, message))
    world.now += DAY
    agency = world.agencies[NAIROBI]
    key_id = agency.instance.public_key.key_id
    record = RevocationRecord(key_id, Ground.LOSS, None)
    world.put(world.revocation(agency.instance, record, [agency.administrator]))
    base = json.loads(evidence_of(world, message, earlier=size, disclosed=[disclosed]))
    out.more["evidence"] = base
    proven = verify_evidence(encode_json(base))
    signed, shown = proven.message.signed, proven.disclosures[0].shown
    output = {
        "fingerprint": proven.fingerprint, "message": X(proven.message.payload), "signed_by": X(signed.key_id),
        "index": signed.index, "time": signed.time, "revoked_at_index": signed.revoked.index, "in_doubt": signed.in_doubt,
        "recipients": sorted(row.endpoint for row in proven.message.rows),
        "receipts": [[e.receipt.author, e.receipt.stage.value] for e in proven.entries],
        "opened": list(shown.opened), "closed": list(shown.closed),
    }  # fmt: skip
    out.good("message_with_receipt_and_disclosure", "evidence", {"changes": []}, output)

    def bad(name, error, code, *changes):
        listed = [{"at": list(at), "value": value} for at, value in changes]
        out.bad(name, "evidence", {"changes": listed}, error, code)

    facts, leaves, entries = base["facts"], base["leaves"], base["entries"]
    subject = f"revoked/{X(key_id)}"
    newest = max(i for i, f in enumerate(facts) if f["subject"] == subject)
    old = [f for f in older["facts"] if f["subject"] == subject][-1]
    own = entries[0]["inclusion"]["index"]
    # Nothing moved the directory between the two receipts, so the paths are the same.
    moved = [{**f, "at": own + 1} if f["at"] == own else f for f in facts]
    swapped = logged(world, world.entries[own + 1]).to_json()
    stranger = found_world(endpoints=(NAIROBI,), grace_ms=1).entries[0].document.data
    incomplete = "ProofError", "evidence_incomplete"
    old_leaf = world.inclusion(old["at"]).to_json()
    bad("revocation_left_out", *incomplete, (("facts",), facts[:newest] + facts[newest + 1 :]))
    bad("revocation_hidden_by_an_older_head", *incomplete, (("facts", newest), old), (("leaves",), [*leaves, old_leaf]))  # fmt: skip
    bad("path_of_another_subject", "ProofError", "bad_trie_path", (("facts", newest, "subject"), "revoked/" + "00" * 32))  # fmt: skip
    bad("path_of_another_leaf", "ProofError", "bad_trie_path", (("facts", newest, "at"), base["message"]["inclusion"]["index"]))  # fmt: skip
    bad("statement_left_out", *incomplete, (("statements",), base["statements"][:-1]))
    bad("newest_leaf_left_out", *incomplete, (("leaves",), leaves[:-1]))
    bad(
        "receipt_of_other_message",
        "ProofError",
        "other_message",
        (("entries",), [swapped]),
        (("facts",), moved),
    )
    bad("disclosure_of_other_message", "ProofError", "disclosure_other_message", (("disclosures", 0, "disclosure"), B(foreign[0])))  # fmt: skip
    bad("digest_not_logged_in_evidence", "ProofError", "disclosure_not_logged", (("disclosures", 0, "disclosure"), B(encode_disclosure(message.document, shorter))))  # fmt: skip
    bad("recipient_left_out", "ProofError", "recipients_mismatch", (("recipients",), base["recipients"][:1]))
    bad("delivery_left_out", "ProofError", "deliveries_mismatch", (("deliveries",), base["deliveries"][:-1]))
    bad("entries_out_of_order", "ProofError", "evidence_order", (("entries",), [entries[0], entries[0]]))
    bad("other_founding", "ProofError", "other_founding", (("founding",), B(stranger)))
    bad("not_a_founding", "MalformedError", "not_a_trust_file", (("founding",), base["message"]["document"]))
    bad("older_checkpoint_as_newest", "ProofError", "inclusion_path_length", (("checkpoint",), base["earlier"]["checkpoint"]))  # fmt: skip
    bad("consistency_left_out", "ProofError", "consistency_path_length", (("earlier", "consistency"), []))
    index = base["message"]["inclusion"]["index"]
    before = {
        "checkpoint": world.checkpoint_bytes(index).decode(),
        "consistency": [X(h) for h in consistency(world, index, world.state.size)],
    }
    bad("witnessed_by_nobody", "SignatureError", "quorum_not_met", (("witnessed",), base["earlier"]))
    bad("witnessed_before_the_message", "ProofError", "beyond_checkpoint", (("witnessed",), before))
    bad("witnessed_consistency_left_out", "ProofError", "consistency_path_length", (("witnessed",), {**base["earlier"], "consistency": []}))  # fmt: skip
    bad("evidence_of_another_log", "VerificationError", "wrong_log", (("log",), "log.example.org/other"))
    bad("evidence_unknown_version", "UncheckableError", "unknown_version", (("format",), "countermark-evidence-2"))  # fmt: skip
    return out


# --- witnessed checkpoints ---


def witnessed_cases(world, kept):
    """Checkpoints that witnesses cosigned, and leaves whose times these bound."""
    out = Cases(
        "docs/spec/witness.md §2, §3.5, §3.6, §6.6, §6.9: a checkpoint cosigned by a quorum of `witnesses`, the two "
        "times that follow, and the leaf at `index`: proven by `path` where the tree has it"
    )
    at = NOW // 1000
    kinds = {
        "north": CosignatureType.ED25519,
        "south": CosignatureType.ML_DSA_44,
        "east": CosignatureType.ED25519,
    }
    one = {
        name: Cosigner(f"{name}.example", kind, fixed(f"witness {name}", 32)) for name, kind in kinds.items()
    }
    second = Cosigner("east.example", CosignatureType.ML_DSA_44, fixed("witness east two", 32))
    log_itself = Cosigner("log.example", CosignatureType.ED25519, seed("log"))
    log_key = world.log_key.public_key.raw
    witnesses = [Witness(name, (encode_cosigner_vkey(c.key),)) for name, c in one.items()]
    witnesses[2] = Witness("east", (*witnesses[2].vkeys, encode_cosigner_vkey(second.key)))
    size = world.state.size - 2
    checkpoint = world.checkpoint(size)
    late = max(e.leaf.time for e in world.entries) // 1000

    def given(lines, index, quorum=2, named=witnesses, note=None):
        value = {
            "origin": ORIGIN, "log_key": B(log_key), "quorum": quorum, "witnesses": [w.to_json() for w in named],
            "checkpoint": note or add_cosignatures(checkpoint.raw, lines).decode(), "index": index,
            "leaf": B(world.entries[index].leaf.encode()),
        }  # fmt: skip
        if index < size:
            value["path"] = [X(h) for h in world.inclusion(index, size).path]
        return value

    def line(name, time):
        return kept.cosign(one[name], checkpoint, time)

    def good(name, lines, index, **more):
        current = more.pop("current_at")
        existed, counted = more.pop("existed_by"), more.pop("counted")
        output = {"size": size, "current_at": current, "existed_by": existed, "witnesses": counted}
        out.good(name, "witnessed", given(lines, index, **more), output)

    def bad(name, lines, index, error, code, **more):
        out.bad(name, "witnessed", given(lines, index, **more), error, code)

    both = ["north", "south"]
    good("two_of_three", [line("north", late), line("south", late + 5)], 3, current_at=late, existed_by=late + 5, counted=both)  # fmt: skip
    three = [line("north", late), line("south", late + 5), line("east", late + 9)]
    good("three_of_three_needed_two", three, size - 1, current_at=late + 5, existed_by=late + 5, counted=["east", *both])  # fmt: skip
    again = [line("north", late), line("north", late + 8), line("south", late + 5)]
    good("a_witness_twice", again, 0, current_at=late + 5, existed_by=late + 5, counted=both)
    good("a_leaf_beyond_it", [line("north", at), line("south", at)], size, current_at=at, existed_by=at, counted=both)  # fmt: skip
    edge = [line("north", late + 60), line("south", late + 60)]
    good("a_leaf_beyond_it_within_the_minute", edge, size, current_at=late + 60, existed_by=late + 60, counted=both)  # fmt: skip
    two_keys = [kept.cosign(second, checkpoint, late), line("east", late + 1)]
    quorum = "SignatureError", "quorum_not_met"
    bad("one_of_three", [line("north", late)], 3, *quorum)
    bad("two_keys_of_one_witness", two_keys, 3, *quorum)
    bad("nobody_of_them", [log_itself.cosign(checkpoint, late)], 3, *quorum)
    strange = [Witness("log", (encode_cosigner_vkey(log_itself.key),)), *witnesses[:2]]
    bad(
        "the_logs_own_key",
        [log_itself.cosign(checkpoint, late), line("north", late)],
        3,
        *quorum,
        named=strange,
    )
    zero = NoteSignature(one["north"].key.name, one["north"].key.key_id, bytes(72))
    bad("cosigned_at_no_time", [zero, line("south", late)], 3, "SignatureError", "cosignature_time")
    for name in both:
        true = line(name, late)
        spoilt = replace(true, signature=true.signature[:-1] + bytes([true.signature[-1] ^ 1]))
        rest = [line(other, late) for other in both if other != name]
        bad(f"cosignature_spoilt_of_{name}", [spoilt, *rest], 3, "SignatureError", "bad_signature")
        moved = replace(true, signature=(late + 1).to_bytes(8, "big") + true.signature[8:])
        bad(f"another_time_stated_of_{name}", [moved, *rest], 3, "SignatureError", "bad_signature")
    old = late - 61
    bad("leaf_from_the_future", [line("north", old - 90_000), line("south", old - 90_000)], size - 1, "InconsistentLogError", "leaf_from_the_future")  # fmt: skip
    new = late + 61
    bad("back_dated_leaf", [line("north", new), line("south", new)], size, "InconsistentLogError", "back_dated_leaf")  # fmt: skip
    elsewhere = given([line("north", late), line("south", late)], 3)
    elsewhere["path"] = [X(h) for h in world.inclusion(4, size).path]
    out.bad("leaf_that_is_not_there", "witnessed", elsewhere, "ProofError", "inclusion_mismatch")
    out.more["cosignatures"] = dict(sorted(kept.used.items()))
    return out


# --- the bundle ---


def bundle(world, message):
    """All that verify_independently.py reads, from trust to disclosure."""
    entry = next(e for e in world.entries if e.document.payload_hash == message.payload_hash)
    directory = world.state.directory
    key = world.agencies[NAIROBI].instance.public_key.key_id.hex()
    documents = {e.document.statement_hash: e.document.data for e in world.entries}

    def held(subject):
        proof = directory.prove(subject)
        r = proof.record
        return {
            "subject": subject,
            "index": r.index,
            "time": r.time,
            "document": B(documents[r.statement]),
            "siblings": [X(s) for s in proof.siblings],
        }

    def missing(subject):
        proof = directory.prove(subject)
        r = proof.record
        record = (
            None
            if r is None
            else {"subject": r.subject, "index": r.index, "time": r.time, "statement": X(r.statement)}
        )
        return {"subject": subject, "siblings": [X(s) for s in proof.siblings], "record": record}

    own = world.own_delivery(entry, KAMPALA, Box.ROUTINE)
    row = next(r for r in message.rows if r.endpoint == KAMPALA)
    state = world.state.boxes[KAMPALA, Box.ROUTINE]
    account = Account(
        ORIGIN, world.seen(), BROKER, KAMPALA, fixed("request", 32), NOW, Verdict.END_OF_BOX,
        (StatedBox(KAMPALA, Box.ROUTINE, state),),
    )  # fmt: skip
    shown = disclose_parts(split_content(CONTENT), message.secrets.opener, frozenset({"/items/1"}))
    parts = []
    for p in shown:
        opened = (
            {"data": B(p.data), "salt": X(p.salt)} if p.data is not None else {"value_hash": X(p.value_hash)}
        )
        parts.append({"name": p.name, **opened})
    return {
        "format": "countermark-bundle-1",
        "origin": ORIGIN,
        "trust": X(world.entries[0].document.payload_hash),
        "checkpoint": world.checkpoint_bytes().decode(),
        "message": {
            "document": B(message.document),
            "inclusion": world.inclusion(entry.index).to_json(),
            "deliveries": world.all_deliveries(entry, NAIROBI).to_json(),
            "content": B(message.content),
        },
        "recipient": {
            "address": KAMPALA,
            "seed": B(seed(f"sealing {KAMPALA}")),
            "row": recipient_to_json(row),
            "at": path_to_json(recipient_path(message.rows, KAMPALA)),
            "stanza": B(opening_stanza(message)),
            "delivery": own.to_json(),
            "box": {"count": own.tail.position, "head": X(own.tail.previous)},
        },
        "directory": [
            held(s)
            for s in ("log", "authority/ke", f"endpoint/{NAIROBI}", f"keys/{NAIROBI}", f"keys/{BROKER}")
        ],
        "absent": [missing(f"revoked/{key}"), missing(f"revoked/{world.node_key.public_key.key_id.hex()}")],
        "disclosure": {"parts": parts},
        "account": {
            "document": B(sign_document(encode_json(account.to_json()), [world.node_key])),
            "request": X(fixed("request", 32)),
        },
        "expected": CONTENT,
    }


def build(renew: bool = False) -> dict[str, str]:
    """Name and text of every file."""
    stanzas = Stanzas(renew)
    world = make_vector_world()
    message, other = compose(world, stanzas, "message"), compose(world, stanzas, "other")
    with_both = world.fork()
    with_both.put(message)
    with_both.put(other)
    out = {
        "documents.json": document_cases(world).to_json(),
        "pairs.json": pair_cases(renew).to_json(),
        "submissions.json": submission_cases(world, stanzas, message, other).to_json(),
        "sealing.json": sealing_cases(world, stanzas, message, other).to_json(),
        "recovery.json": recovery_cases(stanzas).to_json(),
        "disclosures.json": disclosure_cases(message, other).to_json(),
        "enrolment.json": enrolment_cases().to_json(),
        "decisions.json": decision_cases(world, stanzas, message).to_json(),
        "log.json": log_cases(with_both).to_json(),
        "message.json": bundle(with_both, message),
        "evidence.json": evidence_cases(with_both.fork(), message, other).to_json(),
        "witnessed.json": witnessed_cases(with_both.fork(), Cosignatures(renew)).to_json(),
    }
    out["stanzas.json"] = {
        "about": "HPKE stanzas, randomised by the library: made once and kept by generate_vectors.py",
        "stanzas": dict(sorted(stanzas.used.items())),
    }
    return {name: json.dumps(value, indent=1, ensure_ascii=False) + "\n" for name, value in out.items()}


def main(files: dict[str, str]) -> int:
    """Write or check; 1 if a file differs."""
    if "--check" in sys.argv:
        differing = [
            n for n, text in files.items() if not (HERE / n).exists() or (HERE / n).read_text() != text
        ]
        print(
            "\n".join(f"differs: {name}" for name in differing) or "all vectors are as they would be written"
        )
        return 1 if differing else 0
    for name, text in files.items():
        (HERE / name).write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(build(renew="--renew" in sys.argv)))
