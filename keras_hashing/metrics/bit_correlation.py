"""How much the bits repeat each other."""

from typing import Any

import keras
from keras import ops

from keras_hashing.checks import check_bits
from keras_hashing.metrics.bit_balance import signs

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing")
class BitCorrelation(keras.metrics.Metric):
    """Mean absolute Pearson correlation of all pairs of different bits.

    0 where the bits are uncorrelated; 1 where they are all copies (or complements) of one bit,
    which a loss of the marginals alone, such as HSWD, cannot see. A constant bit has no
    correlation and counts 0.

    Args:
        bits: K, the length of the code. A code of one bit has no pair, and the value 0.
        name: name in the logs.
        dtype: dtype of the state.

    Call arguments of `update_state`:
        y_true: ignored.
        y_pred: continuous codes, shape (batch, bits).
        sample_weight: ignored: correlation is a property of the codes.
    """

    def __init__(self, bits: int, name: str = "bit_correlation", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.bits = check_bits(bits)
        self.sum = self.add_variable((bits,), "zeros", name="sum")
        self.sum_of_products = self.add_variable((bits, bits), "zeros", name="sum_of_products")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Any = None) -> None:
        """Adds a batch of codes."""
        bits = ops.cast(signs(y_pred), self.sum.dtype)
        self.sum.assign_add(ops.sum(bits, axis=0))
        self.sum_of_products.assign_add(ops.matmul(ops.transpose(bits), bits))
        self.count.assign_add(ops.cast(ops.shape(bits)[0], self.count.dtype))

    def result(self) -> Tensor:
        """The correlation of all codes since the last reset."""
        mean = ops.divide_no_nan(self.sum, self.count)
        second_moment = ops.divide_no_nan(self.sum_of_products, self.count)
        covariance = second_moment - ops.outer(mean, mean)
        deviation = ops.sqrt(ops.maximum(1 - ops.square(mean), 0))
        correlation = ops.divide_no_nan(covariance, ops.outer(deviation, deviation))
        off_diagonal = ops.abs(correlation) * (1 - ops.eye(self.bits))
        return ops.sum(off_diagonal) / max(self.bits * (self.bits - 1), 1)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        return {**super().get_config(), "bits": self.bits}
