"""Which images are the query, which train, and which are the database: the field's protocols.

A protocol draws from one random order of the whole data set, made by
`numpy.random.default_rng(seed)`: the query takes the first images of each class in that order, the
training images the next ones. The three index arrays come out in ascending order. So the same data
set, protocol and seed give the same split on every machine.

**Several labels an image.** An image counts for each of its labels. Classes are served from the
rarest to the most frequent; each takes images until `n` of those drawn carry its label, counting
what earlier classes took. So every class gets at least `n` (with one label an image: exactly `n`),
and query and train stay disjoint. Images without a label are only ever in the database.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.datasets.image_dataset import ImageDataset


@dataclass(frozen=True, eq=False)
class Split:
    """Positions in a data set, each int64, ascending and without repetition.

    Args:
        query: The images searched with, int64 [Q].
        train: The images trained on, int64 [T]; in the database or not, as the protocol says.
        database: The images searched in, int64 [N].

    Raises:
        ValueError: when one is empty or not ascending, or the query shares an image with another.
    """

    query: np.ndarray
    train: np.ndarray
    database: np.ndarray

    def __post_init__(self) -> None:
        for name in ("query", "train", "database"):
            positions = getattr(self, name)
            if len(positions) == 0:
                raise ValueError(f"The split leaves no image for `{name}`")
            if (np.diff(positions) <= 0).any():
                raise ValueError(f"`{name}` must be ascending, each position once")
        for name in ("train", "database"):
            shared = np.intersect1d(self.query, getattr(self, name))
            if len(shared):
                raise ValueError(
                    f"`query` and `{name}` must be disjoint. Received: {len(shared)} shared images"
                )


def make_split(
    dataset: ImageDataset, protocol: str, seed: int, **options: int | str | None
) -> Split:
    """Split a data set by a protocol of `PROTOCOLS`.

    Args:
        dataset: The data set.
        protocol: A name in `PROTOCOLS`.
        seed: Seed of the draw, 0 or more.
        **options: What the protocol takes; see its function.

    Raises:
        ValueError: on an unknown protocol or option, or data that the protocol does not fit.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"Unknown protocol {protocol!r}. Known: {', '.join(PROTOCOLS)}")
    draw = PROTOCOLS[protocol]
    allowed = [
        name
        for name, parameter in inspect.signature(draw).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        raise ValueError(
            f"Protocol {protocol!r} takes no option {', '.join(unknown)}. "
            f"Its options: {', '.join(allowed) or 'none'}"
        )
    return draw(dataset, seed, **options)


def cifar10(dataset: ImageDataset, seed: int) -> Split:
    """Query 100 a class, train 500 a class, database the other 54,000 of CIFAR-10's 60,000."""
    query, train = _draw_cifar10(dataset, seed, query_per_class=100, train_per_class=500)
    return Split(query, train, database=_others(dataset, query, train))


def cifar10_1(dataset: ImageDataset, seed: int) -> Split:
    """Query 100 a class, database the other 59,000, train 500 a class of the database."""
    query, train = _draw_cifar10(dataset, seed, query_per_class=100, train_per_class=500)
    return Split(query, train, database=_others(dataset, query))


def cifar10_2(dataset: ImageDataset, seed: int) -> Split:
    """Query 1,000 a class; the other 50,000 are both train and database.

    As in HashNet's code and those after it, the query is drawn from all 60,000 images; it is not
    CIFAR-10's own test split.
    """
    query, train = _draw_cifar10(dataset, seed, query_per_class=1000, train_per_class=5000)
    return Split(query, train, database=train)


def per_class(
    dataset: ImageDataset,
    seed: int,
    *,
    query_per_class: int = 20,
    train_per_class: int | None = None,
    query_part: str | None = None,
) -> Split:
    """So many images of each class for the query; everything else is the database.

    Args:
        dataset: Any data set.
        seed: Seed of the draw, 0 or more.
        query_per_class: Query images of each class.
        train_per_class: Training images of each class, drawn from the database; None for all of it.
        query_part: Draw the query only from images of this part, such as "test"; None for any.

    Raises:
        ValueError: when a class has too few images, or the data set has no such part.
    """
    for name, value in (("query_per_class", query_per_class), ("train_per_class", train_per_class)):
        if value is not None and value < 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {value}")
    order = _random_order(dataset, seed)
    candidates = order
    if query_part is not None:
        parts = sorted(set(dataset.part.tolist()))
        if query_part not in parts:
            raise ValueError(
                f"Data set {dataset.name!r} has no part {query_part!r}. It has: {', '.join(parts)}"
            )
        candidates = order[dataset.part[order] == query_part]
    query = _draw(dataset, candidates, query_per_class, "query")
    database = _others(dataset, query)
    if train_per_class is None:
        return Split(query, train=database, database=database)
    rest = order[~np.isin(order, query)]
    return Split(query, _draw(dataset, rest, train_per_class, "train"), database)


PROTOCOLS: dict[str, Callable[..., Split]] = {
    "cifar10": cifar10,
    "cifar10-1": cifar10_1,
    "cifar10-2": cifar10_2,
    "per-class": per_class,
}


def _draw_cifar10(
    dataset: ImageDataset, seed: int, query_per_class: int, train_per_class: int
) -> tuple[np.ndarray, np.ndarray]:
    counts = dataset.labels.sum(axis=0, dtype=np.int64)
    if counts.tolist() != [6000] * 10 or not dataset.single_label:
        raise ValueError(
            "The cifar10 protocols split CIFAR-10's 10 classes of 6,000 images, one label an "
            f"image. Received: data set {dataset.name!r} with {len(dataset)} images of "
            f"{len(counts)} classes; use the protocol 'per-class'"
        )
    order = _random_order(dataset, seed)
    query = _draw(dataset, order, query_per_class, "query")
    rest = order[~np.isin(order, query)]
    return query, _draw(dataset, rest, train_per_class, "train")


def _random_order(dataset: ImageDataset, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(len(dataset))


def _draw(dataset: ImageDataset, order: np.ndarray, per_class: int, purpose: str) -> np.ndarray:
    """Take `per_class` images of each class, the first in `order` (int [m]); see the module."""
    labels = dataset.labels[order].astype(bool)
    available = labels.sum(axis=0)
    if available.min() < per_class:
        scarce = int(available.argmin())
        raise ValueError(
            f"Class {dataset.class_names[scarce]!r} of data set {dataset.name!r} has too few "
            f"images for `{purpose}`: {per_class} needed, {available[scarce]} available"
        )
    taken = np.zeros(len(order), dtype=bool)
    for label in np.argsort(available, kind="stable"):
        of_class = labels[:, label]
        missing = max(0, per_class - int((taken & of_class).sum()))
        taken[np.flatnonzero(of_class & ~taken)[:missing]] = True
    return np.sort(order[taken])


def _others(dataset: ImageDataset, *taken: np.ndarray) -> np.ndarray:
    return np.setdiff1d(np.arange(len(dataset)), np.concatenate(taken))
