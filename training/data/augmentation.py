"""Random changes to training images that depend on a seed and on nothing else."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from training.settings import Augmentation

# (sizes before the batch, sizes after it, seed, limits) → random numbers of the images of a batch.
_Draw = Callable[..., tf.Tensor]


def augment(
    images: tf.Tensor,
    seed: tf.Tensor,
    augmentation: Augmentation,
    rows: slice | None = None,
    batch_size: int | None = None,
) -> tf.Tensor:
    """Augment a batch; the same images and seed give the same result.

    It runs in the training pipeline, never in the model, so no augmentation reaches the serving
    graph.

    Args:
        images: Pixels [n, h, w, c] of any dtype, h and w static.
        seed: Two ints, int32 or int64 [2].
        augmentation: What to change.
        rows: Where the images are part of a batch of `batch_size`: its rows that they are. They
            come out as when the whole batch is augmented.
        batch_size: See `rows`.

    Returns:
        Pixels of the same shape and dtype.

    Raises:
        ValueError: when `shift` is not smaller than the images, which reflection needs.
    """
    count = tf.shape(images)[0] if batch_size is None else batch_size

    def draw(before: list, after: list, seed: tf.Tensor, **limits: Any) -> tf.Tensor:
        drawn = tf.random.stateless_uniform([*before, count, *after], seed, **limits)
        return drawn if rows is None else drawn[(*[slice(None)] * len(before), rows)]

    flip_seed, shift_seed = tf.unstack(tf.random.split(seed, 2))
    if augmentation.flip:
        images = _flip_half(images, flip_seed, draw)
    if augmentation.shift:
        images = _shift(images, augmentation.shift, shift_seed, draw)
    # Folded in one by one, so that a new change leaves the draws of the others as they were.
    crop_seed, colour_seed, erase_seed = (
        tf.random.fold_in(tf.cast(seed, tf.int32), number) for number in range(3)
    )
    if augmentation.crop < 1:
        images = _crop(images, augmentation.crop, crop_seed, draw)
    if augmentation.colour:
        images = _recolour(images, augmentation.colour, colour_seed, draw)
    if augmentation.erase:
        images = _erase(images, augmentation.erase, erase_seed, draw)
    return images


def _flip_half(images: tf.Tensor, seed: tf.Tensor, draw: _Draw) -> tf.Tensor:
    drawn = draw([], [1, 1, 1], seed)
    return tf.where(drawn < 0.5, tf.reverse(images, axis=[2]), images)


def _shift(images: tf.Tensor, shift: int, seed: tf.Tensor, draw: _Draw) -> tf.Tensor:
    height, width = images.shape[1:3]
    if shift >= min(height, width):
        raise ValueError(
            f"`shift` must be smaller than the images. Received: shift={shift} for images of "
            f"{height}x{width}"
        )
    margins = [[0, 0], [shift, shift], [shift, shift], [0, 0]]
    padded = tf.pad(images, margins, mode="REFLECT")
    corners = draw([], [2, 1], seed, minval=0, maxval=2 * shift + 1, dtype=tf.int32)
    cropped = tf.gather(padded, corners[:, 0] + tf.range(height), axis=1, batch_dims=1)
    columns = tf.gather(
        tf.transpose(cropped, [0, 2, 1, 3]), corners[:, 1] + tf.range(width), axis=1, batch_dims=1
    )
    return tf.ensure_shape(tf.transpose(columns, [0, 2, 1, 3]), images.shape)


_LONGEST_SIDES = 4 / 3


def _crop(images: tf.Tensor, smallest: float, seed: tf.Tensor, draw: _Draw) -> tf.Tensor:
    count, (height, width) = tf.shape(images)[0], images.shape[1:3]
    drawn = draw([4], [], seed)
    area = smallest + (1 - smallest) * drawn[0]
    ratio = _LONGEST_SIDES ** (2 * drawn[1] - 1)
    tall, wide = tf.minimum(tf.sqrt(area / ratio), 1.0), tf.minimum(tf.sqrt(area * ratio), 1.0)
    top, left = (1 - tall) * drawn[2], (1 - wide) * drawn[3]
    boxes = tf.stack([top, left, top + tall, left + wide], axis=1)
    parts = tf.image.crop_and_resize(images, boxes, tf.range(count), [height, width])
    return _pixels(parts, images)


def _recolour(images: tf.Tensor, strength: float, seed: tf.Tensor, draw: _Draw) -> tf.Tensor:
    factors = draw([3], [1, 1, 1], seed, minval=1 - strength, maxval=1 + strength)
    pixels = tf.cast(images, tf.float32) * factors[0]
    mean = tf.reduce_mean(pixels, axis=[1, 2, 3], keepdims=True)
    pixels = (pixels - mean) * factors[1] + mean
    grey = tf.reduce_mean(pixels, axis=3, keepdims=True)
    return _pixels((pixels - grey) * factors[2] + grey, images)


def _erase(images: tf.Tensor, probability: float, seed: tf.Tensor, draw: _Draw) -> tf.Tensor:
    drawn = draw([5], [1], seed)
    erased = drawn[0] < probability

    def inside(length: int, centre: tf.Tensor, side: tf.Tensor) -> tf.Tensor:
        places = (tf.range(length, dtype=tf.float32) + 0.5) / length
        return tf.abs(places - centre) < (0.2 + 0.3 * side) / 2

    rows = inside(images.shape[1], drawn[1], drawn[2]) & erased
    columns = inside(images.shape[2], drawn[3], drawn[4])
    inside_both = (rows[:, :, None] & columns[:, None, :])[..., None]
    return tf.where(inside_both, tf.cast(127, images.dtype), images)


def _pixels(values: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Rounded, in 0 to 255, with shape and dtype of `like`."""
    rounded = tf.clip_by_value(tf.round(values), 0.0, 255.0)
    return tf.ensure_shape(tf.cast(rounded, like.dtype), like.shape)
