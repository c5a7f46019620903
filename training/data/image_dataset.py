"""A data set of labelled images."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from keras_hashing.images.preprocessing import ImagePreprocessing
from training.data.sources.image_files import ImageFiles
from training.data.sources.image_source import ImageSource
from training.data.split import Split


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Images with their labels and names; which of them are the query is a protocol's business.

    Args:
        name: What the data set is called in a run's configuration.
        images: Where the n images come from.
        labels: One-hot or multi-hot, uint8 [n, C].
        ids: The name of each image, n different strings such as "train/17" or "cats/a.jpg".
        class_names: The C names, in the order of the columns of `labels`.
        part: The original split of each image, str [n], such as "train" or "test".
        image_shape: (height, width, channels) of the originals; None where they differ.
        skipped: The files that were left out, and why each is no usable image.
        given_split: The split that came with the data, if it says one: an image may be in both
            its training set and its database, which `part` cannot say.

    Raises:
        ValueError: when the lengths disagree, labels are not uint8 zeros and ones, ids repeat, or
            the split has positions that there are not.
    """

    name: str
    images: ImageSource
    labels: np.ndarray
    ids: list[str]
    class_names: list[str]
    part: np.ndarray
    image_shape: tuple[int | None, int | None, int | None] = (None, None, None)
    skipped: Mapping[str, str] = field(default_factory=dict)
    given_split: Split | None = None

    def __post_init__(self) -> None:
        count, classes = len(self.images), len(self.class_names)
        if self.labels.dtype != np.uint8 or self.labels.shape != (count, classes):
            raise ValueError(
                f"`labels` must be uint8 [{count}, {classes}], a row an image and a column a class."
                f" Received: {self.labels.dtype} {list(self.labels.shape)}"
            )
        if self.labels.max(initial=0) > 1:
            raise ValueError(f"`labels` must be 0 or 1. Received: {self.labels.max()}")
        for name in ("ids", "part"):
            if len(getattr(self, name)) != count:
                raise ValueError(
                    f"`{name}` must have one entry for each of the {count} images. "
                    f"Received: {len(getattr(self, name))}"
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

    @property
    def digest(self) -> str:
        """SHA-256 over ids and labels in their order, and over the split that came with the data.

        Cut to 16 hexadecimal digits.
        """
        digest = hashlib.sha256("\n".join(self.ids).encode("utf-8", "surrogatepass"))
        digest.update(self.labels.tobytes())
        if self.given_split is not None:
            for name in ("query", "train", "database"):
                digest.update(getattr(self.given_split, name).astype("<i8").tobytes())
        return digest.hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def single_label(self) -> bool:
        """Whether every image has exactly one label."""
        return bool((self.labels.sum(axis=1) == 1).all())

    def preprocessing(
        self,
        height: int | None = None,
        width: int | None = None,
        channels: int | None = None,
        native_size: int | None = None,
    ) -> ImagePreprocessing:
        """Preprocessing that keeps the originals' shape wherever nothing else is asked for.

        Args:
            height: Height in pixels; when None, `native_size` for image files, else the originals'.
            width: Width in pixels, likewise.
            channels: 1 or 3; the originals' without alpha when None.
            native_size: Height and width that a pretrained backbone was trained on.

        Raises:
            ValueError: naming what must be given, because the originals differ in it.
        """
        wanted = {"height": height, "width": width, "channels": channels}
        originals = dict(zip(wanted, self.image_shape, strict=True))
        if originals["channels"] in (2, 4):
            originals["channels"] -= 1
        if native_size is not None and isinstance(self.images, ImageFiles):
            originals |= {"height": native_size, "width": native_size}
        chosen = {
            name: originals[name] if value is None else value for name, value in wanted.items()
        }
        missing = [name for name, value in chosen.items() if value is None]
        if missing:
            raise ValueError(
                f"The images of data set {self.name!r} differ in {' and '.join(missing)}: "
                "say what they should be (on the command line by --height, --width, --channels)."
            )
        return ImagePreprocessing(**chosen)  # type: ignore[arg-type]
