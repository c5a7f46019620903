"""Base class of the similarity objectives that compare pairs."""

from typing import Any

import keras
from keras import ops

from keras_hashing import backend
from keras_hashing.losses.inputs import (
    check_codes,
    check_labels,
    is_labelled,
    nan_where_not_finite,
)

Tensor = Any


class PairwiseSimilarity(keras.losses.Loss):
    """Base class: a loss of all pairs of the batch, by the similarity s_ij of their labels.

        s_ij = min(1, Σ_c y_ic y_jc)

    One-hot and multi-hot labels have s_ij = 1 where i and j share a label, else 0. Soft labels
    (label smoothing, MixUp, CutMix) lie in between: of rows that add up to 1, s_ij is the
    probability that a label drawn from i is the one drawn from j. A soft pair has s_ij times the
    loss of a similar pair and 1 - s_ij times that of a dissimilar one. Class numbers of shape
    (batch,) or (batch, 1) are similar where they are equal. A sample without labels, whose row or
    number is -1, is in no pair. One with another negative label, or one above 1, has a NaN loss.

    A subclass implements `pair_loss(inner_products, similar, bits)`, and may override

    - `similarity_code(codes)`: the code whose inner products it compares (default: raw),
    - `relax(codes)`: the relaxed code that quantization can act on (default: tanh u),
    - `pair_weights(similar, valid)`: the weight of each pair (default: equal).

    A sample is not paired with itself. The value of sample i is the weighted mean over its
    partners j, so that the mean over samples is the mean over pairs. Under `tf.distribute` the
    partners are the global batch, and the gradient crosses the replicas. A sample that is in no
    pair has the value 0.

    Args:
        **kwargs: as in `keras.losses.Loss`; half precision is widened to float32.
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One value per sample.

        Args:
            y_true: labels, shape (batch, classes), or class numbers.
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
            similar: s, from 0 to 1, shape (n, m). The loss is linear in it.
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
            labels: shape (n, classes), as `check_labels` gives them.
            codes: the code whose inner products are compared, shape (n, bits).
            memory_labels: shape (m, classes).
            memory_codes: shape (m, bits); they take no gradient.
            memory_filled: 1 for a row of the memory that holds a code, else 0, shape (m,).

        Returns:
            One value per sample, shape (n,).
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
        labelled = ops.logical_and(
            ops.expand_dims(is_labelled(labels), 1),
            ops.expand_dims(is_labelled(partner_labels), 0),
        )
        valid = valid * ops.cast(labelled, codes.dtype)
        similar = ops.cast(similarity_of_pairs(labels, partner_labels), codes.dtype)
        inner_products = ops.matmul(codes, ops.transpose(partner_codes))
        weights = valid * self.pair_weights(similar, valid)
        partners = ops.maximum(ops.sum(valid, axis=1), 1)
        losses = self.pair_loss(inner_products, similar, codes.shape[-1])
        values = ops.sum(weights * losses, axis=1) / partners
        return nan_where_not_finite(values, labels)


def similarity_of_pairs(labels: Tensor, partner_labels: Tensor) -> Tensor:
    """s of the class docstring: (n, classes) and (m, classes) → (n, m), from 0 to 1.

    A label that is not finite makes no pair similar; its own sample shows it.
    """
    partners = ops.transpose(partner_labels)
    if labels.shape[-1] == 1:  # class numbers
        return ops.equal(labels, partners)
    shared = ops.matmul(labels, partners)
    return ops.where(shared > 0, ops.minimum(shared, 1.0), 0.0)


def balanced_weights(similar: Tensor, valid: Tensor) -> Tensor:
    """Weights that make similar and dissimilar pairs count the same, however rare one kind is.

        w_ij = s_ij S/S1 + (1 - s_ij) S/S0

    S1 = Σ s_ij and S0 = Σ (1 - s_ij) count the similar and the dissimilar pairs of the global
    batch, S = S1 + S0.

    Args:
        similar: s, from 0 to 1, shape (n, m).
        valid: 1 where there is a pair, else 0, shape (n, m).

    Returns:
        Tensor of shape (n, m).
    """
    counts = ops.stack([ops.sum(valid * similar), ops.sum(valid * (1 - similar))])
    counts = ops.sum(backend.all_gather(ops.expand_dims(counts, 0)), axis=0)
    similar_pairs, dissimilar_pairs = counts[0], counts[1]
    pairs = similar_pairs + dissimilar_pairs
    of_similar = ops.divide_no_nan(pairs, similar_pairs)
    of_dissimilar = ops.divide_no_nan(pairs, dissimilar_pairs)
    return similar * of_similar + (1 - similar) * of_dissimilar
