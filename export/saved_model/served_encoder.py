"""A client that encodes image files with an exported SavedModel, with nothing of the training."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from export.versions.checksums import verify_files
from export.versions.version_folders import version_folders
from keras_hashing.encoder.card import Card

OnBadImage = Literal["error", "skip"]
Refuse = Callable[[Path, str], None]  # takes a file and what is wrong with it


class EncodedFiles(NamedTuple):
    """The codes of image files.

    Attributes:
        codes: packed codes, uint8, shape [n, K/8].
        paths: the file of each code, n paths.
        skipped: why each file that was left out is no usable image.
    """

    codes: NDArray[np.uint8]
    paths: list[Path]
    skipped: dict[Path, str]


class ServedEncoder:
    """An exported SavedModel, called as a server calls it: by its signature `encode_bytes`.

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
        self._encode_bytes = model.signatures["encode_bytes"]

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

    def encode_bytes(self, encoded: Sequence[bytes]) -> NDArray[np.uint8]:
        """Encodes the contents of image files.

        Args:
            encoded: n JPEG, PNG, BMP or GIF files of any sizes; n may be 0.

        Returns:
            Packed codes, uint8, shape [n, K/8].

        Raises:
            ValueError: if one of them is no image that TensorFlow can decode.
        """
        try:
            outputs = self._encode_bytes(encoded=tf.constant(encoded, tf.string, [len(encoded)]))
        except tf.errors.InvalidArgumentError as error:
            raise ValueError("`encoded` must hold images that TensorFlow can decode") from error
        return outputs["code"].numpy()

    def encode_files(
        self,
        paths: Sequence[str | os.PathLike[str]],
        batch_size: int = 64,
        on_bad_image: OnBadImage = "error",
    ) -> EncodedFiles:
        """Encodes image files, with the contents of `batch_size` files in memory at a time.

        Args:
            paths: JPEG, PNG, BMP or GIF files of any sizes; of repeated ones, the first counts.
            batch_size: files that are read and encoded together.
            on_bad_image: "error" to fail on a file that cannot be read or is no image, "skip" to
                leave it out and say so in the result.

        Returns:
            Codes and paths of the images in the order given, and what was skipped.

        Raises:
            ValueError: if a file cannot be read or is no image that TensorFlow can decode (it is
                named), or an argument breaks its rule.
        """
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1. Received: {batch_size}")
        if on_bad_image not in ("error", "skip"):
            raise ValueError(
                f"`on_bad_image` must be 'error' or 'skip'. Received: {on_bad_image!r}"
            )
        codes = [np.empty((0, self.card.bits // 8), dtype=np.uint8)]
        encoded: list[Path] = []
        skipped: dict[Path, str] = {}

        def refuse(path: Path, problem: str) -> None:
            if on_bad_image == "error":
                raise ValueError(f"{str(path)!r} {problem}")
            skipped[path] = problem

        files = list(dict.fromkeys(map(Path, paths)))
        for start in range(0, len(files), batch_size):
            contents = _read(files[start : start + batch_size], refuse)
            try:
                batch_codes = self.encode_bytes(list(contents.values()))
            except ValueError:  # the graph does not say which
                contents = self._decodable(contents, refuse)
                batch_codes = self.encode_bytes(list(contents.values()))
            codes.append(batch_codes)
            encoded += contents
        return EncodedFiles(np.concatenate(codes), encoded, skipped)

    def _decodable(self, contents: dict[Path, bytes], refuse: Refuse) -> dict[Path, bytes]:
        """Returns the files that the graph can decode."""
        decodable = {}
        for path, content in contents.items():
            try:
                self.encode_bytes([content])
                decodable[path] = content
            except ValueError:
                refuse(path, "is no image that TensorFlow can decode")
        return decodable


def _read(files: list[Path], refuse: Refuse) -> dict[Path, bytes]:
    """Returns the contents of the files that can be read."""
    contents = {}
    for path in files:
        try:
            contents[path] = path.read_bytes()
        except OSError as error:
            refuse(path, f"cannot be read ({error.strerror})")
    return contents


def version_folder(folder: Path) -> Path:
    """Returns `folder` if it is a SavedModel, else the highest version in it."""
    if (folder / "saved_model.pb").is_file():
        return folder
    versions = version_folders(folder)
    if not versions:
        raise FileNotFoundError(
            f"There is neither a SavedModel nor a numbered version of one in {str(folder)!r}"
        )
    return versions[max(versions)]
