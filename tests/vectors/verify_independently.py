"""Open and verify one message and its proof, independently of the product.

Written from docs/spec with nothing but the standard library and `cryptography`; it imports nothing of Countermark.

    python verify_independently.py                       the bundle countermark/message.json, then our vectors
    python verify_independently.py --bundle FILE         a bundle of the same shape, e.g. written by the demo
    python verify_independently.py --bundle FILE --file NUMBER PATH ...    and that these are the files attached to it

A bundle is one JSON object; bytes are unpadded base64url, digests and salts lower-case hexadecimal:

    format      "countermark-bundle-1"
    origin      name of the log
    trust       payload hash of the founding, as compared by voice
    checkpoint  text of a checkpoint of size > index
    message     {document, content, inclusion {index, leaf, path}, deliveries? {rows [{salt, endpoint, box, tail}],
                tail {salt, position, previous}}}
    recipient   {address, seed (private, 32 bytes), stanza, row {salt, endpoint, sealing_key, stanza}, at {number,
                count, path}, delivery {row, tail, at}, box {count, head}: the box before this entry}
    secrets?    {content_key, opener}: what the stanza holds, in place of recipient.seed: an exported bundle shows no
                private key, and its stanza is compared with what the sender signed, but not opened
    directory   [{subject, index, time, document, siblings}]: proven under the dir_head of the message's own leaf;
                log (with before [document]: the founding and whatever changed it until then, where it was changed),
                the sender's authority, endpoint and keys, and keys/<broker>
    absent      [{subject, siblings, record | null}]: proofs that revoked/<key id> of the sender's signing key (and of
                the node key, if there is an account) does not exist
    disclosure? {parts [{name, data, salt} or {name, value_hash}]}
    account?    {document, request}: about exactly the checkpoint above
    witnessed?  {checkpoint, path}: one that a quorum of the witnesses in the record of `log` above cosigned, and the
                path of the message's leaf in it
    expected?   the content, to compare

What it does not check: that the log is append-only since an older checkpoint, and what the policy said.
"""

import base64
import hashlib
import json
import re
import sys
from itertools import pairwise
from pathlib import Path

from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, utils, x25519

sys.path.insert(0, str(Path(__file__).resolve().parent))

import independent_attachments
from independent_basics import (
    BROKEN,
    H,
    b64,
    frame,
    hex32,
    leaf_hash,
    mac,
    need,
    node,
    open_chunks,
    padded_size,
    strict_json,
    take,
    tree_root,
    u,
)

ALGORITHMS = {
    1: ("Ed25519", 32),
    2: ("ES256", 65),
    3: ("ML-DSA-65", 1952),
    16: ("ML-KEM-768+X25519", 1216),
    17: ("ML-KEM-1024+P-384", 1665),
}
PURPOSES = {1: "sign", 2: "possession", 3: "countersign", 4: "release", 5: "behalf"}
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


# --- keys.md and documents.md ---


def read_key(value):
    """Id of a key, and (algorithm, raw, (id, raw) of the ML-DSA-65 key that it is paired with, if any)."""
    need(set(value) <= {"alg", "pub", "second"}, "a key with other members")
    number = next((n for n, (name, _) in ALGORITHMS.items() if name == value["alg"]), None)
    raw = b64(value["pub"])
    need(number is not None and len(raw) == ALGORITHMS[number][1], "a key of no algorithm of the list")
    second = None
    if "second" in value:
        second, (half, half_raw, beyond) = read_key(value["second"])
        need(number in {1, 2} and half == 3 and beyond is None, "a pair of other algorithms")
        second = second, half_raw
    return H("key", u(number, 2), raw), (number, raw, second)


def bare(value):
    """A key without what a record says of it besides."""
    return {name: value[name] for name in ("alg", "pub", "second") if name in value}


def check_signature(key, message, signature):
    number, raw = key
    if number == 3:
        mldsa.MLDSA65PublicKey.from_public_bytes(raw).verify(signature, message)
        return
    need(len(signature) == 64, "a signature that is not 64 bytes")
    if number == 1:
        ed25519.Ed25519PublicKey.from_public_bytes(raw).verify(signature, message)
        return
    need(number == 2, "a key that makes no signatures")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    need(s <= P256_ORDER // 2, "a high-S signature")
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)
    public.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))


