"""Write countermark/attachments.json: files sealed in pieces, and every check on them that must fail.

Files of megabytes are not kept: they are SHAKE-256 of a text, so long, and what is delivered is said by which slices of
which sealings are joined, and which bytes are flipped. Run:

    python tests/vectors/generate_attachments.py [--check | --renew]     as generate_vectors.py
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from generate_vectors import (
    CONTENT,
    B,
    Cases,
    Stanzas,
    X,
    compose,
    fixed,
    main,
    make_vector_world,
    secrets_of,
)

from countermark_protocol.attachments import (
    MAX_SEALED_BYTES,
    PIECE_BYTES,
    SealedAttachment,
    attachment_digest,
    piece_digest,
)
from countermark_protocol.chunks import seal_chunks
from countermark_protocol.descriptors import AttachmentDescriptor, Thumbnail, ThumbnailType
from countermark_protocol.disclosure import encode_disclosure
from countermark_protocol.documents import sign_document
from countermark_protocol.encoding import encode_json
from countermark_protocol.padding import pad
from countermark_protocol.parts import Part, disclose_parts, split_content
from countermark_protocol.sealed_attachments import AttachmentSealer, attachment_key
from countermark_protocol.sealing import seal_content
from countermark_protocol.submission import encode_submission
from support.attached import Attached
from support.world import KAMPALA, NAIROBI, ORIGIN, seed

SMALL = {"shake": "a small file", "size": 40_000}
LARGE = {"shake": "a file of three pieces", "size": 9_000_000}
HEADER, CHUNK, PIECE = 56, 16_400, PIECE_BYTES


def content_of(file):
    return hashlib.shake_256(file["shake"].encode()).digest(file["size"])


def salt_of(message, number):
    return fixed(f"{message} salt of attachment {number}", 24)


@functools.cache
def _attached(message, number, shake, size, name) -> Attached:
    key = attachment_key(secrets_of(message), number)
    sealer = AttachmentSealer(key, salt_of(message, number), [content_of({"shake": shake, "size": size})])
    pieces = tuple(sealer)
    file = sealer.result
    return Attached(file, pieces, AttachmentDescriptor(file.sha256, file.size, name, "image/jpeg"))


def attached(file, message="attached", number=0, name="photograph.jpg") -> Attached:
    """A file sealed as an attachment of the message of that name."""
    return _attached(message, number, file["shake"], file["size"], name)


def how(file, message="attached", number=0):
    """What a sealing is made from."""
    key = X(secrets_of(message).content_key)
    return {"content_key": key, "number": number, "salt": salt_of(message, number).hex(), "file": file}


def sealed(how_made):
    """All sealed bytes; ``ends`` are the last bytes of the padded file, where they are not zero."""
    message = next(
        m for m in ("attached", "another") if X(secrets_of(m).content_key) == how_made["content_key"]
    )
    if "ends" not in how_made:
        one = attached(how_made["file"], message, how_made["number"])
        return b"".join(piece.data for piece in one.pieces)
    padded, ends = pad(content_of(how_made["file"])), bytes.fromhex(how_made["ends"])
    key = attachment_key(secrets_of(message), how_made["number"]).secret
    return seal_chunks(key, padded[: -len(ends)] + ends, bytes.fromhex(how_made["salt"]), b"")


def delivered(value):
    """The pieces of an `open_attachment` case."""
    from_ = [sealed(one) for one in value["sealed"]]
    joined = bytearray(b"".join(from_[which][begin:end] for which, begin, end in value["slices"]))
    for offset, mask in value["flips"]:
        joined[offset] ^= mask
    return [bytes(joined[at : at + PIECE]) for at in range(0, len(joined), PIECE)]


def opening(file=SMALL, others=(), slices=None, flips=(), named=False, ends=None, **changes):
    """An `open_attachment` case; `named` where a sender's manifest names what is delivered, whatever it is."""
    one = attached(file)
    base = how(file) | ({"ends": ends} if ends else {})
    value = {
        "content_key": base["content_key"],
        "number": 0,
        "attachment": one.file.named.to_json(),
        "pieces": list(map(X, one.file.pieces)),
        "descriptor": one.descriptor.to_json(),
        "sealed": [base, *others],
        "slices": [[0, 0, one.file.named.size]] if slices is None else slices,
        "flips": list(flips),
    }
    if named:
        pieces = delivered(value)
        digests, size = list(map(piece_digest, pieces)), sum(map(len, pieces))
        value |= {
            "attachment": SealedAttachment(attachment_digest(size, digests), size).to_json(),
            "pieces": list(map(X, digests)),
        }
    return value | changes


