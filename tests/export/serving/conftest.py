import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from brute_force_model import BITS, save_model
from prediction_server import ModelServer

NAME = "thumbs"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if shutil.which("tensorflow_model_server") is None:
        skip = pytest.mark.skip(reason="tensorflow_model_server is not on PATH")
        for item in items:
            if item.get_closest_marker("needs_model_server"):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def index_codes() -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (300, BITS // 8), dtype=np.uint8)


@pytest.fixture(scope="session")
def index_ids() -> np.ndarray:
    return np.array([f"train/ä{position}" for position in range(300)])


@pytest.fixture(scope="session")
def model_folder(
    tmp_path_factory: pytest.TempPathFactory, index_codes: np.ndarray, index_ids: np.ndarray
) -> Path:
    """Version 3 of a model with string ids; not to be changed."""
    folder = tmp_path_factory.mktemp("served") / NAME
    save_model(folder / "3", index_codes, index_ids.tolist())
    return folder


@pytest.fixture(scope="session")
def server(model_folder: Path) -> Iterator[ModelServer]:
    with ModelServer(model_folder, NAME) as running:
        yield running


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (40, 4, 4, 1), dtype=np.uint8)
