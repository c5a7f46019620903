"""Base class of the methods that compare pairs."""

from typing import Any

from keras_hashing.checks import check_count
from keras_hashing.layers.code_memory import CodeMemory
from keras_hashing.losses.similarity.pairwise_similarity import PairwiseSimilarity
from keras_hashing.methods.hashing_method import HashingMethod

Tensor = Any


class PairwiseMethod(HashingMethod):
    """Base class: compares the batch with itself and with a memory of recent codes.

    A subclass implements `objective()`, the stateless loss whose pairs are compared, and may
    override `similarity_code(codes)`.

    Args:
        bits: K, the length of the code.
        num_classes: number of label columns; needed when there is a memory.
        memory_size: number of recent codes that the batch is compared with, beside itself.
        **kwargs: as in `keras.layers.Layer`.

    Raises:
        ValueError: if `memory_size` is negative, or positive without `num_classes`.
    """

    def __init__(
        self,
        bits: int,
        num_classes: int | None = None,
        memory_size: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(bits=bits, num_classes=num_classes, **kwargs)
        self.memory_size = check_count("memory_size", memory_size, 0)
        self.memory: CodeMemory | None = None
        if memory_size:
            if num_classes is None:
                raise ValueError(
                    "A memory keeps labels, so `num_classes` must be given with `memory_size`. "
                    f"Received: memory_size={memory_size}, num_classes=None"
                )
            self.memory = CodeMemory(memory_size, bits, num_classes, dtype="float32", name="memory")

    def objective(self) -> PairwiseSimilarity:
        """The stateless loss whose pairs are compared, to be implemented by the subclass."""
        raise NotImplementedError(f"{type(self).__name__} must implement `objective`.")

    def similarity_code(self, codes: Tensor) -> Tensor:
        """The code whose inner products are compared."""
        return self.objective().similarity_code(codes)

    def similarity(self, labels: Tensor, codes: Tensor, training: bool) -> Tensor:
        """The mean over each sample's partners: (batch,)."""
        objective = self.objective()
        own_code = self.similarity_code(codes)
        if self.memory is None:
            return objective.compare(labels, own_code)
        memory_labels, memory_codes, filled = self.memory.read()
        values = objective.compare(
            labels, own_code, memory_labels, self.similarity_code(memory_codes), filled
        )
        if training:
            self.memory.write(labels, codes)
        return values

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal method."""
        return {**super().get_config(), "memory_size": self.memory_size}
