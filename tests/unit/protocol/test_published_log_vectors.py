"""The log's formats against vectors that others published; see the README beside each set."""

import base64
import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from countermark_protocol.checkpoint import parse_checkpoint, verify_checkpoint
from countermark_protocol.errors import MalformedError, ProofError, SignatureError, UncheckableError
from countermark_protocol.merkle import (
    EMPTY_ROOT,
    MAX_TREE_SIZE,
    Frontier,
    consistency_path,
    inclusion_path,
    leaf_hash,
    node_hash,
    root_of,
    small_tree_path,
    verify_consistency,
    verify_inclusion,
)
from countermark_protocol.note import (
    NoteSignature,
    UnverifiedNote,
    encode_note,
    encode_vkey,
    parse_note,
    parse_vkey,
    verify_note,
)
from countermark_protocol.tiles import (
    TILE_WIDTH,
    Bundle,
    Tile,
    TileHashes,
    bundles_for_growth,
    parse_bundle,
    parse_bundle_path,
    parse_tile,
    parse_tile_path,
    tile_width,
    tiles_for_growth,
)
from countermark_protocol.tlog_proof import encode_tlog_proof, parse_tlog_proof, verify_tlog_proof

VECTORS = Path(__file__).parents[2] / "vectors"
MERKLE = VECTORS / "transparency-dev-merkle"
TESSERA = VECTORS / "tessera"


def load(*parts):
    return json.loads(VECTORS.joinpath(*parts).read_text(encoding="utf-8"))


def files(folder):
    found = sorted((MERKLE / folder).rglob("*.json"))
    return [pytest.param(p, id=str(p.relative_to(MERKLE))) for p in found]


def outcome(verify, *args):
    """``ok``, the code of a failed proof, or ``ValueError`` for what no parser lets through."""
    try:
        verify(*args)
    except ProofError as error:
        return error.code
    except ValueError:
        return "ValueError"
    return "ok"


# --- transparency-dev/merkle: proofs -----------------------------------------------------------------
#
# The set says only whether a proof holds. What exactly must be found wrong follows here from the numbers
# alone: how long a path has to be is a formula of bit lengths, unlike the loop under test.


def inclusion_length(index, size):
    inner = (index ^ (size - 1)).bit_length()
    return inner + (index >> inner).bit_count()


def consistency_length(old, new):
    inner = ((old - 1) ^ (new - 1)).bit_length()
    shift = (old & -old).bit_length() - 1
    return inner - shift + ((old - 1) >> inner).bit_count() + (old != 1 << shift)


@pytest.mark.parametrize("file", files("inclusion"))
def test_inclusion_vectors(file):
    v = json.loads(file.read_text(encoding="utf-8"))
    path = [base64.b64decode(h) for h in v["proof"] or []]
    leaf, root = base64.b64decode(v["leafHash"]), base64.b64decode(v["root"])
    index, size = v["leafIdx"], v["treeSize"]
    got = outcome(verify_inclusion, leaf, index, size, path, root)
    if not v["wantErr"]:
        assert got == "ok"
    elif index > MAX_TREE_SIZE:
        assert got == "ValueError"
    elif any(len(h) != 32 for h in [leaf, root, *path]):
        assert got == "hash_size"
    elif index >= size:
        assert got == "index_beyond_size"
    elif len(path) != inclusion_length(index, size):
        assert got == "inclusion_path_length"
    else:
        assert got == "inclusion_mismatch"


@pytest.mark.parametrize("file", files("consistency"))
def test_consistency_vectors(file):
    v = json.loads(file.read_text(encoding="utf-8"))
    path = [base64.b64decode(h) for h in v["proof"] or []]
    old, new = v["size1"], v["size2"]
    old_root, new_root = base64.b64decode(v["root1"]), base64.b64decode(v["root2"])
    got = outcome(verify_consistency, old, old_root, new, new_root, path)
    if any(len(h) != 32 for h in [old_root, new_root, *path]):
        assert got == "hash_size"
        # The only one that holds elsewhere: its roots are 12 bytes of text.
        assert v["wantErr"] or file.name == "sizes-are-equal-one-and-proof-is-empty.json"
    elif not v["wantErr"]:
        assert got == "ok"
    elif old > new:
        assert got == "tree_shrunk"
    elif (old == 0 and old_root != EMPTY_ROOT) or (new == 0 and new_root != EMPTY_ROOT):
        assert got == "empty_root"
    elif len(path) != (0 if old in {0, new} else consistency_length(old, new)):
        assert got == "consistency_path_length"
    elif old == new:
        assert got == "roots_differ"
    else:
        assert got in {"consistency_old_root", "consistency_new_root"}


