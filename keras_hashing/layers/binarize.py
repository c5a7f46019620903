"""The layer that takes the sign of a code."""

from typing import Any

import keras
from keras import ops

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing")
class Binarize(keras.layers.Layer):
    """Sign of a continuous code, with a straight-through gradient.

        b_k = +1 if u_k > 0, else -1          (so 0 → -1)
        ∂b/∂u = identity

    Source: the straight-through estimator of Bengio et al. 2013 (arXiv 1308.3432), as in
    GreedyHash (Su et al., NeurIPS 2018).

    Input shape:
        Arbitrary.

    Output shape:
        Same shape as the input; values are exactly -1 or +1 in the compute dtype.
    """

    def call(self, inputs: Tensor) -> Tensor:
        """Signs of `inputs`; a value that is not finite gives NaN."""
        sign = ops.where(inputs > 0, ops.ones_like(inputs), -ops.ones_like(inputs))
        # Exact: for a finite input the bracket is exactly 0, and carries the gradient.
        return sign + (inputs - ops.stop_gradient(inputs))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The input's shape."""
        return input_shape
