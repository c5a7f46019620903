"""The end of a training that has gone wrong."""

import math
from typing import Any

import keras


class RefuseNonFiniteLoss(keras.callbacks.Callback):
    """Raises as soon as the loss is not finite, before anything of that epoch is saved.

    `keras.callbacks.TerminateOnNaN` ends the epoch in the ordinary way, and the checkpoint
    would keep the broken weights. `keras_hashing.models.HashingModel.fit` adds this callback,
    unless one of the two is given.

    Raises:
        ValueError: with the step, and what may help.
    """

    def __init__(self) -> None:
        super().__init__()
        self.async_safe = True  # the next step need not wait; the epoch's end does
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remembers the epoch for the message."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the loss."""
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            raise ValueError(
                f"The loss became {loss} in step {batch + 1} of epoch {self._epoch + 1}. Look for "
                "images and labels that are not finite; else try a lower learning rate, or float32 "
                "instead of half precision"
            )
