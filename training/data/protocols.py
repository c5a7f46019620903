"""Which images are the query, which train, and which are the database: the field's protocols.

A protocol draws from one random order of the whole data set, made by
`numpy.random.default_rng(seed)`: the query takes the first images of each class in that order, the
training images the next ones. The three index arrays come out in ascending order. So the same data
set, protocol and seed give the same split on every machine.

**Several labels per image.** An image counts for each of its labels. Classes are served from the
rarest to the most frequent; each takes images until `n` of those drawn carry its label, counting
what earlier classes took. So every class gets at least `n` (with one label per image: exactly `n`),
and query and train stay disjoint. Images without a label are only ever in the database.

**Lists.** The protocols `lists`, `nus-wide-21`, `coco` and `imagenet-100` draw nothing: the split
is the one that list files gave (`training.data.sources.list_files`), and the seed does not matter.
"""

import inspect
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from training.data.split import Split

if TYPE_CHECKING:  # settings are checked without loading TensorFlow
    from training.data.dataset import Dataset

__all__ = ["MAP_AT", "PROTOCOLS", "Split", "check_protocol", "make_split"]

QUERY_SHARE = 0.05
MOST_QUERIES = 1000


def make_split(
    dataset: "Dataset", protocol: str, seed: int, **options: int | float | str | None
) -> Split:
    """Split a data set by a protocol of `PROTOCOLS`.

    Args:
        **options: What the protocol takes; see its function.

    Raises:
        ValueError: on an unknown protocol or option, or data that the protocol does not fit.
    """
    check_protocol(protocol, **options)
    if not dataset.class_names and protocol != "held-out-share":
        raise ValueError(
            "`protocol` must be 'held-out-share' for a data set without labels; the others draw by "
            f"classes. Received: protocol={protocol!r}, data set {dataset.name!r}"
        )
    if dataset.labelled is None:
        split = PROTOCOLS[protocol](dataset, seed, **options)
    else:
        split = _with_unlabelled(dataset, dataset.labelled, protocol, seed, **options)
    _warn_of_queries_without_answer(dataset, split, protocol)
    return split


def _with_unlabelled(
    dataset: "Dataset",
    labelled: np.ndarray,
    protocol: str,
    seed: int,
    **options: int | float | str | None,
) -> Split:
    """The split of the items with labels; those without are trained on, and in no figure."""
    at = np.flatnonzero(labelled)
    from training.data.dataset import Dataset

    part = Dataset(
        name=dataset.name,
        labels=dataset.labels[at],
        ids=[dataset.ids[position] for position in at],
        class_names=dataset.class_names,
        part=dataset.part[at],
    )
    split = PROTOCOLS[protocol](part, seed, **options)
    train = np.sort(np.concatenate([at[split.train], np.flatnonzero(~labelled)]))
    return Split(at[split.query], train, at[split.database])


def check_protocol(protocol: str, **options: int | float | str | None) -> None:
    """Refuses, by a `ValueError`, an unknown protocol or options that it does not take."""
    if protocol not in PROTOCOLS:
        raise ValueError(f"Unknown protocol {protocol!r}. Known: {', '.join(PROTOCOLS)}")
    allowed = _options(protocol)
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        raise ValueError(
            f"Protocol {protocol!r} takes no option {', '.join(unknown)}. "
            f"Its options: {', '.join(allowed) or 'none'}"
        )


def cifar10(dataset: "Dataset", seed: int) -> Split:
    """Query 100 per class, train 500 per class, database the other 54,000 of CIFAR-10."""
    query, train = _draw_cifar10(dataset, seed, query_per_class=100, train_per_class=500)
    return Split(query, train, database=_others(dataset, query, train))


def cifar10_1(dataset: "Dataset", seed: int) -> Split:
    """Query 100 per class, database the other 59,000, train 500 per class of the database."""
    query, train = _draw_cifar10(dataset, seed, query_per_class=100, train_per_class=500)
    return Split(query, train, database=_others(dataset, query))


def cifar10_2(dataset: "Dataset", seed: int) -> Split:
    """Query 1,000 per class; the other 50,000 are both train and database.

    As in HashNet's code and those after it, the query is drawn from all 60,000 images; it is not
    CIFAR-10's own test split.
    """
    query, train = _draw_cifar10(dataset, seed, query_per_class=1000, train_per_class=5000)
    return Split(query, train, database=train)