def test_all_vectors_are_there_and_both_kinds_of_each():
    counts = {}
    for folder in ("inclusion", "consistency"):
        for file in (MERKLE / folder).rglob("*.json"):
            key = folder, json.loads(file.read_text(encoding="utf-8"))["wantErr"]
            counts[key] = counts.get(key, 0) + 1
    assert counts == {
        ("inclusion", False): 6,
        ("inclusion", True): 92,
        ("consistency", False): 6,
        ("consistency", True): 92,
    }


# --- transparency-dev/merkle: trees ------------------------------------------------------------------


def test_hasher_vectors():
    hasher = load("transparency-dev-merkle", "trees.json")["hasher"]
    assert EMPTY_ROOT.hex() == hasher["empty_root"]
    for v in hasher["leaf"]:
        assert leaf_hash(bytes.fromhex(v["data"])).hex() == v["hash"]
    for v in hasher["node"]:
        assert node_hash(bytes.fromhex(v["left"]), bytes.fromhex(v["right"])).hex() == v["hash"]


def test_trees_of_up_to_eight_leaves():
    trees = load("transparency-dev-merkle", "trees.json")
    hashes = [leaf_hash(bytes.fromhex(leaf)) for leaf in trees["leaves"]]
    nodes = trees["nodes"]
    assert [h.hex() for h in hashes] == nodes[0]
    frontier = Frontier()
    for size, root in enumerate(trees["roots"]):
        assert root_of(hashes[:size]).hex() == frontier.root().hex() == root
        assert [h.hex() for h in frontier.hashes] == [
            nodes[level][i] for level, i in trees["frontiers"][size]
        ]
        if size < 8:
            frontier = frontier.append(hashes[size])

    def get(level, index):
        return bytes.fromhex(nodes[level][index])

    for size in range(9):
        for old in range(size + 1):
            roots = bytes.fromhex(trees["roots"][old]), bytes.fromhex(trees["roots"][size])
            verify_consistency(old, roots[0], size, roots[1], consistency_path(get, old, size))
        for index in range(size):
            path = inclusion_path(get, index, size)
            verify_inclusion(hashes[index], index, size, path, bytes.fromhex(trees["roots"][size]))


def subtrees(size):
    """Every [start, end) up to `size` whose start is a multiple of a power of two not below its length."""
    for end in range(size + 1):
        for start in range(end + 1):
            if start == end or start % (1 << (end - start - 1).bit_length()) == 0:
                yield start, end


def test_accumulated_roots_and_paths_of_all_subtrees():
    """Appendix "Subtree Test Vectors" of draft-ietf-plants-merkle-tree-certs: one hash over 12,807 paths."""
    v = load("transparency-dev-merkle", "trees.json")["accumulated"]
    leaves = [leaf_hash(bytes([i])) for i in range(v["size"])]
    roots, paths, small = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    for start, end in subtrees(v["size"]):
        part = leaves[start:end]
        known = {}

        def get(level, index, part=part, known=known):
            if (level, index) not in known:
                known[level, index] = root_of(part[index << level : (index + 1) << level])
            return known[level, index]

        roots.update(f"[{start}, {end}) {root_of(part).hex()}\n".encode())
        for i in range(end - start):
            for digest, path in (
                (paths, inclusion_path(get, i, len(part))),
                (small, small_tree_path(part, i)),
            ):
                hashes = "".join(f" {h.hex()}" for h in path)
                digest.update(f"{start + i} [{start}, {end}){hashes}\n".encode())
    assert roots.hexdigest() == v["subtree_hashes"]
    assert paths.hexdigest() == small.hexdigest() == v["subtree_inclusion_paths"]


