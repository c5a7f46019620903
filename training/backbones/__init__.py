"""Backbones: networks from uint8 images to features."""

from collections.abc import Callable
from functools import partial

import keras

from training.backbones.efficientnet_lite import pretrained_efficientnet_lite
from training.backbones.keras_applications import application, application_names
from training.backbones.small_cnn import small_cnn

Shape = tuple[int, int, int]

BACKBONES: dict[str, Callable[[Shape, str | None], keras.Model]] = {
    "small-cnn": small_cnn,
    "efficientnet-lite0": partial(pretrained_efficientnet_lite, "lite0"),
    "efficientnet-lite1": partial(pretrained_efficientnet_lite, "lite1"),
    "efficientnet-lite2": partial(pretrained_efficientnet_lite, "lite2"),
}
# These have no pretrained weights: frozen, they give features of random weights.
UNTRAINED = frozenset({"small-cnn"})


def make_backbone(
    name: str, shape: Shape, dropout: float = 0.0, weights: str | None = None
) -> keras.Model:
    """The backbone of that name.

    Args:
        name: A name in `BACKBONES`, or that of a model of `keras.applications`, such as
            "MobileNetV2".
        shape: (height, width, channels) of the images.
        dropout: Share of the features that is dropped in training.
        weights: "imagenet", "none" for random weights, a weights file that
            `keras.Model.load_weights` reads, or the folder of a finished run with that backbone;
            None for "imagenet" where the backbone has it.

    Returns:
        A model from uint8 images [n, height, width, channels] to features [n, features].

    Raises:
        ValueError: when the name is unknown, or the images or weights do not fit the backbone.
        ModuleNotFoundError: when the package with the weights is not installed.
        FileNotFoundError: when there is no such weights file or run.
    """
    if name in BACKBONES:
        network = BACKBONES[name](shape, weights)
    elif name in application_names():
        network = application(name, shape, weights)
    else:
        raise ValueError(
            f"Unknown backbone {name!r}. Known: {', '.join(BACKBONES)}, and the models of "
            f"keras.applications: {', '.join(application_names())}"
        )
    features = keras.layers.Dropout(dropout)(network.output)
    return keras.Model(network.input, features, name=network.name)
