"""Labelled items: what data sets of images and of vectors have in common."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from keras_hashing.checks import UNLABELLED
from training.data.split import Split


@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset:
    """Items with their labels and names; which of them are the query is a protocol's business.

    Args:
        name: What the data set is called in a run's configuration.
        labels: One-hot or multi-hot, uint8 [n, C]; C is 0 for data without labels.
        ids: The name of each item, n different strings such as "train/17" or "cats/a.jpg".
        class_names: The C names, in the order of the columns of `labels`.
        part: The original split of each item, str [n], such as "train" or "test".
        skipped: The files that were left out, and why each is no usable image.
        given_split: The split that came with the data, if it says one: an item may be in both
            its training set and its database, which `part` cannot say.
        labelled: Which items have labels, bool [n], where some have none; None for data of which
            all have, or none. A row of zeros that is labelled is an item of none of the classes.

    Raises:
        ValueError: when the lengths disagree, labels are not uint8 zeros and ones, ids repeat, or
            the split has positions that there are not.
    """

    name: str
    labels: np.ndarray
    ids: list[str]
    class_names: list[str]
    part: np.ndarray
    skipped: Mapping[str, str] = field(default_factory=dict)
    given_split: Split | None = None
    labelled: np.ndarray | None = None

    def __post_init__(self) -> None:
        count, classes = len(self.ids), len(self.class_names)
        if self.labels.dtype != np.uint8 or self.labels.shape != (count, classes):
            raise ValueError(
                f"`labels` must be uint8 [{count}, {classes}], a row per item, a column per class. "
                f"Received: {self.labels.dtype} {list(self.labels.shape)}"
            )
        if self.labels.max(initial=0) > 1:
            raise ValueError(f"`labels` must be 0 or 1. Received: {self.labels.max()}")
        if len(self.part) != count:
            raise ValueError(
                f"`part` must have one entry for each of the {count} items. "
                f"Received: {len(self.part)}"
            )
        if len(set(self.ids)) != count:
            raise ValueError(f"`ids` must differ. Received: {count - len(set(self.ids))} repeated")
        if self.given_split is not None:
            for name in ("query", "train", "database"):
                positions = getattr(self.given_split, name)
                if positions[0] < 0 or positions[-1] >= count:
                    raise ValueError(
                        f"`given_split.{name}` must be positions from 0 to {count - 1}. "
                        f"Received: {positions[0]} to {positions[-1]}"
                    )

    def names_of(self, position: int) -> str:
        """The classes of an item, such as "cat, dog"."""
        row = self.labels[position]
        return ", ".join(name for name, has in zip(self.class_names, row, strict=True) if has)

    @property
    def digest(self) -> str:
        """SHA-256 over ids and labels in their order, and over the split that came with the data.

        And over which items have labels, where some have none. Cut to 16 hexadecimal digits.
        """
        digest = hashlib.sha256("\n".join(self.ids).encode("utf-8", "surrogatepass"))
        digest.update(self.labels.tobytes())
        if self.given_split is not None:
            for name in ("query", "train", "database"):
                digest.update(getattr(self.given_split, name).astype("<i8").tobytes())
        if self.labelled is not None:
            digest.update(np.packbits(self.labelled).tobytes())
        return digest.hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def single_label(self) -> bool:
        """Whether every item that has labels has exactly one."""
        labels = self.labels if self.labelled is None else self.labels[self.labelled]
        return bool((labels.sum(axis=1) == 1).all())

    def training_labels(self, train: np.ndarray, share: float | None, seed: int) -> np.ndarray:
        """Labels as they are trained on: a row of `UNLABELLED` for an item without.

        Args:
            train: Positions of the training items, int64 [n].
            share: Share of those with labels that keep them, of each class if there is one label
                an item, at least one each; the labels of the others are not used. None for all.
            seed: Seed of the draw.

        Returns:
            [N, C]; `labels` itself where nothing is left out.
        """
        shown = np.ones(len(self), bool) if self.labelled is None else self.labelled.copy()
        if share is not None:
            order = np.random.default_rng([seed, 3]).permutation(train[shown[train]])
            groups = [order]
            if self.single_label:
                classes = self.labels[order].argmax(axis=1)
                groups = [order[classes == label] for label in np.unique(classes)]
            shown[order] = False
            for group in groups:
                shown[group[: max(1, round(share * len(group)))]] = True
        if shown.all():
            return self.labels
        return np.where(shown[:, None], self.labels.astype(np.int8), np.int8(UNLABELLED))
