"""Backbones by their presets, through KerasHub."""

import importlib.util
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

SCHEMES = ("hf://", "kaggle://")


def check_preset(name: str) -> None:
    """Refuses a preset that cannot be loaded, as far as is seen without loading it.

    Raises:
        ModuleNotFoundError: when KerasHub is not installed.
        ValueError: when a folder is none.
    """
    if not name.startswith(SCHEMES):
        about = json.loads((Path(name) / "config.json").read_text(encoding="utf-8"))
        if "registered_name" not in about and "model_type" not in about:
            raise ValueError(
                f"The folder {name!r} is no preset of KerasHub: its config.json names no model"
            )
    if importlib.util.find_spec("keras_hub") is None:
        raise ModuleNotFoundError(
            f"The backbone {name!r} is a preset of KerasHub: pip install 'keras-hashing[hub]'"
        )


def preset_size(name: str) -> int | None:
    """Height and width of the images that a preset is for, if they are one number."""
    converter = _converter(name)
    sizes = set(getattr(converter, "image_size", None) or ())
    return sizes.pop() if len(sizes) == 1 else None


def hub_preset(name: str, shape: tuple[int, int, int], weights: str | None = None) -> "keras.Model":
    """The image backbone of a preset, from its own scaling of pixels up to pooled features.

    Images come in the size that they are encoded in, so the preset's converter scales their pixels
    and resizes nothing. Feature maps and tokens are pooled by their mean.

    Args:
        name: "hf://USER/MODEL", "kaggle://USER/MODEL/keras/VARIANT", or a folder that
            `save_to_preset` made.
        shape: (height, width, channels) of the images.
        weights: None: those of the preset; or "none" for random weights.

    Returns:
        A model from uint8 images [n, height, width, channels] to features [n, features].

    Raises:
        ModuleNotFoundError: when KerasHub is not installed.
        ValueError: when there is no such preset, or it is none of images of that shape.
    """
    check_preset(name)
    import keras
    import keras_hub

    from training.backbones.own_model import image_network

    network = _loaded(keras_hub.models.Backbone, name, load_weights=weights != "none")
    if len(network.inputs) != 1 or len(network.inputs[0].shape) != 4:
        taken = ", ".join(tensor.name for tensor in network.inputs)
        raise ValueError(
            f"The backbone must take images. Received: the preset {name!r}, a "
            f"{type(network).__name__} that takes {taken}"
        )
    converter = _converter(name)
    images = keras.Input(shape, dtype="uint8", name="image")
    if converter is None:
        warnings.warn(
            f"The preset {name!r} has no image converter, so the network gets pixels from 0 to 255",
            stacklevel=3,
        )
        pixels = keras.ops.cast(images, network.inputs[0].dtype)
    else:
        converter.image_size = None
        pixels = converter(images)
    return image_network(network, images, pixels)


def _converter(name: str) -> Any:
    """The layer that scales pixels as the preset wants them, or `None` if it has none."""
    import keras_hub

    try:
        return keras_hub.layers.ImageConverter.from_preset(name)
    except (FileNotFoundError, ValueError):  # it has no such file, or is none of images
        return None


def _loaded(kind: Any, name: str, **options: Any) -> Any:
    try:
        return kind.from_preset(name, **options)
    except Exception as error:  # those of KerasHub, the Hub's and Kaggle's clients, of any kind
        reason = " ".join(str(error).split())[:400]
        raise ValueError(f"The preset {name!r} cannot be loaded: {reason}") from error
