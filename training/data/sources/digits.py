"""scikit-learn's handwritten digits: the data set that needs no download."""

import numpy as np
from sklearn.datasets import load_digits as load_scikit_learn_digits

from training.data.image_dataset import ImageDataset
from training.data.sources.pixel_arrays import PixelArrays


def load_digits() -> ImageDataset:
    """Load the 1,797 grey 8×8 digits, their 17 levels scaled to 0..255; all are part "train"."""
    digits = load_scikit_learn_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    count, height, width, channels = pixels.shape
    return ImageDataset(
        name="digits",
        images=PixelArrays(pixels),
        labels=np.eye(10, dtype=np.uint8)[digits.target],
        ids=[f"train/{position}" for position in range(count)],
        class_names=[str(digit) for digit in digits.target_names],
        part=np.full(count, "train"),
        image_shape=(height, width, channels),
    )
