"""Files are judged by their headers; a bomb is refused before it takes memory."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_hashing.files.image_verdict import verdict
from keras_hashing.images.header import MOST_GIF_PIXELS, MOST_PIXELS, check_sizes
from keras_hashing.images.preprocessing import ImagePreprocessing

TOO_LARGE = "The image is too large: it may have at most 67108864 pixels"


@pytest.fixture(scope="module", params=[False, True], ids=["eager", "traced"])
def check(request: pytest.FixtureRequest) -> Callable[[bytes], None]:
    function = tf.function(check_sizes, input_signature=[tf.TensorSpec([None], tf.string)])

    def run(*files: bytes) -> None:
        checked = (function if request.param else check_sizes)(
            tf.constant(files, tf.string, [len(files)])
        )
        assert checked.numpy().tolist() == list(files)

    return run


def png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )


def bmp(width: int, height: int) -> bytes:
    return (
        b"BM" + struct.pack("<IIIIii", 54, 0, 54, 40, width, height) + b"\x01\0\x18\0" + b"\0" * 24
    )


def jpeg(width: int, height: int, progressive: bool = False) -> bytes:
    """Of an image of 1×1, with another size in its frame header and much before it."""
    buffer = io.BytesIO()
    extra = {"comment": b"\xff\xc0\0\x11\x08\0\x01\0\x01", "exif": Image.Exif()}
    Image.new("RGB", (1, 1)).save(buffer, "JPEG", progressive=progressive, **extra)
    content = bytearray(buffer.getvalue())
    marker = content.rindex(b"\xff\xc2" if progressive else b"\xff\xc0")
    content[marker + 5 : marker + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def gif(*frames: tuple[int, int], screen: tuple[int, int] = (1, 1), blocks: int = 1) -> bytes:
    """Frames of these sizes, whose data is cut into blocks of unequal lengths."""
    parts = [b"GIF89a", struct.pack("<HH", *screen), b"\x80\0\0", b"\0\0\0\xff\xff\xff"]
    data = b"".join(bytes([1 + at % 2]) + b"\0" * (1 + at % 2) for at in range(blocks))
    for width, height in frames:
        parts += [b"\x21\xf9\x04\0\0\0\0\0", b"\x21\xfe\x03abc\x02de\0"]
        parts += [b"\x2c\0\0\0\0", struct.pack("<HH", width, height), b"\x81", b"\0" * 12]
        parts += [b"\x02", data, b"\0"]
    return b"".join([*parts, b"\x3b"])


KINDS = {
    "PNG": png,
    "BMP": bmp,
    "BMP from the top": lambda width, height: bmp(width, -height),
    "JPEG": jpeg,
    "progressive JPEG": lambda width, height: jpeg(width, height, True),
    "GIF": lambda width, height: gif((width, height)),
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())
def test_the_limit_is_on_the_pixels(check: Callable, make: Callable[[int, int], bytes]) -> None:
    check(make(8192, 8192))
    check(make(1025, 65472))
    for width, height in ((8192, 8193), (8193, 8192), (65500, 65500)):
        with pytest.raises(
            tf.errors.InvalidArgumentError, match=rf"{TOO_LARGE}.*\[{width * height}\]"
        ):
            check(png(1, 1), make(width, height), gif((1, 1)))


def test_sides_above_31_bits_do_not_wrap(check: Callable) -> None:
    side = 2**31 - 1
    for content in (png(side + 1, side), png(2**32 - 1, 2**32 - 1), bmp(side, -side - 1)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="too large|damaged"):
            check(content)


def test_files_of_every_kind_go_together(check: Callable) -> None:
    check(*[make(3, 5) for make in KINDS.values()], gif((3, 5), (1, 1)))
    check()


@pytest.mark.parametrize(
    ("colours", "extra"), [("greys", 0), ("greys", 800), ("few greys", 0), ("mixed", 0)]
)
def test_a_bmp_of_a_palette_is_refused_as_by_the_verdict(
    check: Callable, colours: str, extra: int
) -> None:
    """TensorFlow would take its numbers of colours for greys."""
    palette = {
        "greys": [value for value in range(256) for _ in range(3)],
        "few greys": [value for value in range(4) for _ in range(3)],
        "mixed": [0, 0, 0, 255, 0, 0],
    }[colours]
    picture = Image.new("P", (5, 4))
    picture.putpalette(palette)
    buffer = io.BytesIO()
    picture.save(buffer, "BMP")
    content = bytearray(buffer.getvalue())
    content[10:14] = (int.from_bytes(content[10:14], "little") + extra).to_bytes(4, "little")
    content += bytes(extra)  # a gap before the pixels, which is no palette
    if verdict(bytes(content)) is None:
        check(bytes(content))
    else:
        assert colours == "mixed"
        with pytest.raises(tf.errors.InvalidArgumentError, match="BMP with a colour palette"):
            check(png(1, 1), bytes(content))


@pytest.mark.parametrize(
    ("file_format", "mode"),
    [
        (file_format, mode)
        for mode in ("L", "RGB", "P", "1")
        for file_format in ("PNG", "BMP", "JPEG", "GIF")
        # There is no JPEG with a palette, and a BMP with one is refused: see above.
        if (file_format, mode) not in (("JPEG", "P"), ("BMP", "P"), ("BMP", "1"))
    ],
)
def test_what_pillow_writes_is_let_through(check: Callable, file_format: str, mode: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 500, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).convert(mode)
    for options in ({}, {"save_all": True, "append_images": [picture.rotate(90)] * 3}):
        buffer = io.BytesIO()
        picture.save(buffer, file_format, **(options if file_format == "GIF" else {}))
        check(buffer.getvalue())


def test_the_frames_of_a_gif_count_together(check: Callable) -> None:
    side = 4096  # an eighth of what a frame may have, by the size in pixels: 2^24
    frames = MOST_GIF_PIXELS // side**2
    check(gif(*[(side, side)] * frames))
    with pytest.raises(tf.errors.InvalidArgumentError, match=TOO_LARGE):
        check(gif(*[(side, side)] * (frames + 1)))


def test_a_gif_takes_room_for_the_widest_and_the_highest_frame(check: Callable) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=TOO_LARGE):
        check(gif((60000, 1), (1, 60000)))


def test_many_small_blocks_do_not_keep_the_walk_busy(check: Callable) -> None:
    check(gif((1, 1), blocks=3000))
    with pytest.raises(tf.errors.InvalidArgumentError, match="its header is damaged"):
        check(gif((1, 1), blocks=30_000))


def test_blocks_of_one_size_are_passed_together(check: Callable) -> None:
    """A GIF of megabytes has tens of thousands of them, but for the last all of 255 bytes."""
    large = gif((9, 9))[:-2] + (b"\xff" + b"\x01" * 255) * 40_000 + b"\x09" + b"\0" * 9 + b"\0"
    check(large + b"\x3b")
    with pytest.raises(tf.errors.InvalidArgumentError, match=TOO_LARGE):
        check(large + gif((9000, 9000))[19:])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"Dear Sir or Madam",
        b"RIFF\x24\0\0\0WEBPVP8 ",
        b"\xff\x0a JPEG XL",
        b"\xff\xd8\xff\xe0",
        b"GIF89a",
        gif(),
        b"GIF89a\1\0\1\0\0\0\0\x21\xfe\0" + gif((60000, 60000))[19:],  # decoders differ
    ],
)
def test_what_has_no_size_is_refused(check: Callable, content: bytes) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="no JPEG, PNG|JPEG"):
        check(png(1, 1), content)


def test_any_bytes_after_a_good_beginning_end_the_walk(check: Callable) -> None:
    rng = np.random.default_rng(0)
    whole = gif((3, 3), (4, 4))
    for cut in range(10, len(whole), 7):
        content = whole[:cut] + rng.bytes(40)
        try:
            check(content)
        except tf.errors.InvalidArgumentError:
            continue


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    decode = tf.function(
        ImagePreprocessing(4, 4, 3).decode_batch,
        input_signature=[tf.TensorSpec([None], tf.string)],
    )
    for bomb in (png(12000, 12000), jpeg(12000, 12000), gif(*[(8000, 8000)] * 100)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=TOO_LARGE):
            decode(tf.constant([bomb]))
        with pytest.raises(tf.errors.InvalidArgumentError, match=TOO_LARGE):
            ImagePreprocessing(4, 4, 3).decode(tf.constant(bomb))


def test_the_limit_fits_a_camera() -> None:
    assert MOST_PIXELS > 61e6