def per_class(
    dataset: "Dataset",
    seed: int,
    *,
    query_per_class: int = 20,
    train_per_class: int | None = None,
    query_part: str | None = None,
) -> Split:
    """Some images of each class for the query; everything else is the database.

    Args:
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


def unseen_classes(
    dataset: "Dataset",
    seed: int,
    *,
    train_classes: int | None = None,
    **options: int | str | None,
) -> Split:
    """The split of `per_class`, trained on some of the classes only: search in all of them.

    Query and database are those of `per_class` with the same seed; so is `train`, without the
    images that carry a label of a class that was not drawn, or no label at all.

    Args:
        train_classes: Number of classes trained on, drawn at random; None for 7 of 10.
        **options: Those of `per_class`.

    Raises:
        ValueError: as in `per_class`, when `train_classes` is not at least 2 and fewer than all,
            or when no image is left to train on.
    """
    classes = len(dataset.class_names)
    number = max(2, classes * 7 // 10) if train_classes is None else train_classes
    if not 2 <= number < classes:
        raise ValueError(
            "`train_classes` must be at least 2 and fewer than the classes of the data set. "
            f"Received: train_classes={number}, classes={classes}"
        )
    split = PROTOCOLS["per-class"](dataset, seed, **options)
    # A stream of its own, so that the draw of images is that of `per_class`.
    drawn = np.zeros(classes, dtype=bool)
    drawn[np.random.default_rng([seed, 1]).permutation(classes)[:number]] = True
    labels = dataset.labels[split.train].astype(bool)
    kept = labels[:, drawn].any(axis=1) & ~labels[:, ~drawn].any(axis=1)
    if not kept.any():
        raise ValueError(
            "No image to train on has labels of the drawn classes only. Received: "
            f"train_classes={number}; train on more classes"
        )
    return Split(split.query, split.train[kept], split.database)


def held_out_share(dataset: "Dataset", seed: int, *, query_share: float = QUERY_SHARE) -> Split:
    """A share of the images for the query; everything else trains and is the database.

    With one label per image it is this share of each class, rounded, less where a class would have
    nothing left; else of all images. There are at most `MOST_QUERIES` queries, or one per class.

    Args:
        dataset: Any data set, also one without labels.
        query_share: Share of the images, between 0 and 1.

    Raises:
        ValueError: when the share is out of range, or there are fewer than 2 images.
    """
    if not 0 < query_share < 1:
        raise ValueError(f"`query_share` must be between 0 and 1. Received: {query_share}")
    if len(dataset) < 2:
        raise ValueError(
            "At least 2 images are needed: one to search with, one to find. "
            f"Received: {len(dataset)}"
        )
    share = min(query_share, MOST_QUERIES / len(dataset))
    order = _random_order(dataset, seed)
    groups = [order]
    if dataset.class_names and dataset.single_label:
        classes = dataset.labels[order].argmax(axis=1)
        groups = [order[classes == label] for label in np.unique(classes)]
    counts = [min(round(share * len(group)), len(group) - 1) for group in groups]
    if not any(counts):
        counts[int(np.argmax([len(group) for group in groups]))] = 1
    query = np.sort(np.concatenate([group[:n] for group, n in zip(groups, counts, strict=True)]))
    rest = _others(dataset, query)
    return Split(query, train=rest, database=rest)


def lists(dataset: "Dataset", seed: int) -> Split:
    """The query, training and database images that list files name.

    Raises:
        ValueError: when the data set does not say its split.
    """
    if dataset.given_split is None:
        raise ValueError(
            "This protocol takes the split that list files give. "
            f"Received: data set {dataset.name!r}, which gives none; use the data set 'lists', or "
            "another protocol"
        )
    return dataset.given_split


def nus_wide_21(dataset: "Dataset", seed: int) -> Split:
    """NUS-WIDE's 21 most frequent concepts by list files: 2,100 query, 10,500 train; mAP@5000.

    100 query and 500 training images per concept, the latter drawn from the database of all others
    among the 195,834 images with one of the concepts: the rule and figures of
    swuxyj/DeepHash-pytorch (README.md, data/nuswide_21/code.py, utils/tools.py). HashNet's own
    lists have all 81 concepts (thuml/HashNet, data/nuswide_81): use `lists` for them.

    Raises:
        ValueError: when the data set does not say its split, or has not 21 classes. Other sizes
            than those published are a warning: figures do not compare then.
    """
    return _published(dataset, seed, "NUS-WIDE-21", classes=21, query=[2100], train=[10_500])


def coco(dataset: "Dataset", seed: int) -> Split:
    """MS-COCO 2014's 80 classes by list files: 5,000 query, 10,000 train; mAP@5000.

    The training list is that of thuml/HashNet (pytorch/data/coco/train.txt); classes and cut are
    those of swuxyj/DeepHash-pytorch, utils/tools.py. Errors are those of `nus_wide_21`.
    """
    return _published(dataset, seed, "COCO", classes=80, query=[5000], train=[10_000])


def imagenet_100(dataset: "Dataset", seed: int) -> Split:
    """100 classes of ImageNet by list files: 5,000 query, 10,000 or 13,000 train; mAP@1000.

    The queries are the 5,000 validation images. HashNet's paper (ICCV 2017) trains on 100 images
    per class; the list that its code hands on, and swuxyj/DeepHash-pytorch with it
    (data/imagenet/train.txt), has 13,000. The cut is that of utils/tools.py there. Errors are
    those of `nus_wide_21`; several labels per image are refused, too.
    """
    if not dataset.single_label:
        raise ValueError(
            "ImageNet-100 has one label per image. "
            f"Received: data set {dataset.name!r}, which has images with several or none"
        )
    return _published(
        dataset, seed, "ImageNet-100", classes=100, query=[5000], train=[10_000, 13_000]
    )


PROTOCOLS: dict[str, Callable[..., Split]] = {
    "cifar10": cifar10,
    "cifar10-1": cifar10_1,
    "cifar10-2": cifar10_2,
    "per-class": per_class,
    "unseen-classes": unseen_classes,
    "held-out-share": held_out_share,
    "lists": lists,
    "nus-wide-21": nus_wide_21,
    "coco": coco,
    "imagenet-100": imagenet_100,
}

MAP_AT: dict[str, int] = {"nus-wide-21": 5000, "coco": 5000, "imagenet-100": 1000}
"""The cut of mAP@k that papers use with a protocol, where they use one."""


def _options(protocol: str) -> list[str]:
    """The names of what the protocol takes beside the data set and the seed."""
    parameters = inspect.signature(PROTOCOLS[protocol]).parameters.values()
    names = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
    others = any(one.kind is one.VAR_KEYWORD for one in parameters)
    return [*_options("per-class"), *names] if others else names


def _published(
    dataset: "Dataset",
    seed: int,
    benchmark: str,
    classes: int,
    query: list[int],
    train: list[int],
) -> Split:
    """The split of the lists, after a look at whether they are those of the benchmark."""
    if len(dataset.class_names) != classes:
        raise ValueError(
            f"{benchmark} has {classes} classes. Received: data set {dataset.name!r} with "
            f"{len(dataset.class_names)}; use the protocol 'lists'"
        )
    split = lists(dataset, seed)
    for name, published in (("query", query), ("train", train)):
        count = len(getattr(split, name))
        if count not in published:
            sizes = " or ".join(f"{size:,}" for size in published)
            warnings.warn(
                f"{benchmark} is published with {sizes} images for `{name}`, and these lists have "
                f"{count:,}: figures do not compare with papers",
                stacklevel=5,
            )
    return split


def _draw_cifar10(
    dataset: "Dataset", seed: int, query_per_class: int, train_per_class: int
) -> tuple[np.ndarray, np.ndarray]:
    counts = dataset.labels.sum(axis=0, dtype=np.int64)
    if counts.tolist() != [6000] * 10 or not dataset.single_label:
        raise ValueError(
            "The cifar10 protocols split CIFAR-10's 10 classes of 6,000 images, one label per "
            f"image. Received: data set {dataset.name!r} with {len(dataset)} images of "
            f"{len(counts)} classes; use the protocol 'per-class'"
        )
    order = _random_order(dataset, seed)
    query = _draw(dataset, order, query_per_class, "query")
    rest = order[~np.isin(order, query)]
    return query, _draw(dataset, rest, train_per_class, "train")


def _random_order(dataset: "Dataset", seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(len(dataset))


def _draw(dataset: "Dataset", order: np.ndarray, per_class: int, purpose: str) -> np.ndarray:
    """Take `per_class` images of each class, the first in `order` (int [m]); see the module."""
    labels = dataset.labels[order].astype(bool)
    available = labels.sum(axis=0)
    scarce = np.flatnonzero(available < per_class)
    if len(scarce):
        named = ", ".join(f"{dataset.class_names[at]!r} ({available[at]})" for at in scarce)
        raise ValueError(
            f"{len(scarce)} of {len(available)} classes of data set {dataset.name!r} have too few "
            f"images for `{purpose}_per_class`: {named}. Lower it, add images, or leave these "
            f"classes out. Received: {purpose}_per_class={per_class}"
        )
    taken = np.zeros(len(order), dtype=bool)
    for label in np.argsort(available, kind="stable"):
        of_class = labels[:, label]
        missing = max(0, per_class - int((taken & of_class).sum()))
        taken[np.flatnonzero(of_class & ~taken)[:missing]] = True
    return np.sort(order[taken])


def _others(dataset: "Dataset", *taken: np.ndarray) -> np.ndarray:
    return np.setdiff1d(np.arange(len(dataset)), np.concatenate(taken))


def _warn_of_queries_without_answer(dataset: "Dataset", split: Split, protocol: str) -> None:
    """Warns of queries with no relevant image in the database: each counts 0 in mAP."""
    in_database = dataset.labels[split.database].any(axis=0)
    queries = dataset.labels[split.query]
    lost = queries[queries.any(axis=1) & ~(queries & in_database).any(axis=1)]
    if len(lost):
        names = [dataset.class_names[at] for at in np.flatnonzero(lost.any(axis=0))]
        lower = ", or lower `query_per_class`" if "query_per_class" in _options(protocol) else ""
        warnings.warn(
            f"{len(lost)} of {len(split.query)} queries have no image of their classes in the "
            f"database, so each counts 0 in mAP: {', '.join(map(repr, names))}. Add images, leave "
            f"these classes out{lower}",
            stacklevel=3,
        )