# --- sealing and opening ---------------------------------------------------------------------------------


def sealing_cases(out):
    names = {
        1: "1_byte",
        256: "256_bytes",
        257: "257_bytes",
        16_384: "a_chunk",
        PIECE - 65_536: "just_below_4_mib",
    }
    names |= {PIECE: "exactly_4_mib", LARGE["size"]: "three_pieces"}
    for size, name in names.items():
        file = {"shake": f"a file of {size}", "size": size}
        one = attached(file)
        out.good(
            f"seal_{name}",
            "seal_attachment",
            how(file),
            {
                "key": X(attachment_key(secrets_of("attached"), 0).secret),
                "attachment": one.file.named.to_json(),
                "pieces": list(map(X, one.file.pieces)),
                "sha256": X(one.file.sha256),
            },
        )
    same = {X(attached(SMALL, m, k).file.named.digest) for m in ("attached", "another") for k in (0, 1)}
    assert len(same) == 4  # equal files, and nothing in common
    for message, number in (("attached", 0), ("attached", 1), ("another", 0)):
        one = attached(SMALL, message, number)
        out.good(
            f"seal_equal_file_{message}_{number}",
            "seal_attachment",
            how(SMALL, message, number),
            {
                "key": X(attachment_key(secrets_of(message), number).secret),
                "attachment": one.file.named.to_json(),
                "pieces": list(map(X, one.file.pieces)),
                "sha256": X(one.file.sha256),
            },
        )


