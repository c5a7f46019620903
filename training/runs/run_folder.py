"""Run folders: what `fit` writes, and how it is read back."""

import json
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_hashing.files.atomic_write import write_json
from training.settings import FitSettings

if TYPE_CHECKING:  # the folder is checked without loading TensorFlow
    from keras_hashing.encoder import HashEncoder, VectorInput
    from keras_hashing.images.preprocessing import ImagePreprocessing
    from keras_hashing.models import HashingModel
    from training.runs.run_data import RunData


class RunFolder:
    """The paths of a run, and its small files.

    config.json      settings, preprocessing, class names, versions
    checkpoints/     the model after the latest epoch, while the run is not finished
    skipped.txt      the image files that were left out, and why; only if there are any
    history.jsonl    one line an epoch
    logs/            TensorBoard
    model.keras      the trained model
    database.npz     packed codes of the database: a keras_hashing.retrieval.CodeIndex
    encoder.json     what `keras_hashing.encoder.HashEncoder.load` reads beside the model
    metrics.json     what was measured; written last, so its presence says: finished
    report.html      what `evaluate` shows: queries with their nearest, distances, bits
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.checkpoints = self.path / "checkpoints"
        self.skipped = self.path / "skipped.txt"
        self.history = self.path / "history.jsonl"
        self.logs = self.path / "logs"
        self.model = self.path / "model.keras"
        self.database = self.path / "database.npz"
        self.metrics = self.path / "metrics.json"
        self.report = self.path / "report.html"

    @property
    def finished(self) -> bool:
        """Whether the run was trained and measured to its end."""
        return self.metrics.exists()

    def create(self) -> None:
        """Makes the folder.

        Raises:
            FileExistsError: when it exists and is not empty.
        """
        self.check_new()
        self.path.mkdir(parents=True, exist_ok=True)

    def check_new(self) -> None:
        """Refuses a folder that exists and is not empty, by a `FileExistsError`."""
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise FileExistsError(
                f"The output folder exists and is not empty: {self.path}. Choose another, or "
                "resume the run in it with --resume"
            )

    def check_finished(self) -> None:
        """Refuses, by a `FileNotFoundError`, what is no run or no finished one."""
        self.read_json(self.metrics)

    def read_json(self, path: Path) -> dict[str, Any]:
        """One of the run's JSON files.

        Raises:
            FileNotFoundError: when the folder is no run, or the run is not finished.
            ValueError: when the file is no JSON object.
        """
        if not self.config.exists():
            raise FileNotFoundError(f"Not a run folder (it has no config.json): {self.path}")
        if not path.exists():
            raise FileNotFoundError(
                f"The run is not finished (it has no {path.name}): {self.path}. Resume it with "
                f"`python -m training fit --resume --output {self.path}`"
            )
        try:
            content = json.loads(path.read_text())
        except json.JSONDecodeError as error:
            raise ValueError(f"Not a JSON file: {path} ({error})") from error
        if not isinstance(content, dict):
            raise ValueError(f"Not a JSON object: {path}")
        return content

    def write_json(self, path: Path, content: dict[str, Any]) -> None:
        """Writes one of the run's JSON files, whole or not at all."""
        write_json(path, content)


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run.

    Args:
        preprocessing: What makes the model's input of an image file; the width of vectors.
        class_names: The names of the classes, in the order of the label columns.
        index_path: The codes of the run's database, a `keras_hashing.retrieval.CodeIndex`.
    """

    folder: Path
    config: FitSettings
    model: "HashingModel"
    preprocessing: "ImagePreprocessing | VectorInput"
    class_names: list[str]
    metrics: dict[str, Any]
    index_path: Path

    @cached_property
    def encoder(self) -> "HashEncoder":
        """What is exported of it."""
        from keras_hashing.encoder import HashEncoder

        return HashEncoder(
            self.model.encoder,
            self.preprocessing,
            self.class_names,
            self.config.model_dump(mode="json"),
            self.metrics,
            source=f"--run {shlex.quote(str(self.folder))}",
            known_as=self.metrics.get("fingerprint"),
        )

    def data(self, data_dir: str | None = None, image_root: str | None = None) -> "RunData":
        """The data that the run was trained on, found again.

        Args:
            data_dir: Where the data is now; None for where it was.
            image_root: Where the images of list files are now; None for where they were.

        Raises:
            ValueError: when the data has changed since.
            FileNotFoundError: when the data is not there.
        """
        from training.runs.run_data import RunData

        folder = RunFolder(self.folder)
        begun = folder.read_json(folder.config)
        return RunData.load(self.config, data_dir, image_root, begun)


def load_run(path: str | Path) -> Run:
    """Reads a finished run.

    Raises:
        FileNotFoundError: when the folder is no run, or the run is not finished.
        ValueError: when a file in it cannot be read.
    """
    folder = RunFolder(path)
    folder.check_finished()
    config, metrics = folder.read_json(folder.config), folder.read_json(folder.metrics)
    import keras

    import keras_hashing.models  # noqa: F401 - so that Keras finds the classes
    from keras_hashing.encoder.hash_encoder import preprocessing_of

    try:
        model = keras.saving.load_model(folder.model)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"The run's model cannot be read: {folder.model} ({error})") from error
    return Run(
        folder=folder.path,
        config=FitSettings.check(config["settings"]),
        model=model,
        preprocessing=preprocessing_of(config["preprocessing"]),
        class_names=config["class_names"],
        metrics=metrics,
        index_path=folder.database,
    )