def read_document(data, keys):
    """Payload bytes, claims, {(purpose, key id)}; every signature verified under `keys` (id → key), pairs once."""
    head, at = take(data, 0, 5)
    need(head[0] == 1, "a document of another version")
    need(int.from_bytes(head[1:], "big") <= 256 * 1024, "an oversized payload")
    payload, at = take(data, at, int.from_bytes(head[1:], "big"))
    count, at = take(data, at, 1)
    need(1 <= count[0] <= 64, "a document with no or too many signatures")
    signers, seconds, last = set(), {}, b""
    halves = {key[2][0]: (3, key[2][1]) for key in keys.values() if key[2]}
    for _ in range(count[0]):
        fields, at = take(data, at, 37)
        number, kid, purpose = int.from_bytes(fields[:2], "big"), fields[2:34], PURPOSES.get(fields[34])
        need(purpose and number in {1, 2, 3}, "an unknown algorithm or purpose")
        need(kid > last, "signatures out of order")
        raw, at = take(data, at, int.from_bytes(fields[35:], "big"))
        key = halves.get(kid) if number == 3 else keys.get(kid, (None,))[:2]
        need(key and key[0] is not None, "a signature by a key that is not known here")
        need(key[0] == number and H("key", u(number, 2), key[1]) == kid, "another key than its id names")
        header = f'{{"alg":"{ALGORITHMS[number][0]}","kid":"{kid.hex()}","typ":"countermark/1/{purpose}"}}'
        signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header.encode(), payload))
        check_signature(key, signed, raw)
        if number == 3:
            seconds[kid] = purpose
        else:
            signers.add((purpose, kid))
        last = kid
    owed = {keys[kid][2][0]: purpose for purpose, kid in signers if keys[kid][2]}
    need(seconds == owed, "half a pair, or a second half that nobody asked for")
    need(at == len(data), "bytes after the end of the document")
    claims = strict_json(payload)
    need(isinstance(claims, dict), "a payload that is no object")
    return payload, claims, signers


# --- log.md: Merkle tree, checkpoint, leaf, trie, boxes ---


def check_inclusion(leaf, index, size, path, root):
    """RFC 9162 §2.1.3.2."""
    need(0 <= index < size, "an index beyond the tree")
    fn, sn, r = index, size - 1, leaf
    for p in path:
        need(sn != 0 and len(p) == 32, "an inclusion path of another length")
        if fn & 1 or fn == sn:
            r = node(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0 and r == root, "an inclusion path that leads to another root")


def read_checkpoint(text, origin, log_key):
    """(size, root) of a checkpoint signed by the log: C2SP signed-note and tlog-checkpoint."""
    body, gap, block = text.rpartition("\n\n")
    body += "\n"
    key_id = hashlib.sha256(origin.encode() + b"\n\x01" + log_key).digest()[:4]
    own = []
    for line in block.splitlines():
        need(line.startswith("— ") and line.count(" ") == 2, "a line that is no signature")
        _, name, signature = line.split(" ")
        raw = base64.b64decode(signature, validate=True)
        if (name, raw[:4]) == (origin, key_id):
            own.append(raw[4:])
    need(gap and own, "a checkpoint that the log has not signed")
    for signature in own:
        ed25519.Ed25519PublicKey.from_public_bytes(log_key).verify(signature, body.encode())
    lines = body.split("\n")
    need(
        lines[0] == origin and re.fullmatch("0|[1-9][0-9]*", lines[1]), "a checkpoint of another log or form"
    )
    root = base64.b64decode(lines[2], validate=True)
    need(len(root) == 32, "a root that is not 32 bytes")
    return int(lines[1]), root


def read_vkey(text):
    """(name, key id, signature type, public key) of a witness's verifier key."""
    name, key_id, encoded = text.split("+", 2)
    raw = base64.b64decode(encoded, validate=True)
    need(name and hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4].hex() == key_id, "a vkey of another key")  # fmt: skip
    return name, bytes.fromhex(key_id), raw[0], raw[1:]


def cosigned_at(kind, key, name, stamped, body):
    """The time of a cosignature that verifies, s since 1970: C2SP tlog-cosignature."""
    time, signature = int.from_bytes(stamped[:8], "big"), stamped[8:]
    need(1 <= time < 1 << 63, "a cosignature without a time")
    if kind == 4:
        message = b"cosignature/v1\ntime %d\n" % time + body.encode()
        ed25519.Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        return time
    need(kind == 6, "a cosignature of an unknown kind")
    origin, size, root = body.split("\n")[:3]
    parts = [b"subtree/v1\n\x00", bytes([len(name.encode())]), name.encode(), u(time, 8), bytes([len(origin.encode())]), origin.encode(), u(0, 8), u(int(size), 8), base64.b64decode(root)]  # fmt: skip
    mldsa.MLDSA44PublicKey.from_public_bytes(key).verify(signature, b"".join(parts))
    return time


def check_witnessed(text, origin, log_key, witnesses, quorum):
    """(size, root, current at, existed by, names): what a quorum of witnesses says of a checkpoint of the log."""
    size, root = read_checkpoint(text, origin, log_key)
    body, _, block = text.rpartition("\n\n")
    lines = [line.split(" ")[1:] for line in block.splitlines()]
    times = {}
    for witness in witnesses:
        for name, key_id, kind, key in map(read_vkey, witness["keys"]):
            for by, signature in lines:
                raw = base64.b64decode(signature, validate=True)
                if (by, raw[:4]) == (name, key_id):
                    time = cosigned_at(kind, key, name, raw[4:], body + "\n")
                    if key != log_key:  # the log's own keys never count
                        times.setdefault(witness["name"], []).append(time)
    need(quorum >= 1 and len(times) >= quorum, "a checkpoint that no quorum has cosigned")
    current = sorted((max(t) for t in times.values()), reverse=True)[quorum - 1]
    existed = sorted(min(t) for t in times.values())[quorum - 1]
    return size, root, current, existed, sorted(times)


