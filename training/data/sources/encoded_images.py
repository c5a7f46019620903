"""Images held in memory as encoded JPEG or PNG strings."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_hashing.images.preprocessing import ImagePreprocessing
from training.data.sources.image_source import ImageSource


class EncodedImages(ImageSource):
    """Encoded images (JPEG, PNG, BMP, GIF) of any sizes, held in memory.

    Args:
        encoded: One byte string an image, as it would be in a file.
    """

    def __init__(self, encoded: Sequence[bytes]) -> None:
        self.encoded = list(encoded)

    def __len__(self) -> int:
        return len(self.encoded)

    def reader(self, preprocessing: ImagePreprocessing) -> Callable[[tf.Tensor], tf.Tensor]:
        """The function from a position to preprocessed pixels: see `ImageSource.reader`."""
        encoded = tf.constant(self.encoded, dtype=tf.string)

        def read(position: tf.Tensor) -> tf.Tensor:
            return preprocessing.decode(encoded[position])

        return read

    def encoded_image(self, position: int) -> tuple[bytes, str]:
        """The image as it is: see `ImageSource.encoded_image`."""
        content = self.encoded[position]
        return content, ".jpg" if content.startswith(b"\xff\xd8") else ".png"
