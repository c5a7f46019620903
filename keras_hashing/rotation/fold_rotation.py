"""A rotation as part of the head."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_hashing.layers.hash_head import HashHead


def fold_rotation(head: HashHead, rotation: np.ndarray) -> None:
    """Changes the head's weights so that it emits rotated codes.

        x W + b  →  x (W R) + b R  =  (x W + b) R

    With batch normalization, u = (x W + b - m) / s for the moving mean m and deviation s of each
    bit, its scale goes into the projection first and its statistics become those of a
    normalization that changes nothing: W := W / s, b := (b - m) / s, m := 0, s := 1. (Without a
    bias m takes its place.) That holds for inference; further training would normalize the
    rotated bits anew, by the statistics of each batch.

    Rotated codes have the inner products, lengths and cosines of the codes before, and their own
    signs: packed codes and indexes that the model made earlier do not match it any more.

    Args:
        head: a built `HashHead` without activation, which acts on each bit and so would have to
            come before the rotation. It is changed in place.
        rotation: R, orthogonal, shape (bits, bits), such as `itq_rotation` gives.

    Raises:
        ValueError: if the head or the rotation is not of this kind.
    """
    if not isinstance(head, HashHead) or not head.built:
        raise ValueError(f"`head` must be a built `HashHead`. Received: head={head!r}")
    if head.activation is not keras.activations.linear:
        raise ValueError(
            "A rotation can be folded into a `HashHead` without activation only: that acts on "
            "each bit by itself, after the projection. Received: "
            f"activation={keras.activations.serialize(head.activation)!r}"
        )
    rotation = np.asarray(rotation, dtype="float64")
    if rotation.shape != (head.bits, head.bits) or not np.allclose(
        rotation @ rotation.T, np.eye(head.bits), atol=1e-4
    ):
        raise ValueError(
            f"`rotation` must be an orthogonal matrix of shape ({head.bits}, {head.bits}). "
            f"Received: shape={rotation.shape}"
        )
    projection, normalization = head.projection, head.normalization
    kernel = _float64(projection.kernel)
    offset = _float64(projection.bias) if head.use_bias else np.zeros(head.bits)
    if normalization is not None:
        deviation = np.sqrt(_float64(normalization.moving_variance) + normalization.epsilon)
        kernel = kernel / deviation
        offset = (offset - _float64(normalization.moving_mean)) / deviation
        normalization.moving_variance.assign(np.full(head.bits, 1 - normalization.epsilon))
        normalization.moving_mean.assign(
            np.zeros(head.bits) if head.use_bias else -offset @ rotation
        )
    projection.kernel.assign(kernel @ rotation)
    if head.use_bias:
        projection.bias.assign(offset @ rotation)


def _float64(weight: Any) -> np.ndarray:
    return ops.convert_to_numpy(weight).astype("float64")
