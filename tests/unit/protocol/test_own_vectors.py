"""Our own vectors: each positive case gives what it states, each negative one fails with exactly the error it names."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from countermark_protocol import errors
from countermark_protocol.accounts import check_account, check_account_against_tail, verify_account
from countermark_protocol.acts import parse_disclosure
from countermark_protocol.appending import append_statement
from countermark_protocol.boxes import Box, BoxState, verify_tail
from countermark_protocol.checkpoint import parse_checkpoint, verify_checkpoint
from countermark_protocol.disclosure import check_disclosure_logged, parse_disclosed, verify_shown
from countermark_protocol.documents import parse_document, verify_document
from countermark_protocol.encoding import encode_json, parse_base64url, parse_digest, parse_object
from countermark_protocol.evidence_checks import verify_evidence
from countermark_protocol.identifiers import parse_origin
from countermark_protocol.invitations import Request, check_request, parse_code
from countermark_protocol.keys import ALGORITHM_NAMES, parse_pair_json
from countermark_protocol.leaf import parse_leaf, verify_succession
from countermark_protocol.mandates import parse_witness
from countermark_protocol.manifest import SealedContent, parse_manifest
from countermark_protocol.merkle import leaf_hash, verify_inclusion
from countermark_protocol.parts import DisclosedPart, join_all_parts, verify_disclosure
from countermark_protocol.proof import (
    Inclusion,
    parse_path,
    parse_recipient,
    parse_recipients,
    parse_row,
    parse_tail,
    verify_leaf,
)
from countermark_protocol.recipients import verify_recipient
from countermark_protocol.records import _signing_key
from countermark_protocol.recovery import open_copy, parse_copy, parse_paper
from countermark_protocol.sealing import MessageBinding, SealingKey, open_content, unwrap_secrets
from countermark_protocol.statements import read_statement, verify_statement
from countermark_protocol.submission import parse_submission
from countermark_protocol.tlog_policy import check_quorum, threshold_policy
from countermark_protocol.trie import TrieProof, TrieRecord, verify_subject
from countermark_protocol.witnesses import check_not_back_dated, check_not_from_the_future, keys_of_witness
from support.attachment_vectors import (
    named_of,
    run_descriptor,
    run_open_attachment,
    run_parts,
    run_seal_attachment,
    run_shown_file,
)
from support.protocol_world import copy_state, fresh_state

FOLDER = Path(__file__).resolve().parents[2] / "vectors" / "countermark"
FILES = {
    path.name: content
    for path in sorted(FOLDER.glob("*.json"))
    if (content := json.loads(path.read_text())).get("format") == "countermark-vectors-1"
}


def b64(text):
    return parse_base64url(text, "vector", limit=2**24)


BY_NAME = {name: algorithm for algorithm, name in ALGORITHM_NAMES.items()}


def unhex(text):
    return parse_digest(text, "vector")


def resolver(value):
    keys = [parse_pair_json(k) for k in value["keys"]]
    return {k.key_id: k for k in keys}.get


# --- what each family runs ---


def run_document(value, _file):
    document = verify_document(parse_document(b64(value["document"])), resolver(value))
    return {"payload_hash": document.payload_hash.hex(), "statement_hash": document.statement_hash.hex()}


def run_key(value, _file):
    return {"key_id": _signing_key(value["key"], "key").key_id.hex()}


def run_base64url(value, _file):
    parse_base64url(value["text"], "vector")


def run_submission(value, _file):
    submission = parse_submission(b64(value["submission"]))
    return {"payload_hash": verify_document(submission.document, resolver(value)).payload_hash.hex()}


def run_manifest(value, _file):
    parse_manifest(parse_object(b64(value["payload"])))


def run_recipient(value, _file):
    verify_recipient(
        parse_recipient(value["row"]), parse_path(value["at"]), value["count"], unhex(value["root"])
    )


def run_open(value, _file):
    key = SealingKey(unhex(value["seed"]), BY_NAME[value.get("algorithm", "ML-KEM-768+X25519")])
    digests = tuple(unhex(d) for d in value["ciphertexts"])
    binding = MessageBinding(value["log"], value["message_id"], value["type"], value["sender"], digests)
    info = binding.info(value["recipient"], key.public_key.key_id)
    secrets = unwrap_secrets(key, info, b64(value["stanza"]))
    content = value["content"]
    named = SealedContent(unhex(content["digest"]), content["size"], unhex(content["commitment"]))
    parts = open_content(b64(value["ciphertext"]), secrets, named)
    join_all_parts(parts, named_of(value))
    return {"parts": [[p.name, p.data.decode()] for p in parts]}


def run_recovery(value, _file):
    seed = open_copy(
        parse_copy(b64(value["copy"])),
        SealingKey(unhex(value["seed"])),
        logs=[value["log"]],
        address=value["address"],
        named=lambda key_id: key_id.hex() in value["named"],
    )
    return {"private": seed.hex()}


def run_paper(value, _file):
    return {"private": parse_paper(value["typed"]).hex()}


def run_disclosure(value, _file):
    disclosed = [
        DisclosedPart(
            p["name"],
            b64(p["data"]) if "data" in p else None,
            unhex(p["salt"]) if "salt" in p else None,
            unhex(p["value_hash"]) if "value_hash" in p else None,
        )
        for p in value["parts"]
    ]
    opened = verify_disclosure(disclosed, unhex(value["commitment"]))
    return {"open": {p.name: p.data.decode() for p in disclosed if p.name in opened}}


def run_code(value, _file):
    return {"code": parse_code(value["typed"])}


def run_enrolment(value, _file):
    request = Request(b64(value["endpoint"]), b64(value["keys"]))
    found = check_request(request, value["log"], value["address"], {})
    return {"hash": found.fingerprint_hash(unhex(value["trust"])).hex()}


def run_shown(value, _file):
    shown = verify_shown(parse_disclosed(b64(value["disclosure"])))
    return {
        "message": shown.message.hex(),
        "digest": shown.digest.hex(),
        "opened": list(shown.opened),
        "closed": list(shown.closed),
    }


def run_disclosure_logged(value, _file):
    act = parse_disclosure(parse_object(b64(value["act"])))
    check_disclosure_logged(act, verify_shown(parse_disclosed(b64(value["disclosure"]))))


def run_evidence(value, file):
    evidence = copy.deepcopy(FILES[file]["evidence"])
    for change in value["changes"]:
        *way, last = change["at"]
        node = evidence
        for step in way:
            node = node[step]
        node[last] = change["value"]
    proven = verify_evidence(encode_json(evidence))
    signed = proven.message.signed
    shown = proven.disclosures[0].shown
    return {
        "fingerprint": proven.fingerprint,
        "message": proven.message.payload.hex(),
        "signed_by": signed.key_id.hex(),
        "index": signed.index,
        "time": signed.time,
        "revoked_at_index": signed.revoked.index,
        "in_doubt": signed.in_doubt,
        "recipients": sorted(row.endpoint for row in proven.message.rows),
        "receipts": [[e.receipt.author, e.receipt.stage.value] for e in proven.entries],
        "opened": list(shown.opened),
        "closed": list(shown.closed),
    }


def append(state, step):
    document = verify_statement(state.directory, parse_document(b64(step["document"])))
    rows = parse_recipients(step["rows"]) if step["rows"] else ()
    entry = append_statement(state, read_statement(document, rows), step["time"], unhex(step["secret"]))
    state.roots[state.size] = state.frontier.root()
    return entry.leaf.encode().hex()


_HISTORIES = {}


def run_decide(value, file):
    if file not in _HISTORIES:
        state = fresh_state(parse_origin(FILES[file]["origin"]))
        for step in FILES[file]["history"]:
            assert append(state, step) == step["leaf"]
        _HISTORIES[file] = state
    state = copy_state(_HISTORIES[file])
    for step in value["after"]:
        append(state, step)
    size = state.size
    try:
        return {"leaf": append(state, value["statement"])}
    except errors.CountermarkError:
        assert state.size == size
        raise


def run_succession(value, _file):
    before = parse_leaf(bytes.fromhex(value["before"])) if value["before"] else None
    verify_succession(before, parse_leaf(bytes.fromhex(value["after"])))


def run_leaf(value, _file):
    unverified = parse_checkpoint(value["checkpoint"].encode())
    checkpoint = verify_checkpoint(unverified, value["origin"], b64(value["log_key"]))
    inclusion = Inclusion(value["index"], b64(value["leaf"]), tuple(unhex(h) for h in value["path"]))
    verify_leaf(inclusion, checkpoint, value["kind"], unhex(value["statement"]))


def run_tail(value, _file):
    state = BoxState(value["state"]["count"], unhex(value["state"]["head"]))
    row, tail = parse_row(value["row"]), parse_tail(value["tail"])
    return {"head": verify_tail(row, tail, value["index"], unhex(value["statement"]), state).head.hex()}


class NodeKeys:
    """The directory as far as an account needs it: the broker's address and its node keys."""

    def __init__(self, value):
        self.resolve = resolver(value)
        claims = parse_document(b64(value["document"])).claims
        self.broker, self._name = claims["from"], claims["log"]

    def log(self, _at):
        return self

    def origin_for(self, _size):
        return self._name

    def node_key(self, key_id, _at):
        return self.resolve(key_id) is not None


