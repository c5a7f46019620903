from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from training.data import ImageDataset, PixelArrays

# As in tests/keras_hashing/conftest.py: two devices on one processor, for tests of tf.distribute.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


@pytest.fixture
def folder_with_notes(tmp_path: Path) -> Path:
    """40 dark and 40 light images in folders of these names, and a file that is no image."""
    for label, darkest in (("dark", 0), ("light", 215)):
        (tmp_path / "images" / label).mkdir(parents=True)
        for i in range(40):
            png = tf.io.encode_png(tf.fill([12, 10 + i % 3, 3], tf.cast(darkest + i, tf.uint8)))
            tf.io.write_file(str(tmp_path / "images" / label / f"{i}.png"), png)
    (tmp_path / "images" / "dark" / "notes.png").write_text("no image")
    return tmp_path / "images"


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
