"""Pictures are encoded anew: what they told of camera, place and owner is not in the file that is sealed."""

import io
import struct
import zlib

import pytest
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

from countermark_client import _images
from countermark_client._media import TEXT, UNKNOWN, media_type_of
from countermark_protocol.descriptors import MAX_THUMBNAIL_BYTES
from countermark_protocol.errors import MalformedError

SECRETS = (b"GRACE-KAMAU", b"CANON-7781", b"xmp-of-the-desk", b"left in the margin", b"iptc-byline")
_GPS, _ORIENTATION, _MAKE, _ARTIST, _SERIAL = 0x8825, 0x0112, 0x010F, 0x013B, 0xA431
_XMP = b"<x:xmpmeta>xmp-of-the-desk</x:xmpmeta>"


def _exif(orientation=1):
    exif = Image.Exif()
    exif[_MAKE], exif[_ARTIST], exif[_ORIENTATION] = "CANON-7781", "GRACE-KAMAU", orientation
    exif.get_ifd(_GPS).update({1: "S", 2: (1.0, 17.0, 31.0), 3: "E", 4: (36.0, 49.0, 12.0)})
    return exif


def _picture(size=(64, 32), mode="RGB"):
    """The left half is black, the right half white."""
    image = Image.new(mode, size, "black")
    image.paste(Image.new(mode, (size[0] // 2, size[1]), "white"), (size[0] // 2, 0))
    return image


def _saved(media_type, orientation=1, size=(64, 32)):
    image, out, exif = _picture(size), io.BytesIO(), _exif(orientation)
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if media_type == "image/jpeg":
        image.save(out, "JPEG", exif=exif, comment=b"left in the margin", xmp=_XMP, icc_profile=icc)
    elif media_type == "image/png":
        text = PngImagePlugin.PngInfo()
        text.add_text("Author", "GRACE-KAMAU")
        text.add_itxt("XML:com.adobe.xmp", _XMP.decode())
        image.save(out, "PNG", exif=exif, pnginfo=text, icc_profile=icc)
    elif media_type == "image/webp":
        image.save(out, "WEBP", exif=exif, xmp=_XMP, icc_profile=icc, lossless=True)
    elif media_type == "image/tiff":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[_MAKE], tags[_ARTIST], tags[700], tags[33723] = "CANON-7781", "GRACE-KAMAU", _XMP, b"iptc-byline"
        image.save(out, "TIFF", tiffinfo=tags, icc_profile=icc)
    else:
        image.convert("P").save(out, "GIF", comment=b"left in the margin GRACE-KAMAU")
    return out.getvalue()


@pytest.mark.parametrize("media_type", _images.DECODERS)
def test_what_a_picture_tells_of_its_maker_is_gone(media_type):
    given = _saved(media_type)
    assert any(secret in given for secret in SECRETS)  # twin: it was there
    assert media_type_of(given) == media_type
    made, thumbnail = _images.strip_image(io.BytesIO(given), media_type)
    for data in (made, thumbnail.data):
        assert not [secret for secret in SECRETS if secret in data]
        assert b"Exif" not in data
        assert b"ICC_PROFILE" not in data
        again = Image.open(io.BytesIO(data))
        assert not again.getexif().get_ifd(_GPS)
        assert "icc_profile" not in again.info
    assert media_type_of(made) == media_type
    assert Image.open(io.BytesIO(made)).size == (64, 32)
    assert (thumbnail.media_type, thumbnail.width, thumbnail.height) == ("image/jpeg", 64, 32)


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png", "image/webp"])
def test_a_picture_is_turned_as_it_is_meant_to_be_seen(media_type):
    # 6: what is stored must be turned clockwise by a quarter, so that left comes to be above.
    made, thumbnail = _images.strip_image(io.BytesIO(_saved(media_type, 6)), media_type)
    seen = Image.open(io.BytesIO(made)).convert("L")
    assert seen.size == (32, 64)
    assert seen.getpixel((16, 4)) < 30 < 220 < seen.getpixel((16, 60))
    assert (thumbnail.width, thumbnail.height) == (32, 64)


def test_what_hangs_on_behind_a_picture_is_not_sent():
    given = _saved("image/jpeg") + b"PK\x03\x04 a second file GRACE-KAMAU"
    made, _ = _images.strip_image(io.BytesIO(given), "image/jpeg")
    assert b"a second file" not in made
    assert made.endswith(b"\xff\xd9")


def test_a_thumbnail_fits_whatever_the_picture_shows():
    noise = Image.effect_noise((900, 700), 250)
    out = io.BytesIO()
    noise.save(out, "PNG")
    _, thumbnail = _images.strip_image(io.BytesIO(out.getvalue()), "image/png")
    assert 0 < len(thumbnail.data) <= MAX_THUMBNAIL_BYTES
    assert Image.open(io.BytesIO(thumbnail.data)).size == (thumbnail.width, thumbnail.height)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "CMYK"])
def test_pictures_of_all_modes(mode):
    media_type = "image/jpeg" if mode == "CMYK" else "image/png"
    out = io.BytesIO()
    Image.new(mode, (20, 10)).save(out, _images.DECODERS[media_type])
    made, thumbnail = _images.strip_image(io.BytesIO(out.getvalue()), media_type)
    assert Image.open(io.BytesIO(made)).size == (20, 10)
    assert thumbnail is not None


def test_a_film_of_pictures_keeps_its_frames():
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "green", "blue")]
    out = io.BytesIO()
    frames[0].save(
        out, "GIF", save_all=True, append_images=frames[1:], duration=[100, 200, 300], comment=b"GRACE-KAMAU"
    )
    made, _ = _images.strip_image(io.BytesIO(out.getvalue()), "image/gif")
    again = Image.open(io.BytesIO(made))
    assert again.n_frames == 3
    assert b"GRACE-KAMAU" not in made


