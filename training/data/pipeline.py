"""From a data set to batches for `fit` and for evaluation."""

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf

from keras_hashing.command_line.progress import loading_progress
from keras_hashing.images.preprocessing import ImagePreprocessing
from training.data.augmentation import augment as augment_batch
from training.data.epoch_order import (
    WHOLE,
    Share,
    epoch_order,
    require_single_label,
    steps_per_epoch,
)
from training.data.image_dataset import ImageDataset
from training.data.sources.image_source import ImageSource, in_order
from training.settings import Augmentation
from training.settings.training import Cache

__all__ = ["TrainingBatches", "evaluation_batches", "training_batches"]


_CACHED_AT_ONCE = 64
_SECOND_VIEW = 1 << 16  # none of the numbers that `augment` folds into the seed itself


class TrainingBatches(NamedTuple):
    """The batches of the epochs left to train, and how many make an epoch."""

    batches: tf.data.Dataset
    steps_per_epoch: int


def training_batches(
    dataset: ImageDataset,
    indices: np.ndarray,
    preprocessing: ImagePreprocessing,
    *,
    batch_size: int,
    epochs: int,
    seed: int,
    first_epoch: int = 0,
    augment: Augmentation | None = None,
    class_balanced: bool = False,
    share: Share = WHOLE,
    cache: Cache = "memory",
    views: Literal[1, 2] = 1,
    labels: np.ndarray | None = None,
) -> TrainingBatches:
    """Shuffled, augmented batches of the epochs `first_epoch` to `epochs - 1`, one after another.

    What epoch e holds, pixel for pixel, depends on `seed` and e only: a run that resumes at
    `first_epoch` sees just what an uninterrupted one would have seen. Neither the number of
    threads nor `cache` changes it. Fit with `model.fit(batches, epochs=epochs,
    initial_epoch=first_epoch, steps_per_epoch=steps_per_epoch)`.

    Args:
        indices: The training images, int [n].
        preprocessing: Size and channels of the images wanted.
        batch_size: Images in a batch; see `epoch_order`.
        epochs: The number of the last epoch plus one.
        seed: Seed of order and augmentation, 0 or more.
        first_epoch: The epoch to start with.
        augment: Random changes; None for none.
        class_balanced: The same number of images of each class in a batch: see `epoch_order`.
        share: The part of each batch to read; its images are those of the whole batch.
        cache: "memory" decodes and resizes each image once, when this function is called, and
            holds n * height * width * channels bytes; "none" decodes whenever an image is needed.
        views: 2 for batches of ((first, second), labels): two draws of the random changes. The
            first views are the images that there are with 1.
        labels: Labels of all images, [N, C], where they are not those of the data set: see
            `Dataset.training_labels`.

    Returns:
        Batches (or their parts) of images, uint8 [batch_size, height, width, channels], and labels,
        float32 [batch_size, C]; and the number of them in an epoch.

    Raises:
        ValueError: when the training set is smaller than a batch, `first_epoch` is not between 0
            and `epochs`, `seed` is negative, `class_balanced` is asked for multi-label data,
            `augment.shift` is not smaller than the images, or `cache` is unknown.
    """
    indices = np.asarray(indices, dtype=np.int64)
    augment = Augmentation() if augment is None else augment
    labels = dataset.labels if labels is None else labels
    positions, steps = _training_positions(
        labels[indices], batch_size, epochs, seed, first_epoch, class_balanced
    )
    rows = share.rows(batch_size)
    own = positions.map(lambda batch: batch[rows])
    size = rows.stop - rows.start
    batches = _read_batches(dataset, labels, indices, preprocessing, own, size, cache)
    if augment.changes_images or views == 2:

        def augmented(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
            return augment_batch(images, seed, augment, rows, batch_size)

        batches = _augmented(batches, augmented, seed, first_epoch * steps, views)
    return TrainingBatches(_finished(batches, steps * (epochs - first_epoch)), steps)


def training_feature_batches(
    features: Any,
    labels: np.ndarray,
    indices: np.ndarray,
    *,
    batch_size: int,
    epochs: int,
    seed: int,
    first_epoch: int = 0,
    class_balanced: bool = False,
    share: Share = WHOLE,
    views: Literal[1, 2] = 1,
    neighbours: np.ndarray | None = None,
) -> TrainingBatches:
    """As `training_batches`, of features in place of images, in the same order.

    The arguments that are not named here are those of `training_batches`.

    Args:
        features: Features or feature maps of all images, [N, …], with rows by integers; they may
            be memory-mapped.
        labels: Labels of all images, [N, C].
        views: 2 for batches of ((first, second), labels).
        neighbours: The nearest training images of each, as positions in `indices`, int [n, k]: the
            second view is the features of one of them, drawn anew at each step; None for the
            image's own, which dropout changes.

    Returns:
        Batches of features, float32 [batch_size, …], and labels, float32 [batch_size, C]; and the
        number of them in an epoch.

    Raises:
        ValueError: as `training_batches`.
    """
    positions, steps = _training_positions(
        labels[indices], batch_size, epochs, seed, first_epoch, class_balanced
    )

    def second_view(step: int, batch: np.ndarray) -> np.ndarray:
        if neighbours is None:
            return batch
        random = np.random.default_rng([seed, step])
        return neighbours[batch, random.integers(neighbours.shape[1], size=len(batch))]

    batches = _gathered(
        positions,
        features,
        labels,
        indices,
        second_view if views == 2 else None,
        first_epoch * steps,
        share.rows(batch_size),
    )
    return TrainingBatches(_finished(batches, steps * (epochs - first_epoch)), steps)


def evaluation_batches(
    dataset: ImageDataset,
    indices: np.ndarray,
    preprocessing: ImagePreprocessing,
    batch_size: int,
    cache: Cache = "none",
) -> tf.data.Dataset:
    """All images at `indices`, in that order; the last batch may be smaller.

    Args:
        indices: The images wanted, int [n].
        preprocessing: Size and channels of the images wanted.
        cache: "memory" or "none", as in `training_batches`; the first pays when the batches are
            gone through more than once.

    Returns:
        Batches of images, uint8 [m, height, width, channels], and labels, float32 [m, C].

    Raises:
        ValueError: when `batch_size` is not positive or `cache` is unknown.
    """
    indices = np.asarray(indices, dtype=np.int64)
    positions, count = _positions_in_order(len(indices), batch_size)
    labels = dataset.labels
    batches = _read_batches(dataset, labels, indices, preprocessing, positions, batch_size, cache)
    return _finished(batches, count)


def evaluation_feature_batches(
    features: Any, labels: np.ndarray, indices: np.ndarray, batch_size: int
) -> tf.data.Dataset:
    """As `evaluation_batches`, of features [N, …] at `indices` in place of images."""
    positions, count = _positions_in_order(len(indices), batch_size)
    return _finished(_gathered(positions, features, labels, indices), count)


def _training_positions(
    labels: np.ndarray,
    batch_size: int,
    epochs: int,
    seed: int,
    first_epoch: int,
    class_balanced: bool,
) -> tuple[tf.data.Dataset, int]:
    """Positions in the training set, int64 [batch_size] a batch, and the batches of an epoch."""
    steps = steps_per_epoch(len(labels), batch_size)
    if not 0 <= first_epoch <= epochs:
        raise ValueError(
            "`first_epoch` must be between 0 and `epochs`. "
            f"Received: first_epoch={first_epoch}, epochs={epochs}"
        )
    if seed < 0:
        raise ValueError(f"`seed` must be 0 or more. Received: {seed}")
    if class_balanced:
        require_single_label(labels)

    def batches_of_positions() -> Iterator[np.ndarray]:
        for epoch in range(first_epoch, epochs):
            order = epoch_order(labels, batch_size, seed, epoch, class_balanced)
            yield from order.reshape(steps, batch_size)

    positions = tf.data.Dataset.from_generator(
        batches_of_positions, output_signature=tf.TensorSpec([batch_size], tf.int64)
    )
    return positions, steps


def _positions_in_order(count: int, batch_size: int) -> tuple[tf.data.Dataset, int]:
    """0, 1, … as batches of int64 [m], and the number of these."""
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Received: {batch_size}")
    return tf.data.Dataset.range(count).batch(batch_size), -(-count // batch_size)


def _gathered(
    positions: tf.data.Dataset,
    features: Any,
    labels: np.ndarray,
    indices: np.ndarray,
    second_view: Callable[[int, np.ndarray], np.ndarray] | None = None,
    first_step: int = 0,
    part: slice = slice(None),
) -> tf.data.Dataset:
    """Batches of rows and their labels; only the rows of a batch are read at a time.

    `second_view` gives, of a step and its positions, those of the second views; `part` is what is
    read of a batch.
    """
    size = positions.element_spec.shape[0]
    rows = [None if size is None else len(range(*part.indices(size)))]

    def read(step: np.ndarray, batch: np.ndarray) -> tuple[np.ndarray, ...]:
        views = [batch[part]]
        if second_view is not None:
            views.append(second_view(int(step), batch)[part])
        found = (np.asarray(features[indices[at]], np.float32) for at in views)
        return (*found, np.asarray(labels[indices[batch[part]]], np.float32))

    def gather(step: tf.Tensor, batch: tf.Tensor) -> tuple[Any, tf.Tensor]:
        count = 2 if second_view is None else 3
        *views, targets = tf.numpy_function(read, [step, batch], [tf.float32] * count)
        inputs = tuple(tf.ensure_shape(view, [*rows, *features.shape[1:]]) for view in views)
        targets = tf.ensure_shape(targets, [*rows, labels.shape[1]])
        return (inputs[0] if second_view is None else inputs), targets

    # One at a time: a reader need not be shared.
    return positions.enumerate(first_step).map(gather)


def _read_batches(
    dataset: ImageDataset,
    labels: np.ndarray,
    indices: np.ndarray,
    preprocessing: ImagePreprocessing,
    positions: tf.data.Dataset,
    batch_size: int,
    cache: Cache,
) -> tf.data.Dataset:
    """Turn batches of positions in `indices` (int64 [m]) into batches of images and labels."""
    with tf.device("CPU"):
        targets = tf.constant(labels[indices], dtype=tf.float32)
    if cache == "memory":
        images = _decoded(dataset.images, indices, preprocessing)
        return _map(positions, lambda batch: (tf.gather(images, batch), tf.gather(targets, batch)))
    if cache == "none":
        read, sources = dataset.images.reader(preprocessing), tf.constant(indices)
        singles = _map(positions.unbatch(), lambda at: (read(sources[at]), targets[at]))
        whole_batches = positions.element_spec.shape[0] is not None
        return singles.batch(batch_size, drop_remainder=whole_batches)
    raise ValueError(f"`cache` must be 'memory' or 'none'. Received: {cache!r}")


def _decoded(
    source: ImageSource, indices: np.ndarray, preprocessing: ImagePreprocessing
) -> tf.Tensor:
    """All images at `indices`, read once: uint8 [n, height, width, channels]."""
    pixels = np.empty((len(indices), *preprocessing.shape), dtype=np.uint8)
    filled = 0
    with loading_progress("Decoding images", len(indices)) as advance:
        for batch in source.images(indices, preprocessing).batch(_CACHED_AT_ONCE):
            pixels[filled : filled + len(batch)] = batch.numpy()
            filled += len(batch)
            advance(len(batch))
    with tf.device("CPU"):
        return tf.constant(pixels)


def _augmented(
    batches: tf.data.Dataset,
    augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    seed: int,
    first_step: int,
    views: int,
) -> tf.data.Dataset:
    """Augment each batch with a seed of its own: (`seed`, its number since epoch 0)."""

    def augmented(step: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[Any, tf.Tensor]:
        images, labels = batch
        step_seed = tf.stack([tf.constant(seed, tf.int64), step])
        first = augment(images, step_seed)
        if views == 1:
            return first, labels
        other_seed = tf.random.fold_in(tf.cast(step_seed, tf.int32), _SECOND_VIEW)
        return (first, augment(images, other_seed)), labels

    return _map(batches.enumerate(first_step), augmented)


def _map(batches: tf.data.Dataset, function: Callable[..., object]) -> tf.data.Dataset:
    return batches.map(function, num_parallel_calls=tf.data.AUTOTUNE)


def _finished(batches: tf.data.Dataset, count: int) -> tf.data.Dataset:
    """The batches in a fixed order, known to be `count`, two of them ahead."""
    return in_order(batches.apply(tf.data.experimental.assert_cardinality(count)).prefetch(2))