def check_times(leaf, index, size, current, existed):
    """No leaf is older than a quorum's word that it was not there yet, nor younger than its word that it was."""
    if index < size:
        need(leaf["time"] <= existed * 1000 + 60_000, "a leaf from the future")
    else:
        need(leaf["time"] >= current * 1000 - 60_000, "a leaf that is back-dated")


def read_leaf(data):
    need(len(data) == 115 and data[0] == 1, "a leaf of another size or version")
    kind, time, count = (int.from_bytes(data[a:b], "big") for a, b in ((1, 3), (3, 11), (11, 19)))
    need(1 <= kind <= 14 or kind & 0x8000, "a leaf of an unknown kind")
    return {"kind": kind, "time": time, "count": count, "head": data[19:51], "statement": data[51:83], "delivery": data[83:]}  # fmt: skip


def check_succession(before, after):
    moves = 1 <= after["kind"] <= 8
    need(before or after["kind"] == 1, "a log that does not begin with a founding")
    count, head, time = (before["count"], before["head"], before["time"]) if before else (0, bytes(32), 0)
    need(after["time"] >= time, "a time that goes back")
    need(after["count"] == count + moves and (after["head"] != head) == moves, "a directory head that moved or stood still")  # fmt: skip


def check_trie(head, subject, siblings, record):
    """Whether the subject has a record under this directory head; `record` is what stands at the end of the path."""
    key = int.from_bytes(hashlib.sha256(subject.encode()).digest(), "big")
    depth, at = len(siblings), bytes(32)
    need(depth <= 256, "a path too long")
    if record is not None:
        at = H("dir-record", record["subject"].encode(), u(record["index"], 8), u(record["time"], 8), record["statement"])  # fmt: skip
        other = int.from_bytes(hashlib.sha256(record["subject"].encode()).digest(), "big")
        need(other >> 256 - depth == key >> 256 - depth, "a record that stands elsewhere")
    for i in reversed(range(depth)):
        need(len(siblings[i]) == 32, "a node that is not 32 bytes")
        at = H("dir-node", siblings[i], at) if key >> 255 - i & 1 else H("dir-node", at, siblings[i])
    need(at == head, "a directory path that does not lead from the head")
    return record is not None and record["subject"] == subject


def row_digest(row):
    return H(
        "delivery-row", hex32(row["salt"]), row["endpoint"].encode(), row["box"].encode(), hex32(row["tail"])
    )


def box_head(previous, index, statement):
    return H("box-head", previous, u(index, 8), statement)


def check_tail(row, tail, index, statement, box):
    head = box_head(hex32(tail["previous"]), index, statement)
    need(
        H("tail", hex32(tail["salt"]), u(tail["position"], 8), head) == hex32(row["tail"]),
        "a tail of another row",
    )
    need(box is None or (tail["position"], tail["previous"]) == (box["count"], box["head"]), "a box that does not follow")  # fmt: skip
    return head


def check_account(claims, endpoint, box, index, statement, tail):
    """An account against one entry whose tail is proven."""
    stated = [b for b in claims["boxes"] if (b["endpoint"], b["box"]) == (endpoint, box)]
    need(len(stated) <= 1, "an account with one box twice")
    if stated:
        count, head, position = stated[0]["count"], hex32(stated[0]["head"]), tail["position"]
        if index < claims["seen"]["size"]:
            after = box_head(hex32(tail["previous"]), index, statement)
            need(
                position < count and (position < count - 1 or after == head),
                "an account contradicted by an entry",
            )
        else:
            fits = position >= count and (position > count or hex32(tail["previous"]) == head)
            need(fits, "an account contradicted by an entry")


# --- messages.md and sealing.md ---


def check_recipient(row, at, count, root):
    digest = H("recipient-row", hex32(row["salt"]), row["endpoint"].encode(), hex32(row["sealing_key"]), hex32(row["stanza"]))  # fmt: skip
    need(at["count"] == count, "a path for another number of recipients")
    check_inclusion(leaf_hash(digest), at["number"], count, [hex32(h) for h in at["path"]], root)


def read_parts(plain):
    head, at = take(plain, 0, 5)
    count = int.from_bytes(head[1:], "big")
    need(head[0] == 1 and 1 <= count <= 10_000, "a list of parts of another version or size")
    parts = []
    for _ in range(count):
        size, at = take(plain, at, 2)
        name, at = take(plain, at, int.from_bytes(size, "big"))
        size, at = take(plain, at, 4)
        data, at = take(plain, at, int.from_bytes(size, "big"))
        parts.append((name.decode("ascii"), data))
    need(plain[at:] == bytes(padded_size(at) - at), "padding that is not zero, or of another size")
    return parts


