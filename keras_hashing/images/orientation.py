"""Which way up an image file is meant to be seen: the orientation in its EXIF data.

It is read from JPEG (APP1), PNG (eXIf) and WebP (EXIF) files, by standard TensorFlow ops that look
at a whole batch at a time: it is part of the serving graph as well as of the training pipeline.
"""

import tensorflow as tf

from keras_hashing.images.header import (
    JPEG,
    NOT_INLINED,
    PNG,
    WEBP,
    Header,
    header_of,
    leading_bytes,
)

_ORIENTATION = 0x0112  # the tag
_SHORT = 3  # its type
_MOST_CHUNKS = 128
_MOST_ENTRIES = 64  # of the directory; cameras write about 12
_LONGEST_CHUNK_HEAD = 10


def orientations(encoded: tf.Tensor, header: Header | None = None) -> tf.Tensor:
    """The EXIF orientation of each image file: int32 [n], 1 to 8; 1 where it says none.

    The EXIF data of a JPEG or PNG counts if it comes before the pixels, as the standards of JPEG
    want it and as every usual writer of PNG does.

    Args:
        encoded: Encoded images, string [n].
        header: What `header_of` says of them, if that is known already.
    """
    header = header_of(encoded) if header is None else header
    may = _may_have_exif(*header)
    return tf.cond(
        tf.reduce_any(may),
        lambda: _orientations_in_exif(encoded, header.kind, may),
        lambda: tf.ones_like(header.kind),
    )


