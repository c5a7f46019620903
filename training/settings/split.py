"""Which images are the query, which train, and which are searched."""

from typing import Self

from pydantic import ConfigDict, Field, model_validator

from keras_hashing.names import quoted
from keras_hashing.settings import Settings
from training.data.protocols import MOST_QUERIES, PROTOCOLS, QUERY_SHARE, check_protocol


class SplitSettings(Settings):
    """The protocol that splits the data set, and its options."""

    model_config = ConfigDict(title="Split")

    protocol: str = Field(
        default="per-class",
        description=f"How the data is split: {quoted(PROTOCOLS)}. 'per-class' draws some images "
        "of each class as queries; all others are the database. 'unseen-classes' is the same, "
        "but trains on some classes only. 'held-out-share' draws a share of the images, which need "
        "no labels. The cifar10 protocols are the field's. The last four take the split of list "
        "files; all but 'lists' also expect the classes and sizes of papers, and measure their "
        "mAP@k.",
    )
    query_per_class: int | None = Field(default=None, ge=1)
    """With 'per-class' or 'unseen-classes': queries per class. (default: 20)"""
    train_per_class: int | None = Field(default=None, ge=1)
    """With 'per-class' or 'unseen-classes': training images per class. (default: the whole
    database)"""
    query_part: str | None = None
    """With 'per-class' or 'unseen-classes': draw queries from this part only, such as 'test'."""

    train_classes: int | None = Field(default=None, ge=2)
    """With 'unseen-classes': number of classes to train on, drawn at random. (default: 7 of 10)"""

    query_share: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="With 'held-out-share': share of the images, of each class if there are "
        f"classes, that are queries; {MOST_QUERIES:,} images at most. (default: {QUERY_SHARE})",
    )

    @model_validator(mode="after")
    def _known_protocol(self) -> Self:
        check_protocol(self.protocol, **self.protocol_options)
        return self

    @property
    def protocol_options(self) -> dict[str, int | float | str | None]:
        """The options that were set for the protocol."""
        names = ("query_per_class", "train_per_class", "query_part", "train_classes", "query_share")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}
