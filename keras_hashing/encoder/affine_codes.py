"""The codes of many vectors by one matrix product, where the model is an affine map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_hashing.layers import HashHead

_ROUNDOFF = 8 * 2.0**-24
_LENGTHS = 1e-5, 1e15  # of vectors whose length, and its square, float32 holds


@dataclass(frozen=True)
class AffineCodes:
    """The signs of a model that standardises vectors and projects them.

        u = Wᵀ (x̂ - μ) / σ + c = Aᵀ x̂ + b,    x̂ = x / |x|, or x

    One product by A takes a third of the time of the model's own passes over the vectors. It adds
    up in another order, so it does not tell the sign of a value nearer to 0 than the roundoff of
    either, 8 √D 2⁻²⁴ (|x̂| |A_k| + Σ_i |μ_i A_ik| + |b_k|): λ √D u times the sum of the absolute
    terms, λ = 8 (Higham and Mary, SIAM J. Sci. Comput. 41, 2019, theorem 3.1). Vectors with such a
    value are left to the model, so that all signs are the model's own.

    Args:
        kernel: A, float32 [D, K].
        bias: b, float32 [K].
        unit_length: whether x̂ is x / |x|.
        margin: the roundoff: what is in proportion to |x̂|, and what is not.
    """

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]
    unit_length: bool
    margin: tuple[float, float]

    @classmethod
    def of(cls, model: keras.Model) -> AffineCodes | None:
        """Returns the map, or `None` if the model is another one."""
        passing = keras.layers.InputLayer, keras.layers.Dropout
        layers = [layer for layer in _operations(model) if type(layer) not in passing]
        unit_length = bool(layers) and type(layers[0]) is keras.layers.UnitNormalization
        *standardise, head = layers[1 if unit_length else 0 :] or [None]
        kinds = [type(layer) for layer in standardise]
        if not _is_projection(head) or kinds not in ([], [keras.layers.Normalization]):
            return None
        if any(layer.compute_dtype != "float32" for layer in layers):
            return None
        kernel, bias = _float64(head.projection.kernel), np.zeros(head.bits)
        if head.use_bias:
            bias = _float64(head.projection.bias)
        shift = np.zeros(len(kernel))
        if standardise:
            shift, variance = (
                np.broadcast_to(_float64(v).ravel(), len(kernel))
                for v in (standardise[0].mean, standardise[0].variance)
            )
            kernel = kernel / np.maximum(np.sqrt(variance), keras.config.epsilon())[:, None]
            bias = bias - shift @ kernel
        roundoff = _ROUNDOFF * np.sqrt(len(kernel))
        margin = (
            float(roundoff * np.linalg.norm(kernel, axis=0).max()),
            float(roundoff * (abs(shift) @ abs(kernel) + abs(bias)).max()),
        )
        return cls(kernel.astype(np.float32), bias.astype(np.float32), unit_length, margin)

    def signs(self, vectors: NDArray[np.float32]) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
        """Whether u_k > 0, [n, K], and the rows for which the model must tell it."""
        values, _, margin = self._values(vectors)
        return values > 0, np.flatnonzero(~(np.abs(values).min(axis=1) > margin))

    def gives(self, vectors: NDArray[np.float32], codes: NDArray[np.float32]) -> bool:
        """Whether these are a model's codes of the vectors, up to the roundoff."""
        values, scale, margin = self._values(vectors)
        tell = np.flatnonzero(np.isfinite(margin))
        error = np.abs(values[tell] - codes[tell] * scale[tell, None]).max(axis=1)
        return bool((error <= margin[tell]).all())

    def _values(self, vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """(s u [n, K], s [n], margin of s u [n]): s is |x| where x̂ is x / |x|, and otherwise 1."""
        with np.errstate(over="ignore"):
            lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        scale = lengths if self.unit_length else np.ones_like(lengths)
        margin = self.margin[0] * lengths + self.margin[1] * scale
        margin[~((lengths > _LENGTHS[0]) & (lengths < _LENGTHS[1]))] = np.inf
        values = vectors @ self.kernel
        values += scale[:, None] * self.bias
        return values, scale, margin


def _float64(tensor: Any) -> NDArray[np.float64]:
    return keras.ops.convert_to_numpy(tensor).astype(np.float64)


def _operations(part: Any) -> list[Any]:
    """What computes, in order, models of Keras' own classes opened: `keras.ops` are no layers."""
    if not (isinstance(part, keras.Model) and type(part).__module__.startswith("keras.")):
        return [part]
    parts = getattr(part, "operations", None) or part.layers
    return [operation for inner in parts for operation in _operations(inner)]


def _is_projection(layer: Any) -> bool:
    """Whether it is a head whose code is W x + c, neither quantized nor with LoRA."""
    return (
        type(layer) is HashHead
        and layer.normalization is None
        and layer.activation is keras.activations.linear
        and layer.projection.quantization_mode is None
        and not layer.projection.lora_enabled
    )
