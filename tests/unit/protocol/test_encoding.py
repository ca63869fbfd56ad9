"""The encodings under everything: one form each, and nothing but our own errors from any input."""

import hashlib
import hmac
import json

import pytest

from countermark_protocol.encoding import (
    MAX_JSON_DEPTH,
    MAX_JSON_INTEGER,
    Reader,
    Writer,
    encode_base64url,
    encode_hex,
    encode_json,
    labelled_bytes,
    labelled_hash,
    labelled_hmac,
    parse_base64url,
    parse_digest,
    parse_hex,
    parse_json,
    parse_object,
)
from countermark_protocol.errors import MalformedError


def refused(code, function, *args, **more):
    with pytest.raises(MalformedError) as caught:
        function(*args, **more)
    assert caught.value.code == code, caught.value
    return caught.value


def test_labelled_hash_is_framed_as_the_spec_says():
    framed = b"\x12countermark/1/test" + (3).to_bytes(8, "big") + b"abc" + (0).to_bytes(8, "big")
    assert labelled_bytes("test", b"abc", b"") == framed
    assert labelled_hash("test", b"abc", b"") == hashlib.sha256(framed).digest()
    assert labelled_hmac("test", b"key", b"abc", b"") == hmac.digest(b"key", framed, "sha256")


def test_no_two_field_lists_share_a_frame():
    seen = [
        labelled_hash("a", b"bc"),
        labelled_hash("a", b"b", b"c"),
        labelled_hash("a", b"bc", b""),
        labelled_hash("a", b"", b"bc"),
        labelled_hash("ab", b"c"),
        labelled_hash("a"),
    ]
    assert len(set(seen)) == len(seen)


# --- framed binary ---


def test_writer_and_reader_are_inverse():
    data = Writer().uint(7, 1).uint(2**64 - 1, 8).fixed(b"abc", 3).sized(b"hello", 2).done()
    reader = Reader(data, "record")
    assert reader.uint(1, "a") == 7
    assert reader.uint(8, "b") == 2**64 - 1
    assert reader.fixed(3, "c") == b"abc"
    assert reader.sized(2, 5, "d") == b"hello"
    reader.end()


def test_writer_refuses_another_size():
    with pytest.raises(ValueError, match="expected 3 bytes, got 2"):
        Writer().fixed(b"ab", 3)


@pytest.mark.parametrize("cut", range(8))
def test_reader_refuses_every_truncation(cut):
    data = Writer().uint(1, 2).sized(b"wxyz", 2).done()
    reader = Reader(data[:cut], "record")
    error = refused("truncated", lambda: (reader.uint(2, "number"), reader.sized(2, 10, "bytes")))
    assert "record" in error.message


def test_reader_refuses_too_large_and_too_long():
    reader = Reader(Writer().sized(bytes(11), 4).done(), "record")
    refused("oversized_field", reader.sized, 4, 10, "bytes")
    # A length that claims gigabytes is refused by its number, before anything of that size is looked for.
    refused("oversized_field", Reader(b"\xff\xff\xff\xff", "record").sized, 4, 10, "bytes")
    reader = Reader(b"ab", "record")
    reader.uint(1, "a")
    refused("trailing_bytes", reader.end)


# --- JSON ---