def opening_cases(out):
    def bad(name, code, *args, **kwargs):
        out.bad(name, "open_attachment", opening(*args, **kwargs), "SealError", code)

    def whole(file):
        return {"sha256": X(attached(file).file.sha256), "size": file["size"]}

    large, small = (attached(file) for file in (LARGE, SMALL))
    end, last = large.file.named.size, small.file.named.size
    out.good("open_small", "open_attachment", opening(), whole(SMALL))
    out.good("open_three_pieces", "open_attachment", opening(LARGE), whole(LARGE))

    first, second, third = [0, 0, PIECE], [0, PIECE, 2 * PIECE], [0, 2 * PIECE, end]
    other_number, other_message = how(LARGE, number=1), how(LARGE, "another")
    bad("truncated_piece", "piece_swapped", LARGE, slices=[[0, 0, end - 1]])
    bad("truncated_last_piece_missing", "truncated_ciphertext", LARGE, slices=[first, second])
    bad("truncated_no_piece", "truncated_ciphertext", LARGE, slices=[])
    bad("reordered_pieces", "piece_swapped", LARGE, slices=[second, first, third])
    bad("repeated_piece", "piece_swapped", LARGE, slices=[first, first, third])
    bad("added_piece", "piece_swapped", LARGE, slices=[first, second, third, [0, 0, 3 * PIECE - end + 5]])
    digests = list(map(X, large.file.pieces))
    bad("reordered_list", "attachment_swapped", LARGE, slices=[second, first, third],
        pieces=[digests[1], digests[0], digests[2]])  # fmt: skip
    bad("wrong_count_in_list_one_less", "attachment_swapped", LARGE, pieces=digests[:-1])
    bad("wrong_count_in_list_one_more", "attachment_swapped", LARGE, pieces=[*digests, digests[-1]])
    foreign = [first, [1, PIECE, 2 * PIECE], third]
    bad("swapped_piece_of_another_attachment", "piece_swapped", LARGE, [other_number], foreign)
    bad("swapped_piece_of_another_message", "piece_swapped", LARGE, [other_message], foreign)
    bad("swapped_piece_of_another_attachment_in_list", "attachment_swapped", LARGE, [other_number], foreign,
        pieces=[digests[0], X(attached(LARGE, number=1).file.pieces[1]), digests[2]])  # fmt: skip
    bad(
        "swapped_piece_of_another_attachment_named",
        "altered_ciphertext",
        LARGE,
        [other_number],
        foreign,
        named=True,
    )
    bad("tampered_byte_in_piece", "piece_swapped", LARGE, flips=[[PIECE + 100, 1]])

    chunks = [[0, HEADER + n * CHUNK, HEADER + (n + 1) * CHUNK] for n in range(2)]
    tail = [0, HEADER + 2 * CHUNK, last]
    bad("tampered_byte_named", "altered_ciphertext", flips=[[HEADER + CHUNK + 7, 1]], named=True)
    bad("tampered_salt_named", "wrong_key", flips=[[0, 1]], named=True)
    bad("tampered_commitment_named", "wrong_key", flips=[[24, 1]], named=True)
    bad(
        "reordered_chunks_named",
        "altered_ciphertext",
        slices=[[0, 0, HEADER], *chunks[::-1], tail],
        named=True,
    )
    bad("repeated_chunk_named", "altered_ciphertext",
        slices=[[0, 0, HEADER], chunks[0], chunks[0], tail], named=True)  # fmt: skip
    bad("swapped_chunk_of_another_attachment_named", "altered_ciphertext", SMALL, [how(SMALL, number=1)],
        [[0, 0, HEADER], chunks[0], [1, *chunks[1][1:]], tail], named=True)  # fmt: skip
    for name, other in (("attachment", how(SMALL, number=1)), ("message", how(SMALL, "another"))):
        bad(f"swapped_attachment_of_another_{name}", "wrong_key", SMALL, [other], [[1, 0, last]], named=True)
    bad("truncated_ciphertext_named", "attachment_size", slices=[[0, 0, last - 16]], named=True)
    bad("wrong_size_in_manifest", "attachment_swapped",
        attachment=small.file.named.to_json() | {"size": last + 1})  # fmt: skip
    size = last + 2048
    lie = SealedAttachment(attachment_digest(size, small.file.pieces), size).to_json()
    bad("wrong_size_in_manifest_named", "attachment_size", attachment=lie)
    described = small.descriptor.to_json()
    bad("wrong_size_in_descriptor", "attachment_size", descriptor=described | {"size": 41_000})
    bad("wrong_size_in_both", "piece_swapped", attachment=lie, descriptor=described | {"size": 41_700})
    bad("descriptor_one_byte_short", "non_zero_padding", descriptor=described | {"size": SMALL["size"] - 1})
    bad("descriptor_one_byte_long", "file_mismatch", descriptor=described | {"size": SMALL["size"] + 1})
    bad(
        "descriptor_of_another_file",
        "file_mismatch",
        descriptor=described | {"sha256": X(fixed("other file", 32))},
    )
    bad("non_zero_padding", "non_zero_padding", slices=[[0, 0, last]], ends="01", named=True)
    bad("non_zero_padding_at_its_beginning", "non_zero_padding", slices=[[0, 0, last]],
        ends="01" + "00" * (len(pad(bytes(SMALL["size"]))) - SMALL["size"] - 1), named=True)  # fmt: skip


# --- descriptors and parts --------------------------------------------------------------------------------

