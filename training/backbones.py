"""Backbones: networks from uint8 images to features."""

from collections.abc import Callable

import keras

_SMALLEST_MAP = 4
_WIDTHS = (32, 64, 128, 256)


def small_cnn(shape: tuple[int, int, int], dropout: float) -> keras.Model:
    """A small convolutional network, made to be trained from scratch.

    Stages of 3×3 convolutions with batch normalization and ReLU, each but the last followed by
    2×2 max pooling, until the map is about 4 pixels; then global average pooling. Scaling of
    uint8 pixels to [-1, 1] is its first layer, so that it is exported with the network.

    Args:
        shape: (height, width, channels) of the images.
        dropout: share of the features that is dropped in training.

    Returns:
        A model from uint8 images [n, height, width, channels] to features [n, features].
    """
    images = keras.Input(shape, dtype="uint8", name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images)
    size = min(shape[:2])
    for stage, width in enumerate(_WIDTHS):
        for _ in range(1 if stage == 0 else 2):
            x = keras.layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
            x = keras.layers.BatchNormalization(momentum=0.9)(x)
            x = keras.layers.ReLU()(x)
        if size // 2 < _SMALLEST_MAP or stage == len(_WIDTHS) - 1:
            break
        x = keras.layers.MaxPooling2D()(x)
        size //= 2
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(dropout)(x)
    return keras.Model(images, x, name="small_cnn")


BACKBONES: dict[str, Callable[[tuple[int, int, int], float], keras.Model]] = {
    "small-cnn": small_cnn,
}


def make_backbone(name: str, shape: tuple[int, int, int], dropout: float) -> keras.Model:
    """The backbone of that name.

    Raises:
        ValueError: when the name is unknown.
    """
    if name not in BACKBONES:
        raise ValueError(f"Unknown backbone {name!r}. Known: {', '.join(BACKBONES)}")
    return BACKBONES[name](shape, dropout)