@pytest.mark.parametrize(
    ("code", "data"),
    [
        ("not_json", b""),
        ("not_json", b" "),
        ("not_json", b"{"),
        ("not_json", b"{'a':1}"),
        ("not_json", b'{"a":1,}'),
        ("not_json", b'{"a":01}'),
        ("not_json", b'{"a":+1}'),
        ("not_json", b'{"a":.5}'),
        ("not_json", b'"a\nb"'),
        ("not_json", b'"a\x00b"'),
        ("not_json", b'"\\x41"'),
        ("not_json", b"// comment\n1"),
        ("not_json", b"\xef\xbb\xbf{}"),
        ("not_json", b"\x0b1"),
        ("not_utf8", b'"\xff"'),
        ("not_utf8", b'"\xed\xa0\x80"'),
        ("not_utf8", b'"\xc0\x80"'),
        ("trailing_bytes", b"{} {}"),
        ("trailing_bytes", b"{}\x00"),
        ("trailing_bytes", b"1 2"),
        ("duplicate_member", b'{"a":1,"a":1}'),
        ("duplicate_member", b'{"b":{"a":1,"c":2,"\\u0061":2}}'),
        ("number_not_integer", b"1.0"),
        ("number_not_integer", b"1e3"),
        ("number_not_integer", b"-0.0"),
        ("number_not_integer", b"NaN"),
        ("number_not_integer", b"-Infinity"),
        ("number_out_of_range", b"9007199254740992"),
        ("number_out_of_range", b"-9007199254740992"),
        ("number_out_of_range", b"-0"),
        ("number_out_of_range", b"1" * 5000),
        ("forbidden_character", b'"\\u0000"'),
        ("forbidden_character", b'{"\\u0000":1}'),
        ("forbidden_character", b'"\\ud800"'),
        ("forbidden_character", b'["a",{"b":"\\udfff"}]'),
        ("forbidden_character", b'"\\udc00\\ud800"'),
    ],
)
def test_json_outside_the_language(code, data):
    error = refused(code, parse_json, data, "thing")
    assert "\x00" not in str(error)


def test_json_depth_is_bounded():
    deep = b"[" * (MAX_JSON_DEPTH - 1) + b"1" + b"]" * (MAX_JSON_DEPTH - 1)
    assert parse_json(deep) is not None
    refused("nested_too_deep", parse_json, b"[" + deep + b"]")
    refused("nested_too_deep", parse_json, b'{"a":' * MAX_JSON_DEPTH + b"1" + b"}" * MAX_JSON_DEPTH)
    # Deeper than the interpreter recurses.
    refused("nested_too_deep", parse_json, b"[" * 200_000 + b"]" * 200_000)


def test_json_inside_the_language():
    text = ' {"a":[1,-2,true,null,"\\u00e9\\ud83d\\ude00","\\\\u0000"],"":{}}\n'
    assert parse_json(text.encode()) == {"a": [1, -2, True, None, "é😀", "\\u0000"], "": {}}
    assert parse_json(str(MAX_JSON_INTEGER).encode()) == MAX_JSON_INTEGER


def test_object_is_demanded():
    assert parse_object(b'{"a":1}') == {"a": 1}
    for data in (b"[]", b"1", b'"a"', b"null"):
        refused("not_an_object", parse_object, data)


def test_written_json_is_compact_and_read_back():
    value = {"b": "é", "a": [1, {"c": None}]}
    assert encode_json(value) == '{"b":"é","a":[1,{"c":null}]}'.encode()
    assert json.loads(encode_json(value)) == parse_json(encode_json(value)) == value
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_json(float("nan"))


# --- text forms ---


def test_hex():
    assert parse_hex("00ff", 2, "x") == b"\x00\xff"
    assert parse_digest(encode_hex(bytes(32)), "x") == bytes(32)
    for text in ("00FF", "00f", "00ff00", "", "00 f", "00fg", None, 0, b"00ff", ["00ff"], "00f\n"):
        refused("not_hex", parse_hex, text, 2, "x")
    refused("not_hex", parse_digest, "00" * 31, "x")


def test_base64url():
    for size in range(6):
        data = bytes(range(250, 250 + size))
        assert parse_base64url(encode_base64url(data), "x") == data
    for text in ("A", "AA==", "AB", "AAB", "A+", "A/", "AA\n", " AA", "ÄÄ", None, 1, b"AA", {}):
        refused("not_base64url", parse_base64url, text, "x")
    refused("not_base64url", parse_base64url, "A" * 12, "x", limit=11)
