"""What turns an encoded image into the uint8 pixels a model takes, in training and in serving."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal

import tensorflow as tf

from keras_hashing.images.header import Header, check_size, check_sizes, has_alpha, header_of
from keras_hashing.images.orientation import orientations, upright

# ITU-R 601 luma, what Pillow's "L" mode uses as well.
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class ImagePreprocessing:
    """Decode, match the channels, resize: the same TensorFlow ops in training and in serving.

    `export` traces these very methods into the SavedModel, so they use standard ops only and there
    is no skew between the two. Scaling to floats is not here: it is the model's first layer.

    Args:
        height: Height in pixels of the images the model takes.
        width: Width in pixels.
        channels: 1 for grey, 3 for RGB.
        orientation: "exif" to turn images as their EXIF data says; "ignored" for what was trained
            before version 0.2, which did not.

    Raises:
        ValueError: when `height` or `width` is not a positive int, `channels` is neither 1 nor 3,
            or `orientation` is another word.

    Example:

    >>> preprocessing = ImagePreprocessing(height=32, width=32, channels=3)
    >>> pixels = preprocessing.decode(tf.io.read_file("cat.jpg"))  # uint8 [32, 32, 3]
    """

    height: int
    width: int
    channels: int
    orientation: Literal["exif", "ignored"] = "exif"

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"`{name}` must be a positive int. Received: {name}={value!r}")
        if self.channels not in (1, 3):
            raise ValueError(
                f"`channels` must be 1 (grey) or 3 (RGB). Received: channels={self.channels!r}"
            )
        if self.orientation not in ("exif", "ignored"):
            raise ValueError(
                "`orientation` must be 'exif' or 'ignored'. "
                f"Received: orientation={self.orientation!r}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (height, width, channels) of one preprocessed image."""
        return (self.height, self.width, self.channels)

    def decode(self, encoded: tf.Tensor) -> tf.Tensor:
        """Decode one JPEG, PNG, WebP, BMP or GIF (first frame) and bring it to the model's size.

        Alpha is dropped, 16-bit PNG keeps its high bytes, and the image is turned as its EXIF data
        says. The header is looked at first: a small file of a huge image takes no memory.

        Args:
            encoded: The encoded image, string, scalar.

        Returns:
            Pixels, uint8 [height, width, channels].

        Raises:
            tf.errors.InvalidArgumentError: when `encoded` is no such image, or has more than 2^26
                pixels.
        """
        batch = tf.expand_dims(encoded, 0)
        header = header_of(batch)
        return self._decode_checked(
            check_size(encoded, header), has_alpha(header)[0], self._orientations(batch, header)[0]
        )

    def _orientations(self, encoded: tf.Tensor, header: Header) -> tf.Tensor:
        if self.orientation == "ignored":
            return tf.ones_like(header.kind)
        return orientations(encoded, header)

    def _decode_checked(
        self, encoded: tf.Tensor, alpha: tf.Tensor, orientation: tf.Tensor
    ) -> tf.Tensor:
        image = decode_image(encoded, alpha)
        if self.orientation == "exif":
            image = upright(image, orientation)
        return self.resize(self.match_channels(image))

    def decode_batch(self, encoded: tf.Tensor) -> tf.Tensor:
        """Decode a batch of encoded images of any sizes.

        Args:
            encoded: Encoded images, string [n]; n may be 0.

        Returns:
            Pixels, uint8 [n, height, width, channels].

        Raises:
            tf.errors.InvalidArgumentError: when one of them is no such image, or has more than
                2^26 pixels; none is decoded then.
        """
        if tf.executing_eagerly():
            return _traced(self)(encoded)
        one_image = tf.TensorSpec(self.shape, tf.uint8)
        header = header_of(encoded)
        return tf.map_fn(
            lambda one: self._decode_checked(*one),
            (check_sizes(encoded, header), has_alpha(header), self._orientations(encoded, header)),
            fn_output_signature=one_image,
        )

    def match_channels(self, images: tf.Tensor) -> tf.Tensor:
        """Make grey of RGB or RGB of grey, and drop alpha.

        Args:
            images: Pixels, uint8 [..., c] with a static c of 1 (grey), 2 (grey and alpha), 3 (RGB)
                or 4 (RGB and alpha).

        Returns:
            Pixels, uint8 [..., channels]. Grey is the rounded ITU-R 601 luma, and the identity on
            RGB images whose three channels are equal.

        Raises:
            ValueError: when c is unknown or not 1 to 4.
        """
        channels = images.shape[-1]
        if channels not in (1, 2, 3, 4):
            raise ValueError(f"Images must have 1 to 4 channels. Received: shape={images.shape}")
        colours = images if channels in (1, 3) else images[..., : channels - 1]
        if colours.shape[-1] == self.channels:
            return colours
        if self.channels == 3:
            return tf.repeat(colours, 3, axis=-1)
        luma = tf.reduce_sum(tf.cast(colours, tf.float32) * _LUMA, axis=-1, keepdims=True)
        return tf.cast(tf.round(luma), tf.uint8)

    def resize(self, images: tf.Tensor) -> tf.Tensor:
        """Resize by antialiased bilinear interpolation, rounded; the identity at the right size.

        Args:
            images: Pixels, uint8 [..., h, w, channels]; h and w may be unknown when traced.

        Returns:
            Pixels, uint8 [..., height, width, channels].

        Raises:
            ValueError: when the images have fewer than three axes or other channels.
        """
        if images.shape.rank is None or images.shape.rank < 3:
            raise ValueError(
                f"`images` must have shape [..., h, w, channels]. Received: shape={images.shape}"
            )
        if images.shape[-1] != self.channels:
            raise ValueError(
                f"`images` must have {self.channels} channel(s). Received: shape={images.shape}"
            )
        height, width = images.shape[-3:-1]
        if (height, width) == (self.height, self.width):
            return images
        if height is not None and width is not None:
            return self._interpolate(images)
        size = tf.shape(images)[-3:-1]
        resized = tf.cond(
            tf.reduce_all(size == [self.height, self.width]),
            lambda: images,
            lambda: self._interpolate(images),
        )
        return tf.ensure_shape(resized, [*images.shape[:-3], *self.shape])

    def _interpolate(self, images: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(images)
        flat = tf.reshape(images, tf.concat([[-1], shape[-3:]], axis=0))
        resized = tf.image.resize(flat, [self.height, self.width], antialias=True)
        pixels = tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8)
        pixels = tf.reshape(pixels, tf.concat([shape[:-3], self.shape], axis=0))
        return tf.ensure_shape(pixels, [*images.shape[:-3], *self.shape])

    def to_config(self) -> dict[str, Any]:
        """The settings as a JSON object, for the run's configuration and the card.

        An orientation that is ignored is not mentioned, as before there was a choice: the names of
        code spaces stay what they are.
        """
        config = asdict(self)
        if self.orientation == "ignored":
            del config["orientation"]
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ImagePreprocessing":
        """Rebuild from `to_config()`; raises `TypeError` on a missing or unknown setting."""
        return cls(**{"orientation": "ignored", **config})


def decode_image(encoded: tf.Tensor, alpha: tf.Tensor | None = None) -> tf.Tensor:
    """The pixels of an image file that was checked, as they lie in it: uint8 [h, w, 3].

    Args:
        encoded: The encoded image, string, scalar.
        alpha: Whether `has_alpha` says so, if that is known already.
    """

    def decode(channels: int) -> tf.Tensor:
        image = tf.io.decode_image(encoded, channels=channels, expand_animations=False)
        image.set_shape([None, None, channels])
        return image[..., :3]

    # Asking for RGB is what all formats of DecodeImage support, but for a WebP with alpha.
    alpha = has_alpha(header_of(tf.expand_dims(encoded, 0)))[0] if alpha is None else alpha
    return tf.cond(alpha, lambda: decode(4), lambda: decode(3))


@lru_cache(maxsize=8)
def _traced(preprocessing: ImagePreprocessing) -> Callable[[tf.Tensor], tf.Tensor]:
    """`decode_batch` as a graph; eagerly, `map_fn` logs an ERROR of its own for a bad image."""
    return tf.function(
        preprocessing.decode_batch, input_signature=[tf.TensorSpec([None], tf.string)]
    )
