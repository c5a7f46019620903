"""The layer that turns features into a continuous code."""

from typing import Any

import keras
from keras import ops

from keras_hashing import backend
from keras_hashing.checks import DEFAULT_WEIGHT, check_bits, check_weight
from keras_hashing.layers.code_memory import new_memory
from keras_hashing.losses import quantization as quantization_losses
from keras_hashing.losses.quantization import QuantizationLoss

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing")
class HashHead(keras.layers.Layer):
    """Maps features to a raw continuous code of `bits` values.

        u = activation(normalize(W x + b))

    Bit k of the image's code is 1 where u_k > 0. The head can carry its own quantization loss,
    so that any Keras model gets HSWD by swapping its last layer:

    ```python
    head = keras_hashing.layers.HashHead(
        bits=64, quantization=keras_hashing.losses.HashSlicedWasserstein(),
        quantization_weight=0.3)
    ```

    The term is added with `add_loss`, in training only and in float32; the exported graph holds
    no trace of it.

    Args:
        bits: K, the length of the code, at least 1.
        activation: activation of the code, as in `keras.layers.Dense`. `None` gives the raw
            code, which is what the losses of this package expect.
        batch_normalization: whether to normalize each bit over the batch before the activation,
            without a learned scale or offset: a bit of mean 0 is balanced (OrthoHash, Hoe et
            al., NeurIPS 2021).
        quantization: a quantization loss of the code, its name (`"hswd"`, `"swd"`, `"ot"`,
            `"sign"`), or `None`.
        quantization_weight: weight of the quantization loss, at least 0.
        quantization_memory: number of codes of earlier batches that HSWD takes its median over,
            beside those of the batch: see `keras_hashing.models.HashingModel`.
        use_bias: whether the projection has a bias.
        kernel_initializer: initializer of the projection.
        kernel_regularizer: regularizer of the projection.
        changed_parts: configurations of the inner layers that Keras has changed since they were
            made (`quantize`, `enable_lora`, another dtype policy), as `get_config` gives them.
        **kwargs: as in `keras.layers.Layer`.

    Input shape:
        (batch, features).

    Output shape:
        (batch, bits), in the layer's compute dtype.

    Raises:
        ValueError: if an argument breaks its rule.
    """

    def __init__(
        self,
        bits: int,
        activation: Any = None,
        batch_normalization: bool = False,
        quantization: Any = None,
        quantization_weight: float = DEFAULT_WEIGHT,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        quantization_memory: int = 0,
        changed_parts: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bits = check_bits(bits)
        self.activation = keras.activations.get(activation)
        self.batch_normalization = batch_normalization
        self.quantization = quantization_losses.get(quantization)
        self.quantization_weight = check_weight(quantization_weight)
        self.memory = new_memory(quantization_memory, self.quantization, self.bits)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self._losses_of_replica: dict[int | None, list[Tensor]] = {}
        self.input_spec = keras.layers.InputSpec(ndim=2)
        parts = self._new_parts()
        for name, config in (changed_parts or {}).items():
            parts[name] = keras.saving.deserialize_keras_object(config)
        self.projection = parts["projection"]
        self.normalization = parts.get("normalization")

    def _new_parts(self) -> dict[str, keras.layers.Layer]:
        """The inner layers as the arguments say."""
        parts: dict[str, keras.layers.Layer] = {
            "projection": keras.layers.Dense(
                self.bits,
                use_bias=self.use_bias,
                kernel_initializer=self.kernel_initializer,
                kernel_regularizer=self.kernel_regularizer,
                dtype=self.dtype_policy,
                name="projection",
            )
        }
        if self.batch_normalization:
            parts["normalization"] = keras.layers.BatchNormalization(
                center=False, scale=False, dtype=self.dtype_policy, name="normalization"
            )
        return parts

    def build(self, input_shape: tuple) -> None:
        """Makes the projection and the normalization, unless their configuration made them."""
        if not self.projection.built:
            self.projection.build(input_shape)
        if self.normalization is not None and not self.normalization.built:
            self.normalization.build((None, self.bits))
        self.built = True

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """(batch, features) → (batch, bits)."""
        codes = self.projection(inputs)
        if self.normalization is not None:
            codes = self.normalization(codes, training=training)
        codes = self.activation(codes)
        if self.quantization is not None and training:
            self._add_quantization(self.quantization, codes)
        return codes

    def _add_quantization(self, quantization: QuantizationLoss, codes: Tensor) -> None:
        # The mean over samples, unreduced by the loss itself: the trainer scales what `add_loss`
        # gives for tf.distribute. A replica's share of the last batch may be empty.
        remembered = () if self.memory is None else (self.memory.read()[1:],)
        values = quantization.call(codes, codes, *remembered)
        if self.memory is not None:
            self.memory.write(None, codes)
        samples = ops.cast(ops.maximum(ops.shape(values)[0], 1), values.dtype)
        term = self.quantization_weight * ops.sum(values) / samples
        self.add_loss(term)
        self._losses_of_replica.setdefault(backend.replica_key(), []).append(term)

    # MirroredStrategy traces its replicas on one layer object, and HSWD's gathering lets them
    # take turns, so a replica would find the terms of the others among its own.

    def _get_own_losses(self) -> list[Tensor]:
        losses = super()._get_own_losses()
        replica = backend.replica_key()
        return losses if replica is None else self._losses_of_replica.get(replica, [])

    def _clear_losses(self) -> None:
        super()._clear_losses()
        self._losses_of_replica.clear()

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """(batch, bits)."""
        return (*input_shape[:-1], self.bits)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        changed = {
            name: keras.saving.serialize_keras_object(getattr(self, name))
            for name, new in self._new_parts().items()
            if _computation(getattr(self, name)) != _computation(new)
        }
        return {
            **super().get_config(),
            **({"changed_parts": changed} if changed else {}),
            "bits": self.bits,
            "activation": keras.activations.serialize(self.activation),
            "batch_normalization": self.batch_normalization,
            "quantization": keras.saving.serialize_keras_object(self.quantization),
            "quantization_weight": self.quantization_weight,
            "quantization_memory": 0 if self.memory is None else self.memory.size,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }


def _computation(layer: keras.layers.Layer) -> dict[str, Any]:
    return {key: value for key, value in layer.get_config().items() if key != "trainable"}
