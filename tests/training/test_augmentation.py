import numpy as np
import pytest
import tensorflow as tf

from training.augmentation import Augmentation

SEED = tf.constant([1, 2], tf.int64)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 6, 7, 3), dtype=np.uint8)


def test_nothing_is_on_by_default(images: np.ndarray) -> None:
    augmentation = Augmentation()
    assert not augmentation.changes_images
    np.testing.assert_array_equal(augmentation.apply(tf.constant(images), SEED), images)


def test_flip_mirrors_about_half_of_the_images(images: np.ndarray) -> None:
    got = Augmentation(flip=True).apply(tf.constant(images), SEED).numpy()
    flipped = (got == images[:, :, ::-1]).all(axis=(1, 2, 3))
    kept = (got == images).all(axis=(1, 2, 3))
    assert got.dtype == np.uint8
    assert (flipped ^ kept).all()
    assert 16 < flipped.sum() < 48


def test_shift_moves_each_image_and_reflects_its_border(images: np.ndarray) -> None:
    got = Augmentation(shift=2).apply(tf.constant(images), SEED).numpy()
    padded = np.pad(images, [(0, 0), (2, 2), (2, 2), (0, 0)], mode="reflect")
    moves = set()
    for one, around in zip(got, padded, strict=True):
        found = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if np.array_equal(one, around[y : y + 6, x : x + 7])
        ]
        assert found
        moves.update(found)
    assert got.dtype == np.uint8
    assert {y for y, _ in moves} == {x for _, x in moves} == set(range(5))


def test_the_seed_decides_the_result(images: np.ndarray) -> None:
    augmentation = Augmentation(flip=True, shift=1)
    first, again, other = (
        augmentation.apply(tf.constant(images), tf.constant(seed, tf.int64)).numpy()
        for seed in ([5, 0], [5, 0], [5, 1])
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_shift_as_large_as_the_image_is_refused(images: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"shift=6 for images of 6x7"):
        Augmentation(shift=6).apply(tf.constant(images), SEED)


@pytest.mark.parametrize("settings", [{"shift": -1}, {"rotation": 3}])
def test_impossible_settings_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Augmentation(**settings)