# --- C2SP --------------------------------------------------------------------------------------------


def test_notes_of_the_specification():
    for v in load("c2sp", "examples.json")["notes"]:
        data = v["note"].encode()
        note = parse_note(data)
        assert encode_note(note) == data
        assert [s.name for s in note.signatures] == [v["name"]]
        if v["vkey"]:
            key = parse_vkey(v["vkey"])
            assert encode_vkey(key) == v["vkey"]
            verify_note(note, key)
            with pytest.raises(SignatureError) as caught:
                verify_note(UnverifiedNote(note.text + b"\n", note.signatures), key)
            assert caught.value.code == "bad_signature"


def test_checkpoints_of_the_specification():
    for v in load("c2sp", "examples.json")["checkpoints"]:
        checkpoint = parse_checkpoint(v["note"].encode())
        assert (checkpoint.origin, checkpoint.size, checkpoint.root.hex()) == (
            v["origin"],
            v["size"],
            v["root"],
        )
        assert checkpoint.extensions == ()
        assert [s.name for s in checkpoint.note.signatures] == v["signers"]
        # Ed25519, then an Ed25519 cosignature with its 8 bytes of time.
        assert [len(s.signature) for s in checkpoint.note.signatures] == [64, 72][: len(v["signers"])]


def test_the_abridged_proof_of_the_specification_is_refused_for_its_signatures_only():
    data = load("c2sp", "examples.json")["abridged_proof"]["proof"]
    with pytest.raises(MalformedError) as caught:
        parse_tlog_proof(data.encode())
    assert (caught.value.code, "signature line" in caught.value.message) == ("not_base64", True)
    head = data[: data.index("\n\n— ")]
    whole = parse_tlog_proof((head + "\n\n— example.com/fancylog hI2DJwAA\n").encode())
    assert (whole.index, len(whole.path), whole.checkpoint.size) == (73894, 5, 109482)
    assert whole.extra.startswith(b"age-v1.2.1-darwin-arm64.tar.gz")


def test_tiles_of_the_specification():
    examples = load("c2sp", "examples.json")
    for v in examples["tile_indices"]:
        assert Tile(0, v["index"]).path() == f"tile/0/{v['text']}"
        assert parse_bundle_path(f"tile/entries/{v['text']}") == Bundle(v["index"])
    for v in examples["trees"]:
        expected = []
        for level in v["tiles"]:
            expected += [Tile(level["level"], i) for i in range(level["full"])]
            if level["partial"]:
                expected.append(Tile(level["level"], level["full"], level["partial"]))
        assert list(tiles_for_growth(0, v["size"])) == expected


# --- tessera: a log of 15 entries --------------------------------------------------------------------


def tessera_log():
    key = load("tessera", "key.json")
    return key["origin"], parse_vkey(key["vkey"]), [entry.encode() for entry in key["entries"]]


def fetch(level, index, width):
    return TESSERA.joinpath(Tile(level, index, width).path()).read_bytes()


def test_every_checkpoint_of_the_log():
    origin, key, entries = tessera_log()
    for size in range(16):
        data = (TESSERA / f"checkpoint.{size}").read_bytes()
        checkpoint = verify_checkpoint(parse_checkpoint(data), origin, key.public_key.raw)
        assert (checkpoint.size, checkpoint.raw) == (size, data)
        assert checkpoint.root == root_of([leaf_hash(e) for e in entries[:size]])
    assert (TESSERA / "checkpoint").read_bytes() == data


def test_every_tile_and_bundle_of_the_log():
    _, _, entries = tessera_log()
    for size in range(1, 16):
        assert tiles_for_growth(size - 1, size) == (Tile(0, 0, size),)
        assert bundles_for_growth(size - 1, size) == (Bundle(0, size),)
        bundle = parse_bundle(TESSERA.joinpath(Bundle(0, size).path()).read_bytes(), size)
        assert list(bundle) == entries[:size]
        assert parse_tile(fetch(0, 0, size), size) == tuple(leaf_hash(e) for e in bundle)
    kept = sorted(p.relative_to(TESSERA).as_posix() for p in (TESSERA / "tile").rglob("*") if p.is_file())
    ours = [t.path() for n in range(1, 16) for t in (Tile(0, 0, n), Bundle(0, n))]
    assert kept == sorted(ours)


