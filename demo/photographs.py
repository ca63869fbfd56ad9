"""Two photographs of a weapon's marks, drawn by the demo itself: the serial number, and the maker's mark.

No photograph of a real weapon is needed, and none may be shipped unless it is known whose it is. These are drawn with
Pillow from a fixed seed, so every run makes the same pictures: brushed metal, a stamping, shadow and light. Each gets
what a telephone's camera writes beside a picture, the place and the owner of the telephone: what must not leave.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from random import Random
from typing import Final

from PIL import ExifTags, Image, ImageChops, ImageDraw, ImageFilter, ImageFont

_SIZE: Final = (1280, 800)
#: Made up: of a telephone at the border post of Malaba.
CAMERA: Final = "Exercise Phone 3"
OWNER: Final = "Officer K. Example"
_LATITUDE: Final = ("N", (0.0, 38.0, 8.6))
_LONGITUDE: Final = ("E", (34.0, 16.0, 51.2))


@dataclass(frozen=True, slots=True)
class Photograph:
    """A picture as a camera would give it.

    Attributes:
        name: of its file.
        caption: what it shows.
        data: JPEG, with EXIF.
    """

    name: str
    caption: str
    data: bytes


def photographs(serial: str, maker: str, place: str) -> tuple[Photograph, Photograph]:
    """The two pictures of one weapon.

    Args:
        serial: as it is stamped.
        maker: of the weapon.
        place: of manufacture, for people.
    """
    frame = _stamped(_metal(7), serial, 150, (640, 430), tilt=-2.0)
    slide = _stamped(_mark(_metal(11)), maker.upper(), 118, (760, 350), tilt=1.4)
    slide = _stamped(slide, place.upper(), 58, (760, 480), tilt=1.4)
    return (
        Photograph("IMG_0412.jpg", "serial number on the frame", _as_taken(_lit(frame, 3))),
        Photograph("IMG_0413.jpg", "maker's mark on the slide", _as_taken(_lit(slide, 5))),
    )


def exif_of(data: bytes) -> dict[str, str]:
    """What a picture tells of who took it, by the names of EXIF; nothing if it tells nothing."""
    with Image.open(io.BytesIO(data)) as picture:
        exif = picture.getexif()
        found = {ExifTags.TAGS.get(tag, str(tag)): str(value) for tag, value in exif.items()}
        place = exif.get_ifd(ExifTags.IFD.GPSInfo)
    found.pop("GPSInfo", None)
    return found | {ExifTags.GPSTAGS.get(tag, str(tag)): str(value) for tag, value in place.items()}


# --- drawing -------------------------------------------------------------------------------------------


def _metal(seed: int) -> Image.Image:
    """Brushed steel: noise drawn out along the brush, over a slow change of tone."""
    random = Random(seed)
    width, height = _SIZE
    noise = Image.frombytes("L", (width // 16, height), random.randbytes(width // 16 * height))
    brushed = noise.resize(_SIZE, Image.Resampling.BICUBIC).filter(ImageFilter.BoxBlur(1))
    tone = Image.linear_gradient("L").rotate(90).resize(_SIZE)
    steel = Image.blend(Image.new("L", _SIZE, 128), brushed, 0.22)
    steel = Image.blend(steel, tone, 0.25)
    draw = ImageDraw.Draw(steel)
    for _ in range(26):
        x, y, length = random.randrange(width), random.randrange(height), random.randrange(40, 260)
        draw.line(
            (x, y, x + length, y + random.randrange(-9, 9)), fill=random.choice((92, 104, 172)), width=1
        )
    return steel


def _pressed(steel: Image.Image, shape: Image.Image) -> Image.Image:
    """Press a shape into metal: dark within, its upper edge in shadow, its lower one in light."""
    soft = shape.filter(ImageFilter.GaussianBlur(1.2))
    shadow = ImageChops.subtract(ImageChops.offset(soft, 3, 4), soft).filter(ImageFilter.GaussianBlur(1))
    light = ImageChops.subtract(soft, ImageChops.offset(soft, 3, 4)).filter(ImageFilter.GaussianBlur(1))
    out = Image.composite(steel.point(lambda tone: int(tone * 0.55)), steel, soft)
    out = Image.composite(Image.new("L", _SIZE, 40), out, light.point(lambda tone: int(tone * 0.75)))
    return Image.composite(Image.new("L", _SIZE, 235), out, shadow.point(lambda tone: int(tone * 0.7)))


def _stamped(steel: Image.Image, text: str, size: int, at: tuple[int, int], *, tilt: float) -> Image.Image:
    """Letters struck one by one: none sits quite straight, none quite as deep as the one before."""
    random = Random(text)
    font = ImageFont.load_default(size)
    shape = Image.new("L", _SIZE, 0)
    widths = [font.getlength(letter) + size * 0.12 for letter in text]
    x = at[0] - sum(widths) / 2
    for letter, width in zip(text, widths, strict=True):
        struck = Image.new("L", (2 * size, 2 * size), 0)
        ImageDraw.Draw(struck).text(
            (size, size), letter, fill=random.randrange(205, 256), font=font, stroke_width=2, anchor="mm"
        )
        struck = struck.rotate(random.uniform(-1.5, 1.5), resample=Image.Resampling.BICUBIC)
        corner = (
            round(x + width / 2 - size + random.uniform(-2, 2)),
            round(at[1] - size + random.uniform(-4, 4)),
        )
        shape.paste(255, corner, struck)
        x += width
    return _pressed(steel, shape.rotate(tilt, resample=Image.Resampling.BICUBIC))


def _mark(steel: Image.Image) -> Image.Image:
    """A maker's mark of no maker: three peaks in a ring."""
    shape = Image.new("L", _SIZE, 0)
    draw = ImageDraw.Draw(shape)
    draw.ellipse((130, 270, 390, 530), outline=245, width=14)
    peaks = ((170, 470), (215, 370), (240, 425), (262, 335), (290, 425), (312, 378), (352, 470))
    draw.line(peaks, fill=245, width=14, joint="curve")
    return _pressed(steel, shape)


def _lit(steel: Image.Image, seed: int) -> Image.Image:
    """As a telephone sees it: a lamp's glare, dark corners, grain, a cold tint."""
    width, height = _SIZE
    glare = Image.radial_gradient("L").resize((width * 2, height * 2))
    glare = glare.crop((width // 3, height // 2, width // 3 + width, height // 2 + height))
    lit = ImageChops.subtract(ImageChops.add(steel, Image.new("L", _SIZE, 26)), glare.point(lambda t: t // 3))
    random = Random(seed)
    grain = Image.frombytes("L", _SIZE, random.randbytes(width * height))
    lit = Image.blend(lit, grain, 0.05).filter(ImageFilter.GaussianBlur(0.7))
    channels = (lit.point(lambda t: int(t * 0.95)), lit, lit.point(lambda t: min(255, int(t * 1.06))))
    return Image.merge("RGB", channels)


def _as_taken(picture: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Example"
    exif[ExifTags.Base.Model] = CAMERA
    exif[ExifTags.Base.Artist] = OWNER
    exif[ExifTags.Base.DateTime] = "2026:02:11 08:14:52"
    place = exif.get_ifd(ExifTags.IFD.GPSInfo)
    place[ExifTags.GPS.GPSLatitudeRef], place[ExifTags.GPS.GPSLatitude] = _LATITUDE
    place[ExifTags.GPS.GPSLongitudeRef], place[ExifTags.GPS.GPSLongitude] = _LONGITUDE
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=88, exif=exif)
    return out.getvalue()
