import numpy as np
import pytest
import tensorflow as tf

from training.data.augmentation import augment
from training.settings import Augmentation

SEED = tf.constant([1, 2], tf.int64)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 6, 7, 3), dtype=np.uint8)


def test_nothing_is_on_by_default(images: np.ndarray) -> None:
    augmentation = Augmentation()
    assert not augmentation.changes_images
    np.testing.assert_array_equal(augment(tf.constant(images), SEED, augmentation), images)


def test_flip_mirrors_about_half_of_the_images(images: np.ndarray) -> None:
    got = augment(tf.constant(images), SEED, Augmentation(flip=True)).numpy()
    flipped = (got == images[:, :, ::-1]).all(axis=(1, 2, 3))
    kept = (got == images).all(axis=(1, 2, 3))
    assert got.dtype == np.uint8
    assert (flipped ^ kept).all()
    assert 16 < flipped.sum() < 48


def test_shift_moves_each_image_and_reflects_its_border(images: np.ndarray) -> None:
    got = augment(tf.constant(images), SEED, Augmentation(shift=2)).numpy()
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
        augment(tf.constant(images), tf.constant(seed, tf.int64), augmentation).numpy()
        for seed in ([5, 0], [5, 0], [5, 1])
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_shift_as_large_as_the_image_is_refused(images: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"shift=6 for images of 6x7"):
        augment(tf.constant(images), SEED, Augmentation(shift=6))


@pytest.mark.parametrize("settings", [{"shift": -1}, {"rotation": 3}])
def test_impossible_settings_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Augmentation(**settings)


def test_crop_is_a_stretched_part_of_the_image() -> None:
    # A ramp from left to right stays one under cutting and stretching, only flatter.
    ramp = np.broadcast_to(np.linspace(0, 255, 32)[None, None, :, None], (64, 32, 32, 3))
    images = np.round(ramp).astype(np.uint8)
    got = augment(tf.constant(images), SEED, Augmentation(crop=0.3)).numpy().astype(float)
    assert got.shape == images.shape
    assert np.abs(got - got[:, :1]).max() == 0  # every row is the same
    widths = (got[:, 0, -1, 0] - got[:, 0, 0, 0]) / 255
    assert (np.diff(got[:, 0, :, 0], axis=1) >= 0).all()
    # The narrowest part: area 0.3 at sides 3:4.
    assert widths.min() > np.sqrt(0.3 * 3 / 4) - 0.01
    assert widths.max() <= 1
    assert widths.std() > 0.05


def test_colour_scales_brightness_contrast_and_saturation(images: np.ndarray) -> None:
    uniform = np.full((64, 4, 4, 3), 100, np.uint8)  # contrast and saturation leave it alone
    got = augment(tf.constant(uniform), SEED, Augmentation(colour=0.4)).numpy()
    assert (got == got[:, :1, :1, :1]).all()
    values = got[:, 0, 0, 0].astype(int)
    assert values.min() >= 60
    assert values.max() <= 140
    assert values.std() > 10
    grey = np.repeat(images[..., :1], 3, axis=-1)
    still_grey = augment(tf.constant(grey), SEED, Augmentation(colour=0.4)).numpy()
    assert (still_grey == still_grey[..., :1]).all()


def test_erase_greys_one_rectangle_of_some_images() -> None:
    black = np.zeros((200, 20, 20, 3), np.uint8)
    got = augment(tf.constant(black), SEED, Augmentation(erase=0.5)).numpy()
    assert set(np.unique(got)) == {0, 127}
    grey = (got == 127).all(axis=-1)
    np.testing.assert_array_equal(grey, grey.any(2)[:, :, None] & grey.any(1)[:, None, :])
    assert 70 < grey.any(axis=(1, 2)).sum() < 130
    assert grey.any(2).sum(1).max() <= 11  # half of the side


@pytest.mark.parametrize("setting", [{"crop": 0.0}, {"crop": 1.1}, {"colour": 1.0}, {"erase": 2}])
def test_settings_out_of_range_are_refused(setting: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        Augmentation(**setting)


@pytest.mark.parametrize("setting", [{"crop": 0.5}, {"colour": 0.3}, {"erase": 0.5}])
def test_each_change_depends_on_the_seed_only(images: np.ndarray, setting: dict) -> None:
    augmentation = Augmentation(**setting)
    first, again, other = (
        augment(tf.constant(images), tf.constant(seed, tf.int64), augmentation).numpy()
        for seed in ([5, 0], [5, 0], [5, 1])
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
