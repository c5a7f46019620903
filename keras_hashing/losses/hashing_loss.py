"""Similarity plus weighted quantization, as one loss for `compile`."""

from typing import Any

import keras

from keras_hashing.checks import DEFAULT_WEIGHT, check_place, check_weight
from keras_hashing.losses import quantization as quantization_losses
from keras_hashing.losses.inputs import check_codes
from keras_hashing.losses.similarity.pairwise_similarity import PairwiseSimilarity

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing")
class HashingLoss(keras.losses.Loss):
    """A similarity objective plus a weighted quantization loss, one value per sample.

        L_i = similarity_i + quantization_weight · quantization_i

    Example:

    ```python
    model.compile("adam", loss=keras_hashing.losses.HashingLoss(
        similarity=keras_hashing.losses.DPSH(),
        quantization=keras_hashing.losses.HashSlicedWasserstein(),
        quantization_weight=0.3, quantize="raw"))
    ```

    Args:
        similarity: a similarity objective, such as `DPSH()` or `HashNet()`.
        quantization: a quantization loss, its name (`"hswd"`, `"swd"`, `"ot"`, `"sign"`), or
            `None`.
        quantization_weight: weight of the quantization loss, at least 0.
        quantize: the code that quantization acts on: `"raw"` (u) or `"relaxed"` (what the
            similarity objective makes of it: tanh u, or tanh βu for HashNet).
        **kwargs: as in `keras.losses.Loss`; the reductions of the two parts play no role, and
            half precision is widened to float32.

    Raises:
        ValueError: if an argument breaks its rule.
    """

    def __init__(
        self,
        similarity: PairwiseSimilarity,
        quantization: Any = "hswd",
        quantization_weight: float = DEFAULT_WEIGHT,
        quantize: str = "raw",
        name: str = "hashing_loss",
        **kwargs: Any,
    ) -> None:
        if not isinstance(similarity, PairwiseSimilarity):
            raise ValueError(
                "`similarity` must be a similarity objective of keras_hashing.losses. "
                f"Received: similarity={similarity!r}"
            )
        super().__init__(name=name, **kwargs)
        self.similarity = similarity
        self.quantization = quantization_losses.get(quantization)
        self.quantization_weight = check_weight(quantization_weight)
        self.quantization_place = check_place(quantize)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One value per sample.

        Args:
            y_true: labels as `PairwiseSimilarity` takes them, shape (batch, classes) or (batch,).
            y_pred: raw continuous codes, shape (batch, bits).

        Returns:
            Tensor of shape (batch,).
        """
        codes = check_codes(y_pred)
        values = self.similarity.call(y_true, codes)
        if self.quantization is None:
            return values
        place = codes if self.quantization_place == "raw" else self.similarity.relax(codes)
        return values + self.quantization_weight * self.quantization.call(y_true, place)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal loss."""
        return {
            **super().get_config(),
            "similarity": keras.saving.serialize_keras_object(self.similarity),
            "quantization": keras.saving.serialize_keras_object(self.quantization),
            "quantization_weight": self.quantization_weight,
            "quantize": self.quantization_place,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "HashingLoss":
        """The loss that `get_config` describes."""
        similarity = keras.saving.deserialize_keras_object(config["similarity"])
        return cls(**{**config, "similarity": similarity})
