"""How large an image file would be in memory, read from its header before anything is decoded.

A file of some kilobytes can hold gigabytes of pixels. These are standard TensorFlow ops: the check
is part of the serving graph as well as of the training pipeline.
"""

from typing import NamedTuple

import tensorflow as tf

from keras_hashing.files.image_verdict import MOST_PIXELS

MOST_GIF_PIXELS = 3 * MOST_PIXELS  # of all frames: TensorFlow unpacks them all, a byte a pixel
_MOST_GIF_STEPS = 10_000  # of the walk over its blocks; a frame takes about 10, each some 40 µs
_LONGEST_RUN = 4096  # blocks of one size that are passed in one step
_HEADER = 48  # bytes

JPEG, GIF, PNG, BMP, WEBP = range(5)
# As TensorFlow tells them; "." is any byte.
_MAGIC = (b"\xff\xd8\xff", b"GIF8", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF....WEBP")
_PATTERN = [
    [-1 if byte == ord(".") else byte for byte in magic.ljust(12, b".")] for magic in _MAGIC
]
_NO_IMAGE = "The file is no JPEG, PNG, WebP, BMP or GIF image, or its header is damaged"
_PALETTE = "The file is a BMP with a colour palette"
TOO_LARGE = f"The image is too large: it may have at most {MOST_PIXELS} pixels. Received:"
_NOTHING, _OF_A_PALETTE = -1, -2  # in place of a number of pixels

# Ops of a function that is inlined cost time where it is not called.
NOT_INLINED = {"_noinline": True}


class Header(NamedTuple):
    """What files begin with.

    Attributes:
        content: The first bytes of each, zeros after its end: int32 [n, 48].
        kind: The number of the format in `_MAGIC`, or the number of formats: int32 [n].
    """

    content: tf.Tensor
    kind: tf.Tensor


def header_of(encoded: tf.Tensor) -> Header:
    """The header of each file, string [n]."""
    content = tf.cast(tf.io.decode_raw(encoded, tf.uint8, fixed_length=_HEADER), tf.int32)
    first = content[:, tf.newaxis, : len(_PATTERN[0])]
    matches = tf.reduce_all((first == _PATTERN) | (tf.constant(_PATTERN) == -1), axis=2)
    padded = tf.pad(matches, [[0, 0], [0, 1]], constant_values=True)
    return Header(content, tf.argmax(padded, 1, tf.int32))


def check_size(encoded: tf.Tensor, header: Header | None = None) -> tf.Tensor:
    """Returns an image file as it is, if it may be decoded.

    JPEG, PNG, WebP, BMP and GIF may have at most 2^26 pixels. The frames of a GIF may have 3·2^26
    together: all of them are unpacked, though only the first is used. An animated WebP is refused,
    and so is a BMP whose palette is not that of greys, which TensorFlow would take it for, and what
    else TensorFlow can decode (JPEG XL).

    Args:
        encoded: The encoded image, string, scalar.
        header: What `header_of` says of it, if that is known already.

    Raises:
        tf.errors.InvalidArgumentError: when it is of another format, is larger, or its header is
            damaged.
    """
    batch = tf.expand_dims(encoded, 0)
    header = header_of(batch) if header is None else header
    pixels = tf.switch_case(
        header.kind[0],
        {JPEG: lambda: _pixels_of_jpeg(encoded), GIF: lambda: _pixels_of_gif(encoded)},
        default=lambda: _pixels_of_others(batch, *header)[0],
    )
    return _checked(encoded, pixels, pixels)


def check_sizes(encoded: tf.Tensor, header: Header | None = None) -> tf.Tensor:
    """Returns image files as they are, string [n], if `check_size` lets all of them through.

    It takes a fraction of the time that checking them one by one would.
    """
    header = header_of(encoded) if header is None else header
    pixels = _pixels_of_others(encoded, *header)
    # These have no fixed place for their size, so that they are looked at one by one.
    for kind, read in ((JPEG, _pixels_of_jpeg), (GIF, _pixels_of_gif)):
        places = tf.where(header.kind == kind)
        sizes = tf.map_fn(
            read, tf.gather_nd(encoded, places), fn_output_signature=tf.TensorSpec([], tf.int64)
        )
        pixels = tf.tensor_scatter_nd_update(pixels, places, sizes)
    return _checked(encoded, tf.reduce_min(pixels), tf.reduce_max(pixels))


def _checked(encoded: tf.Tensor, least: tf.Tensor, largest: tf.Tensor) -> tf.Tensor:
    """`encoded`, once it is sure that so many pixels may be decoded."""
    # `tf.debugging.Assert` would wrap the same op into a condition, which takes longer.
    conditions = (
        (least != _OF_A_PALETTE, [_PALETTE]),
        (least >= 0, [_NO_IMAGE]),
        (largest <= MOST_PIXELS, [TOO_LARGE, largest]),
    )
    checks = [tf.raw_ops.Assert(condition=holds, data=data) for holds, data in conditions]
    with tf.control_dependencies([check for check in checks if check is not None]):  # ran at once
        return tf.identity(encoded)


def leading_bytes(encoded: tf.Tensor, at: tf.Tensor | int, count: int) -> tf.Tensor:
    """The bytes of each file from a place on, zeros after its end: int32 [n, count]."""
    places = tf.minimum(tf.zeros_like(tf.strings.length(encoded)) + at, tf.strings.length(encoded))
    part = tf.strings.substr(encoded, places, tf.fill(tf.shape(places), count))
    return tf.cast(tf.io.decode_raw(part, tf.uint8, fixed_length=count), tf.int32)


def has_alpha(header: Header) -> tf.Tensor:
    """Whether each is a WebP with alpha, as its decoder tells it: bool [n]."""
    content = header.content
    lossless = (content[:, 15] == ord("L")) & (tf.bitwise.bitwise_and(content[:, 24], 0x10) > 0)
    extended = (content[:, 15] == ord("X")) & (tf.bitwise.bitwise_and(content[:, 20], 0x10) > 0)
    return (header.kind == WEBP) & (lossless | extended)


@tf.function(
    input_signature=[
        tf.TensorSpec([None], tf.string),
        tf.TensorSpec([None, _HEADER], tf.int32),
        tf.TensorSpec([None], tf.int32),
    ],
    experimental_attributes=NOT_INLINED,
)
def _pixels_of_others(encoded: tf.Tensor, content: tf.Tensor, kind: tf.Tensor) -> tf.Tensor:
    """The pixels of those whose size stands at a fixed place; else -1, or -2: int64 [n]."""
    pixels = tf.where(kind == PNG, _pixels_of_png(content), _NOTHING)
    pixels = tf.where(kind == BMP, _pixels_of_bmp(content), pixels)
    palette = tf.constant(_OF_A_PALETTE, tf.int64)
    pixels = tf.where(_has_colour_palette(encoded, content, kind), palette, pixels)
    return tf.where(kind == WEBP, _pixels_of_webp(content), pixels)


def _pixels_of_png(header: tf.Tensor) -> tf.Tensor:
    sizes = tf.cast(header[:, 16:24], tf.int64) * [2**24, 2**16, 2**8, 1, 2**24, 2**16, 2**8, 1]
    return tf.reduce_sum(sizes[:, :4], axis=1) * tf.reduce_sum(sizes[:, 4:], axis=1)


def _pixels_of_bmp(header: tf.Tensor) -> tf.Tensor:
    """Its height may be negative, for rows from the top."""
    numbers = tf.reshape(tf.cast(header[:, 18:26], tf.uint8), [-1, 2, 4])
    return tf.reduce_prod(tf.abs(tf.cast(tf.bitcast(numbers, tf.int32), tf.int64)), axis=1)


def _has_colour_palette(encoded: tf.Tensor, header: tf.Tensor, kind: tf.Tensor) -> tf.Tensor:
    """Whether each is a BMP whose palette is not that of greys: bool [n]."""
    few_bits = (kind == BMP) & (header[:, 28] <= 8) & (header[:, 29] == 0)

    def differs() -> tf.Tensor:
        length = tf.cast(tf.strings.length(encoded), tf.int64)
        places = tf.cast(header[:, 10:18], tf.int64) * ([1, 2**8, 2**16, 2**24] * 2)
        start = 14 + tf.reduce_sum(places[:, 4:], axis=1)
        end = tf.minimum(tf.reduce_sum(places[:, :4], axis=1), length)
        entries = tf.maximum(end - start, 0) // 4
        palette = leading_bytes(encoded, tf.cast(tf.minimum(start, length), tf.int32), 4 * 256)
        colours = tf.reshape(palette, [-1, 256, 4])[..., :3]
        shades = tf.range(256)
        listed = tf.cast(shades, tf.int64) < entries[:, tf.newaxis]
        others = tf.reduce_any(colours != shades[:, tf.newaxis], axis=2)
        return few_bits & tf.reduce_any(listed & others, axis=1)

    return tf.cond(tf.reduce_any(few_bits), differs, lambda: few_bits)


def _pixels_of_webp(header: tf.Tensor) -> tf.Tensor:
    """Of its three kinds: lossy (VP8), lossless (VP8L), with a header of its own (VP8X).

    -1 for what has no size, and for an animation, which TensorFlow decodes only with alpha.
    """

    def little(*at: int) -> tf.Tensor:
        weights = [256**place for place in range(len(at))]
        return tf.reduce_sum(tf.gather(header, at, axis=1) * weights, axis=1)

    kind = header[:, 15]
    lossy = _product(little(26, 27) % 2**14, little(28, 29) % 2**14)
    # Two numbers of 14 bits, without the 1 that is added.
    lossless = _product(little(21, 22) % 2**14 + 1, little(22, 23, 24) // 2**6 % 2**14 + 1)
    extended = _product(little(24, 25, 26) + 1, little(27, 28, 29) + 1)
    pixels = tf.where(kind == ord(" "), lossy, tf.constant(-1, tf.int64))
    pixels = tf.where((kind == ord("L")) & (header[:, 20] == 0x2F), lossless, pixels)
    still = tf.bitwise.bitwise_and(header[:, 20], 0x02) == 0
    pixels = tf.where((kind == ord("X")) & still, extended, pixels)
    return tf.where(pixels > 0, pixels, -1)


def _pixels_of_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    """By the decoder's own reading of the header."""
    return tf.reduce_prod(tf.cast(tf.io.extract_jpeg_shape(encoded)[:2], tf.int64))


@tf.function(
    input_signature=[tf.TensorSpec([], tf.string)],
    experimental_attributes=NOT_INLINED,
)
def _pixels_of_gif(encoded: tf.Tensor) -> tf.Tensor:
    """The pixels of the first frame, or of all if they are too many; -1 for a walk without an end.

    The size in the header binds nobody: TensorFlow makes room for the widest and the highest frame.
    So the frames are looked up, from block to block. A block of extension or image data is a chain
    of sub-blocks, each of which begins with its length; the chain ends with a length of 0.
    """
    padded = tf.concat([tf.io.decode_raw(encoded, tf.uint8), tf.zeros([16], tf.uint8)], axis=0)
    end = tf.size(padded) - 16

    def byte(at: tf.Tensor) -> tf.Tensor:
        return tf.cast(padded[at], tf.int32)

    def colours(flags: tf.Tensor) -> tf.Tensor:
        """Bytes of a table of colours, of which these flags tell."""
        size = tf.bitwise.left_shift(6, tf.bitwise.bitwise_and(flags, 7))
        return tf.where(flags >= 0x80, size, 0)

    def block(at: tf.Tensor, state: tuple) -> tuple:
        kind = byte(at)
        frame = tf.cast(padded[at : at + 10], tf.int32)
        width, height = frame[5] + 256 * frame[6], frame[7] + 256 * frame[8]
        is_frame, is_extension = kind == 0x2C, kind == 0x21
        # Where the chain begins; of an extension that begins with the end of its chain, decoders
        # differ in what comes next.
        chain = tf.where(is_frame, at + 11 + colours(frame[9]), at + 2)
        bad = is_extension & (frame[2] == 0)
        goes_on = (is_frame | is_extension) & ~bad
        area = tf.where(is_frame, _product(width, height), 0)
        widest = tf.where(is_frame, tf.maximum(state[0], width), state[0])
        highest = tf.where(is_frame, tf.maximum(state[1], height), state[1])
        total = tf.where(bad, tf.constant(-1, tf.int64), state[2] + area)
        return tf.where(goes_on, chain, end), goes_on, (widest, highest, total)

    def sub_block(at: tf.Tensor, state: tuple) -> tuple:
        length = byte(at)
        lengths = padded[at : at + _LONGEST_RUN * (length + 1) : length + 1]
        others = tf.concat([tf.cast(lengths, tf.int32) != length, [True]], axis=0)
        run = tf.argmax(others, output_type=tf.int32)  # of one length, one after another
        return at + tf.where(length == 0, 1, run * (length + 1)), length != 0, state

    def step(at: tf.Tensor, in_chain: tf.Tensor, steps: tf.Tensor, state: tuple) -> tuple:
        at = tf.minimum(at, end)
        at, in_chain, state = tf.cond(
            in_chain, lambda: sub_block(at, state), lambda: block(at, state)
        )
        return at, in_chain, steps + 1, state

    def unfinished(at: tf.Tensor, in_chain: tf.Tensor, steps: tf.Tensor, state: tuple) -> tf.Tensor:
        return (at < end) & (steps < _MOST_GIF_STEPS) & (state[2] <= MOST_GIF_PIXELS)

    none = tf.constant(0)
    header = tf.cast(padded[:13], tf.int32)
    first = 13 + colours(header[10])
    at, _, _, (widest, highest, total) = tf.while_loop(
        unfinished, step, (first, tf.constant(False), none, (none, none, tf.constant(0, tf.int64)))
    )
    area = tf.where(total > MOST_GIF_PIXELS, total, _product(widest, highest))
    walked = (at >= end) | (total > MOST_GIF_PIXELS)
    return tf.where(walked & (total > 0), area, -1)


def _product(width: tf.Tensor, height: tf.Tensor) -> tf.Tensor:
    return tf.cast(width, tf.int64) * tf.cast(height, tf.int64)
