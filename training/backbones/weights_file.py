"""Weights of a backbone from a file of the user's."""

from pathlib import Path

import keras


def load_weights_file(network: keras.Model, path: str) -> None:
    """Loads weights that `keras.Model.save_weights` wrote for the same network.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file does not fit the network.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"No weights file: {path}. `weights` is 'imagenet', 'none' or a .weights.h5 file"
        )
    try:
        network.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"{path} does not fit the backbone {network.name}: {error}") from error
