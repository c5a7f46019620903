"""A .tflite file, run as a phone runs it."""

import os
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from keras_hashing.device.metadata import read_metadata
from keras_hashing.encoder.vector_input import check_vectors
from keras_hashing.retrieval.packed_width import packed_width

_SIGNATURE = "encode"
_FREE_BATCH = 32  # images at a time where the file takes any number


class DeviceEncoder:
    """An exported .tflite file on LiteRT's interpreter; no TensorFlow is needed.

    Args:
        path: a file of `python -m export litert`.
        threads: threads to compute with, at least 1.

    Attributes:
        path: the file.
        metadata: what it says about itself.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no such .tflite file, or `threads` breaks its rule.

    Example:

    >>> encoder = DeviceEncoder("encoder-int8.tflite")
    >>> codes = encoder.encode(images)  # uint8 [n, height, width, channels]; or vectors [n, D]
    """

    def __init__(self, path: str | os.PathLike[str], threads: int = 1) -> None:
        if threads < 1:
            raise ValueError(f"`threads` must be at least 1. Received: {threads}")
        self.path = Path(path)
        self.metadata = read_metadata(path)
        try:
            interpreter = Interpreter(model_path=str(path), num_threads=threads)
            self._encode = interpreter.get_signature_runner(_SIGNATURE)
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"LiteRT cannot run {str(path)!r}: {error}") from error

    def encode(self, images: NDArray) -> NDArray[np.uint8]:
        """Encodes images, or vectors.

        Args:
            images: uint8 [n, height, width, channels], of the size in the metadata; or vectors,
                real numbers [n, D]. n may be 0.

        Returns:
            Packed codes, uint8 [n, K/8].

        Raises:
            ValueError: if the images have another dtype, layout or size, or vectors another width
                or a value that is not finite.
        """
        return self._run(images, "code", np.uint8, packed_width(self.metadata.bits))

    def continuous(self, images: NDArray) -> NDArray[np.float32]:
        """Continuous codes, float32 [n, K]; otherwise as `encode`.

        Raises:
            ValueError: as `encode`, or if the file was exported without them.
        """
        if not self.metadata.continuous:
            raise ValueError(
                f"{str(self.path)!r} gives no continuous codes: export it with --continuous"
            )
        return self._run(images, "continuous", np.float32, self.metadata.bits)

    def _run(self, images: NDArray, output: str, dtype: type, columns: int) -> NDArray:
        if self.metadata.vector_width is None:
            self._check(images)
            name = "image"
        else:
            images, name = check_vectors(images, self.metadata.vector_width), "vector"
        size = _FREE_BATCH if self.metadata.batch is None else 1
        found: list[NDArray] = [np.empty((0, columns), dtype)]
        for start in range(0, len(images), size):
            found.append(self._encode(**{name: images[start : start + size]})[output])
        return np.concatenate(found)

    def _check(self, images: NDArray) -> None:
        height, width, channels = self.metadata.image_shape
        rule = f"`images` must be uint8 [n, {height}, {width}, {channels}]"
        received = f"Received: {images.dtype} {list(images.shape)}"
        if images.dtype != np.uint8:
            raise ValueError(f"{rule}: pixels from 0 to 255, which the graph scales. {received}")
        if images.shape[1:] == (height, width, channels):
            return
        if images.shape[1:] == (channels, height, width):
            raise ValueError(f"{rule}: the channels come last. {received}")
        if images.shape == (height, width, channels):
            raise ValueError(f"{rule}: a single image is images[np.newaxis]. {received}")
        raise ValueError(f"{rule}: the graph does not resize. {received}")
