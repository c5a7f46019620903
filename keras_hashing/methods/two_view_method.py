"""Base class of the methods that compare two views of an image."""

from typing import Any

from keras import ops

from keras_hashing import backend
from keras_hashing.checks import check_positive
from keras_hashing.losses.inputs import check_codes, nan_where_not_finite, unit_length
from keras_hashing.methods.hashing_method import HashingMethod

Tensor = Any


class TwoViewMethod(HashingMethod):
    """Base class: needs no labels, but two views of every image.

    A view is what an augmentation or a dropout makes of the image. A batch of b images has 2b
    codes: those of the first views, then those of the second ones, in the same order. Row i and
    row i + b belong together. A subclass implements `compare_views(first, second)`.
    """

    needs_labels = False
    views = 2

    def call(self, labels: Tensor, codes: Tensor, training: bool | None = None) -> Tensor:
        """The objective, one value a view.

        Args:
            labels: not used; may be `None`.
            codes: raw continuous codes of both views, shape (2 batch, bits).
            training: whether state may change.

        Returns:
            float32 tensor of shape (2 batch,).

        Raises:
            ValueError: if the number of codes is known to be odd.
        """
        codes = check_codes(codes)
        if codes.shape[0] is not None and codes.shape[0] % 2:
            raise ValueError(
                f"{type(self).__name__} compares two views of each image, so `codes` must have an "
                f"even number of rows. Received: codes.shape={tuple(codes.shape)}"
            )
        batch = ops.shape(codes)[0] // 2
        values = self.compare_views(codes[:batch], codes[batch:])
        return nan_where_not_finite(ops.concatenate(values, axis=0), codes)

    def compare_views(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Values of the first and of the second views, to be implemented by the subclass.

        Args:
            first: raw codes of the first views, float32, shape (batch, bits).
            second: raw codes of the second views, in the same order.

        Returns:
            Two tensors of shape (batch,).
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `compare_views`.")


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """NT-Xent: each view has to find the other one of its image among all views of the batch.

        ℓ_i = -log  exp(cos(z_i, z_i') / τ) / Σ_{k ≠ i} exp(cos(z_i, z_k) / τ)

    z_i' is the other view of the image, and k runs over the 2b views of the global batch.

    Source: Chen, Kornblith, Norouzi, Hinton, "A Simple Framework for Contrastive Learning of
    Visual Representations", ICML 2020, equation 1.

    Args:
        first: z of the first views, shape (batch, bits).
        second: z of the second views, in the same order.
        temperature: τ.

    Returns:
        Values of the first and of the second views, each of shape (batch,).
    """
    first, second = unit_length(first), unit_length(second)
    all_first, all_second = backend.all_gather(first), backend.all_gather(second)
    own = ops.expand_dims(backend.first_row(first) + ops.arange(ops.shape(first)[0]), 1)
    itself = own == ops.expand_dims(ops.arange(ops.shape(all_first)[0]), 0)

    def values(anchors: Tensor, same: Tensor, other: Tensor, partners: Tensor) -> Tensor:
        among_same = ops.matmul(anchors, ops.transpose(same)) / temperature
        among_same = ops.where(itself, float("-inf"), among_same)
        among_other = ops.matmul(anchors, ops.transpose(other)) / temperature
        positive = ops.sum(anchors * partners, axis=-1) / temperature
        every = ops.concatenate([among_same, among_other], axis=1)
        return ops.logsumexp(every, axis=1) - positive

    return (
        values(first, all_first, all_second, second),
        values(second, all_second, all_first, first),
    )


def check_temperature(temperature: float) -> float:
    """τ as it is, if it is positive."""
    return check_positive("temperature", temperature)
