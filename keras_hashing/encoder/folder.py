"""The folder of an encoder, as far as it can be read without Keras."""

import json
import zipfile
from pathlib import Path
from typing import Any

MODEL, DESCRIPTION = "model.keras", "encoder.json"
FORMAT = 1

# Of a run, which has its encoder's model and, since there is one, its description.
RUN_CONFIG, RUN_METRICS, RUN_DATABASE = "config.json", "metrics.json", "database.npz"


def read_description(folder: Path) -> dict[str, Any]:
    """What a folder says about its encoder.

    Raises:
        FileNotFoundError: if it holds neither an encoder nor a finished run.
        ValueError: if a file in it cannot be read.
    """
    if (folder / DESCRIPTION).exists():
        about = _read(folder / DESCRIPTION)
        if about.get("format_version") != FORMAT:
            raise ValueError(
                f"{folder / DESCRIPTION} must have the format version {FORMAT}. Received: "
                f"{about.get('format_version')}; a newer keras-hashing wrote it"
            )
        return about
    if not (folder / RUN_CONFIG).exists():
        raise FileNotFoundError(
            f"Not a run folder (it has neither {RUN_CONFIG} nor {DESCRIPTION}): {folder}"
        )
    check_finished(folder)
    config, metrics = _read(folder / RUN_CONFIG), _read(folder / RUN_METRICS)
    return {
        "preprocessing": config["preprocessing"],
        "class_names": config["class_names"],
        "training": config["settings"],
        "metrics": metrics,
        "fingerprint": metrics.get("fingerprint"),
    }


def check_model_file(path: Path, height: int | None, width: int | None) -> list | None:
    """Refuses a `.keras` file that is missing, is none, or needs a size that is not given.

    Returns:
        The shape of the model's input, if it is one of images.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no Keras model, or takes images of any size and none is given.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no Keras model {str(path)!r}")
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
    except (zipfile.BadZipFile, KeyError, ValueError):
        raise ValueError(f"{str(path)!r} is no Keras model (.keras), or damaged") from None
    shape = _input_shape(config)
    if shape is None or len(shape) != 4:
        return None  # what it takes is seen when it is loaded
    wanted = {"--height": (height, shape[1]), "--width": (width, shape[2])}
    missing = [name for name, sizes in wanted.items() if sizes == (None, None)]
    if missing:
        raise ValueError(
            f"The model {str(path)!r} takes images of any size. Say which size it was trained on: "
            f"{' and '.join(missing)}"
        )
    return shape


def _input_shape(config: Any) -> list | None:
    """The shape of the first input layer in the configuration of a model."""
    if isinstance(config, dict):
        shape = config.get("batch_shape")
        if isinstance(shape, list):
            return shape
        config = list(config.values())
    if isinstance(config, list):
        shapes = (_input_shape(part) for part in config)
        return next((shape for shape in shapes if shape is not None), None)
    return None


def check_finished(run: Path) -> None:
    """Raises `FileNotFoundError` if a run has not been trained and measured to its end."""
    if not (run / RUN_METRICS).exists():
        raise FileNotFoundError(
            f"The run is not finished (it has no {RUN_METRICS}): {run}. Resume it with "
            f"`python -m training fit --resume --output {run}`"
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"Not a JSON file: {path} ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"Not a JSON object: {path}")
    return content
