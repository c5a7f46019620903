"""Thumbnails of every kind of image that may be in an index."""

import io

import numpy as np
import pytest
from PIL import Image

from keras_hashing.files.image_verdict import DAMAGED
from keras_hashing.files.thumbnail import thumbnail


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("RGB", "JPEG"), ("L", "PNG"), ("RGBA", "PNG"), ("P", "GIF"), ("I;16", "PNG"),
     ("CMYK", "JPEG"), ("L", "BMP"), ("LA", "PNG"), ("RGBA", "WEBP")],
)  # fmt: skip
def test_a_thumbnail_looks_like_its_picture(mode: str, kind: str) -> None:
    grey = np.linspace(0, 255, 800)[None].repeat(600, axis=0)
    if mode == "I;16":
        made = Image.fromarray((grey * 257).astype(np.uint16))
    else:
        made = Image.fromarray(grey.astype(np.uint8)).convert(mode)
    buffer = io.BytesIO()
    made.save(buffer, kind)
    small = Image.open(io.BytesIO(thumbnail(buffer.getvalue()).content))
    assert small.size == (256, 192)
    levels = np.asarray(small.convert("L"), np.float32)[90, 16::32]
    assert np.abs(levels - np.linspace(16, 239, 8)).max() < 12


def test_a_thumbnail_is_upright() -> None:
    lying = Image.new("RGB", (800, 400))
    exif = lying.getexif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    lying.save(buffer, "JPEG", exif=exif)
    assert Image.open(io.BytesIO(thumbnail(buffer.getvalue()).content)).size == (128, 256)


def test_a_damaged_picture_has_no_thumbnail() -> None:
    buffer = io.BytesIO()
    Image.effect_noise((400, 300), 50).save(buffer, "JPEG")
    with pytest.raises(ValueError, match=DAMAGED):
        thumbnail(buffer.getvalue()[:5000])
    with pytest.raises(ValueError, match="is an SVG file"):
        thumbnail(b"<svg/>")


def test_what_is_small_stays_as_it_is() -> None:
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "PNG")
    assert thumbnail(buffer.getvalue()) == (buffer.getvalue(), "image/png", True)
