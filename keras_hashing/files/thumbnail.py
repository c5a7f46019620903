"""Small copies of image files, to be shown on a page."""

import io
import struct
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from keras_hashing.files.image_verdict import DAMAGED, NO_IMAGE, verdict

if TYPE_CHECKING:
    from PIL import Image

SIZE = 256  # of the longer side, pixels
_TINY = 72
_AS_IT_IS = 1 << 14  # bytes: what is as small as a thumbnail is not made again

_MEDIA_TYPES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"BM", "image/bmp"),
    (b"RIFF", "image/webp"),
    (b"GIF8", "image/gif"),
)


class Picture(NamedTuple):
    """An image file.

    Attributes:
        content: its content.
        media_type: such as "image/png".
        tiny: whether its pixels are to be seen as squares where it is enlarged.
    """

    content: bytes
    media_type: str
    tiny: bool = False


def picture(content: bytes) -> Picture:
    """An image file as it is.

    Raises:
        ValueError: if it is none that may be decoded, with the words of `image_verdict`.
    """
    if problem := verdict(content):
        raise ValueError(problem)
    for start, media_type in _MEDIA_TYPES:
        if content.startswith(start):
            return Picture(content, media_type)
    raise ValueError(NO_IMAGE)


def thumbnail(content: bytes, size: int = SIZE) -> Picture:
    """A copy of an image file whose longer side has at most `size` pixels, upright.

    Of an animation it is the first frame. What is small already stays as it is.

    Raises:
        ValueError: if it is no image, or damaged, with the words of `image_verdict`.
        ImportError: if Pillow is not installed.
    """
    original = picture(content)
    pillow = _pillow()
    try:
        # Only these formats: the decoders of others are not to be reached.
        with pillow.open(
            io.BytesIO(content), formats=("JPEG", "PNG", "WEBP", "BMP", "GIF")
        ) as opened:
            if max(opened.size) <= size and len(content) <= _AS_IT_IS:
                return original._replace(tiny=max(opened.size) < _TINY)
            return _smaller(opened, size)
    except (OSError, SyntaxError, ValueError, struct.error, pillow.DecompressionBombError):
        raise ValueError(DAMAGED) from None


def _smaller(opened: "Image.Image", size: int) -> Picture:
    from PIL import Image, ImageOps

    if opened.mode.startswith("I"):  # 16 bits per pixel
        opened = opened.point(lambda value: value / 256).convert("L")
    elif opened.mode == "P":
        opened = opened.convert("RGBA" if "transparency" in opened.info else "RGB")
    opened.thumbnail((size, size), Image.Resampling.BILINEAR)
    upright = ImageOps.exif_transpose(opened)
    buffer = io.BytesIO()
    if "A" in upright.getbands():
        upright.convert("RGBA").save(buffer, "WEBP", quality=80, method=2)
        return Picture(buffer.getvalue(), "image/webp")
    upright.convert("RGB").save(buffer, "JPEG", quality=82)
    return Picture(buffer.getvalue(), "image/jpeg")


@cache
def _pillow() -> ModuleType:
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise ImportError("Thumbnails need Pillow: pip install 'keras-hashing[export]'") from None
    return Image
