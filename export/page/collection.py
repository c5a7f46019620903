"""What the page shows: items with pictures, that can be searched by a code."""

import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.page.pictures import Pictures
from keras_hashing.files.thumbnail import Picture, picture, thumbnail

_DECODED_AT_ONCE = 4  # pictures: one of 64 million pixels takes 200 MB
_THUMBNAILS = 2000  # kept

Code = NDArray[np.uint8]


class Found(NamedTuple):
    """An item near to a code.

    Attributes:
        item: its number, from 0.
        id: its name.
        label: what to show as its label, or `None`.
        distance: its Hamming distance from the code.
        differs: the bits that differ, from 0; `None` where its code is not known.
    """

    item: int
    id: str
    label: str | None
    distance: int
    differs: list[int] | None


class Collection(ABC):
    """Items with pictures, that can be searched by a code.

    Args:
        pictures: the pictures of the items.

    Attributes:
        size: the number of items.
        bits: K, the length of their codes.
        largest_k: how many may be asked for.
        largest_radius: up to which distance near-duplicates are looked for; `None` for not at all.
    """

    size: int
    bits: int
    largest_k: int
    largest_radius: int | None

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures
        self._decoding = threading.BoundedSemaphore(_DECODED_AT_ONCE)
        self.thumbnail = lru_cache(_THUMBNAILS)(self._thumbnail)

    @abstractmethod
    def name(self, item: int) -> str:
        """The id of an item; `IndexError` if there is none of this number."""

    @abstractmethod
    def random(self) -> int:
        """Any item."""

    @abstractmethod
    def encode(self, content: bytes) -> Code:
        """The packed code, uint8 [K/8], of an image file.

        Raises:
            ValueError: if it is none that a server would take, in the same words.
        """

    @abstractmethod
    def itself(self, item: int) -> tuple[Code, Found]:
        """The code of an item, and what is to be shown of it."""

    @abstractmethod
    def search(
        self, code: Code, k: int, radius: int | None, leave_out: int | None = None
    ) -> list[Found]:
        """The items nearest to a code, nearest first, without one that may be left out."""

    def picture(self, item: int) -> Picture:
        """The picture of an item as it is.

        Raises:
            OSError: if there is none.
            ValueError: if it is no image.
        """
        return picture(self._pictures.content(self.name(item)))

    def warm_up(self) -> None:
        """Searches once with a picture of the collection: the first search is a slow one."""
        with suppress(OSError, ValueError):  # such as of no items, or a picture that is gone
            code = self.encode(self.picture(self.random()).content)
            self.search(code, 1, None)

    def _thumbnail(self, item: int) -> Picture:
        content = self._pictures.content(self.name(item))
        with self._decoding:
            return thumbnail(content)
