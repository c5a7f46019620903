"""NT-Xent on the relaxed code as a method."""

from typing import Any

import keras

from keras_hashing.methods.two_view_method import TwoViewMethod, check_temperature, nt_xent

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing.methods")
class NTXent(TwoViewMethod):
    """Contrastive learning without labels: NT-Xent of the relaxed code v = tanh u.

    The objective is `nt_xent`, of SimCLR (Chen et al., ICML 2020), with the cosine of two relaxed
    codes as their similarity. There is no native quantization.

    Args:
        bits: K, the length of the code.
        num_classes: not used.
        temperature: τ, positive.
        **kwargs: as in `keras.layers.Layer`.

    Raises:
        ValueError: if `temperature` is not positive.
    """

    def __init__(
        self,
        bits: int,
        num_classes: int | None = None,
        temperature: float = 0.3,
        **kwargs: Any,
    ) -> None:
        super().__init__(bits=bits, num_classes=num_classes, **kwargs)
        self.temperature = check_temperature(temperature)

    def compare_views(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """NT-Xent of tanh u."""
        return nt_xent(self.relax(first), self.relax(second), self.temperature)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal method."""
        return {**super().get_config(), "temperature": self.temperature}
