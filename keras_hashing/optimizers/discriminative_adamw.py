"""AdamW with two learning rates."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_hashing.checks import check_not_negative


@keras.saving.register_keras_serializable(package="keras_hashing")
class DiscriminativeAdamW(keras.optimizers.AdamW):
    """AdamW that trains a pretrained backbone more slowly than what is new.

        learning rate of a variable = learning_rate                   if it belongs to `full_rate`
                                      learning_rate · backbone_rate   otherwise

    A variable belongs to a layer when its path begins with the layer's name. Weight decay takes
    `learning_rate` for all variables. With `l2` the gradient of ½ l2 ‖variable‖² is added to that
    of the loss before the moments are taken: with `weight_decay=0` this is Adam with the weight
    decay of PyTorch's.

    Source: Howard & Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL
    2018, section 3.2 (discriminative fine-tuning), with two groups.

    Args:
        learning_rate: as in `keras.optimizers.AdamW`.
        backbone_rate: share of the learning rate that the other variables get, 0 to 1.
        full_rate: names of the layers that train at the full rate, such as `("hash_head",)`.
        l2: weight of the squared variables, at least 0.
        **kwargs: as in `keras.optimizers.AdamW`.

    Raises:
        ValueError: if `backbone_rate` is not between 0 and 1, or `l2` is negative; on the first
            step, if none of the variables belongs to `full_rate`.
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        backbone_rate: float = 0.1,
        full_rate: Sequence[str] = ("hash_head",),
        l2: float = 0.0,
        name: str = "discriminative_adamw",
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        if not 0 <= backbone_rate <= 1:
            raise ValueError(
                f"`backbone_rate` must be between 0 and 1. Received: backbone_rate={backbone_rate}"
            )
        self.backbone_rate = float(backbone_rate)
        self.full_rate = tuple(full_rate)
        self.l2 = check_not_negative("l2", l2)

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the moments, and refuses names that fit no variable."""
        self._shares = [
            1.0
            if variable.path.startswith(tuple(f"{layer}/" for layer in self.full_rate))
            else self.backbone_rate
            for variable in variables
        ]
        if 1.0 not in self._shares:
            raise ValueError(
                "`full_rate` must name layers of the model. "
                f"Received: full_rate={self.full_rate}; variables "
                f"{sorted({variable.path.split('/')[0] for variable in variables})}"
            )
        super().build(variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """AdamW's step with the variable's own learning rate."""
        if self.l2:
            gradient = gradient + self.l2 * variable
        share = self._shares[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * share)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal optimizer."""
        return {
            **super().get_config(),
            "backbone_rate": self.backbone_rate,
            "full_rate": list(self.full_rate),
            "l2": self.l2,
        }
