"""The images or vectors that int8 is calibrated with, and that encoders are checked on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from keras_hashing.files.image_verdict import DAMAGED, verdict
from keras_hashing.files.vector_file import VectorFile

if TYPE_CHECKING:
    from keras_hashing.encoder import HashEncoder
    from training.runs.run_data import RunData

_BATCH = 64


@dataclass(frozen=True, eq=False)
class InputPool:
    """Images, as files and as the encoder gets them; or vectors.

    Attributes:
        inputs: positions, int64 [n] → preprocessed images, uint8 [n, height, width, channels], or
            vectors, float32 [n, D].
        content: a position → the image file; `None` of vectors.
        positions: the positions there are, int64, ascending.
    """

    inputs: Callable[[NDArray[np.int64]], NDArray]
    content: Callable[[int], bytes] | None
    positions: NDArray[np.int64]

    @classmethod
    def of_vectors(cls, vectors: VectorFile) -> Self:
        """All vectors of a file."""
        return cls(vectors.read, None, np.arange(len(vectors)))

    @classmethod
    def of_run(cls, data: "RunData", part: str) -> Self:
        """The images or vectors of a part of a run's split: "query", "train" or "database"."""
        from training.data import VectorDataset
        from training.data.pipeline import evaluation_batches

        positions = getattr(data.split, part)
        if isinstance(data.dataset, VectorDataset):
            return cls(VectorFile(Path(), data.dataset.vectors).read, None, positions)
        dataset, preprocessing = data.images

        def pixels(positions: NDArray[np.int64]) -> NDArray[np.uint8]:
            batches = evaluation_batches(dataset, positions, preprocessing, _BATCH)
            return np.concatenate([images.numpy() for images, _ in batches])

        source = dataset.images
        return cls(pixels, lambda position: source.encoded_image(position)[0], positions)

    @classmethod
    def of_folder(cls, folder: Path, encoder: "HashEncoder") -> Self:
        """All images in a folder, as `index build --images` reads them.

        Raises:
            FileNotFoundError, ValueError: as `export.index.index_items.folder_items`.
        """
        import tensorflow as tf

        from export.index.index_items import folder_items

        items = folder_items(folder)

        def pixels(positions: NDArray[np.int64]) -> NDArray[np.uint8]:
            decode = encoder.of_images.decode
            return np.stack([_decoded(decode, items.ids[at], items.read(at)) for at in positions])

        def _decoded(decode: Callable, name: str, content: bytes) -> NDArray[np.uint8]:
            try:
                return decode(tf.constant(content)).numpy()
            except tf.errors.InvalidArgumentError as error:
                raise ValueError(f"{name!r} {verdict(content) or DAMAGED}") from error

        return cls(pixels, items.read, np.arange(len(items)))

    def draw(self, count: int, seed: int = 0) -> NDArray:
        """Images or vectors drawn without repetition, for `calibration` of `export_litert`.

        Args:
            count: how many, at least 1; all of them if there are fewer.
            seed: 0 or more; the same seed draws the same ones.

        Raises:
            ValueError: if `count` or `seed` breaks its rule.
        """
        if count < 1:
            raise ValueError(
                "Full int8 needs representative images or vectors: `count` (--calibration-images) "
                f"must be at least 1. Received: {count}"
            )
        if seed < 0:
            raise ValueError(f"`seed` must be 0 or more. Received: {seed}")
        random = np.random.default_rng(seed)
        drawn = random.choice(self.positions, min(count, len(self.positions)), replace=False)
        return self.inputs(np.sort(drawn))

    def spread(self, count: int) -> NDArray[np.int64]:
        """At most `count` of the positions, spread evenly, in their order."""
        count = min(count, len(self.positions))
        return self.positions[np.arange(count) * len(self.positions) // count]
