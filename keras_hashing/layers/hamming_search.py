"""The layer that finds the nearest packed codes."""

import operator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_hashing import backend
from keras_hashing.checks import check_bits, check_integer
from keras_hashing.retrieval.bit_words import bit_words
from keras_hashing.retrieval.packed_width import packed_width
from keras_hashing.retrieval.validation import check_packed_bits, check_packed_codes

Tensor = Any

GROUP = 128  # neighbouring items that stand or fall together in the first pass
BLOCK = 1 << 12  # groups whose distances are in memory at once
MOST = 1000  # the default of `max_k`


@keras.saving.register_keras_serializable(package="keras_hashing")
class HammingSearch(keras.layers.Layer):
    """Finds the k packed codes nearest to each query in Hamming distance, exactly.

        distance[q, j] = #{bits in which query q and item j of the database differ}

    Items come by ascending distance, equal distances in ascending database order. Where the
    database has fewer than k items (within `max_distance`), the rest of the row is padding:
    position -1 and distance -1.

    Two passes find them without a sort of all distances. The first keeps the least distance of
    each group of 128 neighbouring items. The k groups first by (least distance, position) hold
    the k items first by (distance, position): an item of any other group has an item of each of
    those k groups before it. The second pass ranks the items of these groups alone. Queries go
    one at a time and the database in blocks of 2^19 items, so that memory beyond the codes
    (at 64 bits, 5 MB per block and a byte for every 128 items) does not grow with the number of
    queries.

    The codes are a non-trainable variable: they are saved, loaded and exported with the model's
    weights, and are no part of the config. The graph has standard TensorFlow ops only.

    **Re-ranking.** The signs of the query forget how sure each bit is. With `rerank=True` and the
    query's continuous code u, the `rerank_candidates` first items (or k, where that is more) are
    ordered by descending similarity to their ±1 codes b,

        similarity[q, j] = Σ_k u[q, k] · b[j, k]

    computed in float32, equal similarities in ascending database order. It orders as the
    asymmetric distance ‖u − b‖² does, as ‖b‖² = K. Source: Gordo, Perronnin, Gong and Lazebnik,
    "Asymmetric distances for binary embeddings", TPAMI 2014. The distances that come back stay
    Hamming distances.

    Args:
        codes: the database, packed codes, uint8 of shape (N, bits / 8), N from 0 to 2^31 − 1;
            `None` where `size` and `bits` are given and the codes come with the weights. Until
            then every code is zero.
        k: how many items a query gets where the call does not say, from 1 to `max_k`.
        size: N, where `codes` is `None`.
        bits: length of a code, K; needed where `codes` is `None`, else by default all bits of
            their bytes.
        max_k: the largest k that a call may ask for: it bounds the memory of an answer. By
            default 1000, or `k` where that is more.
        rerank: whether `call` takes continuous codes and ranks by them.
        rerank_candidates: how many items, first in Hamming distance, are ranked anew.
        **kwargs: as in `keras.layers.Layer`.

    Call arguments:
        inputs: packed codes of the queries, uint8 of shape (Q, bits / 8); Q may be 0.
        continuous: the queries' continuous codes, finite floats of shape (Q, bits), with
            `rerank=True` only. Without them the order is by Hamming distance.
        k: how many items a query gets: an integer, or on TensorFlow an integer scalar tensor.
        max_distance: items farther than this Hamming distance are left out (before any
            re-ranking): an integer of at least 0, or an integer scalar tensor, of which a
            negative value leaves out every item.

    Input shape:
        (Q, bits / 8), dtype uint8.

    Output shape:
        A tuple of positions in the database and Hamming distances, each int32 of shape (Q, k).

    Raises:
        ValueError: if an argument breaks its rule, or `k` is a tensor on JAX.
        tf.errors.InvalidArgumentError: if a tensor `k` is outside 1..`max_k`, as the graph runs.

    Example:

    >>> codes = np.array([[0b00000000], [0b00000011], [0b00000001]], "uint8")
    >>> search = keras_hashing.layers.HammingSearch(codes, k=2)
    >>> positions, distances = search(np.array([[0b00000011]], "uint8"))
    >>> print(positions, distances)
    [[1 2]] [[0 1]]
    """

    def __init__(
        self,
        codes: Any = None,
        k: int = 10,
        *,
        size: int | None = None,
        bits: int | None = None,
        max_k: int | None = None,
        rerank: bool = False,
        rerank_candidates: int = 100,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        if codes is not None:
            codes = check_packed_codes("codes", codes, allow_empty=True)
            if size not in (None, len(codes)):
                raise ValueError(
                    f"`size` must be that of `codes`, {len(codes)}. Received: size={size}"
                )
            size = len(codes)
            bits = check_packed_bits("codes", codes, bits)
        elif size is None or bits is None:
            raise ValueError(
                "`codes`, or both of `size` and `bits`, must be given. "
                f"Received: codes=None, size={size!r}, bits={bits!r}"
            )
        self.size = check_integer("size", size, 0, 2**31 - 1, "an integer from 0 to 2^31 - 1")
        self.bits = check_bits(bits)
        self.k = check_integer("k", k, 1, None, "an integer >= 1")
        self.max_k = check_integer(
            "max_k", max(self.k, MOST) if max_k is None else max_k, self.k, None, "at least `k`"
        )
        self.rerank = rerank
        self.rerank_candidates = check_integer(
            "rerank_candidates", rerank_candidates, 1, None, "an integer >= 1"
        )
        self.input_spec = keras.layers.InputSpec(ndim=2, axes={-1: packed_width(self.bits)})
        self._make_codes(codes)
        self.built = True

    def _make_codes(self, codes: np.ndarray | None) -> None:
        """Makes the variable, (words, groups, items per group, bytes per word), padded with zeros.

        Word w of all items lies together in memory, so that a pass reads it in one go. A group
        fills whole cache lines, so that TensorFlow takes slices of groups without a copy.
        """
        width = packed_width(self.bits)
        word = min(8, 1 << (width - 1).bit_length())
        self._groups = max(1, -(-self.size // GROUP))
        shape = (-(-width // word), self._groups, GROUP, word)

        def stored(shape: tuple[int, ...], dtype: Any = None) -> np.ndarray:
            padded = np.zeros((shape[0], self._groups * GROUP, word), dtype=np.uint8)
            if codes is not None:
                words = bit_words(codes)
                padded[:, : self.size] = words.view(np.uint8).reshape(*words.shape, word)
            return padded.reshape(shape)

        self.codes = self.add_weight(
            shape=shape, dtype="uint8", initializer=stored, trainable=False, name="codes"
        )
        self._distance_dtype = "uint8" if self.bits < 255 else "int32"
        self._far = np.iinfo(self._distance_dtype).max  # no distance, as `bits` is less

    def call(
        self,
        inputs: Tensor,
        continuous: Tensor | None = None,
        k: int | Tensor | None = None,
        max_distance: int | Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(Q, bits / 8) → int32 positions and distances, each (Q, k)."""
        self._check_inputs(inputs, continuous)
        cut = self._checked_k(k)
        limit = self._checked_limit(max_distance)
        words = [self.codes[word] for word in range(self.codes.shape[0])]
        queries = self._in_words(inputs)

        def ranked_by_distance(query: Tensor) -> tuple[Tensor, Tensor]:
            return self._nearest(words, query, cut, limit)

        def ranked_anew(row: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            query, code = row
            candidates = _largest(cut, self.rerank_candidates)
            return self._ranked_anew(
                words, *self._nearest(words, query, candidates, limit), code, cut
            )

        dtypes = ("int32", "int32")
        if continuous is None:
            return backend.map_rows(ranked_by_distance, queries, dtypes, (cut,))
        # The reshape refuses another number of rows.
        shape = (ops.shape(inputs)[0], self.bits)
        codes = ops.reshape(ops.cast(continuous, "float32"), shape)
        return backend.map_rows(ranked_anew, (queries, codes), dtypes, (cut,))

    def _check_inputs(self, inputs: Tensor, continuous: Tensor | None) -> None:
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        if dtype != "uint8" or inputs.shape[-1] is None:
            width = packed_width(self.bits)
            raise ValueError(
                f"`inputs` must be packed codes, uint8 of shape (queries, {width}). "
                f"Received: dtype={dtype}, shape={tuple(inputs.shape)}"
            )
        if continuous is None:
            return
        if not self.rerank:
            raise ValueError("`continuous` ranks anew, which needs a layer with `rerank=True`")
        if len(continuous.shape) != 2 or continuous.shape[-1] != self.bits:
            raise ValueError(
                f"`continuous` must have shape (queries, {self.bits}). "
                f"Received: shape={tuple(continuous.shape)}"
            )

    def _checked_k(self, k: int | Tensor | None) -> int | Tensor:
        if k is None:
            return self.k
        if _is_unknown(k):
            return backend.checked_scalar("k", k, 1, self.max_k)
        rule = f"an integer from 1 to {self.max_k} (`max_k`)"
        return check_integer("k", k, 1, self.max_k, rule)

    def _checked_limit(self, max_distance: int | Tensor | None) -> int | Tensor:
        """The largest distance that counts."""
        if max_distance is None:
            return self.bits
        if _is_unknown(max_distance):
            return max_distance
        rule = "an integer >= 0"
        return min(self.bits, check_integer("max_distance", max_distance, 0, None, rule))

    def _in_words(self, inputs: Tensor) -> Tensor:
        """Packed codes as words: (Q, bits / 8) → (Q, words, bytes of a word)."""
        words, word = self.codes.shape[0], self.codes.shape[-1]
        padded = ops.pad(inputs, [[0, 0], [0, words * word - inputs.shape[-1]]])
        return ops.reshape(padded, (-1, words, word))

    def _nearest(
        self, words: list[Tensor], query: Tensor, k: int | Tensor, limit: int | Tensor
    ) -> tuple[Tensor, Tensor]:
        """The k first items of one query, (words, bytes) → int32 (k,) and (k,)."""
        groups = self._first_groups(words, query, k)
        kept = [ops.take(word, groups, axis=0) for word in words]
        distances = ops.reshape(self._distances(kept, query), (-1,))
        positions = ops.reshape(groups[:, None] * GROUP + ops.arange(GROUP, dtype="int32"), (-1,))
        distances = ops.where(positions < self.size, distances, ops.full_like(distances, self._far))

        padding = max(self.max_k, self.rerank_candidates)
        distances = ops.pad(distances, [[0, padding]], constant_values=self._far)
        positions = ops.pad(positions, [[0, padding]])
        nearness, first = ops.top_k(self._far - distances, k)
        distances = ops.cast(self._far - nearness, "int32")
        found = ops.logical_and(distances < self._far, ops.less_equal(distances, limit))
        none = ops.full_like(distances, -1)
        return (
            ops.where(found, ops.take(positions, first), none),
            ops.where(found, distances, none),
        )

    def _first_groups(self, words: list[Tensor], query: Tensor, k: int | Tensor) -> Tensor:
        """The groups that hold the k first items, ascending, and the last group: int32 (≤ k + 1,).

        Padding shares the last group, so its least distance says nothing.
        """
        others = self._groups - 1
        last = ops.convert_to_tensor([others], dtype="int32")
        if others == 0:
            return last
        least = self._least_distances(words, query, others)
        _, groups = ops.top_k(self._far - least, _smallest(k, others))
        return ops.concatenate([ops.sort(groups), last])

    def _least_distances(self, words: list[Tensor], query: Tensor, groups: int) -> Tensor:
        """The least distance of each of the first `groups` groups, in the distances' dtype."""

        def of_block(start: int | Tensor, size: int) -> Tensor:
            block = [ops.slice(word, (start, 0, 0), (size, *word.shape[1:])) for word in words]
            return ops.min(self._distances(block, query), axis=1)

        if groups <= BLOCK:
            return of_block(0, groups)
        blocks = (groups - 1) // BLOCK  # full ones; the last one is no larger, and never empty
        of_blocks = backend.map_rows(
            lambda block: of_block(block * BLOCK, BLOCK),
            ops.arange(blocks, dtype="int32"),
            self._distance_dtype,
            (BLOCK,),
        )
        done = blocks * BLOCK
        return ops.concatenate([ops.reshape(of_blocks, (-1,)), of_block(done, groups - done)])

    def _distances(self, words: list[Tensor], query: Tensor) -> Tensor:
        """Hamming distances of one query to items given word by word, each (…, bytes) → (…)."""
        counts = [backend.differing_bits(word, query[w]) for w, word in enumerate(words)]
        total = ops.cast(counts[0], self._distance_dtype)
        for count in counts[1:]:
            total = total + ops.cast(count, self._distance_dtype)
        return total

    def _ranked_anew(
        self,
        words: list[Tensor],
        positions: Tensor,
        distances: Tensor,
        continuous: Tensor,
        k: int | Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The k candidates most similar to a continuous code (bits,): int32 (k,) and (k,)."""
        order = ops.argsort(positions)
        positions, distances = ops.take(positions, order), ops.take(distances, order)
        items = ops.maximum(positions, 0)
        by_item = [ops.reshape(word, (-1, word.shape[-1])) for word in words]
        kept = [ops.take(word, items, axis=0) for word in by_item]
        similarity = self._similarity(kept, continuous)
        padding = ops.full_like(similarity, -np.inf)
        _, first = ops.top_k(ops.where(positions >= 0, similarity, padding), k)
        return ops.take(positions, first), ops.take(distances, first)

    def _similarity(self, words: list[Tensor], continuous: Tensor) -> Tensor:
        """u · b for items given word by word, each (n, bytes): float32 (n,).

        Looked up a byte at a time and added in one order, so that equal codes are exactly equal.
        """
        values = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
        signs = ops.convert_to_tensor(2.0 * values.astype("float32") - 1.0)
        width = packed_width(self.bits)
        padded = ops.pad(continuous, [[0, 8 * width - self.bits]])
        tables = ops.matmul(ops.reshape(padded, (-1, 8)), ops.transpose(signs))
        columns = [word[:, byte] for word in words for byte in range(word.shape[-1])]
        terms = [ops.take(tables[byte], ops.cast(columns[byte], "int32")) for byte in range(width)]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total

    def compute_output_spec(
        self,
        inputs: Tensor,
        continuous: Tensor | None = None,
        k: int | Tensor | None = None,
        max_distance: int | Tensor | None = None,
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """int32 positions and distances, each (Q, k); k is None where it is a tensor."""
        self._check_inputs(inputs, continuous)
        columns = None if k is not None and _is_unknown(k) else self._checked_k(k)
        shape = (inputs.shape[0], columns)
        return keras.KerasTensor(shape, dtype="int32"), keras.KerasTensor(shape, dtype="int32")

    def get_config(self) -> dict[str, Any]:
        """Arguments that make a layer of the same shape, without the codes: they are weights."""
        return {
            **super().get_config(),
            "size": self.size,
            "bits": self.bits,
            "k": self.k,
            "max_k": self.max_k,
            "rerank": self.rerank,
            "rerank_candidates": self.rerank_candidates,
        }


def _is_unknown(value: Any) -> bool:
    """Whether `value` is a tensor whose value is not known before the function runs."""
    if not hasattr(value, "dtype"):
        return False
    try:
        operator.index(value)
    except TypeError:
        return True
    return False


def _smallest(k: int | Tensor, other: int) -> int | Tensor:
    return min(k, other) if isinstance(k, int) else ops.minimum(k, other)


def _largest(k: int | Tensor, other: int) -> int | Tensor:
    return max(k, other) if isinstance(k, int) else ops.maximum(k, other)
