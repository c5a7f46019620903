"""Random changes to training images that depend on a seed and on nothing else."""

import tensorflow as tf
from pydantic import BaseModel, ConfigDict, Field


class Augmentation(BaseModel):
    """Horizontal flip and shift; all off by default.

    It runs in the training pipeline, never in the model, so no augmentation reaches the serving
    graph.

    Args:
        flip: Mirror each image left to right with probability one half.
        shift: Move each image by up to this many pixels along both axes, uniformly, filling the
            border by reflection.

    Raises:
        pydantic.ValidationError: (a `ValueError`) when `shift` is negative or a setting is unknown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    flip: bool = False
    shift: int = Field(default=0, ge=0)

    @property
    def changes_images(self) -> bool:
        """Whether anything is on."""
        return self.flip or self.shift > 0

    def apply(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Augment a batch; the same images and seed give the same result.

        Args:
            images: Pixels [n, h, w, c] of any dtype, h and w static.
            seed: Two ints, int32 or int64 [2].

        Returns:
            Pixels of the same shape and dtype.

        Raises:
            ValueError: when `shift` is not smaller than the images, which reflection needs.
        """
        flip_seed, shift_seed = tf.unstack(tf.random.split(seed, 2))
        if self.flip:
            images = _flip_half(images, flip_seed)
        if self.shift:
            images = _shift(images, self.shift, shift_seed)
        return images


def _flip_half(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    drawn = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seed)
    return tf.where(drawn < 0.5, tf.reverse(images, axis=[2]), images)


def _shift(images: tf.Tensor, shift: int, seed: tf.Tensor) -> tf.Tensor:
    height, width = images.shape[1:3]
    if shift >= min(height, width):
        raise ValueError(
            f"`shift` must be smaller than the images. Received: shift={shift} for images of "
            f"{height}x{width}"
        )
    margins = [[0, 0], [shift, shift], [shift, shift], [0, 0]]
    padded = tf.pad(images, margins, mode="REFLECT")
    corners = tf.random.stateless_uniform(
        [tf.shape(images)[0], 2, 1], seed, minval=0, maxval=2 * shift + 1, dtype=tf.int32
    )
    cropped = tf.gather(padded, corners[:, 0] + tf.range(height), axis=1, batch_dims=1)
    columns = tf.gather(
        tf.transpose(cropped, [0, 2, 1, 3]), corners[:, 1] + tf.range(width), axis=1, batch_dims=1
    )
    return tf.ensure_shape(tf.transpose(columns, [0, 2, 1, 3]), images.shape)