# --- hostile ones ---------------------------------------------------------------------------------------


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width, height, body):
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + body + _chunk(b"IEND", b"")


_BOMBS = {
    "more pixels than the bound": _png(9_000, 9_000, _chunk(b"IDAT", zlib.compress(b"\x00" * 1000))),
    "more than the library would open": _png(60_000, 60_000, _chunk(b"IDAT", zlib.compress(b"\x00" * 1000))),
}
_DAMAGED = {
    "cut off": ("image/jpeg", _saved("image/jpeg", size=(640, 480))[:3000]),
    "no picture in it": ("image/png", b"\x89PNG\r\n\x1a\n" + b"\x00" * 100),
    "a text that swells": (
        "image/png",
        _png(1, 1, _chunk(b"zTXt", b"k\x00\x00" + zlib.compress(b"\x00" * 100_000_000, 9))),
    ),
    "an offset into nowhere": ("image/tiff", b"II*\x00\xff\xff\xff\xff"),
    "half a head": ("image/webp", b"RIFF\x00\x00\x00\x00WEBPVP8 "),
    "another kind of picture": ("image/png", _saved("image/jpeg")),
}


@pytest.mark.parametrize("data", _BOMBS.values(), ids=_BOMBS)
def test_a_picture_that_swells_is_refused_before_it_is_decoded(data):
    with pytest.raises(MalformedError) as caught:
        _images.strip_image(io.BytesIO(data), "image/png")
    assert caught.value.code == "image_too_large"
    assert _images.thumbnail_of(io.BytesIO(data), "image/png") is None


@pytest.mark.parametrize(("media_type", "data"), _DAMAGED.values(), ids=_DAMAGED)
def test_a_picture_that_does_not_decode_is_refused(media_type, data):
    with pytest.raises(MalformedError) as caught:
        _images.strip_image(io.BytesIO(data), media_type)
    assert caught.value.code == "image_unreadable"
    assert _images.thumbnail_of(io.BytesIO(data), media_type) is None


# --- kinds of files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("beginning", "media_type"),
    [
        (b"\x00\x00\x00\x18ftypheic", "image/heic"),
        (b"\x00\x00\x00\x18ftypavif", "image/avif"),
        (b"\x00\x00\x00\x18ftypisom", "video/mp4"),
        (b"%PDF-1.7", "application/pdf"),
        (b"PK\x03\x04", "application/zip"),
        (b"RIFF____WEBP", "image/webp"),
        (b"RIFF____????", UNKNOWN),
        ("numéro;série\n".encode(), TEXT),
        ("é".encode()[:1], TEXT),  # a character that goes on beyond what is looked at
        (b"\xff\xfe\x00", UNKNOWN),
        (b"a\x00b", UNKNOWN),
    ],
)
def test_a_file_is_what_its_content_says(beginning, media_type):
    assert media_type_of(beginning) == media_type
