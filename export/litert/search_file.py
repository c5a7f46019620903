"""Search on a device: an index as a .tflite file."""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import tensorflow as tf
from pydantic import BaseModel, ConfigDict, Field

from export.litert.checks import MOST_ITEMS, SEARCH_FILE, check_new_files, check_searchable
from export.litert.conversion import convert_search
from export.litert.operators import check_builtin_operators
from keras_hashing.device.metadata import embed_json
from keras_hashing.encoder.card import BIT_ORDER
from keras_hashing.files.atomic_write import atomic_write

if TYPE_CHECKING:
    from keras_hashing.retrieval import CodeIndex

_POSITIONS = 1 << (MOST_ITEMS - 1).bit_length()  # distance and position share an int32


class SearchMetadata(BaseModel):
    """What a file that searches says about itself, in the metadata entry `keras_hashing`.

    Attributes:
        format_version: 1.
        kind: "search".
        bits: the length of a code, K.
        bit_order: how the bits of a code lie in its bytes.
        items: codes that are searched.
        k: answers to a query.
        fingerprint: the name of the code space.
    """

    model_config = ConfigDict(frozen=True)

    format_version: Literal[1] = 1
    kind: Literal["search"] = "search"
    bits: int = Field(ge=1)
    bit_order: str = BIT_ORDER
    items: int = Field(ge=1)
    k: int = Field(ge=1)
    fingerprint: str = Field(min_length=1)


def search_file(index: "CodeIndex", k: int = 10) -> bytes:
    """The content of a .tflite file that searches in an index, exactly.

    One signature, `search`:

        code uint8 [1, K/8]  →  distances int32 [1, k], positions int32 [1, k]

    Nearest first, equal distances in the order of the index; a position is that of the item in the
    index, whose ids are not in the file. Each item costs a look-up for each of its bytes: the
    whole index is gone through for a query.

    Args:
        index: 1 to 100,000 items.
        k: answers to a query, at most as many as there are items.

    Raises:
        ValueError: if the index has no or too many items, or `k` breaks its rule.
    """
    check_searchable(index, k)
    with tempfile.TemporaryDirectory() as folder:
        _write_graph(index, k, folder)
        content = convert_search(folder)
    check_builtin_operators(content)
    metadata = SearchMetadata(bits=index.bits, items=len(index), k=k, fingerprint=index.fingerprint)
    return embed_json(content, metadata.model_dump_json(), ("distances", "positions"))


def export_search(
    index: "CodeIndex", folder: str | os.PathLike[str], k: int = 10, replace: bool = False
) -> Path:
    """Writes `search_file` as `search.tflite`, whole or not at all.

    Raises:
        FileExistsError: if it exists and `replace` is false.
        OSError: if it cannot be written.
        ValueError: as `search_file`.
    """
    (path,) = check_new_files(folder, [SEARCH_FILE], replace)
    content = search_file(index, k)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
    return path


def _write_graph(index: "CodeIndex", k: int, folder: str) -> None:
    database = tf.constant(index.codes)
    ones = np.unpackbits(np.arange(256, dtype=np.uint8)[:, np.newaxis], axis=1)
    ones_of_byte = tf.constant(ones.sum(axis=1, dtype=np.int32))
    items, width = index.codes.shape
    positions = tf.constant(np.arange(items, dtype=np.int32))

    @tf.function(input_signature=[tf.TensorSpec([1, width], tf.uint8, name="code")])
    def search(code: tf.Tensor) -> dict[str, tf.Tensor]:
        differing = tf.bitwise.bitwise_xor(database, tf.broadcast_to(code, [items, width]))
        distances = tf.reduce_sum(tf.gather(ones_of_byte, tf.cast(differing, tf.int32)), axis=1)
        # No two are equal, so their order does not depend on how ties are broken.
        keys = distances * _POSITIONS + positions
        nearest = -tf.math.top_k(-keys[tf.newaxis], k).values
        return {"distances": nearest // _POSITIONS, "positions": nearest % _POSITIONS}

    module = tf.Module()
    module.search = search
    tf.saved_model.save(module, folder, signatures={"search": search})
