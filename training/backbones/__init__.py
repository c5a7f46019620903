"""Backbones: networks from uint8 images to features. Keras loads when one is made."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from keras_hashing.encoder.folder import check_model_file
from training.backbones.application_names import application_names
from training.backbones.hub_preset import SCHEMES, check_preset, preset_size
from training.backbones.imagenet_checkpoint import imagenet_checkpoint

if TYPE_CHECKING:
    import keras

# Each by a file of this folder and what in it makes the network of (shape, weights).
BACKBONES = {
    "small-cnn": "small_cnn.small_cnn",
    "efficientnet-lite0": "efficientnet_lite.lite0",
    "efficientnet-lite1": "efficientnet_lite.lite1",
    "efficientnet-lite2": "efficientnet_lite.lite2",
}
# These have no pretrained weights: frozen, they give features of random weights.
NO_BACKBONE = "none"  # of vectors
UNTRAINED = frozenset({"small-cnn"})

# Height and width of the images that ImageNet weights were trained on, where not 224.
_USUAL_SIZE = 224
_NATIVE_SIZES = {
    **{"efficientnet-lite1": 240, "efficientnet-lite2": 260},
    **{"Xception": 299, "InceptionV3": 299, "InceptionResNetV2": 299, "NASNetLarge": 331},
    **{"EfficientNetB1": 240, "EfficientNetB2": 260, "EfficientNetB3": 300, "EfficientNetB4": 380},
    **{"EfficientNetB5": 456, "EfficientNetB6": 528, "EfficientNetB7": 600},
    **{"EfficientNetV2B1": 240, "EfficientNetV2B2": 260, "EfficientNetV2B3": 300},
    **{"EfficientNetV2S": 384, "EfficientNetV2M": 480, "EfficientNetV2L": 480},
}


def native_size(name: str, weights: str | None = None) -> int | None:
    """Height and width of the images that a backbone was pretrained on, or takes alone.

    None for random weights. That of a preset or of a network of the user's own is read from it, and
    None if it says none.
    """
    if _is_preset(name):
        return preset_size(name)
    if _is_own(name):
        _, *sizes, _ = check_model_file(Path(name), height=1, width=1) or [None, None]
        return sizes[0] if len(set(sizes)) == 1 else None
    if name in (*UNTRAINED, NO_BACKBONE) or weights == "none":
        return None
    return _NATIVE_SIZES.get(name, _USUAL_SIZE)


def make_backbone(
    name: str, shape: tuple[int, int, int], dropout: float = 0.0, weights: str | None = None
) -> "keras.Model":
    """The backbone of that name.

    Args:
        name: A name in `BACKBONES`, that of a model of `keras.applications`, such as
            "MobileNetV2", a `.keras` file of the user's own, or a preset of KerasHub: "hf://…",
            "kaggle://…", or a folder.
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
    import keras

    check_backbone(name)
    check_weights(name, weights)
    if name in BACKBONES:
        file, function = BACKBONES[name].split(".")
        make = getattr(importlib.import_module(f"training.backbones.{file}"), function)
        network = make(shape, weights)
    elif _is_own(name):
        from training.backbones.own_model import own_model

        network = own_model(name, shape, weights)
    elif _is_preset(name):
        from training.backbones.hub_preset import hub_preset

        network = hub_preset(name, shape, weights)
    else:
        from training.backbones.keras_applications import application

        network = application(name, shape, weights)
    features = keras.layers.Dropout(dropout)(network.output)
    return keras.Model(network.input, features, name=network.name)


def check_backbone(name: str) -> str:
    """The name as it is, if it is that of a backbone; loads no Keras."""
    if _is_own(name):
        check_model_file(Path(name), height=1, width=1)
    elif _is_preset(name):
        check_preset(name)
    if _is_own(name) or _is_preset(name) or name == NO_BACKBONE:
        return name
    applications = application_names()
    if name not in BACKBONES and name not in applications:
        raise ValueError(
            f"Unknown backbone {name!r}. Known: {', '.join(BACKBONES)}, a .keras file, a preset of "
            f"KerasHub ({', '.join(scheme + '…' for scheme in SCHEMES)}, or a folder), and the "
            f"models of keras.applications: {', '.join(applications)}"
        )
    return name


def _is_own(name: str) -> bool:
    return name.endswith(".keras")


def _is_preset(name: str) -> bool:
    """Whether it is that of a preset; a folder may be called as a network of ours is."""
    if name.startswith(SCHEMES):
        return True
    known = name in BACKBONES or name in application_names()
    return not known and (Path(name) / "config.json").is_file()


def check_weights(backbone: str, weights: str | None) -> None:
    """Refuses weights that are not there, as `make_backbone` does; loads no Keras."""
    if backbone == NO_BACKBONE:
        return
    if _is_own(backbone) or _is_preset(backbone):
        if weights not in (None, "none"):
            raise ValueError(
                f"The backbone {backbone!r} comes with its weights: leave out `weights`, or give "
                f"'none' for random ones. Received: {weights!r}"
            )
    elif weights in (None, "imagenet"):
        if backbone.startswith("efficientnet-lite"):
            imagenet_checkpoint(backbone.removeprefix("efficientnet-"))
        elif backbone in UNTRAINED and weights == "imagenet":
            raise ValueError(f"The backbone {backbone!r} has no ImageNet weights: use 'none'")
    elif weights != "none" and not Path(weights).exists():
        raise FileNotFoundError(
            f"No weights file or run: {weights}. `weights` is 'imagenet', 'none', a .weights.h5 "
            "or .keras file, or the folder of a finished run"
        )
