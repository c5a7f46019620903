from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_hashing.images.preprocessing import ImagePreprocessing
from training.data import EncodedImages, ImageDataset
from training.data.pipeline import evaluation_batches, training_batches
from training.settings import Augmentation

MakeDataset = Callable[..., ImageDataset]
Batches = list[tuple[np.ndarray, np.ndarray]]

PREPROCESSING = ImagePreprocessing(height=6, width=5, channels=3)
INDICES = np.arange(2, 30)
AUGMENTATION = Augmentation(flip=True, shift=2)


@pytest.fixture
def dataset(labelled: MakeDataset) -> ImageDataset:
    return labelled(np.arange(40) % 3, size=8)


def train(dataset: ImageDataset, **changes: Any) -> Batches:
    settings = {"batch_size": 8, "epochs": 3, "seed": 7, "augment": AUGMENTATION} | changes
    return to_numpy(training_batches(dataset, INDICES, PREPROCESSING, **settings).batches)


def to_numpy(batches: tf.data.Dataset) -> Batches:
    return [(images.numpy(), labels.numpy()) for images, labels in batches]


def assert_same(first: Batches, second: Batches) -> None:
    assert len(first) == len(second)
    for (images, labels), (other_images, other_labels) in zip(first, second, strict=True):
        np.testing.assert_array_equal(images, other_images)
        np.testing.assert_array_equal(labels, other_labels)


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_training_batches_are_whole_and_count_their_steps(
    dataset: ImageDataset, cache: str
) -> None:
    batches, steps = training_batches(
        dataset, INDICES, PREPROCESSING, batch_size=8, epochs=3, seed=0, cache=cache
    )
    assert steps == -(-28 // 8)
    assert batches.cardinality() == 3 * steps
    assert batches.element_spec == (
        tf.TensorSpec([8, 6, 5, 3], tf.uint8),
        tf.TensorSpec([8, 3], tf.float32),
    )
    assert len(to_numpy(batches)) == 3 * steps


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_each_image_keeps_its_own_label(dataset: ImageDataset, cache: str) -> None:
    preprocessed = [
        image.tobytes()
        for image in dataset.images.images(np.arange(40), PREPROCESSING).as_numpy_iterator()
    ]
    seen = []
    for images, labels in train(dataset, augment=None, cache=cache, epochs=1):
        for image, label in zip(images, labels, strict=True):
            position = preprocessed.index(image.tobytes())
            np.testing.assert_array_equal(label, dataset.labels[position])
            seen.append(position)
    assert set(seen) == set(INDICES.tolist())


@pytest.mark.parametrize("class_balanced", [False, True])
@pytest.mark.parametrize("cache", ["memory", "none"])
def test_a_resumed_run_sees_the_rest_of_an_uninterrupted_one(
    dataset: ImageDataset, cache: str, class_balanced: bool
) -> None:
    settings = {"cache": cache, "class_balanced": class_balanced}
    assert_same(train(dataset, first_epoch=2, **settings), train(dataset, **settings)[2 * 4 :])


def test_two_views_are_two_draws_of_the_changes_and_resume_exactly(dataset: ImageDataset) -> None:
    def two_views(**changes: Any) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        settings = {"batch_size": 8, "epochs": 3, "seed": 7, "augment": AUGMENTATION, "views": 2}
        batches = training_batches(dataset, INDICES, PREPROCESSING, **{**settings, **changes})
        return [tuple(map(np.asarray, (*views, labels))) for views, labels in batches.batches]

    whole = two_views()
    assert_same([(first, labels) for first, _, labels in whole], train(dataset))
    assert all((first != second).any() for first, second, _ in whole)
    resumed = two_views(first_epoch=2)
    for name in range(3):
        np.testing.assert_array_equal([b[name] for b in resumed], [b[name] for b in whole[8:]])


def test_the_number_of_epochs_does_not_change_those_before(dataset: ImageDataset) -> None:
    assert_same(train(dataset, epochs=1), train(dataset, epochs=2)[:4])


def test_the_cache_does_not_change_the_batches(dataset: ImageDataset) -> None:
    assert_same(train(dataset, cache="memory"), train(dataset, cache="none"))


def test_the_same_seed_gives_the_same_batches_twice(dataset: ImageDataset) -> None:
    batches = training_batches(
        dataset, INDICES, PREPROCESSING, batch_size=8, epochs=2, seed=7, augment=AUGMENTATION
    ).batches
    assert_same(to_numpy(batches), to_numpy(batches))
    assert_same(to_numpy(batches), train(dataset, epochs=2))


def test_another_seed_gives_other_batches(dataset: ImageDataset) -> None:
    assert not np.array_equal(train(dataset)[0][0], train(dataset, seed=8)[0][0])


def test_epochs_differ_in_order_and_augmentation(dataset: ImageDataset) -> None:
    plain = [images for images, _ in train(dataset, augment=None)]
    assert not np.array_equal(plain[0], plain[4])

    whole = {"batch_size": 28, "epochs": 2}
    augmented = [{image.tobytes() for image in images} for images, _ in train(dataset, **whole)]
    assert augmented[0] != augmented[1]


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_the_number_of_threads_does_not_change_the_batches(
    dataset: ImageDataset, cache: str
) -> None:
    batches = training_batches(
        dataset,
        INDICES,
        PREPROCESSING,
        batch_size=4,
        epochs=2,
        seed=7,
        augment=AUGMENTATION,
        cache=cache,
    ).batches
    results = []
    for threads in (1, 8):
        options = tf.data.Options()
        options.threading.private_threadpool_size = threads
        results.append(to_numpy(batches.with_options(options)))
    assert_same(*results)


def test_class_balanced_batches_have_each_class_equally_often(dataset: ImageDataset) -> None:
    for _, labels in train(dataset, batch_size=9, class_balanced=True):
        np.testing.assert_array_equal(labels.sum(axis=0), [3, 3, 3])


def test_class_balanced_refuses_multi_label_data(labelled: MakeDataset) -> None:
    labels = np.ones((40, 2), dtype=int)
    with pytest.raises(ValueError, match=r"exactly one label.*28 of 28"):
        train(labelled(labels, size=8), class_balanced=True)


def test_multi_hot_labels_come_through(labelled: MakeDataset) -> None:
    labels = np.random.default_rng(0).integers(0, 2, (40, 4))
    batches = to_numpy(evaluation_batches(labelled(labels), INDICES, PREPROCESSING, batch_size=16))
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), labels[INDICES])