BAD_NAMES = {
    "empty": "", "path_separator": "a/b.jpg", "path_to_parent": "..", "path_backslash": "a\\b.jpg", "drive": "c:a.jpg",
    "hidden_file": ".profile", "full_stop_at_end": "a.", "space_at_begin": " a", "line_feed": "a\nb", "control_c1": "a\x85b",
    "bidi_override": "gpj.\u202eexe", "bidi_isolate": "a\u2066b", "bidi_mark": "a\u200fb", "zero_width_space": "a\u200bb",
    "byte_order_mark": "a\ufeffb", "line_separator": "a\u2028b", "private_use": "a\ue000b", "tag": "a\U000e0041b",
    "device": "NUL.txt", "device_with_superscript": "com¹", "pattern": "a*", "too_long": "x" * 121, "too_many_bytes": "€" * 81,
}  # fmt: skip
GOOD_NAMES = [
    "a",
    "IMG_0001.JPG",
    "n° 4, à gauche.pdf",
    "شماره\u200cی سریال.jpg",
    "序列号.png",
    "é" * 120,
    "console.txt",
]


def descriptor_cases(out):
    base = attached(SMALL).descriptor
    whole = replace(
        base, caption="left side of the slide", thumbnail=Thumbnail(ThumbnailType.PNG, 64, 48, b"picture")
    )

    def given(json):
        return {"data": B(encode_json(json))}

    out.good("descriptor", "descriptor", given(whole.to_json()), {"name": base.name, "size": base.size})
    for number, name in enumerate(GOOD_NAMES):
        out.good(f"file_name_{number}", "descriptor", given(base.to_json() | {"name": name}),
                 {"name": name, "size": base.size})  # fmt: skip
    for what, name in BAD_NAMES.items():
        out.bad(f"bad_file_name_{what}", "descriptor", given(base.to_json() | {"name": name}),
                "MalformedError", "bad_file_name")  # fmt: skip
    thumbnail = whole.to_json()["thumbnail"]
    for name, code, changes in [
        ("size_none", "bad_member", {"size": 0}),
        ("size_above_2_gib", "bad_member", {"size": 2**31 + 1}),
        ("media_type_with_parameter", "bad_member", {"mediaType": "text/html;charset=utf-8"}),
        ("media_type_in_capitals", "bad_member", {"mediaType": "Image/JPEG"}),
        ("caption_of_two_lines", "bad_member", {"caption": "a\nb"}),
        (
            "thumbnail_of_another_form",
            "bad_member",
            {"thumbnail": thumbnail | {"mediaType": "image/svg+xml"}},
        ),
        ("thumbnail_too_wide", "bad_member", {"thumbnail": thumbnail | {"width": 513}}),
        ("thumbnail_empty", "bad_member", {"thumbnail": thumbnail | {"data": ""}}),
        ("unknown_member", "unknown_member", {"path": "a"}),
        ("sha256_in_capitals", "not_hex", {"sha256": "AB" * 32}),
    ]:
        out.bad(f"descriptor_{name}", "descriptor", given(whole.to_json() | changes), "MalformedError", code)


def parts_cases(out):
    ones = [attached(SMALL), attached(LARGE, number=1, name="report.jpg")]
    named = [one.file.named.to_json() for one in ones]
    parts = [[p.name, p.data.decode()] for p in split_content(CONTENT, [one.descriptor for one in ones])]
    content, first, second = parts[:-2], parts[-2], parts[-1]

    def given(parts_, attachments=named):
        return {"parts": parts_, "attachments": attachments}

    output = {"attachments": [first[0], second[0]], "document": CONTENT}
    out.good("descriptors_after_the_content", "parts", given(parts), output)
    for name, error, code, value in [
        ("wrong_count_of_descriptors", "SealError", "attachment_count", given(parts[:-1])),
        ("wrong_count_of_descriptors_none", "SealError", "attachment_count", given(content)),
        ("wrong_count_in_manifest", "SealError", "attachment_count", given(parts, named[:1])),
        ("descriptor_mismatch", "SealError", "attachment_size", given(parts, named[::-1])),
        ("reordered_descriptors", "MalformedError", "part_order", given([*content, second, first])),
        ("repeated_descriptor", "MalformedError", "part_order", given([*content, first, first])),
        ("descriptor_before_the_content", "MalformedError", "part_order", given([first, *content])),
        ("descriptor_numbered_oddly", "MalformedError", "bad_part_name",
         given([*content, ["attachment:00", first[1]]], named[:1])),
        ("descriptor_beyond_the_last", "MalformedError", "bad_part_name",
         given([*content, ["attachment:256", first[1]]], named[:1])),
        ("descriptor_that_is_none", "MalformedError", "missing_member", given([*content, [first[0], "{}"]], named[:1])),
    ]:  # fmt: skip
        out.bad(name, "parts", value, error, code)


