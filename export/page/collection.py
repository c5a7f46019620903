"""What the page shows: an index, the encoder of its code space, and the pictures of its items."""

import tempfile
import threading
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.index.duplicates import Duplicates, find_duplicates
from export.index.file_encoder import FileEncoder
from export.page.pictures import Pictures
from keras_hashing.files.image_verdict import DAMAGED, verdict
from keras_hashing.files.thumbnail import Picture, picture, thumbnail
from keras_hashing.retrieval import CodeIndex

LARGEST_K = 200
_DECODED_AT_ONCE = 4  # pictures: one of 64 million pixels takes 200 MB
_THUMBNAILS = 2000  # kept
_LARGEST_RADIUS = 8


class Found(NamedTuple):
    """An item near to a code.

    Attributes:
        item: its position in the index.
        id: its name.
        label: what to show as its label, or `None`.
        distance: its Hamming distance from the code.
        differs: the bits that differ, from 0.
    """

    item: int
    id: str
    label: str | None
    distance: int
    differs: list[int]


class Collection:
    """An index that can be searched by pictures.

    Args:
        encoder: what encodes; of the index's code space.
        index: what is searched.
        pictures: the pictures of its items.
    """

    def __init__(self, encoder: FileEncoder, index: CodeIndex, pictures: Pictures) -> None:
        self.index = index
        self._encoder = encoder
        self._pictures = pictures
        self._encoding, self._comparing = threading.Lock(), threading.Lock()
        self._decoding = threading.BoundedSemaphore(_DECODED_AT_ONCE)
        self._found: dict[int, Duplicates] = {}
        self.thumbnail = lru_cache(_THUMBNAILS)(self._thumbnail)

    def encode(self, content: bytes) -> NDArray[np.uint8]:
        """The packed code, uint8 [K/8], of an image file.

        Raises:
            ValueError: if it is no image that a server would take, in the same words.
        """
        if problem := verdict(content):
            raise ValueError(f"The picture {problem}")
        try:
            with self._encoding:
                return self._encoder.encode_bytes([content])[0]
        except ValueError:
            raise ValueError(f"The picture {DAMAGED}") from None

    def search(
        self, code: NDArray[np.uint8], k: int, radius: int | None, leave_out: int | None = None
    ) -> list[Found]:
        """The items nearest to a code, nearest first, without one that may be left out."""
        more = k + (leave_out is not None)
        positions, distances = self.index.search(code, k=more, radius=radius)
        near = [
            int(position)
            for position, distance in zip(positions[0], distances[0], strict=True)
            if distance >= 0 and position != leave_out
        ]
        return self.compared(code, near[:k])

    def compared(self, code: NDArray[np.uint8], items: list[int]) -> list[Found]:
        """Items, with what their codes have different from a code."""
        index = self.index
        differing = np.unpackbits(index.codes[items] ^ code, axis=1)
        bits = [np.flatnonzero(row).tolist() for row in differing]
        return [
            Found(
                item,
                index.ids[item],
                None if index.labels is None else index.labels[item],
                len(differs),
                differs,
            )
            for item, differs in zip(items, bits, strict=True)
        ]

    def picture(self, item: int) -> Picture:
        """The picture of an item as it is.

        Raises:
            OSError: if there is none.
            ValueError: if it is no image.
        """
        return picture(self._pictures.content(self.index.ids[item]))

    def _thumbnail(self, item: int) -> Picture:
        content = self._pictures.content(self.index.ids[item])
        with self._decoding:
            return thumbnail(content)

    @property
    def largest_radius(self) -> int:
        """Up to which near-duplicates are looked for in a time that a person waits.

        The search compares the codes that agree in one of radius + 1 parts of their bits
        (`near_pairs`): there should be no more than some hundred to a part.
        """
        part = max(1, len(self.index).bit_length() - 6)
        return max(1, min(_LARGEST_RADIUS, self.index.bits // part - 1, self.index.bits - 1))

    def duplicates(self, radius: int) -> Duplicates:
        """The clusters of near-duplicates; of a radius that was asked before, at once."""
        with self._comparing:
            if radius not in self._found:
                with tempfile.TemporaryDirectory() as folder:
                    self._found[radius] = find_duplicates(self.index, radius, folder)
            return self._found[radius]
