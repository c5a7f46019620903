"""Seeds for losses that draw random numbers, without state."""

from typing import Any

from keras import ops

Tensor = Any


def seed_of_batch(seed: int, codes: Tensor) -> Tensor:
    """A seed that the codes themselves renew at every step.

    A loss may not hold state (a seed generator's would be frozen on JAX), so the second word of
    the seed is the wrapping sum of the codes' float32 bit patterns: fresh draws at every step,
    and the same draws for the same seed and the same batch in any order.

    Args:
        seed: what the user set.
        codes: the global batch, shape (batch, bits).

    Returns:
        int32 tensor of shape (2,).
    """
    patterns = ops.view(ops.cast(codes, "float32"), dtype="int32")
    return ops.stack([ops.convert_to_tensor(seed, dtype="int32"), ops.sum(patterns)])