def commitment(hashed):
    count = u(len(hashed), 4)
    return tree_root([leaf_hash(H("part", u(i, 4), count, n.encode(), v)) for i, (n, v) in enumerate(hashed)])


def private_key(seed, algorithm="ML-KEM-768+X25519"):
    """Private key, its suite and its id."""
    if algorithm == "ML-KEM-1024+P-384":
        expanded = hashlib.shake_256(seed).digest(112)
        lattice = mlkem.MLKEM1024PrivateKey.from_seed_bytes(expanded[:64])
        curve = ec.derive_private_key(int.from_bytes(expanded[64:], "big"), ec.SECP384R1())
        numbers = curve.public_key().public_numbers()
        point = b"\x04" + u(numbers.x, 48) + u(numbers.y, 48)
        suite = hpke.Suite(hpke.KEM.MLKEM1024_P384, hpke.KDF.HKDF_SHA384, hpke.AEAD.AES_256_GCM)
        kid = H("key", u(17, 2), lattice.public_key().public_bytes_raw() + point)
        return hpke.MLKEM1024P384PrivateKey(lattice, curve), suite, kid
    need(algorithm == "ML-KEM-768+X25519", "a sealing key of no algorithm of the list")
    expanded = hashlib.shake_256(seed).digest(96)
    lattice = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    curve = x25519.X25519PrivateKey.from_private_bytes(expanded[64:])
    raw = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
    suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    return hpke.MLKEM768X25519PrivateKey(lattice, curve), suite, H("key", u(16, 2), raw)


def unwrap(key, log, fields, recipient, ciphertexts, stanza):
    """Content key and opener, 64 bytes, from a stanza; `fields` are the message's id, type and sender."""
    private, suite, key_id = key
    info = frame("stanza-info", [log.encode(), *(f.encode() for f in fields), recipient.encode(), key_id, b"".join(ciphertexts)])  # fmt: skip
    secret = suite.decrypt(stanza, private, info)
    need(len(secret) == 64, "a stanza that holds something else")
    return secret


def open_content(secret, ciphertext, content):
    """The parts of a message."""
    need(len(ciphertext) == content["size"] and H("ciphertext", ciphertext) == hex32(content["digest"]), "swapped content")  # fmt: skip
    parts = read_parts(open_chunks(mac("content-key", secret[:32]), ciphertext))
    hashed = [
        (n, H("part-value", mac("part-salt", secret[32:], u(i, 4)), d)) for i, (n, d) in enumerate(parts)
    ]
    need(commitment(hashed) == hex32(content["commitment"]), "content that was not committed to")
    return parts


def check_disclosure(parts, root):
    hashed, opened = [], {}
    for p in parts:
        need(set(p) in ({"name", "data", "salt"}, {"name", "value_hash"}), "a part neither open nor closed")
        if "data" in p:
            opened[p["name"]] = strict_json(b64(p["data"]))
            hashed.append((p["name"], H("part-value", hex32(p["salt"]), b64(p["data"]))))
        else:
            hashed.append((p["name"], hex32(p["value_hash"])))
    need(commitment(hashed) == root, "a disclosure of something else")
    return opened


def read_disclosure(data):
    """(manifest's document, parts) of a disclosure as handed over: disclosure.md §1."""
    head, at = take(data, 0, 12)
    need(head[:8] == b"cmdiscl1", "no disclosure, or of another version")
    document, at = take(data, at, int.from_bytes(head[8:], "big"))
    count, at = take(data, at, 4)
    need(1 <= int.from_bytes(count, "big") <= 10_000, "too few or too many parts")
    parts = []
    for _ in range(int.from_bytes(count, "big")):
        size, at = take(data, at, 2)
        name, at = take(data, at, int.from_bytes(size, "big"))
        state, at = take(data, at, 1)
        need(state in {b"\0", b"\1"}, "a part neither open nor closed")
        digest, at = take(data, at, 32)
        part = {"name": name.decode("ascii")}
        if state == b"\1":
            size, at = take(data, at, 4)
            shown, at = take(data, at, int.from_bytes(size, "big"))
            part |= {"salt": digest.hex(), "data": base64.urlsafe_b64encode(shown).rstrip(b"=").decode()}
        else:
            part["value_hash"] = digest.hex()
        parts.append(part)
    need(at == len(data), "bytes after the last part")
    need(any("data" in p for p in parts), "a disclosure that shows nothing")
    return document, parts


def join(parts, named):
    parts, _ = independent_attachments.read_descriptors(parts, named)
    document = {}
    for name, data in parts:
        _, member, *index = name.split("/")
        if index:
            need(len(document.setdefault(member, [])) == int(index[0]), "parts out of order")
            document[member].append(strict_json(data))
        else:
            need(member not in document, "a part twice")
            document[member] = strict_json(data)
    return document


# --- the whole bundle ---


