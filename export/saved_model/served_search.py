"""The nearest items of an index as a part of a serving graph, by the user's own ids."""

from itertools import chain
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_hashing import backend
from keras_hashing.layers import HammingSearch
from keras_hashing.retrieval import CodeIndex
from keras_hashing.retrieval.packed_width import packed_width

DEFAULT_K = 10  # answers a query gets where the request does not say
MAX_K = 1000  # the most that a request may ask for
MOST_ANSWERS = 2**20  # of a request, rows times k: some 12 MB of ids and distances


class Answers(NamedTuple):
    """What the graph answers to n queries: ids int64 or string [n, k], distances int32 [n, k]."""

    ids: tf.Tensor
    distances: tf.Tensor


class ServedSearch(tf.Module):
    """An index in a serving graph.

    Codes and ids are variables, not constants: a GraphDef ends at 2 GB.

    Args:
        index: the codes and ids; int64 ids if it has `integer_ids`, else strings.
        rerank: whether `nearest` ranks by continuous codes.

    Attributes:
        bits: the length of a code, K.
        layer: the `HammingSearch` layer.
        ids: what makes ids of positions.
    """

    def __init__(self, index: CodeIndex, rerank: bool = False) -> None:
        super().__init__()
        self.bits = index.bits
        self.layer = HammingSearch(
            index.codes, k=DEFAULT_K, bits=index.bits, max_k=MAX_K, rerank=rerank
        )
        self.ids = IntegerIds(index) if index.integer_ids else StringIds(index)

    def nearest(
        self,
        code: tf.Tensor,
        k: tf.Tensor,
        max_distance: tf.Tensor,
        continuous: tf.Tensor | None = None,
    ) -> Answers:
        """Finds the k items nearest to each packed code, nearest first.

        A row that has fewer ends in distances of -1, with ids of -1 or "". `k` and `max_distance`
        are one number for all rows or one per row, so that a server can join requests of several;
        the answers have as many columns as the largest k.

        Args:
            code: packed codes, uint8 [n, K/8].
            k: int32, scalar, [1] or [n]: 1 to 1,000; n times the largest at most 2^20.
            max_distance: int32, scalar, [1] or [n]: at least 0; more than K is as good as K.
            continuous: float32 [n, K], to rank by.

        Raises:
            tf.errors.InvalidArgumentError: as the graph runs, if an argument breaks its rule.
        """
        width = packed_width(self.bits)
        code, k, max_distance = map(of_any_shape, (code, k, max_distance))
        k, max_distance = tf.reshape(k, [-1]), tf.reshape(max_distance, [-1])
        right_width = tf.debugging.assert_equal(
            tf.shape(code)[-1],
            width,
            f"`code` must have {width} bytes a row: the index holds codes of {self.bits} bits",
        )
        in_range = tf.debugging.Assert(
            tf.reduce_all((k >= 1) & (k <= MAX_K)),
            [f"`k` must be an integer from 1 to {MAX_K}. Received:", k],
        )
        not_negative = tf.debugging.assert_non_negative(
            max_distance, "`max_distance` must be at least 0"
        )
        with tf.control_dependencies([right_width, in_range, not_negative]):
            code = tf.ensure_shape(code, [None, width])
        rows, columns = tf.shape(code)[0], tf.clip_by_value(tf.reduce_max(k), 1, MAX_K)
        not_too_many = tf.debugging.assert_less_equal(
            tf.cast(rows, tf.int64) * tf.cast(columns, tf.int64),
            tf.constant(MOST_ANSWERS, tf.int64),
            f"Rows times `k` must be at most {MOST_ANSWERS}: send fewer rows in a request",
        )
        with tf.control_dependencies([not_too_many]):
            k = _one_a_row("k", k, rows)
            max_distance = _one_a_row("max_distance", max_distance, rows)

        def of_row(row: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor]:
            query, k, max_distance, *rank_by = row
            positions, distances = self.layer(
                query[tf.newaxis],
                continuous=rank_by[0][tf.newaxis] if rank_by else None,
                k=k,
                max_distance=max_distance,
            )
            padding = [[0, columns - k]]
            return (
                tf.pad(positions[0], padding, constant_values=-1),
                tf.pad(distances[0], padding, constant_values=-1),
            )

        queries = (code, k, max_distance) + (() if continuous is None else (continuous,))
        positions, distances = backend.map_rows(of_row, queries, ("int32", "int32"), (columns,))
        return Answers(self.ids(positions), distances)


def _one_a_row(name: str, values: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Int32 [1] or [rows] → [rows]."""
    count = tf.size(values)
    fits = tf.debugging.Assert(
        (count == 1) | (count == rows),
        [f"`{name}` must be one number, or one per row. Received:", values],
    )
    with tf.control_dependencies([fits]):
        return tf.broadcast_to(values, [rows])


def of_any_shape(tensor: tf.Tensor) -> tf.Tensor:
    """The tensor, of a shape that is not known before the graph runs.

    A server hands an input on whatever shape it has, and a check against the shape that the
    signature declares is optimised away.
    """
    return tf.raw_ops.PlaceholderWithDefault(input=tensor, shape=tf.TensorShape(None))


class IntegerIds(tf.Module):
    """Ids of positions, int64; -1 for a position of -1.

    Args:
        index: has `integer_ids`.
    """

    def __init__(self, index: CodeIndex) -> None:
        super().__init__()
        numbers = np.fromiter(chain([-1], map(int, index.ids)), np.int64, len(index) + 1)
        self.numbers = tf.Variable(numbers, trainable=False, name="ids")

    def __call__(self, positions: tf.Tensor) -> tf.Tensor:
        """Int32 [n, k] → int64 [n, k]."""
        return tf.gather(self.numbers, positions + 1)


class StringIds(tf.Module):
    """Ids of positions, string; "" for a position of -1.

    The ids lie as bytes one after another, and are cut out of them as they are wanted: a tensor of
    strings takes 24 bytes an id, and for one longer than 22 bytes a piece of the heap as well.

    Args:
        index: its ids become UTF-8.
    """

    def __init__(self, index: CodeIndex) -> None:
        super().__init__()
        self.text = tf.Variable(index.ids.text, trainable=False, name="ids_text")
        self.offsets = tf.Variable(index.ids.offsets, trainable=False, name="ids_offsets")

    def __call__(self, positions: tf.Tensor) -> tf.Tensor:
        """Int32 [n, k] → string [n, k]."""
        flat = tf.reshape(positions, [-1])
        starts = tf.gather(self.offsets, tf.maximum(flat, 0))
        ends = tf.gather(self.offsets, flat + 1)  # of position -1: 0, as its start
        spans = tf.ragged.range(starts, ends)
        text = _as_one_string(tf.gather(self.text, spans.flat_values))
        ids = tf.strings.substr(text, spans.row_splits[:-1], spans.row_lengths())
        return tf.reshape(ids, tf.shape(positions))


def _as_one_string(text: tf.Tensor) -> tf.Tensor:
    """Bytes, uint8 [B], as one string of B bytes.

    TensorFlow has no op for it but this: a serialised tensor ends in the bytes of its values.
    """
    message = tf.io.serialize_tensor(text)
    header = tf.strings.length(message) - tf.size(text)
    return tf.strings.substr(message, header, tf.size(text))
