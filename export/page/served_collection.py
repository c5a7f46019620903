"""A model with an index on a running server."""

import random
import threading
from functools import cached_property
from pathlib import Path

from export.page.collection import Code, Collection, Found
from export.page.pictures import FolderPictures
from keras_hashing.client import Client
from keras_hashing.client.errors import InvalidRequestError
from keras_hashing.files.image_folder import image_files
from keras_hashing.files.image_verdict import verdict


class ServedCollection(Collection):
    """What a server searches; it answers with ids, which are numbered as they come.

    Args:
        client: asks the server.
        folder: the pictures of the items.

    Raises:
        ServingError: if the server does not answer.
        ValueError: if the served model has no index, or takes vectors.
    """

    def __init__(self, client: Client, folder: Path) -> None:
        super().__init__(FolderPictures(folder))
        card = client.model_card()
        if card.index is None:
            raise ValueError("The served model has no index: publish it with --index")
        if card.vector_width is not None:
            raise ValueError(
                "A server's answers are asked for with pictures, so its model must take images. "
                f"Received: one of vectors of width {card.vector_width}; name its --index instead"
            )
        self.size, self.bits, self.largest_k = card.index.items, card.bits, card.index.largest_k
        self.largest_radius = None
        self._client, self._folder = client, folder
        self._names: list[str] = []
        self._items: dict[str, int] = {}
        self._numbering = threading.Lock()

    def name(self, item: int) -> str:
        """The id of an item that was found before; `IndexError` if there is none."""
        return self._names[item]

    def random(self) -> int:
        """Any picture of the folder."""
        return self._item(random.choice(self._files).relative_to(self._folder).as_posix())

    def encode(self, content: bytes) -> Code:
        """The packed code of an image file; `ValueError` if it is none."""
        if problem := verdict(content):
            raise ValueError(f"The picture {problem}")
        try:
            return self._client.encode([content])[0]
        except InvalidRequestError as error:
            raise ValueError(f"The picture is refused by the server: {error.message}") from None

    def itself(self, item: int) -> tuple[Code, Found]:
        """The code of an item's picture, and what is to be shown of it."""
        name = self.name(item)
        return self.encode(self._pictures.content(name)), Found(item, name, None, 0, [])

    def search(
        self, code: Code, k: int, radius: int | None, leave_out: int | None = None
    ) -> list[Found]:
        """The items nearest to a code, nearest first, without one that may be left out."""
        more = min(k + (leave_out is not None), self.largest_k)
        ids, distances = self._client.search(code[None], more, radius)
        found = [
            Found(self._item(str(name)), str(name), None, distance, None)
            for name, distance in zip(ids[0].tolist(), distances[0].tolist(), strict=True)
            if distance >= 0
        ]
        return [one for one in found if one.item != leave_out][:k]

    @cached_property
    def _files(self) -> list[Path]:
        return image_files(self._folder)

    def _item(self, name: str) -> int:
        with self._numbering:
            if name not in self._items:
                self._items[name] = len(self._names)
                self._names.append(name)
            return self._items[name]
