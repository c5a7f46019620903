"""The sample that a transport plan is made for: the global batch and remembered codes."""

from typing import Any

from keras import ops

from keras_hashing import backend

Tensor = Any
Remembered = tuple[Tensor, Tensor]
"""Codes of earlier batches, shape (size, bits), and which rows hold one: 1 or 0, shape (size,)."""


class SampleOfCodes:
    """The codes of the global batch and those remembered, without a gradient.

    Args:
        batch: codes, shape (batch, bits); this replica's under `tf.distribute`.
        remembered: codes of earlier batches, or `None`.
    """

    def __init__(self, batch: Tensor, remembered: Remembered | None = None) -> None:
        batch = ops.stop_gradient(batch)
        self.batch = backend.all_gather(batch)
        self.rows = self.batch
        self.count = ops.shape(self.batch)[0]
        self.counted: Tensor | None = None
        if remembered is not None:
            codes, filled = remembered
            codes = ops.stop_gradient(ops.cast(codes, batch.dtype))
            filled = ops.cast(filled, "bool")
            self.rows = ops.concatenate([self.batch, codes], axis=0)
            self.counted = ops.concatenate([ops.ones_like(self.batch[:, 0], "bool"), filled])
            self.count = self.count + ops.sum(ops.cast(filled, "int32"))

    def share_in_top(self, values: Tensor, rows: Tensor, parts: int) -> Tensor:
        """The share of each value's mass that is in the top 1/parts of its column.

        With the N values of a column, a threshold t of which at most N/parts are above and at
        least N/parts are not below, a = #{> t} and e = #{= t}:

            1 if the value is above t;  0 if it is below;  (N/parts - a) / e if it is t

        so that tied values share alike, and N need not be a multiple of `parts`.

        Args:
            values: shape (n, columns), some of `rows`.
            rows: the whole sample of them, shape (rows, columns).
            parts: 2 for the upper half, 4 for the upper quarter.

        Returns:
            Shape (n, columns), without a gradient.
        """
        values, rows = ops.stop_gradient(values), ops.stop_gradient(rows)
        counted = None if self.counted is None else self.counted[:, None]
        # An empty row of the memory is sorted behind all others.
        sortable = rows if counted is None else ops.where(counted, rows, float("inf"))
        threshold = backend.nth_smallest(sortable, self.count - 1 - self.count // parts)

        def number(which: Tensor) -> Tensor:
            which = which if counted is None else ops.logical_and(which, counted)
            return ops.sum(ops.cast(which, values.dtype), axis=0)

        mass = ops.cast(self.count, values.dtype) / parts
        tied = ops.maximum(number(rows == threshold), 1)
        share_of_tied = (mass - number(rows > threshold)) / tied
        return ops.where(
            values == threshold, share_of_tied, ops.cast(values > threshold, values.dtype)
        )
