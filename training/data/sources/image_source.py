"""Where the pixels of a data set come from."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from keras_hashing.images.preprocessing import ImagePreprocessing


class ImageSource(ABC):
    """The images of a data set, read by position and brought to a model's size.

    A subclass says how many images there are and how one is read.
    """

    @abstractmethod
    def __len__(self) -> int:
        """How many images there are."""

    @abstractmethod
    def reader(self, preprocessing: ImagePreprocessing) -> Callable[[tf.Tensor], tf.Tensor]:
        """The function that reads one image, for `tf.data.Dataset.map`.

        Returns:
            A function from a position (int64 scalar) to pixels (uint8 [height, width, channels]).
        """

    @abstractmethod
    def encoded_image(self, position: int) -> tuple[bytes, str]:
        """One original image as it would be in a file.

        Returns:
            The content and the suffix of the file, such as ".png".
        """

    def images(
        self, indices: Sequence[int] | np.ndarray, preprocessing: ImagePreprocessing
    ) -> tf.data.Dataset:
        """The images at `indices`, in that order, read in parallel.

        Returns:
            A data set of n elements, uint8 [height, width, channels].
        """
        positions = tf.data.Dataset.from_tensor_slices(np.asarray(indices, dtype=np.int64))
        images = positions.map(self.reader(preprocessing), num_parallel_calls=tf.data.AUTOTUNE)
        return in_order(images)


def in_order(elements: tf.data.Dataset) -> tf.data.Dataset:
    """The elements in a fixed order, read without tuning.

    TensorFlow's tuner sleeps for up to as long as a pass has taken, and the end of the pass waits
    for it: `predict` took up to twice its time.
    """
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False
    return elements.with_options(options)