def verified_account(value):
    document = verify_document(parse_document(b64(value["document"])), resolver(value))
    account = verify_account(document, NodeKeys(value), unhex(value["request"]))
    return account, document.data, value["endpoint"], Box(value["box"])


def run_account(value, _file):
    check_account(
        *verified_account(value), [(index, unhex(statement)) for index, statement in value["entries"]]
    )


def run_account_entry(value, _file):
    check_account_against_tail(
        *verified_account(value), value["index"], unhex(value["statement"]), parse_tail(value["tail"])
    )


def run_witnessed(value, _file):
    log_key = b64(value["log_key"])
    checkpoint = verify_checkpoint(parse_checkpoint(value["checkpoint"].encode()), value["origin"], log_key)
    named = [parse_witness(w, "witness") for w in value["witnesses"]]
    policy = threshold_policy([keys_of_witness(w) for w in named], value["quorum"])
    quorum = check_quorum(policy, checkpoint, {log_key})
    leaf, index = parse_leaf(b64(value["leaf"])), value["index"]
    if index < checkpoint.size:
        path = [unhex(h) for h in value["path"]]
        verify_inclusion(leaf_hash(leaf.encode()), index, checkpoint.size, path, checkpoint.root)
    check_not_from_the_future(leaf, index, checkpoint, quorum.existed_by)
    check_not_back_dated(leaf, index, checkpoint, quorum.current_at)
    names = {named[int(name.partition("/")[0])].name for name in quorum.times}
    return {
        "size": checkpoint.size,
        "current_at": quorum.current_at,
        "existed_by": quorum.existed_by,
        "witnesses": sorted(names),
    }


