"""EXIF orientation and WebP, with Pillow as the oracle."""

import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from keras_hashing.images.orientation import orientations
from keras_hashing.images.preprocessing import ImagePreprocessing

FORMATS = {"JPEG": {"quality": 95}, "PNG": {}, "WEBP": {"lossless": True}}


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    rows, columns = np.mgrid[0:48, 0:32]
    pixels = np.stack([rows * 5, columns * 7, (rows + 2 * columns) % 256], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def saved(picture: Image.Image, file_format: str, orientation: int | None = None) -> bytes:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    if orientation is not None:
        exif[0x0112] = orientation
    picture.save(buffer, file_format, exif=exif, **FORMATS[file_format])
    return buffer.getvalue()


def as_pillow_turns_it(content: bytes) -> np.ndarray:
    """The pixels that TensorFlow decodes, turned by Pillow as the EXIF data says."""
    preprocessing = ImagePreprocessing(48, 32, 3, orientation="ignored")
    pixels = Image.fromarray(preprocessing.decode(tf.constant(content)).numpy())
    pixels.getexif().update(Image.open(io.BytesIO(content)).getexif())
    return np.asarray(ImageOps.exif_transpose(pixels))


@pytest.fixture(scope="module")
def decode() -> Callable[[bytes, int, int], np.ndarray]:
    """In a graph, by the batch and one by one."""

    def decoded(content: bytes, height: int, width: int) -> np.ndarray:
        preprocessing = ImagePreprocessing(height, width, 3)
        one = preprocessing.decode(tf.constant(content)).numpy()
        batch = preprocessing.decode_batch(tf.constant([content])).numpy()
        np.testing.assert_array_equal(batch[0], one)
        return one

    return decoded


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("orientation", [*range(1, 9), None, 0, 9])
def test_images_are_turned_as_pillow_turns_them(
    decode: Callable, picture: Image.Image, file_format: str, orientation: int | None
) -> None:
    content = saved(picture, file_format, orientation)
    want = as_pillow_turns_it(content)
    np.testing.assert_array_equal(decode(content, *want.shape[:2]), want)


def test_files_of_every_kind_go_together(picture: Image.Image) -> None:
    contents = [
        saved(picture, file_format, orientation)
        for orientation in range(1, 9)
        for file_format in FORMATS
    ]
    gif = io.BytesIO()
    picture.save(gif, "GIF")
    contents += [gif.getvalue(), saved(picture, "PNG")]
    graph = tf.function(orientations, input_signature=[tf.TensorSpec([None], tf.string)])
    assert graph(contents).numpy().tolist() == [*np.repeat(range(1, 9), 3), 1, 1]
    assert graph(tf.zeros([0], tf.string)).numpy().tolist() == []


def test_what_was_trained_before_ignores_the_orientation(picture: Image.Image) -> None:
    before = ImagePreprocessing.from_config({"height": 48, "width": 32, "channels": 3})
    assert before.orientation == "ignored"
    assert before.to_config() == {"height": 48, "width": 32, "channels": 3}
    np.testing.assert_array_equal(before.decode(saved(picture, "PNG", 3)), picture)


def tiff(order: str, entries: list[tuple[int, int, int]], at: int = 8) -> bytes:
    """EXIF data with a directory of (tag, type, value) at a place."""
    header = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", at)
    directory = struct.pack(order + "H", len(entries))
    for tag, kind, value in entries:
        directory += struct.pack(order + "HHIHH", tag, kind, 1, value, 0)
    return header.ljust(at, b"\0") + directory


def with_exif(jpeg: bytes, exif: bytes, before: bytes = b"") -> bytes:
    content = b"Exif\0\0" + exif
    return (
        jpeg[:2] + before + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + jpeg[2:]
    )


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("entries", "want"),
    [
        ([(0x010F, 2, 4), (0x0112, 3, 6)], 6),
        ([(0x0112, 4, 6)], 1),  # a type that it may not have
        ([(0x0112, 3, 600)], 1),
        ([(0x0100, 3, 1)] * 40 + [(0x0112, 3, 8)], 8),
        ([], 1),
    ],
)
def test_exif_data_of_either_byte_order(
    picture: Image.Image, order: str, entries: list, want: int
) -> None:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG")
    comment = b"\xff\xfe\0\x07hello\xff"  # with a byte of filling after it
    for at in (8, 100):
        exif = tiff(order, entries, at)
        contents = [with_exif(buffer.getvalue(), exif), with_exif(buffer.getvalue(), exif, comment)]
        assert orientations(tf.constant(contents)).numpy().tolist() == [want, want]


def test_damaged_exif_data_is_no_orientation(picture: Image.Image) -> None:
    rng = np.random.default_rng(0)
    contents = []
    for file_format in FORMATS:
        whole = saved(picture, file_format, 6)
        place = whole.index(b"MM\0*")
        contents += [whole[: place + count] for count in range(0, 30, 3)]
        for _ in range(30):
            damaged = bytearray(whole)
            damaged[place - 12 + rng.integers(40)] = rng.integers(256)
            contents.append(bytes(damaged))
    found = orientations(tf.constant(contents)).numpy()
    assert ((found >= 1) & (found <= 8)).all()


@pytest.mark.parametrize("options", [{}, {"lossless": True}])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
@pytest.mark.parametrize("size", [(33, 17), (1, 300), (257, 1)])
def test_webp_decodes_as_pillow_decodes_it(
    decode: Callable, options: dict, mode: str, size: tuple[int, int]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 4), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels if mode == "RGBA" else pixels[..., :3]).convert(mode).save(
        buffer, "WEBP", exact=True, **options
    )
    want = np.asarray(Image.open(buffer).convert("RGBA"))[..., :3]
    np.testing.assert_array_equal(decode(buffer.getvalue(), *size[::-1]), want)


def test_an_animated_webp_is_refused(picture: Image.Image) -> None:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", save_all=True, append_images=[picture.rotate(180)])
    with pytest.raises(tf.errors.InvalidArgumentError, match="no JPEG, PNG, WebP"):
        ImagePreprocessing(4, 4, 3).decode(tf.constant(buffer.getvalue()))
