import dataclasses
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from export.litert.export_litert import export_litert
from export.litert.input_pool import InputPool
from keras_hashing.images.preprocessing import ImagePreprocessing
from keras_hashing.models import HashingModel
from training.runs.run_data import RunData
from training.runs.run_folder import Run, load_run
from training.settings import FitSettings
from training.trainer.fit import fit

CALIBRATION = 60


@pytest.fixture(scope="session")
def files(
    grey_run: Run, digits: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """`kind → the file of that kind` of `grey_run`, with continuous codes; not to be changed."""
    folder = tmp_path_factory.mktemp("phone")
    paths = export_litert(
        grey_run.encoder, folder, calibration=digits[:CALIBRATION], continuous=True
    )
    return lambda kind: next(path for path in paths if path.stem == f"encoder-{kind}")


@pytest.fixture(scope="session")
def plain_run(grey_run: Run) -> Callable[..., Run]:
    """Makes a run of a model with random weights, which takes images of 4×4×1."""

    def make(bits: int = 16, precision: str = "float32") -> Run:
        keras.utils.set_random_seed(0)
        keras.config.set_dtype_policy(precision)
        try:
            image = keras.Input((4, 4, 1), dtype="uint8")
            pixels = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
            features = keras.layers.Conv2D(8, 3, activation="relu")(pixels)
            backbone = keras.Model(image, keras.layers.Flatten()(features))
            model = HashingModel(backbone, bits=bits, method="dpsh")
        finally:
            keras.config.set_dtype_policy("float32")
        return dataclasses.replace(grey_run, model=model, preprocessing=ImagePreprocessing(4, 4, 1))

    return make


@pytest.fixture(scope="session")
def fitted_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was trained on the digits for two epochs."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    fit(FitSettings(dataset="digits", bits=16, epochs=2), folder, verbose=0)
    return folder


@pytest.fixture(scope="session")
def fitted_run(fitted_folder: Path) -> Run:
    return load_run(fitted_folder)


@pytest.fixture(scope="session")
def fitted_data(fitted_run: Run) -> RunData:
    return RunData.load(fitted_run.config)


@pytest.fixture(scope="session")
def phone(fitted_run: Run, fitted_data: RunData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a float32 and an int8 file of `fitted_run`; not to be changed."""
    folder = tmp_path_factory.mktemp("fitted")
    images = InputPool.of_run(fitted_data, "train").draw(CALIBRATION)
    export_litert(fitted_run.encoder, folder, kinds=["int8", "float32"], calibration=images)
    return folder