@tf.function(
    input_signature=[
        tf.TensorSpec([None], tf.string),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([None], tf.bool),
    ],
    experimental_attributes=NOT_INLINED,
)
def _orientations_in_exif(encoded: tf.Tensor, kind: tf.Tensor, may: tf.Tensor) -> tf.Tensor:
    return _orientation_at(encoded, _place_of_tiff(encoded, kind, may))


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns and mirrors an image, [h, w, 3], so that it is seen as it was meant."""

    return tf.cond(orientation > 1, lambda: _turned(image, orientation), lambda: image)


@tf.function(
    input_signature=[tf.TensorSpec([None, None, 3], tf.uint8), tf.TensorSpec([], tf.int32)],
    experimental_attributes=NOT_INLINED,
)
def _turned(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    lies = tf.transpose(image, tf.where(orientation >= 5, [1, 0, 2], [0, 1, 2]))
    rows = tf.reduce_any(orientation == [3, 4, 7, 8])
    columns = tf.reduce_any(orientation == [2, 3, 6, 7])
    turned = tf.raw_ops.Reverse(tensor=lies, dims=tf.stack([rows, columns, False]))
    return tf.ensure_shape(turned, [None, None, 3])


def _may_have_exif(header: tf.Tensor, kind: tf.Tensor) -> tf.Tensor:
    """False for the two most usual beginnings without: it spares small files the walk. bool [n]."""
    jfif_then_tables = _is(header[:, 2:6], b"\xff\xe0\0\x10") & _is(header[:, 20:22], b"\xff\xdb")
    pixels_come_first = _is(header[:, 37:41], b"IDAT")
    extended = (header[:, 15] == ord("X")) & (tf.bitwise.bitwise_and(header[:, 20], 0x08) > 0)
    jpeg = (kind == JPEG) & ~jfif_then_tables
    return jpeg | (kind == PNG) & ~pixels_come_first | (kind == WEBP) & extended


def _place_of_tiff(encoded: tf.Tensor, kind: tf.Tensor, may: tf.Tensor) -> tf.Tensor:
    """Where the EXIF data of each file begins, its TIFF header: int32 [n]; 0 for none.

    The chunks of all files are walked together; chunk k of each is looked at in step k.
    """
    length = tf.strings.length(encoded)
    jpeg, png, webp = kind == JPEG, kind == PNG, kind == WEBP
    start = tf.where(jpeg, 2, tf.where(png, 8, 12))
    start = tf.where(may, start, 0)
    start = tf.where(start < length, start, 0)

    def step(number: tf.Tensor, at: tf.Tensor, found: tf.Tensor) -> tuple:
        head = leading_bytes(encoded, at, _LONGEST_CHUNK_HEAD)
        name = head[:, :4], head[:, 4:8]
        big_short, big, little = _number(head[:, 2:4]), _number(name[0]), _number(name[1], False)
        exif = tf.where(
            jpeg,
            (head[:, 1] == 0xE1) & _is(head[:, 4:10], b"Exif\0\0"),
            tf.where(png, _is(name[1], b"eXIf"), _is(name[0], b"EXIF")),
        )
        place = at + tf.where(jpeg, 10, 8)
        metadata = (head[:, 1] >= 0xE0) & (head[:, 1] <= 0xEF) | (head[:, 1] == 0xFE)
        filling = head[:, 1] == 0xFF
        goes_on = tf.where(
            jpeg,
            (head[:, 0] == 0xFF) & (metadata | filling),
            tf.where(png, ~_is(name[1], b"IDAT"), webp),
        )
        of_jpeg = tf.where(filling, tf.constant(1, tf.int64), 2 + big_short)
        size = tf.where(jpeg, of_jpeg, tf.where(png, 12 + big, 8 + little + little % 2))
        after = tf.cast(at, tf.int64) + size
        goes_on &= ~exif & (at > 0) & (after < tf.cast(length, tf.int64))
        found = tf.where(exif & (at > 0), place, found)
        return number + 1, tf.where(goes_on, tf.cast(after, tf.int32), 0), found

    def unfinished(number: tf.Tensor, at: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
        return tf.reduce_any(at > 0) & (number < _MOST_CHUNKS)

    none = tf.zeros_like(length)
    return tf.while_loop(unfinished, step, (tf.constant(0), start, none))[2]


def _orientation_at(encoded: tf.Tensor, tiff: tf.Tensor) -> tf.Tensor:
    """The orientation in the EXIF data at `tiff`; 1 where that is 0, or the data is damaged."""
    length = tf.cast(tf.strings.length(encoded), tf.int64)
    begins = leading_bytes(encoded, tiff, 6)
    tiff = tf.where(_is(begins, b"Exif\0\0"), tiff + 6, tiff)  # some WebP files repeat it
    header = leading_bytes(encoded, tiff, 8)
    big = _is(header[:, :4], b"MM\0*")
    known = (big | _is(header[:, :4], b"II*\0")) & (tiff > 0)
    directory = tf.cast(tiff, tf.int64) + _number(header[:, 4:8], big)
    known &= directory < length
    directory = tf.cast(tf.where(known, directory, 0), tf.int32)
    block = leading_bytes(encoded, directory, 2 + 12 * _MOST_ENTRIES)
    count = _number(block[:, :2], big)
    entries = tf.reshape(block[:, 2:], [-1, _MOST_ENTRIES, 12])
    by_row = big[:, tf.newaxis]
    listed = tf.range(_MOST_ENTRIES, dtype=tf.int64) < count[:, tf.newaxis]
    says = listed & known[:, tf.newaxis]
    says &= _number(entries[..., :2], by_row) == _ORIENTATION
    says &= _number(entries[..., 2:4], by_row) == _SHORT
    values = _number(entries[..., 8:10], by_row)
    value = tf.cast(tf.reduce_max(tf.where(says, values, 0), axis=1), tf.int32)
    return tf.where((value >= 1) & (value <= 8), value, 1)


def _number(digits: tf.Tensor, big_endian: tf.Tensor | bool = True) -> tf.Tensor:
    """The unsigned numbers that bytes on the last axis are: int64."""
    size = digits.shape[-1]
    weights = tf.constant([256 ** (size - 1 - place) for place in range(size)], tf.int64)
    digits = tf.cast(digits, tf.int64)
    from_big = tf.reduce_sum(digits * weights, axis=-1)
    return tf.where(big_endian, from_big, tf.reduce_sum(digits * weights[::-1], axis=-1))


def _is(content: tf.Tensor, text: bytes) -> tf.Tensor:
    return tf.reduce_all(content == list(text), axis=-1)