# --- messages --------------------------------------------------------------------------------------------


def message_cases(out, world, message, other):
    keys = [world.agencies[NAIROBI].instance.public_key.to_json()]
    m = message

    def sub(data):
        return {"submission": B(data), "keys": keys}

    def listed(pieces):
        return sub(encode_submission(m.document, m.rows, m.stanzas, m.content, pieces))

    (a,), (b, c, d) = lists = [one.file.pieces for one in m.attached]
    foreign = other.attached[0].file.pieces
    out.good("submission", "submission", sub(m.data), {"payload_hash": X(m.payload_hash)})
    for name, pieces in [
        ("wrong_count_no_list", []),
        ("wrong_count_one_list", lists[:1]),
        ("wrong_count_one_list_more", [*lists, [a]]),
        ("wrong_count_of_pieces_one_less", [[a], [b, c]]),
        ("wrong_count_of_pieces_one_more", [[a], [b, c, d, d]]),
        ("reordered_pieces_in_submission", [[a], [c, b, d]]),
        ("reordered_lists", lists[::-1]),
        ("swapped_piece_between_attachments", [[b], [a, c, d]]),
        ("swapped_piece_between_messages", [foreign, [b, c, d]]),
    ]:
        out.bad(name, "submission", listed(pieces), "MalformedError", "attachment_mismatch")
    out.bad("truncated_list", "submission", sub(m.data[:-1]), "MalformedError", "truncated")
    out.bad("bytes_after_the_lists", "submission", sub(m.data + b"\0"), "MalformedError", "trailing_bytes")

    json = m.manifest.to_json()
    one = json["attachments"][0]

    def manifest(*attachments):
        return {"payload": B(encode_json(json | {"attachments": list(attachments)}))}

    def largest(number):
        return {"digest": X(fixed(f"largest {number}", 32)), "size": MAX_SEALED_BYTES}

    out.good("manifest_with_attachments", "manifest", manifest(*json["attachments"]))
    out.good("manifest_with_the_largest", "manifest", manifest(*map(largest, range(3))))
    for name, code, attachments in [
        ("too_many_pieces", "too_many_pieces", map(largest, range(4))),
        ("attachment_twice", "bad_member", (one, one)),
        ("attachment_smaller_than_any", "bad_member", (one | {"size": 327},)),
        ("attachment_larger_than_any", "bad_member", (one | {"size": MAX_SEALED_BYTES + 1},)),
        ("attachment_with_a_name", "unknown_member", (one | {"name": "a.jpg"},)),
    ]:
        out.bad(name, "manifest", manifest(*attachments), "MalformedError", code)

    row = [r.endpoint for r in m.rows].index(KAMPALA)
    content = m.manifest.content

    def opening_of(ciphertexts):
        return {
            "seed": X(seed(f"sealing {KAMPALA}")),
            "log": ORIGIN,
            "message_id": m.manifest.id,
            "type": m.manifest.type,
            "sender": m.manifest.sender,
            "recipient": KAMPALA,
            "ciphertexts": list(map(X, ciphertexts)),
            "stanza": B(m.stanzas[row]),
            "ciphertext": B(m.content),
            "content": {
                "digest": X(content.digest),
                "size": content.size,
                "commitment": X(content.commitment),
            },
            "attachments": json["attachments"],
        }

    digests = m.manifest.ciphertexts
    parts = split_content(CONTENT, [one.descriptor for one in m.attached])
    output = {"parts": [[p.name, p.data.decode()] for p in parts]}
    out.good("message_with_attachments", "open", opening_of(digests), output)
    swapped = (digests[0], other.manifest.ciphertexts[1], digests[2])
    for name, wrong in [
        ("swapped_attachment_digest_of_another_message", swapped),
        ("swapped_attachment_digests_reordered", (digests[0], digests[2], digests[1])),
        ("swapped_attachment_digest_left_out", digests[:2]),
    ]:
        out.bad(name, "open", opening_of(wrong), "SealError", "stanza_does_not_open")