def check_directory(bundle, leaf):
    """Claims of every subject shown, each proven under the leaf's head and signed by the record above it."""
    shown = {d["subject"]: d for d in bundle["directory"]}
    claims, above = {}, {}
    claims["log"] = check_governance(bundle, shown["log"])
    record = claims["log"]["record"]
    above["log"] = record["governors"]
    broker = record["broker"]["address"]
    for subject in sorted(shown, key=order_of):
        data = b64(shown[subject]["document"])
        entry = {k: shown[subject][k] for k in ("subject", "index", "time")} | {
            "statement": H("statement", data)
        }
        siblings = [hex32(h) for h in shown[subject]["siblings"]]
        need(check_trie(leaf["head"], subject, siblings, entry), "a directory record that does not stand")
        if subject == "log":
            continue
        kind, name = subject.split("/", 1)
        principal = {
            "authority": lambda: above["log"],
            "endpoint": lambda name=name: above["authority/" + name.split(".")[0]],
            "keys": lambda name=name: (
                record["broker"]["administrator"] if name == broker else above["endpoint/" + name]
            ),
        }[kind]()
        draft = strict_json(data[5 : 5 + int.from_bytes(data[1:5], "big")])["record"]
        own = draft.get("principal") or draft.get("administrator") or {"keys": list(map(bare, draft["signing"]))}  # fmt: skip
        entitled = dict(map(read_key, principal["keys"]))
        _, claims[subject], signers = read_document(data, dict(map(read_key, own["keys"])) | entitled)
        signing = {k for p, k in signers if p == "sign"}
        need(
            signing <= set(entitled) and len(signing) == principal["threshold"],
            "a record by the wrong signers",
        )
        need(
            claims[subject]["subject"] == subject and claims[subject]["kind"] == kind,
            "a record of another subject",
        )
        need(claims[subject]["log"] == bundle["origin"], "a record of another log")
        need(draft.get("state", "active") == "active", "a suspended record")
        above[subject] = own
    return claims, broker


def check_governance(bundle, shown):
    """Claims of the log's record: the founding, and whatever the governors of the record before made of it."""
    governors, previous, claims = None, None, None
    for data in map(b64, [*shown.get("before", []), shown["document"]]):
        record = strict_json(data[5 : 5 + int.from_bytes(data[1:5], "big")])["record"]
        named = [record["log_key"], *record["governors"]["keys"], *record["broker"]["administrator"]["keys"]]
        keys = dict(map(read_key, named + (governors or record["governors"])["keys"]))
        payload, claims, signers = read_document(data, keys)
        entitled = {read_key(k)[0] for k in (governors or record["governors"])["keys"]}
        signing = {k for p, k in signers if p == "sign"}
        need(
            (claims["subject"], claims["log"]) == ("log", bundle["origin"]),
            "a record of another log or subject",
        )
        if previous is None:
            need(H("payload", payload) == hex32(bundle["trust"]), "another founding than the trusted one")
            need(
                claims["kind"] == "founding" and signing == entitled,
                "a founding not signed by every governor",
            )
        else:
            need(
                claims["kind"] == "governance" and hex32(claims["prev"]) == previous,
                "a gap in the governance",
            )
            quorum = signing <= entitled and len(signing) == governors["threshold"]
            need(quorum, "a change of governance by the wrong signers")
        governors, previous = record["governors"], H("statement", data)
    return claims


def order_of(subject):
    return ["log", "authority", "endpoint", "keys"].index(subject.split("/")[0])


def instance_keys(bundle, claims, address, leaf):
    """Signing keys of an endpoint that are proven not to be revoked."""
    absent = {}
    for proof in bundle["absent"]:
        r = proof["record"]
        r = r and r | {"statement": hex32(r["statement"])}
        absent[proof["subject"]] = not check_trie(leaf["head"], proof["subject"], [hex32(h) for h in proof["siblings"]], r)  # fmt: skip
    keys = dict(read_key(bare(k)) for k in claims["keys/" + address]["record"]["signing"])
    return {kid: key for kid, key in keys.items() if absent.get("revoked/" + kid.hex())}


def check_message_signers(directory, sender, signers, own, lent):
    """One key of the sender, at most one of another holder there, and one of whom it is sent on behalf of, if it is."""
    by = {}
    for purpose, kid in signers:
        need(purpose not in by, "two signatures of one purpose")
        need(kid in (lent if purpose == "behalf" else own), "a signature by a key of another endpoint")
        by[purpose] = kid
    demanded = {"sign", *(["behalf"] if lent else [])}
    need(demanded <= set(by) <= demanded | {"release"}, "a message with other signatures than it must bear")
    if "release" in by:
        holders = {
            read_key(bare(k))[0]: k["holder"] for k in directory["keys/" + sender]["record"]["signing"]
        }
        need(holders[by["sign"]] != holders[by["release"]], "a release by who signed")


