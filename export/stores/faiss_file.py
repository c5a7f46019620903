"""An index as FAISS's own file, with ids and labels beside it.

`codes.faiss` is an `IndexBinaryFlat` over the packed codes in the order of the index, whose
positions `items.parquet` turns into ids; `faiss.read_index_binary` reads it. FAISS takes whole
bytes: of other lengths the last byte is padded by zero bits, which add nothing to a distance.
"""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.stores.metadata import StoreMetadata
from export.stores.parquet import ParquetStore
from export.stores.store import Store
from keras_hashing.files.atomic_write import atomic_write
from keras_hashing.retrieval import CodeIndex

CODES, ITEMS = "codes.faiss", "items.parquet"


class FaissStore(Store):
    """A folder with a file of FAISS.

    Args:
        folder: the folder; `write` makes it if need be.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.codes_path = Path(folder, CODES)
        self.items = ParquetStore(Path(folder, ITEMS))

    def __str__(self) -> str:
        return repr(str(self.codes_path.parent))

    def write(self, index: CodeIndex, replace: bool = False) -> None:
        """Two files; `items.parquet` comes last, so with it the folder is whole."""
        import faiss

        existing = [str(path) for path in (self.codes_path, self.items.path) if path.exists()]
        if existing and not replace:
            raise FileExistsError(
                f"These files exist already: {', '.join(existing)}. --replace replaces them"
            )
        self.codes_path.parent.mkdir(parents=True, exist_ok=True)
        self.items.path.unlink(missing_ok=True)
        flat = faiss.IndexBinaryFlat(8 * index.codes.shape[1])
        flat.add(np.ascontiguousarray(index.codes))
        with atomic_write(self.codes_path) as temporary:
            faiss.write_index_binary(flat, str(temporary))
        self.items.write(index)

    def metadata(self) -> StoreMetadata:
        """That of `items.parquet`; see `Store.metadata`."""
        return self.items.metadata()

    def read(self) -> CodeIndex:
        """Both files, which must agree; see `Store.read`."""
        import faiss

        index = self.items.read()
        codes = faiss.vector_to_array(self._flat.xb).reshape(self._flat.ntotal, -1)
        if not np.array_equal(codes, index.codes):
            raise ValueError(
                f"{CODES} and {ITEMS} in {self} must hold the codes of one index. Received: "
                "different codes"
            )
        return index

    def search(self, codes: NDArray[np.uint8], k: int) -> list[Sequence[str]]:
        """By FAISS; see `Store.search`."""
        _, positions = self._flat.search(np.ascontiguousarray(codes), k)
        return [[self._ids[at] for at in row if at >= 0] for row in positions.tolist()]

    @cached_property
    def _ids(self) -> Sequence[str]:
        return self.items.read().ids

    @cached_property
    def _flat(self) -> Any:
        import faiss

        if not self.codes_path.is_file():
            raise FileNotFoundError(f"There is no file {str(self.codes_path)!r}")
        try:
            return faiss.read_index_binary(str(self.codes_path))
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"{str(self.codes_path)!r} is no file of FAISS, or damaged: {reason}"
            ) from None
