"""How long the first step takes, in which Keras compiles the training step."""

from contextlib import ExitStack
from typing import Any

import keras

from keras_hashing.command_line.stages import stage


class CompilingStage(keras.callbacks.Callback):
    """Tells how long the first step of a training took."""

    def __init__(self) -> None:
        super().__init__()
        self._stage: ExitStack | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Begins with the first epoch."""
        if self._stage is None:
            self._stage = ExitStack()
            self._stage.enter_context(stage("Compiling the training step"))

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Ends with the first step."""
        if self._stage is not None:
            self._stage.close()
