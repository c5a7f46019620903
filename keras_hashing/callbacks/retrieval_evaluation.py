"""Retrieval figures while training."""

from typing import Any

import keras
import numpy as np

from keras_hashing import retrieval
from keras_hashing.checks import check_count


class RetrievalEvaluation(keras.callbacks.Callback):
    """Encodes query and database and puts retrieval figures into the logs.

    Every `every` epochs, and in the last epoch that `fit` was asked for, the logs get each figure
    of `keras_hashing.retrieval.evaluate_retrieval` under its name with the prefix: `retrieval_map`,
    `retrieval_precision_within_radius` and so on, with `k` also `retrieval_map_at_k`. So
    `ModelCheckpoint(monitor="retrieval_map", mode="max")`, `EarlyStopping`, `TensorBoard` and the
    history see them, if they come after this callback in the list. As with `validation_freq`,
    epochs in between do not have these keys.

    Args:
        query: pair of arrays (images, labels), or batches of such pairs that can be gone through
            again and again, such as a finite `tf.data.Dataset`; labels are one-hot or multi-hot,
            or class numbers of shape (n,) or (n, 1).
        database: likewise.
        every: epochs between two evaluations, at least 1.
        k: cut of mAP@k and precision@k; `None` leaves both out.
        radius: Hamming radius of the precision within a radius.
        batch_size: batch size for arrays.
        prefix: prefix of the keys in the logs.
        encoder: `keras.Model` from images to continuous codes; `None` for that of a
            `HashingModel`, or else the trained model itself.
        vectors: the float vectors of query and database whose neighbours codes should keep, for
            the figures of neighbours; `None` leaves them out.

    Raises:
        ValueError: if an argument breaks its rule; when training begins, if the encoder does not
            give codes of shape (batch, bits).
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
        encoder: keras.Model | None = None,
        vectors: tuple[Any, Any] | None = None,
    ) -> None:
        super().__init__()
        self.query = query
        self.database = database
        self.every = check_count("every", every)
        self.k = k
        self.radius = radius
        self.batch_size = batch_size
        self.prefix = prefix
        self.encoder = encoder
        self.vectors = (None, None) if vectors is None else vectors

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Checks that there is an encoder, before any epoch is trained."""
        shape = getattr(self._encoder(), "output_shape", None)
        bits = shape[-1] if isinstance(shape, tuple) and len(shape) == 2 else None
        if not isinstance(bits, int):
            raise ValueError(
                "RetrievalEvaluation needs an encoder from images to codes of shape (batch, bits): "
                "train a `HashingModel` or a model that ends in a `HashHead`, or give `encoder`. "
                f"Received: a model of output shape {shape}"
            )

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
        if query_labels.ndim == 1 or query_labels.shape[1] == 1:
            classes = np.union1d(query_labels, database_labels)
            query_labels = query_labels.reshape(-1, 1) == classes
            database_labels = database_labels.reshape(-1, 1) == classes
        found = retrieval.evaluate_retrieval(
            retrieval.pack_codes(query_codes),
            query_labels,
            retrieval.pack_codes(database_codes),
            database_labels,
            k=self.k,
            radius=self.radius,
            continuous=database_codes,
            query_continuous=query_codes,
            query_vectors=self.vectors[0],
            database_vectors=self.vectors[1],
        )
        return {name: value for name, value in found.values.items() if value is not None}

    def _encode(self, data: Any) -> tuple[np.ndarray, np.ndarray]:
        """Continuous codes and labels, in one pass: a dataset may have another order each time."""
        encoder = self._encoder()
        if isinstance(data, tuple | list):
            images, labels = data
            codes = encoder.predict(images, batch_size=self.batch_size, verbose=0)
            return codes, np.asarray(labels)
        batches = [
            (np.asarray(encoder.predict_on_batch(np.asarray(images))), np.asarray(labels))
            for images, labels in data
        ]
        codes, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        return codes, labels

    def _encoder(self) -> keras.Model:
        if self.encoder is not None:
            return self.encoder
        return getattr(self.model, "encoder", self.model)
