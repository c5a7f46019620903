"""A small convolutional network, trained from scratch."""

import keras

from training.backbones.weights_file import load_weights_file

_SMALLEST_MAP = 4
_WIDTHS = (32, 64, 128, 256)


def small_cnn(shape: tuple[int, int, int], weights: str | None = None) -> keras.Model:
    """A small convolutional network, made to be trained from scratch.

    Stages of 3×3 convolutions with batch normalization and ReLU, each but the last followed by
    2×2 max pooling, until the map is about 4 pixels; then global average pooling. Scaling of
    uint8 pixels to [-1, 1] is its first layer, so that it is exported with the network.

    Args:
        shape: (height, width, channels) of the images.
        weights: None or "none" for random weights, a weights file or a run.

    Returns:
        A model from uint8 images [n, height, width, channels] to features [n, features].

    Raises:
        ValueError: when the file does not fit.
        FileNotFoundError: when there is no such weights file or run.
    """
    images = keras.Input(shape, dtype="uint8", name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images)
    size = min(shape[:2])
    for stage, width in enumerate(_WIDTHS):
        for number in range(1 if stage == 0 else 2):
            name = f"stage{stage}_{number}"
            x = keras.layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"{name}_conv")(
                x
            )
            x = keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
            x = keras.layers.ReLU(name=f"{name}_relu")(x)
        if size // 2 < _SMALLEST_MAP or stage == len(_WIDTHS) - 1:
            break
        x = keras.layers.MaxPooling2D()(x)
        size //= 2
    x = keras.layers.GlobalAveragePooling2D()(x)
    network = keras.Model(images, x, name="small_cnn")
    if weights not in (None, "none"):
        load_weights_file(network, weights)
    return network