def test_every_path_between_the_checkpoints_of_the_log():
    origin, key, entries = tessera_log()
    roots = []
    for size in range(16):
        data = (TESSERA / f"checkpoint.{size}").read_bytes()
        roots.append(parse_checkpoint(data).root)
        tiles = TileHashes(fetch, size)
        assert tiles.root_at(size) == roots[size]
        for old in range(size + 1):
            verify_consistency(old, roots[old], size, roots[size], consistency_path(tiles.get, old, size))
            if 0 < old < size:
                wrong = outcome(
                    verify_consistency,
                    old,
                    roots[old - 1],
                    size,
                    roots[size],
                    consistency_path(tiles.get, old, size),
                )
                assert wrong in {"consistency_old_root", "consistency_new_root"}
        for index in range(size):
            proof = parse_tlog_proof(encode_tlog_proof(index, inclusion_path(tiles.get, index, size), data))
            verify_tlog_proof(proof, leaf_hash(entries[index]), origin, key.public_key.raw)


def test_no_signature_of_the_log_fits_another_of_its_checkpoints():
    origin, key, _ = tessera_log()
    parsed = [parse_checkpoint((TESSERA / f"checkpoint.{size}").read_bytes()) for size in range(16)]
    for one in parsed:
        for other in parsed:
            if one.size != other.size:
                mixed = encode_note(UnverifiedNote(one.note.text, other.note.signatures))
                with pytest.raises(SignatureError) as caught:
                    verify_checkpoint(parse_checkpoint(mixed), origin, key.public_key.raw)
                assert caught.value.code == "bad_signature"


# --- tessera: names of tiles -------------------------------------------------------------------------


def test_layout_of_paths():
    layout = load("tessera", "layout.json")
    for v in layout["entries_path_for_index"]:
        index = v["index"] // TILE_WIDTH
        assert Bundle(index, tile_width(0, index, v["size"])).path() == v["path"]
    for v in layout["entries_path"]:
        assert Bundle(v["index"], v["partial"] or TILE_WIDTH).path() == v["path"]
    for v in layout["tile_path"]:
        assert Tile(v["level"], v["index"], v["partial"] or TILE_WIDTH).path() == v["path"]


def test_parsing_of_paths():
    layout = load("tessera", "layout.json")
    for v in layout["parse"]:
        level, index, partial = v["tile"]
        assert parse_tile_path(f"tile/{v['level']}/{v['rest']}") == Tile(level, index, partial or TILE_WIDTH)
    for v in layout["parse_refused"]:
        with pytest.raises(MalformedError) as caught:
            parse_tile_path(f"tile/{v['level']}/{v['rest']}")
        assert caught.value.code == "bad_tile_path"


def test_places_of_hashes_in_tiles():
    """Which tile a hash is read from, and where in it, told apart by tiles that hold nothing but their name."""
    for v in load("tessera", "layout.json")["node_to_tile"]:
        asked = []

        def fetch_marked(level, index, width, asked=asked):
            asked.append((level, index))
            return b"".join(i.to_bytes(32, "big") for i in range(width))

        got = TileHashes(fetch_marked, 65_536).get(v["level"], v["index"])
        assert asked == [(v["tile_level"], v["tile_index"])]
        span = 1 << v["level_in_tile"]
        first = v["index_in_level"] * span
        assert got == root_of([i.to_bytes(32, "big") for i in range(first, first + span)])


# --- golang.org/x/mod --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def notes():
    return load("golang-mod", "notes.json")


def test_verifier_keys(notes):
    for name, text in notes["vkeys"].items():
        key = parse_vkey(text)
        assert (key.name, encode_vkey(key)) == (name, text)


def test_mangled_verifier_keys(notes):
    text = notes["vkeys"]["PeterNeumann"]
    mangled = [text[i:j] for i in range(len(text)) for j in range(i + 1, len(text) + 1)]
    mangled.remove(text)
    mangled += [text[:i] + chr(ord(text[i]) + 1) + text[i + 1 :] for i in range(len(text))]
    for bad in mangled:
        with pytest.raises((MalformedError, UncheckableError)):
            parse_vkey(bad)


