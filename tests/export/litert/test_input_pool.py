import numpy as np
import pytest

from export.litert.input_pool import InputPool
from training.runs.run_data import RunData


def rows(images: np.ndarray) -> set[bytes]:
    return {image.tobytes() for image in images}


def test_images_come_from_the_training_set_alone(fitted_data: RunData) -> None:
    pixels = fitted_data.dataset.images.pixels
    drawn = InputPool.of_run(fitted_data, "train").draw(50)
    assert drawn.shape == (50, 8, 8, 1)
    assert drawn.dtype == np.uint8
    assert rows(drawn) <= rows(pixels[fitted_data.split.train])
    assert len(rows(drawn)) == 50


def test_the_seed_decides_which(fitted_data: RunData) -> None:
    first = InputPool.of_run(fitted_data, "train").draw(50, seed=0)
    np.testing.assert_array_equal(first, InputPool.of_run(fitted_data, "train").draw(50, seed=0))
    assert rows(first) != rows(InputPool.of_run(fitted_data, "train").draw(50, seed=1))


def test_all_are_taken_where_there_are_fewer(fitted_data: RunData) -> None:
    train = fitted_data.split.train
    assert len(InputPool.of_run(fitted_data, "train").draw(10**6)) == len(train)


def test_bad_arguments_are_named(fitted_data: RunData) -> None:
    with pytest.raises(ValueError, match=r"`count` .* must be at least 1. Received: 0"):
        InputPool.of_run(fitted_data, "train").draw(0)
    with pytest.raises(ValueError, match="`seed` must be 0 or more. Received: -1"):
        InputPool.of_run(fitted_data, "train").draw(5, seed=-1)
