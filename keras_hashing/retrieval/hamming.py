"""Hamming distance between packed codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_hashing.retrieval.bit_words import Words, bit_words
from keras_hashing.retrieval.query_blocks import QUERIES, for_query_blocks
from keras_hashing.retrieval.validation import check_packed_codes, check_same_width

PAIRS = 1 << 18  # distances at a time: few enough for the cache, many enough to repay the call


class HammingKernel:
    """Distances from queries to a tile of the database, in scratch memory allocated once.

    Args:
        pairs: the largest number of distances in a call.
        word: the dtype of the words (see `bit_words`).
    """

    def __init__(self, pairs: int, word: np.dtype) -> None:
        self._difference = np.empty(pairs, dtype=word)
        self._count = np.empty(pairs, dtype=np.uint8)

    def distances(self, query: Words, database: Words, out: NDArray[np.unsignedinteger]) -> None:
        """Writes the distances of `query` to `database` [words, n] into `out`.

        One query [words] fills `out` [n]; several [words, q] fill `out` [q, n].
        """
        difference = self._difference[: out.size].reshape(out.shape)
        count = self._count[: out.size].reshape(out.shape)
        np.bitwise_xor(database[0], query[0][..., None], out=difference)
        np.bitwise_count(difference, out=out)
        for word in range(1, len(query)):
            np.bitwise_xor(database[word], query[word][..., None], out=difference)
            np.bitwise_count(difference, out=count)
            np.add(out, count, out=out)


def hamming_distance(
    query_codes: ArrayLike, database_codes: ArrayLike
) -> NDArray[np.unsignedinteger]:
    """Returns the Hamming distance of every query to every item of the database.

    `distance[q, j] = #{bits in which query q and item j differ}`.

    Beyond the result (and a copy of both inputs, their widths rounded up to a power of two or a
    multiple of 8 bytes), memory is at most 9 bytes × 262,144 a thread.

    Args:
        query_codes: packed codes, uint8, shape [Q, K/8]; Q may be 0.
        database_codes: packed codes, uint8, shape [N, K/8]; N may be 0.

    Returns:
        Distances, shape [Q, N]; uint8 below 256 bits, uint16 from 256 bits on (a distance of 256
        does not fit uint8).

    Raises:
        ValueError: if an argument is not uint8 or not of rank 2, or the widths differ.
    """
    queries = check_packed_codes("query_codes", query_codes, allow_empty=True)
    database = check_packed_codes("database_codes", database_codes, allow_empty=True)
    check_same_width(queries, database)
    bits = 8 * queries.shape[1]
    query_words, database_words = bit_words(queries), bit_words(database)
    distance = np.empty((len(queries), len(database)), dtype=np.min_scalar_type(bits))

    tile = PAIRS // QUERIES

    def fill(rows: slice) -> None:
        kernel = HammingKernel(PAIRS, database_words.dtype)
        for start in range(0, len(database), tile):
            items = slice(start, start + tile)
            # Many queries a call keep the GIL released for long: threads do not wait for each other
            kernel.distances(query_words[:, rows], database_words[:, items], distance[rows, items])

    for_query_blocks(fill, len(queries))
    return distance