def test_bad_verifier_keys(notes):
    wrong_length, unknown_type = notes["bad_vkeys"]
    with pytest.raises(MalformedError) as caught:
        parse_vkey(wrong_length["vkey"])
    assert caught.value.code == "not_base64"  # its last bits are not zero; test_note.py has the length alone
    with pytest.raises(UncheckableError) as caught:
        parse_vkey(unknown_type["vkey"])
    assert caught.value.code == "note_key_type"


def test_signing_gives_the_published_bytes(notes):
    key = parse_vkey(notes["vkeys"]["PeterNeumann"])
    private = Ed25519PrivateKey.from_private_bytes(
        bytes.fromhex(notes["published_test_seeds"]["PeterNeumann"])
    )
    assert private.public_key().public_bytes_raw() == key.public_key.raw
    text = notes["text"].encode()
    signed = encode_note(UnverifiedNote(text, (NoteSignature(key.name, key.key_id, private.sign(text)),)))
    assert signed.decode() == notes["signed"][0]["note"]


def test_signed_notes(notes):
    for v in notes["signed"]:
        note = parse_note(v["note"].encode())
        assert note.text.decode() == notes["text"]
        for name, text in notes["vkeys"].items():
            if name in v["signers"]:
                verify_note(note, parse_vkey(text))
    with pytest.raises(SignatureError) as caught:
        verify_note(parse_note(notes["signed"][0]["note"].encode()), parse_vkey(notes["vkeys"]["EnochRoot"]))
    assert caught.value.code == "signature_missing"


def test_notes_with_an_invalid_signature(notes):
    for v in notes["invalid_signature"]:
        with pytest.raises(SignatureError) as caught:
            verify_note(parse_note(v["note"].encode()), parse_vkey(notes["vkeys"][v["key"]]))
        assert caught.value.code == "signature_size"


def test_a_mangled_duplicate_by_a_known_key_voids_the_note(notes):
    """Stricter than the origin, which looks at a key's first line only: signed-note says SHOULD reject."""
    note = parse_note(notes["signed"][2]["note"].encode())
    with pytest.raises(SignatureError):
        verify_note(note, parse_vkey(notes["vkeys"]["EnochRoot"]))


def test_malformed_notes(notes):
    codes = {}
    for v in notes["malformed"]:
        text, line = v["note"], notes["signature_lines"]["PeterNeumann"]
        text += line * (v.get("repeat_signature", 1) - 1)
        with pytest.raises(MalformedError) as caught:
            parse_note(bytes.fromhex(v.get("prefix_hex", "")) + text.encode())
        codes[v["why"]] = caught.value.code
    assert codes == {
        "no signatures": "note_unsigned",
        "no signature after the empty line": "note_unsigned",
        "no newline after the signature": "note_unsigned",
        "control character": "forbidden_character",
        "not UTF-8": "not_utf8",
        "space in the key name": "note_unsigned",  # it lacks its newline as well
        "unexpected line": "bad_signature_line",
        "101 signatures": "note_signature_count",
    }


def as_checkpoint(text):
    return parse_checkpoint(
        encode_note(UnverifiedNote(text.encode(), (NoteSignature("any", b"0000", b"0"),)))
    )


def test_tree_texts(notes):
    v = notes["tree_text"]
    checkpoint = as_checkpoint(v["text"])
    assert (checkpoint.origin, checkpoint.size) == (v["origin"], v["size"])
    assert checkpoint.root == leaf_hash(v["leaf"].encode())
    assert len(as_checkpoint(v["text"] + "JOE\n" * 1000).extensions) == 1000
    other_origin, *malformed = notes["bad_tree_texts"]
    assert as_checkpoint(other_origin).origin != v["origin"]
    codes = []
    for text in malformed:
        with pytest.raises(MalformedError) as caught:
            as_checkpoint(text)
        codes.append(caught.value.code)
    assert codes == ["not_decimal", "not_base64"]
