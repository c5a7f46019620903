"""Weights of a backbone from the user's disk: a file, or a finished run."""

from pathlib import Path

import keras

import keras_hashing  # noqa: F401 - so that a run's model can be read

# As `training.runs.run_folder.RunFolder` names it.
_MODEL_OF_A_RUN = "model.keras"


def load_weights_file(network: keras.Model, path: str) -> None:
    """Gives a network the weights of the same network.

    Args:
        network: The network, up to its pooled features.
        path: A file that `keras.Model.save_weights` wrote, or the folder of a finished run.

    Raises:
        FileNotFoundError: when there is no such file or run.
        ValueError: when the file or the run does not fit the network.
    """
    if Path(path).is_dir():
        _load_weights_of_run(network, Path(path))
        return
    try:
        network.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"{path} does not fit the backbone {network.name}: {error}") from error


def _load_weights_of_run(network: keras.Model, run: Path) -> None:
    file = run / _MODEL_OF_A_RUN
    if not file.is_file():
        raise FileNotFoundError(f"`weights` is no finished run (it has no {file.name}): {run}")
    try:
        trained = keras.saving.load_model(file, compile=False).backbone
    except (ValueError, OSError, KeyError, AttributeError) as error:
        raise ValueError(f"The run's model cannot be read: {file} ({error})") from error
    # Dropout, and layers between features and hash head, come after the network's own.
    values = trained.get_weights()[: len(network.weights)]
    if [value.shape for value in values] != [tuple(weight.shape) for weight in network.weights]:
        raise ValueError(
            f"{run} does not fit the backbone {network.name}: its own is {trained.name}, with "
            "weights of other shapes (a network that was trained from random weights keeps its "
            "batch normalization)"
        )
    network.set_weights(values)
