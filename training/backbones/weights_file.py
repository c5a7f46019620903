"""Weights of a backbone from the user's disk: a file, or a finished run."""

from pathlib import Path

import keras

from keras_hashing.encoder.folder import MODEL
from keras_hashing.encoder.hash_encoder import load_model


def load_weights_file(network: keras.Model, path: str) -> None:
    """Gives a network the weights of the same network.

    Args:
        path: A file that `keras.Model.save_weights` or `save` wrote, or the folder of a finished
            run.

    Raises:
        FileNotFoundError: when there is no such file or run.
        ValueError: when the file or the run does not fit the network.
    """
    file = Path(path, MODEL) if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"`weights` is no finished run (it has no {file.name}): {path}")
    if file.suffix == ".keras":
        _load_weights_of_model(network, file)
        return
    try:
        network.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"{path} does not fit the backbone {network.name}: {error}") from error


def _load_weights_of_model(network: keras.Model, file: Path) -> None:
    trained = load_model(file)
    trained = getattr(trained, "backbone", trained)
    # Dropout, and layers between features and hash head, come after the network's own.
    values = trained.get_weights()[: len(network.weights)]
    if [value.shape for value in values] != [tuple(weight.shape) for weight in network.weights]:
        raise ValueError(
            f"{file} does not fit the backbone {network.name}: its own is {trained.name}, with "
            "weights of other shapes (a network that was trained from random weights keeps its "
            "batch normalization)"
        )
    network.set_weights(values)
