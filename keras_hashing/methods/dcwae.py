"""DCW-AE as a method."""

from typing import Any

import keras
from keras import ops

from keras_hashing import losses
from keras_hashing.checks import check_count
from keras_hashing.losses.inputs import check_codes, nan_where_not_finite
from keras_hashing.methods.hashing_method import HashingMethod

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing.methods")
class DCWAE(HashingMethod):
    """DCW-AE: an autoencoder of vectors whose code is spread over the corners of the cube.

        L_i = 1/D ‖x_i - decoder(u_i)‖²

    x are the model's inputs, vectors or features of a frozen network, standardised; u is the raw
    code, and the decoder a network of one hidden layer that is trained with the head and not
    exported. The paper adds, by weight, the Wasserstein distance of each component of u to fair
    bits: that is HSWD, and the native quantization here.

    Source: Doan, Manchanda, Badirli, Reddy, "Image Hashing by Minimizing Discrete Component-wise
    Wasserstein Distance", arXiv 2003.00134, by those who wrote HSWD later. Their published code
    draws the bits that HSWD knows in closed form, and takes steps on reconstruction and distance
    in turn, where one loss has both here. It can also add a term on pairs whose similarity it is
    given, which is left out.

    Args:
        bits: K, the length of the code.
        num_classes: not used.
        features: D, the width of the vectors. `None`: the model sets it.
        decoder_units: units of the decoder's hidden layer.
        **kwargs: as in `keras.layers.Layer`.

    Raises:
        ValueError: if an argument breaks its rule.
    """

    needs_labels = False
    reconstructs = True

    def __init__(
        self,
        bits: int,
        num_classes: int | None = None,
        features: int | None = None,
        decoder_units: int = 512,
        **kwargs: Any,
    ) -> None:
        super().__init__(bits=bits, num_classes=num_classes, **kwargs)
        self.decoder_units = check_count("decoder_units", decoder_units)
        self.features: int | None = None
        if features is not None:
            self.see_width(features)

    def see_width(self, features: int) -> None:
        """Makes the decoder to vectors of this width, unless there is one.

        Raises:
            ValueError: if it is for another width.
        """
        if self.features is None:
            self.features = check_count("features", features)
            options: dict[str, Any] = {"dtype": "float32", "autocast": False}
            self.standardise = keras.layers.BatchNormalization(
                center=False, scale=False, name="standardise", **options
            )
            self.hidden = keras.layers.Dense(self.decoder_units, name="hidden", **options)
            self.output_layer = keras.layers.Dense(features, name="output", **options)
            self.standardise.build((None, features))
            self.hidden.build((None, self.bits))
            self.output_layer.build((None, self.decoder_units))
        if self.features != features:
            raise ValueError(
                f"`features` must be the width of the model's input, {features}. "
                f"Received: features={self.features}"
            )

    def call(self, labels: Tensor, codes: Tensor, training: bool | None = None) -> Tensor:
        """The squared error of each sample.

        Args:
            labels: the vectors x, shape (batch, features): labels of a kind that all data has.
            codes: raw continuous codes, shape (batch, bits).
            training: whether mean and deviation of the vectors are learned.

        Returns:
            float32 tensor of shape (batch,).
        """
        codes = check_codes(codes)
        targets = self.standardise(ops.cast(labels, "float32"), training=bool(training))
        decoded = self.output_layer(ops.leaky_relu(self.hidden(codes), 0.2))
        values = ops.mean(ops.square(ops.stop_gradient(targets) - decoded), axis=-1)
        return nan_where_not_finite(values, codes)

    def native_quantization(self) -> keras.losses.Loss:
        """HSWD."""
        return losses.HashSlicedWasserstein()

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal method."""
        return {
            **super().get_config(),
            "features": self.features,
            "decoder_units": self.decoder_units,
        }
