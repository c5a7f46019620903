"""Base class of the similarity objectives that compare pairs."""

from typing import Any

import keras
from keras import ops

from keras_hashing import backend
from keras_hashing.losses.inputs import (
    check_codes,
    check_labels,
    nan_where_not_finite,
)

Tensor = Any


class PairwiseSimilarity(keras.losses.Loss):
    """Base class: a loss of all pairs of the batch, s_ij = 1 where i and j share a label.

    A subclass implements `pair_loss(inner_products, similar, bits)`, and may override

    - `similarity_code(codes)`: the code whose inner products it compares (default: raw),
    - `relax(codes)`: the relaxed code that quantization can act on (default: tanh u),
    - `pair_weights(similar, valid)`: the weight of each pair (default: equal).

    A sample is not paired with itself. The value of sample i is the weighted mean over its
    partners j, so that the mean over samples is the mean over pairs. Under `tf.distribute` the
    partners are the global batch, and the gradient crosses the replicas. A batch of one has no
    pair, and its value is 0.

    Labels (`y_true`) are one-hot or multi-hot of shape (batch, classes).

    Args:
        reduction: as in `keras.losses.Loss`.
        name: optional name.
        dtype: dtype of the computation; half precision is widened to float32.
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One value a sample.

        Args:
            y_true: labels, shape (batch, classes).
            y_pred: raw continuous codes, shape (batch, bits).

        Returns:
            Tensor of shape (batch,).
        """
        codes = check_codes(y_pred)
        values = self.compare(check_labels(y_true), self.similarity_code(codes))
        return nan_where_not_finite(values, codes)

    def similarity_code(self, codes: Tensor) -> Tensor:
        """The code whose inner products are compared: the raw continuous code."""
        return codes

    def relax(self, codes: Tensor) -> Tensor:
        """The relaxed code: tanh u."""
        return ops.tanh(codes)

    def pair_loss(self, inner_products: Tensor, similar: Tensor, bits: int) -> Tensor:
        """Loss of each pair, to be implemented by the subclass.

        Args:
            inner_products: of the two codes of each pair, shape (n, m).
            similar: 1 where the pair shares a label, else 0, shape (n, m).
            bits: K, the length of the codes.

        Returns:
            Tensor of shape (n, m).
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `pair_loss`.")

    def pair_weights(self, similar: Tensor, valid: Tensor) -> Tensor:
        """Weight of each pair, shape (n, m): 1, or `balanced_weights(similar, valid)`."""
        return ops.ones_like(valid)

    def compare(
        self,
        labels: Tensor,
        codes: Tensor,
        memory_labels: Tensor | None = None,
        memory_codes: Tensor | None = None,
        memory_filled: Tensor | None = None,
    ) -> Tensor:
        """Compares the batch with itself and with a memory of earlier codes.

        Args:
            labels: shape (n, classes).
            codes: the code whose inner products are compared, shape (n, bits).
            memory_labels: shape (m, classes).
            memory_codes: shape (m, bits); they take no gradient.
            memory_filled: 1 for a row of the memory that holds a code, else 0, shape (m,).

        Returns:
            One value a sample, shape (n,).
        """
        partner_labels = backend.all_gather(labels)
        partner_codes = backend.all_gather(codes)
        own = backend.first_row(codes) + ops.arange(ops.shape(codes)[0])
        columns = ops.arange(ops.shape(partner_codes)[0])
        valid = ops.cast(ops.expand_dims(own, 1) != ops.expand_dims(columns, 0), codes.dtype)
        if memory_codes is not None:
            filled = ops.broadcast_to(
                ops.expand_dims(ops.cast(memory_filled, codes.dtype), 0),
                (ops.shape(codes)[0], ops.shape(memory_codes)[0]),
            )
            partner_labels = ops.concatenate([partner_labels, memory_labels], axis=0)
            partner_codes = ops.concatenate(
                [partner_codes, ops.stop_gradient(memory_codes)], axis=0
            )
            valid = ops.concatenate([valid, filled], axis=1)
        shared = ops.matmul(labels, ops.transpose(partner_labels))
        similar = ops.cast(shared > 0, codes.dtype)
        inner_products = ops.matmul(codes, ops.transpose(partner_codes))
        weights = valid * self.pair_weights(similar, valid)
        partners = ops.maximum(ops.sum(valid, axis=1), 1)
        losses = self.pair_loss(inner_products, similar, codes.shape[-1])
        values = ops.sum(weights * losses, axis=1) / partners
        return nan_where_not_finite(values, labels)


def balanced_weights(similar: Tensor, valid: Tensor) -> Tensor:
    """Weights that make similar and dissimilar pairs count the same, however rare one kind is.

        w_ij = S/S1 where s_ij = 1, S/S0 where s_ij = 0

    S1 and S0 count the similar and the dissimilar pairs of the global batch, S = S1 + S0.

    Args:
        similar: 1 where the pair shares a label, else 0, shape (n, m).
        valid: 1 where there is a pair, else 0, shape (n, m).

    Returns:
        Tensor of shape (n, m).
    """
    counts = ops.stack([ops.sum(valid * similar), ops.sum(valid * (1 - similar))])
    counts = ops.sum(backend.all_gather(ops.expand_dims(counts, 0)), axis=0)
    similar_pairs, dissimilar_pairs = counts[0], counts[1]
    pairs = similar_pairs + dissimilar_pairs
    return ops.where(
        similar > 0,
        pairs / ops.maximum(similar_pairs, 1),
        pairs / ops.maximum(dissimilar_pairs, 1),
    )