def check_bundle(bundle, files=None):
    """Verify everything; gives the content."""
    need(bundle["format"] == "countermark-bundle-1", "a bundle of another format")
    origin, message, me = bundle["origin"], bundle["message"], bundle["recipient"]
    data, proof = b64(message["document"]), message["inclusion"]
    statement, index, leaf_data = H("statement", data), proof["index"], b64(proof["leaf"])
    leaf = read_leaf(leaf_data)
    directory, broker = check_directory(bundle, leaf)
    log_key = b64(directory["log"]["record"]["log_key"]["pub"])
    size, root = read_checkpoint(bundle["checkpoint"], origin, log_key)
    check_inclusion(leaf_hash(leaf_data), index, size, [hex32(h) for h in proof["path"]], root)
    need(leaf["kind"] == 9 and leaf["statement"] == statement, "a leaf of another statement")

    if "witnessed" in bundle:
        record, shown = directory["log"]["record"], bundle["witnessed"]
        cosigned = check_witnessed(shown["checkpoint"], origin, log_key, record["witnesses"], record["witness_quorum"])  # fmt: skip
        check_inclusion(
            leaf_hash(leaf_data), index, cosigned[0], [hex32(h) for h in shown["path"]], cosigned[1]
        )
        check_times(leaf, index, cosigned[0], *cosigned[2:4])

    payload = data[5 : 5 + int.from_bytes(data[1:5], "big")]
    stated = strict_json(payload)
    sender, behalf = stated["from"], stated.get("on_behalf_of")
    own = instance_keys(bundle, directory, sender, leaf)
    lent = instance_keys(bundle, directory, behalf, leaf) if behalf else {}
    _, m, signers = read_document(data, own | lent)
    check_message_signers(directory, sender, signers, own, lent)
    need((m["kind"], m["log"]) == ("message", origin), "a statement of another kind or log")

    need(me["row"]["endpoint"] == me["address"], "another recipient's row")
    check_recipient(me["row"], me["at"], m["recipients"]["count"], hex32(m["recipients"]["root"]))
    need(
        H("stanza", b64(me["stanza"])) == hex32(me["row"]["stanza"]), "another stanza than the sender signed"
    )
    own, box = me["delivery"], "urgent" if m["urgency"] in {"urgent", "flash"} else "routine"
    need((own["row"]["endpoint"], own["row"]["box"]) == (me["address"], box), "a delivery to another box")
    check_inclusion(leaf_hash(row_digest(own["row"])), own["at"]["number"], own["at"]["count"], [hex32(h) for h in own["at"]["path"]], leaf["delivery"])  # fmt: skip
    check_tail(own["row"], own["tail"], index, statement, me["box"])
    need(
        own["at"]["count"] == m["recipients"]["count"] + 1 + bool(behalf),
        "more or fewer deliveries than recipients, sender and whose name it bears",
    )
    if "deliveries" in message:
        rows = message["deliveries"]["rows"]
        need(
            tree_root([leaf_hash(d) for d in sorted(map(row_digest, rows))]) == leaf["delivery"], "other rows"
        )
        [sent] = [r for r in rows if (r["endpoint"], r["box"]) == (sender, "sent")]
        check_tail(sent, message["deliveries"]["tail"], index, statement, None)

    content = m["content"]
    if "secrets" in bundle:
        # An exported bundle shows what the stanza holds, not the key that opens it; the commitment decides.
        secret = b64(bundle["secrets"]["content_key"]) + b64(bundle["secrets"]["opener"])
        need(len(secret) == 64, "secrets of another size")
    else:
        key = private_key(b64(me["seed"]))
        need(key[2] == hex32(me["row"]["sealing_key"]), "a row for another key")
        secret = unwrap(key, origin, (m["id"], m["type"], sender), me["address"], [hex32(content["digest"]), *(hex32(a["digest"]) for a in m["attachments"])], b64(me["stanza"]))  # fmt: skip
    independent_attachments.check_named(m["attachments"])
    parts = open_content(secret, b64(message["content"]), content)
    document = join(parts, m["attachments"])
    for number, data in (files or {}).items():
        independent_attachments.shown_file(dict(parts), m["attachments"], number, data)
    need(bundle.get("expected", document) == document, "other content than expected")
    if "disclosure" in bundle:
        opened = check_disclosure(bundle["disclosure"]["parts"], hex32(content["commitment"]))
        need(
            all(strict_json(dict(parts)[name]) == value for name, value in opened.items()),
            "another part disclosed",
        )
    if "account" in bundle:
        _, account, signers = read_document(b64(bundle["account"]["document"]), instance_keys(bundle, directory, broker, leaf))  # fmt: skip
        need(
            (account["kind"], account["log"], account["from"]) == ("account", origin, broker),
            "no account of this log",
        )
        need(
            len(signers) == 1 and account["request"] == bundle["account"]["request"],
            "an answer to another request",
        )
        need(account["seen"] == {"size": size, "root": root.hex()}, "an account of another checkpoint")
        check_account(account, me["address"], box, index, statement, own["tail"])
    return document


