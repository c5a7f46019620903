"""The order in which an epoch visits the training images."""

from typing import NamedTuple

import numpy as np


class Share(NamedTuple):
    """One of the equal parts of each batch that several processes read.

    Args:
        number: Which part, from 0.
        parts: How many there are.
    """

    number: int = 0
    parts: int = 1

    def rows(self, batch_size: int) -> slice:
        """Its rows of a batch."""
        size = batch_size // self.parts
        return slice(self.number * size, (self.number + 1) * size)


WHOLE = Share()


def steps_per_epoch(count: int, batch_size: int) -> int:
    """How many batches it takes to visit `count` training images.

    Raises:
        ValueError: when there are fewer images than one batch holds.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Received: {batch_size}")
    if count < batch_size:
        raise ValueError(
            f"The training set must hold at least one batch. Received: {count} training images, "
            f"batch_size={batch_size}"
        )
    return -(-count // batch_size)


def epoch_order(
    labels: np.ndarray, batch_size: int, seed: int, epoch: int, class_balanced: bool = False
) -> np.ndarray:
    """The positions one epoch visits; they depend on the arguments only, not on earlier epochs.

    Without `class_balanced` it is a random order of all images, and its first ones once more where
    the last batch is not full: batches have one size, and no image is left out.

    With it, C being the number of classes that have images, each batch holds
    `batch_size // C` images of every class, and its `batch_size % C` other places go one each to
    the next classes of an order that goes round all of them. So the counts in a batch differ by
    one at most, and when `batch_size < C` the batch has one image of each of `batch_size` classes.
    A class goes round its own images in random order: those of a small class come up more than
    once in an epoch, those of a large class not all.

    Args:
        labels: Labels of the training images, [n, C] one-hot or multi-hot.
        batch_size: Images in a batch.
        seed: Seed, 0 or more; with `epoch` it seeds `numpy.random.default_rng([seed, epoch])`.
        epoch: Number of the epoch, from 0.
        class_balanced: See above; needs one label per image.

    Returns:
        Positions in `labels`, int64 [steps * batch_size].

    Raises:
        ValueError: when there are fewer images than a batch holds, or `class_balanced` is asked
            for data with several labels per image.
    """
    steps = steps_per_epoch(len(labels), batch_size)
    random = np.random.default_rng([seed, epoch])
    if not class_balanced:
        return np.resize(random.permutation(len(labels)), steps * batch_size).astype(np.int64)
    require_single_label(labels)
    targets = labels.argmax(axis=1)
    return _class_balanced_order(targets, steps, batch_size, random)


def require_single_label(labels: np.ndarray) -> None:
    """Raise `ValueError` unless each row of `labels` [n, C] has exactly one label."""
    others = int((np.count_nonzero(labels, axis=1) != 1).sum())
    if others:
        raise ValueError(
            "`class_balanced` needs exactly one label per image. "
            f"Received: {others} of {len(labels)} images with none or several"
        )


def _class_balanced_order(
    targets: np.ndarray, steps: int, batch_size: int, random: np.random.Generator
) -> np.ndarray:
    classes = random.permutation(np.unique(targets))
    each, extra = divmod(batch_size, len(classes))
    to_all = np.tile(np.repeat(classes, each), (steps, 1))
    to_next = np.resize(classes, (steps, extra)) if extra else np.zeros((steps, 0), classes.dtype)
    places = random.permuted(np.concatenate([to_all, to_next], axis=1), axis=1).ravel()
    order = np.empty(len(places), dtype=np.int64)
    for label in classes:
        own_places = places == label
        own_images = random.permutation(np.flatnonzero(targets == label))
        order[own_places] = np.resize(own_images, own_places.sum())
    return order
