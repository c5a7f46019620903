"""Retrieval figures while training."""

from typing import Any

import keras
import numpy as np

from keras_hashing import retrieval


class RetrievalEvaluation(keras.callbacks.Callback):
    """Encodes query and database and puts retrieval figures into the logs.

    Every `every` epochs, and after the last one, the logs get

    - `retrieval_map`: tie-aware mean average precision (at `k` where given),
    - `retrieval_precision`: precision within Hamming radius `radius`,

    so that `ModelCheckpoint(monitor="retrieval_map", mode="max")`, `EarlyStopping`, `TensorBoard`
    and the history see them, if they come after this callback in the list. As with
    `validation_freq`, epochs in between do not have these keys.

    Args:
        query: pair of arrays (images, labels) or a `tf.data.Dataset` of batches of such pairs;
            labels are one-hot or multi-hot.
        database: likewise.
        every: epochs between two evaluations, at least 1.
        k: cut of mean average precision, or `None` for the whole ranking.
        radius: Hamming radius of the precision.
        batch_size: batch size for arrays.
        prefix: prefix of the keys in the logs.

    Raises:
        ValueError: if an argument breaks its rule.
    """

    def __init__(
        self,
        query: Any,
        database: Any,
        every: int = 1,
        k: int | None = None,
        radius: int = 2,
        batch_size: int = 256,
        prefix: str = "retrieval_",
    ) -> None:
        super().__init__()
        if every < 1:
            raise ValueError(f"`every` must be at least 1. Received: every={every}")
        self.query = query
        self.database = database
        self.every = every
        self.k = k
        self.radius = radius
        self.batch_size = batch_size
        self.prefix = prefix

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures, if it is this epoch's turn."""
        last = epoch + 1 == self.params.get("epochs")
        if logs is None or ((epoch + 1) % self.every and not last):
            return
        for name, value in self.measure().items():
            logs[f"{self.prefix}{name}"] = value

    def measure(self) -> dict[str, float]:
        """The figures of the model as it is."""
        query_codes, query_labels = self._encode(self.query)
        database_codes, database_labels = self._encode(self.database)
        codes_and_labels = (query_codes, query_labels, database_codes, database_labels)
        return {
            "map": retrieval.mean_average_precision(*codes_and_labels, k=self.k),
            "precision": retrieval.precision_within_radius(*codes_and_labels, radius=self.radius),
        }

    def _encode(self, data: Any) -> tuple[np.ndarray, np.ndarray]:
        images, labels = images_and_labels(data)
        return self.model.encode(images, batch_size=self.batch_size), labels


def images_and_labels(data: Any) -> tuple[Any, np.ndarray]:
    """Splits a pair of arrays or a dataset of batches of pairs.

    Returns:
        What `HashingModel.encode` takes, and labels of shape (n, classes).
    """
    if isinstance(data, tuple):
        images, labels = data
        return images, np.asarray(labels)
    labels = [np.asarray(labels) for _, labels in data]
    return data.map(lambda images, _: images), np.concatenate(labels)
