"""Photographs without what they tell of whoever took them: decoded, turned upright, and encoded anew.

EXIF, GPS, XMP, IPTC, comments, colour profiles, previews and whatever hangs on behind the picture are not copied: what
is written is made of the pixels alone. A format that is not decoded here is sent as it is, and the sender is told.

Only a sender's own files are decoded, and each by the one decoder that its first bytes name. Receivers decode nothing.

Source: docs/howto/attachments.md.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from PIL import Image, ImageCms, ImageOps, ImageSequence

from countermark_protocol.descriptors import MAX_THUMBNAIL_BYTES, Thumbnail, ThumbnailType
from countermark_protocol.errors import MalformedError

#: Of all frames together. A picture of this size takes some 200 MiB while it is encoded anew, whatever its file has.
MAX_PIXELS: Final = 64 * 1024 * 1024
#: Media types that are encoded anew, by the one decoder that reads them.
DECODERS: Final[Mapping[str, str]] = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WEBP",
    "image/tiff": "TIFF",
    "image/gif": "GIF",
}
_THUMBNAIL_SIDES: Final = (320, 240, 160, 96, 48)
_THUMBNAIL_QUALITIES: Final = (85, 70, 50)
#: A mark must stay legible: little is lost by one more encoding.
_JPEG: Final = {"quality": 95, "subsampling": 0}
_WEBP: Final = {"quality": 95, "method": 4}


def strip_image(file: BinaryIO, media_type: str) -> tuple[bytes, Thumbnail | None]:
    """Encode a picture anew, of its pixels alone.

    Args:
        file: of the picture, at its beginning.
        media_type: one of `DECODERS`, by the file's content.

    Returns:
        The new file, and its thumbnail.

    Raises:
        MalformedError: ``image_too_large``, ``image_unreadable``.
    """
    with _opened(file, media_type) as image:
        frames = _frames(image, media_type)
        return _encoded(frames, media_type), _thumbnail(frames[0].image)


def thumbnail_of(file: BinaryIO, media_type: str) -> Thumbnail | None:
    """The thumbnail of a picture that is sent as it is; None where it cannot be decoded, or is too large to be."""
    with contextlib.suppress(MalformedError), _opened(file, media_type) as image:
        return _thumbnail(_upright(image, media_type))
    return None


@contextlib.contextmanager
def _opened(file: BinaryIO, media_type: str) -> Iterator[Image.Image]:
    """Open a picture whose size is bounded, with the one decoder for it.

    Decoders meet damaged files with errors of many classes, so all are taken for the same.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file, formats=[DECODERS[media_type]]) as image:
                _check_size(image)
                yield image
    except MalformedError:
        raise
    except Image.DecompressionBombError:
        raise _too_large("more pixels than any picture here may have") from None
    except Exception as error:  # noqa: BLE001  see above
        raise MalformedError(
            "image_unreadable",
            f"expected a picture of type {media_type}, as its first bytes say, but it does not decode "
            f"({type(error).__name__}): send another copy of it, or send it as it is",
        ) from None


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    frames = 1 if image.format in {"JPEG", "MPO"} else getattr(image, "n_frames", 1)
    if width * height * frames > MAX_PIXELS:
        raise _too_large(f"{width} x {height} pixels" + (f" in {frames} frames" if frames > 1 else ""))


def _too_large(what: str) -> MalformedError:
    return MalformedError(
        "image_too_large",
        f"expected a picture of at most {MAX_PIXELS} pixels, got {what}: make it smaller, or send it as it is",
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    image: Image.Image
    duration: int


def _frames(image: Image.Image, media_type: str) -> list[_Frame]:
    if media_type == "image/jpeg":  # others in it are previews and depth maps
        return [_Frame(_upright(image, media_type), 0)]
    return [
        _Frame(_upright(frame, media_type), int(frame.info.get("duration", 0)))
        for frame in ImageSequence.Iterator(image)
    ]


def _upright(image: Image.Image, media_type: str) -> Image.Image:
    """The pixels as they are meant to be seen, in the colours of sRGB, and nothing beside them."""
    turned = ImageOps.exif_transpose(image)
    turned.load()
    profile = turned.info.get("icc_profile")
    kept: dict[str | tuple[int, int], Any] = {k: v for k, v in turned.info.items() if k == "transparency"}
    if profile and turned.mode in {"RGB", "RGBA", "CMYK", "L"}:
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            mode = "RGBA" if turned.mode == "RGBA" else "RGB"
            converted = ImageCms.profileToProfile(
                turned,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode=mode,
            )
            turned = converted if converted is not None else turned
    # A copy has none of the members from which the encoders would take tags along.
    clean = turned.copy()
    clean.info = kept
    if media_type == "image/jpeg" and clean.mode not in {"RGB", "L"}:
        return clean.convert("RGB")
    return clean


def _encoded(frames: list[_Frame], media_type: str) -> bytes:
    first, out = frames[0].image, io.BytesIO()
    options: dict[str, Any] = dict({"image/jpeg": _JPEG, "image/webp": _WEBP}.get(media_type, {}))
    if media_type == "image/tiff":
        options["compression"] = "tiff_deflate"
    if len(frames) > 1:
        options |= {"save_all": True, "append_images": [frame.image for frame in frames[1:]]}
        if media_type != "image/tiff":
            options |= {"duration": [frame.duration for frame in frames], "loop": 0}
    first.save(out, DECODERS[media_type], **options)
    return out.getvalue()


def _thumbnail(image: Image.Image) -> Thumbnail | None:
    """A JPEG that fits, on white where the picture is transparent."""
    small = image.copy()
    small.thumbnail((_THUMBNAIL_SIDES[0], _THUMBNAIL_SIDES[0]))
    if small.mode not in {"RGB", "L"}:
        try:
            layer = small.convert("RGBA")
            small = Image.new("RGB", layer.size, "white")
            small.paste(layer, mask=layer.getchannel("A"))
        except ValueError:  # a mode of one channel that has no colours, e.g. 32 bits
            small = small.convert("L")
    for side in _THUMBNAIL_SIDES:
        small.thumbnail((side, side))
        for quality in _THUMBNAIL_QUALITIES:
            out = io.BytesIO()
            small.save(out, "JPEG", quality=quality)
            if out.tell() <= MAX_THUMBNAIL_BYTES:
                return Thumbnail(ThumbnailType.JPEG, small.width, small.height, out.getvalue())
    return None
