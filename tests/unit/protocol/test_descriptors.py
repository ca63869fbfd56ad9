"""What a message says of an attached file: names that stay in their folder, and files that are the ones described."""

from dataclasses import replace
from hashlib import sha256

import pytest

from countermark_protocol.attachments import MAX_FILE_BYTES
from countermark_protocol.descriptors import (
    MAX_THUMBNAIL_BYTES,
    AttachmentDescriptor,
    Thumbnail,
    ThumbnailType,
    attachment_number,
    check_file_name,
    descriptor_of,
    parse_descriptor,
    part_name,
    verify_file,
)
from countermark_protocol.encoding import encode_base64url, encode_json
from countermark_protocol.errors import MalformedError, SealError

FILE = b"a photograph of a serial number"
THUMBNAIL = Thumbnail(ThumbnailType.JPEG, 512, 1, b"\xff\xd8")
BARE = AttachmentDescriptor(sha256(FILE).digest(), len(FILE), "slide.jpg", "image/jpeg")
WHOLE = replace(BARE, caption="left side of the slide", thumbnail=THUMBNAIL)


@pytest.mark.parametrize("one", [BARE, WHOLE, replace(BARE, size=MAX_FILE_BYTES), replace(BARE, size=1)])
def test_round_trip(one):
    assert parse_descriptor(one.encode()) == one
    assert list(WHOLE.to_json()) == ["sha256", "size", "name", "mediaType", "caption", "thumbnail"]


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "IMG_0001.JPG",
        "n° 4 (gauche), 2ème.pdf",
        "тисненая марка.png",
        "شماره\u200cی سریال.jpg",
        "मार्क\u200d.png",
        "序列号.jpg",
        "icon.png",
        "console.txt",
        "com10.txt",
        "x" * 120,
        "é" * 120,
    ],
)
def test_names(name):
    assert check_file_name(name) == name
    assert parse_descriptor(replace(BARE, name=name).encode()).name == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../../etc/passwd",
        "a/b",
        "a\\b",
        "C:a",
        "a:stream",
        "a*",
        "a?",
        '"a"',
        "a<b",
        "a>b",
        "a|b",
        ".profile",
        "a.",
        " a",
        "a ",
        "a\nb",
        "a\tb",
        "a\x7fb",
        "a\x85b",
        "a\u202egpj.exe",
        "a\u200eb",
        "a\u2066b",
        "a\u061cb",
        "a\u200bb",
        "a\u00adb",
        "a\ufeffb",
        "a\u2028b",
        "a\ue000b",
        "a\uffffb",
        "a\U000e0041b",
        "a\U00100000b",
        "\u3164",
        "con",
        "CON.txt",
        "nul.tar.gz",
        "Com1",
        "lpt9.doc",
        "com¹",
        "x" * 121,
        "€" * 81,
        None,
        7,
    ],
)
def test_names_that_leave_the_folder_or_show_as_something_else(name):
    with pytest.raises(MalformedError, match="bad_file_name"):
        descriptor_of(BARE.to_json() | {"name": name})


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("not_hex", {"sha256": "AB" * 32}),
        ("bad_member", {"size": 0}),
        ("bad_member", {"size": MAX_FILE_BYTES + 1}),
        ("bad_member", {"size": True}),
        ("bad_member", {"mediaType": "image"}),
        ("bad_member", {"mediaType": "image/JPEG"}),
        ("bad_member", {"mediaType": "text/html; charset=utf-8"}),
        ("bad_member", {"mediaType": "image/jpeg\n"}),
        ("bad_member", {"mediaType": "image/" + "j" * 64}),
        ("bad_member", {"mediaType": None}),
        ("bad_member", {"caption": ""}),
        ("bad_member", {"caption": "c" * 501}),
        ("bad_member", {"caption": "two\nlines"}),
        ("bad_member", {"caption": "\u202edesrever"}),
        ("bad_member", {"caption": None}),
        ("not_an_object", {"thumbnail": None}),
        ("bad_member", {"thumbnail": THUMBNAIL.to_json() | {"mediaType": "image/svg+xml"}}),
        ("bad_member", {"thumbnail": THUMBNAIL.to_json() | {"width": 0}}),
        ("bad_member", {"thumbnail": THUMBNAIL.to_json() | {"height": 513}}),
        ("bad_member", {"thumbnail": THUMBNAIL.to_json() | {"data": ""}}),
        (
            "not_base64url",
            {"thumbnail": THUMBNAIL.to_json() | {"data": encode_base64url(bytes(MAX_THUMBNAIL_BYTES + 1))}},
        ),
        ("unknown_member", {"thumbnail": THUMBNAIL.to_json() | {"alt": "x"}}),
        ("unknown_member", {"path": "/tmp"}),
    ],
)
def test_descriptors_that_are_none(code, changes):
    with pytest.raises(MalformedError, match=code):
        parse_descriptor(encode_json(WHOLE.to_json() | changes))


@pytest.mark.parametrize("member", ["sha256", "size", "name", "mediaType"])
def test_members_that_are_left_out(member):
    with pytest.raises(MalformedError, match="missing_member"):
        descriptor_of({name: value for name, value in WHOLE.to_json().items() if name != member})


def test_none_is_made_that_would_not_be_read():
    with pytest.raises(MalformedError, match="bad_file_name"):
        replace(BARE, name="../x").encode()
    largest = replace(BARE, thumbnail=replace(THUMBNAIL, data=bytes(MAX_THUMBNAIL_BYTES)))
    assert parse_descriptor(largest.encode()) == largest


def test_names_of_parts():
    assert [attachment_number(part_name(k)) for k in (0, 9, 255)] == [0, 9, 255]
    assert attachment_number("/attachment") is None
    for name in (
        "attachment:",
        "attachment:00",
        "attachment:256",
        "attachment:-1",
        "attachment:1\n",
        "attachment:x",
    ):
        with pytest.raises(MalformedError, match="bad_part_name"):
            attachment_number(name)


@pytest.mark.parametrize("cut", [0, 1, 15, len(FILE)])
def test_a_file_that_is_the_one_described(cut):
    verify_file(BARE, [FILE[:cut], memoryview(FILE)[cut:]])


def test_files_that_are_not():
    flipped = bytes([FILE[0] ^ 1]) + FILE[1:]
    for blocks in ([FILE[:-1]], [FILE, b"x"], [flipped], [], [FILE[1:], FILE[:1]]):
        with pytest.raises(SealError, match="file_mismatch"):
            verify_file(BARE, blocks)


def test_no_more_is_read_than_the_file_may_have():
    def endless():
        while True:
            yield FILE

    with pytest.raises(SealError, match="file_mismatch"):
        verify_file(BARE, endless())