# --- vectors ---


def document_of(v):
    return read_document(b64(v["document"]), dict(map(read_key, v["keys"])))


def run_account_entry(v):
    check_account(document_of(v)[1], v["endpoint"], v["box"], v["index"], hex32(v["statement"]), v["tail"])


def run_leaf(v):
    size, root = read_checkpoint(v["checkpoint"], v["origin"], b64(v["log_key"]))
    leaf = read_leaf(b64(v["leaf"]))
    need(
        (leaf["kind"], leaf["statement"]) == (v["kind"], hex32(v["statement"])), "a leaf of another statement"
    )
    check_inclusion(leaf_hash(b64(v["leaf"])), v["index"], size, [hex32(h) for h in v["path"]], root)


def run_trie(v):
    record = v["record"] and v["record"] | {"statement": hex32(v["record"]["statement"])}
    check_trie(hex32(v["head"]), v["subject"], [hex32(s) for s in v["siblings"]], record)


def run_open(v):
    fields, digests = (v["message_id"], v["type"], v["sender"]), [hex32(d) for d in v["ciphertexts"]]
    key = private_key(hex32(v["seed"]), v.get("algorithm", "ML-KEM-768+X25519"))
    secret = unwrap(key, v["log"], fields, v["recipient"], digests, b64(v["stanza"]))
    join(open_content(secret, b64(v["ciphertext"]), v["content"]), v.get("attachments", []))


def run_manifest(v):
    """As far as this script needs manifests: whose they are, and what goes with them."""
    m = strict_json(b64(v["payload"]))
    need(m["kind"] == "message" and m.get("on_behalf_of") != m["from"], "no manifest")
    independent_attachments.check_named(m["attachments"])
    return m


def run_submission(v):
    """messages.md §4: everything that the manifest names, and nothing else; signed by a key of `keys`."""
    data = b64(v["submission"])
    head, at = take(data, 0, 5)
    need(head[0] == 1, "a submission of another version")
    document, at = take(data, at, int.from_bytes(head[1:], "big"))
    count, at = take(data, at, 2)
    rows = []
    for _ in range(int.from_bytes(count, "big")):
        salt, at = take(data, at, 32)
        size, at = take(data, at, 1)
        endpoint, at = take(data, at, size[0])
        key, at = take(data, at, 32)
        size, at = take(data, at, 2)
        stanza, at = take(data, at, int.from_bytes(size, "big"))
        rows.append(H("recipient-row", salt, endpoint, key, H("stanza", stanza)))
    size, at = take(data, at, 4)
    content, at = take(data, at, int.from_bytes(size, "big"))
    count, at = take(data, at, 2)
    lists = []
    for _ in range(int.from_bytes(count, "big")):
        size, at = take(data, at, 2)
        joined, at = take(data, at, 32 * int.from_bytes(size, "big"))
        lists.append([joined[n : n + 32] for n in range(0, len(joined), 32)])
    need(at == len(data), "bytes after the end of the submission")
    _, m, _ = read_document(document, dict(map(read_key, v["keys"])))
    need(all(a < b for a, b in pairwise(rows)), "rows out of order")
    need(m["recipients"]["count"] == len(rows), "another number of recipients")
    need(tree_root(list(map(leaf_hash, rows))) == hex32(m["recipients"]["root"]), "other recipients")
    need(m["content"]["size"] == len(content), "a content of another size")
    need(H("ciphertext", content) == hex32(m["content"]["digest"]), "another content")
    independent_attachments.check_named(m["attachments"])
    need(len(lists) == len(m["attachments"]), "another number of attachments")
    for named, digests in zip(m["attachments"], lists, strict=True):
        independent_attachments.check_pieces(named, digests)


def run_parts(v):
    join([(name, data.encode()) for name, data in v["parts"]], v["attachments"])


def run_shown_file(v):
    document, parts = read_disclosure(b64(v["disclosure"]))
    m = strict_json(document[5 : 5 + int.from_bytes(document[1:5], "big")])
    check_disclosure(parts, hex32(m["content"]["commitment"]))
    opened = {p["name"]: b64(p["data"]) for p in parts if "data" in p}
    data = independent_attachments.file_of(v["file"])
    independent_attachments.shown_file(opened, m["attachments"], v["attachment"], data)


def run_key(v):
    number = read_key(v["key"])[1][0]
    need(number in {1, 2}, "a key that signs nothing by itself")


def run_recovery(v):
    copy = strict_json(b64(v["copy"]))
    need(copy["format"] == "countermark-recovery-1", "a copy of another format")
    need((copy["log"], copy["address"]) == (v["log"], v["address"]), "a copy of another log or address")
    kid, (number, *_) = read_key(copy["sealing"])
    need(number in (16, 17) and kid.hex() in v["named"], "a key that the directory did not name")
    private, suite, recovery = private_key(hex32(v["seed"]))
    need(recovery == hex32(copy["recovery"]), "another recovery key")
    info = frame("recovery-copy", [copy["log"].encode(), copy["address"].encode(), kid, recovery])
    seed = suite.decrypt(b64(copy["wrapped"]), private, info)
    need(len(seed) == 32 and private_key(seed, copy["sealing"]["alg"])[2] == kid, "another key than stated")


