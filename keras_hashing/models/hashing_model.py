"""The model that trains a hash method whole."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_hashing import backend, methods, metrics
from keras_hashing import retrieval as retrieval_functions
from keras_hashing.callbacks.refuse_non_finite_loss import RefuseNonFiniteLoss
from keras_hashing.checks import (
    DEFAULT_INSTANCE_WEIGHT,
    DEFAULT_WEIGHT,
    check_bits,
    check_not_negative,
    check_place,
    check_weight,
)
from keras_hashing.encoder.fingerprint import code_space_fingerprint
from keras_hashing.layers.code_memory import new_memory
from keras_hashing.layers.hash_head import HashHead
from keras_hashing.losses import quantization as quantization_losses
from keras_hashing.losses.inputs import check_codes, check_labels, is_labelled

Tensor = Any


class _Reduction(keras.losses.Loss):
    """Keras' own reduction (sample weights, `tf.distribute`) of values a sample."""

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return y_pred


@keras.saving.register_keras_serializable(package="keras_hashing")
class HashingModel(keras.Model):
    """Backbone, hash head, method and quantization, trained by `fit`.

        loss = similarity of the method + quantization_weight · quantization
                                        + instance_weight · similarity of `instance_method`

    ```python
    model = keras_hashing.models.HashingModel(
        backbone, bits=64, method="hashnet", quantization="hswd", quantization_weight=0.3)
    model.compile("adam")          # the model brings its loss; one given here is added
    model.fit(train)               # batches of (images, labels): one-hot, multi-hot or numbers
    model.encoder                  # images → raw continuous codes: what is exported
    model.encode(images)           # images → packed codes
    ```

    Methods that need no labels train on two views of each image (`cibhash`, `crovca`, `ntxent`):
    batches of (view, other view), or of ((view, other view), labels), whose labels are not used.
    Both views go through the encoder at once. Or they reconstruct the vectors that the model gets
    (`dcwae`), or train nothing (`itq`, `lsh`, `pca`):
    `model.solve_head(features)` computes the head from what the backbone gives for the images.

    Labels alone ask that images of a class share one code, and then a search has no order among
    them. An `instance_method` beside a method of labels keeps them apart: each image has to find
    its own other view. Batches are then ((view, other view), labels).

    A batch may hold images without labels among others: their class number is -1, or their row of
    labels holds -1 throughout. (A row of 0 is an image of none of the classes.) They take part in
    the quantization and in the `instance_method`; the method's own term is the mean over the
    images with labels, 0 if there are none.

    The history, the progress bar and TensorBoard show `loss`, its parts `similarity_loss` and
    `quantization_loss`, and `bit_balance`, `bit_correlation` and `quantization_error` of the raw
    codes. `save` and `keras.saving.load_model` keep everything, the method's state included.

    Args:
        backbone: `keras.Model` from images to features of shape (batch, features), built, with
            one input and one output (functional or Sequential). It is not copied: its weights
            train. `Sequential([Input((features,))])` is the backbone of features.
        bits: K, the length of the code, at least 1.
        method: a name of `keras_hashing.methods.METHODS` or a
            `keras_hashing.methods.HashingMethod` of the same `bits`.
        quantization: `"none"`, `"native"` (that of the method's paper), `"hswd"`, `"swd"`,
            `"ot"`, `"sign"`, or a `keras_hashing.losses.QuantizationLoss`. Where the native
            quantization is a schedule (HashNet's continuation), `fit` adds its callback.
        quantization_weight: weight of the quantization loss, at least 0.
        quantize: the code that quantization acts on: `"raw"`, `"relaxed"`, or `None`: raw, but
            for native quantization the code that it acts on in the method's paper. The attribute is
            `quantization_place`: `quantize` is Keras' method, which quantizes the weights.
        head: `HashHead` of the same `bits`, or `None` for a plain one in float32, with batch
            normalization if the method asks for it (OrthoHash). It has no quantization of its
            own beside the model's.
        num_classes: number of label columns; most methods without pairs need to know it.
        quantization_memory: number of codes of earlier batches that `"hswd"` and `"hswd-pairs"`
            take their quantiles over, beside those of the batch: a small batch's median is noisy.
            They take no gradient. Evaluation does not write them.
        instance_method: a method that compares two views (`"cibhash"`, `"crovca"`, `"ntxent"`), to
            be added to a method that learns from labels; `None` for none.
        instance_weight: its weight, at least 0.
        **kwargs: as in `keras.Model`.

    Raises:
        ValueError: if an argument breaks its rule.
    """

    def __init__(
        self,
        backbone: keras.Model,
        bits: int,
        method: Any = "hashnet",
        quantization: Any = "hswd",
        quantization_weight: float = DEFAULT_WEIGHT,
        quantize: str | None = None,
        head: HashHead | None = None,
        num_classes: int | None = None,
        quantization_memory: int = 0,
        instance_method: Any = None,
        instance_weight: float = DEFAULT_INSTANCE_WEIGHT,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bits = check_bits(bits)
        self.num_classes = num_classes
        self.quantization_weight = check_weight(quantization_weight)
        self.method = methods.get(method, bits=bits, num_classes=num_classes)
        _check_same_bits("method", self.method.bits, bits)
        if isinstance(self.method, methods.DCWAE) and len(backbone.input_shape) == 2:
            self.method.see_width(backbone.input_shape[-1])
        self.method.build((None, num_classes), (None, bits))  # Keras' `quantize` goes through all
        self.instance_method = self._check_instance_method(instance_method)
        self.instance_weight = check_not_negative("instance_weight", instance_weight)
        self._native = quantization == "native"
        self.quantization = (
            self.method.native_quantization()
            if self._native
            else quantization_losses.get(quantization)
        )
        self.memory = new_memory(quantization_memory, self.quantization, self.bits)
        default_place = self.method.native_place if self._native else "raw"
        self.quantization_place = check_place(default_place if quantize is None else quantize)
        self.backbone = backbone
        self.head = _default_head(self.method) if head is None else head
        _check_same_bits("head", self.head.bits, bits)
        if self.quantization is not None and self.head.quantization is not None:
            raise ValueError(
                "Only one of model and head may have a quantization loss: both would be added. "
                f"Received: quantization={self.quantization.name!r}, "
                f"head.quantization={self.head.quantization.name!r}"
            )
        self.encoder = _make_encoder(self.backbone, self.head)

        self._reduction = _Reduction(name="reduction")
        self._similarity_loss = keras.metrics.Mean(name="similarity_loss")
        if self.quantization is not None:
            self._quantization_loss = keras.metrics.Mean(name="quantization_loss")
        if self.instance_method is not None:
            self._instance_loss = keras.metrics.Mean(name="instance_loss")
        self._code_metrics: list[keras.metrics.Metric] = [
            metrics.BitBalance(bits),
            metrics.BitCorrelation(bits),
            metrics.QuantizationError(),
        ]
        self.build(self.encoder.input_shape)

    def _check_instance_method(self, identifier: Any) -> methods.TwoViewMethod | None:
        if identifier is None:
            return None
        method = methods.get(identifier, bits=self.bits)
        if not isinstance(method, methods.TwoViewMethod) or not self.method.needs_labels:
            raise ValueError(
                "`instance_method` must be a method that compares two views (cibhash, crovca, "
                "ntxent), beside a `method` that learns from labels. Received: instance_method="
                f"{identifier!r}, method={type(self.method).__name__}"
            )
        _check_same_bits("instance_method", method.bits, self.bits)
        method.build(None, (None, self.bits))
        return method

    @property
    def views(self) -> int:
        """How many views of each image a training batch holds."""
        return self.method.views if self.instance_method is None else self.instance_method.views

    def build(self, input_shape: Any) -> None:
        """The encoder is built already."""
        self.built = True

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Images → raw continuous codes, shape (batch, bits).

        Two views of the images, as a pair, give 2 batch codes: those of the first views, then those
        of the second ones.
        """
        if isinstance(inputs, list | tuple):
            inputs = ops.concatenate(list(inputs), axis=0)
        return self.encoder(inputs, training=training)

    def train_step(self, *args: Any) -> Any:
        """As in `keras.Model`; a pair of views is read as inputs, not as inputs and labels."""
        return super().train_step(*args[:-1], self._read_views(args[-1]))

    def test_step(self, *args: Any) -> Any:
        """As `train_step`, without training."""
        return super().test_step(*args[:-1], self._read_views(args[-1]))

    def _read_views(self, data: Any) -> Any:
        if self.views == 2 and isinstance(data, list | tuple) and len(data) == 2:
            sizes = self.encoder.input_shape[1:]
            if all(_has_sizes(part, sizes) for part in data):
                return (tuple(data),)
        return data

    def solve_head(self, features: Any, seed: int = 0) -> None:
        """Computes the head from features, for a method that trains nothing: lsh, pca or itq.

        Args:
            features: what the backbone gives for the images, shape (n, features); it may be
                memory-mapped, or any object with `shape` and rows by slices and by integers: it is
                read in blocks.
            seed: integer seed of what the method draws.

        Raises:
            ValueError: if the method or the head has to be trained, or the features break the
                method's rule.
        """
        if not isinstance(self.method, methods.ClosedFormMethod):
            raise ValueError(
                "`solve_head` is for methods that compute the head from features (itq, lsh, pca); "
                f"train this one by `fit`. Received: method={type(self.method).__name__}"
            )
        if self.head.normalization is not None or not self.head.use_bias:
            raise ValueError(
                "`solve_head` computes a projection with a bias, so `head` must have a bias and no "
                f"batch normalization. Received: use_bias={self.head.use_bias}, "
                f"batch_normalization={self.head.batch_normalization}"
            )
        kernel, bias = self.method.closed_form(features, seed)
        self.head.projection.kernel.assign(kernel)
        self.head.projection.bias.assign(bias)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """As `keras.Model.fit`, with two callbacks of its own.

        A loss that is not finite ends the training (`RefuseNonFiniteLoss`), and with native
        quantization its schedule is among the callbacks. One of the same class in `callbacks`
        takes the place of either, and `keras.callbacks.TerminateOnNaN` that of the first.

        Raises:
            ValueError: if `y` is an array of labels that the method is not defined for (labels
                that come in batches have a NaN loss instead), the loss is not finite, or the
                method trains nothing.
        """
        if not self.method.trains:
            raise ValueError(
                f"{type(self.method).__name__} trains nothing: `solve_head(features)` computes the "
                "head"
            )
        if self.method.needs_labels and isinstance(y, np.ndarray) and y.ndim in (1, 2):
            self.method.check_kind_of_labels(y)
        given = getattr(callbacks, "callbacks", callbacks) or []
        given = list(given) if isinstance(given, list | tuple) else [given]
        classes = {type(callback) for callback in given}
        own = self.method.native_callbacks() if self._native else []
        if keras.callbacks.TerminateOnNaN not in classes:
            own.append(RefuseNonFiniteLoss())
        return super().fit(
            x,
            y,
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=[*(callback for callback in own if type(callback) not in classes), *given],
            **kwargs,
        )

    def compute_loss(
        self,
        x: Any = None,
        y: Tensor = None,
        y_pred: Tensor = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Similarity plus weighted quantization, and the figures of the history.

        Args:
            x: images, or a pair of views of them.
            y: labels, shape (batch, classes), or class numbers, shape (batch,) or (batch, 1), -1
                for images without; `None` if the method needs none.
            y_pred: raw continuous codes, shape (batch, bits), or (2 batch, bits) of two views.
            sample_weight: optional, shape (batch,).
            training: whether the method's state may change.

        Returns:
            Scalar.

        Raises:
            ValueError: if labels or views that the method needs are missing, or have another shape.
        """
        self._check_batch(x, y)
        codes = check_codes(y_pred)
        if self.views == 2 and sample_weight is not None:
            sample_weight = ops.tile(ops.reshape(sample_weight, (-1,)), 2)
        if self.instance_method is not None:
            y = ops.concatenate([y, y], axis=0)  # both views have the labels of their image
        if self.method.reconstructs:
            y = x
        similarity = self.method(y, codes, training=training)
        if self.method.needs_labels:
            similarity *= _rows_per_labelled_row(y)
        loss = self._reduction(similarity, similarity, sample_weight)
        self._similarity_loss.update_state(_weighted(similarity, sample_weight))
        if self.quantization is not None:
            quantization = self._quantization_of(self.quantization, y, codes, training)
            self._quantization_loss.update_state(_weighted(quantization, sample_weight))
            loss += self.quantization_weight * self._reduction(
                quantization, quantization, sample_weight
            )
        if self.instance_method is not None:
            instance = self.instance_method(None, codes, training=training)
            self._instance_loss.update_state(_weighted(instance, sample_weight))
            loss += self.instance_weight * self._reduction(instance, instance, sample_weight)
        for metric in self._code_metrics:
            metric.update_state(None, codes)
        if self.losses or self.loss is not None:
            # Regularizers and `add_loss`, and a further loss that the user compiled.
            loss += super().compute_loss(x, y, y_pred, sample_weight, training)
        return loss

    def _check_batch(self, x: Any, y: Tensor) -> None:
        """Raises `ValueError` where the method lacks labels or views."""
        name, views = type(self.method).__name__, len(x) if isinstance(x, list | tuple) else 1
        if y is None and self.method.needs_labels:
            raise ValueError(
                f"{name} learns from labels, in batches of (images, labels); "
                f"{', '.join(methods.available(labels=False))} need none. Received: no labels"
            )
        if self.method.reconstructs and len(self.encoder.input_shape) != 2:
            raise ValueError(
                f"{name} reconstructs vectors, such as features of a frozen network, so the model "
                f"must take them. Received: input shape {self.encoder.input_shape}"
            )
        if views != self.views:
            if self.instance_method is not None:
                name = type(self.instance_method).__name__
            raise ValueError(f"{name} takes {_in_words(self.views)}. Received: {_in_words(views)}")

    @property
    def fingerprint(self) -> str:
        """The name of the code space as the weights are now, for a `CodeIndex` of `encode`."""
        return code_space_fingerprint(self.encoder)

    def _quantization_of(
        self, quantization: keras.losses.Loss, y: Tensor, codes: Tensor, training: bool
    ) -> Tensor:
        """The quantization loss of each sample; training writes the memory."""

        def place(raw: Tensor) -> Tensor:
            return raw if self.quantization_place == "raw" else self.method.relax(raw)

        own = place(codes)
        targets = self.method.native_targets(y, own) if self._native else own
        if self.memory is None:
            return quantization.call(targets, own)
        _, remembered, filled = self.memory.read()
        values = quantization.call(targets, own, (place(remembered), filled))
        if training:
            self.memory.write(None, codes)
        return values

    def encode(self, images: Any, batch_size: int = 256, verbose: Any = 0) -> np.ndarray:
        """Packed codes of images.

        Args:
            images: array of images, or a `tf.data.Dataset` of batches of images.
            batch_size: batch size for arrays.
            verbose: as in `keras.Model.predict`.

        Returns:
            uint8 array of shape (n, bits / 8), rounded up.

        Raises:
            ValueError: if a code is not finite.
        """
        if hasattr(images, "__len__") and len(images) == 0:
            return np.zeros((0, retrieval_functions.packed_width(self.bits)), dtype=np.uint8)
        codes = self.encoder.predict(images, batch_size=batch_size, verbose=verbose)
        return retrieval_functions.pack_codes(codes)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal model."""
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "backbone": serialize(self.backbone),
            "bits": self.bits,
            "method": serialize(self.method),
            "quantization": "native" if self._native else serialize(self.quantization),
            "quantization_weight": self.quantization_weight,
            "quantize": self.quantization_place,
            "quantization_memory": 0 if self.memory is None else self.memory.size,
            "instance_method": self.instance_method and serialize(self.instance_method),
            "instance_weight": self.instance_weight,
            "head": serialize(self.head),
            "num_classes": self.num_classes,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "HashingModel":
        """The model that `get_config` describes."""
        deserialize = keras.saving.deserialize_keras_object
        parts = {
            name: deserialize(config[name], custom_objects=custom_objects)
            for name in ("backbone", "head")
        }
        return cls(**{**config, **parts})


def _weighted(values: Tensor, sample_weight: Any) -> Tensor:
    """Values a sample times their weights, so that the parts add up to the loss."""
    if sample_weight is None:
        return values
    return values * ops.reshape(ops.cast(sample_weight, values.dtype), (-1,))


def _rows_per_labelled_row(labels: Tensor) -> Tensor:
    """By what a mean over the global batch becomes that over its images with labels: ()."""
    labelled = ops.cast(is_labelled(check_labels(labels)), "float32")
    counts = ops.stack([ops.cast(ops.shape(labelled)[0], "float32"), ops.sum(labelled)])
    counts = ops.sum(backend.all_gather(ops.expand_dims(counts, 0)), axis=0)
    return counts[0] / ops.maximum(counts[1], 1.0)


def _has_sizes(part: Any, sizes: tuple) -> bool:
    """Whether a tensor has these sizes after the first; `None` is any."""
    shape = getattr(part, "shape", None)
    if shape is None or getattr(shape, "rank", 0) is None or len(shape) != 1 + len(sizes):
        return False
    return all(None in pair or pair[0] == pair[1] for pair in zip(shape[1:], sizes, strict=True))


def _in_words(views: int) -> str:
    return f"{views} views of each image" if views > 1 else "one view of each image"


def _check_same_bits(argument: str, received: int, bits: int) -> None:
    if received != bits:
        raise ValueError(
            f"`{argument}` must have the same number of bits as the model. "
            f"Received: {argument}.bits={received}, bits={bits}"
        )


def _default_head(method: methods.HashingMethod) -> HashHead:
    """A plain head in float32, normalized if the method asks for it."""
    return HashHead(
        method.bits,
        batch_normalization=method.normalizes_codes,
        dtype="float32",
        name="hash_head",
    )


def _make_encoder(backbone: keras.Model, head: HashHead) -> keras.Model:
    """Images → raw continuous codes."""
    inputs, outputs = getattr(backbone, "inputs", None), getattr(backbone, "outputs", None)
    if isinstance(backbone, keras.Sequential) and not backbone.layers:
        inputs = outputs = _inputs_without_layers(backbone)
    if not isinstance(backbone, keras.Model) or not inputs or not outputs:
        raise ValueError(
            "`backbone` must be a built functional or Sequential `keras.Model` (give a Sequential "
            f"model an Input). Received: backbone={backbone!r}"
        )
    if len(inputs) != 1 or len(outputs) != 1 or len(outputs[0].shape) != 2:
        raise ValueError(
            "`backbone` must have one input and one output of shape (batch, features); end a "
            "convolutional network with global pooling. Received: output shapes "
            f"{[tuple(output.shape) for output in outputs]}"
        )
    images = keras.Input(shape=inputs[0].shape[1:], dtype=inputs[0].dtype, name="image")
    return keras.Model(images, head(backbone(images)), name="encoder")


def _inputs_without_layers(backbone: keras.Sequential) -> list[keras.KerasTensor]:
    """The Input of a Sequential model that holds nothing else, which Keras builds only later."""
    configs = [layer["config"] for layer in backbone.get_config()["layers"]]
    return [keras.Input(batch_shape=one["batch_shape"], dtype=one["dtype"]) for one in configs]
