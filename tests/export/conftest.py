import io
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from export.saved_model.export_saved_model import export_saved_model
from keras_hashing.encoder import HashEncoder, VectorInput
from keras_hashing.images.preprocessing import ImagePreprocessing
from keras_hashing.layers import HashHead
from keras_hashing.models import HashingModel
from keras_hashing.retrieval import CodeIndex
from training.data import load_dataset
from training.runs.run_folder import Run, RunFolder
from training.settings import FitSettings


@pytest.fixture(scope="session")
def digits() -> np.ndarray:
    """scikit-learn's digits, uint8 [1797, 8, 8, 1]."""
    return load_dataset("digits").images.pixels


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Run]:
    """Makes a run as `load_run` gives it, of a model that has seen a few batches of noise."""

    def make(
        shape: tuple[int, int, int],
        bits: int = 32,
        precision: str = "float32",
        **head_options: object,
    ) -> Run:
        keras.utils.set_random_seed(0)
        keras.config.set_dtype_policy(precision)
        try:
            model = HashingModel(
                _backbone(shape),
                bits=bits,
                method="dpsh",
                quantization="none" if "quantization" in head_options else "hswd",
                head=HashHead(bits, **head_options),
            )
            model.compile("adam")
        finally:
            keras.config.set_dtype_policy("float32")
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (64, *shape), dtype=np.uint8)
        labels = np.eye(4, dtype=np.float32)[rng.integers(0, 4, 64)]
        model.fit(images, labels, verbose=0)
        return Run(
            folder=Path("run"),
            config=FitSettings(bits=bits, precision=precision),
            model=model,
            preprocessing=ImagePreprocessing(*shape),
            class_names=["a", "b", "c", "d"],
            metrics={"map": 0.5, "protocol": "per-class"},
            index_path=Path("run", "database.npz"),
        )

    return make


def _backbone(shape: tuple[int, int, int]) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input(shape, dtype="uint8"),
            keras.layers.Rescaling(1 / 127.5, offset=-1.0),
            keras.layers.Conv2D(8, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(momentum=0.5),
            keras.layers.ReLU(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.2),
        ]
    )


@pytest.fixture(scope="session")
def grey_run(make_run: Callable[..., Run]) -> Run:
    """Takes images of 8×8×1; its head carries a loss and a batch normalization."""
    return make_run((8, 8, 1), quantization="hswd", batch_normalization=True)


@pytest.fixture(scope="session")
def colour_run(make_run: Callable[..., Run]) -> Run:
    """Takes images of 12×10×3."""
    return make_run((12, 10, 3), bits=16)


@pytest.fixture(scope="session")
def runs(grey_run: Run, colour_run: Run) -> dict[str, Run]:
    return {"grey": grey_run, "colour": colour_run}


@pytest.fixture(scope="session")
def exports(runs: dict[str, Run], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The version folder of each of `runs`; not to be changed."""
    root = tmp_path_factory.mktemp("models")
    return {name: export_saved_model(run.encoder, root / name) for name, run in runs.items()}


@pytest.fixture
def run_folder(grey_run: Run, digits: np.ndarray, tmp_path: Path) -> Path:
    """The folder of `grey_run` as a finished run, with 60 digits for a database."""
    folder = RunFolder(tmp_path / "run")
    folder.create()
    config = {
        "settings": grey_run.config.model_dump(mode="json"),
        "preprocessing": grey_run.preprocessing.to_config(),
        "class_names": grey_run.class_names,
    }
    folder.write_json(folder.config, config)
    grey_run.model.save(folder.model)
    ids = [f"train/{position}" for position in range(60)]
    labels = ["[red]cat[/], dog"] * 60  # looks like markup and is none
    codes = grey_run.model.encode(digits[:60])
    CodeIndex(codes, ids, grey_run.encoder.fingerprint, labels).save(folder.database)
    folder.write_json(folder.metrics, grey_run.metrics)
    return folder.path


@pytest.fixture(scope="session")
def encode_image() -> Callable[..., bytes]:
    """`(pixels, format, mode=None) → the contents of an image file`."""

    def encode(pixels: np.ndarray, file_format: str = "PNG", mode: str | None = None) -> bytes:
        picture = Image.fromarray(pixels)
        buffer = io.BytesIO()
        (picture.convert(mode) if mode else picture).save(buffer, file_format)
        return buffer.getvalue()

    return encode


@pytest.fixture(scope="session")
def vectors() -> np.ndarray:
    return np.random.default_rng(5).normal(size=(40, 5)).astype(np.float32)


@pytest.fixture(scope="session")
def vector_encoder() -> HashEncoder:
    """Takes vectors of 5 values, gives codes of 12 bits."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((5,)), keras.layers.UnitNormalization(), HashHead(12)])
    return HashEncoder(model, VectorInput(5))


@pytest.fixture(scope="session")
def vector_index(vector_encoder: HashEncoder, vectors: np.ndarray) -> CodeIndex:
    ids = [f"item/{row}" for row in range(len(vectors))]
    codes = vector_encoder.encode(vectors)
    return CodeIndex(codes, ids, vector_encoder.fingerprint, bits=12)
