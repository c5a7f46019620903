"""The training line with the loss at its beginning."""

from typing import Any

import keras


class LossFirst(keras.callbacks.ProgbarLogger):
    """Keras' own line, whose figures stand in alphabetical order, but with the losses first.

    Of the retrieval figures it shows the first; TensorBoard and the history have them all.

    It takes the place of Keras' where it is among the callbacks of `fit`.
    """

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Shows the figures so far."""
        super().on_train_batch_end(batch, _losses_first(logs))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Shows those of the epoch."""
        super().on_epoch_end(epoch, _losses_first(logs))


def _losses_first(logs: dict[str, Any] | None) -> dict[str, Any]:
    """`loss`, then its parts, then what only describes the codes, then a figure of retrieval."""
    logs = logs or {}
    retrieval = [name for name in logs if name.startswith(("validation_", "training_"))]
    shown = [name for name in logs if name not in retrieval[1:]]
    shown.sort(key=lambda name: (name in retrieval, name != "loss", "loss" not in name))
    return {name: logs[name] for name in shown}
