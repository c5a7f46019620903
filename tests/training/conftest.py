import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from training.datasets import ImageDataset, PixelArrays

_CHECKOUT = Path(__file__).resolve().parents[2]
PREPARED_DATA = Path(os.environ.get("KERAS_HASHING_TFDS_DIR", _CHECKOUT.parent / "shared" / "tfds"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "prepared_data(name): needs a data set that TFDS has prepared; else skipped"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker in item.iter_markers("prepared_data"):
            (name,) = marker.args
            if not (PREPARED_DATA / name).is_dir():
                reason = (
                    f"{name} is not prepared: set KERAS_HASHING_TFDS_DIR to a TFDS folder that "
                    f"has it, or put it at ../shared/tfds beside the checkout"
                )
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def prepared_data() -> Path:
    return PREPARED_DATA


@pytest.fixture
def labelled() -> Callable[..., ImageDataset]:
    """Makes a data set of tiny images from its labels, int [n] or multi-hot [n, C]."""

    def make(
        labels: list[int] | np.ndarray, part: np.ndarray | None = None, size: int = 1
    ) -> ImageDataset:
        labels = np.asarray(labels)
        multi_hot = labels if labels.ndim == 2 else np.eye(labels.max() + 1)[labels]
        count, classes = multi_hot.shape
        pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
        return ImageDataset(
            name="labelled",
            images=PixelArrays(pixels),
            labels=multi_hot.astype(np.uint8),
            ids=[f"train/{i}" for i in range(count)],
            class_names=[f"class {c}" for c in range(classes)],
            part=np.full(count, "train") if part is None else part,
            image_shape=(size, size, 3),
        )

    return make
