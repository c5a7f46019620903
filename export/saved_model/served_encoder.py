"""A client that encodes with an exported SavedModel, with nothing of the training."""

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from export.index.encode_files import EncodedFiles, OnBadImage, encode_files
from export.versions.checksums import verify_files
from export.versions.version_folders import version_folder
from keras_hashing.encoder import VectorInput
from keras_hashing.encoder.card import Card
from keras_hashing.images.preprocessing import ImagePreprocessing


class ServedEncoder:
    """An exported SavedModel, called as a server calls it: by its signatures.

    Attributes:
        folder: the version's folder.
        card: what the SavedModel says about itself.

    Example:

    >>> encoder = ServedEncoder.load("models/cats")
    >>> codes, paths, skipped = encoder.encode_files(["cat.jpg", "dog.png"])
    """

    def __init__(self, folder: Path, card: Card, model: Any) -> None:
        self.folder = folder
        self.card = card
        self._model = model  # holds the variables that the signature reads
        name = "encode_vectors" if self.takes_vectors else "encode_bytes"
        self._encode = model.signatures[name]

    @classmethod
    def load(cls, folder: str | os.PathLike[str], verify: bool = True) -> Self:
        """Loads a SavedModel that `export_saved_model` wrote.

        Args:
            folder: a version's folder, or the folder of the versions, of which the highest is
                taken.
            verify: whether to check its files against their checksums first.

        Raises:
            FileNotFoundError: if there is no SavedModel, or it has no card.
            ValueError: if card or SavedModel are damaged; a file that has changed is named.
        """
        version = version_folder(Path(folder))
        card = Card.load(version)
        if verify:
            verify_files(version)
        try:
            return cls(version, card, tf.saved_model.load(str(version)))
        except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"The SavedModel {str(version)!r} is damaged: {reason}") from error

    @property
    def bits(self) -> int:
        """K, the length of a code."""
        return self.card.bits

    @property
    def fingerprint(self) -> str:
        """The name of the code space."""
        return self.card.fingerprint

    @property
    def class_names(self) -> list[str]:
        """The classes trained on."""
        return self.card.class_names

    @property
    def source(self) -> str:
        """How the command line names it."""
        return f"--model {shlex.quote(str(self.folder))}"

    @property
    def takes_vectors(self) -> bool:
        """Whether it encodes vectors, not images."""
        return self.vector_width is not None

    @property
    def vector_width(self) -> int | None:
        """D, the number of values of a vector; `None` if it encodes images."""
        return self.card.vector_width

    def has_fingerprint(self, fingerprint: str) -> bool:
        """Whether this is the name of the code space."""
        return fingerprint == self.fingerprint

    def encode_bytes(self, encoded: Sequence[bytes]) -> NDArray[np.uint8]:
        """Encodes the contents of image files.

        Args:
            encoded: n JPEG, PNG, BMP or GIF files of any sizes; n may be 0.

        Returns:
            Packed codes, uint8, shape [n, K/8].

        Raises:
            ValueError: if one of them is no image that TensorFlow can decode, or the model takes
                vectors.
        """
        return self._of_bytes(encoded, lambda files: self._encode(encoded=files)["code"])

    def continuous_bytes(self, encoded: Sequence[bytes]) -> NDArray[np.float32]:
        """Continuous codes, float32 [n, K], of image files; otherwise as `encode_bytes`."""

        def continuous(files: tf.Tensor) -> tf.Tensor:
            about = self.card.preprocessing.model_dump(exclude={"description"})
            images = ImagePreprocessing.from_config(about).decode_batch(files)
            return self._model.signatures["continuous"](images=images)["continuous"]

        return self._of_bytes(encoded, continuous)

    def _of_bytes(
        self, encoded: Sequence[bytes], codes: Callable[[tf.Tensor], tf.Tensor]
    ) -> NDArray:
        if self.takes_vectors:
            raise ValueError(
                "This needs a model of images. Received: one of vectors of width "
                f"{self.vector_width}"
            )
        try:
            return codes(tf.constant(encoded, tf.string, [len(encoded)])).numpy()
        except tf.errors.InvalidArgumentError as error:
            raise ValueError("`encoded` must hold images that TensorFlow can decode") from error

    def encode(self, vectors: ArrayLike) -> NDArray[np.uint8]:
        """Encodes vectors.

        Args:
            vectors: [n, D], finite; n may be 0.

        Returns:
            Packed codes, uint8, shape [n, K/8].

        Raises:
            ValueError: if they are none, or the model takes images.
        """
        return self._encode(vectors=self._checked(vectors))["code"].numpy()

    def continuous(self, vectors: ArrayLike) -> NDArray[np.float32]:
        """Continuous codes, float32 [n, K], of vectors; otherwise as `encode`."""
        signature = self._model.signatures["continuous"]
        return signature(vectors=self._checked(vectors))["continuous"].numpy()

    def _checked(self, vectors: ArrayLike) -> tf.Tensor:
        if self.vector_width is None:
            raise ValueError("This needs a model of vectors. Received: one of images")
        return tf.constant(VectorInput(self.vector_width).check(vectors))

    def encode_files(
        self,
        paths: Sequence[str | os.PathLike[str]],
        batch_size: int = 64,
        on_bad_image: OnBadImage = "error",
    ) -> EncodedFiles:
        """Encodes image files; see `export.index.encode_files`."""
        return encode_files(self, paths, batch_size, on_bad_image)