def run_trie(value, _file):
    r = value["record"]
    record = None if r is None else TrieRecord(r["subject"], r["index"], r["time"], unhex(r["statement"]))
    proof = TrieProof(tuple(unhex(s) for s in value["siblings"]), record)
    return {"present": verify_subject(unhex(value["head"]), value["subject"], proof) is not None}


#: Families that stand beside: they are found by name, as those above.
BESIDE = (run_descriptor, run_open_attachment, run_parts, run_seal_attachment, run_shown_file)
RUNS = {name.removeprefix("run_"): run for name, run in globals().items() if name.startswith("run_")}


@pytest.mark.parametrize(
    ("file", "case"),
    [pytest.param(f, c, id=f"{f}-{c['name']}") for f, content in FILES.items() for c in content["cases"]],
)
def test_case(file, case):
    run = RUNS[case["run"]]
    if "fails" not in case:
        assert run(case["input"], file) == case["output"]
        return
    expected = case["fails"]
    with pytest.raises(errors.CountermarkError) as caught:
        run(case["input"], file)
    assert (type(caught.value).__name__, caught.value.code) == (expected["error"], expected["code"])


#: The negative cases that the issue asks for; a case of this name, or one that begins with it, must be there.
DEMANDED = [
    "tampered_byte",
    "stripped_recipient",
    "added_recipient",
    "spliced_stanza",
    "two_keys_one_ciphertext",
    "swapped_content",
    "swapped_attachment_digest",
    "forwarded_to_third_party",
    "statement_of_another_log",
    "one_kind_passed_for_another",
    "stale_directory_statement",
    "self_authorising_directory_statement",
    "wrong_signer",
    "one_signature_too_many",
    "too_few_signatures",
    "expired",
    "unknown_algorithm",
    "duplicate_json_key",
    "non_canonical_encoding",
    "high_s_signature",
    "oversized_field",
    "truncated_ciphertext",
    "non_zero_padding",
    "wrong_opener",
    "disclosed_part_altered",
    "disclosed_part_renamed",
    "part_altered",
    "part_name_changed",
    "part_moved",
    "closed_part_hidden",
    "count_changed",
    "other_message",
    "digest_not_logged",
    "leaf_with_moved_head",
    "box_head_does_not_follow",
    "account_contradicted_by_entry",
    "truncated_piece",
    "truncated_last_piece_missing",
    "reordered_pieces",
    "reordered_chunks",
    "swapped_piece_of_another_attachment",
    "swapped_piece_of_another_message",
    "swapped_chunk_of_another_attachment",
    "swapped_piece_between_attachments",
    "swapped_piece_between_messages",
    "wrong_count_in_list",
    "wrong_count_of_pieces",
    "wrong_count_of_descriptors",
    "wrong_size_in_manifest",
    "wrong_size_in_descriptor",
    "descriptor_mismatch",
    "too_many_pieces",
    "bad_file_name_path_separator",
    "bad_file_name_control",
    "bad_file_name_bidi",
    "disclosed_another_file",
]