def disclosure_cases(out, message):
    secrets, files = message.secrets, [SMALL, LARGE]
    parts = split_content(CONTENT, [one.descriptor for one in message.attached])

    def shown(names, number, file, document=message.document, of=parts):
        data = encode_disclosure(document, disclose_parts(of, secrets.opener, frozenset(names)))
        return {"disclosure": B(data), "attachment": number, "file": file}

    second = {"attachment:1"}
    out.good(
        "disclosed_file", "shown_file", shown(second, 1, LARGE), {"name": message.attached[1].descriptor.name}
    )
    for name, error, code, value in [
        ("disclosed_another_file", "SealError", "file_mismatch", shown(second, 1, files[0])),
        (
            "disclosed_truncated_file",
            "SealError",
            "file_mismatch",
            shown(second, 1, LARGE | {"size": 8_999_999}),
        ),
        (
            "disclosed_file_with_more",
            "SealError",
            "file_mismatch",
            shown(second, 1, LARGE | {"size": 9_000_001}),
        ),
        ("disclosed_file_of_a_closed_part", "ProofError", "attachment_not_shown", shown(second, 0, SMALL)),
    ]:
        out.bad(name, "shown_file", value, error, code)

    def spoilt(extra, attachments):
        """What a sender signs for, however little it fits together."""
        _, content = seal_content((*parts[:-2], extra), secrets, fixed("spoilt", 24))
        manifest = replace(message.manifest, content=content, attachments=attachments)
        document = make_document(manifest)
        return shown({extra.name}, 0, SMALL, document, (*parts[:-2], extra))

    described, named = Part("attachment:0", parts[-2].data), message.manifest.attachments
    for name, error, code, value in [
        ("disclosed_descriptor_of_no_attachment", "SealError", "attachment_count", spoilt(described, ())),
        ("disclosed_descriptor_mismatch", "SealError", "attachment_size", spoilt(described, named[1:])),
        ("disclosed_descriptor_that_is_none", "MalformedError", "missing_member",
         spoilt(Part("attachment:0", b"{}"), named[:1])),
    ]:  # fmt: skip
        out.bad(name, "shown_file", value, error, code)


def make_document(manifest):
    """Signed by the message's sender."""
    return sign_document(encode_json(manifest.to_json()), [make_vector_world().agencies[NAIROBI].instance])


def build(renew: bool = False) -> dict[str, str]:
    """Name and text of the file."""
    out = Cases(
        "attachments, docs/spec/sealing.md §9, messages.md §9, disclosure.md §3. `seal_attachment`: seal the file under the "
        "content key's attachment key and the salt. `open_attachment`: seal each of `sealed`, join `slices` [which, "
        "from, to], flip [offset, mask], cut into pieces: what is delivered; open it. `file`: SHAKE-256 of the text, so many bytes"
    )
    stanzas, world = Stanzas(renew, "attachments.json"), make_vector_world()
    message = compose(
        world, stanzas, "attached", recipients=(KAMPALA,),
        attached=[attached(SMALL), attached(LARGE, number=1, name="report.jpg")],
    )  # fmt: skip
    other = compose(world, stanzas, "another", recipients=(KAMPALA,), attached=[attached(SMALL, "another")])
    sealing_cases(out)
    opening_cases(out)
    descriptor_cases(out)
    parts_cases(out)
    message_cases(out, world, message, other)
    disclosure_cases(out, message)
    out.more["stanzas"] = dict(sorted(stanzas.used.items()))
    return {"attachments.json": json.dumps(out.to_json(), indent=1, ensure_ascii=False) + "\n"}


if __name__ == "__main__":
    raise SystemExit(main(build(renew="--renew" in sys.argv)))
