"""The images that the ranges of a full-int8 file come from."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from training.data.pipeline import evaluation_batches

if TYPE_CHECKING:
    from training.runs.run_data import RunData

_BATCH = 64


def calibration_images(data: "RunData", count: int = 500, seed: int = 0) -> NDArray[np.uint8]:
    """Draws images of a run's training set, without repetition.

    Args:
        data: the run's data.
        count: how many, at least 1; all of them if there are fewer.
        seed: 0 or more; the same seed draws the same images.

    Returns:
        Preprocessed images, uint8 [n, height, width, channels].

    Raises:
        ValueError: if `count` or `seed` breaks its rule.
    """
    if count < 1:
        raise ValueError(
            "Full int8 needs representative images: `count` (--calibration-images) must be at "
            f"least 1. Received: {count}"
        )
    if seed < 0:
        raise ValueError(f"`seed` must be 0 or more. Received: {seed}")
    train = data.split.train
    drawn = np.random.default_rng(seed).choice(train, min(count, len(train)), replace=False)
    return read_images(data, np.sort(drawn))


def read_images(data: "RunData", positions: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The preprocessed images at these positions: uint8 [n, height, width, channels]."""
    batches = evaluation_batches(data.dataset, positions, data.preprocessing, _BATCH)
    return np.concatenate([images.numpy() for images, _ in batches])
