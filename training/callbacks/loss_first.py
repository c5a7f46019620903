"""The training line with the loss at its beginning."""

from typing import Any

import keras

from keras_hashing.retrieval.figures import FIGURES


class LossFirst(keras.callbacks.ProgbarLogger):
    """Keras' own line, whose figures stand in alphabetical order, but with the losses first.

    Of the retrieval figures it shows the one that codes are judged by; TensorBoard and the history
    have them all.

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
    retrieval = {
        name: FIGURES[figure].better
        for name in logs
        for prefix, _, figure in [name.partition("_")]
        if prefix in ("validation", "training") and figure in FIGURES
    }
    judged_by = next((name for name, better in retrieval.items() if better == "higher"), None)
    shown = [name for name in logs if name not in retrieval or name == judged_by]
    shown.sort(key=lambda name: (name == judged_by, name != "loss", "loss" not in name))
    return {name: logs[name] for name in shown}
