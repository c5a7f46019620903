"""How unbalanced the bits are."""

from typing import Any

import keras
from keras import ops

from keras_hashing.checks import check_bits

Tensor = Any


def signs(codes: Tensor) -> Tensor:
    """±1 float32 signs of continuous codes; 0 → -1."""
    codes = ops.convert_to_tensor(codes)
    return ops.where(codes > 0, 1.0, -1.0)


@keras.saving.register_keras_serializable(package="keras_hashing")
class BitBalance(keras.metrics.Metric):
    """Mean over the bits of |mean of the bit|, bits in {-1, +1}.

    0 where every bit is +1 for half of the samples; 1 where every bit is constant. A bit that is
    rarely +1 carries little information.

    Args:
        bits: K, the length of the code.
        name: name in the logs.
        dtype: dtype of the state.

    Call arguments of `update_state`:
        y_true: ignored.
        y_pred: continuous codes, shape (batch, bits).
        sample_weight: ignored: balance is a property of the codes.
    """

    def __init__(self, bits: int, name: str = "bit_balance", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.bits = check_bits(bits)
        self.sum = self.add_variable((bits,), "zeros", name="sum")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Any = None) -> None:
        """Adds a batch of codes."""
        bits = signs(y_pred)
        self.sum.assign_add(ops.cast(ops.sum(bits, axis=0), self.sum.dtype))
        self.count.assign_add(ops.cast(ops.shape(bits)[0], self.count.dtype))

    def result(self) -> Tensor:
        """The balance of all codes since the last reset."""
        return ops.mean(ops.abs(ops.divide_no_nan(self.sum, self.count)))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        return {**super().get_config(), "bits": self.bits}
