"""A Keras model of the user's own as a backbone."""

from pathlib import Path

import keras

from keras_hashing.encoder.hash_encoder import load_model
from keras_hashing.models import HashingModel

_POOLING = {3: keras.layers.GlobalAveragePooling1D, 4: keras.layers.GlobalAveragePooling2D}


def own_model(path: str, shape: tuple[int, int, int], weights: str | None = None) -> keras.Model:
    """The network in a `.keras` file, up to its pooled features.

    It gets pixels from 0 to 255 in the dtype of its input, so it scales them itself. Feature maps
    and tokens are pooled by their mean; of a `HashingModel` its backbone is taken.

    Args:
        path: The file.
        shape: (height, width, channels) of the images.
        weights: None: those in the file; or "none" for random weights.

    Returns:
        A model from uint8 images [n, height, width, channels] to features [n, features].

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it cannot be read, takes no such images, or gives no features,
            or other weights are named.
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
    images = keras.Input(shape, dtype="uint8", name="image")
    return image_network(network, images, keras.ops.cast(images, inputs[0].dtype))


def image_network(
    network: keras.Model, images: keras.KerasTensor, pixels: keras.KerasTensor
) -> keras.Model:
    """From images, by the pixels that a network takes, to its features, pooled by their mean.

    Raises:
        ValueError: when it takes images of another shape, or gives neither features nor what can be
            pooled: feature maps or tokens.
    """
    _check_shape(network.inputs[0].shape[1:], images.shape[1:])
    features = network(pixels)
    rank = len(getattr(features, "shape", ()))
    if rank in (3, 4):
        features = _POOLING[rank]()(features)
    elif rank != 2:
        found = f"an output of shape {tuple(features.shape)}" if rank else f"{list(features)}"
        raise ValueError(
            "A backbone gives features [n, features], tokens [n, t, features] or feature maps "
            f"[n, h, w, features]. Received: {found}"
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