def test_training_continues_with_nothing_when_all_epochs_are_done(dataset: ImageDataset) -> None:
    assert train(dataset, first_epoch=3) == []


def test_a_training_set_smaller_than_a_batch_names_both(dataset: ImageDataset) -> None:
    with pytest.raises(ValueError, match="28 training images, batch_size=29"):
        train(dataset, batch_size=29)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
        ({"first_epoch": 4}, "first_epoch=4, epochs=3"),
        ({"first_epoch": -1}, "first_epoch=-1"),
        ({"seed": -1}, "`seed` must be 0 or more"),
        ({"cache": "disk"}, "`cache` must be 'memory' or 'none'"),
        ({"augment": Augmentation(shift=5)}, "shift=5 for images of 6x5"),
    ],
)
def test_impossible_settings_are_refused(
    dataset: ImageDataset, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train(dataset, **changes)


@pytest.mark.parametrize("cache", ["memory", "none"])
@pytest.mark.parametrize("batch_size", [7, 10, 100])
def test_evaluation_keeps_the_order_and_every_image(
    dataset: ImageDataset, cache: str, batch_size: int
) -> None:
    indices = np.array([5, 3, 39, 0, 1, 2, 8, 30, 31, 32])
    batches = to_numpy(evaluation_batches(dataset, indices, PREPROCESSING, batch_size, cache))
    want = list(dataset.images.images(indices, PREPROCESSING).as_numpy_iterator())
    np.testing.assert_array_equal(np.concatenate([images for images, _ in batches]), want)
    labels = np.concatenate([labels for _, labels in batches])
    np.testing.assert_array_equal(labels, dataset.labels[indices])
    assert labels.dtype == np.float32
    assert [len(images) for images, _ in batches[:-1]] == [batch_size] * (len(batches) - 1)


def test_evaluation_refuses_an_empty_batch_size_and_an_unknown_cache(
    dataset: ImageDataset,
) -> None:
    with pytest.raises(ValueError, match="`batch_size` must be at least 1"):
        evaluation_batches(dataset, INDICES, PREPROCESSING, batch_size=0)
    with pytest.raises(ValueError, match="`cache` must be"):
        evaluation_batches(dataset, INDICES, PREPROCESSING, batch_size=2, cache="disk")


def test_encoded_images_train_like_the_pixels_they_hold(dataset: ImageDataset) -> None:
    encoded = [tf.io.encode_png(image).numpy() for image in dataset.images.pixels]
    same = ImageDataset(
        name="encoded",
        images=EncodedImages(encoded),
        labels=dataset.labels,
        ids=dataset.ids,
        class_names=dataset.class_names,
        part=dataset.part,
    )
    for cache in ("memory", "none"):
        assert_same(train(same, cache=cache), train(dataset, cache=cache))