@pytest.mark.parametrize("name", DEMANDED)
def test_every_demanded_case_is_there(name):
    negative = [c["name"] for content in FILES.values() for c in content["cases"] if "fails" in c]
    assert any(n.startswith(name) for n in negative)


def test_every_family_has_a_positive_case():
    # Else its negative ones could fail for a reason of the runner's own.
    families = {c["run"] for content in FILES.values() for c in content["cases"] if "fails" not in c}
    assert families | {"base64url"} == set(RUNS)
    parse_base64url("AAAA", "vector")
    for content in FILES.values():
        names = [c["name"] for c in content["cases"]]
        assert len(set(names)) == len(names)


def test_the_two_key_ciphertext_truly_opens_under_both_keys_as_plain_gcm():
    [case] = [c for c in FILES["sealing.json"]["cases"] if c["name"] == "two_keys_one_ciphertext"]
    sealed = b64(case["input"]["ciphertext"])
    salt, commitment, chunk = sealed[:24], sealed[24:56], sealed[56:]
    opened, commitments = [], []
    for key in case["input"]["chunk_keys"]:
        info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00" + salt
        out = HKDFExpand(algorithm=SHA512(), length=76, info=info).derive(unhex(key))
        opened.append(AESGCM(out[:32]).decrypt(out[32:44], chunk, None))
        commitments.append(out[44:])
    assert opened[0] != opened[1]
    assert commitments[0] == commitment != commitments[1]


@pytest.mark.parametrize("name", ["generate_vectors.py", "generate_attachments.py"])
def test_the_generator_writes_these_very_files(name):
    generator = FOLDER.parent / name
    done = subprocess.run(
        [sys.executable, str(generator), "--check"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