def run_paper(v):
    letters = v["typed"].upper().translate(str.maketrans("OIL", "011", "- "))
    digits = ["0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(c) for c in letters]
    need(len(digits) == 56, "another number of letters")
    data = sum(d << 5 * (55 - i) for i, d in enumerate(digits)).to_bytes(35, "big")
    need(H("recovery-paper", data[:32])[:3] == data[32:], "letters that do not fit together")


def run_shown(v):
    document, parts = read_disclosure(b64(v["disclosure"]))
    payload = strict_json(document[5 : 5 + int.from_bytes(document[1:5], "big")])
    check_disclosure(parts, hex32(payload["content"]["commitment"]))


def run_disclosure_logged(v):
    act, disclosure = strict_json(b64(v["act"])), b64(v["disclosure"])
    document, parts = read_disclosure(disclosure)
    payload = document[5 : 5 + int.from_bytes(document[1:5], "big")]
    need(hex32(act["message"]) == H("payload", payload), "an act about another message")
    need(hex32(act["digest"]) == H("disclosure", disclosure), "an act about another disclosure")
    need((act["parts"], act["disclosed"]) == (len(parts), sum("data" in p for p in parts)), "other counts")


def run_succession(v):
    before, after = v["before"] and bytes.fromhex(v["before"]), bytes.fromhex(v["after"])
    check_succession(before and read_leaf(before), read_leaf(after))


def run_witnessed(v):
    leaf, log_key = read_leaf(b64(v["leaf"])), b64(v["log_key"])
    size, root, *times, _ = check_witnessed(
        v["checkpoint"], v["origin"], log_key, v["witnesses"], v["quorum"]
    )
    if v["index"] < size:
        check_inclusion(leaf_hash(b64(v["leaf"])), v["index"], size, [hex32(h) for h in v["path"]], root)
    check_times(leaf, v["index"], size, *times)


RUNS = {
    "document": document_of,
    "base64url": lambda v: b64(v["text"]),
    "recipient": lambda v: check_recipient(v["row"], v["at"], v["count"], hex32(v["root"])),
    "open": run_open,
    "recovery": run_recovery,
    "key": run_key,
    "paper": run_paper,
    "disclosure": lambda v: check_disclosure(v["parts"], hex32(v["commitment"])),
    "shown": run_shown,
    "disclosure_logged": run_disclosure_logged,
    "succession": run_succession,
    "leaf": run_leaf,
    "tail": lambda v: check_tail(v["row"], v["tail"], v["index"], hex32(v["statement"]), v["state"]),
    "account_entry": run_account_entry,
    "trie": run_trie,
    "witnessed": run_witnessed,
    "manifest": run_manifest,
    "submission": run_submission,
    "seal_attachment": independent_attachments.run_seal,
    "open_attachment": independent_attachments.run_open,
    "descriptor": lambda v: independent_attachments.read_descriptor(b64(v["data"])),
    "parts": run_parts,
    "shown_file": run_shown_file,
}


def check_vectors(folder):
    """Every case of the families above: positive ones pass, negative ones do not."""
    ran = left = 0
    for path in sorted(folder.glob("*.json")):
        for case in json.loads(path.read_text()).get("cases", []):
            run = RUNS.get(case["run"])
            if run is None:
                left += 1
                continue
            try:
                # What sealing gives is stated in the output alone; of all else it is enough that it passes or not.
                run(case["input"] | ({"stated": case["output"]} if case["run"] == "seal_attachment" else {}))
                passed = True
            except BROKEN:
                passed = False
            need(
                passed == ("fails" not in case),
                f"vector {path.name} {case['name']}: expected the other outcome",
            )
            ran += 1
    return ran, left


def main(arguments):
    folder = Path(__file__).resolve().parent / "countermark"
    own = not arguments
    files = {}
    while len(arguments) > 2 and arguments[-3] == "--file":
        *arguments, _, number, path = arguments
        files[int(number)] = Path(path).read_bytes()
    need(
        own or (len(arguments) == 2 and arguments[0] == "--bundle"),
        "expected nothing, or --bundle FILE [--file NUMBER PATH]...",
    )
    path = folder / "message.json" if own else Path(arguments[1])
    document = check_bundle(strict_json(path.read_bytes()), files)
    print(f"verified: {path.name}, from trust to content ({len(document)} members)")
    for number in sorted(files):
        print(f"verified: attachment {number} is the file given")
    if own:
        print(
            "vectors: {} ran as they should, {} of families not written here".format(*check_vectors(folder))
        )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BROKEN as error:
        raise SystemExit(f"NOT verified: {error or type(error).__name__}") from None
