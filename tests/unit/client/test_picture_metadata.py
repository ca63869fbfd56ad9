"""Pictures that tell more than they show are recognised from their outline, whatever their bytes are."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countermark_client import Attach, _images, testing
from countermark_client._picture_metadata import MetadataScan
from support.examples import tried
from unit.client.test_images import _saved

KENYA, BELGIUM = "ke.police.nairobi", "be.contact.federal"
FOUND = {
    "image/jpeg": {"EXIF", "XMP", "comment"},
    "image/png": {"EXIF", "XMP", "text"},
    "image/webp": {"EXIF", "XMP"},
    "image/tiff": {"maker", "XMP", "IPTC"},
}


def box(kind, data):
    return (8 + len(data)).to_bytes(4, "big") + kind + data


HEIF = (
    box(b"ftyp", b"heic\0\0\0\0mif1heic") + box(b"meta", b"\0\0\0\0...Exif\0application/rdf+xml\0") + b"rest"
)


def found_in(data, cut=1 << 20):
    scan = MetadataScan()
    assert b"".join(scan.watch(data[at : at + cut] for at in range(0, len(data), cut))) == data
    return scan.found


@pytest.mark.parametrize("cut", [1, 7, 1 << 20])
@pytest.mark.parametrize("media_type", FOUND)
def test_what_a_picture_tells_is_named_and_what_was_written_anew_tells_nothing(media_type, cut):
    given_ = _saved(media_type)
    assert set(found_in(given_, cut)) == FOUND[media_type]
    made, _ = _images.strip_image(io.BytesIO(given_), media_type)
    assert found_in(made, cut) == []


def test_other_forms():
    assert found_in(HEIF, 5) == ["EXIF", "XMP"]
    for data in (b"", b"x", b"%PDF-1.7 Exif", b"\x00\x00\x00\x18ftypmp42", HEIF[:20]):
        assert found_in(data) == []


@given(st.sampled_from([*map(_saved, FOUND), HEIF]), st.data())
@tried(120)
def test_whatever_the_bytes_are_they_pass_and_nothing_is_kept(picture, draw):
    data = bytearray(picture[: draw.draw(st.integers(0, len(picture)))])
    for _ in range(draw.draw(st.integers(0, 6))):
        if data:
            data[draw.draw(st.integers(0, min(len(data) - 1, 600)))] = draw.draw(st.integers(0, 255))
    scan = MetadataScan()
    cut = draw.draw(st.integers(1, 5000))
    given_ = bytes(data)
    assert b"".join(scan.watch(given_[at : at + cut] for at in range(0, len(given_), cut))) == given_
    assert len(scan._waiting) <= 64 * 1024


def test_a_reader_is_told_of_a_picture_that_was_sent_as_it_is(tmp_path):
    world = testing.world(KENYA, BELGIUM)
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    picture = _saved("image/jpeg")
    attached = [Attach(picture, name="a.jpg", as_is=True), Attach(picture, name="b.jpg")]
    kenya.send("tracing-request", testing.sample_request(), to=[BELGIUM], attachments=attached)
    [received] = belgium.inbox()
    told = belgium.fetch_attachments(received, tmp_path)
    assert [set(one.metadata) for one in told] == [FOUND["image/jpeg"], set()]
    assert belgium.fetch_attachment(received, 0, io.BytesIO()).metadata == told[0].metadata
