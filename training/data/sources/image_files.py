"""Images held as files on disk."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import tensorflow as tf

from keras_hashing.images.preprocessing import ImagePreprocessing
from training.data.sources.image_source import ImageSource


class ImageFiles(ImageSource):
    """Image files (JPEG, PNG, BMP, GIF) of any sizes, read whenever they are asked for.

    Args:
        paths: One path an image.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]]) -> None:
        self.paths = [os.fspath(path) for path in paths]

    def __len__(self) -> int:
        return len(self.paths)

    def reader(self, preprocessing: ImagePreprocessing) -> Callable[[tf.Tensor], tf.Tensor]:
        """The function from a position to preprocessed pixels: see `ImageSource.reader`."""
        paths = tf.constant(self.paths, dtype=tf.string)

        def read(position: tf.Tensor) -> tf.Tensor:
            return preprocessing.decode(tf.io.read_file(paths[position]))

        return read

    def encoded_image(self, position: int) -> tuple[bytes, str]:
        """A copy of the file: see `ImageSource.encoded_image`."""
        path = Path(self.paths[position])
        return path.read_bytes(), path.suffix
