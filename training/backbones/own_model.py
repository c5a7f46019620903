"""A Keras model of the user's own as a backbone."""

from pathlib import Path

import keras

from keras_hashing.encoder.hash_encoder import load_model
from keras_hashing.models import HashingModel


def own_model(path: str, shape: tuple[int, int, int], weights: str | None = None) -> keras.Model:
    """The network in a `.keras` file, up to its pooled features.

    It gets pixels from 0 to 255 in the dtype of its input, so it scales them itself. Feature maps
    are pooled by their mean; of a `HashingModel` its backbone is taken.

    Args:
        path: The file.
        shape: (height, width, channels) of the images.
        weights: None: those in the file; or "none" for random weights.

    Returns:
        A model from uint8 images [n, height, width, channels] to features [n, features].

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it cannot be read, takes no such images, or gives neither features nor
            feature maps, or other weights are named.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no Keras model {path!r}")
    if weights not in (None, "none"):
        raise ValueError(
            "The backbone's file has its weights: `weights` must be None, or 'none' for random "
            f"ones. Received: {weights!r}"
        )
    network = load_model(Path(path))
    if isinstance(network, HashingModel):
        network = network.backbone
    if weights == "none":
        network = keras.models.clone_model(network)
    inputs, outputs = getattr(network, "inputs", None), getattr(network, "outputs", None)
    if not inputs or not outputs or len(inputs) != 1 or len(outputs) != 1:
        raise ValueError(
            "A backbone must be a built functional or Sequential model with one input and one "
            f"output. Received: {type(network).__name__} {network.name!r}"
        )
    _check_shape(inputs[0].shape[1:], shape)
    images = keras.Input(shape, dtype="uint8", name="image")
    features = network(keras.ops.cast(images, inputs[0].dtype))
    if len(features.shape) == 4:
        features = keras.layers.GlobalAveragePooling2D()(features)
    if len(features.shape) != 2:
        raise ValueError(
            "A backbone gives features [n, features] or feature maps [n, h, w, features]. "
            f"Received: an output of shape {tuple(features.shape)}"
        )
    return keras.Model(images, features, name=network.name)


def _check_shape(taken: tuple, given: tuple[int, int, int]) -> None:
    fits = len(taken) == 3 and all(
        own in (None, wanted) for own, wanted in zip(taken, given, strict=True)
    )
    if not fits:
        raise ValueError(
            f"The backbone takes images of shape {tuple(taken)} (height, width, channels). "
            f"Received: {given}; --height, --width and --channels choose another"
        )
