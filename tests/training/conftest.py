from collections.abc import Callable

import numpy as np
import pytest

from training.datasets import ImageDataset, PixelArrays


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
