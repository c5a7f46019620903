"""A bounded memory of recent codes."""

from typing import Any

import keras
from keras import ops

from keras_hashing import backend, names
from keras_hashing.checks import check_count

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_hashing.methods")
class CodeMemory(keras.layers.Layer):
    """First-in-first-out memory of the latest codes and their labels.

    Pairwise methods compare a batch with more codes than it holds, and HSWD takes its median over
    them. The published codes of pairwise methods keep one code for every training sample; this
    memory keeps the latest `size` codes, so that its cost is bounded: size × (bits + classes)
    floats.

    The memory is weights of a layer, so it is saved and restored with the model. Under
    `tf.distribute` every replica holds the codes of the global batch.

    Args:
        size: number of codes kept, at least 1.
        bits: length of a code.
        num_classes: number of label columns, or 0 for a memory without labels.
        **kwargs: as in `keras.layers.Layer`.

    Raises:
        ValueError: if `size` is not a positive integer.
    """

    def __init__(self, size: int, bits: int, num_classes: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = check_count("size", size)
        self.bits = bits
        self.num_classes = num_classes

        def add(name: str, shape: tuple, dtype: str) -> Any:
            return self.add_weight(
                name=name,
                shape=shape,
                dtype=dtype,
                initializer="zeros",
                trainable=False,
                autocast=False,  # read as it is inside a layer of half precision
                aggregation="only_first_replica",
            )

        self.codes = add("codes", (self.size, self.bits), "float32")
        self.labels = None
        if num_classes:
            self.labels = add("labels", (self.size, self.num_classes), "float32")
        self.count = add("count", (), "int32")
        self.built = True

    def read(self) -> tuple[Tensor, Tensor, Tensor]:
        """What the memory holds, the latest first.

        Returns:
            labels: float32, shape (size, num_classes); `None` in a memory without labels.
            codes: float32, shape (size, bits).
            filled: float32, shape (size,); 1 for a row that holds a code.
        """
        filled = ops.cast(ops.arange(self.size) < ops.convert_to_tensor(self.count), "float32")
        labels = None if self.labels is None else ops.convert_to_tensor(self.labels)
        return labels, ops.convert_to_tensor(self.codes), filled

    def write(self, labels: Tensor, codes: Tensor) -> None:
        """Puts a batch in front; the oldest codes fall out.

        Args:
            labels: shape (n, num_classes); `None` in a memory without labels.
            codes: shape (n, bits); they take no gradient.
        """
        codes = ops.stop_gradient(backend.all_gather(ops.cast(codes, "float32")))
        rows = ops.shape(codes)[0]
        self.codes.assign(ops.concatenate([codes, self.codes], axis=0)[: self.size])
        if self.labels is not None:
            labels = backend.all_gather(ops.cast(labels, "float32"))
            self.labels.assign(ops.concatenate([labels, self.labels], axis=0)[: self.size])
        self.count.assign(ops.minimum(ops.convert_to_tensor(self.count) + rows, self.size))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal, empty memory."""
        return {
            **super().get_config(),
            "size": self.size,
            "bits": self.bits,
            "num_classes": self.num_classes,
        }


def new_memory(size: Any, quantization: keras.losses.Loss | None, bits: int) -> CodeMemory | None:
    """The memory of `quantization_memory=size` codes that a loss is to see beside the batch.

    Args:
        size: number of codes, 0 for none.
        quantization: the loss.
        bits: length of a code.

    Raises:
        ValueError: if `size` is negative, or positive and the loss takes no memory.
    """
    if not check_count("quantization_memory", size, 0):
        return None
    if not getattr(quantization, "takes_memory", False):
        name = None if quantization is None else quantization.name
        raise ValueError(
            f"`quantization_memory` must be 0 unless the quantization is one of "
            f"{', '.join(names.WITH_MEMORY)}: others compare each code with the batch at most. "
            f"Received: quantization_memory={size}, quantization={name!r}"
        )
    return CodeMemory(size, bits, dtype="float32", name="quantization_memory")
