"""Image files that are hard on a decoder."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

GREY, RGB, RGBA = 0, 2, 6  # PNG's colour types
_SAMPLES = {GREY: 1, RGB: 3, RGBA: 4}


def png_of_zeros(width: int, height: int, colour: int = RGB, depth: int = 8) -> bytes:
    """A black PNG of any size, written row by row: a thousandth of its pixels' size, or less."""
    row = b"\0" * (1 + width * _SAMPLES[colour] * depth // 8)
    compressor = zlib.compressobj(9)
    data = b"".join(compressor.compress(row) for _ in range(height)) + compressor.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def jpeg(width: int, height: int, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (width, height)).save(buffer, "JPEG")
    return buffer.getvalue()


def animated_gif(frames: int = 3) -> bytes:
    rng = np.random.default_rng(0)
    pictures = [
        Image.fromarray(rng.integers(0, 256, (9, 11), dtype=np.uint8)) for _ in range(frames)
    ]
    buffer = io.BytesIO()
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:])
    return buffer.getvalue()


def png_16_bits() -> bytes:
    buffer = io.BytesIO()
    deep = np.random.default_rng(0).integers(0, 2**16, (9, 11), dtype=np.uint16)
    Image.fromarray(deep).save(buffer, "PNG")
    return buffer.getvalue()


def huge_jpeg(width: int, height: int) -> bytes:
    """A JPEG whose header promises more than there is."""
    content = bytearray(jpeg(8, 8))
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def gif_of_frames(width: int, height: int, frames: int) -> bytes:
    """A black animation; all frames are unpacked by a decoder that wants the first."""
    buffer = io.BytesIO()
    Image.new("L", (width, height)).save(buffer, "GIF")
    content = buffer.getvalue()
    first = content.index(b"\x2c\0\0\0\0" + struct.pack("<HH", width, height))
    return content[:first] + content[first:-1] * frames + b"\x3b"
