"""What augmentation makes of images, for TensorBoard."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

_MOST, _COLUMNS = 64, 8  # pictures
_SIDE = 64  # smaller pictures are shown with larger pixels


class FirstBatch(keras.callbacks.Callback):
    """Writes the first batch of the first epoch as one picture, as the network sees it.

    Args:
        batches: The training batches, of images, uint8 [n, height, width, channels], and labels; or
            of two views of images, which are then shown side by side.
        logs: The folder that TensorBoard reads.
    """

    def __init__(self, batches: tf.data.Dataset, logs: Path) -> None:
        super().__init__()
        self._batches, self._logs = batches, logs

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Writes it; training goes through the batches from their beginning all the same."""
        images, _ = next(iter(self._batches.take(1)))
        views = images if isinstance(images, tuple) else (images,)
        shown = np.stack([view.numpy() for view in views], axis=1)
        writer = tf.summary.create_file_writer(str(self._logs / "train"))
        with writer.as_default():
            tf.summary.image(
                "first training batch", grid(shown.reshape(-1, *shown.shape[2:]))[None], step=0
            )
        writer.close()


def grid(images: np.ndarray) -> np.ndarray:
    """At most 64 pictures in rows of 8, with white between them.

    Args:
        images: uint8 [n, height, width, channels].
    """
    images = images[:_MOST]
    times = max(1, _SIDE // max(images.shape[1:3]))
    images = images.repeat(times, axis=1).repeat(times, axis=2)
    missing = -len(images) % _COLUMNS if len(images) > _COLUMNS else 0
    padding = ((0, missing), (0, 2), (0, 2), (0, 0))
    images = np.pad(images, padding, constant_values=255)
    rows = images.reshape(-1, min(len(images), _COLUMNS), *images.shape[1:])
    return np.concatenate(np.concatenate(rows, axis=1), axis=1)
