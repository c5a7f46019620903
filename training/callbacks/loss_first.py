"""The training line with the loss at its beginning."""

from typing import Any

import keras


class LossFirst(keras.callbacks.ProgbarLogger):
    """Keras' own line, whose figures stand in alphabetical order, but with the losses first.

    It takes the place of Keras' where it is among the callbacks of `fit`.
    """

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Shows the figures so far."""
        super().on_train_batch_end(batch, _losses_first(logs))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Shows those of the epoch."""
        super().on_epoch_end(epoch, _losses_first(logs))


def _losses_first(logs: dict[str, Any] | None) -> dict[str, Any]:
    """`loss`, then its parts, then what only describes the codes."""
    return dict(
        sorted((logs or {}).items(), key=lambda one: (one[0] != "loss", "loss" not in one[0]))
    )
