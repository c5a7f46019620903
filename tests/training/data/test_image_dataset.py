from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_hashing.images.preprocessing import ImagePreprocessing
from training.data import EncodedImages, ImageDataset, ImageFiles, PixelArrays
from training.data.split import Split

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)


def make(**changes: Any) -> ImageDataset:
    settings = {
        "name": "four",
        "images": PixelArrays(PIXELS),
        "labels": np.eye(2, dtype=np.uint8)[[0, 1, 0, 1]],
        "ids": list("abcd"),
        "class_names": ["even", "odd"],
        "part": np.full(4, "train"),
        "image_shape": (5, 6, 3),
    }
    return ImageDataset(**settings | changes)


def test_the_three_sources_give_the_same_pixels(tmp_path: Path) -> None:
    encoded = [tf.io.encode_png(image).numpy() for image in PIXELS]
    paths = [tmp_path / f"{position}.png" for position in range(4)]
    for path, content in zip(paths, encoded, strict=True):
        path.write_bytes(content)
    for preprocessing in (ImagePreprocessing(5, 6, 3), ImagePreprocessing(3, 3, 1)):
        want = [preprocessing.decode(encoded[position]).numpy() for position in (3, 0)]
        for source in (PixelArrays(PIXELS), EncodedImages(encoded), ImageFiles(paths)):
            images = source.images([3, 0], preprocessing)
            assert len(source) == 4
            assert images.element_spec == tf.TensorSpec(preprocessing.shape, tf.uint8)
            np.testing.assert_array_equal(list(images.as_numpy_iterator()), want)


@pytest.mark.parametrize(
    "pixels", [PIXELS.astype(np.float32), PIXELS[..., 0], np.zeros((1, 2, 2, 5), np.uint8)]
)
def test_pixels_of_another_shape_or_dtype_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"`pixels` must be uint8 \[n, h, w, c\]"):
        PixelArrays(pixels)


def test_preprocessing_defaults_to_the_shape_of_the_originals() -> None:
    assert make().preprocessing() == ImagePreprocessing(5, 6, 3)
    assert make().preprocessing(height=8, channels=1) == ImagePreprocessing(8, 6, 1)


def test_preprocessing_drops_the_alpha_of_the_originals() -> None:
    assert make(image_shape=(5, 6, 4)).preprocessing().channels == 3
    assert make(image_shape=(5, 6, 2)).preprocessing().channels == 1


def test_preprocessing_asks_for_what_differs_among_the_originals() -> None:
    dataset = make(image_shape=(None, None, 3))
    with pytest.raises(ValueError, match=r"'four' differ in height and width"):
        dataset.preprocessing()
    assert dataset.preprocessing(7, 7) == ImagePreprocessing(7, 7, 3)


def test_single_label_tells_one_hot_from_multi_hot() -> None:
    assert make().single_label
    assert not make(labels=np.ones((4, 2), np.uint8)).single_label


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.eye(2)[[0, 1, 0, 1]]}, "`labels` must be uint8"),
        ({"labels": np.zeros((3, 2), np.uint8)}, r"`labels` must be uint8 \[4, 2\]"),
        ({"labels": np.full((4, 2), 2, np.uint8)}, "0 or 1"),
        ({"ids": list("abc")}, "`ids` must have one entry for each of the 4"),
        ({"part": np.full(5, "train")}, "`part` must have one entry"),
        ({"ids": list("abca")}, "1 repeated"),
        (
            {"given_split": Split(np.array([0]), np.array([1]), np.array([1, 4]))},
            r"`given_split.database` must be positions from 0 to 3. Received: 1 to 4",
        ),
    ],
)
def test_inconsistent_parts_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**changes)
