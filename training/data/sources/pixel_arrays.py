"""Images held as one array of pixels."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_hashing.images.preprocessing import ImagePreprocessing
from training.data.sources.image_source import ImageSource


class PixelArrays(ImageSource):
    """Images of one size, held as pixels.

    Args:
        pixels: uint8 [n, h, w, c], c from 1 (grey) to 4 (RGB and alpha).

    Raises:
        ValueError: when `pixels` has another shape or dtype.
    """

    def __init__(self, pixels: np.ndarray) -> None:
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[-1] not in (1, 2, 3, 4):
            raise ValueError(
                "`pixels` must be uint8 [n, h, w, c] with c from 1 to 4. "
                f"Received: {pixels.dtype} {list(pixels.shape)}"
            )
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def reader(self, preprocessing: ImagePreprocessing) -> Callable[[tf.Tensor], tf.Tensor]:
        """The function from a position to preprocessed pixels: see `ImageSource.reader`."""
        with tf.device("CPU"):
            pixels = tf.constant(self.pixels)

        def read(position: tf.Tensor) -> tf.Tensor:
            return preprocessing.resize(preprocessing.match_channels(pixels[position]))

        return read

    def encoded_image(self, position: int) -> tuple[bytes, str]:
        """The pixels as a PNG file: see `ImageSource.encoded_image`."""
        return tf.io.encode_png(self.pixels[position]).numpy(), ".png"
