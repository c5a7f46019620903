"""The verdict on a file agrees with the check in the serving graph."""

import io

import pytest
import tensorflow as tf
from PIL import Image

from keras_hashing.files.image_verdict import MOST_PIXELS, verdict
from keras_hashing.images.header import check_size

KINDS = [
    ("PNG", {}),
    ("BMP", {}),
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("GIF", {}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
]


@pytest.mark.parametrize(("file_format", "options"), KINDS)
@pytest.mark.parametrize("size", [(3, 5), (16_000, 4_000), (16_000, 4_195), (16_383, 4_097)])
def test_as_many_pixels_are_let_through_as_in_the_graph(
    file_format: str, options: dict, size: tuple[int, int]
) -> None:
    if file_format == "WEBP" and size[0] > 4_000:
        # Of a size that takes seconds to write: the numbers are put into a small file.
        content = bytearray(_written((3, 5), file_format, options))
        width, height = size
        if options:
            content[21:25] = ((width - 1) | (height - 1) << 14).to_bytes(4, "little")
        else:
            content[26:30] = width.to_bytes(2, "little") + height.to_bytes(2, "little")
        content = bytes(content)
    else:
        content = _written(size, file_format, options)
    too_many = size[0] * size[1] > MOST_PIXELS
    assert (verdict(content) is not None) == too_many
    if too_many:
        with pytest.raises(tf.errors.InvalidArgumentError, match="too large"):
            check_size(tf.constant(content))
    else:
        check_size(tf.constant(content))


def _written(size: tuple[int, int], file_format: str, options: dict) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", size).save(buffer, file_format, **options)
    return buffer.getvalue()
