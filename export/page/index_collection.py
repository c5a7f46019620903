"""An index on this machine, with the encoder of its code space."""

import random
import tempfile
import threading

import numpy as np

from export.index.duplicates import Duplicates, different_codes, find_duplicates
from export.index.file_encoder import FileEncoder
from export.page.collection import Code, Collection, Found
from export.page.pictures import Pictures
from keras_hashing.files.image_verdict import DAMAGED, verdict
from keras_hashing.retrieval import CodeIndex
from keras_hashing.retrieval.near_pairs import pairs_to_compare

_LARGEST_K = 200
_LARGEST_RADIUS = 8
_MOST_PAIRS = 10**8  # compared: about 10 s
_SAMPLE = 50_000  # codes that the pairs are estimated from


def _largest_radius(index: CodeIndex) -> int:
    """Up to which near-duplicates are found in seconds, so that a person can wait for them."""
    codes, _ = different_codes(index.codes)
    chosen = np.random.default_rng(0).permutation(len(codes))[:_SAMPLE]
    scale = (len(codes) / max(1, len(chosen))) ** 2  # of pairs
    radius = 0
    while radius < min(_LARGEST_RADIUS, index.bits - 1):
        if scale * pairs_to_compare(codes[chosen], radius + 1) > _MOST_PAIRS:
            break
        radius += 1
    return radius


class IndexCollection(Collection):
    """An index, searched in this process.

    Args:
        encoder: what encodes; of the index's code space.
        index: what is searched.
        pictures: the pictures of its items.
    """

    def __init__(self, encoder: FileEncoder, index: CodeIndex, pictures: Pictures) -> None:
        super().__init__(pictures)
        self.index = index
        self.size, self.bits, self.largest_k = len(index), index.bits, _LARGEST_K
        self.largest_radius = _largest_radius(index)
        self._encoder = encoder
        self._encoding, self._comparing = threading.Lock(), threading.Lock()
        self._duplicates: dict[int, Duplicates] = {}

    def name(self, item: int) -> str:
        """The id of an item; `IndexError` if there is none of this number."""
        if item >= self.size:
            raise IndexError(item)
        return self.index.ids[item]

    def random(self) -> int:
        """Any item."""
        return random.randrange(self.size)

    def encode(self, content: bytes) -> Code:
        """The packed code of an image file; `ValueError` if it is none."""
        if self._encoder.takes_vectors:
            raise ValueError(
                "The model takes vectors, so only pictures of the index can be searched with"
            )
        if problem := verdict(content):
            raise ValueError(f"The picture {problem}")
        try:
            with self._encoding:
                return self._encoder.encode_bytes([content])[0]
        except ValueError:
            raise ValueError(f"The picture {DAMAGED}") from None

    def itself(self, item: int) -> tuple[Code, Found]:
        """The code of an item, and what is to be shown of it."""
        code = self.index.codes[item]
        return code, self.compared(code, [item])[0]

    def search(
        self, code: Code, k: int, radius: int | None, leave_out: int | None = None
    ) -> list[Found]:
        """The items nearest to a code, nearest first, without one that may be left out."""
        positions, _ = self.index.search(code, k=k + (leave_out is not None), radius=radius)
        near = [item for item in positions[0].tolist() if item not in (-1, leave_out)]
        return self.compared(code, near[:k])

    def compared(self, code: Code, items: list[int]) -> list[Found]:
        """Items, with what their codes have different from a code."""
        labels = self.index.labels
        differing = np.unpackbits(self.index.codes[items] ^ code, axis=1)
        return [
            Found(
                item,
                self.index.ids[item],
                None if labels is None else labels[item],
                int(row.sum()),
                np.flatnonzero(row).tolist(),
            )
            for item, row in zip(items, differing, strict=True)
        ]

    def duplicates(self, radius: int) -> Duplicates:
        """The clusters of near-duplicates; of a radius that was asked before, at once."""
        with self._comparing:
            if radius not in self._duplicates:
                with tempfile.TemporaryDirectory() as folder:
                    self._duplicates[radius] = find_duplicates(self.index, radius, folder)
            return self._duplicates[radius]
